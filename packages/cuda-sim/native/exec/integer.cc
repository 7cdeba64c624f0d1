// Integer arithmetic.
#include <type_traits>

#include "families.h"

namespace sim {
namespace {

template <class T>
using U = std::make_unsigned_t<T>;
template <class T>
struct Twice;
template <>
struct Twice<uint16_t> {
  using type = uint32_t;
};
template <>
struct Twice<int16_t> {
  using type = int32_t;
};
template <>
struct Twice<uint32_t> {
  using type = uint64_t;
};
template <>
struct Twice<int32_t> {
  using type = int64_t;
};
template <>
struct Twice<uint64_t> {
  using type = unsigned __int128;
};
template <>
struct Twice<int64_t> {
  using type = __int128;
};
template <class T>
using Wide = typename Twice<T>::type;

// Arithmetic wraps: it is done without a sign. 16-bit operands are promoted, hence the casts.
struct Add {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<U<T>>(a) + static_cast<U<T>>(b));
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<U<T>>(a) - static_cast<U<T>>(b));
  }
};
struct AddSat {
  static int32_t of(int32_t a, int32_t b) {
    const int64_t s = static_cast<int64_t>(a) + b;
    return static_cast<int32_t>(s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s);
  }
};
struct SubSat {
  static int32_t of(int32_t a, int32_t b) {
    const int64_t s = static_cast<int64_t>(a) - b;
    return static_cast<int32_t>(s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s);
  }
};
struct Low {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
  template <class T>
  static T of(T a, T b, T c) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) + static_cast<uint64_t>(c));
  }
};
struct High {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b) >> sizeof(T) * 8);
  }
  template <class T>
  static T of(T a, T b, T c) {
    return Add::of(of(a, b), c);
  }
};
struct MulWide {
  template <class T>
  static Wide<T> of(T a, T b) {
    return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
  }
  template <class T>
  static Wide<T> of(T a, T b, Wide<T> c) {
    return Add::of(of(a, b), c);
  }
};
struct Mul24 {
  static int32_t of(int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<int64_t>(a << 8 >> 8) * static_cast<int64_t>(b << 8 >> 8));
  }
  static uint32_t of(uint32_t a, uint32_t b) { return (a & 0xFFFFFF) * (b & 0xFFFFFF); }
  template <class T>
  static T of(T a, T b, T c) {
    return Add::of(of(a, b), c);
  }
};
// Division by zero gives all bits set, its remainder the dividend; hardware promises neither.
struct Div {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) return Sub::of(T{0}, a);
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    return a < b ? b : a;
  }
};
struct MinRelu {
  template <class T>
  static T of(T a, T b) {
    return Max::of(Min::of(a, b), T{0});
  }
};
struct MaxRelu {
  template <class T>
  static T of(T a, T b) {
    return Max::of(Max::of(a, b), T{0});
  }
};
template <class Op, class T>
struct Pair16 {  // two 16-bit numbers in a word
  static uint32_t of(uint32_t a, uint32_t b) {
    const auto low = static_cast<uint16_t>(Op::of(static_cast<T>(a), static_cast<T>(b)));
    const auto high = static_cast<uint16_t>(Op::of(static_cast<T>(a >> 16), static_cast<T>(b >> 16)));
    return low | static_cast<uint32_t>(high) << 16;
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    return a < 0 ? Sub::of(T{0}, a) : a;
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    return Sub::of(T{0}, a);
  }
};
struct Sad {
  template <class T>
  static T of(T a, T b, T c) {
    return Add::of(a < b ? Sub::of(b, a) : Sub::of(a, b), c);
  }
};
template <class A, class B>
struct Dp4a {
  static int32_t of(int32_t a, int32_t b, int32_t c) {
    uint32_t sum = static_cast<uint32_t>(c);
    for (int i = 0; i < 4; ++i)
      sum += static_cast<uint32_t>(static_cast<int32_t>(static_cast<A>(a >> 8 * i)) *
                                   static_cast<int32_t>(static_cast<B>(b >> 8 * i)));
    return static_cast<int32_t>(sum);
  }
};
template <class A, class B, int from>
struct Dp2a {
  static int32_t of(int32_t a, int32_t b, int32_t c) {
    uint32_t sum = static_cast<uint32_t>(c);
    for (int i = 0; i < 2; ++i) {
      const auto x = static_cast<std::conditional_t<std::is_signed<A>::value, int16_t, uint16_t>>(a >> 16 * i);
      sum +=
          static_cast<uint32_t>(x) * static_cast<uint32_t>(static_cast<int32_t>(static_cast<B>(b >> 8 * (i + from))));
    }
    return static_cast<int32_t>(sum);
  }
};

// ---- carry: one bit a lane, the register CC.CF
template <class T, bool subtract, bool carry_in, bool carry_out>
void with_carry(Warp& w, const Inst& in, uint32_t mask) {
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[2]);
  T* d = w.lanes<T>(in.op[0]);
  each(mask, [&](int i) {
    using W = unsigned __int128;
    const W carry = carry_in ? w.carry >> i & 1 : 0;
    // A borrow is a carry that is missing: the flag holds the borrow itself.
    const W r = subtract ? static_cast<W>(a[i]) - b[i] - carry : static_cast<W>(a[i]) + b[i] + carry;
    d[i] = static_cast<T>(r);
    if (carry_out) w.carry = (w.carry & ~(1u << i)) | static_cast<uint32_t>(r >> sizeof(T) * 8 & 1) << i;
  });
}
template <class T, bool high, bool carry_in, bool carry_out>
void mad_carry(Warp& w, const Inst& in, uint32_t mask) {
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[2]), *c = w.lanes<T>(in.op[3]);
  T* d = w.lanes<T>(in.op[0]);
  each(mask, [&](int i) {
    const T product = high ? High::of(a[i], b[i]) : Low::of(a[i], b[i]);
    using W = unsigned __int128;
    const W r =
        static_cast<W>(static_cast<U<T>>(product)) + static_cast<U<T>>(c[i]) + (carry_in ? w.carry >> i & 1 : 0);
    d[i] = static_cast<T>(r);
    if (carry_out) w.carry = (w.carry & ~(1u << i)) | static_cast<uint32_t>(r >> sizeof(T) * 8 & 1) << i;
  });
}

template <bool subtract, bool in>
Run carry_run(bool out, unsigned bytes) {
  if (bytes == 4) return out ? with_carry<uint32_t, subtract, in, true> : with_carry<uint32_t, subtract, in, false>;
  return out ? with_carry<uint64_t, subtract, in, true> : with_carry<uint64_t, subtract, in, false>;
}

void add_sub(Binder& b) {
  const std::string& op = b.in->opcode;
  const bool subtract = op[0] == 's';
  const bool carry_in = op.back() == 'c';
  const bool carry_out = b.take("cc");
  if (carry_in || carry_out) {
    const Type t = b.take_type();
    const unsigned bytes = ptx::size_of(t);
    if (bytes < 4 || !is_integer(t)) b.refuse("carries are of 32 and 64 bits");
    Run run = subtract
                  ? (carry_in ? carry_run<true, true>(carry_out, bytes) : carry_run<true, false>(carry_out, bytes))
                  : (carry_in ? carry_run<false, true>(carry_out, bytes) : carry_run<false, false>(carry_out, bytes));
    b.plain(run, Class::integer, t, 2);
    return;
  }
  const bool sat = b.has("s32") && b.take("sat");
  const Type t = b.take_type();
  if (is_half(t)) return half_two(b, t, op);
  if (ptx::is_float(t)) return float_two(b, t, op);
  if (t == Type::u16x2 || t == Type::s16x2)
    return b.plain(subtract ? binary<Pair16<Sub, uint16_t>, uint32_t> : binary<Pair16<Add, uint16_t>, uint32_t>,
                   Class::integer, t, 2);
  Run run = subtract ? by_integer<Integer<Sub>::Two>(t) : by_integer<Integer<Add>::Two>(t);
  if (sat) run = subtract ? binary<SubSat, int32_t> : binary<AddSat, int32_t>;
  b.plain(run, Class::integer, t, 2);
}

template <class T>
struct WideTwo {
  static Run run() { return binary<MulWide, Wide<T>, T>; }
};
template <class T>
struct WideThree {
  static Run run() { return ternary<MulWide, Wide<T>, T, T, Wide<T>>; }
};
Type twice(Type t) {
  switch (ptx::size_of(t)) {
    case 2: return Type::b32;
    case 4: return Type::b64;
    default: return Type::none;
  }
}

void mul(Binder& b) {
  const std::string part = b.take_one({"lo", "hi", "wide"});
  const Type t = b.take_type();
  if (is_half(t)) return half_two(b, t, "mul");
  if (ptx::is_float(t)) return float_two(b, t, "mul");
  if (part == "wide") {
    if (twice(t) == Type::none) b.refuse("wide products are of 16 and 32 bits");
    Run run = ptx::size_of(t) == 2 ? (ptx::is_signed(t) ? WideTwo<int16_t>::run() : WideTwo<uint16_t>::run())
                                   : (ptx::is_signed(t) ? WideTwo<int32_t>::run() : WideTwo<uint32_t>::run());
    b.set(run, Class::integer);
    b.out.op[0] = b.result(0, twice(t));
    b.out.op[1] = b.source(1, t);
    b.out.op[2] = b.source(2, t);
    return;
  }
  if (part.empty()) b.refuse(".lo, .hi or .wide is missing");
  b.plain(part == "lo" ? by_integer<Integer<Low>::Two>(t) : by_integer<Integer<High>::Two>(t), Class::integer, t, 2);
}

template <bool in, bool out>
Run mad_carry_run(Type t, bool high) {
  switch (t) {
    case Type::u32: return high ? mad_carry<uint32_t, true, in, out> : mad_carry<uint32_t, false, in, out>;
    case Type::s32: return high ? mad_carry<int32_t, true, in, out> : mad_carry<int32_t, false, in, out>;
    case Type::u64: return high ? mad_carry<uint64_t, true, in, out> : mad_carry<uint64_t, false, in, out>;
    case Type::s64: return high ? mad_carry<int64_t, true, in, out> : mad_carry<int64_t, false, in, out>;
    default: return nullptr;
  }
}

void mad(Binder& b) {
  const std::string part = b.take_one({"lo", "hi", "wide"});
  const bool carry_in = b.in->opcode == "madc", carry_out = b.take("cc");
  const bool sat = b.has("s32") && part == "hi" && b.take("sat");
  if (sat) b.refuse("mad.hi.sat is not supported");
  const Type t = b.take_type();
  if (is_half(t)) return half_fused(b, t);
  if (ptx::is_float(t)) return float_fused(b, t);
  if (carry_in || carry_out) {
    const bool high = part == "hi";
    b.plain(carry_in ? (carry_out ? mad_carry_run<true, true>(t, high) : mad_carry_run<true, false>(t, high))
                     : mad_carry_run<false, true>(t, high),
            Class::integer, t, 3);
    return;
  }
  if (part == "wide") {
    if (twice(t) == Type::none) b.refuse("wide products are of 16 and 32 bits");
    Run run = ptx::size_of(t) == 2 ? (ptx::is_signed(t) ? WideThree<int16_t>::run() : WideThree<uint16_t>::run())
                                   : (ptx::is_signed(t) ? WideThree<int32_t>::run() : WideThree<uint32_t>::run());
    b.set(run, Class::integer);
    b.out.op[0] = b.result(0, twice(t));
    b.out.op[1] = b.source(1, t);
    b.out.op[2] = b.source(2, t);
    b.out.op[3] = b.source(3, twice(t));
    return;
  }
  if (part.empty()) b.refuse(".lo, .hi or .wide is missing");
  b.plain(part == "lo" ? by_integer<Integer<Low>::Three>(t) : by_integer<Integer<High>::Three>(t), Class::integer, t,
          3);
}

void mul24(Binder& b) {
  if (!b.take("lo")) b.refuse("only .lo is supported");
  const Type t = b.take_type();
  const bool sign = ptx::is_signed(t);
  if (ptx::size_of(t) != 4) b.refuse("no such type");
  if (b.in->opcode == "mul24")
    b.plain(sign ? binary<Mul24, int32_t> : binary<Mul24, uint32_t>, Class::integer, t, 2);
  else
    b.plain(sign ? ternary<Mul24, int32_t> : ternary<Mul24, uint32_t>, Class::integer, t, 3);
}

void div(Binder& b) {
  const Type t = b.take_type();
  if (ptx::is_float(t)) return float_two(b, t, "div");
  b.plain(by_integer<Integer<Div>::Two>(t), Class::integer, t, 2);
}
void rem(Binder& b) {
  const Type t = b.take_type();
  b.plain(by_integer<Integer<Rem>::Two>(t), Class::integer, t, 2);
}
void min_max(Binder& b) {
  const bool low = b.in->opcode == "min";
  const Type t = b.take_type();
  if (is_half(t)) return half_two(b, t, b.in->opcode);
  if (ptx::is_float(t)) return float_two(b, t, b.in->opcode);
  if (t == Type::u16x2)
    return b.plain(low ? binary<Pair16<Min, uint16_t>, uint32_t> : binary<Pair16<Max, uint16_t>, uint32_t>,
                   Class::integer, t, 2);
  if (t == Type::s16x2) {
    if (b.take("relu"))
      return b.plain(low ? binary<Pair16<MinRelu, int16_t>, uint32_t> : binary<Pair16<MaxRelu, int16_t>, uint32_t>,
                     Class::integer, t, 2);
    return b.plain(low ? binary<Pair16<Min, int16_t>, uint32_t> : binary<Pair16<Max, int16_t>, uint32_t>,
                   Class::integer, t, 2);
  }
  if (t == Type::s32 && b.take("relu"))
    return b.plain(low ? binary<MinRelu, int32_t> : binary<MaxRelu, int32_t>, Class::integer, t, 2);
  b.plain(low ? by_integer<Integer<Min>::Two>(t) : by_integer<Integer<Max>::Two>(t), Class::integer, t, 2);
}
void abs_neg(Binder& b) {
  const Type t = b.take_type();
  if (is_half(t)) return half_one(b, t, b.in->opcode);
  if (ptx::is_float(t)) return float_one(b, t, b.in->opcode);
  if (b.in->opcode == "abs" && !ptx::is_signed(t)) b.refuse("needs a signed type");
  b.plain(b.in->opcode == "abs" ? by_integer<Integer<Abs>::One>(t) : by_integer<Integer<Neg>::One>(t), Class::integer,
          t, 1);
}
void sad(Binder& b) {
  const Type t = b.take_type();
  b.plain(by_integer<Integer<Sad>::Three>(t), Class::integer, t, 3);
}

void dp4a(Binder& b) {
  const bool sa = ptx::is_signed(b.take_type()), sb = ptx::is_signed(b.take_type());
  b.plain(sa ? (sb ? ternary<Dp4a<int8_t, int8_t>, int32_t> : ternary<Dp4a<int8_t, uint8_t>, int32_t>)
             : (sb ? ternary<Dp4a<uint8_t, int8_t>, int32_t> : ternary<Dp4a<uint8_t, uint8_t>, int32_t>),
          Class::integer, Type::b32, 3);
}
template <int from>
Run dp2a_run(bool sa, bool sb) {
  return sa ? (sb ? ternary<Dp2a<int8_t, int8_t, from>, int32_t> : ternary<Dp2a<int8_t, uint8_t, from>, int32_t>)
            : (sb ? ternary<Dp2a<uint8_t, int8_t, from>, int32_t> : ternary<Dp2a<uint8_t, uint8_t, from>, int32_t>);
}
void dp2a(Binder& b) {
  const bool high = b.take("hi");
  if (!high && !b.take("lo")) b.refuse(".lo or .hi is missing");
  const bool sa = ptx::is_signed(b.take_type()), sb = ptx::is_signed(b.take_type());
  b.plain(high ? dp2a_run<2>(sa, sb) : dp2a_run<0>(sa, sb), Class::integer, Type::b32, 3);
}

}  // namespace

const Row kIntegerRows[] = {{"add", add_sub}, {"sub", add_sub}, {"addc", add_sub}, {"subc", add_sub}, {"mul", mul},
                            {"mad", mad},     {"madc", mad},    {"mul24", mul24},  {"mad24", mul24},  {"div", div},
                            {"rem", rem},     {"min", min_max}, {"max", min_max},  {"abs", abs_neg},  {"neg", abs_neg},
                            {"sad", sad},     {"dp4a", dp4a},   {"dp2a", dp2a},    {nullptr, nullptr}};

}  // namespace sim
