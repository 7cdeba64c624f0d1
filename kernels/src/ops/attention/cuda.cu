// Attention by tiles of queries and keys with the online softmax (Dao et al., arXiv 2205.14135), forward and backward; scores are never
// whole. The kernels here multiply in f32 (f64 for f64) and take every form of operands; tensor_core.cuh has those for bf16 and f16,
// split_keys.cuh those for few queries, split_bytes.cuh the same over keys in bytes.
#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/math.cuh"
#include "../../cuda/device/reduce.cuh"
#include "split_bytes.cuh"

namespace shakti::cuda {
namespace {

constexpr int kBlockThreads = 128;

// Head dims up to D, in tiles of B queries and B keys; kBlockThreads / B threads share a row.
template <int D, int B>
struct Shape {
  static constexpr int threads_of_row = kBlockThreads / B;
  static constexpr int scores = B > threads_of_row ? B / threads_of_row : 1;  // of a row that a thread computes
  static constexpr int columns = D / threads_of_row;  // of a row that a thread owns: every threads_of_row-th
  static constexpr int line = D + 1;                  // elements from row to row in shared memory: an odd number of banks
};

template <class C, int D, int B>
struct Tiles {
  using S = Shape<D, B>;
  int row, part;  // this thread's

  __device__ __forceinline__ Tiles() : row(threadIdx.x / S::threads_of_row), part(threadIdx.x % S::threads_of_row) {}

  // Rows [first, first + B) of a head; 0 behind the last and behind the head dim.
  template <class T>
  __device__ __forceinline__ void fetch(C* to, const Rows4& x, int64_t b, int64_t h, int64_t first, int64_t rows, int64_t d) const {
    for (int e = threadIdx.x; e < B * D; e += kBlockThreads) {
      const int r = e / D, c = e % D;
      to[r * S::line + c] = first + r < rows && c < d ? load(row_of<T>(x, b, first + r, h)[c * x.last]) : C(0);
    }
  }
  // The same of numbers in bytes, times their scale.
  __device__ __forceinline__ void fetch_bytes(C* to, const Rows4& x, const Rows4& scale, int64_t b, int64_t h, int64_t first, int64_t rows,
                                              int64_t d) const {
    for (int e = threadIdx.x; e < B * D; e += kBlockThreads) {
      const int r = e / D, c = e % D;
      const bool there = first + r < rows && c < d;
      to[r * S::line + c] =
          there ? C(static_cast<int>(row_of<uint8_t>(x, b, first + r, h)[c * x.last]) - 128) * C(*row_of<float>(scale, b, first + r, h)) : C(0);
    }
  }
  // The product of two rows.
  __device__ __forceinline__ static C dot(const C* x, const C* y) {
    C sum = 0;
#pragma unroll 8
    for (int c = 0; c < D; ++c) sum += x[c] * y[c];
    return sum;
  }
  // Rows of a tile times this row's weights for them are added to the thread's columns.
  __device__ __forceinline__ void add_rows(C (&sums)[S::columns], const C* weights, const C* rows) const {
    for (int r = 0; r < B; ++r) {
      const C w = weights[row * (B + 1) + r];
      const C* from = rows + r * S::line + part;
#pragma unroll
      for (int c = 0; c < S::columns; ++c) sums[c] += w * from[c * S::threads_of_row];
    }
  }
  // The thread's columns, times `by`, to row i of a head.
  template <class T>
  __device__ __forceinline__ void put(const Rows4& to, int64_t b, int64_t h, int64_t i, int64_t d, const C (&sums)[S::columns], C by = 1) const {
    T* at = static_cast<T*>(to.data) + b * to.batch + i * to.row + h * to.head;
#pragma unroll
    for (int c = 0; c < S::columns; ++c) {
      const int column = c * S::threads_of_row + part;
      if (column < d) at[column] = store<T>(sums[c] * by);
    }
  }
};

template <class F, int Threads, class C>
__device__ __forceinline__ C row_reduce(C v, F f) {
#pragma unroll
  for (int step = Threads / 2; step > 0; step /= 2) v = f(v, __shfl_xor_sync(kFullWarp, v, step));
  return v;
}

// A block for a tile of queries of a head.
template <class T, int D, int B>
__device__ __forceinline__ void forward(const Attention& p) {
  using C = compute_t<T>;
  using S = Shape<D, B>;
  extern __shared__ double memory[];
  C* q = reinterpret_cast<C*>(memory);
  C* kv = q + B * S::line;
  C* weights = kv + B * S::line;  // [B][B + 1]
  const Tiles<C, D, B> t;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * B, h = blockIdx.y, b = blockIdx.z, hk = h / (p.h / p.hk);
  const int64_t i = first + t.row;
  const C never = -static_cast<C>(INFINITY);
  t.template fetch<T>(q, p.q, b, h, first, p.lq, p.d);
  const KeyRange mine = i < p.lq ? keys_of(p, i) : KeyRange{0, 0};
  const int64_t last = first + B < p.lq ? first + B : p.lq;
  const int64_t begin = keys_of(p, first).begin / B * B, end = keys_of(p, last - 1).end;
  C top = never, sum = 0, out[S::columns] = {};
  for (int64_t j0 = begin; j0 < end; j0 += B) {
    __syncthreads();
    if (p.k_scale.data)
      t.fetch_bytes(kv, p.k, p.k_scale, b, hk, j0, p.lk, p.d);
    else
      t.template fetch<T>(kv, p.k, b, hk, j0, p.lk, p.d);
    __syncthreads();
    C scores[S::scores], most = never;
#pragma unroll
    for (int s = 0; s < S::scores; ++s) {
      const int j = s * S::threads_of_row + t.part;
      const C score = j < B ? t.dot(q + t.row * S::line, kv + j * S::line) * static_cast<C>(p.scale) : never;
      scores[s] = i < p.lq && j < B ? masked<T>(p, score, mine, b, h, i, j0 + j) : never;
      most = Max()(most, scores[s]);
    }
    most = Max()(top, row_reduce<Max, S::threads_of_row>(most, Max()));
    const C shrink = most == never ? C(1) : exponential(top - most);
    C more = 0;
#pragma unroll
    for (int s = 0; s < S::scores; ++s) {
      const C w = most == never ? C(0) : exponential(scores[s] - most);
      more += w;
      if (s * S::threads_of_row + t.part < B) weights[t.row * (B + 1) + s * S::threads_of_row + t.part] = w;
    }
    sum = sum * shrink + row_reduce<Sum, S::threads_of_row>(more, Sum());
    top = most;
    __syncthreads();
    if (p.v_scale.data)
      t.fetch_bytes(kv, p.v, p.v_scale, b, hk, j0, p.lk, p.d);
    else
      t.template fetch<T>(kv, p.v, b, hk, j0, p.lk, p.d);
    __syncthreads();
#pragma unroll
    for (int c = 0; c < S::columns; ++c) out[c] *= shrink;
    t.add_rows(out, weights, kv);
  }
  if (i >= p.lq) return;
  t.template put<T>(p.y, b, h, i, p.d, out, inverse_of_weights(sum));
  if (t.part == 0) static_cast<C*>(p.lse)[(b * p.h + h) * p.lq + i] = sum == 0 ? never : top + natural_log(sum);
}

// delta = sum of g * y, a warp for a row.
template <class T>
__device__ __forceinline__ void delta(const Attention& p) {
  using C = compute_t<T>;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * (kBlockThreads / 32) + threadIdx.x / 32, h = blockIdx.y, b = blockIdx.z;
  if (i >= p.lq) return;
  const T *g = row_of<T>(p.g, b, i, h), *y = row_of<T>(p.y, b, i, h);
  C sum = 0;
  for (int64_t c = threadIdx.x % 32; c < p.d; c += 32) sum += load(g[c * p.g.last]) * load(y[c * p.y.last]);
  sum = warp_reduce(sum, Sum());
  if (threadIdx.x % 32 == 0) static_cast<C*>(p.delta)[(b * p.h + h) * p.lq + i] = sum;
}

// The weight of a query for a key, and the gradient of its score, from what forward left.
template <class T, class C>
__device__ __forceinline__ void weight_and_slope(const Attention& p, C score, C gv, C lse, C delta_, const KeyRange& range, int64_t b,
                                                 int64_t h, int64_t i, int64_t j, C* w, C* slope) {
  const C s = masked<T>(p, score * static_cast<C>(p.scale), range, b, h, i, j);
  *w = lse == -static_cast<C>(INFINITY) ? C(0) : exponential(s - lse);
  *slope = *w * (gv - delta_) * static_cast<C>(p.scale);
}

// A block for a tile of queries: dq.
template <class T, int D, int B>
__device__ __forceinline__ void backward_q(const Attention& p) {
  using C = compute_t<T>;
  using S = Shape<D, B>;
  extern __shared__ double memory[];
  C* q = reinterpret_cast<C*>(memory);
  C *g = q + B * S::line, *k = g + B * S::line, *v = k + B * S::line, *slopes = v + B * S::line;
  const Tiles<C, D, B> t;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * B, h = blockIdx.y, b = blockIdx.z, hk = h / (p.h / p.hk);
  const int64_t i = first + t.row, at = (b * p.h + h) * p.lq + i;
  t.template fetch<T>(q, p.q, b, h, first, p.lq, p.d);
  t.template fetch<T>(g, p.g, b, h, first, p.lq, p.d);
  const KeyRange mine = i < p.lq ? keys_of(p, i) : KeyRange{0, 0};
  const C lse = i < p.lq ? static_cast<const C*>(p.lse)[at] : -static_cast<C>(INFINITY);
  const C del = i < p.lq ? static_cast<const C*>(p.delta)[at] : C(0);
  const int64_t last = first + B < p.lq ? first + B : p.lq;
  const int64_t begin = keys_of(p, first).begin / B * B, end = keys_of(p, last - 1).end;
  C dq[S::columns] = {};
  for (int64_t j0 = begin; j0 < end; j0 += B) {
    __syncthreads();
    t.template fetch<T>(k, p.k, b, hk, j0, p.lk, p.d);
    t.template fetch<T>(v, p.v, b, hk, j0, p.lk, p.d);
    __syncthreads();
#pragma unroll 1
    for (int s = 0; s < S::scores; ++s) {
      const int j = s * S::threads_of_row + t.part;
      if (j >= B) break;
      C w, slope;
      weight_and_slope<T>(p, t.dot(q + t.row * S::line, k + j * S::line), t.dot(g + t.row * S::line, v + j * S::line), lse, del, mine,
                          b, h, i, j0 + j, &w, &slope);
      slopes[t.row * (B + 1) + j] = slope;
    }
    __syncthreads();
    t.add_rows(dq, slopes, k);
  }
  if (i < p.lq) t.template put<T>(p.dq, b, h, i, p.d, dq);
}

// A block for a tile of keys of a head of keys: dk and dv, over the queries of all heads that share it, in order.
template <class T, int D, int B>
__device__ __forceinline__ void backward_kv(const Attention& p) {
  using C = compute_t<T>;
  using S = Shape<D, B>;
  extern __shared__ double memory[];
  C* q = reinterpret_cast<C*>(memory);
  C *g = q + B * S::line, *k = g + B * S::line, *v = k + B * S::line;
  C *weights = v + B * S::line, *slopes = weights + B * (B + 1);
  const Tiles<C, D, B> t;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * B, hk = blockIdx.y, b = blockIdx.z, group = p.h / p.hk;
  const int64_t last = first + B < p.lk ? first + B : p.lk, j = first + t.row;
  t.template fetch<T>(k, p.k, b, hk, first, p.lk, p.d);
  t.template fetch<T>(v, p.v, b, hk, first, p.lk, p.d);
  const KeyRange queries = queries_of(p, first, last);
  C dk[S::columns] = {}, dv[S::columns] = {};
  for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
    for (int64_t i0 = queries.begin / B * B; i0 < queries.end; i0 += B) {
      __syncthreads();
      t.template fetch<T>(q, p.q, b, h, i0, p.lq, p.d);
      t.template fetch<T>(g, p.g, b, h, i0, p.lq, p.d);
      __syncthreads();
#pragma unroll 1
      for (int s = 0; s < S::scores; ++s) {
        const int r = s * S::threads_of_row + t.part;
        if (r >= B) break;
        const int64_t i = i0 + r, at = (b * p.h + h) * p.lq + i;
        C w = 0, slope = 0;
        if (i < p.lq && j < p.lk)
          weight_and_slope<T>(p, t.dot(q + r * S::line, k + t.row * S::line), t.dot(g + r * S::line, v + t.row * S::line),
                              static_cast<const C*>(p.lse)[at], static_cast<const C*>(p.delta)[at], keys_of(p, i), b, h, i, j, &w,
                              &slope);
        weights[t.row * (B + 1) + r] = w;
        slopes[t.row * (B + 1) + r] = slope;
      }
      __syncthreads();
      t.add_rows(dv, weights, g);
      t.add_rows(dk, slopes, q);
    }
  }
  if (j >= p.lk) return;
  t.template put<T>(p.dk, b, hk, j, p.d, dk);
  t.template put<T>(p.dv, b, hk, j, p.d, dv);
}

}  // namespace

extern "C" {

// Head dims up to D. Blocks a multiprocessor are told where shared memory limits them: ptxas would spill registers to fit one more.
#define ATTENTION_OF(t, T, D, B)                                                                                     \
  __global__ void __launch_bounds__(128, 4) attention_##D##_##t(const __grid_constant__ Attention p) { forward<T, D, B>(p); }             \
  __global__ void __launch_bounds__(128, 3) attention_backward_q_##D##_##t(const __grid_constant__ Attention p) { backward_q<T, D, B>(p); } \
  __global__ void __launch_bounds__(128, 3) attention_backward_kv_##D##_##t(const __grid_constant__ Attention p) { backward_kv<T, D, B>(p); }
#define ATTENTION(t, T)                                                                        \
  ATTENTION_OF(t, T, 64, 32)                                                                   \
  ATTENTION_OF(t, T, 128, 32)                                                                  \
  ATTENTION_OF(t, T, 256, 16)                                                                  \
  ATTENTION_OF(t, T, 512, 8)                                                                   \
  __global__ void attention_delta_##t(const __grid_constant__ Attention p) { delta<T>(p); }
SHAKTI_HALVES_AND_F32(ATTENTION)
ATTENTION_OF(f64, double, 64, 16)
ATTENTION_OF(f64, double, 128, 16)
ATTENTION_OF(f64, double, 256, 8)
__global__ void attention_delta_f64(const __grid_constant__ Attention p) { delta<double>(p); }

#define TENSOR_ATTENTION_OF(t, T, D)                                                                                 \
  __global__ void __launch_bounds__(128) attention_tensor_##D##_##t(const __grid_constant__ Attention p) {           \
    tensor_forward<T, D>(p);                                                                                         \
  }                                                                                                                  \
  __global__ void __launch_bounds__(128) attention_tensor_split_##D##_##t(const __grid_constant__ Attention p) {     \
    tensor_split<T, D>(p);                                                                                           \
  }                                                                                                                  \
  __global__ void __launch_bounds__(128) attention_tensor_split_bytes_##D##_##t(const __grid_constant__ Attention p) { \
    tensor_split_bytes<T, D>(p);                                                                                     \
  }                                                                                                                  \
  __global__ void __launch_bounds__(128, D > 64 ? 2 : 3) attention_tensor_backward_q_##D##_##t(const __grid_constant__ Attention p) { \
    tensor_backward_q<T, D>(p);                                                                                      \
  }                                                                                                                  \
  __global__ void __launch_bounds__(128, 2) attention_tensor_backward_kv_##D##_##t(const __grid_constant__ Attention p) { \
    tensor_backward_kv<T, D>(p);                                                                                     \
  }
#define TENSOR_ATTENTION(t, T)   \
  TENSOR_ATTENTION_OF(t, T, 64)  \
  TENSOR_ATTENTION_OF(t, T, 80)  \
  TENSOR_ATTENTION_OF(t, T, 96)  \
  TENSOR_ATTENTION_OF(t, T, 128) \
  __global__ void __launch_bounds__(128) attention_tensor_delta_##t(const __grid_constant__ Attention p) { tensor_delta<T>(p); }
TENSOR_ATTENTION(bf16, shakti::cuda::bf16)
TENSOR_ATTENTION(f16, shakti::cuda::f16)

__global__ void __launch_bounds__(128) attention_split_f32(const __grid_constant__ Attention p) { plain_split(p); }
#define JOIN_PARTS(t, T) \
  __global__ void __launch_bounds__(128) attention_join_parts_##t(const __grid_constant__ Attention p) { join_parts<T>(p); }
SHAKTI_HALVES_AND_F32(JOIN_PARTS)

// Borders of packed sequences: from 0, ascending, to the length.
__global__ void attention_borders(const __grid_constant__ Attention p) {
  for (int side = 0; side < 2; ++side) {
    const int32_t* borders = side == 0 ? p.cu_q : p.cu_k;
    const int64_t length = side == 0 ? p.lq : p.lk;
    for (int64_t s = thread_of_grid(); s <= p.sequences; s += threads_of_grid()) {
      const bool good = s == 0 ? borders[0] == 0 : borders[s] >= borders[s - 1];
      const bool ends = p.room && side == 1 ? borders[s] <= length : borders[s] == length;
      if (!good || (s == p.sequences && !ends)) p.reporter.say(Wrong::lengths, side, length);
    }
  }
}

}  // extern "C"
}  // namespace shakti::cuda
