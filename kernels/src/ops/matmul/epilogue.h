// What is done with a sum once it is whole, on its way into y: y = activation(scale * sum + bias) + residual. Saves the
// passes over memory that ops of their own would take.
#pragma once
#include "../../simd/activation.h"
#include "activation.h"

namespace SHAKTI_ISA_NS {
namespace {

using matmul::Activation;

struct Epilogue {
  double scale = 1;
  const Operand* bias = nullptr;
  Activation activation = Activation::none;
  const Operand* residual = nullptr;
  int64_t residual_at = 0;  // first element of this matrix
};

// f(F) with the activation's functor.
template <class Do>
SHAKTI_INLINE void with_activation(Activation a, const Do& f) {
  switch (a) {
    case Activation::gelu: return f(Gelu());
    case Activation::gelu_tanh: return f(GeluTanh());
    case Activation::silu: return f(Silu());
    default: return;
  }
}

void activate(Activation a, float* x, int64_t n) {
  with_activation(a, [&](auto f) {
    lanes(n, [&](int64_t i, int64_t m, bool part) { store_n(x + i, f.run(load_n(x + i, m, part)), m, part); });
  });
}

// Where a product goes: sums, partial ones too.
struct Target {
  const Operand* y;
  int64_t at, ld;  // y's first element, its row length
  bool add;        // to what y holds
  Epilogue last;   // nothing while the sums are partial

  SHAKTI_INLINE int64_t residual_row(int64_t r) const { return last.residual_at + r * last.residual->stride(-2); }
};

// Writes n sums of row r from column c on, kPut at most. `row` is changed.
constexpr int64_t kPut = 256;

void put(const Target& t, int64_t r, int64_t c, float* row, int64_t n) {
  alignas(64) float other[kPut];
  const auto plus = [&](const Operand& o, int64_t at, int64_t stride) {
    const float* p = row_f32(o, at, stride, n, other);
    for (int64_t i = 0; i < n; ++i) row[i] += p[i];
  };
  const int64_t at = t.at + r * t.ld + c;
  const Epilogue& e = t.last;
  if (t.add) plus(*t.y, at, 1);
  if (e.scale != 1) {
    for (int64_t i = 0; i < n; ++i) row[i] *= static_cast<float>(e.scale);
  }
  if (e.bias) plus(*e.bias, c * e.bias->strides[0], e.bias->strides[0]);
  activate(e.activation, row, n);
  if (e.residual) plus(*e.residual, t.residual_row(r) + c * e.residual->stride(-1), e.residual->stride(-1));
  scatter_f32(*t.y, at, row, n);
}

// The same for f64: all n columns of row r.
void put(const Target& t, int64_t r, double* y, int64_t n) {
  const Epilogue& e = t.last;
  for (int64_t j = 0; j < n; ++j) y[j] = y[j] * e.scale + (e.bias ? e.bias->ptr<double>()[j * e.bias->strides[0]] : 0);
  with_activation(e.activation, [&](auto f) {
    for (int64_t j = 0; j < n; ++j) y[j] = f.run(y[j]);
  });
  if (!e.residual) return;
  const double* x = e.residual->ptr<double>() + t.residual_row(r);
  for (int64_t j = 0; j < n; ++j) y[j] += x[j * e.residual->stride(-1)];
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
