// Blocks of q, k, v and of scores, as the two sides of a product take them on each unit. Elements lie in words of 32
// bits: f32, or pairs of bf16 along what is summed over. A left side has any two steps, so that a transpose costs
// nothing (but tiles want their lines whole: they get a copy); a right side has rows of whole vectors.
#pragma once
#include "../../simd/bf16.h"
#include "../../simd/bytes.h"
#include "../../simd/transpose.h"
#include "../../simd/unit.h"
#include "problem.h"

namespace SHAKTI_ISA_NS {
namespace {

// Rows of words, `ld` apart, readable in whole vectors.
struct Rows {
  const float* p;
  int64_t ld;
};
// Steps from row to row, and along what is summed over.
struct Left {
  const float* p;
  int64_t rs, cs;

  Left(const float* p, int64_t rs, int64_t cs) : p(p), rs(rs), cs(cs) {}
  Left(const Rows& rows) : Left(rows.p, rows.ld, 1) {}
};

// Words that n elements take; for the tile unit whole tiles of them, what is behind n being 0.
template <Unit U>
SHAKTI_INLINE int64_t words(int64_t n) {
  if (U == Unit::amx) return (n + 31) / 32 * 16;
  return (n + kPerWord<U> - 1) / kPerWord<U>;
}
// From row to row of a head that was copied: dp elements at least.
template <Unit U>
SHAKTI_INLINE int64_t words_of_row(const Problem& p) {
  return U == Unit::amx ? words<U>(p.d) : p.dp / kPerWord<U>;
}

// A row of a head as words, `ld` of them: what is behind d is 0. Of bytes, numbers without their scale, which are exact
// in bf16 too.
template <Unit U>
SHAKTI_INLINE void load_row(const Operand& o, int64_t at, int64_t d, int64_t ld, float* to) {
#if defined(__AVX512F__)
  if (U != Unit::f32) {
    auto* row = reinterpret_cast<uint16_t*>(to);
    if (o.dtype == DType::u8)
      widen_bytes(row, o.ptr<uint8_t>() + at, d);
    else
      gather_bf16(row, o, at, o.strides[3], d);
    std::memset(row + d, 0, static_cast<size_t>(2 * ld - d) * 2);
    return;
  }
#endif
  if (o.dtype == DType::u8)
    widen_bytes(to, o.ptr<uint8_t>() + at, d);
  else
    gather_f32(to, o, at, o.strides[3], d);
  for (int64_t j = d; j < ld; ++j) to[j] = 0;
}

// Rows [first, first + n) of a head where they lie, if they can be read so; else nothing ...
template <Unit U>
Rows rows_in_place(const Problem& p, const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n) {
  const bool dense = o.strides[3] == 1 || p.d == 1;
  const bool whole = U != Unit::amx || n % 16 == 0;  // a tile reads 16 rows
  if (o.dtype != (U == Unit::f32 ? DType::f32 : DType::bf16) || !dense || !whole ||
      p.d != words_of_row<U>(p) * kPerWord<U> || o.strides[1] % kPerWord<U> != 0)
    return {nullptr, 0};
  const auto* at = o.ptr<char>() + row_at(o, b, first, h) * static_cast<int64_t>(dtype_size(o.dtype));
  if (reinterpret_cast<uintptr_t>(at) % 4 != 0) return {nullptr, 0};
  return {reinterpret_cast<const float*>(at), o.strides[1] / kPerWord<U>};
}
// ... or copied ...
template <Unit U>
Rows copy_rows(const Problem& p, const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, float* to) {
  const int64_t ld = words_of_row<U>(p);
  for (int64_t i = 0; i < n; ++i) load_row<U>(o, row_at(o, b, first + i, h), p.d, ld, to + i * ld);
  return {to, ld};
}
// ... or copied only if they must be.
template <Unit U>
Rows rows_of(const Problem& p, const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, float* buffer) {
  const Rows there = rows_in_place<U>(p, o, b, h, first, n);
  return there.p != nullptr ? there : copy_rows<U>(p, o, b, h, first, n, buffer);
}

// The transpose [depth][kKeys] of n rows of `depth` words, a right side; columns behind n are 0.
SHAKTI_INLINE void transpose(Rows rows, int64_t n, int64_t depth, float* to) {
  interleave<kKeys>(rows.p, rows.ld * 4, n, depth, to);
  if (n == kKeys) return;
  for (int64_t j = 0; j < depth; ++j) std::memset(to + j * kKeys + n, 0, static_cast<size_t>(kKeys - n) * 4);
}

// n rows of a head as the right side of a product that sums over them: as they are, or two by two in
// `buffer` [words of n][dp], a word holding an element of the even row and the one of the odd row behind it.
template <Unit U>
SHAKTI_INLINE Rows stack(Rows rows, int64_t n, int64_t dp, float* buffer) {
#if defined(__AVX512F__)
  if (U != Unit::f32) {
    const auto half = [](const float* p) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    };
    for (int64_t i = 0; i < n; i += 2) {
      const float *even = rows.p + i * rows.ld, *odd = even + rows.ld;
      for (int64_t j = 0; j < dp; j += W) {
        __m512i pair = half(even + j / 2);
        if (i + 1 < n) pair = _mm512_or_si512(pair, _mm512_slli_epi32(half(odd + j / 2), 16));
        _mm512_storeu_si512(buffer + i / 2 * dp + j, pair);
      }
    }
    const int64_t there = words<Unit::bf16>(n), wanted = words<U>(n);
    std::memset(buffer + there * dp, 0, static_cast<size_t>((wanted - there) * dp) * 4);
    return {buffer, dp};
  }
#endif
  return rows;
}

// Columns [c0, c1) of n rows [n][kKeys] of f32 as a left side that sums over them. `buffer` [n][kKeys / 2]. c0 is a
// multiple of 2 W, c1 one of W; behind it, tiles get 0.
template <Unit U>
SHAKTI_INLINE Left over_keys(const float* s, int64_t n, int64_t c0, int64_t c1, float* buffer) {
#if defined(__AVX512F__)
  if (U != Unit::f32) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = c0; j < c1; j += 2 * W) {
        const vf high = j + W < c1 ? load(s + i * kKeys + j + W) : vf{};
        _mm512_storeu_si512(buffer + i * kKeys / 2 + j / 2, round_to_pairs(load(s + i * kKeys + j), high));
      }
    }
    return {buffer + c0 / 2, kKeys / 2, 1};
  }
#endif
  return {s + c0, kKeys, 1};
}

// The transpose of columns [c0, c1), multiples of W, of n rows [n][kKeys] of f32 as a left side that sums over the
// rows. n is 64 at most, `buffer` [64][kKeys].
template <Unit U>
SHAKTI_INLINE Left over_rows(const float* s, int64_t n, int64_t c0, int64_t c1, float* buffer) {
#if defined(__AVX512F__)
  if (U != Unit::f32) {
    constexpr int64_t kPairs = 32;
    for (int64_t i = 0; i < n; i += 2) {
      for (int64_t j = c0; j < c1; j += W) {
        __m512i pair = round_to_bf16(load(s + i * kKeys + j));
        if (i + 1 < n)
          pair = _mm512_or_si512(pair, _mm512_slli_epi32(round_to_bf16(load(s + (i + 1) * kKeys + j)), 16));
        _mm512_storeu_si512(buffer + i / 2 * kKeys + j, pair);
      }
    }
    if (U == Unit::bf16) return {buffer + c0, 1, kKeys};
    const int64_t there = words<Unit::bf16>(n), wanted = words<U>(n);
    std::memset(buffer + there * kKeys, 0, static_cast<size_t>((wanted - there) * kKeys) * 4);
    float* lines = buffer + kPairs * kKeys;
    interleave<kPairs>(buffer + c0, kKeys * 4, wanted, c1 - c0, lines);
    return {lines, kPairs, 1};
  }
#endif
  return {s + c0, 1, kKeys};
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
