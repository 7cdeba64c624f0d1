// Registers of the text are many and short-lived: they share places where their lives do not meet, so that a warp's
// registers stay in the processor's cache. Lives are intervals of the text that cover liveness in every basic block.
#include "registers.h"

#include <algorithm>

#include "warp.h"

namespace sim {
namespace {

using ptx::Operand;

uint32_t bytes_of(ptx::Type t) { return t == ptx::Type::pred ? 4 : std::max(2u, ptx::size_of(t)) * kLanes; }

void collect(const Operand& o, std::vector<uint32_t>& into) {
  if (o.kind == Operand::Kind::reg) into.push_back(static_cast<uint32_t>(o.value));
  for (const auto& p : o.parts) collect(p, into);
  if (o.pair != nullptr) collect(*o.pair, into);
}

}  // namespace

// Which operands an instruction writes: the first, but for those that have no result.
Uses uses_of(const ptx::Instruction& in) {
  Uses u;
  static constexpr const char* no_result[] = {"st",       "bra",    "brx",   "ret", "exit",     "red",  "call",
                                              "prefetch", "membar", "fence", "cp",  "stmatrix", "trap", "nanosleep"};
  bool result = std::find(std::begin(no_result), std::end(no_result), in.opcode) == std::end(no_result);
  const auto has = [&](const char* m) {
    return std::find(in.modifiers.begin(), in.modifiers.end(), m) != in.modifiers.end();
  };
  if ((in.opcode == "bar" || in.opcode == "barrier") && !has("red")) result = false;
  if (in.opcode == "wmma" && has("store")) result = false;
  for (size_t i = 0; i < in.operands.size(); ++i) {
    const bool address = in.operands[i].kind == Operand::Kind::address;
    collect(in.operands[i], i == 0 && result && !address ? u.written : u.read);
  }
  // The sums so far are read, too.
  if (in.opcode == "wgmma") u.read.insert(u.read.end(), u.written.begin(), u.written.end());
  if (in.guard >= 0) u.read.push_back(static_cast<uint32_t>(in.guard));
  return u;
}

RegisterMap place_registers(const ptx::Function& f) {
  const size_t n = f.body.size(), registers = f.registers.size();
  std::vector<Uses> uses(n);
  for (size_t i = 0; i < n; ++i) uses[i] = uses_of(f.body[i]);

  // ---- basic blocks
  std::vector<char> starts(n + 1, 0);
  starts[0] = 1;
  std::vector<std::vector<uint32_t>> targets(n);
  for (size_t i = 0; i < n; ++i) {
    const auto& in = f.body[i];
    // What else stands there is refused later.
    for (const Operand& o : in.operands) {
      if (o.kind == Operand::Kind::label && o.value < n) targets[i].push_back(static_cast<uint32_t>(o.value));
      if (o.kind == Operand::Kind::targets) targets[i] = f.targets[o.value];
    }
    for (uint32_t t : targets[i]) starts[t] = 1;
    if (!targets[i].empty() || in.opcode == "ret" || in.opcode == "exit") starts[i + 1] = 1;
  }
  struct Part {
    uint32_t first, last;  // instructions
    std::vector<uint32_t> next;
    std::vector<uint64_t> gen, kill, in, out;
  };
  std::vector<Part> parts;
  std::vector<uint32_t> part_of(n + 1, 0);
  for (uint32_t i = 0; i < n; ++i) {
    if (starts[i]) parts.push_back({i, i, {}, {}, {}, {}, {}});
    parts.back().last = i;
    part_of[i] = static_cast<uint32_t>(parts.size() - 1);
  }
  const size_t words = (registers + 63) / 64;
  for (Part& p : parts) {
    p.gen.assign(words, 0);
    p.kill.assign(words, 0);
    p.in.assign(words, 0);
    p.out.assign(words, 0);
    for (uint32_t i = p.first; i <= p.last; ++i) {
      for (uint32_t r : uses[i].read)
        if ((p.kill[r / 64] >> r % 64 & 1) == 0) p.gen[r / 64] |= uint64_t{1} << r % 64;
      // What a guard may skip is no full definition.
      if (f.body[i].guard < 0)
        for (uint32_t r : uses[i].written) p.kill[r / 64] |= uint64_t{1} << r % 64;
    }
    const auto& last = f.body[p.last];
    for (uint32_t t : targets[p.last])
      if (t < n) p.next.push_back(part_of[t]);
    const bool ends = (last.opcode == "ret" || last.opcode == "exit" || !targets[p.last].empty()) && last.guard < 0;
    if (!ends && p.last + 1 < n) p.next.push_back(part_of[p.last + 1]);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t k = parts.size(); k-- > 0;) {
      Part& p = parts[k];
      for (size_t w = 0; w < words; ++w) {
        uint64_t out = 0;
        for (uint32_t t : p.next) out |= parts[t].in[w];
        const uint64_t in = p.gen[w] | (out & ~p.kill[w]);
        changed |= in != p.in[w];
        p.out[w] = out;
        p.in[w] = in;
      }
    }
  }

  // ---- intervals
  constexpr uint32_t kNever = UINT32_MAX;
  std::vector<uint32_t> from(registers, kNever), to(registers, 0);
  const auto touch = [&](uint32_t r, uint32_t i) {
    from[r] = std::min(from[r], i);
    to[r] = std::max(to[r], i);
  };
  RegisterMap map;
  for (const Part& p : parts) {
    for (size_t w = 0; w < words; ++w) {
      for (uint64_t bits = p.in[w]; bits != 0; bits &= bits - 1)
        touch(static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(__builtin_ctzll(bits)), p.first);
      for (uint64_t bits = p.out[w]; bits != 0; bits &= bits - 1)
        touch(static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(__builtin_ctzll(bits)), p.last + 1);
      if (p.first == 0) map.reads_unset |= p.in[w] != 0;
    }
    for (uint32_t i = p.first; i <= p.last; ++i) {
      for (uint32_t r : uses[i].read) touch(r, i);
      for (uint32_t r : uses[i].written) touch(r, i);
    }
  }
  std::vector<uint32_t> order;
  for (uint32_t r = 0; r < registers; ++r)
    if (from[r] != kNever) order.push_back(r);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return from[a] != from[b] ? from[a] < from[b] : a < b; });

  // ---- places: by size, the one freed last is taken first, since it is warm
  map.slots.assign(registers, kSink);
  map.bytes = kSinkBytes;
  std::map<uint32_t, std::vector<uint32_t>> free;
  std::vector<std::pair<uint32_t, uint32_t>> live;  // end, register: a heap
  const auto later = [](const auto& a, const auto& b) { return a.first > b.first; };
  uint32_t now = 0;
  for (uint32_t r : order) {
    while (!live.empty() && live.front().first < from[r]) {
      std::pop_heap(live.begin(), live.end(), later);
      const uint32_t gone = live.back().second;
      live.pop_back();
      const uint32_t size = bytes_of(f.registers[gone].type);
      free[size].push_back(map.slots[gone]);
      if (size >= 64) now -= (size + 127) / 128;
    }
    const uint32_t size = bytes_of(f.registers[r].type);
    auto& spare = free[size];
    if (!spare.empty()) {
      map.slots[r] = spare.back();
      spare.pop_back();
    } else {
      if (size >= 64) map.bytes = (map.bytes + 63) / 64 * 64;
      map.slots[r] = slot(kRegisters, map.bytes);
      map.bytes += size;
    }
    live.emplace_back(to[r], r);
    std::push_heap(live.begin(), live.end(), later);
    if (size >= 64) now += (size + 127) / 128;
    map.words = std::max(map.words, now);
  }
  map.bytes = (map.bytes + 63) / 64 * 64;
  return map;
}

}  // namespace sim
