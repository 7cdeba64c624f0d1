// One tile of y: a panel of a times a panel of b, and its way out.
#pragma once
#include "epilogue.h"
#include "panels.h"

namespace SHAKTI_ISA_NS {
namespace {

// acc[i][j] = sum over the words of a's line i times b's vector j.
template <Unit U>
SHAKTI_INLINE void multiply(int64_t words, const float* a, const float* b, vf (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = vf{};
  }
  for (int64_t k = 0; k < words; ++k) {
    vf bv[NV];
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) bv[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#if defined(__AVX512F__)
      const auto av = (vf)_mm512_set1_ps(a[i]);
#else
      const vf av = splat(a[i]);
#endif
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
#if defined(__AVX512F__)
        if (U == Unit::bf16) {
          acc[i][j] = dot_pairs(acc[i][j], (vpairs)av, (vpairs)bv[j]);
          continue;
        }
#endif
        acc[i][j] = vfma(av, bv[j], acc[i][j]);
      }
    }
    a += MR;
    b += NR;
  }
}

#if defined(__AVX512F__)
// The same on the tile unit: 32 rows of a times 32 columns of b, to 32 rows of `sums`.
SHAKTI_INLINE void multiply_tiles(int64_t words, const float* a, const float* b, float* sums) {
  using namespace amx;
  zero<0>();
  zero<1>();
  zero<2>();
  zero<3>();
  const int64_t line = words * 4;
  for (int64_t k = 0; k < words; k += kWords) {
    load<4>(a + k, line);
    load<5>(a + kRows * words + k, line);
    load<6>(b + k * NR, NR * 4);
    load<7>(b + k * NR + W, NR * 4);
    dot_bf16<0, 4, 6>();
    dot_bf16<1, 4, 7>();
    dot_bf16<2, 5, 6>();
    dot_bf16<3, 5, 7>();
  }
  store<0>(sums, NR * 4);
  store<1>(sums + W, NR * 4);
  store<2>(sums + kRows * NR, NR * 4);
  store<3>(sums + kRows * NR + W, NR * 4);
}
#endif

// rows x columns of y, at most a tile.
template <Unit U>
void tile(int64_t words, const float* a, const float* b, const Target& t, int64_t r, int64_t c, int64_t rows,
          int64_t columns) {
  const Epilogue& e = t.last;
  const bool whole = t.y->dtype == DType::f32 && columns == NR;
  const bool residual = whole && e.residual && e.residual->stride(-1) == 1;
  // The lines of y and of the residual are on their way while the tile is summed.
  if (whole) {
    for (int64_t i = 0; i < rows; ++i) {
      const float* y = t.y->ptr<float>() + t.at + (r + i) * t.ld + c;
      for (int j = 0; j < NR; j += 16) __builtin_prefetch(y + j, 1);
      if (!residual) continue;
      const float* x = e.residual->ptr<float>() + t.residual_row(r + i) + c;
      for (int j = 0; j < NR; j += 16) __builtin_prefetch(x + j);
    }
  }
#if defined(__AVX512F__)
  if (U == Unit::amx) {
    alignas(64) float sums[kTileRows<U>][NR];
    multiply_tiles(words, a, b, sums[0]);
    for (int64_t i = 0; i < rows; ++i) put(t, r + i, c, sums[i], columns);
    return;
  }
#endif
  vf acc[MR][NV];
  multiply<U>(words, a, b, acc);
  // Straight from the registers, where the way is short.
  const bool direct = whole && (!e.residual || residual);
  const bool active = e.activation != Activation::none;
  alignas(64) float held[MR][NR];  // sums that wait for their activation
  alignas(64) float bias[NR] = {};
  if (direct && e.bias) gather_f32(bias, *e.bias, c * e.bias->strides[0], e.bias->strides[0], columns);
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    if (i >= rows) break;
    if (direct) {
      float* y = t.y->ptr<float>() + t.at + (r + i) * t.ld + c;
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
        vf v = acc[i][j];
        if (t.add) v += load(y + j * W);
        if (e.scale != 1) v *= splat(static_cast<float>(e.scale));
        if (e.bias) v += load(bias + j * W);
        if (residual && !active) v += load(e.residual->ptr<float>() + t.residual_row(r + i) + c + j * W);
        store(active ? held[i] + j * W : y + j * W, v);
      }
    } else {
      alignas(64) float row[NR];
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) store(row + j * W, acc[i][j]);
      put(t, r + i, c, row, columns);
    }
  }
  if (!direct || !active) return;
  activate(e.activation, held[0], rows * NR);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = residual ? t.residual_row(r + i) + c : 0;
    for (int j = 0; j < NR; j += W) {
      vf v = load(held[i] + j);
      if (residual) v += load(e.residual->ptr<float>() + at + j);
      store(t.y->ptr<float>() + t.at + (r + i) * t.ld + c + j, v);
    }
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
