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
    multiply_tiles(words, a, b, sums[0]);
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
