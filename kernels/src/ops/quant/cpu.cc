// Linear layers with weights in 8 or 4 bits. x is rounded to 8 bits too, so that a group's products and their sum are
// integers and exact; what is left in f32 is two products and a sum a group, in the order of k. So a row's result is
// the same bits on every instruction set, for any number of rows beside it and any number of threads.
#include "../../runtime/cpu_features.h"
#include "../../simd/vec.h"
#include "layout.h"

namespace SHAKTI_ISA_NS {
namespace {

using quant::kMostGroup;
using quant::kPanel;
using quant::Layout;

constexpr int H = kPanel / W;  // vectors of a panel's rows

// Rows of x that pass a panel together, and vectors of the panel that each byte of x meets: all their sums, integer and
// f32, stay in registers.
#if defined(__AVX512F__)
constexpr int kRows = 6, V = 2;
#else
constexpr int kRows = 4, V = 1;
#endif
// Steps of a group without a test between them; every group is a multiple. 16 tests in a row, the last of them unlike the
// others, are more than a CPU remembers: each wrong guess cost a fifth of a group.
constexpr int kUnroll = 4;
// Bytes by which a panel is asked for ahead of its use, into the next one.
constexpr int64_t kAhead = 16384;

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

// The bits of the largest magnitude. From 0x7f800000 on not all are finite.
SHAKTI_INLINE int32_t largest_bits(const float* p, int64_t n) {
  vi most = {};
  lanes(n, [&](int64_t i, int64_t count, bool part) {
    const vi bits = (vi)load_n(p + i, count, part) & 0x7fffffff;
    most = bits > most ? bits : most;
  });
  int32_t all[W], best = 0;
  std::memcpy(all, &most, sizeof all);
  for (int32_t bits : all) best = bits > best ? bits : best;
  return best;
}
constexpr int32_t kNotFinite = 0x7f800000;

SHAKTI_INLINE float float_of(int32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
// A scale from what is stored of it.
SHAKTI_INLINE float scale_from(const void* upper_half) {
  uint16_t upper;
  std::memcpy(&upper, upper_half, sizeof upper);
  return float_of(static_cast<int32_t>(static_cast<uint32_t>(upper) << 16));
}
SHAKTI_INLINE int32_t bits_of(float f) {
  int32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}

// ---- Weights, once.

// 32 sums, added up in one order on every instruction set.
struct Sum {
  vf part[H] = {};
  SHAKTI_INLINE float total() const {
    float t[kPanel];
    std::memcpy(t, part, sizeof t);
    for (int step = kPanel / 2; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) t[i] += t[i + step];
    }
    return t[0];
  }
};

SHAKTI_INLINE vf to_4_bits(vf v) { return vmax(vmin(vround_small(v), splat(7)), splat(-8)); }

// The scale under which 16 steps from -8 fit v, whose largest magnitude is 1 and has this sign, with the least squared
// error: for several first guesses, the steps are chosen, then the best scale for these steps.
float scale_of_4_bits(const float* v, int64_t n, float sign) {
  float best = 0, least = float_of(kNotFinite);
  for (float most = 6; most <= 9; most += 0.5f) {
    float scale = -sign / most;
    Sum vq, qq;
    for (int64_t i = 0; i < n; i += kPanel) {
      for (int h = 0; h < H; ++h) {
        const vf x = load(v + i + h * W), q = to_4_bits(x / splat(scale));
        vq.part[h] += x * q;
        qq.part[h] += q * q;
      }
    }
    scale = vq.total() / qq.total();
    Sum squares;
    for (int64_t i = 0; i < n; i += kPanel) {
      for (int h = 0; h < H; ++h) {
        const vf x = load(v + i + h * W), off = x - to_4_bits(x / splat(scale)) * splat(scale);
        squares.part[h] += off * off;
      }
    }
    const float error = squares.total();
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

// The scale of a group as the upper half of its bits.
uint16_t scale_of(const float* w, int64_t n, int bits, int32_t largest) {
  const float most = float_of(largest);
  // Rounded up, so that 127 steps reach the largest.
  if (bits == 8) return static_cast<uint16_t>((bits_of(most / 127) + 0xffff) >> 16);
  if (largest == 0) return 0;
  alignas(64) float unit[kMostGroup];
  float highest = 0;
  for (int64_t i = 0; i < n; ++i) {
    unit[i] = w[i] / most;
    highest = unit[i] > highest ? unit[i] : highest;
  }
  const int32_t scale = bits_of(scale_of_4_bits(unit, n, highest < 1 ? -1.0f : 1.0f) * most);
  return static_cast<uint16_t>((scale + 0x7fff + (scale >> 16 & 1)) >> 16);
}

// ---- x, at each product.

// One group of one row, of a block of `rows`. A group that is not finite makes the row NaN.
void quantize_group(const float* x, int64_t n, int64_t rows, int32_t bias, int8_t* bytes, float* scale,
                    int32_t* start) {
  const int32_t largest = largest_bits(x, n);
  const float most = float_of(largest);
  alignas(64) int8_t q[kMostGroup] = {};
  vi sum = {};
  if (largest > 0 && largest < kNotFinite) {
    for (int64_t i = 0; i < n; i += W) {
      typedef int8_t vq __attribute__((vector_size(W)));
      const vi v = __builtin_convertvector(vround_small(load(x + i) / splat(most) * splat(127)), vi);
      const vq narrow = __builtin_convertvector(v, vq);
      std::memcpy(q + i, &narrow, sizeof narrow);
      sum += v;
    }
  }
  for (int64_t i = 0; i < n; i += 4) std::memcpy(bytes + i * rows, q + i, 4);
  int32_t total = 0;
  for (int i = 0; i < W; ++i) total += sum[i];
  *start = -bias * total;
  *scale = largest < kNotFinite ? most / 127 : float_of(0x7fc00000);
}

// ---- Products.

// sum[i] + the four bytes of w[i] times those of x[i]: the bytes of w are unsigned and those of x signed, except where
// the instructions want both signed and w has 8 bits: then w comes with 128 taken off. There the magnitudes of w go
// unsigned and its signs to x: -128 has a magnitude, and x never is -128.
#if defined(__AVX512F__)
constexpr bool kHasVnni = true;
#else
constexpr bool kHasVnni = false;
#endif

template <int Bits, bool Vnni>
SHAKTI_INLINE vi dot4(vi sum, vi w, vi x) {
#if defined(__AVX512F__)
  if (Vnni) {
    // As text, since an intrinsic would want everything around it compiled for a CPU that has it.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
  }
  __m512i a = (__m512i)w, b = (__m512i)x;
  if (Bits == 8) {
    b = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    a = _mm512_abs_epi8(a);
  }
  return sum + (vi)_mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  __m256i a = (__m256i)w, b = (__m256i)x;
  if (Bits == 8) {
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

// What a weight's byte has too much in dot4, and a sum starts without. 8 bits without VNNI take it off each weight.
SHAKTI_INLINE int32_t bias_of(int bits, bool vnni) { return bits == 4 ? 8 : vnni ? 128 : 0; }

// A block of rows of x, as layout.h says.
struct Block {
  const int8_t* bytes;
  const float* scales;
  const int32_t* starts;
};

using TileFn = void (*)(const uint8_t* panel, const Layout& layout, const Block& x, float* out);

// out [R][32 rows of the weight]: R rows of x times a panel.
template <int Bits, int R, bool Vnni>
void tile(const uint8_t* panel, const Layout& layout, const Block& block, float* out) {
  constexpr int64_t kStep = kPanel * 4;
  const uint8_t* w = panel + layout.scale_bytes();
  const int8_t* x = block.bytes;
  const int64_t steps = layout.group_bytes() / kStep;
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
        for (int i = 0; i < V; ++i) dot[r][i] = splat_i(block.starts[g * R + r]);
      }
      const auto step = [&](const uint8_t* from) {
        vi word[V];
#pragma GCC unroll 2
        for (int i = 0; i < V; ++i) {
          word[i] = load_i(from + i * W * 4);
          if (new_line) __builtin_prefetch(from + i * W * 4 + kAhead);
        }
#pragma GCC unroll 2
        for (int half = 0; half < 8 / Bits; ++half) {
          vi a[V];
#pragma GCC unroll 2
          for (int i = 0; i < V; ++i) {
            a[i] = word[i];
            if (Bits == 4) a[i] = (half == 0 ? a[i] : (vi)((vu)a[i] >> 4)) & 0x0f0f0f0f;
            if (Bits == 8 && !Vnni) a[i] ^= static_cast<int32_t>(0x80808080);
          }
#pragma GCC unroll 6
          for (int r = 0; r < R; ++r, bytes += 4) {
            int32_t four;
            std::memcpy(&four, bytes, 4);
#pragma GCC unroll 2
            for (int i = 0; i < V; ++i) dot[r][i] = dot4<Bits, Vnni>(dot[r][i], a[i], splat_i(four));
          }
        }
      };
      for (int64_t s = 0; s < steps; s += kUnroll, from += kUnroll * kStep) {
#pragma GCC unroll 4
        for (int u = 0; u < kUnroll; ++u) step(from + u * kStep);
      }
#pragma GCC unroll 2
      for (int i = 0; i < V; ++i) {
        const vf scale = load_scales(panel + (g * kPanel + (h + i) * W) * 2);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
          sum[r][h + i] += __builtin_convertvector(dot[r][i], vf) * scale * splat(block.scales[g * R + r]);
        }
      }
    }
    w += layout.group_bytes();
    x += layout.group * R;
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    for (int h = 0; h < H; ++h) store(out + r * kPanel + h * W, sum[r][h]);
  }
}

template <int Bits, bool Vnni, int R = kRows>
TileFn tile_of(int64_t rows) {
  if (R == rows || R == 1) return tile<Bits, R, Vnni>;
  return tile_of<Bits, Vnni, R == 1 ? 1 : R - 1>(rows);
}

TileFn tile_of(int bits, bool vnni, int64_t rows) {
  if (vnni) return bits == 8 ? tile_of<8, kHasVnni>(rows) : tile_of<4, kHasVnni>(rows);
  return bits == 8 ? tile_of<8, false>(rows) : tile_of<4, false>(rows);
}

}  // namespace

void run_quantize_weight(const Args& args, Context& c) {
  const Operand &w = args.in[0], &packed = args.out[0];
  const int64_t n = w.shape[0], k = w.shape[1];
  const Layout layout(k, args.attr_int(0), args.attr_int(1));
  const int bits = layout.bits, bias = bits == 8 ? 128 : 8;
  c.parallel_for(packed.shape[0], 1 + 2048 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      uint8_t* panel = packed.ptr<uint8_t>() + p * packed.shape[1];
      uint8_t* bytes = panel + layout.scale_bytes();
      std::memset(panel, 0, static_cast<size_t>(packed.shape[1]));
      for (int64_t r = 0; r < kPanel; ++r) {
        for (int64_t g = 0; g < layout.groups; ++g) {
          const int64_t row = p * kPanel + r, from = g * layout.group;
          const int64_t count = row >= n ? 0 : k - from < layout.group ? k - from : layout.group;
          alignas(64) float v[kMostGroup] = {};
          if (count > 0) gather_f32(v, w, row * w.strides[0] + from * w.strides[1], w.strides[1], count);
          const int32_t largest = largest_bits(v, layout.group);
          if (largest >= kNotFinite) {
            c.fail("row %lld of the weight is not finite", static_cast<long long>(row));
            return;
          }
          const uint16_t upper = scale_of(v, layout.group, bits, largest);
          std::memcpy(panel + (g * kPanel + r) * 2, &upper, 2);
          const float scale = scale_from(&upper);
          for (int64_t i = 0; i < layout.group; ++i) {
            float q = scale == 0 ? 0 : __builtin_rintf(v[i] / scale);
            if (bits == 4) q = q > 7 ? 7 : q < -8 ? -8 : q;
            const int value = static_cast<int>(q) + bias, shift = bits == 4 && i % 8 >= 4 ? 4 : 0;
            bytes[layout.byte_of(r, from + i)] |= static_cast<uint8_t>(value << shift);
          }
        }
      }
    }
  });
}

void run_dequantize_weight(const Args& args, Context& c) {
  const Operand &packed = args.in[0], &w = args.out[0];
  const int64_t n = w.shape[0], k = w.shape[1];
  const Layout layout(k, args.attr_int(0), args.attr_int(1));
  const int bits = layout.bits, bias = bits == 8 ? 128 : 8;
  c.parallel_for(n, 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* panel = packed.ptr<uint8_t>() + row / kPanel * packed.shape[1];
      const uint8_t* bytes = panel + layout.scale_bytes();
      const int64_t r = row % kPanel;
      for (int64_t g = 0; g < layout.groups; ++g) {
        const int64_t from = g * layout.group, count = k - from < layout.group ? k - from : layout.group;
        const float scale = scale_from(panel + (g * kPanel + r) * 2);
        float v[kMostGroup];
        for (int64_t i = 0; i < count; ++i) {
          const int byte = bytes[layout.byte_of(r, from + i)];
          const int value = bits == 8 ? byte : i % 8 >= 4 ? byte >> 4 : byte & 15;
          v[i] = static_cast<float>(value - bias) * scale;
        }
        scatter_f32(w, row * k + from, v, count);
      }
    }
  });
}

void run_quantized_linear(const Args& args, Context& c) {
  const Operand &x = args.in[0], &packed = args.in[1], &bias = args.in[2], &y = args.out[0];
  const int64_t m = x.shape[0], k = x.shape[1], n = y.shape[1];
  if (m * n == 0) return;
  const Layout layout(k, args.attr_int(0), args.attr_int(1));
  const quant::Rows rows(m, kRows);
  const bool vnni = kHasVnni && has_avx512_vnni();
  auto* bytes = static_cast<int8_t*>(args.workspace);
  auto* scales = reinterpret_cast<float*>(bytes + quant::bytes_of_rows(m, layout));
  auto* starts = reinterpret_cast<int32_t*>(scales + m * layout.groups);
  const auto rows_of = [&](int64_t block) {
    return m - block * rows.each < rows.each ? m - block * rows.each : rows.each;
  };

  c.parallel_for(m, 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    alignas(64) float buffer[kMostGroup];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / rows.each, r = i % rows.each, of = rows_of(block);
      const int64_t first = block * rows.each;
      for (int64_t g = 0; g < layout.groups; ++g) {
        const int64_t from = g * layout.group, count = k - from < layout.group ? k - from : layout.group;
        gather_f32(buffer, x, i * x.strides[0] + from * x.strides[1], x.strides[1], count);
        for (int64_t j = count; j < layout.group; ++j) buffer[j] = 0;
        const int64_t at = first * layout.groups + g * of + r;
        quantize_group(buffer, layout.group, of, bias_of(layout.bits, vnni),
                       bytes + first * layout.depth() + from * of + r * 4, scales + at, starts + at);
      }
    }
  });

  // Blocks of rows go together as long as they stay in L2 beside a panel, and a panel passes all of them.
  const int64_t fit = (384 << 10) / (rows.each * layout.depth() + 1), together = fit > 1 ? fit : 1;
  const int64_t chunks = quant::blocks_of(rows.blocks(), together), panels = packed.shape[0];
  const int64_t work = packed.shape[1] * (rows.blocks() < together ? rows.blocks() : together);
  const TileFn whole = tile_of(layout.bits, vnni, rows.each);
  const TileFn last = tile_of(layout.bits, vnni, rows_of(rows.blocks() - 1));
  c.parallel_for(chunks * panels, 1 + (256 << 10) / (work + 1), [&](int64_t begin, int64_t end, int) {
    alignas(64) float out[kRows * kPanel], add[kPanel];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t p = i % panels, c0 = p * kPanel, columns = n - c0 < kPanel ? n - c0 : kPanel;
      const int64_t first = i / panels * together;
      if (bias.present()) gather_f32(add, bias, c0 * bias.strides[0], bias.strides[0], columns);
      for (int64_t b = first; b < first + together && b < rows.blocks(); ++b) {
        const int64_t r0 = b * rows.each, of = rows_of(b);
        const Block block = {bytes + r0 * layout.depth(), scales + r0 * layout.groups, starts + r0 * layout.groups};
        (of == rows.each ? whole : last)(packed.ptr<uint8_t>() + p * packed.shape[1], layout, block, out);
        for (int64_t r = 0; r < of; ++r) {
          float* row = out + r * kPanel;
          if (bias.present()) {
            for (int64_t j = 0; j < columns; ++j) row[j] += add[j];
          }
          scatter_f32(y, (r0 + r) * n + c0, row, columns);
        }
      }
    }
  });
}

}  // namespace SHAKTI_ISA_NS
