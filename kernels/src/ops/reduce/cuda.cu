// Folding dimensions, in two launches: pieces of each output, then the pieces in their order. Outputs that lie side by side get a
// thread each; else a block folds one output's piece.
#include "cuda.h"

#include <climits>

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"

namespace shakti::cuda {
namespace {

struct Product {
  template <class C>
  __device__ __forceinline__ C operator()(C a, C b) const {
    return a * b;
  }
};
// Beyond 64 bits integers wrap around.
template <>
__device__ __forceinline__ int64_t Product::operator()(int64_t a, int64_t b) const {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
struct WrappingSum {
  template <class C>
  __device__ __forceinline__ C operator()(C a, C b) const {
    return a + b;
  }
};
template <>
__device__ __forceinline__ int64_t WrappingSum::operator()(int64_t a, int64_t b) const {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

template <class F, class C>
struct Start;
template <class C>
struct Start<WrappingSum, C> {
  __device__ static C value() { return C(0); }
};
template <class C>
struct Start<Product, C> {
  __device__ static C value() { return C(1); }
};
template <class C>
struct Start<Max, C> {
  __device__ static C value() { return -static_cast<C>(INFINITY); }
};
template <class C>
struct Start<Min, C> {
  __device__ static C value() { return static_cast<C>(INFINITY); }
};
template <>
struct Start<Max, int64_t> {
  __device__ static int64_t value() { return LLONG_MIN; }
};
template <>
struct Start<Min, int64_t> {
  __device__ static int64_t value() { return LLONG_MAX; }
};

template <class T>
__device__ __forceinline__ compute_t<T> element(const void* x, int64_t at) {
  return load(static_cast<const T*>(x)[at]);
}

// Folded places first, first + step, ... below end, into four sums by turns, so that loads need not wait for one another.
template <class T, class F, class C>
__device__ __forceinline__ void fold_places(const Fold& p, int64_t base, int64_t first, int64_t end, int64_t step, C (&acc)[4]) {
  int64_t i = first;
  if (p.folded_dims.ndim <= 1) {
    const int64_t stride = p.folded_dims.strides[0][0];
    for (; i + 3 * step < end; i += 4 * step) {
#pragma unroll
      for (int u = 0; u < 4; ++u) acc[u] = F()(acc[u], element<T>(p.x, base + (i + u * step) * stride));
    }
  }
  for (; i < end; i += step) {
    int64_t at[1];
    p.folded_dims.at(i, at);
    acc[0] = F()(acc[0], element<T>(p.x, base + at[0]));
  }
}

// The same of places that lie in order, 16 bytes at a time.
template <class T, class F, class C>
__device__ __forceinline__ void fold_packs(const T* x, int64_t first, int64_t end, C (&acc)[4]) {
  constexpr int N = Pack<T>::size;
  int64_t i = first + threadIdx.x * N;
  for (; i + N <= end; i += blockDim.x * N) {
    const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) acc[k % 4] = F()(acc[k % 4], load(pack.v[k]));
  }
  for (; i < end; ++i) acc[0] = F()(acc[0], load(x[i]));
}

// A block for a piece of an output.
template <class T, class F>
__device__ __forceinline__ void fold_blocks(const Fold& p) {
  using C = compute_t<T>;
  __shared__ C shared[32];
  const int64_t tasks = p.outputs * p.pieces;
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    const int64_t output = task % p.outputs, piece = task / p.outputs;
    int64_t base[1];
    p.kept_dims.at(output, base);
    const int64_t end = (piece + 1) * p.piece < p.folded ? (piece + 1) * p.piece : p.folded;
    C acc[4] = {Start<F, C>::value(), Start<F, C>::value(), Start<F, C>::value(), Start<F, C>::value()};
    if (p.packed)
      fold_packs<T, F>(static_cast<const T*>(p.x) + base[0], piece * p.piece, end, acc);
    else
      fold_places<T, F>(p, base[0], piece * p.piece + threadIdx.x, end, blockDim.x, acc);
    const C all = block_reduce(F()(F()(acc[0], acc[1]), F()(acc[2], acc[3])), F(), shared);
    if (threadIdx.x == 0) static_cast<C*>(p.partial)[task] = all;
  }
}

// A thread for a piece of an output.
template <class T, class F>
__device__ __forceinline__ void fold_threads(const Fold& p) {
  using C = compute_t<T>;
  const int64_t tasks = p.outputs * p.pieces;
  for (int64_t task = thread_of_grid(); task < tasks; task += threads_of_grid()) {
    const int64_t output = task % p.outputs, piece = task / p.outputs;
    int64_t base[1];
    p.kept_dims.at(output, base);
    const int64_t end = (piece + 1) * p.piece < p.folded ? (piece + 1) * p.piece : p.folded;
    C acc[4] = {Start<F, C>::value(), Start<F, C>::value(), Start<F, C>::value(), Start<F, C>::value()};
    fold_places<T, F>(p, base[0], piece * p.piece, end, 1, acc);
    static_cast<C*>(p.partial)[task] = F()(F()(acc[0], acc[1]), F()(acc[2], acc[3]));
  }
}

template <class Y, class C>
__device__ __forceinline__ void put(const Reporter&, Y* y, int64_t at, C v) {
  y[at] = store<Y>(v);
}
// What does not fit is an error, not another number.
__device__ __forceinline__ void put(const Reporter& reporter, int32_t* y, int64_t at, int64_t v) {
  if (v != static_cast<int32_t>(v)) reporter.say(Wrong::overflow, v, at);
  y[at] = static_cast<int32_t>(v);
}

template <class C, class Y, class F>
__device__ __forceinline__ void finish(const Finish& p) {
  for (int64_t i = thread_of_grid(); i < p.outputs; i += threads_of_grid()) {
    const C* partial = static_cast<const C*>(p.partial) + i;
    C acc = p.pieces > 0 ? partial[0] : Start<F, C>::value();
    for (int64_t k = 1; k < p.pieces; ++k) acc = F()(acc, partial[k * p.outputs]);
    put(p.reporter, static_cast<Y*>(p.y), i, acc);
  }
}

template <class C>
__device__ __forceinline__ bool is_nan(C v) {
  return v != v;
}

// The first NaN, else the first of the largest (or smallest). A block for a row.
template <class T, bool largest>
__device__ __forceinline__ void find(const Find& p) {
  using C = compute_t<T>;
  __shared__ C values[32];
  __shared__ int64_t places[32];
  const auto better = [](C a, int64_t i, C b, int64_t j) {  // b at j is wanted rather than a at i
    if (j < 0) return false;
    if (i < 0) return true;
    if (is_nan(a) || is_nan(b)) return is_nan(b) && (!is_nan(a) || j < i);
    return (largest ? b > a : b < a) || (a == b && j < i);
  };
  int64_t at[1];
  p.rows.at(blockIdx.x, at);
  const T* row = static_cast<const T*>(p.x) + at[0];
  C best = 0;
  int64_t place = -1;
  const auto take = [&](C v, int64_t i) {
    if (!better(best, place, v, i)) return;
    best = v;
    place = i;
  };
  for (int64_t i = threadIdx.x; i < p.n; i += blockDim.x) take(load(row[i * p.form.stride]), i);
  const auto over_warp = [&] {
    for (int step = 16; step > 0; step /= 2) {
      const C v = __shfl_xor_sync(kFullWarp, best, step);
      const int64_t i = __shfl_xor_sync(kFullWarp, place, step);
      take(v, i);
    }
  };
  over_warp();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) {
    values[warp] = best;
    places[warp] = place;
  }
  __syncthreads();
  if (warp != 0) return;
  const bool there = lane < blockDim.x / 32;
  best = there ? values[lane] : C(0);
  place = there ? places[lane] : -1;
  over_warp();
  if (lane != 0) return;
  static_cast<T*>(p.values)[blockIdx.x] = row[place * p.form.stride];
  p.indices[blockIdx.x] = static_cast<int32_t>(place);
}

// A block for a row, as many elements at a time as it has threads: sums within warps, then of the warps before, then of all tiles before.
// Floats are summed in f64, as on the CPU.
template <class T, class C>
__device__ __forceinline__ void cumulative_sum(const CumulativeSum& p) {
  __shared__ C warps[32];
  int64_t start[1];
  p.rows.at(blockIdx.x, start);
  const T* x = static_cast<const T*>(p.x) + start[0];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  C before = 0;
  for (int64_t tile = 0; tile < p.n; tile += blockDim.x) {
    const int64_t k = tile + threadIdx.x, i = p.reverse ? p.n - 1 - k : k;
    C v = k < p.n ? static_cast<C>(load(x[i * p.form.stride])) : C(0);
    for (int step = 1; step < 32; step *= 2) {
      const C left = __shfl_up_sync(kFullWarp, v, step);
      if (lane >= step) v += left;
    }
    if (lane == 31) warps[warp] = v;
    __syncthreads();
    C all = 0;
    for (int w = 0; w < blockDim.x / 32; ++w) {
      if (w == warp) v += all;
      all += warps[w];
    }
    if (k < p.n) {
      const int64_t at = static_cast<int64_t>(blockIdx.x) * p.n + i;
      put(p.reporter, static_cast<T*>(p.y), at, static_cast<compute_t<T>>(before + v));
    }
    before += all;
    __syncthreads();
  }
}

}  // namespace

extern "C" {

#define FOLDS_OF(op, F, t, T)                                                                        \
  __global__ void op##_blocks_##t(const __grid_constant__ Fold p) { fold_blocks<T, F>(p); }          \
  __global__ void op##_threads_##t(const __grid_constant__ Fold p) { fold_threads<T, F>(p); }
#define FINISH_OF(op, F, c, C, y, Y) \
  __global__ void op##_finish_##c##_##y(const __grid_constant__ Finish p) { finish<C, Y, F>(p); }
#define FOLDS(op, F)                                      \
  FOLDS_OF(op, F, f32, float)                             \
  FOLDS_OF(op, F, bf16, shakti::cuda::bf16)               \
  FOLDS_OF(op, F, f16, shakti::cuda::f16)                 \
  FOLDS_OF(op, F, f64, double)                            \
  FOLDS_OF(op, F, i32, int32_t)                           \
  FOLDS_OF(op, F, i64, int64_t)                           \
  FOLDS_OF(op, F, u8, uint8_t)                            \
  FOLDS_OF(op, F, bool, bool)                             \
  FINISH_OF(op, F, f32, float, f32, float)                \
  FINISH_OF(op, F, f32, float, bf16, shakti::cuda::bf16)  \
  FINISH_OF(op, F, f32, float, f16, shakti::cuda::f16)    \
  FINISH_OF(op, F, f64, double, f64, double)              \
  FINISH_OF(op, F, i64, int64_t, i64, int64_t)            \
  FINISH_OF(op, F, i64, int64_t, i32, int32_t)            \
  FINISH_OF(op, F, i64, int64_t, u8, uint8_t)
FOLDS(sum, WrappingSum)
FOLDS(prod, Product)
FOLDS(amax, Max)
FOLDS(amin, Min)

#define FINDS(t, T)                                                                         \
  __global__ void max_index_##t(const __grid_constant__ Find p) { find<T, true>(p); }       \
  __global__ void min_index_##t(const __grid_constant__ Find p) { find<T, false>(p); }
SHAKTI_FLOATS(FINDS)
FINDS(i32, int32_t)
FINDS(i64, int64_t)
FINDS(u8, uint8_t)

#define CUMSUM(t, T, C) \
  __global__ void cumsum_##t(const __grid_constant__ CumulativeSum p) { cumulative_sum<T, C>(p); }
CUMSUM(f32, float, double)
CUMSUM(bf16, shakti::cuda::bf16, double)
CUMSUM(f16, shakti::cuda::f16, double)
CUMSUM(f64, double, double)
CUMSUM(i32, int32_t, int64_t)
CUMSUM(i64, int64_t, int64_t)

}  // extern "C"
}  // namespace shakti::cuda
