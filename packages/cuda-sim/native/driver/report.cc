// What the library says: refused calls (when asked), the fault that ends a context, and at exit counters and leaks.
#include <cstdarg>
#include <cstdio>

#include "state.h"

namespace sim {
namespace {

std::string format_text(const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, args);
  return text;
}

std::string triple(const Dim3& d) {
  return "[" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + "]";
}

void say_leak(const char* what, uint64_t bytes, const void* at) {
  say("not freed: %s of %llu bytes at %p", what, static_cast<unsigned long long>(bytes), at);
  report_line("{\"type\":\"leak\",\"what\":" + quoted(what) + ",\"bytes\":" + std::to_string(bytes) + "}");
}

void report_leaks() {
  Driver& d = driver();
  for (const auto& [address, a] : d.allocations) say_leak("device memory", a.bytes, reinterpret_cast<void*>(address));
  for (const auto& [start, range] : d.host) {
    say_leak(range->registered ? "registered host memory" : "pinned host memory", range->bytes,
             reinterpret_cast<void*>(start));
  }
  size_t streams = 0, contexts = 0, waiting = 0, modules = 0;
  for (const auto& stream : d.streams.all()) streams += stream->id >= 3;
  for (const auto& context : d.contexts.all()) {
    contexts += context->alive;
    for (const OpPtr& op : context->pending) waiting += op->state != Op::State::done;
  }
  for (const auto& module : d.modules.all()) modules += !module->of_library;
  const std::pair<const char*, size_t> kinds[] = {
      {"contexts", contexts},
      {"streams", streams},
      {"events", d.events.size()},
      {"modules", modules},
      {"libraries", d.libraries.size()},
      {"graphs", d.graphs.size()},
      {"executable graphs", d.execs.size()},
      {"operations that nothing waited for, so that they never ran", waiting}};
  for (const auto& [name, count] : kinds) {
    if (count == 0) continue;
    say("left at exit: %zu %s", count, name);
    report_line("{\"type\":\"leak\",\"what\":" + quoted(name) + ",\"count\":" + std::to_string(count) + "}");
  }
}

__attribute__((destructor)) void at_exit() {
  Driver& d = driver();
  // A thread that still runs a kernel while the process ends holds the lock: then there is nothing whole to tell.
  if (!d.mutex.try_lock()) return;
  if (d.initialised && d.init_result == CUDA_SUCCESS) {
    for (const auto& [name, counters] : d.counters) {
      report_line("{\"type\":\"kernel\",\"name\":" + quoted(name) +
                  ",\"launches\":" + std::to_string(d.launches[name]) + ",\"counters\":" + json(counters) + "}");
    }
    for (const auto& [route, copies] : d.copies) {
      report_line("{\"type\":\"copies\",\"route\":" + quoted(route) + ",\"count\":" + std::to_string(copies.count) +
                  ",\"bytes\":" + std::to_string(copies.bytes) + "}");
    }
    if (d.leaks) report_leaks();
  }
  d.mutex.unlock();
}

}  // namespace

void say(const char* format, ...) {
  va_list args;
  va_start(args, format);
  const std::string text = format_text(format, args);
  va_end(args);
  std::fprintf(stderr, "cuda-sim: %s\n", text.c_str());
}

CUresult refuse(CUresult code, const char* format, ...) {
  if (driver().verbose) {
    va_list args;
    va_start(args, format);
    const std::string text = format_text(format, args);
    va_end(args);
    say("%s: %s", error_name(code), text.c_str());
  }
  return code;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", u);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string json(const Counters& counters) {
  std::string out = "{";
  const auto separate = [&] {
    if (out.back() != '{' && out.back() != '[') out += ',';
  };
  counters.each([&](const char* name, double value) {
    char number[32];
    std::snprintf(number, sizeof number, "%.17g", value);
    separate();
    out += quoted(name) + ":" + number;
  });
  separate();
  out += "\"lines\":[";
  for (const auto& [kernel, lines] : counters.kernels) {
    for (const LineCount& line : lines) {
      if (line.issued == 0) continue;
      separate();
      out += "{\"line\":" + std::to_string(line.line) + ",\"text\":" + quoted(line.text) +
             ",\"source\":" + quoted(line.source) + ",\"issued\":" + std::to_string(line.issued) +
             ",\"threads\":" + std::to_string(line.threads) + ",\"moved\":" + std::to_string(line.moved) +
             ",\"ideal\":" + std::to_string(line.ideal) + "}";
    }
  }
  return out + "]}";
}

void report_line(const std::string& json) {
  if (driver().report.empty()) return;
  // Opened each time: several processes may write one file, and one that crashes loses nothing.
  std::FILE* file = std::fopen(driver().report.c_str(), "ae");
  if (!file) {
    say("SHAKTI_SIM_REPORT: %s cannot be written: %s", driver().report.c_str(), std::strerror(errno));
    driver().report.clear();
    return;
  }
  std::fwrite((json + "\n").data(), 1, json.size() + 1, file);
  std::fclose(file);
}

CUresult code_of(const Fault& fault) {
  static const std::map<std::string, CUresult, std::less<>> codes = {
      {"out-of-bounds", CUDA_ERROR_ILLEGAL_ADDRESS}, {"use-after-free", CUDA_ERROR_ILLEGAL_ADDRESS},
      {"misaligned", CUDA_ERROR_MISALIGNED_ADDRESS}, {"assert", CUDA_ERROR_ASSERT},
      {"timeout", CUDA_ERROR_LAUNCH_TIMEOUT},        {"limit", CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES},
      {"unsupported", CUDA_ERROR_NOT_SUPPORTED},     {"address-space", CUDA_ERROR_INVALID_ADDRESS_SPACE},
  };
  // What a GPU would not notice (uninitialised reads, races, shuffles from absent lanes) has no code of its own there.
  const auto at = codes.find(fault.kind);
  return at == codes.end() ? CUDA_ERROR_LAUNCH_FAILED : at->second;
}

CUresult fail(Context& context, CUresult code, const Fault& fault) {
  if (context.error != CUDA_SUCCESS) return context.error;
  context.error = code;
  say("%s", fault.message.c_str());
  say("%s: every further call of this context returns this.", error_name(code));
  report_line("{\"type\":\"fault\",\"kind\":" + quoted(fault.kind) + ",\"code\":" + std::to_string(code) +
              ",\"name\":" + quoted(error_name(code)) + ",\"kernel\":" + quoted(fault.kernel) + ",\"block\":" +
              triple(fault.block) + ",\"thread\":" + triple(fault.thread) + ",\"line\":" + std::to_string(fault.line) +
              ",\"source\":" + quoted(fault.source) + ",\"message\":" + quoted(fault.message) + "}");
  abandon(context);
  return code;
}

}  // namespace sim
