// Matrix product in the five-loop form: b is packed into panels of NR columns, a into panels of MR rows, and a register
// tile of MR x NR sums over the depth. Packing absorbs strides and turns bf16 and f16 into f32. Every element of y sums
// over k in the same order however the work is cut, so the number of threads does not change the result.
#include "../../runtime/cpu_features.h"
#include "../../simd/transpose.h"
#include "../../simd/vec.h"
#include "blocking.h"

namespace SHAKTI_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int MR = 12, NV = 2;
#elif defined(__AVX2__)
constexpr int MR = 6, NV = 2;
#else
constexpr int MR = 4, NV = 2;
#endif
constexpr int NR = NV * W;

struct Matrix {
  const Operand* o;
  int64_t at, rs, cs;  // first element, steps from row to row and column to column
};

// One panel: `lines` (P at most) lines of `depth` elements each, side by side; missing lines are 0. A line's elements
// lie `along` apart, lines `across`.
template <int P>
void pack(const Operand& o, int64_t at, int64_t across, int64_t along, int64_t lines, int64_t depth, float* to) {
  if (lines > P) lines = P;
  const bool f32 = o.dtype == DType::f32;
  if (f32 && along == 1) {
    interleave<P>(o.ptr<float>() + at, across, lines, depth, to);
  } else if (across == 1 && lines == P && f32) {
    const float* from = o.ptr<float>() + at;
    for (int64_t k = 0; k < depth; ++k) std::memcpy(to + k * P, from + k * along, P * sizeof(float));
    return;
  } else if (across == 1) {
    for (int64_t k = 0; k < depth; ++k) gather_f32(to + k * P, o, at + k * along, 1, lines);
  } else {
    alignas(64) float buffer[4][matmul::kDepth];
    for (int64_t i = 0; i < lines; i += 4) {
      const int64_t n = lines - i < 4 ? lines - i : 4;
      for (int64_t j = 0; j < n; ++j) gather_f32(buffer[j], o, at + (i + j) * across, along, depth);
      interleave<P>(buffer[0], matmul::kDepth, n, depth, to + i);
    }
  }
  for (int64_t i = lines; i < P; ++i) {
    for (int64_t k = 0; k < depth; ++k) to[k * P + i] = 0;
  }
}

// The same panel in bf16: for each pair of k, P lanes of two, the first of them below. An odd depth ends with a zero.
#if defined(__AVX512F__)
constexpr bool kHasHalf = true;

template <int P>
__attribute__((target("avx512bf16"))) void pack_half(const Operand& o, int64_t at, int64_t across, int64_t along,
                                                     int64_t lines, int64_t depth, void* to) {
  constexpr int64_t kChunk = 64;
  alignas(64) float rows[kChunk * P + W];
  auto* out = static_cast<uint32_t*>(to);
  for (int64_t k0 = 0; k0 < depth; k0 += kChunk) {
    const int64_t n = depth - k0 < kChunk ? depth - k0 : kChunk;
    pack<P>(o, at + k0 * along, across, along, lines, n, rows);
    if (n % 2 != 0) std::memset(rows + n * P, 0, P * sizeof(float));
    for (int64_t k = 0; k < n; k += 2) {
      const float *even = rows + k * P, *odd = even + P;
      for (int i = 0; i < P; i += W) {
        const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(even + i)));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(odd + i)));
        const __m512i pair = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
        const __mmask16 lanes =
            P - i < W ? static_cast<__mmask16>((1u << (P - i)) - 1) : static_cast<__mmask16>(0xffff);
        _mm512_mask_storeu_epi32(out + i, lanes, pair);
      }
      out += P;
    }
  }
}

__attribute__((target("avx512bf16"))) inline void micro_half(int64_t depth, const void* a, const void* b,
                                                             vf (&acc)[MR][NV]) {
  const auto *pa = static_cast<const uint32_t*>(a), *pb = static_cast<const uint32_t*>(b);
  __m512 sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) sum[i][j] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < depth; k += 2) {
    __m512bh bv[NV];
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) bv[j] = (__m512bh)_mm512_loadu_si512(pb + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const auto av = (__m512bh)_mm512_set1_epi32(static_cast<int>(pa[i]));
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], av, bv[j]);
    }
    pa += MR;
    pb += NR;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = (vf)sum[i][j];
  }
}
#else
constexpr bool kHasHalf = false;
#endif

template <int P, bool Half>
SHAKTI_INLINE void panel(const Operand& o, int64_t at, int64_t across, int64_t along, int64_t lines, int64_t depth,
                         float* to) {
#if defined(__AVX512F__)
  if (Half) return pack_half<P>(o, at, across, along, lines, depth, to);
#endif
  pack<P>(o, at, across, along, lines, depth, to);
}

// Offsets of panels count floats for both kinds: a bf16 panel fills the first half of its place.

// rows x depth of a, as panels: for each k, MR rows side by side.
template <bool Half>
SHAKTI_INLINE void pack_a(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, float* to) {
  for (int64_t p = 0; p < rows; p += MR) {
    panel<MR, Half>(*a.o, a.at + (r0 + p) * a.rs + k0 * a.cs, a.rs, a.cs, rows - p, depth, to + p * depth);
  }
}
// depth x one panel of columns of b: for each k, NR columns side by side.
template <bool Half>
SHAKTI_INLINE void pack_b(const Matrix& b, int64_t k0, int64_t depth, int64_t c0, int64_t columns, float* to) {
  panel<NR, Half>(*b.o, b.at + k0 * b.rs + c0 * b.cs, b.cs, b.rs, columns, depth, to);
}

// tile[MR][NR] = sum over depth of a panel times b panel.
SHAKTI_INLINE void micro(int64_t depth, const float* a, const float* b, vf (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = vf{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    vf bv[NV];
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) bv[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const vf av = splat(a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) acc[i][j] = vfma(av, bv[j], acc[i][j]);
    }
    a += MR;
    b += NR;
  }
}

struct Target {
  const Operand* y;
  int64_t at, ld;  // y's first element, its row length
  const Operand* bias;
  bool add;  // to what y holds
};

// One register tile and its way out.
template <bool Half>
void tile(int64_t depth, const float* a, const float* b, const Target& t, int64_t r, int64_t c, int64_t rows,
          int64_t columns) {
  vf acc[MR][NV];
#if defined(__AVX512F__)
  if (Half)
    micro_half(depth, a, b, acc);
  else
#endif
    micro(depth, a, b, acc);
  alignas(64) float bias[NR] = {};
  if (t.bias) {
    gather_f32(bias, *t.bias, c * t.bias->strides[0], t.bias->strides[0], columns);
  }
  const bool direct = t.y->dtype == DType::f32 && columns == NR;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    if (i >= rows) break;
    const int64_t at = t.at + (r + i) * t.ld + c;
    if (direct) {
      float* y = t.y->ptr<float>() + at;
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
        vf v = acc[i][j];
        if (t.bias) v += load(bias + j * W);
        if (t.add) v += load(y + j * W);
        store(y + j * W, v);
      }
    } else {
      alignas(64) float row[NR], old[NR];
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) store(row + j * W, acc[i][j] + load(bias + j * W));
      if (t.add) {
        gather_f32(old, *t.y, at, 1, columns);
        for (int64_t j = 0; j < columns; ++j) row[j] += old[j];
      }
      scatter_f32(*t.y, at, row, columns);
    }
  }
}

// rows x columns of y from a block of a (packed here) and packed b.
template <bool Half>
void block(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, const float* packed_b, int64_t c0,
           int64_t columns, const Target& t, float* scratch) {
  pack_a<Half>(a, r0, rows, k0, depth, scratch);
  for (int64_t c = 0; c < columns; c += NR) {
    const int64_t nc = columns - c < NR ? columns - c : NR;
    const float* b = packed_b + c * depth;
    for (int64_t r = 0; r < rows; r += MR) {
      tile<Half>(depth, scratch + r * depth, b, t, r0 + r, c0 + c, rows - r < MR ? rows - r : MR, nc);
    }
  }
}

// Few rows (decoding): b is read once where it lies, in its own dtype, since packing it would cost more than the
// product. The rows of a are in f32, R4 of them at a time.
constexpr int R4 = 4, C4 = 4;

struct FewRows {
  const float* a;  // [m, k] in f32
  int64_t a_row;   // from row to row
  int64_t m, k;
  const Matrix* b;
  const Target* t;
};

template <DType T>
SHAKTI_INLINE vf load_b(const Operand& o, int64_t at, int64_t n, bool part) {
  if (!part) return load_as_f32(o.data, T, at);
  alignas(64) float rest[W] = {};
  gather_f32(rest, o, at, 1, n);
  return load(rest);
}

// A hint only, which may point anywhere. Half of the hints are for lines that came already when elements have 16 bits.
template <DType T>
SHAKTI_INLINE void prefetch_b(const Operand& o, int64_t at) {
  if (T == DType::f32)
    __builtin_prefetch(o.ptr<float>() + at);
  else
    __builtin_prefetch(o.ptr<uint16_t>() + at);
}

// Writes n values of row r from column c on, kPut at most.
constexpr int64_t kPut = 256;

void put(const Target& t, int64_t r, int64_t c, float* row, int64_t n) {
  alignas(64) float other[kPut];
  if (t.bias) {
    gather_f32(other, *t.bias, c * t.bias->strides[0], t.bias->strides[0], n);
    for (int64_t i = 0; i < n; ++i) row[i] += other[i];
  }
  const int64_t at = t.at + r * t.ld + c;
  if (t.add) {
    gather_f32(other, *t.y, at, 1, n);
    for (int64_t i = 0; i < n; ++i) row[i] += other[i];
  }
  scatter_f32(*t.y, at, row, n);
}

// R rows times C columns of b that lie one after another (a linear layer's weight), over n elements of the depth from
// x0: added to sums, a vector for each row and column.
template <DType T, int R, int C>
SHAKTI_INLINE void dots(const FewRows& f, int64_t r0, int64_t c0, int64_t x0, int64_t n, vf* sums, int64_t next) {
  const float* p = f.a + r0 * f.a_row + x0;
  const int64_t q = f.b->at + c0 * f.b->cs + x0;
  vf sum[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R * C; ++i) sum[i / C][i % C] = sums[i];
  lanes(n, [&](int64_t x, int64_t count, bool part) {
    vf bv[C];
#pragma GCC unroll 4
    for (int i = 0; i < C; ++i) bv[i] = load_b<T>(*f.b->o, q + i * f.b->cs + x, count, part);
    if (next != 0) {
#pragma GCC unroll 4
      for (int i = 0; i < C; ++i) prefetch_b<T>(*f.b->o, q + next + i * f.b->cs + x);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const vf av = load_n(p + r * f.a_row + x, count, part);
#pragma GCC unroll 4
      for (int i = 0; i < C; ++i) sum[r][i] = vfma(av, bv[i], sum[r][i]);
    }
  });
#pragma GCC unroll 16
  for (int i = 0; i < R * C; ++i) sums[i] = sum[i / C][i % C];
}

template <DType T, int C>
SHAKTI_INLINE void dots_of_rows(const FewRows& f, int64_t c0, int64_t x0, int64_t n, vf* sums, int64_t next) {
  for (int64_t r = 0; r < f.m; r += R4) {
    vf* of = sums + r * C;
    if (r > 0) next = 0;
    switch (f.m - r) {
      case 1: dots<T, 1, C>(f, r, c0, x0, n, of, next); break;
      case 2: dots<T, 2, C>(f, r, c0, x0, n, of, next); break;
      case 3: dots<T, 3, C>(f, r, c0, x0, n, of, next); break;
      default: dots<T, R4, C>(f, r, c0, x0, n, of, next);
    }
  }
}

// Columns [begin, end) of all rows, kDots at most. With more rows than one group the depth goes by pieces, whose part
// of a stays in L1 while the columns pass.
constexpr int kDots = C4 * 4;
static_assert(kDots <= kPut && C4 * W <= kPut, "put takes a row of either");

template <DType T>
void dot_columns(const FewRows& f, int64_t begin, int64_t end) {
  const int64_t piece = f.m > R4 ? 512 : f.k;
  vf sums[kDots * matmul::kFew] = {};
  for (int64_t x = 0; x < f.k; x += piece) {
    const int64_t n = f.k - x < piece ? f.k - x : piece;
    int64_t c = begin;
    for (; c + C4 <= end; c += C4) {
      // Where the next piece lies, from this one: pieces are too short for the hardware to see them coming.
      int64_t next = 0;
      if (piece < f.k) next = c + 2 * C4 <= end ? C4 * f.b->cs : (begin - c) * f.b->cs + piece;
      dots_of_rows<T, C4>(f, c, x, n, sums + (c - begin) * matmul::kFew, next);
    }
    for (; c < end; ++c) dots_of_rows<T, 1>(f, c, x, n, sums + (c - begin) * matmul::kFew, 0);
  }
  // Four columns share the places of theirs, row by row; what is left over has one column each.
  const int64_t columns = end - begin, together = columns / C4 * C4;
  for (int64_t r = 0; r < f.m; ++r) {
    float row[kDots];
    for (int64_t c = 0; c < together; ++c) row[c] = hsum(sums[c / C4 * C4 * matmul::kFew + r * C4 + c % C4]);
    for (int64_t c = together; c < columns; ++c) row[c] = hsum(sums[c * matmul::kFew + r]);
    put(*f.t, r, begin, row, columns);
  }
}

// R rows times up to C * W columns of b whose rows lie without gaps.
template <DType T, int R>
void strip(const FewRows& f, int64_t r0, int64_t c0, int64_t columns) {
  constexpr int C = C4;
  const float* p = f.a + r0 * f.a_row;
  vf sum[R][C] = {};
  if (columns == C * W) {
    for (int64_t x = 0; x < f.k; ++x) {
      const int64_t row = f.b->at + x * f.b->rs + c0;
#pragma GCC unroll 4
      for (int i = 0; i < C; ++i) {
        const vf bv = load_b<T>(*f.b->o, row + i * W, W, false);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sum[r][i] = vfma(splat(p[r * f.a_row + x]), bv, sum[r][i]);
      }
    }
  } else {
    for (int64_t x = 0; x < f.k; ++x) {
      const int64_t row = f.b->at + x * f.b->rs + c0;
      for (int64_t i = 0; i * W < columns; ++i) {
        const int64_t n = columns - i * W < W ? columns - i * W : W;
        const vf bv = load_b<T>(*f.b->o, row + i * W, n, n < W);
        for (int r = 0; r < R; ++r) sum[r][i] = vfma(splat(p[r * f.a_row + x]), bv, sum[r][i]);
      }
    }
  }
  alignas(64) float out[C * W];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < C; ++i) store(out + i * W, sum[r][i]);
    put(*f.t, r0 + r, c0, out, columns);
  }
}

template <DType T>
void few_rows(const FewRows& f, int64_t n, Context& c) {
  const int64_t width = f.b->cs == 1 ? C4 * W : kDots;
  const int64_t groups = (n + width - 1) / width;
  c.parallel_for(groups, 1 + 65536 / (width * (f.k + 1)), [&](int64_t first, int64_t last, int) {
    for (int64_t g = first; g < last; ++g) {
      const int64_t begin = g * width, end = begin + width < n ? begin + width : n;
      if (f.b->cs != 1) {
        dot_columns<T>(f, begin, end);
        continue;
      }
      for (int64_t r = 0; r < f.m; r += R4) {
        switch (f.m - r) {
          case 1: strip<T, 1>(f, r, begin, end - begin); break;
          case 2: strip<T, 2>(f, r, begin, end - begin); break;
          case 3: strip<T, 3>(f, r, begin, end - begin); break;
          default: strip<T, R4>(f, r, begin, end - begin);
        }
      }
    }
  });
}

SHAKTI_INLINE bool are_few(const Matrix& b, int64_t m) { return m <= matmul::kFew && (b.cs == 1 || b.rs == 1); }

void few_product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* rows,
                 Context& c) {
  FewRows f = {rows, matmul::few_row(k), m, k, &b, &t};
  if (a.o->dtype == DType::f32 && a.cs == 1 && m <= R4) {
    f.a = a.o->ptr<float>() + a.at;
    f.a_row = a.rs;
  } else {
    for (int64_t r = 0; r < m; ++r) gather_f32(rows + r * f.a_row, *a.o, a.at + r * a.rs, a.cs, k);
  }
  switch (b.o->dtype) {
    case DType::bf16: return few_rows<DType::bf16>(f, n, c);
    case DType::f16: return few_rows<DType::f16>(f, n, c);
    default: return few_rows<DType::f32>(f, n, c);
  }
}

template <bool Half>
void product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* packed,
             Context& c) {
  const matmul::Blocking cut(n, k);
  // Fewer rows a task, then narrower ones, when y is small. No sum depends on it.
  int64_t rows = matmul::kRows / MR * MR;
  while (rows > MR && m < 8 * rows) rows -= MR;
  const int64_t row_blocks = (m + rows - 1) / rows;
  for (int64_t c0 = 0; c0 < n; c0 += cut.columns) {
    const int64_t columns = n - c0 < cut.columns ? n - c0 : cut.columns;
    const int64_t panels = (columns + NR - 1) / NR, width = panels * NR;
    int64_t strip = width;
    if (row_blocks < 8 && panels > 4) strip = (panels / (row_blocks < 3 ? 4 : 2) + 1) * NR;
    const int64_t strips = (width + strip - 1) / strip;
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += cut.depth) {
      const int64_t deep = k - k0 < cut.depth ? k - k0 : cut.depth;
      const int64_t blocks = deep > 0 ? (deep + matmul::kDepth - 1) / matmul::kDepth : 1;
      const auto depth_of = [&](int64_t d) {
        return deep - d * matmul::kDepth < matmul::kDepth ? deep - d * matmul::kDepth : matmul::kDepth;
      };
      const int64_t size = depth_of(0) * NR;
      c.parallel_for(panels * blocks, 1 + 65536 / (size + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t d = i / panels, p = i % panels;
          pack_b<Half>(b, k0 + d * matmul::kDepth, depth_of(d), c0 + p * NR, columns - p * NR,
                       packed + d * matmul::kDepth * width + p * NR * depth_of(d));
        }
      });
      // Tasks of half a million multiply-adds at least.
      const int64_t work = rows * strip * deep;
      c.parallel_for(row_blocks * strips, 1 + (1 << 19) / (work + 1), [&](int64_t begin, int64_t end, int thread) {
        auto* scratch = static_cast<float*>(c.scratch(thread));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t r0 = i / strips * rows, s = i % strips * strip;
          for (int64_t d = 0; d < blocks; ++d) {
            Target now = t;
            if (k0 + d > 0) {
              now.add = true;
              now.bias = nullptr;
            }
            block<Half>(a, r0, m - r0 < rows ? m - r0 : rows, k0 + d * matmul::kDepth, depth_of(d),
                        packed + d * matmul::kDepth * width + s * depth_of(d), c0 + s,
                        columns - s < strip ? columns - s : strip, now, scratch);
          }
        }
      });
    }
  }
}

// A whole product on one thread, packed in its scratch memory. For many small ones.
constexpr int64_t kSmall = 1 << 21;  // multiply-adds of a product
constexpr int64_t kLess = 1 << 23;   // where there are enough of them to keep the threads busy
constexpr int64_t kMany = 8;

SHAKTI_INLINE int64_t small_floats(int64_t n, int64_t k) { return (n + NR + matmul::kRows) * k; }

template <bool Half>
void small_product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* scratch) {
  const int64_t columns = (n + NR - 1) / NR * NR;
  for (int64_t c = 0; c < n; c += NR) pack_b<Half>(b, 0, k, c, n - c, scratch + c * k);
  float* packed_a = scratch + columns * k;
  const int64_t rows = matmul::kRows / MR * MR;
  for (int64_t r = 0; r < m; r += rows)
    block<Half>(a, r, m - r < rows ? m - r : rows, 0, k, scratch, 0, n, t, packed_a);
}

// 16-bit y from its sums in f32.
void finish(const float* sums, int64_t m, int64_t n, const Target& t, Context& c) {
  c.parallel_for(m, 1 + 16384 / n, [&](int64_t begin, int64_t end, int) {
    alignas(64) float row[kPut];
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t j = 0; j < n; j += kPut) {
        const int64_t w = n - j < kPut ? n - j : kPut;
        std::memcpy(row, sums + r * n + j, static_cast<size_t>(w) * sizeof(float));
        put(t, r, j, row, w);
      }
    }
  });
}

void product_f64(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, Context& c) {
  const auto *p = a.o->ptr<double>() + a.at, *q = b.o->ptr<double>() + b.at;
  const double work = static_cast<double>(n) * static_cast<double>(k);
  c.parallel_for(m, 1 + static_cast<int64_t>(65536 / (work + 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      double* y = t.y->ptr<double>() + t.at + i * t.ld;
      for (int64_t j = 0; j < n; ++j)
        y[j] = (t.add ? y[j] : 0) + (t.bias ? t.bias->ptr<double>()[j * t.bias->strides[0]] : 0);
      for (int64_t x = 0; x < k; ++x) {
        const double v = p[i * a.rs + x * a.cs];
        for (int64_t j = 0; j < n; ++j) y[j] += v * q[x * b.rs + j * b.cs];
      }
    }
  });
}

}  // namespace

void run_matmul(const Args& args, Context& c) {
  const Operand &a = args.in[0], &b = args.in[1], &y = args.out[0];
  const int64_t m = y.size(-2), n = y.size(-1), k = a.size(-1);
  // Products of bf16 are exact in f32, so bf16 operands lose nothing.
  const bool half =
      kHasHalf && has_avx512_bf16() && (a.dtype == DType::bf16 || (a.dtype == DType::f32 && args.attr_bool(1)));
  const int nb = y.ndim - 2;
  int64_t batch = 1;
  for (int d = 0; d < nb; ++d) batch *= y.shape[d];
  if (batch * m * n == 0) return;
  const auto at = [&](int64_t i, Matrix& ma, Matrix& mb, Target& t) {
    ma = {&a, offset_of(i, y.shape, a.strides, nb), a.stride(-2), a.stride(-1)};
    mb = {&b, offset_of(i, y.shape, b.strides, nb), b.stride(-2), b.stride(-1)};
    t = {&y, i * m * n, n, args.in[2].present() ? &args.in[2] : nullptr, args.attr_bool(0)};
  };
  // Sizes of expanded operands have no bound but 2^53: products of three are formed as doubles.
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (batch > 1 && a.dtype != DType::f64 && work < static_cast<double>(batch < kMany ? kSmall : kLess) &&
      k <= matmul::kDepth && small_floats(n, k) * 4 <= static_cast<int64_t>(Context::kScratchBytes)) {
    c.parallel_for(batch, 1 + static_cast<int64_t>((1 << 18) / (work + 1)),
                   [&](int64_t begin, int64_t end, int thread) {
                     for (int64_t i = begin; i < end; ++i) {
                       Matrix ma, mb;
                       Target t;
                       at(i, ma, mb, t);
                       auto* scratch = static_cast<float*>(c.scratch(thread));
                       if (half)
                         small_product<kHasHalf>(ma, mb, m, n, k, t, scratch);
                       else
                         small_product<false>(ma, mb, m, n, k, t, scratch);
                     }
                   });
    return;
  }
  const auto whole = half ? product<kHasHalf> : product<false>;
  auto* packed = static_cast<float*>(args.workspace);
  float* sums = packed + matmul::Blocking(n, k).packed();
  for (int64_t i = 0; i < batch; ++i) {
    Matrix ma, mb;
    Target t;
    at(i, ma, mb, t);
    if (a.dtype == DType::f64) {
      product_f64(ma, mb, m, n, k, t, c);
    } else if (are_few(mb, m)) {
      few_product(ma, mb, m, n, k, t, packed, c);
    } else if (matmul::sums_apart(a.dtype, k)) {
      Operand apart = y;
      apart.data = sums;
      apart.dtype = DType::f32;
      whole(ma, mb, m, n, k, {&apart, 0, n, nullptr, false}, packed, c);
      finish(sums, m, n, t, c);
    } else {
      whole(ma, mb, m, n, k, t, packed, c);
    }
  }
}

}  // namespace SHAKTI_ISA_NS
