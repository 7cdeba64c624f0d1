// Sums and maxima over a warp and a block; every thread gets the result. Warps combine in one fixed order, so results repeat.
#pragma once
#include <cstdint>

namespace shakti::cuda {

constexpr unsigned kFullWarp = 0xffffffff;

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins; of floats in one instruction, which fmaxf and C++ cannot say.
struct Max {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a != a ? a : b > a || b != b ? b : a;
  }
  __device__ __forceinline__ float operator()(float a, float b) const {
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
  }
};
struct Min {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a != a ? a : b < a || b != b ? b : a;
  }
  __device__ __forceinline__ float operator()(float a, float b) const {
    float least;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
    return least;
  }
};

template <class F, class T>
__device__ __forceinline__ T warp_reduce(T v, F f) {
  for (int step = 16; step > 0; step /= 2) v = f(v, __shfl_xor_sync(kFullWarp, v, step));
  return v;
}

// Over all threads of a block of whole warps, at most 1024 threads. `shared` has room for 32 T's, and may be used again after
// the next __syncthreads().
template <class F, class T>
__device__ __forceinline__ T block_reduce(T v, F f, T* shared) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = warp_reduce(v, f);
  __syncthreads();  // of an earlier use of `shared`
  if (lane == 0) shared[warp] = v;
  __syncthreads();
  T all = shared[0];
  for (int w = 1; w < warps; ++w) all = f(all, shared[w]);
  return all;
}

}  // namespace shakti::cuda
