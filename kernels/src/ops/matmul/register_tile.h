// One tile of y: a panel of a times a panel of b, and its way out.
#pragma once
#include "epilogue.h"
#include "panels.h"

namespace SHAKTI_ISA_NS {
namespace {

// acc[i][j] += a(i, 0) times b's vector j: one word of the depth. Widened: a pair of bf16 and the two words of a for
// it.
template <Unit U, int R, class A>
SHAKTI_INLINE void add_word(const A& a, const float* b, vf (&acc)[R][NV]) {
  vf bv[NV];
#pragma GCC unroll 2
  for (int j = 0; j < NV; ++j) bv[j] = load(b + j * W);
  const auto add = [&](int half, const vf(&factor)[NV]) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#if defined(__AVX512F__)
      const auto av = (vf)_mm512_set1_ps(a(i, half));
#else
      const vf av = splat(a(i, half));
#endif
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
#if defined(__AVX512F__)
        if (U == Unit::bf16) {
          acc[i][j] = dot_pairs(acc[i][j], (vpairs)av, (vpairs)factor[j]);
          continue;
        }
#endif
        acc[i][j] = vfma(av, factor[j], acc[i][j]);
      }
    }
  };
  if (U != Unit::widened) return add(0, bv);
  vf half[NV];
#pragma GCC unroll 2
  for (int j = 0; j < NV; ++j) half[j] = (vf)((vu)bv[j] << 16);
  add(0, half);
#pragma GCC unroll 2
  for (int j = 0; j < NV; ++j) half[j] = (vf)((vu)bv[j] & 0xffff0000u);
  add(1, half);
}

template <int R>
SHAKTI_INLINE void clear(vf (&acc)[R][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = vf{};
  }
}

// acc[i][j] = sum over the words of a's line i times b's vector j.
template <Unit U>
SHAKTI_INLINE void multiply(int64_t words, const float* a, const float* b, vf (&acc)[MR][NV]) {
  clear(acc);
  for (int64_t k = 0; k < words; ++k, a += MR, b += NR) add_word<U>([a](int i, int) { return a[i]; }, b, acc);
}

#if defined(__AVX512F__)
// The same on the tile unit: 16 T rows of a, `row` words apart, times 32 columns of b, to as many rows of `sums`.
template <int T>
SHAKTI_INLINE void multiply_tiles(int64_t words, const float* a, int64_t row, const float* b, float* sums) {
  using namespace amx;
  zero<0>();
  zero<1>();
  if (T > 1) {
    zero<2>();
    zero<3>();
  }
  for (int64_t k = 0; k < words; k += kWords) {
    load<4>(a + k, row * 4);
    if (T > 1) load<5>(a + kRows * row + k, row * 4);
    load<6>(b + k * NR, NR * 4);
    load<7>(b + k * NR + W, NR * 4);
    dot_bf16<0, 4, 6>();
    dot_bf16<1, 4, 7>();
    if (T > 1) {
      dot_bf16<2, 5, 6>();
      dot_bf16<3, 5, 7>();
    }
  }
  store<0>(sums, NR * 4);
  store<1>(sums + W, NR * 4);
  if (T > 1) {
    store<2>(sums + kRows * NR, NR * 4);
    store<3>(sums + kRows * NR + W, NR * 4);
  }
}
#endif

// A whole tile of sums in registers.
struct InRegisters {
  static constexpr bool short_steps = true;
  vf (&acc)[MR][NV];

  template <class F>
  SHAKTI_INLINE void operator()(const F& f) const {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) f(acc[i][j], i, j * W, W, false);
    }
  }
};

// rows x columns of y, at most a tile.
template <Unit U>
void tile(int64_t words, const float* a, const float* b, const Target& t, int64_t r, int64_t c, int64_t rows,
          int64_t columns) {
  fetch_rows(t, r, c, rows, columns);
  alignas(64) float sums[kTileRows<U>][NR];
#if defined(__AVX512F__)
  if (U == Unit::amx) {
    multiply_tiles<2>(words, a, words, b, sums[0]);
    return put(t, r, c, sums[0], NR, rows, columns);
  }
#endif
  vf acc[MR][NV];
  multiply<U>(words, a, b, acc);
  const InRegisters whole{acc};
  if (rows == MR && columns == NR && t.last.activation == Activation::none && !t.last.gate)
    return by_float_type(t.y->dtype, [&](auto type) __attribute__((always_inline)) {
      put_as<type.value>(t, r, c, rows, columns, whole);
    });
  whole([&](vf v, int i, int j, int, bool) __attribute__((always_inline)) { store(sums[i] + j, v); });
  put(t, r, c, sums[0], NR, rows, columns);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
