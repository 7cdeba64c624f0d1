// One number in the place of the CPU's lanes (simd/vec.h, simd/math.h), so that ops/elementwise/functors.h serves both. Functions of
// the CUDA math library in f32, without fast approximations: at most 2 ulp where PTX has none that are exact.
#pragma once
#include <cmath>
#include <cstdint>

#undef SHAKTI_INLINE
#define SHAKTI_INLINE __device__ __forceinline__
#define SHAKTI_ISA_NS shakti::cuda

namespace shakti::cuda {
namespace {

using vf = float;
using vi = int;

SHAKTI_INLINE vf splat(float x) { return x; }
SHAKTI_INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
SHAKTI_INLINE vf vabs(vf a) { return fabsf(a); }
SHAKTI_INLINE vf vsqrt(vf a) { return sqrtf(a); }
SHAKTI_INLINE vf vexp(vf x) { return expf(x); }
SHAKTI_INLINE vf vlog(vf x) { return logf(x); }
SHAKTI_INLINE vf vtanh(vf x) { return tanhf(x); }
SHAKTI_INLINE vf verf(vf x) { return erff(x); }
SHAKTI_INLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + expf(-x)); }
SHAKTI_INLINE vf vgelu(vf x) { return 0.5f * x * erfcf(x * -0.70710678118654752f); }
SHAKTI_INLINE vf vgelu_slope(vf x) {
  return 0.5f * erfcf(x * -0.70710678118654752f) + x * expf(-0.5f * x * x) * 0.39894228040143268f;
}
template <class F>
SHAKTI_INLINE vf each(vf x, F f) {
  return f(x);
}

}  // namespace
}  // namespace shakti::cuda
