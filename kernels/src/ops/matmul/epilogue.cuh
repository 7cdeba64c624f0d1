// What is done with sums once they are whole, on their way into y.
#pragma once
#include "../../simd/activation.h"
#include "cuda.h"

#include "../../cuda/device/numbers.cuh"

namespace shakti::cuda {

// Where one matrix of the batch lies.
struct BatchPlace {
  int64_t a, b, residual, gate, y;
};
__device__ __forceinline__ BatchPlace batch_place(const Product& p, int64_t i) {
  int64_t at[4];
  p.batch.at(i, at);
  return {at[0], at[1], at[2], at[3], i * p.m * p.n};
}

// What one block computes. Blocks are counted along n, then m, pieces and batches: x alone goes beyond 65,535.
struct BlockPlace {
  int64_t row, column;  // of blocks
  int64_t piece, batch;
};
__device__ __forceinline__ BlockPlace block_place(const Product& p) {
  const unsigned across = static_cast<unsigned>(p.blocks_n), down = static_cast<unsigned>(p.blocks_m),
                 pieces = static_cast<unsigned>(p.pieces), rows = blockIdx.x / across, matrices = rows / down;
  return {rows % down, blockIdx.x % across, matrices % pieces, matrices / pieces};
}

// N elements that follow one another; with 16 bytes of them they are read and written at once.
template <class E, int N>
struct alignas(sizeof(E) * N < 16 ? sizeof(E) * N : 16) Run {
  E v[N];
};
template <int N, class E, class C>
__device__ __forceinline__ void load_run(C (&to)[N], const E* from, int64_t step, int count, bool whole) {
  if (whole) {
    const auto r = *reinterpret_cast<const Run<E, N>*>(from);
#pragma unroll
    for (int e = 0; e < N; ++e) to[e] = load(r.v[e]);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) to[e] = e < count ? load(from[e * step]) : C(0);
  }
}
template <int N, class E, class C>
__device__ __forceinline__ void store_run(E* to, const C (&from)[N], int count, bool whole) {
  if (whole) {
    Run<E, N> r;
#pragma unroll
    for (int e = 0; e < N; ++e) r.v[e] = store<E>(from[e]);
    *reinterpret_cast<Run<E, N>*>(to) = r;
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e)
      if (e < count) to[e] = store<E>(from[e]);
  }
}

template <class F, int N, class C>
__device__ __forceinline__ void apply(C (&v)[N]) {
#pragma unroll
  for (int e = 0; e < N; ++e) v[e] = F::run(v[e]);
}

// N sums of row i from column j on, into y. A run is whole where y and all that it meets can be read in runs.
template <class T, class Y, int N, class C>
__device__ __forceinline__ void finish_sums(const Product& p, const BatchPlace& place, int64_t i, int64_t j,
                                            C (&sums)[N]) {
  const int count = static_cast<int>(p.n - j < N ? p.n - j : N);
  const bool whole = N == 1 || p.runs;
  Y* y = static_cast<Y*>(p.y) + place.y + i * p.n + j;
  C with[N];
  if (p.accumulate) {
    load_run(with, y, 1, count, whole);
#pragma unroll
    for (int e = 0; e < N; ++e) sums[e] += with[e];
  }
#pragma unroll
  for (int e = 0; e < N; ++e) sums[e] *= static_cast<C>(p.scale);
  if (p.bias) {
    load_run(with, static_cast<const T*>(p.bias) + j * p.bias_stride, p.bias_stride, count, whole);
#pragma unroll
    for (int e = 0; e < N; ++e) sums[e] += with[e];
  }
  switch (p.activation) {
    case matmul::Activation::gelu: apply<Gelu>(sums); break;
    case matmul::Activation::gelu_tanh: apply<GeluTanh>(sums); break;
    case matmul::Activation::silu: apply<Silu>(sums); break;
    default: break;
  }
  if (p.gate.data) {
    load_run(with, static_cast<const Y*>(p.gate.data) + place.gate + i * p.gate.row + j * p.gate.column, p.gate.column,
             count, whole);
    apply<Silu>(with);
#pragma unroll
    for (int e = 0; e < N; ++e) sums[e] *= with[e];
  }
  if (p.residual.data) {
    load_run(with, static_cast<const Y*>(p.residual.data) + place.residual + i * p.residual.row + j * p.residual.column,
             p.residual.column, count, whole);
#pragma unroll
    for (int e = 0; e < N; ++e) sums[e] += with[e];
  }
  store_run(y, sums, count, whole);
}

// Sums of one piece of the depth go to their place, be they final or not.
template <class T, class Y, int N, class C>
__device__ __forceinline__ void put_sums(const Product& p, const BatchPlace& place, int64_t piece, int64_t i, int64_t j,
                                         C (&sums)[N]) {
  if (i >= p.m || j >= p.n) return;
  if (p.pieces == 1)
    finish_sums<T, Y>(p, place, i, j, sums);
  else
    store_run(p.partial + piece * p.batches * p.m * p.n + place.y + i * p.n + j, sums,
              static_cast<int>(p.n - j < N ? p.n - j : N), N == 1 || p.runs);
}
// One of them.
template <class T, class Y, class C>
__device__ __forceinline__ void put_sum(const Product& p, const BatchPlace& place, int64_t piece, int64_t i, int64_t j,
                                        C sum) {
  C one[1] = {sum};
  put_sums<T, Y>(p, place, piece, i, j, one);
}

// Sums that 16 bytes of y hold.
template <class Y>
constexpr int kRun = 16 / sizeof(Y);

}  // namespace shakti::cuda
