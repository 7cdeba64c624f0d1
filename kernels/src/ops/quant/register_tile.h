// A few rows of x times a panel of the weight. A group's dot products are integers and exact, and what is done with
// them in f32 is the same on every unit, in the same order: so are the bits.
#pragma once
#include "../../simd/amx.h"
#include "range.h"

namespace SHAKTI_ISA_NS {
namespace {

using quant::Layout;

// What multiplies bytes: the instruction set's own multiplications, AVX512-VNNI, or the tile unit.
enum class Unit { plain, vnni, amx };

// Rows of x that pass a panel together, and vectors of the panel that each byte of x meets: all their sums, integer and
// f32, stay in registers.
#if defined(__AVX512F__)
constexpr int kRows = 6, V = 2;
#else
constexpr int kRows = 4, V = 1;
#endif
constexpr int kMostRows = 32;  // of two tiles
// Neighbours along k without a test between them; every group is a multiple. 16 tests in a row, the last of them unlike
// the others, are more than a CPU remembers: each wrong guess cost a fifth of a group.
constexpr int kUnrolled = 32;
// Bytes by which a panel is asked for ahead of its use, into the next one.
constexpr int64_t kAhead = 16384;

SHAKTI_INLINE int64_t rows_together(Unit unit) { return unit == Unit::amx ? kMostRows : kRows; }

// What a weight's byte has too much in a dot product, and a sum starts without. Without VNNI it is taken off each
// weight of 8 bits.
SHAKTI_INLINE int32_t bias_of(int bits, Unit unit) { return bits == 4 ? 8 : unit == Unit::plain ? 0 : 128; }

// A block of rows of x, as layout.h says.
struct Block {
  int64_t rows;
  const int8_t* bytes;
  const float* scales;
  const int32_t* starts;
  // Of each group, what a zero point of 1 as stored takes off its sum of products: their bytes' sum, negative. Null
  // without.
  const float* sums;
};

// out [rows][32 rows of the weight]: a block times a panel.
using TileFn = void (*)(const uint8_t* panel, const Layout& layout, const Block& block, float* out);

SHAKTI_INLINE vi load_i(const void* p) {
  vi v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
SHAKTI_INLINE vf load_scales(const void* p) {
  vh h;
  std::memcpy(&h, p, sizeof h);
  return from_bf16(h);
}

SHAKTI_INLINE vf load_zeros(const void* p) {
  // GCC would convert them one by one.
#if defined(__AVX512F__)
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
#else
  vf zeros;
  for (int i = 0; i < W; ++i) zeros[i] = static_cast<const int8_t*>(p)[i];
  return zeros;
#endif
}

// sum[i] + the four bytes of w[i] times those of x[i]: the bytes of w are unsigned and those of x signed, except where
// the instructions want both signed and w has 8 bits (`Signed`): then w comes with 128 taken off. There the magnitudes
// of w go unsigned and its signs to x: -128 has a magnitude, and x never is -128.
#if defined(__AVX512F__)
constexpr bool kHasVnni = true;
#else
constexpr bool kHasVnni = false;
#endif

template <bool Signed, bool Vnni>
SHAKTI_INLINE vi dot4(vi sum, vi w, vi x) {
#if defined(__AVX512F__)
  if (Vnni) {
    // As text, since an intrinsic would want everything around it compiled for a CPU that has it.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
  }
  __m512i a = (__m512i)w, b = (__m512i)x;
  if (Signed) {
    b = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    a = _mm512_abs_epi8(a);
  }
  return sum + (vi)_mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  __m256i a = (__m256i)w, b = (__m256i)x;
  if (Signed) {
    b = _mm256_sign_epi8(b, a);
    a = _mm256_abs_epi8(a);
  }
  return sum + (vi)_mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
#else
  // Two products of bytes fit into 16 bits.
  typedef int16_t vs __attribute__((vector_size(W * 4)));
  const vs a = (vs)w, b = (vs)x;
  const vs pairs = (a << 8 >> 8) * (b << 8 >> 8) + (a >> 8) * (b >> 8);
  return sum + ((vi)pairs << 16 >> 16) + ((vi)pairs >> 16);
#endif
}

// For R rows. What is taken off for zero points is exact (22 bits), fused or not.
template <int Bits, int R, bool Vnni, bool Zero>
void tile(const uint8_t* panel, const Layout& layout, const Block& block, float* out) {
  constexpr int64_t kStep = kPanel * 4;
  constexpr bool kSigned = Bits == 8 && !Vnni;
  // With signs to move, half as many: AVX-512 without VNNI loses 15 % otherwise.
  constexpr int kParts = 8 / Bits, kUnroll = kUnrolled / (4 * kParts * (1 + kSigned));
  const uint8_t* w = panel + (Zero ? layout.head_bytes() : layout.scale_bytes());
  const int8_t* x = block.bytes;
  const int64_t steps = layout.group_bytes() / kStep;
  const float* scales = block.scales;
  const int32_t* starts = block.starts;
  const float* sums = block.sums;
  vf sum[R][H] = {};
  for (int64_t g = 0; g < layout.groups; ++g) {
    for (int h = 0; h < H; h += V) {
      const uint8_t* from = w + h * W * 4;
      const int8_t* bytes = x;
      const bool new_line = h * W * 4 % 64 == 0;
      vi dot[R][V];
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int i = 0; i < V; ++i) dot[r][i] = splat_i(starts[r]);
      }
      const auto step = [&](const uint8_t* from) {
        vi word[V];
#pragma GCC unroll 2
        for (int i = 0; i < V; ++i) {
          word[i] = load_i(from + i * W * 4);
          if (new_line) __builtin_prefetch(from + i * W * 4 + kAhead);
        }
#pragma GCC unroll 2
        for (int half = 0; half < kParts; ++half) {
          vi a[V];
#pragma GCC unroll 2
          for (int i = 0; i < V; ++i) {
            a[i] = word[i];
            if (Bits == 4) a[i] = (half == 0 ? a[i] : (vi)((vu)a[i] >> 4)) & 0x0f0f0f0f;
            if (kSigned) a[i] ^= static_cast<int32_t>(0x80808080);
          }
#pragma GCC unroll 6
          for (int r = 0; r < R; ++r, bytes += 4) {
            int32_t four;
            std::memcpy(&four, bytes, 4);
#pragma GCC unroll 2
            for (int i = 0; i < V; ++i) dot[r][i] = dot4<kSigned, Vnni>(dot[r][i], a[i], splat_i(four));
          }
        }
      };
      for (int64_t s = 0; s < steps; s += kUnroll, from += kUnroll * kStep) {
#pragma GCC unroll 8
        for (int u = 0; u < kUnroll; ++u) step(from + u * kStep);
      }
#pragma GCC unroll 2
      for (int i = 0; i < V; ++i) {
        const vf scale = load_scales(panel + (g * kPanel + (h + i) * W) * 2);
        const vf zero = Zero ? load_zeros(panel + layout.scale_bytes() + g * kPanel + (h + i) * W) : vf{};
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
          vf exact = __builtin_convertvector(dot[r][i], vf);
          if (Zero) exact = vfma(zero, splat(sums[r]), exact);
          sum[r][h + i] += exact * scale * splat(scales[r]);
        }
      }
    }
    w += layout.group_bytes();
    x += layout.group * R;
    scales += R;
    starts += R;
    if (Zero) sums += R;
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    for (int h = 0; h < H; ++h) store(out + r * kPanel + h * W, sum[r][h]);
  }
}

template <int Bits, bool Vnni, bool Zero, int R = kRows>
TileFn tile_of(int64_t rows) {
  if (R == rows || R == 1) return tile<Bits, R, Vnni, Zero>;
  return tile_of<Bits, Vnni, Zero, R == 1 ? 1 : R - 1>(rows);
}

#if defined(__AVX512F__)
// A group's weights of 4 bits as bytes, [k / 4][32 rows][4].
SHAKTI_INLINE void widen(const uint8_t* from, int64_t bytes, uint8_t* to) {
  constexpr int64_t kLine = kPanel * 4;
  for (int64_t i = 0; i < bytes; i += kLine, to += 2 * kLine) {
    for (int64_t j = 0; j < kLine; j += 64) {
      const __m512i both = _mm512_loadu_si512(from + i + j), low = _mm512_set1_epi8(15);
      _mm512_store_si512(to + j, _mm512_and_si512(both, low));
      _mm512_store_si512(to + kLine + j, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
    }
  }
}

// On the tile unit, up to 32 rows: a group's sums leave the tiles for the vectors.
template <int Bits, bool Zero>
void tile_amx(const uint8_t* panel, const Layout& layout, const Block& block, float* out) {
  constexpr int64_t kLine = kPanel * 4;
  const int64_t rows = block.rows, group = layout.group, step = group < 64 ? group : 64;
  const bool two = rows > amx::kRows;
  const uint8_t* weights = panel + (Zero ? layout.head_bytes() : layout.scale_bytes());
  const int8_t* x = block.bytes;
  alignas(64) int32_t dots[kMostRows][kPanel];
  alignas(64) uint8_t widened[quant::kMostGroup * kPanel];
  std::memset(out, 0, static_cast<size_t>(rows * kPanel) * sizeof(float));
  amx::begin(rows, step / 4);
  for (int64_t g = 0; g < layout.groups; ++g, weights += layout.group_bytes(), x += rows * group) {
    for (int64_t i = 0; i < layout.group_bytes(); i += 64) __builtin_prefetch(weights + i + kAhead);
    if (Bits == 4) widen(weights, layout.group_bytes(), widened);
    const uint8_t* w = Bits == 4 ? widened : weights;
    amx::zero<0>();
    amx::zero<1>();
    if (two) {
      amx::zero<2>();
      amx::zero<3>();
    }
    for (int64_t k = 0; k < group; k += step) {
      amx::load<4>(x + k, group);
      amx::load<6>(w + k * kPanel, kLine);
      amx::load<7>(w + k * kPanel + 64, kLine);
      amx::dot_bytes<0, 4, 6>();
      amx::dot_bytes<1, 4, 7>();
      if (!two) continue;
      amx::load<5>(x + amx::kRows * group + k, group);
      amx::dot_bytes<2, 5, 6>();
      amx::dot_bytes<3, 5, 7>();
    }
    amx::store<0>(dots[0], kLine);
    amx::store<1>(dots[0] + W, kLine);
    if (two) {
      amx::store<2>(dots[amx::kRows], kLine);
      amx::store<3>(dots[amx::kRows] + W, kLine);
    }
    vf scale[H], zero[H];
    for (int h = 0; h < H; ++h) {
      scale[h] = load_scales(panel + (g * kPanel + h * W) * 2);
      if (Zero) zero[h] = load_zeros(panel + layout.scale_bytes() + g * kPanel + h * W);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const vi start = splat_i(block.starts[g * rows + r]);
      const vf of_x = splat(block.scales[g * rows + r]);
      for (int h = 0; h < H; ++h) {
        float* sum = out + r * kPanel + h * W;
        vf exact = __builtin_convertvector(load_i(dots[r] + h * W) + start, vf);
        if (Zero) exact = vfma(zero[h], splat(block.sums[g * rows + r]), exact);
        store(sum, load(sum) + exact * scale[h] * of_x);
      }
    }
  }
  amx::end();
}
#endif

template <int Bits, bool Zero>
TileFn tile_of(Unit unit, int64_t rows) {
#if defined(__AVX512F__)
  if (unit == Unit::amx) return tile_amx<Bits, Zero>;
#endif
  return unit == Unit::vnni ? tile_of<Bits, kHasVnni, Zero>(rows) : tile_of<Bits, false, Zero>(rows);
}

TileFn tile_of(const Layout& layout, Unit unit, int64_t rows) {
  if (layout.bits == 8) return layout.zero_point ? tile_of<8, true>(unit, rows) : tile_of<8, false>(unit, rows);
  return layout.zero_point ? tile_of<4, true>(unit, rows) : tile_of<4, false>(unit, rows);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
