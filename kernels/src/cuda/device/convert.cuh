// Any number into any dtype, as ops/copy does on the CPU: to the nearest float; toward zero into an integer, saturating, NaN to 0;
// != 0 into bool.
#pragma once
#include "numbers.cuh"

namespace shakti::cuda {

template <class T>
__device__ __forceinline__ T from_double(double v) {
  return static_cast<T>(v);
}
template <>
__device__ __forceinline__ bf16 from_double<bf16>(double v) {
  return __float2bfloat16_rn(static_cast<float>(v));
}
template <>
__device__ __forceinline__ f16 from_double<f16>(double v) {
  return __float2half_rn(static_cast<float>(v));
}
// cvt.rzi saturates by itself; of NaN it makes the largest or 0 by type, so that is asked for.
template <>
__device__ __forceinline__ int32_t from_double<int32_t>(double v) {
  return v != v ? 0 : __double2int_rz(v);
}
template <>
__device__ __forceinline__ int64_t from_double<int64_t>(double v) {
  return v != v ? 0 : __double2ll_rz(v);
}
template <>
__device__ __forceinline__ uint8_t from_double<uint8_t>(double v) {
  return v != v || v <= 0 ? 0 : v >= 255 ? 255 : static_cast<uint8_t>(__double2uint_rz(v));
}
template <>
__device__ __forceinline__ bool from_double<bool>(double v) {
  return v != 0;
}

template <class T, class S>
__device__ __forceinline__ T convert(S v) {
  return from_double<T>(static_cast<double>(load(v)));
}
template <>
__device__ __forceinline__ float convert<float, bf16>(bf16 v) {
  return load(v);
}
template <>
__device__ __forceinline__ float convert<float, f16>(f16 v) {
  return load(v);
}
template <>
__device__ __forceinline__ bf16 convert<bf16, float>(float v) {
  return store<bf16>(v);
}
template <>
__device__ __forceinline__ bf16 convert<bf16, f16>(f16 v) {
  return store<bf16>(load(v));
}
template <>
__device__ __forceinline__ f16 convert<f16, float>(float v) {
  return store<f16>(v);
}
template <>
__device__ __forceinline__ f16 convert<f16, bf16>(bf16 v) {
  return store<f16>(load(v));
}
// i64 keeps all its digits on the way to i64.
template <>
__device__ __forceinline__ int64_t convert<int64_t, int32_t>(int32_t v) {
  return v;
}
template <>
__device__ __forceinline__ int64_t convert<int64_t, uint8_t>(uint8_t v) {
  return v;
}

}  // namespace shakti::cuda
