// Products of blocks. The left side may be strided, so that a transpose costs nothing; the right side has rows of whole
// vectors. Elements are words of 32 bits: f32, or pairs of bf16 along the dimension that is summed over.
#pragma once
#include "../../simd/bf16.h"

namespace SHAKTI_ISA_NS {
namespace {

// A word in all lanes, bit by bit.
SHAKTI_INLINE vf broadcast(const float* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_set1_ps(*p);
#else
  return splat(*p);
#endif
}

template <bool Pairs>
SHAKTI_INLINE vf multiply_add(vf a, vf b, vf sum) {
#if defined(__AVX512F__)
  if (Pairs) return dot_pairs(sum, (vpairs)a, (vpairs)b);
#endif
  return vfma(a, b, sum);
}

// c[m][n] (+)= a[m][k] b[k][n] for R rows and V vectors of columns.
template <bool Pairs, int R, int V>
SHAKTI_INLINE void tile(int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb, float* c,
                        int64_t ldc, bool add) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = add ? load(c + i * ldc + j * W) : vf{};
  }
  for (int64_t x = 0; x < k; ++x) {
    vf bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bv[j] = load(b + x * ldb + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const vf av = broadcast(a + i * ars + x * acs);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) acc[i][j] = multiply_add<Pairs>(av, bv[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(c + i * ldc + j * W, acc[i][j]);
  }
}

// V vectors of columns, all rows: as many rows at once as the registers hold.
template <bool Pairs, int V>
void columns(int64_t m, int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb, float* c,
             int64_t ldc, bool add) {
#if defined(__AVX512F__)
  constexpr int R = V == 1 ? 12 : 24 / V;
#else
  constexpr int R = V == 1 ? 8 : 6;
#endif
  int64_t i = 0;
  for (; i + R <= m; i += R) tile<Pairs, R, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
  for (; i + 4 <= m; i += 4) tile<Pairs, 4, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
  for (; i < m; ++i) tile<Pairs, 1, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
}

// c[m][n] (+)= a[m][k] b[k][n]; n a multiple of W; k counts words.
template <bool Pairs>
void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb,
              float* c, int64_t ldc, bool add) {
  for (int64_t j = 0; j < n;) {
    const int64_t left = (n - j) / W;
#if defined(__AVX512F__)
    if (left == 4 || left > 6) {
      columns<Pairs, 4>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 4 * W;
      continue;
    }
    if (left > 2) {
      columns<Pairs, 3>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 3 * W;
      continue;
    }
#endif
    if (left > 1) {
      columns<Pairs, 2>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 2 * W;
    } else {
      columns<Pairs, 1>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += W;
    }
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
