// What is done with a sum once it is whole, on its way into y: y = activation(scale * sum + bias) * silu(gate) +
// residual. Saves the passes over memory that ops of their own would take.
#pragma once
#include <type_traits>

#include "../../simd/activation.h"
#include "activation.h"

namespace SHAKTI_ISA_NS {
namespace {

using matmul::Activation;

// An operand of y's shape and dtype, of any strides.
struct Beside {
  const Operand* o = nullptr;
  int64_t at = 0;  // first element of this matrix

  SHAKTI_INLINE explicit operator bool() const { return o != nullptr; }
  SHAKTI_INLINE bool dense() const { return o->stride(-1) == 1; }
  SHAKTI_INLINE int64_t place(int64_t r, int64_t c) const { return at + r * o->stride(-2) + c * o->stride(-1); }
};

struct Epilogue {
  double scale = 1;
  const Operand* bias = nullptr;
  Activation activation = Activation::none;
  Beside gate, residual;
};

// Where a product goes: sums, partial ones too.
struct Target {
  const Operand* y;
  int64_t at, ld;  // y's first element, its row length
  bool add;        // to what y holds
  Epilogue last;   // nothing while the sums are partial
};

// Sends for what rows of y and of what is beside it will meet in memory.
SHAKTI_INLINE void fetch_rows(const Target& t, int64_t r, int64_t c, int64_t rows, int64_t columns) {
  const int64_t size = static_cast<int64_t>(dtype_size(t.y->dtype)), bytes = columns * size;
  const Beside* beside[] = {&t.last.gate, &t.last.residual};
  for (int64_t i = r; i < r + rows; ++i) {
    const char* y = t.y->ptr<char>() + (t.at + i * t.ld + c) * size;
    for (int64_t k = 0; k < bytes; k += 64) __builtin_prefetch(y + k, 1);
    for (const Beside* x : beside) {
      if (!*x || !x->dense()) continue;
      const char* p = x->o->ptr<char>() + x->place(i, c) * size;
      for (int64_t k = 0; k < bytes; k += 64) __builtin_prefetch(p + k);
    }
  }
}

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

constexpr int64_t kPut = 1024;  // sums at a time

// A block of sums in memory, vector by vector: f(v, row, column, how many, part) may change v.
struct Held {
  static constexpr bool short_steps = false;
  float* sums;
  int64_t ld, rows, n;

  template <class F>
  SHAKTI_INLINE void operator()(const F& f) const {
    for (int64_t i = 0; i < rows; ++i) {
      float* row = sums + i * ld;
      lanes(n, [&](int64_t j, int64_t m, bool part) __attribute__((always_inline)) {
        vf v = load_n(row + j, m, part);
        f(v, i, j, m, part);
        store_n(row + j, v, m, part);
      });
    }
  }
};

// Elements beside a block of sums, E from row to row.
template <class E>
struct Block {
  const E* p = nullptr;
  int64_t ld = 0;

  // As they lie, or without gaps in `buffer`.
  Block(const Beside& b, int64_t r, int64_t c, int64_t rows, int64_t n, E* buffer) {
    if (!b) return;
    p = b.o->ptr<E>() + b.place(r, c);
    ld = b.o->stride(-2);
    if (b.dense()) return;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < n; ++j) buffer[i * n + j] = p[i * ld + j * b.o->stride(-1)];
    }
    p = buffer;
    ld = n;
  }
};

// rows x n of y, which is of type T, from (r, c) on. Step by step over all of the block, which is small: a step that
// there is none of costs one branch. `sums` has an operator like Held's, and no activation or gate if it has short
// steps.
template <DType T, class Sums>
SHAKTI_INLINE void put_as(const Target& t, int64_t r, int64_t c, int64_t rows, int64_t n, const Sums& each) {
  using E = typename std::conditional<T == DType::f32, float, uint16_t>::type;
  const Epilogue& e = t.last;
  E* y = t.y->ptr<E>() + t.at + r * t.ld + c;
  alignas(64) E buffer[kPut];
#define STEP [&](vf & v, int64_t i, int64_t j, int64_t m, bool part) __attribute__((always_inline))
  if (t.add) each(STEP { v += load_float<T>(y, i * t.ld + j, m, part); });
  if (e.scale != 1) each(STEP { v *= splat(static_cast<float>(e.scale)); });
  if (e.bias) {
    alignas(64) float bias_buffer[kPut];
    const float* bias = row_f32(*e.bias, c * e.bias->strides[0], e.bias->strides[0], n, bias_buffer);
    each(STEP { v += load_n(bias + j, m, part); });
  }
  if (!Sums::short_steps) {
    with_activation(e.activation, [&](auto f) { each(STEP { v = f.run(v); }); });
    const Block<E> gate(e.gate, r, c, rows, n, buffer);
    if (gate.p) each(STEP { v *= Silu::run(load_float<T>(gate.p, i * gate.ld + j, m, part)); });
  }
  const Block<E> residual(e.residual, r, c, rows, n, buffer);
  if (residual.p) each(STEP { v += load_float<T>(residual.p, i * residual.ld + j, m, part); });
  each(STEP { store_float<T>(y, i * t.ld + j, v, m, part); });
#undef STEP
}

// The same for sums in memory, kPut at most, `ld` from row to row. They are changed.
void put(const Target& t, int64_t r, int64_t c, float* sums, int64_t ld, int64_t rows, int64_t n) {
  by_float_type(t.y->dtype, [&](auto type) { put_as<type.value>(t, r, c, rows, n, Held{sums, ld, rows, n}); });
}

// The same for f64: all n columns of row r.
void put(const Target& t, int64_t r, double* y, int64_t n) {
  const Epilogue& e = t.last;
  for (int64_t j = 0; j < n; ++j) y[j] = y[j] * e.scale + (e.bias ? e.bias->ptr<double>()[j * e.bias->strides[0]] : 0);
  with_activation(e.activation, [&](auto f) {
    for (int64_t j = 0; j < n; ++j) y[j] = f.run(y[j]);
  });
  for (int64_t j = 0; e.gate && j < n; ++j) y[j] *= Silu::run(e.gate.o->ptr<double>()[e.gate.place(r, j)]);
  for (int64_t j = 0; e.residual && j < n; ++j) y[j] += e.residual.o->ptr<double>()[e.residual.place(r, j)];
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
