// Arithmetic of f16 and bf16, single and in pairs. f32 holds sums and products of theirs, and rounding twice is
// rounding once there (24 >= 2 * 11 + 2 bits); a fused product is rounded to odd first.
#include <cmath>

#include "families.h"

namespace sim {
namespace {

struct Add {
  static float of(float a, float b) { return a + b; }
};
struct Sub {
  static float of(float a, float b) { return a - b; }
};
struct Mul {
  static float of(float a, float b) { return a * b; }
};
struct Min {
  static float of(float a, float b) {
    const float m = a < b || (a == b && std::signbit(a)) ? a : b;
    return a != a ? b : b != b ? a : m;
  }
};
struct Max {
  static float of(float a, float b) {
    const float m = a > b || (a == b && !std::signbit(a)) ? a : b;
    return a != a ? b : b != b ? a : m;
  }
};
template <class Op>
struct OrNan {
  static float of(float a, float b) { return a != a || b != b ? bits<float>(0x7FFFFFFFu) : Op::of(a, b); }
};

enum After : uint16_t { kFtz = 1, kSat = 2, kRelu = 4 };

template <class H>
inline uint16_t finish(uint16_t r, uint16_t after) {
  if (after == 0) return r;
  constexpr uint16_t infinity = static_cast<uint16_t>(((1u << H::format.exponent) - 1) << H::format.mantissa);
  const bool nan = (r & 0x7FFF) > infinity;
  if ((after & kFtz) != 0 && (r & infinity) == 0) r &= 0x8000;
  if ((after & kSat) != 0) {
    const float x = H::widen(r);
    r = nan || x <= 0 ? 0 : x > 1 ? H::narrow(1) : r;
  }
  if ((after & kRelu) != 0 && !nan && (r & 0x8000) != 0) r = 0;
  return r;
}
template <class H>
inline float widened(uint16_t x, uint16_t after) {
  float f = H::widen(x);
  if ((after & kFtz) != 0) {
    constexpr uint16_t exponent = static_cast<uint16_t>(((1u << H::format.exponent) - 1) << H::format.mantissa);
    if ((x & exponent) == 0) f = std::copysign(0.0f, f);
  }
  return f;
}

// A pair is an array of twice as many halves: masks are widened by reading the other lanes' results back.
template <class H, class Op, bool pair>
void two(Warp& w, const Inst& in, uint32_t mask) {
  const uint16_t after = in.mode;
  const auto f = [after](uint16_t x, uint16_t y) {
    return finish<H>(H::narrow(Op::of(widened<H>(x, after), widened<H>(y, after))), after);
  };
  if constexpr (pair) {
    const uint32_t *a = w.lanes<uint32_t>(in.op[1]), *b = w.lanes<uint32_t>(in.op[2]);
    write<uint32_t>(w, in.op[0], mask, [=](int i) {
      return f(static_cast<uint16_t>(a[i]), static_cast<uint16_t>(b[i])) |
             static_cast<uint32_t>(f(static_cast<uint16_t>(a[i] >> 16), static_cast<uint16_t>(b[i] >> 16))) << 16;
    });
  } else {
    const uint16_t *a = w.lanes<uint16_t>(in.op[1]), *b = w.lanes<uint16_t>(in.op[2]);
    write<uint16_t>(w, in.op[0], mask, [=](int i) { return f(a[i], b[i]); });
  }
}

template <class H, bool pair>
void fused(Warp& w, const Inst& in, uint32_t mask) {
  const uint16_t after = in.mode;
  const auto f = [after](uint16_t x, uint16_t y, uint16_t z) {
    const double r = fused_to_odd(widened<H>(x, after), widened<H>(y, after), widened<H>(z, after));
    // f32 to odd would need another step; what f32 can't hold exactly goes the long way.
    const float narrow = static_cast<float>(r);
    const uint16_t h =
        static_cast<double>(narrow) == r ? H::narrow(narrow) : static_cast<uint16_t>(encode(r, H::format));
    return finish<H>(h, after);
  };
  if constexpr (pair) {
    const uint32_t *a = w.lanes<uint32_t>(in.op[1]), *b = w.lanes<uint32_t>(in.op[2]), *c = w.lanes<uint32_t>(in.op[3]);
    write<uint32_t>(w, in.op[0], mask, [=](int i) {
      return f(static_cast<uint16_t>(a[i]), static_cast<uint16_t>(b[i]), static_cast<uint16_t>(c[i])) |
             static_cast<uint32_t>(f(static_cast<uint16_t>(a[i] >> 16), static_cast<uint16_t>(b[i] >> 16),
                                     static_cast<uint16_t>(c[i] >> 16)))
                 << 16;
    });
  } else {
    const uint16_t *a = w.lanes<uint16_t>(in.op[1]), *b = w.lanes<uint16_t>(in.op[2]), *c = w.lanes<uint16_t>(in.op[3]);
    write<uint16_t>(w, in.op[0], mask, [=](int i) { return f(a[i], b[i], c[i]); });
  }
}

struct Abs {
  template <class H>
  static uint16_t of(uint16_t x, Options::Bound) {
    return x & 0x7FFF;
  }
};
struct Neg {
  template <class H>
  static uint16_t of(uint16_t x, Options::Bound) {
    return x ^ 0x8000;
  }
};
// Bounds of the manual: 2^-9.9 (f16) and 2^-7 (bf16) for ex2, 2^-10.987 and 2^-8 for tanh.
template <class H>
uint16_t moved(double r, double bound, Options::Bound where) {
  if (where != Options::Bound::nearest && std::isfinite(r)) r *= where == Options::Bound::low ? 1 - bound : 1 + bound;
  return static_cast<uint16_t>(encode(r, H::format));
}
struct Exp2 {
  template <class H>
  static uint16_t of(uint16_t x, Options::Bound where) {
    return moved<H>(std::exp2(static_cast<double>(H::widen(x))), H::format.mantissa == 10 ? 1.05e-3 : 7.8e-3, where);
  }
};
struct Tanh {
  template <class H>
  static uint16_t of(uint16_t x, Options::Bound where) {
    return moved<H>(std::tanh(static_cast<double>(H::widen(x))), H::format.mantissa == 10 ? 4.9e-4 : 3.9e-3, where);
  }
};
template <class H, class Op, bool pair>
void one(Warp& w, const Inst& in, uint32_t mask) {
  const auto where = w.grid().options->approximations;
  const uint16_t after = in.mode;
  const auto f = [=](uint16_t x) { return finish<H>(Op::template of<H>(x, where), after); };
  if constexpr (pair) {
    const uint32_t* a = w.lanes<uint32_t>(in.op[1]);
    write<uint32_t>(w, in.op[0], mask, [=](int i) {
      return f(static_cast<uint16_t>(a[i])) | static_cast<uint32_t>(f(static_cast<uint16_t>(a[i] >> 16))) << 16;
    });
  } else {
    const uint16_t* a = w.lanes<uint16_t>(in.op[1]);
    write<uint16_t>(w, in.op[0], mask, [=](int i) { return f(a[i]); });
  }
}

template <class Op>
Run two_of(Type t) {
  switch (t) {
    case Type::f16: return two<Half, Op, false>;
    case Type::f16x2: return two<Half, Op, true>;
    case Type::bf16: return two<Bf16, Op, false>;
    default: return two<Bf16, Op, true>;
  }
}
template <class Op>
Run one_of(Type t) {
  switch (t) {
    case Type::f16: return one<Half, Op, false>;
    case Type::f16x2: return one<Half, Op, true>;
    case Type::bf16: return one<Bf16, Op, false>;
    default: return one<Bf16, Op, true>;
  }
}

void after(Binder& b) {
  b.take("rn");
  b.out.mode =
      static_cast<uint16_t>((b.take("ftz") ? kFtz : 0) | (b.take("sat") ? kSat : 0) | (b.take("relu") ? kRelu : 0));
}

}  // namespace

void half_two(Binder& b, Type t, const std::string& op) {
  after(b);
  const bool nan = b.take("NaN");
  Run run = nullptr;
  if (op == "add") run = two_of<Add>(t);
  if (op == "sub") run = two_of<Sub>(t);
  if (op == "mul") run = two_of<Mul>(t);
  if (op == "min") run = nan ? two_of<OrNan<Min>>(t) : two_of<Min>(t);
  if (op == "max") run = nan ? two_of<OrNan<Max>>(t) : two_of<Max>(t);
  b.plain(run, Class::floating, t, 2);
}

void half_one(Binder& b, Type t, const std::string& op) {
  b.out.mode = b.take("ftz") ? kFtz : 0;
  if (op == "ex2" || op == "tanh")
    return b.plain(op == "ex2" ? one_of<Exp2>(t) : one_of<Tanh>(t), Class::floating, t, 1);
  b.plain(op == "abs" ? one_of<Abs>(t) : one_of<Neg>(t), Class::floating, t, 1);
}

void half_fused(Binder& b, Type t) {
  after(b);
  Run run = nullptr;
  switch (t) {
    case Type::f16: run = fused<Half, false>; break;
    case Type::f16x2: run = fused<Half, true>; break;
    case Type::bf16: run = fused<Bf16, false>; break;
    default: run = fused<Bf16, true>; break;
  }
  b.plain(run, Class::floating, t, 3);
}

}  // namespace sim
