// Opcodes that integers and floating-point numbers share: one row each, which asks the type.
#pragma once
#include "bind.h"

namespace sim {

inline bool is_half(Type t) { return t >= Type::f16 && t <= Type::bf16x2; }
inline bool is_integer(Type t) { return t >= Type::b8 && t <= Type::s64; }

// Each takes the modifiers that belong to its type; the type itself has been taken.
void float_two(Binder&, Type, const std::string& opcode);  // add, sub, mul, div, min, max
void float_one(Binder&, Type, const std::string& opcode);  // abs, neg
void float_fused(Binder&, Type);                           // fma, mad
void half_two(Binder&, Type, const std::string& opcode);
void half_one(Binder&, Type, const std::string& opcode);  // abs, neg, ex2, tanh
void half_fused(Binder&, Type);

// What `cp` leaves to others: after cp.async.bulk.
void bulk_copy(Binder&);
void mbarrier(Binder&);
void wgmma(Binder&);
// Tensor copies whose bytes the mbarrier at this address is told of arrive, now that somebody would wait for them in
// vain.
bool deliver_tiles(Block&, uint64_t barrier);
// After a function has been bound: which of its instructions touch registers that its products of warpgroups hold.
void find_held(Code&, const ptx::Function&);

// A function for each integer type, or null for the others.
template <template <class> class Make>
Run by_integer(Type t) {
  switch (t) {
    case Type::b16:
    case Type::u16: return Make<uint16_t>::run();
    case Type::s16: return Make<int16_t>::run();
    case Type::b32:
    case Type::u32: return Make<uint32_t>::run();
    case Type::s32: return Make<int32_t>::run();
    case Type::b64:
    case Type::u64: return Make<uint64_t>::run();
    case Type::s64: return Make<int64_t>::run();
    default: return nullptr;
  }
}

// Makers: unary<Op, T> and so on for by_integer.
template <class Op>
struct Integer {
  template <class T>
  struct One {
    static Run run() { return unary<Op, T>; }
  };
  template <class T>
  struct Two {
    static Run run() { return binary<Op, T>; }
  };
  template <class T>
  struct Three {
    static Run run() { return ternary<Op, T>; }
  };
};

}  // namespace sim
