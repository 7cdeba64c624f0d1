// Where a thread stands in a grid of one dimension, for loops over more elements than threads:
//   for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid())
#pragma once
#include <cstdint>

namespace shakti::cuda {

__device__ __forceinline__ int64_t thread_of_grid() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t threads_of_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace shakti::cuda
