// How operands lie once they are packed, for each of the units that multiply. A panel is P lines side by side (rows of
// a, columns of b), in words of 32 bits: lines that are missing, and depth that a unit needs and the product lacks, are
// 0.
//   f32    a word is one element; for each k, the P lines
//   bf16   a word is a pair along k; for each pair, the P lines
//   amx    as bf16, to whole tiles of 16 pairs; a panel of a lies line by line instead
// The panels of a packed weight (packed_weight.h) are these too; bf16 ones also serve units without products of bf16,
// each pair widened to two f32 on the way.
#pragma once
#include "../../simd/amx.h"
#include "../../simd/bf16.h"
#include "../../simd/transpose.h"
#include "../../simd/unit.h"
#include "blocking.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Matrix {
  const Operand* o;
  int64_t at, rs, cs;  // first element, steps from row to row and column to column
};

// Register tiles are MR rows of NV vectors. (AMX: 2 x 2 tiles of 16 x 16.)
#if defined(__AVX512F__)
constexpr int MR = 12, NV = 2;
#elif defined(__AVX2__)
constexpr int MR = 6, NV = 2;
#elif defined(__aarch64__)  // 32 registers
constexpr int MR = 8, NV = 2;
#else
constexpr int MR = 4, NV = 2;
#endif
constexpr int NR = NV * W;
template <Unit U>
constexpr int kTileRows = U == Unit::amx ? 32 : MR;

// The words that a depth takes.
template <Unit U>
SHAKTI_INLINE int64_t words(int64_t depth) {
  if (U == Unit::amx) return (depth + 31) / 32 * 16;
  if (U == Unit::widened) return (depth + 1) / 2 * 2;
  return (depth + kPerWord<U> - 1) / kPerWord<U>;
}

constexpr int64_t kAhead = 8;  // rows to fetch in advance: one row to the next is too far for the hardware to see

// Whole panels of lines that lie side by side: k by k over several of them, so that what lies together is read
// together.
template <int P>
void pack_f32_across(const float* from, int64_t along, int64_t panels, int64_t depth, float* to) {
  constexpr int64_t kTogether = 96 / P;
  for (int64_t p = 0; p < panels; p += kTogether) {
    const int64_t n = panels - p < kTogether ? panels - p : kTogether;
    for (int64_t k = 0; k < depth; ++k) {
      const float* row = from + p * P + k * along;
      for (int64_t i = 0; i < n * P; i += 16) __builtin_prefetch(row + kAhead * along + i);
      for (int64_t i = 0; i < n; ++i) std::memcpy(to + (p + i) * P * depth + k * P, row + i * P, P * sizeof(float));
    }
  }
}

// One panel of `lines` lines (more than P count as P), `depth` elements each. A line's elements lie `along` apart,
// lines `across`.
template <int P>
void pack_f32(const Operand& o, int64_t at, int64_t across, int64_t along, int64_t lines, int64_t depth, float* to) {
  if (lines > P) lines = P;
  const bool f32 = o.dtype == DType::f32;
  if (f32 && along == 1) {
    interleave<P>(o.ptr<float>() + at, across * 4, lines, depth, to);
  } else if (across == 1) {
    for (int64_t k = 0; k < depth; ++k) gather_f32(to + k * P, o, at + k * along, 1, lines);
  } else {
    alignas(64) float buffer[4][matmul::kDepth];
    for (int64_t i = 0; i < lines; i += 4) {
      const int64_t n = lines - i < 4 ? lines - i : 4;
      for (int64_t j = 0; j < n; ++j) gather_f32(buffer[j], o, at + (i + j) * across, along, depth);
      interleave<P>(buffer[0], sizeof buffer[0], n, depth, to + i);
    }
  }
  for (int64_t i = lines; i < P; ++i) {
    for (int64_t k = 0; k < depth; ++k) to[k * P + i] = 0;
  }
}

#if defined(__AVX512F__)
// 16 elements in a row (n of them there) as bf16 in 32-bit lanes.
SHAKTI_INLINE __m512i load_lanes(const Operand& o, int64_t at, __mmask16 there) {
  if (o.dtype == DType::bf16) return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, o.ptr<uint16_t>() + at));
  return round_to_bf16((vf)_mm512_maskz_loadu_ps(there, o.ptr<float>() + at));
}

// Panels of lines that lie side by side, as pack_f32_across; the last panel may lack some.
template <int P>
void pack_pairs_across(const Operand& o, int64_t at, int64_t along, int64_t lines, int64_t depth, float* to) {
  constexpr int64_t kTogether = 96 / P * P;
  const auto size = static_cast<int64_t>(dtype_size(o.dtype));
  const int64_t panel = words<Unit::bf16>(depth) * P;
  const auto first = [](int64_t n) { return static_cast<__mmask16>(n >= W ? 0xffff : n > 0 ? (1u << n) - 1 : 0); };
  for (int64_t l = 0; l < lines; l += kTogether) {
    const int64_t n = lines - l < kTogether ? lines - l : kTogether;
    for (int64_t k = 0; k < depth; k += 2) {
      const int64_t row = at + l + k * along;
      const char* next = o.ptr<char>() + (row + kAhead * along) * size;
      for (int64_t i = 0; i < n * size; i += 64) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + along * size + i);
      }
      for (int64_t i = 0; i < n; i += P) {
        float* out = to + (l + i) / P * panel + k / 2 * P;
#pragma GCC unroll 2
        for (int v = 0; v < P; v += W) {
          const __mmask16 there = first(n - i - v < P - v ? n - i - v : P - v);
          __m512i pair = load_lanes(o, row + i + v, there);
          if (k + 1 < depth)
            pair = _mm512_or_si512(pair, _mm512_slli_epi32(load_lanes(o, row + along + i + v, there), 16));
          _mm512_mask_storeu_epi32(out + v, first(P - v), pair);
        }
      }
    }
  }
}

template <int P>
void pack_pairs(const Operand& o, int64_t at, int64_t across, int64_t along, int64_t lines, int64_t depth, float* to) {
  if (lines > P) lines = P;
  if (across == 1) return pack_pairs_across<P>(o, at, along, lines, depth, to);
  const int64_t pairs = depth / 2;
  if (along == 1 && o.dtype == DType::bf16) {
    const uint16_t* from = o.ptr<uint16_t>() + at;
    interleave<P>(from, across * 2, lines, pairs, to);
    if (depth % 2 != 0) {
      for (int64_t i = 0; i < lines; ++i) {
        const uint32_t last = from[i * across + 2 * pairs];
        std::memcpy(to + pairs * P + i, &last, 4);
      }
    }
  } else {
    alignas(64) uint16_t buffer[4][2 * matmul::kDepth + 2];
    for (int64_t i = 0; i < lines; i += 4) {
      const int64_t n = lines - i < 4 ? lines - i : 4;
      for (int64_t j = 0; j < n; ++j) {
        gather_bf16(buffer[j], o, at + (i + j) * across, along, depth);
        buffer[j][depth] = 0;
      }
      interleave<P>(buffer[0], sizeof buffer[0], n, words<Unit::bf16>(depth), to + i);
    }
  }
  for (int64_t i = lines; i < P; ++i) {
    for (int64_t p = 0; p < words<Unit::bf16>(depth); ++p) to[p * P + i] = 0;
  }
}

// Line by line, as the tile unit reads a.
template <int P>
void pack_lines(const Operand& o, int64_t at, int64_t across, int64_t along, int64_t lines, int64_t depth, float* to) {
  if (lines > P) lines = P;
  const int64_t line = 2 * words<Unit::amx>(depth);
  auto* out = reinterpret_cast<uint16_t*>(to);
  if (across == 1 && along != 1) {
    uint16_t row[P];
    for (int64_t k = 0; k < depth; ++k) {
      gather_bf16(row, o, at + k * along, 1, lines);
      for (int64_t i = 0; i < lines; ++i) out[i * line + k] = row[i];
    }
  } else {
    for (int64_t i = 0; i < lines; ++i) gather_bf16(out + i * line, o, at + i * across, along, depth);
  }
  for (int64_t i = 0; i < lines; ++i) std::memset(out + i * line + depth, 0, static_cast<size_t>(line - depth) * 2);
  std::memset(out + lines * line, 0, static_cast<size_t>((P - lines) * line) * 2);
}
#endif

// rows x depth of a from (r0, k0), as panels.
template <Unit U>
SHAKTI_INLINE void pack_a(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, float* to) {
  constexpr int P = kTileRows<U>;
  int64_t p = 0;
  if (U == Unit::f32 && a.o->dtype == DType::f32 && a.rs == 1) {
    p = rows / P * P;
    pack_f32_across<P>(a.o->ptr<float>() + a.at + r0 + k0 * a.cs, a.cs, p / P, depth, to);
  }
#if defined(__AVX512F__)
  if (U == Unit::bf16 && a.rs == 1) {
    pack_pairs_across<P>(*a.o, a.at + r0 + k0 * a.cs, a.cs, rows, depth, to);
    return;
  }
#endif
  for (; p < rows; p += P) {
    const int64_t at = a.at + (r0 + p) * a.rs + k0 * a.cs;
    float* panel = to + p * words<U>(depth);
#if defined(__AVX512F__)
    if (U == Unit::amx) {
      pack_lines<P>(*a.o, at, a.rs, a.cs, rows - p, depth, panel);
    } else if (U == Unit::bf16) {
      pack_pairs<P>(*a.o, at, a.rs, a.cs, rows - p, depth, panel);
    } else
#endif
      pack_f32<P>(*a.o, at, a.rs, a.cs, rows - p, depth, panel);
  }
}

// One panel of columns of b from (k0, c0).
template <Unit U>
SHAKTI_INLINE void pack_b(const Matrix& b, int64_t k0, int64_t depth, int64_t c0, int64_t columns, float* to) {
  const int64_t at = b.at + k0 * b.rs + c0 * b.cs;
  if (U == Unit::f32 && b.o->dtype == DType::f32 && b.cs == 1 && columns >= NR)
    return pack_f32_across<NR>(b.o->ptr<float>() + at, b.rs, 1, depth, to);
#if defined(__AVX512F__)
  if (U != Unit::f32) {
    pack_pairs<NR>(*b.o, at, b.cs, b.rs, columns, depth, to);
    const int64_t there = words<Unit::bf16>(depth) * NR, needed = words<U>(depth) * NR;
    std::memset(to + there, 0, static_cast<size_t>(needed - there) * 4);
    return;
  }
#endif
  pack_f32<NR>(*b.o, at, b.cs, b.rs, columns, depth, to);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
