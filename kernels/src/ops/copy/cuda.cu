// Moving and converting. An element is moved by its size; only a change of dtype looks at its value.
#include "cuda.h"

#include "../../cuda/device/convert.cuh"
#include "../../cuda/device/grid.cuh"

namespace shakti::cuda {
namespace {

template <class T>
__device__ void move(const Move& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  for (int64_t i = thread_of_grid(); i < p.walk.numel; i += threads_of_grid()) {
    int64_t at[2];
    p.walk.at(i, at);
    y[at[1]] = x[at[0]];
  }
}

template <class S, class T>
__device__ void convert_all(const Move& p) {
  const S* x = static_cast<const S*>(p.x);
  T* y = static_cast<T*>(p.y);
  for (int64_t i = thread_of_grid(); i < p.walk.numel; i += threads_of_grid()) {
    int64_t at[2];
    p.walk.at(i, at);
    y[at[1]] = convert<T>(x[at[0]]);
  }
}

// Both dense and on 16 bytes: a thread converts as many elements as 16 bytes of the longer dtype have.
template <class S, class T>
__device__ void convert_dense(const Move& p) {
  constexpr int n = 16 / (sizeof(S) > sizeof(T) ? sizeof(S) : sizeof(T));
  struct alignas(n * sizeof(S)) From {
    S v[n];
  };
  struct alignas(n * sizeof(T)) To {
    T v[n];
  };
  const int64_t whole = p.walk.numel / n;
  for (int64_t i = thread_of_grid(); i < whole; i += threads_of_grid()) {
    const From from = static_cast<const From*>(p.x)[i];
    To to;
#pragma unroll
    for (int k = 0; k < n; ++k) to.v[k] = convert<T>(from.v[k]);
    static_cast<To*>(p.y)[i] = to;
  }
  const int64_t rest = whole * n + thread_of_grid();
  if (rest < p.walk.numel) static_cast<T*>(p.y)[rest] = convert<T>(static_cast<const S*>(p.x)[rest]);
}

// A square of 32 x 32 through shared memory, so that both sides are read and written along their lines. 8 rows of threads.
template <class T>
__device__ void transpose(const Transpose& p) {
  __shared__ T square[32][33];
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * 32, col0 = static_cast<int64_t>(blockIdx.y) * 32;
  const T* x = static_cast<const T*>(p.x) + blockIdx.z * p.x_plane;
  T* y = static_cast<T*>(p.y) + blockIdx.z * p.y_plane;
  for (int k = threadIdx.y; k < 32; k += 8) {
    const int64_t row = row0 + threadIdx.x, col = col0 + k;
    if (row < p.rows && col < p.cols) square[k][threadIdx.x] = x[col * p.x_col + row];
  }
  __syncthreads();
  for (int k = threadIdx.y; k < 32; k += 8) {
    const int64_t row = row0 + k, col = col0 + threadIdx.x;
    if (row < p.rows && col < p.cols) y[row * p.y_row + col] = square[threadIdx.x][k];
  }
}

template <class T>
__device__ void fill(const Fill& p) {
  T* y = static_cast<T*>(p.y);
  const T value = from_double<T>(p.value);
  if (p.packed) {
    constexpr int n = 16 / sizeof(T);
    struct alignas(16) Values {
      T v[n];
    } values;
#pragma unroll
    for (int k = 0; k < n; ++k) values.v[k] = value;
    const int64_t whole = p.walk.numel / n;
    for (int64_t i = thread_of_grid(); i < whole; i += threads_of_grid()) static_cast<Values*>(p.y)[i] = values;
    const int64_t rest = whole * n + thread_of_grid();
    if (rest < p.walk.numel) y[rest] = value;
    return;
  }
  for (int64_t i = thread_of_grid(); i < p.walk.numel; i += threads_of_grid()) {
    int64_t at[1];
    p.walk.at(i, at);
    y[at[0]] = value;
  }
}

template <class T>
__device__ void triangle(const Triangle& p) {
  for (int64_t i = thread_of_grid(); i < p.walk.numel; i += threads_of_grid()) {
    const int64_t row = i / p.cols % p.rows, col = i % p.cols;
    const bool keep = p.lower ? col <= row + p.diagonal : col >= row + p.diagonal;
    int64_t at[1];
    p.walk.at(i, at);
    static_cast<T*>(p.y)[i] = keep ? static_cast<const T*>(p.x)[at[0]] : T{0};
  }
}

}  // namespace

extern "C" {

#define OF_SIZE(bits)                                                                                              \
  __global__ void move_##bits(const __grid_constant__ Move p) { move<uint##bits##_t>(p); }                         \
  __global__ void triangle_##bits(const __grid_constant__ Triangle p) { triangle<uint##bits##_t>(p); }             \
  __global__ void __launch_bounds__(256) transpose_##bits(const __grid_constant__ Transpose p) {                   \
    transpose<uint##bits##_t>(p);                                                                                  \
  }
OF_SIZE(8)
OF_SIZE(16)
OF_SIZE(32)
OF_SIZE(64)

__global__ void move_dense(const __grid_constant__ Move p) {
  const int64_t whole = p.walk.numel / 16;  // bytes
  for (int64_t i = thread_of_grid(); i < whole; i += threads_of_grid())
    static_cast<int4*>(p.y)[i] = static_cast<const int4*>(p.x)[i];
  const int64_t rest = whole * 16 + thread_of_grid();
  if (rest < p.walk.numel) static_cast<char*>(p.y)[rest] = static_cast<const char*>(p.x)[rest];
}

#define CONVERT(s, S, t, T) \
  __global__ void convert_##s##_##t(const __grid_constant__ Move p) { convert_all<S, T>(p); }
#define CONVERT_FROM(s, S)                 \
  CONVERT(s, S, f32, float)                \
  CONVERT(s, S, bf16, shakti::cuda::bf16)  \
  CONVERT(s, S, f16, shakti::cuda::f16)    \
  CONVERT(s, S, f64, double)               \
  CONVERT(s, S, i32, int32_t)              \
  CONVERT(s, S, i64, int64_t)              \
  CONVERT(s, S, u8, uint8_t)               \
  CONVERT(s, S, bool, bool)
SHAKTI_ALL(CONVERT_FROM)

#define DENSE(s, S, t, T) \
  __global__ void convert_dense_##s##_##t(const __grid_constant__ Move p) { convert_dense<S, T>(p); }
DENSE(f32, float, bf16, shakti::cuda::bf16)
DENSE(f32, float, f16, shakti::cuda::f16)
DENSE(bf16, shakti::cuda::bf16, f32, float)
DENSE(f16, shakti::cuda::f16, f32, float)
DENSE(bf16, shakti::cuda::bf16, f16, shakti::cuda::f16)
DENSE(f16, shakti::cuda::f16, bf16, shakti::cuda::bf16)

#define ARANGE(t, T)                                                                            \
  __global__ void arange_##t(const __grid_constant__ Arange p) {                                \
    for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid())                         \
      static_cast<T*>(p.y)[i] = from_double<T>(p.start + p.step * static_cast<double>(i));      \
  }
SHAKTI_ALL(ARANGE)

#define FILL(t, T) \
  __global__ void fill_##t(const __grid_constant__ Fill p) { fill<T>(p); }
SHAKTI_ALL(FILL)

}  // extern "C"
}  // namespace shakti::cuda
