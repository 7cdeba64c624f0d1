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

// Whether a row of the tile is P columns of y without gaps, and of the residual if there is one.
template <int P>
SHAKTI_INLINE bool lies_side_by_side(const Target& t, int64_t columns) {
  return columns == P && (!t.last.residual || t.last.residual->stride(-1) == 1);
}

// The lines of y and of the residual that rows of P columns will meet are sent for.
template <int P>
SHAKTI_INLINE void fetch_rows(const Target& t, int64_t r, int64_t c, int64_t rows, int64_t columns) {
  if (t.y->dtype != DType::f32 || !lies_side_by_side<P>(t, columns)) return;
  for (int64_t i = r; i < r + rows; ++i) {
    const float* y = t.y->ptr<float>() + t.at + i * t.ld + c;
    for (int j = 0; j < P; j += 16) __builtin_prefetch(y + j, 1);
    if (!t.last.residual) continue;
    const float* x = t.last.residual->ptr<float>() + t.residual_row(i) + c;
    for (int j = 0; j < P; j += 16) __builtin_prefetch(x + j);
  }
}

// Writes sums [rows][P] to the columns of rows from r on. `sums` is changed.
template <int P>
void put_rows(const Target& t, int64_t r, int64_t c, float* sums, int64_t rows, int64_t columns) {
  if (!lies_side_by_side<P>(t, columns)) {
    for (int64_t i = 0; i < rows; ++i) put(t, r + i, c, sums + i * P, columns);
    return;
  }
  const Epilogue& e = t.last;
  const bool active = e.activation != Activation::none;
  alignas(64) float bias[P] = {};
  if (e.bias) gather_f32(bias, *e.bias, c * e.bias->strides[0], e.bias->strides[0], P);
  by_float_type(t.y->dtype, [&](auto type) {
    constexpr DType T = type.value;
    const auto each = [&](const auto& f) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int j = 0; j < P; j += W) f(i, j, t.at + (r + i) * t.ld + c + j, sums + i * P + j);
      }
    };
    const auto finish = [&](int64_t i, int j, int64_t at, vf v) {
      if (e.residual) v += load_float<T>(e.residual->data, t.residual_row(r + i) + c + j, W, false);
      store_float<T>(t.y->data, at, v, W, false);
    };
    each([&](int64_t i, int j, int64_t at, float* sum) {
      vf v = load(sum);
      if (t.add) v += load_float<T>(t.y->data, at, W, false);
      if (e.scale != 1) v *= splat(static_cast<float>(e.scale));
      if (e.bias) v += load(bias + j);
      if (active)
        store(sum, v);
      else
        finish(i, j, at, v);
    });
    if (!active) return;
    activate(e.activation, sums, rows * P);
    each([&](int64_t i, int j, int64_t at, float* sum) { finish(i, j, at, load(sum)); });
  });
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
