// exp, log, tanh, erf and their kin on f32 lanes, and GELU, whose tail wants care. Each function states the most that
// it is off in units of the last place: measured against libm in f64 at all of the 2^32 floats, on the portable, AVX2
// and AVX-512 builds (kernels/test/cc/run.sh sweep, five minutes on two threads; g++ 12, 2026-11-26). math_test.cc
// tries every 1009th. Polynomials were fitted for this project; where a table of pieces serves, scripts/fit-tables.py
// wrote it.
#pragma once
#include <cmath>

#include "tables.h"
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

template <int N>
SHAKTI_INLINE vf polynomial(vf x, const float (&c)[N]) {
  vf y = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) y = vfma(y, x, splat(c[i]));
  return y;
}

// A polynomial a lane, of those in the columns from row `first` on.
template <int first, int N>
SHAKTI_INLINE vf piecewise(const float (&table)[N][16], vi piece, vf x) {
  vf y = look_up(table[N - 1], piece);
  for (int i = N - 2; i >= first; --i) y = vfma(y, x, look_up(table[i], piece));
  return y;
}

// Of t in [0, 15): the pieces are the quarters of the octaves of 1 + t, so that they grow with t. The number of the
// piece is in the bits of 1 + t; that the sum is rounded moves a border, no more.
template <int N>
SHAKTI_INLINE vf by_octaves(const float (&table)[N][16], vf t) {
  const vi piece = (vi)(t + 1.0f) >> 21;
  return piecewise<1>(table, piece, t - look_up(table[0], piece));
}

// Of t in [0, 4.1]: the pieces lie around multiples of 17/64. Adding `magic` leaves the number of the nearest in the
// low bits.
constexpr float kSteps = 4.1f;
struct Step {
  vi piece;
  vf offset;
  SHAKTI_INLINE explicit Step(vf t) {
    const vf magic = splat(12582912.0f);
    const vf nearest = vfma(t, splat(64.0f / 17), magic);
    piece = (vi)nearest;
    offset = vfma(nearest - magic, splat(-17.0f / 64), t);
  }
};

SHAKTI_INLINE vf with_sign_of(vf magnitude, vf x) { return (vf)((vi)magnitude | ((vi)x & (vi)splat(-0.0f))); }

// y * 2^n for integral n in [-252, 254]; in two factors so that the ends of the range come out right.
SHAKTI_INLINE vf scale_by_power(vf y, vf n) {
#if defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)y, (__m512)n);
#else
  const vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
  return y * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
#endif
}

// 2^x, 1.86 ulp with AVX-512, 1.23 without; infinity from 128 on. NaN passes.
SHAKTI_INLINE vf vexp2(vf x) {
#if defined(__AVX512F__)
  // Its instructions know no limits that x had to be kept from: the rest to the nearest integer, and powers of two.
  constexpr float c[] = {
      1.0f, 6.931468248e-01f, 2.402223051e-01f, 5.550887808e-02f, 9.671857581e-03f, 1.322562457e-03f};
  const vf rest = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return (vf)_mm512_scalef_ps((__m512)polynomial(rest, c), (__m512)(x - rest));
#else
  constexpr float c[] = {
      1.0f, 6.931471825e-01f, 2.402264774e-01f, 5.550332367e-02f, 9.618436918e-03f, 1.339887385e-03f, 1.535336196e-04f};
  // In this order of operands NaN passes.
  x = vmin(splat(129.0f), vmax(splat(-150.0f), x));
  const vf n = vround_small(x);
  return scale_by_power(polynomial(x - n, c), n);
#endif
}

// (e^r - 1) / r for |r| up to 0.35.
SHAKTI_INLINE vf exp_slope(vf r) {
  constexpr float c[] = {1.0f, 4.99999911e-01f, 1.66665211e-01f, 4.16688919e-02f, 8.36867839e-03f, 1.37893239e-03f};
  return polynomial(r, c);
}
// 2^n e^r
SHAKTI_INLINE vf exp_reduced(vf n, vf r) { return scale_by_power(vfma(exp_slope(r), r, splat(1.0f)), n); }
// x less the nearest multiple n of ln 2, which comes in two parts, the first exact when multiplied by n. In this order
// of operands NaN passes the limit, below which the result is 0.
SHAKTI_INLINE vf reduce_by_ln2(vf x, vf* n) {
  x = vmax(splat(-104.0f), x);
  *n = vround_small(x * 1.44269504088896341f);
  return vfma(*n, splat(2.12194440e-4f), vfma(*n, splat(-0.693359375f), x));
}

// For x up to 89.
SHAKTI_INLINE vf exp_capped(vf x) {
  vf n;
  const vf r = reduce_by_ln2(x, &n);
  return exp_reduced(n, r);
}

// 1.18 ulp (0.90 with FMA). 88.8 is beyond the last finite result, so infinity comes out by itself.
SHAKTI_INLINE vf vexp(vf x) { return exp_capped(vmin(splat(88.8f), x)); }

// The logarithm of m 2^k for m in [sqrt(1/2), sqrt(2)).
SHAKTI_INLINE vf log_of(vf m, vf k) {
  constexpr float c[] = {3.333333119e-01f,  -2.499998905e-01f, 2.000070748e-01f,  -1.666848024e-01f, 1.424993647e-01f,
                         -1.241105066e-01f, 1.166151156e-01f,  -1.157120099e-01f, 7.149753014e-02f};
  const vf f = m - 1.0f, square = f * f;
  vf y = vfma(polynomial(f, c), square * f, k * -2.12194440e-4f);
  y = f + vfma(square, splat(-0.5f), y);
  return vfma(k, splat(0.693359375f), y);
}

// 0.83 ulp
SHAKTI_INLINE vf vlog(vf x) {
  const auto split = [](vf v, vf* m) {
    // Unsigned, because the patterns of negative numbers wrap around.
    const vi e = (vi)((vu)v - 0x3f3504f3u) >> 23;
    *m = (vf)((vu)v - ((vu)e << 23));
    return __builtin_convertvector(e, vf);
  };
  vf m;
  const vf k = split(x, &m);
  const vf y = log_of(m, k);
  // Positive normal numbers, as nearly all are.
  const vi odd = (vu)x - 0x00800000u >= 0x7f000000u;
  if (__builtin_expect(!any(odd), 1)) return y;
  // Subnormals are brought into range first.
  const vf scaled = split(x * 33554432.0f, &m) - 25.0f;
  vf z = select(x < splat(1.17549435e-38f), log_of(m, scaled), y);
  z = select(x == splat(0.0f), splat(-__builtin_inff()), z);
  z = select(x == splat(__builtin_inff()), x, z);
  return select((vi)(x < splat(0.0f)) | (vi)(x != x), splat(__builtin_nanf("")), z);
}

// 1.97 ulp (1.65 with FMA). The exponential is of a negative number on both sides, so nothing overflows, and the
// quotient is but a correction of e or 1, so small results keep its digits.
SHAKTI_INLINE vf vsigmoid(vf x) {
  const vf e = exp_capped(-vabs(x));
  const vf whole = select(x < splat(0.0f), e, splat(1.0f));
  return vfma(-whole, e / (1.0f + e), whole);
}

// 1.11 ulp. From 9.02 on the result is 1.
SHAKTI_INLINE vf vtanh(vf x) { return with_sign_of(by_octaves(kTanh, vmin(splat(10.0f), vabs(x))), x); }

// 1.67 ulp (1.46 with FMA). From 3.92 on the result is 1.
SHAKTI_INLINE vf verf(vf x) {
  const vf t = vmin(splat(4.0f), vabs(x));
  const Step s(t);
  // The first piece is t plus what erf exceeds it by, which keeps the digits of small results. In the others the offset
  // is below the constant term.
  const vf first = vmax(look_up(kErf[0], s.piece), s.offset);
  return with_sign_of(vfma(piecewise<1>(kErf, s.piece, s.offset), s.offset, first), x);
}

// x Phi(x), 1.80 ulp: max(x, 0) - t tail(t), t = |x|; the product has a table of its own, relatively exact, where 1 +
// erf has no digits left. 0 for -infinity.
SHAKTI_INLINE vf vgelu(vf x) {
  vf t = vabs(x);
  const Step s(t);
  const vf y = vmax(splat(0.0f), x) - piecewise<0>(kGelu, s.piece, s.offset);
  const vi far = t > splat(kSteps);
  if (__builtin_expect(!any(far), 1)) return y;
  // Far out it is exp(-t^2 / 2) * ratio, with a square in two parts. From 14.5 on it is 0.
  t = vmin(splat(14.9f), t);
  const vf square = t * t;
  vf n;
  const vf r = vfma(product_error(t, t, square), splat(-0.5f), reduce_by_ln2(square * -0.5f, &n));
  // ratio * e^r, but e^r is not rounded by itself.
  const vf ratio = by_octaves(kGeluRatio, t), product = vfma(ratio, exp_slope(r) * r, ratio);
  return select(far, vmax(splat(0.0f), x) - scale_by_power(product, n), y);
}

// Its derivative, Phi(x) + x phi(x); within 1.17e-7 of it.
SHAKTI_INLINE vf vgelu_slope(vf x) {
  const vf below = by_octaves(kGeluSlope, vmin(splat(14.9f), vabs(x)));
  return select(x < splat(0.0f), below, 1.0f - below);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
