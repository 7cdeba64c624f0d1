// Softmax over rows of the last dimension, a block for a row.
#include "cuda.h"

#include "../../cuda/device/math.cuh"
#include "../../cuda/device/reduce.cuh"
#include "../../cuda/device/row.cuh"

namespace shakti::cuda {
namespace {

template <class T, bool logarithm>
__device__ __forceinline__ void forward(const Softmax& p) {
  using C = compute_t<T>;
  constexpr int N = Row<T>::N;
  __shared__ C shared[2][32];
  int64_t at[1];
  p.rows.at(blockIdx.x, at);
  const Row<T> x(static_cast<const T*>(p.x) + at[0], p.x_form, p.n);
  const C lowest = -static_cast<C>(INFINITY);
  C m = lowest;
  x.each([&](int64_t i, const C(&v)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (k < x.count(i)) m = Max()(m, v[k]);
  });
  m = block_reduce(m, Max(), shared[0]);
  // A row of -inf alone gives 0 everywhere.
  const C shift = m == lowest ? C(0) : m;
  C s = 0;
  x.each([&](int64_t i, const C(&v)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (k < x.count(i)) s += exponential(v[k] - shift);
  });
  s = block_reduce(s, Sum(), shared[1]);
  const C scale = s == 0 ? C(0) : 1 / s, log_sum = logarithm ? natural_log(s) : C(0);
  T* y = static_cast<T*>(p.y) + static_cast<int64_t>(blockIdx.x) * p.n;
  x.each([&](int64_t i, const C(&v)[N]) {
    C out[N];
#pragma unroll
    for (int k = 0; k < N; ++k)
      // Not v - (shift + log(s)): for large logits the sum in brackets would lose the digits that count.
      out[k] = logarithm ? v[k] - shift - log_sum : exponential(v[k] - shift) * scale;
    store_run(y, p.y_form, i, p.n, out);
  });
}

// softmax: dx = y * (g - sum(g * y)); log_softmax: dx = g - exp(y) * sum(g)
template <class T, bool logarithm>
__device__ __forceinline__ void backward(const SoftmaxBackward& p) {
  using C = compute_t<T>;
  constexpr int N = Row<T>::N;
  __shared__ C shared[32];
  int64_t at[2];
  p.rows.at(blockIdx.x, at);
  const Row<T> g(static_cast<const T*>(p.g) + at[0], p.g_form, p.n);
  const Row<T> y(static_cast<const T*>(p.y) + at[1], p.y_form, p.n);
  C s = 0;
  y.each_beside(g, [&](int64_t, const C(&yv)[N], const C(&gv)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k) s += logarithm ? gv[k] : gv[k] * yv[k];
  });
  s = block_reduce(s, Sum(), shared);
  T* dx = static_cast<T*>(p.dx) + static_cast<int64_t>(blockIdx.x) * p.n;
  y.each_beside(g, [&](int64_t i, const C(&yv)[N], const C(&gv)[N]) {
    C out[N];
#pragma unroll
    for (int k = 0; k < N; ++k) out[k] = logarithm ? gv[k] - exponential(yv[k]) * s : yv[k] * (gv[k] - s);
    store_run(dx, p.dx_form, i, p.n, out);
  });
}

}  // namespace

extern "C" {

#define SOFTMAX(t, T)                                                                                                 \
  __global__ void softmax_##t(const __grid_constant__ Softmax p) { forward<T, false>(p); }                            \
  __global__ void log_softmax_##t(const __grid_constant__ Softmax p) { forward<T, true>(p); }                         \
  __global__ void softmax_backward_##t(const __grid_constant__ SoftmaxBackward p) { backward<T, false>(p); }          \
  __global__ void log_softmax_backward_##t(const __grid_constant__ SoftmaxBackward p) { backward<T, true>(p); }
SHAKTI_FLOATS(SOFTMAX)

}  // extern "C"
}  // namespace shakti::cuda
