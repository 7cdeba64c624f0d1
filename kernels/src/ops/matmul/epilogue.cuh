// What is done with a sum once it is whole, on its way into y.
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

template <class T, class Y, class C>
__device__ __forceinline__ void finish_sum(const Product& p, const BatchPlace& place, int64_t i, int64_t j, C sum) {
  Y* y = static_cast<Y*>(p.y) + place.y + i * p.n + j;
  if (p.accumulate) sum += load(*y);
  sum *= static_cast<C>(p.scale);
  if (p.bias) sum += load(static_cast<const T*>(p.bias)[j * p.bias_stride]);
  switch (p.activation) {
    case matmul::Activation::gelu: sum = Gelu::run(sum); break;
    case matmul::Activation::gelu_tanh: sum = GeluTanh::run(sum); break;
    case matmul::Activation::silu: sum = Silu::run(sum); break;
    default: break;
  }
  if (p.gate.data)
    sum *= Silu::run(load(static_cast<const Y*>(p.gate.data)[place.gate + i * p.gate.row + j * p.gate.column]));
  if (p.residual.data)
    sum += load(static_cast<const Y*>(p.residual.data)[place.residual + i * p.residual.row + j * p.residual.column]);
  *y = store<Y>(sum);
}

// A sum of one piece of the depth goes to its place, be it final or not.
template <class T, class Y, class C>
__device__ __forceinline__ void put_sum(const Product& p, const BatchPlace& place, int64_t piece, int64_t i, int64_t j, C sum) {
  if (p.pieces == 1)
    finish_sum<T, Y>(p, place, i, j, sum);
  else
    p.partial[piece * p.batches * p.m * p.n + place.y + i * p.n + j] = static_cast<float>(sum);
}

}  // namespace shakti::cuda
