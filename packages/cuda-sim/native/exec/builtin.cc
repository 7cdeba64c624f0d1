#include "builtin.h"

#include <cstdio>

#include "access.h"
#include "number.h"

namespace sim {
namespace {

// A byte that a generic address names, or the fault of whoever passed the address.
const char* at(Warp& w, int lane, uint64_t address, unsigned bytes) {
  Places p;
  p.address[lane] = address;
  Grid& g = w.grid();
  const bool counting = g.counting;
  g.counting = false;
  reach_at(w, ptx::Space::generic, 1u << lane, Touch::load, bytes, &p);
  g.counting = counting;
  return p.at[lane];
}

std::string text_at(Warp& w, int lane, uint64_t address) {
  std::string s;
  for (; s.size() < 1 << 16; ++address) {
    const char c = *at(w, lane, address, 1);
    if (c == '\0') break;
    s += c;
  }
  return s;
}

uint64_t argument(Warp& w, const Call& c, int lane, size_t i) {
  uint64_t v = 0;
  std::memcpy(&v, w.local_data(lane) + w.local_base + c.arguments[i].from, std::min<size_t>(8, c.arguments[i].bytes));
  return v;
}

// As C's printf, with the arguments packed as vprintf gets them: at multiples of their size.
int print(Warp& w, const Call& c, int lane) {
  const std::string format = text_at(w, lane, argument(w, c, lane, 0));
  uint64_t from = argument(w, c, lane, 1);
  const auto next = [&](unsigned bytes) {
    from = (from + bytes - 1) / bytes * bytes;
    uint64_t v = 0;
    std::memcpy(&v, at(w, lane, from, bytes), bytes);
    from += bytes;
    return v;
  };
  std::string out;
  int items = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == '%') {
      out += '%';
      ++i;
      continue;
    }
    std::string spec = "%";
    size_t k = i + 1;
    bool wide = false;
    for (; k < format.size() && std::strchr("-+ #0123456789.*lhzjt", format[k]) != nullptr; ++k) {
      if (format[k] == '*')
        spec += std::to_string(static_cast<int32_t>(next(4)));
      else if (std::strchr("lhzjt", format[k]) == nullptr)
        spec += format[k];
      wide |= format[k] == 'l' || format[k] == 'z' || format[k] == 'j' || format[k] == 't';
    }
    if (k >= format.size()) break;
    const char kind = format[k];
    char text[512];
    if (std::strchr("diouxXc", kind) != nullptr) {
      const bool sign = kind == 'd' || kind == 'i';
      const uint64_t v = next(wide && kind != 'c' ? 8 : 4);
      if (kind == 'c')
        std::snprintf(text, sizeof text, (spec + "c").c_str(), static_cast<int>(v));
      else
        std::snprintf(text, sizeof text, (spec + "ll" + kind).c_str(),
                      sign && !wide ? static_cast<long long>(static_cast<int32_t>(v)) : static_cast<long long>(v));
      out += text;
    } else if (std::strchr("eEfFgGaA", kind) != nullptr) {
      std::snprintf(text, sizeof text, (spec + kind).c_str(), bits<double>(next(8)));
      out += text;
    } else if (kind == 'p') {
      std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(next(8)));
      out += text;
    } else if (kind == 's') {
      out += text_at(w, lane, next(8));
    } else {
      out += spec + kind;
    }
    ++items;
    i = k;
  }
  std::fputs(out.c_str(), stdout);
  std::fflush(stdout);
  return items;
}

}  // namespace

int builtin_named(const std::string& name) {
  if (name == "vprintf") return static_cast<int>(Builtin::print);
  if (name == "__assertfail") return static_cast<int>(Builtin::assertion);
  return -1;
}

void run_builtin(Warp& w, const Call& c, uint32_t mask) {
  each(mask, [&](int lane) {
    if (static_cast<Builtin>(c.builtin) == Builtin::assertion) {
      const std::string what = text_at(w, lane, argument(w, c, lane, 0)),
                        file = text_at(w, lane, argument(w, c, lane, 1)),
                        function = text_at(w, lane, argument(w, c, lane, 3));
      w.fault("assert",
              file + ":" + std::to_string(static_cast<uint32_t>(argument(w, c, lane, 2))) + ": " + function +
                  ": assertion `" + what + "` failed.",
              lane);
    }
    const int items = print(w, c, lane);
    if (!c.results.empty()) {
      std::memcpy(w.local_data(lane) + w.local_base + c.results[0].to, &items, 4);
      std::memset(w.local_shadow(lane) + w.local_base + c.results[0].to, SharedMemory::kGood, 4);
    }
  });
}

}  // namespace sim
