// SwiGLU: silu(gate) * up in one pass, and its gradients in another.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/math.cuh"
#include "../../cuda/device/numbers.cuh"

namespace shakti::cuda {
namespace {

template <class T>
__device__ __forceinline__ T swiglu_of(T gate, T up) {
  const auto x = load(gate);
  return store<T>(x * sigmoid(x) * load(up));
}
template <class T>
__device__ __forceinline__ void gradients_of(T dy, T gate, T up, T* dgate, T* dup) {
  const auto d = load(dy), x = load(gate), s = sigmoid(x);
  using C = compute_t<T>;
  *dgate = store<T>(d * load(up) * s * (C(1) + x * (C(1) - s)));
  *dup = store<T>(d * x * s);
}

template <class T>
__device__ __forceinline__ void forward(const Swiglu& p) {
  constexpr int N = Pack<T>::size;
  const int64_t done = p.packed ? p.n / N * N : 0;
  for (int64_t i = thread_of_grid(); i < done / N; i += threads_of_grid()) {
    const auto gate = static_cast<const Pack<T>*>(p.gate)[i], up = static_cast<const Pack<T>*>(p.up)[i];
    Pack<T> y;
#pragma unroll
    for (int k = 0; k < N; ++k) y.v[k] = swiglu_of(gate.v[k], up.v[k]);
    static_cast<Pack<T>*>(p.y)[i] = y;
  }
  for (int64_t i = done + thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t at[2];
    p.walk.at(i, at);
    static_cast<T*>(p.y)[i] = swiglu_of(static_cast<const T*>(p.gate)[at[0]], static_cast<const T*>(p.up)[at[1]]);
  }
}

template <class T>
__device__ __forceinline__ void backward(const SwigluBackward& p) {
  constexpr int N = Pack<T>::size;
  const int64_t done = p.packed ? p.n / N * N : 0;
  for (int64_t i = thread_of_grid(); i < done / N; i += threads_of_grid()) {
    const auto g = static_cast<const Pack<T>*>(p.g)[i], gate = static_cast<const Pack<T>*>(p.gate)[i],
               up = static_cast<const Pack<T>*>(p.up)[i];
    Pack<T> dgate, dup;
#pragma unroll
    for (int k = 0; k < N; ++k) gradients_of(g.v[k], gate.v[k], up.v[k], &dgate.v[k], &dup.v[k]);
    static_cast<Pack<T>*>(p.dgate)[i] = dgate;
    static_cast<Pack<T>*>(p.dup)[i] = dup;
  }
  for (int64_t i = done + thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t at[3];
    p.walk.at(i, at);
    gradients_of(static_cast<const T*>(p.g)[at[0]], static_cast<const T*>(p.gate)[at[1]],
                 static_cast<const T*>(p.up)[at[2]], static_cast<T*>(p.dgate) + i, static_cast<T*>(p.dup) + i);
  }
}

}  // namespace

extern "C" {

#define SWIGLU(t, T)                                                                                   \
  __global__ void swiglu_##t(const __grid_constant__ Swiglu p) { forward<T>(p); }                      \
  __global__ void swiglu_backward_##t(const __grid_constant__ SwigluBackward p) { backward<T>(p); }
SHAKTI_FLOATS(SWIGLU)

}  // extern "C"
}  // namespace shakti::cuda
