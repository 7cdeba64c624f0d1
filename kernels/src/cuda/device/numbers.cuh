// Elements in memory and the numbers that kernels compute with: f32 for f32, bf16 and f16, f64 for f64, i64 for integers.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace shakti::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;

template <class T>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};
template <>
struct Compute<int32_t> {
  using type = int64_t;
};
template <>
struct Compute<int64_t> {
  using type = int64_t;
};
template <>
struct Compute<uint8_t> {
  using type = int64_t;
};
template <>
struct Compute<bool> {
  using type = int64_t;
};
template <class T>
using compute_t = typename Compute<T>::type;

template <class T>
__device__ __forceinline__ compute_t<T> load(T v) {
  return static_cast<compute_t<T>>(v);
}
__device__ __forceinline__ float load(bf16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float load(f16 v) { return __half2float(v); }

// To the nearest, ties to even.
template <class T>
__device__ __forceinline__ T store(compute_t<T> v) {
  return static_cast<T>(v);
}
template <>
__device__ __forceinline__ bf16 store<bf16>(float v) {
  return __float2bfloat16_rn(v);
}
template <>
__device__ __forceinline__ f16 store<f16>(float v) {
  return __float2half_rn(v);
}

// Two numbers as the halves of a register.
template <class T>
__device__ __forceinline__ unsigned pair(float low, float high);
template <>
__device__ __forceinline__ unsigned pair<bf16>(float low, float high) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&v);
}
template <>
__device__ __forceinline__ unsigned pair<f16>(float low, float high) {
  const __half2 v = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&v);
}

// 16 bytes of elements, read and written at once.
template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

// Four elements, as many as a block of random words is for, at a multiple of four: moved at once where the address permits it.
template <class T>
struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Four {
  T v[4];
  __device__ __forceinline__ static bool fits(const T* x, int64_t at, int64_t n) {
    return at + 4 <= n && reinterpret_cast<uintptr_t>(x) % alignof(Four) == 0;
  }
};
// Elements [at, at + 4) of n that lie in order; 0 behind the last.
template <class T>
__device__ __forceinline__ Four<T> load_four(const T* x, int64_t at, int64_t n) {
  if (Four<T>::fits(x, at, n)) return *reinterpret_cast<const Four<T>*>(x + at);
  Four<T> four{};
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (at + k < n) four.v[k] = x[at + k];
  return four;
}
template <class T>
__device__ __forceinline__ void store_four(T* y, int64_t at, int64_t n, const Four<T>& four) {
  if (Four<T>::fits(y, at, n)) {
    *reinterpret_cast<Four<T>*>(y + at) = four;
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (at + k < n) y[at + k] = four.v[k];
}

}  // namespace shakti::cuda

// One kernel for each floating dtype: SHAKTI_FLOATS(K) is K(f32, float) K(bf16, bf16) K(f16, f16).
#define SHAKTI_HALVES_AND_F32(K) \
  K(f32, float)                  \
  K(bf16, shakti::cuda::bf16)    \
  K(f16, shakti::cuda::f16)
#define SHAKTI_FLOATS(K)   \
  SHAKTI_HALVES_AND_F32(K) \
  K(f64, double)
#define SHAKTI_INTEGERS(K) \
  K(i32, int32_t)          \
  K(i64, int64_t)          \
  K(u8, uint8_t)           \
  K(bool, bool)
#define SHAKTI_ALL(K) \
  SHAKTI_FLOATS(K)    \
  SHAKTI_INTEGERS(K)
