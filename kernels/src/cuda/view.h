// A strided operand as a kernel is given it; included by kernels too.
#pragma once
#include <cstdint>

namespace shakti::cuda {

constexpr int kViewDims = 8;

// Sizes of what is walked over, and how far each of N operands goes from one index to the next, in elements. The last
// dimension first: dims[0] is the innermost.
template <int N>
struct Walk {
  int ndim;
  int64_t numel;
  int64_t shape[kViewDims];
  int64_t strides[N][kViewDims];

#ifdef __CUDACC__
  // Where element i of the walk lies in each operand.
  __device__ void at(int64_t i, int64_t (&offsets)[N]) const {
    for (int n = 0; n < N; ++n) offsets[n] = 0;
#pragma unroll 1
    for (int d = 0; d < ndim; ++d) {
      int64_t here;
      if (d + 1 == ndim) {
        here = i;
      } else if (i <= 0xffffffff && shape[d] <= 0xffffffff) {  // 64-bit division takes five times as long
        const uint32_t q = static_cast<uint32_t>(i) / static_cast<uint32_t>(shape[d]);
        here = static_cast<uint32_t>(i) - q * static_cast<uint32_t>(shape[d]);
        i = q;
      } else {
        here = i % shape[d];
        i /= shape[d];
      }
      for (int n = 0; n < N; ++n) offsets[n] += here * strides[n][d];
    }
  }
#endif
};

}  // namespace shakti::cuda
