// Cross-entropy, a row of logits for a block, read once: each thread keeps the largest logit that it has seen and the sum of
// exponentials under it.
#include "cuda.h"

#include "../../cuda/device/math.cuh"
#include "../../cuda/device/reduce.cuh"
#include "../../cuda/device/row.cuh"

namespace shakti::cuda {
namespace {

// The class of row i; false where it does not count.
__device__ __forceinline__ bool target_of(const Targets& t, const Reporter& reporter, int64_t i, int64_t* target) {
  *target = t.wide ? static_cast<const int64_t*>(t.data)[i * t.stride] : static_cast<const int32_t*>(t.data)[i * t.stride];
  if (*target == t.ignore) return false;
  if (*target >= 0 && *target < t.classes) return true;
  if (threadIdx.x == 0) reporter.say(Wrong::target, *target, i, t.classes - 1, t.ignore);
  return false;
}

template <class T>
__device__ __forceinline__ void forward(const CrossEntropy& p) {
  using C = compute_t<T>;
  constexpr int N = Pack<T>::size;
  __shared__ C shared[3][32];
  const int64_t i = blockIdx.x, classes = p.targets.classes;
  const T* row = static_cast<const T*>(p.logits) + i * p.row_stride;
  int64_t target;
  const bool counts = target_of(p.targets, p.reporter, i, &target);
  const C lowest = -static_cast<C>(INFINITY);
  C top = lowest, sum = 0, all = 0;
  for (int64_t at = threadIdx.x * N; at < classes; at += blockDim.x * N) {
    C v[N], here = lowest;
    load_run(row, p.form, at, classes, v);
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (at + k < classes) here = Max()(here, v[k]);
    if (here > top) {
      sum *= exponential(top - here);
      top = here;
    }
    if (here != here) top = here;
    const C shift = top == lowest ? C(0) : top;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (at + k >= classes) continue;
      sum += exponential(v[k] - shift);
      all += v[k];
    }
  }
  const C m = block_reduce(top, Max(), shared[0]);
  sum = block_reduce(top == lowest ? sum : sum * exponential(top - m), Sum(), shared[1]);
  if (p.smoothing > 0) all = block_reduce(all, Sum(), shared[2]);
  if (threadIdx.x != 0) return;
  const double lse = static_cast<double>(m) + log(static_cast<double>(sum));
  double loss = 0;
  if (counts) {
    loss = lse - (1 - p.smoothing) * static_cast<double>(load(row[target * p.form.stride]));
    if (p.smoothing > 0) loss -= p.smoothing * static_cast<double>(all) / static_cast<double>(classes);
  }
  static_cast<C*>(p.loss)[i] = static_cast<C>(loss);
  static_cast<C*>(p.lse)[i] = static_cast<C>(lse);
}

template <class T>
__device__ __forceinline__ void backward(const CrossEntropyBackward& p) {
  using C = compute_t<T>;
  constexpr int N = Pack<T>::size;
  const int64_t i = blockIdx.x, classes = p.targets.classes;
  const T* row = static_cast<const T*>(p.logits) + i * p.row_stride;
  T* to = static_cast<T*>(p.dlogits) + i * classes;
  int64_t target;
  const bool counts = target_of(p.targets, p.reporter, i, &target);
  const C scale = counts ? static_cast<const C*>(p.g)[i * p.g_stride] : C(0);
  const C lse = static_cast<const C*>(p.lse)[i * p.lse_stride];
  const C each = static_cast<C>(p.smoothing / static_cast<double>(classes)), hit = static_cast<C>(1 - p.smoothing);
  for (int64_t at = threadIdx.x * N; at < classes; at += blockDim.x * N) {
    C v[N];
    load_run(row, p.form, at, classes, v);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[k] = counts ? (exponential(v[k] - lse) - each) * scale : C(0);
      if (counts && at + k == target) v[k] -= scale * hit;
    }
    store_run(to, p.dlogits_form, at, classes, v);
  }
}

}  // namespace

extern "C" {

#define LOSSES(t, T)                                                                                                \
  __global__ void cross_entropy_##t(const __grid_constant__ CrossEntropy p) { forward<T>(p); }                      \
  __global__ void cross_entropy_backward_##t(const __grid_constant__ CrossEntropyBackward p) { backward<T>(p); }
SHAKTI_FLOATS(LOSSES)

}  // extern "C"
}  // namespace shakti::cuda
