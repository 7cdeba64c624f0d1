// One function over 32 lanes: what nearly every instruction is.
#pragma once
#include <cstring>

#include "block.h"

namespace sim {

// Results go to the lanes of the mask alone. f(lane) may be asked of the others too: it must not fail for any operand.
template <class D, class F>
inline void write(Warp& w, Slot to, uint32_t mask, F f) {
  D* out = w.lanes<D>(to);
  if (mask == kAll) {
#pragma GCC ivdep
    for (int i = 0; i < kLanes; ++i) out[i] = f(i);
    return;
  }
  D t[kLanes];
#pragma GCC ivdep
  for (int i = 0; i < kLanes; ++i) t[i] = f(i);
#pragma GCC ivdep
  for (int i = 0; i < kLanes; ++i) out[i] = (mask >> i & 1) != 0 ? t[i] : out[i];
}

// The same for predicates.
template <class F>
inline void write_predicate(Warp& w, Slot to, uint32_t mask, F f) {
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(f(i)) << i;
  uint32_t& p = w.predicate(to);
  p = (p & ~mask) | (bits & mask);
}
inline void set_predicate(Warp& w, Slot to, uint32_t mask, uint32_t bits) {
  uint32_t& p = w.predicate(to);
  p = (p & ~mask) | (bits & mask);
}

template <class Op, class D, class A = D>
void unary(Warp& w, const Inst& in, uint32_t mask) {
  const A* a = w.lanes<A>(in.op[1]);
  write<D>(w, in.op[0], mask, [=](int i) { return Op::of(a[i]); });
}
template <class Op, class D, class A = D, class B = A>
void binary(Warp& w, const Inst& in, uint32_t mask) {
  const A* a = w.lanes<A>(in.op[1]);
  const B* b = w.lanes<B>(in.op[2]);
  write<D>(w, in.op[0], mask, [=](int i) { return Op::of(a[i], b[i]); });
}
template <class Op, class D, class A = D, class B = A, class C = D>
void ternary(Warp& w, const Inst& in, uint32_t mask) {
  const A* a = w.lanes<A>(in.op[1]);
  const B* b = w.lanes<B>(in.op[2]);
  const C* c = w.lanes<C>(in.op[3]);
  write<D>(w, in.op[0], mask, [=](int i) { return Op::of(a[i], b[i], c[i]); });
}

// The lanes of a mask, one by one.
template <class F>
inline void each(uint32_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(__builtin_ctz(mask));
}

// Registers may be wider than what an instruction reads or writes of them.
template <class T>
inline void read_lanes(Warp& w, Slot s, unsigned register_bytes, T* to) {
  const char* from = w.lanes<char>(s);
  if (register_bytes == sizeof(T)) {
    std::memcpy(to, from, sizeof(T) * kLanes);
    return;
  }
  for (int i = 0; i < kLanes; ++i) std::memcpy(to + i, from + static_cast<size_t>(i) * register_bytes, sizeof(T));
}
template <class T>
inline void write_lanes(Warp& w, Slot s, unsigned register_bytes, uint32_t mask, const T* from) {
  switch (register_bytes) {
    case 2: write<uint16_t>(w, s, mask, [=](int i) { return static_cast<uint16_t>(from[i]); }); break;
    case 4: write<uint32_t>(w, s, mask, [=](int i) { return static_cast<uint32_t>(from[i]); }); break;
    default: write<uint64_t>(w, s, mask, [=](int i) { return static_cast<uint64_t>(from[i]); }); break;
  }
}

}  // namespace sim
