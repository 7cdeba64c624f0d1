// Products of blocks that lie as blocks.h says, on each unit.
#pragma once
#include "../../simd/amx.h"
#include "../../simd/bf16.h"
#include "blocks.h"

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

template <Unit U>
SHAKTI_INLINE vf multiply_add(vf a, vf b, vf sum) {
#if defined(__AVX512F__)
  if (U == Unit::bf16) return dot_pairs(sum, (vpairs)a, (vpairs)b);
#endif
  return vfma(a, b, sum);
}

// Where the sums of a tile of vectors go: use(i, j, sums) has those of rows i, i + 1, .. from column j on. To memory:
struct Stored {
  float* c;
  int64_t ldc;
  template <int R, int V>
  SHAKTI_INLINE void operator()(int64_t i, int64_t j, vf (&sums)[R][V]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(c + (i + r) * ldc + j + v * W, sums[r][v]);
    }
  }
};
// ... or to what is there.
struct Added {
  float* c;
  int64_t ldc;
  template <int R, int V>
  SHAKTI_INLINE void operator()(int64_t i, int64_t j, vf (&sums)[R][V]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        float* at = c + (i + r) * ldc + j + v * W;
        store(at, load(at) + sums[r][v]);
      }
    }
  }
};

// R rows of a[m][k] by V vectors of columns of b[k][n].
template <Unit U, int R, int V, class Use>
SHAKTI_INLINE void tile(int64_t i, int64_t j, int64_t k, const float* a, int64_t ars, int64_t acs, const float* b,
                        int64_t ldb, const Use& use) {
  vf sums[R][V] = {};
  a += i * ars;
  b += j;
  for (int64_t x = 0; x < k; ++x) {
    vf bv[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) bv[v] = load(b + x * ldb + v * W);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf av = broadcast(a + r * ars + x * acs);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] = multiply_add<U>(av, bv[v], sums[r][v]);
    }
  }
  use(i, j, sums);
}

// V vectors of columns, all rows: as many rows at once as the registers hold. Inlined, they lose some of them.
template <Unit U, int V, class Use>
__attribute__((noinline)) void columns(int64_t j, int64_t m, int64_t k, const float* a, int64_t ars, int64_t acs,
                                       const float* b, int64_t ldb, const Use& use) {
#if defined(__AVX512F__)
  constexpr int R = V == 1 ? 12 : 24 / V;
#else
  constexpr int R = V == 1 ? 8 : 6;
#endif
  int64_t i = 0;
  for (; i + R <= m; i += R) tile<U, R, V>(i, j, k, a, ars, acs, b, ldb, use);
  for (; i + 4 <= m; i += 4) tile<U, 4, V>(i, j, k, a, ars, acs, b, ldb, use);
  for (; i < m; ++i) tile<U, 1, V>(i, j, k, a, ars, acs, b, ldb, use);
}

// a[m][k] b[k][n] by vectors; n a multiple of W; k counts words.
template <Unit U, class Use>
void multiply_vectors(int64_t m, int64_t n, int64_t k, Left a, Rows b, const Use& use) {
  for (int64_t j = 0; j < n;) {
    const int64_t left = (n - j) / W;
#if defined(__AVX512F__)
    if (left == 4 || left > 6) {
      columns<U, 4>(j, m, k, a.p, a.rs, a.cs, b.p, b.ld, use);
      j += 4 * W;
      continue;
    }
    if (left > 2) {
      columns<U, 3>(j, m, k, a.p, a.rs, a.cs, b.p, b.ld, use);
      j += 3 * W;
      continue;
    }
#endif
    if (left > 1) {
      columns<U, 2>(j, m, k, a.p, a.rs, a.cs, b.p, b.ld, use);
      j += 2 * W;
    } else {
      columns<U, 1>(j, m, k, a.p, a.rs, a.cs, b.p, b.ld, use);
      j += W;
    }
  }
}

#if defined(__AVX512F__)
// R x C tiles of c.
template <int R, int C>
SHAKTI_INLINE void tiles(int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                         bool add) {
  const int64_t below = amx::kRows * ldc, line = ldc * 4;
  if (add) {
    amx::load<0>(c, line);
    if (C == 2) amx::load<1>(c + W, line);
    if (R == 2) amx::load<2>(c + below, line);
    if (R == 2 && C == 2) amx::load<3>(c + below + W, line);
  } else {
    amx::zero<0>();
    if (C == 2) amx::zero<1>();
    if (R == 2) amx::zero<2>();
    if (R == 2 && C == 2) amx::zero<3>();
  }
  for (int64_t x = 0; x < k; x += amx::kWords) {
    amx::load<4>(a + x, lda * 4);
    amx::load<6>(b + x * ldb, ldb * 4);
    amx::dot_bf16<0, 4, 6>();
    if (C == 2) {
      amx::load<7>(b + x * ldb + W, ldb * 4);
      amx::dot_bf16<1, 4, 7>();
    }
    if (R == 1) continue;
    amx::load<5>(a + amx::kRows * lda + x, lda * 4);
    amx::dot_bf16<2, 5, 6>();
    if (C == 2) amx::dot_bf16<3, 5, 7>();
  }
  amx::store<0>(c, line);
  if (C == 2) amx::store<1>(c + W, line);
  if (R == 2) amx::store<2>(c + below, line);
  if (R == 2 && C == 2) amx::store<3>(c + below + W, line);
}

// The tile unit must be in use, a's lines be whole, and 16 rows of a be readable where there are fewer.
void multiply_tiles(int64_t m, int64_t n, int64_t k, Left a, Rows b, float* c, int64_t ldc, bool add) {
  constexpr int64_t kSide = 2 * amx::kRows;
  alignas(64) float part[kSide][kSide];
  for (int64_t i = 0; i < m; i += kSide) {
    const int64_t rows = m - i < kSide ? m - i : kSide;
    for (int64_t j = 0; j < n; j += kSide) {
      const int64_t width = n - j < kSide ? n - j : kSide;
      // Tiles that are not whole are summed aside.
      const bool whole = rows % amx::kRows == 0;
      float *from = c + i * ldc + j, *to = whole ? from : part[0];
      const int64_t ld = whole ? ldc : kSide;
      for (int64_t r = 0; !whole && add && r < rows; ++r)
        std::memcpy(part[r], from + r * ldc, static_cast<size_t>(width) * 4);
      const auto run = rows > amx::kRows ? width > W ? tiles<2, 2> : tiles<2, 1>
                       : width > W       ? tiles<1, 2>
                                         : tiles<1, 1>;
      run(k, a.p + i * a.rs, a.rs, b.p + j, b.ld, to, ld, add);
      for (int64_t r = 0; !whole && r < rows; ++r) std::memcpy(from + r * ldc, part[r], static_cast<size_t>(width) * 4);
    }
  }
}
#endif

// c[m][n] (+)= a[m][k] b[k][n] on any unit.
template <Unit U>
SHAKTI_INLINE void multiply(int64_t m, int64_t n, int64_t k, Left a, Rows b, float* c, int64_t ldc, bool add) {
#if defined(__AVX512F__)
  if (U == Unit::amx) return multiply_tiles(m, n, k, a, b, c, ldc, add);
#endif
  if (add)
    multiply_vectors<U>(m, n, k, a, b, Added{c, ldc});
  else
    multiply_vectors<U>(m, n, k, a, b, Stored{c, ldc});
}

// Around the products of a task.
template <Unit U>
SHAKTI_INLINE void begin_products() {
#if defined(__AVX512F__)
  if (U == Unit::amx) amx::begin();
#endif
}
template <Unit U>
SHAKTI_INLINE void end_products() {
#if defined(__AVX512F__)
  if (U == Unit::amx) amx::end();
#endif
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
