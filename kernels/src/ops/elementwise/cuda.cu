// The loops of all elementwise ops: 16 bytes of elements at a time where they lie in order, else one by one.
#include "cuda.h"

#include "../../cuda/device/convert.cuh"
#include "../../cuda/device/grid.cuh"
#include "functors.h"

namespace shakti::cuda {
namespace {

// A scalar as ops compute with it: not rounded to a short dtype.
template <class T>
__device__ __forceinline__ compute_t<T> number(double v) {
  return from_double<compute_t<T>>(v);
}

// Elements [at, at + N) of an operand.
template <class T, int N>
__device__ __forceinline__ void take(const void* x, From from, double scalar, int64_t at, compute_t<T> (&v)[N]) {
  if (from == From::dense) {
    const auto pack = *reinterpret_cast<const Pack<T>*>(static_cast<const T*>(x) + at);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = load(pack.v[k]);
  } else {
    const compute_t<T> one = from == From::one ? load(*static_cast<const T*>(x)) : number<T>(scalar);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = one;
  }
}

template <class T, class Y, class F>
__device__ __forceinline__ void unary(const Unary& p, F f) {
  constexpr int N = Pack<T>::size;
  Y* y = static_cast<Y*>(p.y);
  int64_t done = 0;
  if (p.from == From::dense) {
    done = p.n / N * N;
    for (int64_t i = thread_of_grid() * N; i < done; i += threads_of_grid() * N) {
      compute_t<T> v[N];
      take<T, N>(p.x, p.from, 0, i, v);
      struct alignas(N * sizeof(Y)) {
        Y v[N];
      } out;
#pragma unroll
      for (int k = 0; k < N; ++k) out.v[k] = store<Y>(f(v[k]));
      *reinterpret_cast<decltype(out)*>(y + i) = out;
    }
  }
  for (int64_t i = done + thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t at[1];
    p.walk.at(i, at);
    y[i] = store<Y>(f(load(static_cast<const T*>(p.x)[at[0]])));
  }
}

template <class T, class Y, class F>
__device__ __forceinline__ void binary(const Binary& p, F f) {
  constexpr int N = Pack<T>::size;
  Y* y = static_cast<Y*>(p.y);
  int64_t done = 0;
  if (p.from[0] != From::walk && p.from[1] != From::walk) {
    done = p.n / N * N;
    for (int64_t i = thread_of_grid() * N; i < done; i += threads_of_grid() * N) {
      compute_t<T> a[N], b[N];
      take<T, N>(p.in[0], p.from[0], p.scalar, i, a);
      take<T, N>(p.in[1], p.from[1], p.scalar, i, b);
      struct alignas(N * sizeof(Y)) {
        Y v[N];
      } out;
#pragma unroll
      for (int k = 0; k < N; ++k) out.v[k] = store<Y>(f(a[k], b[k]));
      *reinterpret_cast<decltype(out)*>(y + i) = out;
    }
  }
  for (int64_t i = done + thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t at[2];
    p.walk.at(i, at);
    compute_t<T> v[2];
#pragma unroll
    for (int k = 0; k < 2; ++k)
      v[k] = p.from[k] == From::number ? number<T>(p.scalar) : load(static_cast<const T*>(p.in[k])[at[k]]);
    y[i] = store<Y>(f(v[0], v[1]));
  }
}

template <class T>
__device__ __forceinline__ void where(const Where& p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t at[3];
    p.walk.at(i, at);
    const int side = p.condition[at[0]] ? 0 : 1;
    const int64_t from = side == 0 ? at[1] : at[2];  // at[1 + side] would put `at` into local memory
    static_cast<T*>(p.y)[i] =
        p.number[side] ? from_double<T>(p.scalars[side]) : static_cast<const T*>(p.in[side])[from];
  }
}

template <class C>
__device__ __forceinline__ C clamped(C v, double low, double high) {
  const C l = static_cast<C>(low), h = static_cast<C>(high);
  const C above = v > h ? h : v;
  return v < l ? l : above;
}
template <>
__device__ __forceinline__ int64_t clamped<int64_t>(int64_t v, double low, double high) {
  const double d = static_cast<double>(v);
  return d < low ? from_double<int64_t>(low) : d > high ? from_double<int64_t>(high) : v;
}

template <class C>
__device__ __forceinline__ bool finite(C v) {
  return v - v == 0;
}

}  // namespace

extern "C" {

#define UNARY_OF(name, functor, t, T)                                      \
  __global__ void name##_##t(const __grid_constant__ Unary p) {            \
    unary<T, T>(p, [](compute_t<T> x) { return functor::run(x); });        \
  }
#define UNARY_FLOATS(name, functor)                  \
  UNARY_OF(name, functor, f32, float)                \
  UNARY_OF(name, functor, bf16, shakti::cuda::bf16)  \
  UNARY_OF(name, functor, f16, shakti::cuda::f16)    \
  UNARY_OF(name, functor, f64, double)
#define UNARY_NUMBERS(name, functor)      \
  UNARY_FLOATS(name, functor)             \
  UNARY_OF(name, functor, i32, int32_t)   \
  UNARY_OF(name, functor, i64, int64_t)   \
  UNARY_OF(name, functor, u8, uint8_t)    \
  UNARY_OF(name, functor, bool, bool)
#define BINARY_OF(name, functor, t, T, Y)                                                   \
  __global__ void name##_##t(const __grid_constant__ Binary p) {                            \
    binary<T, Y>(p, [](compute_t<T> a, compute_t<T> b) { return functor::run(a, b); });     \
  }
#define BINARY_FLOATS(name, functor)                                      \
  BINARY_OF(name, functor, f32, float, float)                             \
  BINARY_OF(name, functor, bf16, shakti::cuda::bf16, shakti::cuda::bf16)  \
  BINARY_OF(name, functor, f16, shakti::cuda::f16, shakti::cuda::f16)     \
  BINARY_OF(name, functor, f64, double, double)
#define BINARY_NUMBERS(name, functor)              \
  BINARY_FLOATS(name, functor)                     \
  BINARY_OF(name, functor, i32, int32_t, int32_t)  \
  BINARY_OF(name, functor, i64, int64_t, int64_t)  \
  BINARY_OF(name, functor, u8, uint8_t, uint8_t)   \
  BINARY_OF(name, functor, bool, bool, bool)
#define COMPARISON(name, functor)                        \
  BINARY_OF(name, functor, f32, float, bool)             \
  BINARY_OF(name, functor, bf16, shakti::cuda::bf16, bool) \
  BINARY_OF(name, functor, f16, shakti::cuda::f16, bool) \
  BINARY_OF(name, functor, f64, double, bool)            \
  BINARY_OF(name, functor, i32, int32_t, bool)           \
  BINARY_OF(name, functor, i64, int64_t, bool)           \
  BINARY_OF(name, functor, u8, uint8_t, bool)            \
  BINARY_OF(name, functor, bool, bool, bool)

UNARY_NUMBERS(neg, Neg)
UNARY_NUMBERS(abs, Abs)
UNARY_NUMBERS(sign, Sign)
UNARY_NUMBERS(square, Square)
UNARY_NUMBERS(relu, Relu)
UNARY_FLOATS(reciprocal, Reciprocal)
UNARY_FLOATS(sqrt, Sqrt)
UNARY_FLOATS(rsqrt, Rsqrt)
UNARY_FLOATS(exp, Exp)
UNARY_FLOATS(expm1, Expm1)
UNARY_FLOATS(log, Log)
UNARY_FLOATS(log1p, Log1p)
UNARY_FLOATS(sin, Sin)
UNARY_FLOATS(cos, Cos)
UNARY_FLOATS(tanh, Tanh)
UNARY_FLOATS(erf, Erf)
UNARY_FLOATS(sigmoid, Sigmoid)
UNARY_FLOATS(gelu, Gelu)
UNARY_FLOATS(gelu_tanh, GeluTanh)
UNARY_FLOATS(silu, Silu)
UNARY_FLOATS(floor, Floor)
UNARY_FLOATS(ceil, Ceil)
UNARY_FLOATS(round, Round)
BINARY_NUMBERS(add, Add)
BINARY_NUMBERS(sub, Sub)
BINARY_NUMBERS(mul, Mul)
BINARY_FLOATS(div, Div)
BINARY_NUMBERS(pow, Pow)
BINARY_NUMBERS(maximum, Maximum)
BINARY_NUMBERS(minimum, Minimum)
COMPARISON(eq, Eq)
COMPARISON(ne, Ne)
COMPARISON(lt, Lt)
COMPARISON(le, Le)
COMPARISON(gt, Gt)
COMPARISON(ge, Ge)
COMPARISON(logical_and, LogicalAnd)
COMPARISON(logical_or, LogicalOr)
BINARY_FLOATS(relu_backward, ReluBackward)
BINARY_FLOATS(gelu_backward, GeluBackward)
BINARY_FLOATS(gelu_tanh_backward, GeluTanhBackward)
BINARY_FLOATS(silu_backward, SiluBackward)
BINARY_FLOATS(tanh_backward, TanhBackward)
BINARY_FLOATS(sigmoid_backward, SigmoidBackward)

#define OTHERS(t, T)                                                                           \
  __global__ void logical_not_##t(const __grid_constant__ Unary p) {                           \
    unary<T, bool>(p, [](compute_t<T> x) { return x == 0; });                                  \
  }                                                                                            \
  __global__ void isfinite_##t(const __grid_constant__ Unary p) {                              \
    unary<T, bool>(p, [](compute_t<T> x) { return finite(x); });                               \
  }                                                                                            \
  __global__ void clamp_##t(const __grid_constant__ Unary p) {                                 \
    unary<T, T>(p, [&p](compute_t<T> x) { return clamped(x, p.low, p.high); });                \
  }                                                                                            \
  __global__ void where_##t(const __grid_constant__ Where p) { where<T>(p); }
SHAKTI_ALL(OTHERS)

}  // extern "C"
}  // namespace shakti::cuda
