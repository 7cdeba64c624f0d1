// 2-D convolution, plainly: a thread for an element of y or dx, a block for one of dw. Patch embedding does not come through here: a
// reshape and a product do it.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"

namespace shakti::cuda {
namespace {

template <class T>
__device__ __forceinline__ T& at(const Planes& p, int64_t a, int64_t b, int64_t c, int64_t d) {
  return static_cast<T*>(p.data)[a * p.strides[0] + b * p.strides[1] + c * p.strides[2] + d * p.strides[3]];
}

template <class T>
__device__ __forceinline__ void forward(const Convolution& p) {
  using C = compute_t<T>;
  const int64_t total = p.n * p.o * p.oh * p.ow;
  for (int64_t t = thread_of_grid(); t < total; t += threads_of_grid()) {
    const int64_t j = t % p.ow, i = t / p.ow % p.oh, o = t / p.ow / p.oh % p.o, n = t / p.ow / p.oh / p.o;
    const int64_t group = o / (p.o / p.groups);
    C sum = p.bias ? load(static_cast<const T*>(p.bias)[o * p.bias_stride]) : C(0);
    for (int64_t c = 0; c < p.cg; ++c) {
      for (int64_t ky = 0; ky < p.kh; ++ky) {
        const int64_t row = i * p.stride_h - p.pad_h + ky * p.dilation_h;
        if (row < 0 || row >= p.h) continue;
        for (int64_t kx = 0; kx < p.kw; ++kx) {
          const int64_t column = j * p.stride_w - p.pad_w + kx * p.dilation_w;
          if (column < 0 || column >= p.width) continue;
          sum += load(at<T>(p.x, n, group * p.cg + c, row, column)) * load(at<T>(p.w, o, c, ky, kx));
        }
      }
    }
    static_cast<T*>(p.y.data)[t] = store<T>(sum);
  }
}

// p.y is the gradient, p.x what is written, contiguous.
template <class T>
__device__ __forceinline__ void backward_input(const Convolution& p) {
  using C = compute_t<T>;
  const int64_t total = p.n * p.c * p.h * p.width, of_group = p.o / p.groups;
  for (int64_t t = thread_of_grid(); t < total; t += threads_of_grid()) {
    const int64_t column = t % p.width, row = t / p.width % p.h, c = t / p.width / p.h % p.c, n = t / p.width / p.h / p.c;
    const int64_t group = c / p.cg;
    C sum = 0;
    for (int64_t o = group * of_group; o < (group + 1) * of_group; ++o) {
      for (int64_t ky = 0; ky < p.kh; ++ky) {
        const int64_t i = row + p.pad_h - ky * p.dilation_h;
        if (i < 0 || i % p.stride_h != 0 || i / p.stride_h >= p.oh) continue;
        for (int64_t kx = 0; kx < p.kw; ++kx) {
          const int64_t j = column + p.pad_w - kx * p.dilation_w;
          if (j < 0 || j % p.stride_w != 0 || j / p.stride_w >= p.ow) continue;
          sum += load(at<T>(p.y, n, o, i / p.stride_h, j / p.stride_w)) * load(at<T>(p.w, o, c % p.cg, ky, kx));
        }
      }
    }
    static_cast<T*>(p.x.data)[t] = store<T>(sum);
  }
}

// p.y is the gradient, p.w what is written, contiguous.
template <class T>
__device__ __forceinline__ void backward_weight(const Convolution& p) {
  using C = compute_t<T>;
  __shared__ C shared[32];
  const int64_t total = p.o * p.cg * p.kh * p.kw, places = p.n * p.oh * p.ow;
  for (int64_t t = blockIdx.x; t < total; t += gridDim.x) {
    const int64_t kx = t % p.kw, ky = t / p.kw % p.kh, c = t / p.kw / p.kh % p.cg, o = t / p.kw / p.kh / p.cg;
    const int64_t group = o / (p.o / p.groups);
    C sum = 0;
    for (int64_t k = threadIdx.x; k < places; k += blockDim.x) {
      const int64_t j = k % p.ow, i = k / p.ow % p.oh, n = k / p.ow / p.oh;
      const int64_t row = i * p.stride_h - p.pad_h + ky * p.dilation_h;
      const int64_t column = j * p.stride_w - p.pad_w + kx * p.dilation_w;
      if (row < 0 || row >= p.h || column < 0 || column >= p.width) continue;
      sum += load(at<T>(p.y, n, o, i, j)) * load(at<T>(p.x, n, group * p.cg + c, row, column));
    }
    sum = block_reduce(sum, Sum(), shared);
    if (threadIdx.x == 0) static_cast<T*>(p.w.data)[t] = store<T>(sum);
  }
}

}  // namespace

extern "C" {

#define CONVOLUTIONS(t, T)                                                                                       \
  __global__ void conv2d_##t(const __grid_constant__ Convolution p) { forward<T>(p); }                           \
  __global__ void conv2d_backward_input_##t(const __grid_constant__ Convolution p) { backward_input<T>(p); }     \
  __global__ void conv2d_backward_weight_##t(const __grid_constant__ Convolution p) { backward_weight<T>(p); }
SHAKTI_FLOATS(CONVOLUTIONS)

}  // extern "C"
}  // namespace shakti::cuda
