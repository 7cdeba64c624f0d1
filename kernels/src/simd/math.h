// exp, log, tanh, erf and their kin on f32 lanes. Polynomials fitted for this project (least squares on Chebyshev
// nodes); worst errors against libm in f64 (kernels/test/cc/math_test.cc): exp and log 1 ulp, tanh and erf 1.4 ulp,
// sigmoid 2 ulp.
#pragma once
#include <cmath>

#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

template <int N>
SHAKTI_INLINE vf polynomial(vf x, const float (&c)[N]) {
  vf y = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) y = vfma(y, x, splat(c[i]));
  return y;
}

// 2^n for integral n in [-252, 254], in two factors so that the ends of the range come out right.
SHAKTI_INLINE vf scale_by_power(vf y, vi n) {
  const vi half = n >> 1;
  return y * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

SHAKTI_INLINE vf vexp(vf x) {
  constexpr float c[] = {5.000000013e-01f, 1.666657700e-01f, 4.166646498e-02f, 8.363175566e-03f, 1.393364353e-03f};
  // In this order of operands NaN passes; 88.8 is beyond the last finite result, so infinity comes out by itself.
  const vf clamped = vmax(splat(-104.0f), vmin(splat(88.8f), x));
  const vf n = vround_small(clamped * 1.44269504088896341f);
  // ln 2 in two parts, the first exact when multiplied by n.
  vf r = vfma(n, splat(-0.693359375f), clamped);
  r = vfma(n, splat(2.12194440e-4f), r);
  const vf y = vfma(polynomial(r, c), r * r, r) + 1.0f;
#if defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)y, (__m512)n);
#else
  return scale_by_power(y, __builtin_convertvector(n, vi));
#endif
}

SHAKTI_INLINE vf vlog(vf x) {
  constexpr float c[] = {3.333333119e-01f,  -2.499998905e-01f, 2.000070748e-01f,  -1.666848024e-01f, 1.424993647e-01f,
                         -1.241105066e-01f, 1.166151156e-01f,  -1.157120099e-01f, 7.149753014e-02f};
  // Subnormals are brought into range first.
  const vi tiny = x < splat(1.17549435e-38f);
  const vf scaled = select(tiny, x * 33554432.0f, x);
  const vi bits = (vi)scaled;
  // Mantissa in [sqrt(1/2), sqrt(2)). Unsigned, because the patterns of negative x wrap around.
  vi e = (vi)((vu)bits - 0x3f3504f3u) >> 23;
  const vf m = (vf)((vu)bits - ((vu)e << 23));
  e = e - (tiny & 25);
  const vf f = m - 1.0f;
  const vf k = __builtin_convertvector(e, vf);
  vf y = polynomial(f, c) * (f * f * f);
  y = vfma(k, splat(-2.12194440e-4f), y);
  y = vfma(f * f, splat(-0.5f), y);
  y = f + y;
  y = vfma(k, splat(0.693359375f), y);
  y = select(x == splat(0.0f), splat(-__builtin_inff()), y);
  y = select(x == splat(__builtin_inff()), x, y);
  return select((vi)(x < splat(0.0f)) | (vi)(x != x), splat(__builtin_nanf("")), y);
}

SHAKTI_INLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }

SHAKTI_INLINE vf vtanh(vf x) {
  constexpr float c[] = {-3.333332904e-01f, 1.333277583e-01f, -5.385151116e-02f, 2.099893571e-02f, -6.098075690e-03f};
  const vf a = vabs(x);
  const vf s = x * x;
  const vf small = vfma(x * s, polynomial(s, c), x);
  const vf big = 1.0f - 2.0f / (vexp(a + a) + 1.0f);
  const vf signed_big = (vf)(((vi)big & 0x7fffffff) | ((vi)x & (vi)splat(-0.0f)));
  return select(a < splat(0.625f), small, select(x != x, x, signed_big));
}

SHAKTI_INLINE vf verf(vf x) {
  constexpr float inner[] = {1.283791666e-01f, -3.761263361e-01f, 1.128369274e-01f, -2.685921135e-02f,
                             5.200501744e-03f, -8.136074855e-04f, 8.339971991e-05f};
  constexpr float outer[] = {2.878470754e-04f,  -1.130101164e+00f, -6.320545992e-01f,
                             -1.098623549e-01f, 2.629588765e-02f,  -4.714967859e-03f,
                             5.871673612e-04f,  -4.490214175e-05f, 1.578091528e-06f};
  const vf a = vabs(x);
  const vf small = vfma(polynomial(x * x, inner), x, x);
  // 1 - erfc, erfc by its logarithm.
  vf big = 1.0f - vexp(polynomial(vmin(a, splat(4.05f)), outer));
  big = select(a > splat(4.0f), splat(1.0f), big);
  big = (vf)((vi)big | ((vi)x & (vi)splat(-0.0f)));
  return select(a < splat(0.925f), small, select(x != x, x, big));
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
