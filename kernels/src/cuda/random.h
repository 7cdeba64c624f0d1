// Where a command's random numbers begin; included by kernels too.
#pragma once
#include <cstdint>

namespace shakti::cuda {

// Where the random numbers of a thread stand.
struct RandomNow {
  uint64_t key, offset;
};

// In a CUDA graph a kernel's parameters are fixed: there the numbers begin `offset` behind what `now` says when the
// graph runs.
struct RandomStart {
  uint64_t key, offset;
  const RandomNow* now;  // on the GPU; null: key and offset are what they say

#ifdef __CUDACC__
  __device__ __forceinline__ RandomNow begin() const {
    return now ? RandomNow{now->key, now->offset + offset} : RandomNow{key, offset};
  }
#endif
};

}  // namespace shakti::cuda
