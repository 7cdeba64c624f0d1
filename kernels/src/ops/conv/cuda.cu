// 2-D convolution: y and dx as products of matrices, dw a block for an element. Patch embedding does not come through
// here: a reshape and a product do it.
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

// What a step of the depth takes: a channel of a group of what is read (-1: behind the last), and a place of the
// kernel.
struct Tap {
  int channel, ky, kx;
};

// Where kernel place k at place `at` of what is written reads; false: between or beside what there is.
template <bool Turned>
__device__ __forceinline__ bool source(int* from, int at, int k, int stride, int pad, int dilation, int size) {
  const int v = Turned ? at + pad - k * dilation : at * stride - pad + k * dilation;
  *from = Turned ? v / stride : v;
  return v >= 0 && *from < size && (!Turned || v % stride == 0);
}

// y from x, or, turned, dx from the gradient in p.y: weights, a row for a channel of what is written, times patches of
// what is read, a column for a place of what is written. The patches are nowhere in memory: a block gathers kDepth rows
// of kColumns at a time.
template <class T, bool Turned>
__device__ __forceinline__ void patches_product(const Convolution& p) {
  using C = compute_t<T>;
  constexpr int kRows = kConvRows, kColumns = kConvColumns, kDepth = 16, kLanes = 16, kEach = 4;
  static_assert(kRows * kColumns == kConvThreads * kEach * kEach, "a thread has kEach rows of kEach columns");
  __shared__ alignas(16) C weights[kDepth][kRows + kEach], patches[kDepth][kColumns];
  __shared__ Tap taps[2][kDepth];  // of this step and of the next
  const Planes &read = Turned ? p.y : p.x, &written = Turned ? p.x : p.y;
  const auto n = [](int64_t size) { return static_cast<int>(size); };
  const int of_group = n(p.o / p.groups), rows = Turned ? n(p.cg) : of_group, channels = Turned ? of_group : n(p.cg);
  const int kh = n(p.kh), kw = n(p.kw), depth = channels * kh * kw, t = threadIdx.x;
  const int read_h = n(Turned ? p.oh : p.h), read_w = n(Turned ? p.ow : p.width);
  const int blocks = (rows + kRows - 1) / kRows, group = blockIdx.y / blocks, first_row = blockIdx.y % blocks * kRows;
  const int64_t width = Turned ? p.width : p.ow, places = width * (Turned ? p.h : p.oh), columns = p.n * places;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumns, column = first + t % kColumns;
  // The thread gathers one column, always the same.
  const bool there = column < columns;
  const int64_t image = there ? column / places : 0;
  const int i = n(column % places / width), j = n(column % width);

  const auto prepare = [&](int from) {
    const int k = from + t;
    if (t < kDepth) taps[from / kDepth % 2][t] = {k < depth ? k / kw / kh : -1, k / kw % kh, k % kw};
  };
  prepare(0);
  __syncthreads();
  C sums[kEach][kEach] = {};
  for (int from = 0; from < depth; from += kDepth) {
    const Tap* step = taps[from / kDepth % 2];
#pragma unroll
    for (int e = t / kDepth; e < kRows; e += kConvThreads / kDepth) {
      const Tap tap = step[t % kDepth];
      const int row = first_row + e, o = group * of_group + (Turned ? tap.channel : row);
      weights[t % kDepth][e] =
          row < rows && tap.channel >= 0 ? load(at<T>(p.w, o, Turned ? row : tap.channel, tap.ky, tap.kx)) : C(0);
    }
#pragma unroll
    for (int e = t / kColumns; e < kDepth; e += kConvThreads / kColumns) {
      const Tap tap = step[e];
      int y, x;
      const bool in_y = source<Turned>(&y, i, tap.ky, n(p.stride_h), n(p.pad_h), n(p.dilation_h), read_h);
      const bool in_x = source<Turned>(&x, j, tap.kx, n(p.stride_w), n(p.pad_w), n(p.dilation_w), read_w);
      patches[e][t % kColumns] = there && tap.channel >= 0 && in_y && in_x
                                     ? load(at<T>(read, image, group * channels + tap.channel, y, x))
                                     : C(0);
    }
    prepare(from + kDepth);
    __syncthreads();  // the step is there
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      C w[kEach], v[kEach];
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        w[e] = weights[k][t / kLanes * kEach + e];
        v[e] = patches[k][t % kLanes + e * kLanes];
      }
#pragma unroll
      for (int r = 0; r < kEach; ++r) {
#pragma unroll
        for (int c = 0; c < kEach; ++c) sums[r][c] += w[r] * v[c];
      }
    }
    __syncthreads();  // the step has been read
  }
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int row = first_row + t / kLanes * kEach + r, channel = group * rows + row;
    if (row >= rows) continue;
    const C bias = p.bias && !Turned ? load(static_cast<const T*>(p.bias)[channel * p.bias_stride]) : C(0);
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int64_t place = first + t % kLanes + c * kLanes;
      if (place >= columns) continue;
      // Both are written contiguous.
      T* to = static_cast<T*>(written.data) + (place / places * p.groups * rows + channel) * places;
      to[place % places] = store<T>(sums[r][c] + bias);
    }
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

#define CONVOLUTIONS(t, T)                                                                                           \
  __global__ void __launch_bounds__(kConvThreads) conv2d_##t(const __grid_constant__ Convolution p) {                \
    patches_product<T, false>(p);                                                                                    \
  }                                                                                                                  \
  __global__ void __launch_bounds__(kConvThreads) conv2d_backward_input_##t(const __grid_constant__ Convolution p) { \
    patches_product<T, true>(p);                                                                                     \
  }                                                                                                                  \
  __global__ void conv2d_backward_weight_##t(const __grid_constant__ Convolution p) { backward_weight<T>(p); }
SHAKTI_FLOATS(CONVOLUTIONS)

}  // extern "C"
}  // namespace shakti::cuda
