// Every elementwise op, a line or a few each, over lanes (vf), doubles and, where the op has a meaning there, int64.
#pragma once
#include <cmath>

#include "../../simd/activation.h"

namespace SHAKTI_ISA_NS {
namespace {

// The functions that lanes and doubles spell differently.
SHAKTI_INLINE vf m_exp(vf x) { return vexp(x); }
SHAKTI_INLINE vf m_log(vf x) { return vlog(x); }
SHAKTI_INLINE vf m_tanh(vf x) { return vtanh(x); }
SHAKTI_INLINE vf m_erf(vf x) { return verf(x); }
SHAKTI_INLINE vf m_sqrt(vf x) { return vsqrt(x); }
SHAKTI_INLINE vf m_sigmoid(vf x) { return vsigmoid(x); }
SHAKTI_INLINE double m_exp(double x) { return std::exp(x); }
SHAKTI_INLINE double m_log(double x) { return std::log(x); }
SHAKTI_INLINE double m_tanh(double x) { return std::tanh(x); }
SHAKTI_INLINE double m_erf(double x) { return std::erf(x); }
SHAKTI_INLINE double m_sqrt(double x) { return std::sqrt(x); }
SHAKTI_INLINE double m_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

#define ANY(Name, expression)         \
  struct Name {                       \
    template <class V>                \
    SHAKTI_INLINE static V run(V x) { \
      return expression;              \
    }                                 \
  };
#define LANES(Name, lanes, scalar)                               \
  struct Name {                                                  \
    SHAKTI_INLINE static vf run(vf x) { return lanes; }          \
    SHAKTI_INLINE static double run(double x) { return scalar; } \
  };
#ifdef __CUDACC__  // where f64 takes up to 64 times as long
#define SLOW(Name, f) ANY(Name, f(x))
SHAKTI_INLINE vf m_pow(vf a, vf b) { return powf(a, b); }
#else
#define SLOW(Name, f)                                                                        \
  struct Name {                                                                              \
    SHAKTI_INLINE static vf run(vf x) {                                                      \
      return each(x, [](float v) { return static_cast<float>(f(static_cast<double>(v))); }); \
    }                                                                                        \
    SHAKTI_INLINE static double run(double x) { return f(x); }                               \
  };

SHAKTI_INLINE vf m_pow(vf a, vf b) {
  return each(a, b, [](float x, float y) {
    return static_cast<float>(std::pow(static_cast<double>(x), static_cast<double>(y)));
  });
}
#endif
SHAKTI_INLINE double m_pow(double a, double b) { return std::pow(a, b); }

// Integers wrap, as in two's complement.
template <class F>
struct Wraps : F {
  using F::run;
  SHAKTI_INLINE static int64_t run(int64_t a) { return static_cast<int64_t>(F::run(static_cast<uint64_t>(a))); }
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) {
    return static_cast<int64_t>(F::run(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  }
};
ANY(NegAny, -x)
ANY(SquareAny, x* x)
using Neg = Wraps<NegAny>;
using Square = Wraps<SquareAny>;
struct Abs {
  SHAKTI_INLINE static vf run(vf x) { return vabs(x); }
  SHAKTI_INLINE static double run(double x) { return std::fabs(x); }
  SHAKTI_INLINE static int64_t run(int64_t x) { return x < 0 ? Neg::run(x) : x; }
};
// Of NaN 0, as torch.sign.
struct Sign {
  SHAKTI_INLINE static vf run(vf x) {
    return select(x > splat(0), splat(1), select(x < splat(0), splat(-1), splat(0)));
  }
  SHAKTI_INLINE static double run(double x) { return (x > 0) - (x < 0); }
  SHAKTI_INLINE static int64_t run(int64_t x) { return (x > 0) - (x < 0); }
};
struct Relu {
  SHAKTI_INLINE static vf run(vf x) { return select((vi)(x > splat(0)) | (vi)(x != x), x, splat(0)); }
  SHAKTI_INLINE static double run(double x) { return x > 0 || x != x ? x : 0; }
  SHAKTI_INLINE static int64_t run(int64_t x) { return x > 0 ? x : 0; }
};
ANY(Reciprocal, 1.0f / x)
ANY(Sqrt, m_sqrt(x))
ANY(Rsqrt, 1.0f / m_sqrt(x))
ANY(Exp, m_exp(x))
ANY(Log, m_log(x))
ANY(Tanh, m_tanh(x))
ANY(Erf, m_erf(x))
ANY(Sigmoid, m_sigmoid(x))
SLOW(Expm1, std::expm1)
SLOW(Log1p, std::log1p)
SLOW(Sin, std::sin)
SLOW(Cos, std::cos)
LANES(Floor, each(x, [](float v) { return std::floor(v); }), std::floor(x))
LANES(Ceil, each(x, [](float v) { return std::ceil(v); }), std::ceil(x))
LANES(Round, each(x, [](float v) { return std::nearbyint(v); }), std::nearbyint(x))

#define ANY2(Name, expression)             \
  struct Name {                            \
    template <class V>                     \
    SHAKTI_INLINE static V run(V a, V b) { \
      return expression;                   \
    }                                      \
  };
ANY2(AddAny, a + b)
ANY2(SubAny, a - b)
ANY2(MulAny, a* b)
using Add = Wraps<AddAny>;
using Sub = Wraps<SubAny>;
using Mul = Wraps<MulAny>;
ANY2(Div, a / b)
struct Maximum {
  SHAKTI_INLINE static vf run(vf a, vf b) { return select(a != a, a, select((vi)(b > a) | (vi)(b != b), b, a)); }
  SHAKTI_INLINE static double run(double a, double b) { return a != a ? a : b > a || b != b ? b : a; }
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) { return a > b ? a : b; }
};
struct Minimum {
  SHAKTI_INLINE static vf run(vf a, vf b) { return select(a != a, a, select((vi)(b < a) | (vi)(b != b), b, a)); }
  SHAKTI_INLINE static double run(double a, double b) { return a != a ? a : b < a || b != b ? b : a; }
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) { return a < b ? a : b; }
};
struct Pow {
  SHAKTI_INLINE static vf run(vf a, vf b) { return m_pow(a, b); }
  SHAKTI_INLINE static double run(double a, double b) { return m_pow(a, b); }
  // By squaring; a negative exponent gives 0 (the caller turns those into floats first).
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) {
    uint64_t y = b < 0 ? 0 : 1, x = static_cast<uint64_t>(a);
    for (; b > 0; b >>= 1, x *= x) y = b & 1 ? y * x : y;
    return static_cast<int64_t>(y);
  }
};

// Gradients: g and the saved x (or the saved result y).
struct ReluBackward {
  SHAKTI_INLINE static vf run(vf g, vf x) { return select(x > splat(0), g, splat(0)); }
  SHAKTI_INLINE static double run(double g, double x) { return x > 0 ? g : 0; }
};
ANY2(TanhBackward, a * (1.0f - b * b))
ANY2(SigmoidBackward, a*(b * (1.0f - b)))
struct SiluBackward {
  template <class V>
  SHAKTI_INLINE static V run(V g, V x) {
    const V s = m_sigmoid(x);
    return g * (s * (1.0f + x * (1.0f - s)));
  }
};
struct GeluBackward {
  SHAKTI_INLINE static vf run(vf g, vf x) { return g * vgelu_slope(x); }
  SHAKTI_INLINE static double run(double g, double x) {
    return g * (0.5 * std::erfc(x * -0.70710678118654752) + x * std::exp(-0.5 * x * x) * 0.39894228040143268);
  }
};
struct GeluTanhBackward {
  SHAKTI_INLINE static vf run(vf g, vf x) {
    const vf s = vsigmoid((x + x * x * x * 0.044715f) * 1.59576912160573072f);
    return g * (s + x * (s * (1.0f - s)) * (1.0f + x * x * 0.134145f) * 1.59576912160573072f);
  }
  SHAKTI_INLINE static double run(double g, double x) {
    const double s = m_sigmoid((x + x * x * x * 0.044715) * 1.59576912160573072);
    return g * (s + x * (s * (1 - s)) * (1 + x * x * 0.134145) * 1.59576912160573072);
  }
};

#define COMPARE(Name, op)                                      \
  struct Name {                                                \
    SHAKTI_INLINE static vi run(vf a, vf b) { return a op b; } \
    template <class T>                                         \
    SHAKTI_INLINE static bool run(T a, T b) {                  \
      return a op b;                                           \
    }                                                          \
  };
COMPARE(Eq, ==)
COMPARE(Ne, !=)
COMPARE(Lt, <)
COMPARE(Le, <=)
COMPARE(Gt, >)
COMPARE(Ge, >=)
struct LogicalAnd {
  SHAKTI_INLINE static vi run(vf a, vf b) { return (vi)(a != splat(0)) & (vi)(b != splat(0)); }
  template <class T>
  SHAKTI_INLINE static bool run(T a, T b) {
    return a != 0 && b != 0;
  }
};
struct LogicalOr {
  SHAKTI_INLINE static vi run(vf a, vf b) { return (vi)(a != splat(0)) | (vi)(b != splat(0)); }
  template <class T>
  SHAKTI_INLINE static bool run(T a, T b) {
    return a != 0 || b != 0;
  }
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
