// Functions for both computing dtypes under one name.
#pragma once
#include <cmath>

namespace shakti::cuda {

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float natural_log(float x) { return logf(x); }
__device__ __forceinline__ double natural_log(double x) { return log(x); }
template <class C>
__device__ __forceinline__ C sigmoid(C x) {
  return C(1) / (C(1) + exponential(-x));
}

}  // namespace shakti::cuda
