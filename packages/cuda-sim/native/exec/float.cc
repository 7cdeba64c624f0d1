// Arithmetic of f32 and f64, and the approximate functions with the error bounds of the PTX manual.
#include <cfenv>
#include <cmath>
#include <limits>

#include "families.h"

namespace sim {
namespace {

// Results that are no number have all bits of the mantissa set in f32, as the manual gives it.
const float kNan32 = bits<float>(0x7FFFFFFFu);

struct Add {
  template <class T>
  static T of(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T of(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T of(T a, T b) {
    return a / b;
  }
};
struct Fma {
  static float of(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static double of(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
// -0 is less than +0; a number wins over what is none.
struct Min {
  template <class T>
  static T of(T a, T b) {
    const T m = a < b || (a == b && std::signbit(a)) ? a : b;
    return a != a ? b : b != b ? a : m;
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    const T m = a > b || (a == b && !std::signbit(a)) ? a : b;
    return a != a ? b : b != b ? a : m;
  }
};
template <class Op>
struct OrNan {
  static float of(float a, float b) { return a != a || b != b ? kNan32 : Op::of(a, b); }
};
template <class Op>
struct XorSign {
  static float of(float a, float b) {
    const float m = Op::of(std::fabs(a), std::fabs(b));
    return std::copysign(m, bits<float>(bits<uint32_t>(a) ^ bits<uint32_t>(b)));
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    return std::fabs(a);
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    return -a;
  }
};
struct Sqrt {
  template <class T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  template <class T>
  static T of(T a) {
    return T{1} / a;
  }
};

inline float saturate(float x) { return x >= 0 ? (x > 1 ? 1.0f : x) : 0.0f; }  // NaN becomes 0

template <class Op, bool ftz, bool sat>
struct Flags {
  static float done(float r) {
    if (ftz) r = flush(r);
    return sat ? saturate(r) : r;
  }
  static float in(float x) { return ftz ? flush(x) : x; }
  static float of(float a) { return done(Op::of(in(a))); }
  static float of(float a, float b) { return done(Op::of(in(a), in(b))); }
  static float of(float a, float b, float c) { return done(Op::of(in(a), in(b), in(c))); }
};
template <class Op, template <class, class> class Shape>
Run flagged(bool ftz, bool sat) {
  if (ftz) return sat ? Shape<Flags<Op, true, true>, float>::run() : Shape<Flags<Op, true, false>, float>::run();
  return sat ? Shape<Flags<Op, false, true>, float>::run() : Shape<Flags<Op, false, false>, float>::run();
}
template <class Op, class T>
struct One {
  static Run run() { return unary<Op, T>; }
};
template <class Op, class T>
struct Two {
  static Run run() { return binary<Op, T>; }
};
template <class Op, class T>
struct Three {
  static Run run() { return ternary<Op, T>; }
};

// ---- other roundings than to nearest: the processor's mode is changed around each operation.
template <class Op, class T, int operands>
[[gnu::optimize("rounding-math")]] void directed(Warp& w, const Inst& in, uint32_t mask) {
  static constexpr int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  const bool ftz = (in.mode & 16) != 0, sat = (in.mode & 32) != 0;
  T* d = w.lanes<T>(in.op[0]);
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[operands > 1 ? 2 : 1]),
          *c = w.lanes<T>(in.op[operands > 2 ? 3 : 1]);
  T results[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    volatile T x = a[i], y = b[i], z = c[i];  // volatile: computed between the two calls, not before or after
    if constexpr (sizeof(T) == 4) {
      if (ftz) x = flush(x), y = flush(y), z = flush(z);
    }
    std::fesetround(modes[in.mode & 3]);
    volatile T r;
    if constexpr (operands == 1)
      r = Op::of(static_cast<T>(x));
    else if constexpr (operands == 2)
      r = Op::of(static_cast<T>(x), static_cast<T>(y));
    else
      r = Op::of(static_cast<T>(x), static_cast<T>(y), static_cast<T>(z));
    std::fesetround(FE_TONEAREST);
    results[i] = r;
    if constexpr (sizeof(T) == 4) {
      if (ftz) results[i] = flush(results[i]);
      if (sat) results[i] = saturate(results[i]);
    }
  }
  each(mask, [&](int i) { d[i] = results[i]; });
}
template <class Op, int operands>
void bind_directed(Binder& b, Type t, Round round, bool ftz, bool sat) {
  b.out.mode = static_cast<uint16_t>(static_cast<int>(round) | ftz << 4 | sat << 5);
  b.plain(t == Type::f32 ? directed<Op, float, operands> : directed<Op, double, operands>, Class::floating, t,
          operands);
}

template <class Op>
void arithmetic_two(Binder& b, Type t) {
  const Round round = b.rounding(Round::nearest_even);
  const bool ftz = b.take("ftz"), sat = b.take("sat");
  if (round != Round::nearest_even) return bind_directed<Op, 2>(b, t, round, ftz, sat);
  if (t == Type::f64) return b.plain(binary<Op, double>, Class::floating, t, 2);
  if (t != Type::f32) b.refuse("no such type");
  b.plain(flagged<Op, Two>(ftz, sat), Class::floating, t, 2);
}
template <class Op>
void order_two(Binder& b, Type t) {
  const bool ftz = b.take("ftz"), nan = b.take("NaN"), sign = b.take("xorsign");
  if (sign && !b.take("abs")) b.refuse(".xorsign.abs is what there is");
  if (t == Type::f64) return b.plain(binary<Op, double>, Class::floating, t, 2);
  if (t != Type::f32) b.refuse("no such type");
  if (sign && nan) b.refuse(".NaN.xorsign.abs is not supported");
  b.plain(sign  ? flagged<XorSign<Op>, Two>(ftz, false)
          : nan ? flagged<OrNan<Op>, Two>(ftz, false)
                : flagged<Op, Two>(ftz, false),
          Class::floating, t, 2);
}

// ---- approximate functions: computed in double, then moved to where in the bound the run wants them.
struct Sin {
  static constexpr bool absolute = true;
  static constexpr double bound = 5.11e-7;  // 2^-20.9 in -pi..pi
  static double of(double x) { return std::sin(x); }
};
struct Cos {
  static constexpr bool absolute = true;
  static constexpr double bound = 5.11e-7;
  static double of(double x) { return std::cos(x); }
};
struct Log2 {
  static constexpr bool absolute = true;
  static constexpr double bound = 2.38e-7;  // 2^-22
  static double of(double x) { return std::log2(x); }
};
struct Exp2 {
  static constexpr bool absolute = false;
  static constexpr double bound = 1.83e-7;  // 2 ulp of the larger half of a binade, 2^-22.4
  static double of(double x) { return std::exp2(x); }
  // A power of two comes out as it is: of 0 the manual says so, and NVIDIA's own tanh of f64 is wrong where others do
  // not.
  static bool exact_at(float x) { return x == std::floor(x); }
};
struct Tanh {
  static constexpr bool absolute = false;
  static constexpr double bound = 4.88e-4;  // 2^-11
  static double of(double x) { return std::tanh(x); }
};
struct ApproxReciprocal {
  static constexpr bool absolute = false;
  static constexpr double bound = 1.19e-7;  // 1 ulp
  static double of(double x) { return 1 / x; }
};
struct ApproxSqrt {
  static constexpr bool absolute = false;
  static constexpr double bound = 1.19e-7;  // 2^-23
  static double of(double x) { return std::sqrt(x); }
};
struct ReciprocalSqrt {
  static constexpr bool absolute = false;
  static constexpr double bound = 1.78e-7;  // 2^-22.4
  static double of(double x) { return 1 / std::sqrt(x); }
};
constexpr double kDivision = 2.38e-7;  // 2 ulp

// 2^x for |x| < 2^31 to the precision of f32, in a form that becomes vector code.
inline float fast_exp2(float x) {
  const float c = x < -160 ? -160.0f : x > 160 ? 160.0f : x;
  const double d = c, n = (d + 6755399441055744.0) - 6755399441055744.0, f = (d - n) * 0.69314718055994530942;
  // e^f for |f| < 0.35: the Taylor series to the 10th power is exact to 1e-12
  double p = 1.0 / 3628800;
  p = p * f + 1.0 / 362880;
  p = p * f + 1.0 / 40320;
  p = p * f + 1.0 / 5040;
  p = p * f + 1.0 / 720;
  p = p * f + 1.0 / 120;
  p = p * f + 1.0 / 24;
  p = p * f + 1.0 / 6;
  p = p * f + 0.5;
  p = p * f + 1;
  p = p * f + 1;
  const double r = p * bits<double>(static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(n)) + 1023) << 52);
  return x != x ? x : static_cast<float>(r);
}

inline float moved(double r, double bound, bool absolute, Options::Bound where) {
  if (where == Options::Bound::nearest || !std::isfinite(r) || r == 0) return static_cast<float>(r);
  const double sign = where == Options::Bound::low ? -1 : 1;
  return static_cast<float>(absolute ? r + sign * bound : r * (1 + sign * bound));
}

template <class Op>
bool exact_at(float x) {
  if constexpr (std::is_same_v<Op, Exp2>) return Op::exact_at(x);
  return false;
}

template <class Op>
void approximate(Warp& w, const Inst& in, uint32_t mask) {
  const bool ftz = in.mode != 0;
  const auto where = w.grid().options->approximations;
  const float* a = w.lanes<float>(in.op[1]);
  float t[kLanes];
  each(mask, [&](int i) {
    const float x = ftz ? flush(a[i]) : a[i];
    const double right = Op::of(static_cast<double>(x));
    const float r = exact_at<Op>(x) ? static_cast<float>(right) : moved(right, Op::bound, Op::absolute, where);
    t[i] = ftz ? flush(r) : r;
  });
  float* d = w.lanes<float>(in.op[0]);
  each(mask, [&](int i) { d[i] = t[i]; });
}
// The three that inner loops are made of.
template <bool ftz>
void approximate_exp2(Warp& w, const Inst& in, uint32_t mask) {
  if (w.grid().options->approximations != Options::Bound::nearest) return approximate<Exp2>(w, in, mask);
  const float* a = w.lanes<float>(in.op[1]);
  write<float>(w, in.op[0], mask, [=](int i) {
    const float r = fast_exp2(ftz ? flush(a[i]) : a[i]);
    return ftz ? flush(r) : r;
  });
}
template <class Op, class Exact, bool ftz>
void approximate_simple(Warp& w, const Inst& in, uint32_t mask) {
  if (w.grid().options->approximations != Options::Bound::nearest) return approximate<Op>(w, in, mask);
  unary<Flags<Exact, ftz, false>, float>(w, in, mask);
}
void approximate_division(Warp& w, const Inst& in, uint32_t mask) {
  const bool ftz = in.mode != 0;
  const auto where = w.grid().options->approximations;
  const float *a = w.lanes<float>(in.op[1]), *b = w.lanes<float>(in.op[2]);
  write<float>(w, in.op[0], mask, [=](int i) {
    const float x = ftz ? flush(a[i]) : a[i], y = ftz ? flush(b[i]) : b[i];
    const float r =
        where == Options::Bound::nearest ? x / y : moved(static_cast<double>(x) / y, kDivision, false, where);
    return ftz ? flush(r) : r;
  });
}

template <class Op>
void approximate_one(Binder& b) {
  const bool approx = b.take("approx"), ftz = b.take("ftz");
  if (!approx) b.refuse(".approx is missing");
  const Type t = b.take_type();
  if (t != Type::f32) b.refuse("no such type");
  b.out.mode = ftz;
  b.plain(approximate<Op>, Class::floating, t, 1);
}

void ex2(Binder& b) {
  if (!b.take("approx")) b.refuse(".approx is missing");
  const bool ftz = b.take("ftz");
  const Type t = b.take_type();
  if (is_half(t)) return half_one(b, t, "ex2");
  if (t != Type::f32) b.refuse("no such type");
  b.out.mode = ftz;
  b.plain(ftz ? approximate_exp2<true> : approximate_exp2<false>, Class::floating, t, 1);
}
void tanh(Binder& b) {
  if (!b.take("approx")) b.refuse(".approx is missing");
  const Type t = b.take_type();
  if (is_half(t)) return half_one(b, t, "tanh");
  if (t != Type::f32) b.refuse("no such type");
  b.plain(approximate<Tanh>, Class::floating, t, 1);
}

void reciprocal64(Warp& w, const Inst& in,
                  uint32_t mask) {  // rcp.approx.ftz.f64: the upper word of the result is what counts
  const double* a = w.lanes<double>(in.op[1]);
  write<double>(w, in.op[0], mask, [=](int i) { return bits<double>(bits<uint64_t>(1 / a[i]) & 0xFFFFFFFF00000000u); });
}
void reciprocal_sqrt64(Warp& w, const Inst& in, uint32_t mask) {
  const double* a = w.lanes<double>(in.op[1]);
  write<double>(w, in.op[0], mask,
                [=](int i) { return bits<double>(bits<uint64_t>(1 / std::sqrt(a[i])) & 0xFFFFFFFF00000000u); });
}

void rcp_sqrt(Binder& b) {
  const bool root = b.in->opcode == "sqrt";
  const bool approx = b.take("approx");
  const Round round = b.rounding(Round::nearest_even);
  const bool ftz = b.take("ftz");
  const Type t = b.take_type();
  if (approx && t == Type::f64 && !root) return b.plain(reciprocal64, Class::floating, t, 1);
  if (approx) {
    if (t != Type::f32) b.refuse("no such type");
    b.out.mode = ftz;
    const Run run =
        root ? (ftz ? approximate_simple<ApproxSqrt, Sqrt, true> : approximate_simple<ApproxSqrt, Sqrt, false>)
             : (ftz ? approximate_simple<ApproxReciprocal, Reciprocal, true>
                    : approximate_simple<ApproxReciprocal, Reciprocal, false>);
    return b.plain(run, Class::floating, t, 1);
  }
  if (t != Type::f32 && t != Type::f64) b.refuse("no such type");
  if (round != Round::nearest_even) {
    if (root) return bind_directed<Sqrt, 1>(b, t, round, ftz, false);
    return bind_directed<Reciprocal, 1>(b, t, round, ftz, false);
  }
  if (t == Type::f64) return b.plain(root ? unary<Sqrt, double> : unary<Reciprocal, double>, Class::floating, t, 1);
  b.plain(root ? flagged<Sqrt, One>(ftz, false) : flagged<Reciprocal, One>(ftz, false), Class::floating, t, 1);
}
void rsqrt(Binder& b) {
  if (!b.take("approx")) b.refuse(".approx is missing");
  const bool ftz = b.take("ftz");
  const Type t = b.take_type();
  if (t == Type::f64) return b.plain(reciprocal_sqrt64, Class::floating, t, 1);
  if (t != Type::f32) b.refuse("no such type");
  b.out.mode = ftz;
  b.plain(approximate<ReciprocalSqrt>, Class::floating, t, 1);
}

void fma(Binder& b) {
  const Type t = b.take_type();
  if (is_half(t)) return half_fused(b, t);
  float_fused(b, t);
}

void copysign_run32(Warp& w, const Inst& in, uint32_t mask) {
  const float *a = w.lanes<float>(in.op[1]), *b = w.lanes<float>(in.op[2]);
  write<float>(w, in.op[0], mask, [=](int i) { return std::copysign(b[i], a[i]); });
}
void copysign_run64(Warp& w, const Inst& in, uint32_t mask) {
  const double *a = w.lanes<double>(in.op[1]), *b = w.lanes<double>(in.op[2]);
  write<double>(w, in.op[0], mask, [=](int i) { return std::copysign(b[i], a[i]); });
}
void copysign(Binder& b) {
  const Type t = b.take_type();
  b.plain(t == Type::f32 ? copysign_run32 : t == Type::f64 ? copysign_run64 : nullptr, Class::floating, t, 2);
}

template <class T>
void testp_run(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  write_predicate(w, in.op[0], mask, [&](int i) {
    switch (in.mode) {
      case 0: return std::isfinite(a[i]);
      case 1: return std::isinf(a[i]);
      case 2: return !std::isnan(a[i]);
      case 3: return std::isnan(a[i]);
      case 4: return std::isnormal(a[i]);
      default: return std::fpclassify(a[i]) == FP_SUBNORMAL;
    }
  });
}
void testp(Binder& b) {
  static constexpr const char* names[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  int which = -1;
  for (int i = 0; i < 6; ++i)
    if (b.take(names[i])) which = i;
  const Type t = b.take_type();
  if (which < 0 || (t != Type::f32 && t != Type::f64)) b.refuse("no such form");
  b.set(t == Type::f32 ? testp_run<float> : testp_run<double>, Class::compare);
  b.out.mode = static_cast<uint16_t>(which);
  b.out.op[0] = b.result(0, Type::pred);
  b.out.op[1] = b.source(1, t);
}

}  // namespace

void float_two(Binder& b, Type t, const std::string& op) {
  if (op == "add") return arithmetic_two<Add>(b, t);
  if (op == "sub") return arithmetic_two<Sub>(b, t);
  if (op == "mul") return arithmetic_two<Mul>(b, t);
  if (op == "min") return order_two<Min>(b, t);
  if (op == "max") return order_two<Max>(b, t);
  if (b.take("approx") || b.take("full")) {
    b.out.mode = b.take("ftz");
    if (t != Type::f32) b.refuse("no such type");
    return b.plain(approximate_division, Class::floating, t, 2);
  }
  arithmetic_two<Div>(b, t);
}

void float_one(Binder& b, Type t, const std::string& op) {
  const bool ftz = b.take("ftz");
  if (t == Type::f64) return b.plain(op == "abs" ? unary<Abs, double> : unary<Neg, double>, Class::floating, t, 1);
  if (t != Type::f32) b.refuse("no such type");
  b.plain(op == "abs" ? flagged<Abs, One>(ftz, false) : flagged<Neg, One>(ftz, false), Class::floating, t, 1);
}

void float_fused(Binder& b, Type t) {
  const Round round = b.rounding(Round::nearest_even);
  const bool ftz = b.take("ftz"), sat = b.take("sat");
  if (t != Type::f32 && t != Type::f64) b.refuse("no such type");
  if (round != Round::nearest_even) return bind_directed<Fma, 3>(b, t, round, ftz, sat);
  if (t == Type::f64) return b.plain(ternary<Fma, double>, Class::floating, t, 3);
  b.plain(flagged<Fma, Three>(ftz, sat), Class::floating, t, 3);
}

const Row kFloatRows[] = {{"fma", fma},
                          {"ex2", ex2},
                          {"tanh", tanh},
                          {"sin", approximate_one<Sin>},
                          {"cos", approximate_one<Cos>},
                          {"lg2", approximate_one<Log2>},
                          {"rcp", rcp_sqrt},
                          {"sqrt", rcp_sqrt},
                          {"rsqrt", rsqrt},
                          {"copysign", copysign},
                          {"testp", testp},
                          {nullptr, nullptr}};

}  // namespace sim
