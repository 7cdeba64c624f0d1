// Bits of integers and predicates: logic, shifts, fields, permutations, counts.
#include <algorithm>
#include <type_traits>

#include "families.h"

namespace sim {
namespace {

template <class T>
using U = std::make_unsigned_t<T>;

struct And {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
struct Not {
  template <class T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};
struct Cnot {
  template <class T>
  static T of(T a) {
    return a == 0;
  }
};
// Amounts beyond the width shift everything out.
struct Shl {
  template <class T>
  static T of(T a, uint32_t n) {
    return n >= sizeof(T) * 8 ? T{0} : static_cast<T>(static_cast<U<T>>(a) << n);
  }
};
struct Shr {
  template <class T>
  static T of(T a, uint32_t n) {
    if (std::is_signed<T>::value) return static_cast<T>(a >> (n >= sizeof(T) * 8 ? sizeof(T) * 8 - 1 : n));
    return n >= sizeof(T) * 8 ? T{0} : static_cast<T>(a >> n);
  }
};
template <bool left, bool wrap>
struct Funnel {
  static uint32_t of(uint32_t a, uint32_t b, uint32_t c) {
    const uint32_t n = wrap ? c & 31 : (c > 32 ? 32 : c);
    const uint64_t v = static_cast<uint64_t>(b) << 32 | a;
    return static_cast<uint32_t>(left ? v << n >> 32 : v >> n);
  }
};
struct Popc {
  static uint32_t of(uint32_t a) { return static_cast<uint32_t>(__builtin_popcount(a)); }
  static uint32_t of(uint64_t a) { return static_cast<uint32_t>(__builtin_popcountll(a)); }
};
struct Clz {
  static uint32_t of(uint32_t a) { return a == 0 ? 32 : static_cast<uint32_t>(__builtin_clz(a)); }
  static uint32_t of(uint64_t a) { return a == 0 ? 64 : static_cast<uint32_t>(__builtin_clzll(a)); }
};
template <bool shift_amount>
struct Bfind {  // the place of the highest bit that is no copy of the sign
  template <class T>
  static uint32_t of(T a) {
    const U<T> u = static_cast<U<T>>(a < 0 ? ~a : a);
    if (u == 0) return 0xFFFFFFFFu;
    const uint32_t zeros = Clz::of(u);
    return shift_amount ? zeros : static_cast<uint32_t>(sizeof(T) * 8 - 1) - zeros;
  }
};
struct Brev {
  template <class T>
  static T of(T a) {
    T r = 0;
    for (unsigned i = 0; i < sizeof(T) * 8; ++i) r = static_cast<T>(r << 1 | (a >> i & 1));
    return r;
  }
};
struct Bfe {
  template <class T>
  static T of(T a, uint32_t position, uint32_t length) {
    constexpr uint32_t width = sizeof(T) * 8;
    position &= 0xFF;
    length &= 0xFF;
    const U<T> u = static_cast<U<T>>(a);
    const bool negative =
        std::is_signed<T>::value && length != 0 && (u >> std::min(position + length - 1, width - 1) & 1) != 0;
    const U<T> all = static_cast<U<T>>(-1);
    const U<T> field = position >= width ? 0 : static_cast<U<T>>(u >> position);
    if (length == 0) return 0;
    // Beyond the register the field is filled with the sign.
    const uint32_t kept = std::min(length, position >= width ? 0 : width - position);
    const U<T> mask = kept >= width ? all : static_cast<U<T>>((U<T>{1} << kept) - 1);
    return static_cast<T>(negative ? (field & mask) | static_cast<U<T>>(~mask) : field & mask);
  }
};
struct Bfi {
  template <class T>
  static T of(T a, T b, uint32_t position, uint32_t length) {
    constexpr uint32_t width = sizeof(T) * 8;
    position &= 0xFF;
    length &= 0xFF;
    if (position >= width || length == 0) return b;
    const uint32_t kept = std::min(length, width - position);
    const T mask =
        static_cast<T>((kept >= width ? static_cast<T>(-1) : static_cast<T>((T{1} << kept) - 1)) << position);
    return static_cast<T>((b & ~mask) | (static_cast<T>(a << position) & mask));
  }
};
struct Prmt {
  static uint32_t of(uint32_t a, uint32_t b, uint32_t c) {
    const uint64_t v = static_cast<uint64_t>(b) << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t s = c >> 4 * i & 15;
      uint32_t byte = static_cast<uint32_t>(v >> 8 * (s & 7)) & 0xFF;
      if ((s & 8) != 0) byte = (byte & 0x80) != 0 ? 0xFF : 0;
      r |= byte << 8 * i;
    }
    return r;
  }
};
template <int mode>
struct PrmtMode {
  static uint32_t of(uint32_t a, uint32_t b, uint32_t c) {
    static constexpr uint16_t selectors[6][4] = {
        {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
        {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
        {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
        {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
        {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
        {0x1010, 0x3232, 0x1010, 0x3232},  // rc16
    };
    return Prmt::of(a, b, selectors[mode][c & 3]);
  }
};

template <bool wrap>
struct Bmsk {  // c ones from bit b
  static uint32_t of(uint32_t b, uint32_t c) {
    if (wrap) b &= 31, c &= 31;
    if (b >= 32) return 0;
    const uint64_t ones = c >= 32 ? 0xFFFFFFFFu : (uint64_t{1} << c) - 1;
    return static_cast<uint32_t>(ones << b);
  }
};
template <bool wrap>
struct Extend {  // the lower b bits of a, with their sign or without
  static uint32_t of(uint32_t a, uint32_t b) {
    if (wrap) b &= 31;
    return b >= 32 ? a : b == 0 ? 0 : a & ((1u << b) - 1);
  }
  static int32_t of(int32_t a, uint32_t b) {
    if (wrap) b &= 31;
    return b >= 32 ? a : b == 0 ? 0 : static_cast<int32_t>(static_cast<uint32_t>(a) << (32 - b)) >> (32 - b);
  }
};

void lop3(Warp& w, const Inst& in, uint32_t mask) {
  const uint32_t *a = w.lanes<uint32_t>(in.op[1]), *b = w.lanes<uint32_t>(in.op[2]), *c = w.lanes<uint32_t>(in.op[3]);
  const uint32_t table = in.mode;
  uint32_t keep[8];
  for (int k = 0; k < 8; ++k) keep[k] = (table >> k & 1) != 0 ? kAll : 0;
  write<uint32_t>(w, in.op[0], mask, [=](int i) {
    const uint32_t x = a[i], y = b[i], z = c[i];
    return (~x & ~y & ~z & keep[0]) | (~x & ~y & z & keep[1]) | (~x & y & ~z & keep[2]) | (~x & y & z & keep[3]) |
           (x & ~y & ~z & keep[4]) | (x & ~y & z & keep[5]) | (x & y & ~z & keep[6]) | (x & y & z & keep[7]);
  });
}

// Predicates are words of 32 lanes: the same functions do, masked by hand.
template <class Op>
void predicate_two(Warp& w, const Inst& in, uint32_t mask) {
  const uint32_t a = w.predicate(in.op[1]) ^ ((in.mode & 1) != 0 ? kAll : 0),
                 b = w.predicate(in.op[2]) ^ ((in.mode & 2) != 0 ? kAll : 0);
  set_predicate(w, in.op[0], mask, Op::of(a, b));
}
void predicate_not(Warp& w, const Inst& in, uint32_t mask) { set_predicate(w, in.op[0], mask, ~w.predicate(in.op[1])); }

template <class Op>
void logic(Binder& b) {
  const Type t = b.take_type();
  if (t == Type::pred) {
    bool na, nb;
    b.set(predicate_two<Op>, Class::integer);
    b.out.op[0] = b.result(0, t);
    b.out.op[1] = b.predicate_source(b.operand(1), &na);
    b.out.op[2] = b.predicate_source(b.operand(2), &nb);
    b.out.mode = static_cast<uint16_t>(na | nb << 1);
    return;
  }
  b.plain(by_integer<Integer<Op>::template Two>(t), Class::integer, t, 2);
}
void bit_not(Binder& b) {
  const Type t = b.take_type();
  if (t == Type::pred) return b.plain(predicate_not, Class::integer, t, 1);
  b.plain(by_integer<Integer<Not>::One>(t), Class::integer, t, 1);
}
void cnot(Binder& b) {
  const Type t = b.take_type();
  b.plain(by_integer<Integer<Cnot>::One>(t), Class::integer, t, 1);
}

template <class Op>
struct ShiftBy {
  template <class T>
  struct Make {
    static Run run() { return binary<Op, T, T, uint32_t>; }
  };
};
template <class Op>
void shift(Binder& b) {
  const Type t = b.take_type();
  b.set(by_integer<ShiftBy<Op>::template Make>(t), Class::integer);
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, Type::u32);
}
void shf(Binder& b) {
  const bool left = b.take("l");
  if (!left && !b.take("r")) b.refuse(".l or .r is missing");
  const bool wrap = b.take("wrap");
  if (!wrap && !b.take("clamp")) b.refuse(".clamp or .wrap is missing");
  const Type t = b.take_type();
  if (t != Type::b32) b.refuse("needs .b32");
  b.plain(left ? (wrap ? ternary<Funnel<true, true>, uint32_t> : ternary<Funnel<true, false>, uint32_t>)
               : (wrap ? ternary<Funnel<false, true>, uint32_t> : ternary<Funnel<false, false>, uint32_t>),
          Class::integer, t, 3);
}

template <class Op>
void count(Binder& b) {
  const Type t = b.take_type();
  const unsigned n = ptx::size_of(t);
  if (n != 4 && n != 8) b.refuse("needs 32 or 64 bits");
  b.set(n == 4 ? unary<Op, uint32_t> : unary<Op, uint32_t, uint64_t>, Class::integer);
  b.out.op[0] = b.result(0, Type::u32);
  b.out.op[1] = b.source(1, t);
}
template <class Op>
Run bfind_run(Type t) {
  switch (t) {
    case Type::u32: return unary<Op, uint32_t, uint32_t>;
    case Type::s32: return unary<Op, uint32_t, int32_t>;
    case Type::u64: return unary<Op, uint32_t, uint64_t>;
    case Type::s64: return unary<Op, uint32_t, int64_t>;
    default: return nullptr;
  }
}
void bfind(Binder& b) {
  const bool amount = b.take("shiftamt");
  const Type t = b.take_type();
  b.set(amount ? bfind_run<Bfind<true>>(t) : bfind_run<Bfind<false>>(t), Class::integer);
  b.out.op[0] = b.result(0, Type::u32);
  b.out.op[1] = b.source(1, t);
}
void brev(Binder& b) {
  const Type t = b.take_type();
  b.plain(ptx::size_of(t) == 4   ? unary<Brev, uint32_t>
          : ptx::size_of(t) == 8 ? unary<Brev, uint64_t>
                                 : nullptr,
          Class::integer, t, 1);
}
template <class T>
struct BfeMake {
  static Run run() { return ternary<Bfe, T, T, uint32_t, uint32_t>; }
};
void bfe(Binder& b) {
  const Type t = b.take_type();
  if (ptx::size_of(t) < 4) b.refuse("needs 32 or 64 bits");
  b.set(by_integer<BfeMake>(t), Class::integer);
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, Type::u32);
  b.out.op[3] = b.source(3, Type::u32);
}
template <class T>
void bfi_run(Warp& w, const Inst& in, uint32_t mask) {
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[2]);
  const uint32_t *c = w.lanes<uint32_t>(in.op[3]), *d = w.lanes<uint32_t>(in.op[4]);
  write<T>(w, in.op[0], mask, [=](int i) { return Bfi::of(a[i], b[i], c[i], d[i]); });
}
void bfi(Binder& b) {
  const Type t = b.take_type();
  if (t != Type::b32 && t != Type::b64) b.refuse("needs 32 or 64 bits");
  b.set(t == Type::b32 ? bfi_run<uint32_t> : bfi_run<uint64_t>, Class::integer);
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  b.out.op[3] = b.source(3, Type::u32);
  b.out.op[4] = b.source(4, Type::u32);
}
void prmt(Binder& b) {
  const Type t = b.take_type();
  if (t != Type::b32) b.refuse("needs .b32");
  static constexpr const char* names[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  static constexpr Run runs[] = {ternary<PrmtMode<0>, uint32_t>, ternary<PrmtMode<1>, uint32_t>,
                                 ternary<PrmtMode<2>, uint32_t>, ternary<PrmtMode<3>, uint32_t>,
                                 ternary<PrmtMode<4>, uint32_t>, ternary<PrmtMode<5>, uint32_t>};
  Run run = ternary<Prmt, uint32_t>;
  for (int i = 0; i < 6; ++i)
    if (b.take(names[i])) run = runs[i];
  b.plain(run, Class::integer, t, 3);
}
void bind_lop3(Binder& b) {
  const Type t = b.take_type();
  if (t != Type::b32 || b.operands() != 5) b.refuse("needs .b32 and a table");
  b.set(lop3, Class::integer);
  for (size_t i = 0; i < 4; ++i) b.out.op[i] = i == 0 ? b.result(0, t) : b.source(i, t);
  b.out.mode = static_cast<uint16_t>(b.operand(4).value & 0xFF);
}
bool wraps(Binder& b) {
  const bool wrap = b.take("wrap");
  if (!wrap && !b.take("clamp")) b.refuse(".clamp or .wrap is missing");
  return wrap;
}
void bmsk(Binder& b) {
  const bool wrap = wraps(b);
  const Type t = b.take_type();
  if (t != Type::b32) b.refuse("needs .b32");
  b.plain(wrap ? binary<Bmsk<true>, uint32_t> : binary<Bmsk<false>, uint32_t>, Class::integer, t, 2);
}
void szext(Binder& b) {
  const bool wrap = wraps(b);
  const Type t = b.take_type();
  if (t != Type::u32 && t != Type::s32) b.refuse("needs .u32 or .s32");
  b.plain(t == Type::u32 ? (wrap ? binary<Extend<true>, uint32_t> : binary<Extend<false>, uint32_t>)
                         : (wrap ? binary<Extend<true>, int32_t, int32_t, uint32_t>
                                 : binary<Extend<false>, int32_t, int32_t, uint32_t>),
          Class::integer, t, 2);
}
}  // namespace

const Row kBitRows[] = {{"and", logic<And>},   {"or", logic<Or>},   {"xor", logic<Xor>}, {"not", bit_not},
                        {"cnot", cnot},        {"shl", shift<Shl>}, {"shr", shift<Shr>}, {"shf", shf},
                        {"popc", count<Popc>}, {"clz", count<Clz>}, {"bfind", bfind},    {"brev", brev},
                        {"bfe", bfe},          {"bfi", bfi},        {"prmt", prmt},      {"lop3", bind_lop3},
                        {"bmsk", bmsk},        {"szext", szext},    {nullptr, nullptr}};

}  // namespace sim
