// Blocks of q, k and v as the products take them: rows of words, their transpose, and pairs of rows.
#pragma once
#include "../../simd/bf16.h"
#include "../../simd/transpose.h"
#include "problem.h"

namespace SHAKTI_ISA_NS {
namespace {

// Rows of words, `ld` apart, readable in whole vectors.
struct Rows {
  const float* p;
  int64_t ld;
};

// Words of a row of n elements.
template <bool Pairs>
SHAKTI_INLINE int64_t words(int64_t n) {
  return Pairs ? (n + 1) / 2 : n;
}

// A row of a head as words, `ld` of them: what is behind d is 0.
template <bool Pairs>
SHAKTI_INLINE void load_row(const Operand& o, int64_t at, int64_t d, int64_t ld, float* to) {
#if defined(__AVX512F__)
  if (Pairs) {
    auto* row = reinterpret_cast<uint16_t*>(to);
    gather_bf16(row, o, at, o.strides[3], d);
    std::memset(row + d, 0, static_cast<size_t>(2 * ld - d) * 2);
    return;
  }
#endif
  gather_f32(to, o, at, o.strides[3], d);
  for (int64_t j = d; j < ld; ++j) to[j] = 0;
}

// Rows [first, first + n) of a head: where they lie when they can be read so, or a copy in `buffer`.
template <bool Pairs>
Rows rows_of(const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, int64_t d, int64_t dp, float* buffer) {
  const bool dense = o.strides[3] == 1 || d == 1;
  if (!Pairs && o.dtype == DType::f32 && dense && d == dp)
    return {o.ptr<float>() + row_at(o, b, first, h), o.strides[1]};
  const int64_t ld = Pairs ? words<true>(d) : dp;
  for (int64_t i = 0; i < n; ++i) load_row<Pairs>(o, row_at(o, b, first + i, h), d, ld, buffer + i * ld);
  return {buffer, ld};
}

// The transpose [d][kKeys] of n rows of d words; columns behind n are 0.
void transpose(Rows rows, int64_t n, int64_t d, float* to) {
  interleave<kKeys>(rows.p, rows.ld * 4, n, d, to);
  if (n == kKeys) return;
  for (int64_t j = 0; j < d; ++j) std::memset(to + j * kKeys + n, 0, static_cast<size_t>(kKeys - n) * 4);
}

#if defined(__AVX512F__)
// Rows two by two, [(n + 1) / 2][dp]: a word holds an element of the even row and the one of the odd row below it.
void pair_rows(const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, int64_t d, int64_t dp, float* to) {
  alignas(64) uint16_t row[2][kMaxDim];
  for (int64_t i = 0; i < n; i += 2) {
    for (int64_t k = 0; k < 2; ++k) {
      const int64_t there = i + k < n ? d : 0;
      if (there > 0) gather_bf16(row[k], o, row_at(o, b, first + i + k, h), o.strides[3], d);
      std::memset(row[k] + there, 0, static_cast<size_t>(dp - there) * 2);
    }
    for (int64_t j = 0; j < dp; j += W) {
      const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row[0] + j)));
      const __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row[1] + j)));
      _mm512_storeu_si512(to + i / 2 * dp + j, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
  }
}

// f32 rows of kKeys columns, n of them, two by two as above ...
SHAKTI_INLINE void pair_queries(const float* s, int64_t n, float* to) {
  for (int64_t i = 0; i < n; i += 2) {
    for (int64_t j = 0; j < kKeys; j += W) {
      __m512i pair = round_to_bf16(load(s + i * kKeys + j));
      if (i + 1 < n) pair = _mm512_or_si512(pair, _mm512_slli_epi32(round_to_bf16(load(s + (i + 1) * kKeys + j)), 16));
      _mm512_storeu_si512(to + i / 2 * kKeys + j, pair);
    }
  }
}

// ... and columns [c0, c1) of each two by two, c0 and c1 multiples of W.
SHAKTI_INLINE void pair_keys(const float* s, int64_t n, int64_t c0, int64_t c1, float* to) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = c0; j < c1; j += 2 * W) {
      const vf high = j + W < c1 ? load(s + i * kKeys + j + W) : vf{};
      _mm512_storeu_si512(to + i * kKeys / 2 + j / 2, round_to_pairs(load(s + i * kKeys + j), high));
    }
  }
}
#endif

}  // namespace
}  // namespace SHAKTI_ISA_NS
