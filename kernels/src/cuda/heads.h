// Heads [b, l, h, d] and the tables of angles that turn them, a warp for a head; included by kernels too.
#pragma once
#include <cstdint>

namespace shakti::cuda {

// Heads with a contiguous last dimension.
struct Heads {
  void* data;
  int64_t batch, row, head;  // strides
};

struct Angles {
  const float *cosine, *sine;  // [b or 1, l, d / 2]
  int64_t batch;               // elements from one batch element to the next; 0: one table for all
};

// Head number i of the b * l * h there are.
struct HeadPlace {
  int64_t b, l, h;
};

struct HeadSizes {
  int64_t l, h, d, count;

#ifdef __CUDACC__
  __device__ __forceinline__ HeadPlace place(int64_t i) const {
    if (count > 0xffffffff) return {i / h / l, i / h % l, i % h};
    // 64-bit division takes five times as long.
    const auto n = static_cast<uint32_t>(i), heads = static_cast<uint32_t>(h), rows = static_cast<uint32_t>(l),
               row = n / heads;
    return {row / rows, row % rows, n % heads};
  }
#endif
};

#ifdef __CUDACC__
template <class T>
__device__ __forceinline__ T* head_at(const Heads& x, const HeadPlace& p) {
  return static_cast<T*>(x.data) + p.b * x.batch + p.l * x.row + p.h * x.head;
}
__device__ __forceinline__ int64_t angles_at(const Angles& a, const HeadPlace& p, const HeadSizes& s) {
  return p.b * a.batch + p.l * (s.d / 2);
}
#endif

}  // namespace shakti::cuda
