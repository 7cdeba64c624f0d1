// LayerNorm and RMSNorm: a block for a row forward, a block for a part of the rows backward, whose threads keep the sums for
// the gradients of weight and bias of the columns that they own.
#include "cuda.h"

#include "../../cuda/device/reduce.cuh"
#include "../../cuda/device/row.cuh"

namespace shakti::cuda {
namespace {

template <class T, class W, bool centred>
__device__ __forceinline__ void forward(const Norm& p) {
  using C = compute_t<T>;
  constexpr int N = Row<T>::N;
  __shared__ C shared[32];
  int64_t at[1];
  p.rows.at(blockIdx.x, at);
  const Row<T> x(static_cast<const T*>(p.x) + at[0], p.x_form, p.n);
  C m = 0;
  if (centred) {
    x.each([&](int64_t, const C(&v)[N]) {
#pragma unroll
      for (int k = 0; k < N; ++k) m += v[k];
    });
    m = block_reduce(m, Sum(), shared) / static_cast<C>(p.n);
  }
  C sum = 0;
  x.each([&](int64_t i, const C(&v)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (k < x.count(i)) sum += (v[k] - m) * (v[k] - m);
  });
  const C s = 1 / sqrt(block_reduce(sum, Sum(), shared) / static_cast<C>(p.n) + static_cast<C>(p.eps));
  if (threadIdx.x == 0) {
    if (centred) static_cast<C*>(p.mean)[blockIdx.x] = m;
    static_cast<C*>(p.rstd)[blockIdx.x] = s;
  }
  T* y = static_cast<T*>(p.y) + static_cast<int64_t>(blockIdx.x) * p.n;
  x.each([&](int64_t i, const C(&v)[N]) {
    compute_t<W> w[N], b[N];
    C out[N];
    if (p.weight) load_run(static_cast<const W*>(p.weight), p.weight_form, i, p.n, w);
    if (p.bias) load_run(static_cast<const W*>(p.bias), p.bias_form, i, p.n, b);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      out[k] = (v[k] - m) * s;
      if (p.weight) out[k] *= w[k];
      if (p.bias) out[k] += b[k];
    }
    store_run(y, p.y_form, i, p.n, out);
  });
}

template <class T, class W, bool centred>
__device__ __forceinline__ void backward(const NormBackward& p) {
  using C = compute_t<T>;
  constexpr int N = Row<T>::N;
  constexpr int kinds = centred ? 2 : 1;
  __shared__ C shared[2][32];
  C* sums = static_cast<C*>(p.sums) + static_cast<int64_t>(blockIdx.x) * kinds * p.n;
  C dw[kKeptRuns][N] = {}, db[centred ? kKeptRuns : 1][N] = {};
  const int64_t first = blockIdx.x * p.rows_of_part;
  const int64_t last = first + p.rows_of_part < p.rows.numel ? first + p.rows_of_part : p.rows.numel;
  for (int64_t r = first; r < last; ++r) {
    int64_t at[2];
    p.rows.at(r, at);
    const T* g_row = static_cast<const T*>(p.g) + at[0];
    const Row<T> x(static_cast<const T*>(p.x) + at[1], p.x_form, p.n);
    const C s = static_cast<const C*>(p.rstd)[r], m = centred ? static_cast<const C*>(p.mean)[r] : C(0);
    C k1 = 0, k2 = 0;
    x.each([&](int64_t i, const C(&v)[N]) {
      C g[N];
      compute_t<W> w[N];
      load_run(g_row, p.g_form, i, p.n, g);
      if (p.weight) load_run(static_cast<const W*>(p.weight), p.parameter_form, i, p.n, w);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const C gw = p.weight ? g[k] * w[k] : g[k];
        k1 += gw;
        k2 += gw * ((v[k] - m) * s);  // behind the row's end g is 0
      }
    });
    k1 = centred ? block_reduce(k1, Sum(), shared[0]) / static_cast<C>(p.n) : C(0);
    k2 = block_reduce(k2, Sum(), shared[1]) / static_cast<C>(p.n);
    T* dx = static_cast<T*>(p.dx) + r * p.n;
    // dx of a run; leaves g * xhat and g for the sums.
    const auto finish = [&](int64_t i, const C(&v)[N], C(&g_hat)[N], C(&g)[N]) {
      C out[N];
      compute_t<W> w[N];
      load_run(g_row, p.g_form, i, p.n, g);
      if (p.weight) load_run(static_cast<const W*>(p.weight), p.parameter_form, i, p.n, w);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const C hat = (v[k] - m) * s;
        out[k] = ((p.weight ? g[k] * w[k] : g[k]) - k1 - hat * k2) * s;
        g_hat[k] = g[k] * hat;
      }
      store_run(dx, p.dx_form, i, p.n, out);
    };
    x.each_kept([&](int c, int64_t i, const C(&v)[N]) {
      C g_hat[N], g[N];
      finish(i, v, g_hat, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        dw[c][k] += g_hat[k];
        if (centred) db[centred ? c : 0][k] += g[k];
      }
    });
    x.each_beyond([&](int64_t i, const C(&v)[N]) {
      C g_hat[N], g[N];
      finish(i, v, g_hat, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if (!p.sums || k >= x.count(i)) continue;
        const bool begin = r == first;
        sums[i + k] = (begin ? C(0) : sums[i + k]) + g_hat[k];
        if (centred) sums[p.n + i + k] = (begin ? C(0) : sums[p.n + i + k]) + g[k];
      }
    });
  }
  if (!p.sums) return;
#pragma unroll
  for (int c = 0; c < kKeptRuns; ++c) {
    const int64_t i = Row<T>::start(c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (i + k >= p.n) continue;
      sums[i + k] = dw[c][k];
      if (centred) sums[p.n + i + k] = db[centred ? c : 0][k];
    }
  }
}

// Part by part, a column a thread.
template <class W, class C>
__device__ __forceinline__ void add_up(const NormSums& p) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int kind = blockIdx.y;
  W* to = static_cast<W*>(p.to[kind]);
  if (i >= p.n || !to) return;
  C sum = 0;
  for (int64_t part = 0; part < p.parts; ++part)
    sum += static_cast<const C*>(p.sums)[(part * p.kinds + kind) * p.n + i];
  to[i] = store<W>(sum);
}

}  // namespace

extern "C" {

// The dtype of x, then that of the parameters.
#define NORMS(t, T, w, W)                                                                                            \
  __global__ void layer_norm_##t##_##w(const __grid_constant__ Norm p) { forward<T, W, true>(p); }                   \
  __global__ void rms_norm_##t##_##w(const __grid_constant__ Norm p) { forward<T, W, false>(p); }                    \
  __global__ void layer_norm_backward_##t##_##w(const __grid_constant__ NormBackward p) { backward<T, W, true>(p); } \
  __global__ void rms_norm_backward_##t##_##w(const __grid_constant__ NormBackward p) { backward<T, W, false>(p); }
NORMS(f32, float, f32, float)
NORMS(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
NORMS(bf16, shakti::cuda::bf16, f32, float)
NORMS(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
NORMS(f16, shakti::cuda::f16, f32, float)
NORMS(f64, double, f64, double)

__global__ void norm_sums_f32(const __grid_constant__ NormSums p) { add_up<float, float>(p); }
__global__ void norm_sums_bf16(const __grid_constant__ NormSums p) { add_up<shakti::cuda::bf16, float>(p); }
__global__ void norm_sums_f16(const __grid_constant__ NormSums p) { add_up<shakti::cuda::f16, float>(p); }
__global__ void norm_sums_f64(const __grid_constant__ NormSums p) { add_up<double, double>(p); }

}  // extern "C"
}  // namespace shakti::cuda
