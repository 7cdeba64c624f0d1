// f32 lanes as compiler vectors: 4 (portable), 8 (AVX2) or 16 (AVX-512), chosen by the flags that a kernel file is
// compiled with. Arithmetic is written with plain operators, which are never fused (-ffp-contract=off): what is to be
// one instruction says vfma. Tails go through the same vector code by partial loads and stores, so that an element's
// value never depends on where in a row it stands.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../runtime/op.h"

namespace SHAKTI_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef uint16_t vh __attribute__((vector_size(W * 2)));

SHAKTI_INLINE vf splat(float x) { return x - vf{}; }
SHAKTI_INLINE vi splat_i(int32_t x) { return x - vi{}; }
SHAKTI_INLINE vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
SHAKTI_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

// The first n (1 .. W) lanes; the others read as 0. Never touches memory behind them.
SHAKTI_INLINE vf load_part(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#else
  float t[W] = {};
  for (int i = 0; i < n; ++i) t[i] = p[i];
  return load(t);
#endif
}
SHAKTI_INLINE void store_part(float* p, vf v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
#else
  float t[W];
  store(t, v);
  for (int i = 0; i < n; ++i) p[i] = t[i];
#endif
}

// The first n lanes, 0 in the others.
SHAKTI_INLINE vf keep_first(vf v, int64_t n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_mov_ps(static_cast<__mmask16>((1u << n) - 1), (__m512)v);
#else
  float t[W] = {};
  store_part(t, v, n);
  return load(t);
#endif
}

SHAKTI_INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
// a > b ? a : b, so b where one is NaN: what the instruction does, but not what compilers make of the expression.
SHAKTI_INLINE vf vmax(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
SHAKTI_INLINE vf vmin(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}
// Whether a mask has any lane.
SHAKTI_INLINE bool any(vi mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#elif defined(__SSE2__)
  return __builtin_ia32_movmskps((vf)mask) != 0;
#else
  int32_t all = 0;
  for (int i = 0; i < W; ++i) all |= mask[i];
  return all != 0;
#endif
}
SHAKTI_INLINE bool any_above(vf a, vf b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ) != 0;
#else
  return any(a > b);
#endif
}
// Lane by lane, for what has no vector form.
template <class F>
SHAKTI_INLINE vf each(vf x, F f) {
  for (int i = 0; i < W; ++i) x[i] = f(x[i]);
  return x;
}
template <class F>
SHAKTI_INLINE vf each(vf a, vf b, F f) {
  for (int i = 0; i < W; ++i) a[i] = f(a[i], b[i]);
  return a;
}

SHAKTI_INLINE vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }
SHAKTI_INLINE vf vsqrt(vf a) {
#if defined(__AVX512F__)
  return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)a);
#else
  for (int i = 0; i < W; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}
// a * b + c, rounded once where the CPU can (portable x86 rounds twice: SSE2 has no such instruction).
SHAKTI_INLINE vf vfma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__FP_FAST_FMAF)
  for (int i = 0; i < W; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c;
#endif
}
// To the nearest integer, halves to even, for |a| < 2^22.
SHAKTI_INLINE vf vround_small(vf a) {
#if defined(__AVX512F__)
  return (vf)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (vf)_mm256_round_ps((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const vf magic = splat(12582912.0f);
  return (a + magic) - magic;
#endif
}
// What a product lost when it was rounded: a * b - product, exact.
SHAKTI_INLINE vf product_error(vf a, vf b, vf product) {
#if defined(__AVX2__) || defined(__FP_FAST_FMAF)
  return vfma(a, b, -product);
#else
  for (int i = 0; i < W; ++i)
    product[i] =
        static_cast<float>(static_cast<double>(a[i]) * static_cast<double>(b[i]) - static_cast<double>(product[i]));
  return product;
#endif
}
// table[low four bits of the index], lane by lane.
SHAKTI_INLINE vf look_up(const float (&table)[16], vi index) {
#if defined(__AVX512F__)
  return (vf)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
#elif defined(__AVX2__)
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)index);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)index);
  return (vf)_mm256_blendv_ps(low, high, (__m256)(index << 28));
#else
  vf y;
  for (int i = 0; i < W; ++i) y[i] = table[index[i] & 15];
  return y;
#endif
}

// Adds the lanes in pairs, the upper half to the lower: an order that is fixed for a width.
SHAKTI_INLINE float hsum(vf v) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m256 w = _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
#else
  const __m256 w = (__m256)v;
#endif
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}
// The lanes' maximum; NaN when all are.
SHAKTI_INLINE float hmax(vf v) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m256 w = _mm256_max_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
#else
  const __m256 w = (__m256)v;
#endif
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
#else
  const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
#endif
}

// ---- 16-bit floats, as f32 lanes.

// One instruction each: GCC 12 makes two halves of the first by itself, and reads an index for the second.
SHAKTI_INLINE vu widen_bits(vh v) {
#if defined(__AVX512F__)
  return (vu)_mm512_cvtepu16_epi32((__m256i)v);
#elif defined(__AVX2__)
  return (vu)_mm256_cvtepu16_epi32((__m128i)v);
#else
  return __builtin_convertvector(v, vu);
#endif
}
// Of lanes below 2^16.
SHAKTI_INLINE vh narrow_bits(vu v) {
#if defined(__AVX512F__)
  return (vh)_mm512_cvtepi32_epi16((__m512i)v);
#elif defined(__AVX2__)
  return (vh)_mm_packus_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
#else
  return __builtin_convertvector(v, vh);
#endif
}
SHAKTI_INLINE vf from_bf16(vh v) { return (vf)(widen_bits(v) << 16); }
// Nearest, halves to even; NaN stays NaN. Not by the CPU's own instruction, which takes subnormals for 0.
SHAKTI_INLINE vh to_bf16(vf v) {
  const vu u = (vu)v;
  const vu rounded = u + 0x7fff + ((u >> 16) & 1);
  const vu kept = (vu)((vi)(v != v) ? (vi)(u | 0x400000) : (vi)rounded);
  return narrow_bits(kept >> 16);
}
SHAKTI_INLINE vf from_f16(vh v) {
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps((__m256i)v);
#elif defined(__AVX2__)
  return (vf)_mm256_cvtph_ps((__m128i)v);
#else
  const vu h = __builtin_convertvector(v, vu);
  const vu sign = (h & 0x8000) << 16;
  const vu magnitude = h & 0x7fff;
  // Scaling by 2^112 makes the exponents right, subnormals included; infinity and NaN are put back.
  vf x = (vf)(magnitude << 13) * splat(5.192296858534828e33f);
  x = select((vi)(magnitude >= 0x7c00), (vf)((magnitude << 13) | 0x7f800000), x);
  return (vf)((vu)x | sign);
#endif
}
SHAKTI_INLINE vh to_f16(vf v) {
#if defined(__AVX512F__)
  return (vh)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (vh)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  vh out;
  for (int i = 0; i < W; ++i) {
    const float f = v[i];
    uint32_t u;
    std::memcpy(&u, &f, 4);
    const uint32_t sign = (u >> 16) & 0x8000;
    u &= 0x7fffffff;
    uint32_t h;
    if (u > 0x7f800000) {
      h = 0x7e00;
    } else if (u >= 0x477ff000) {
      h = 0x7c00;
    } else if (u < 0x38800000) {
      // Subnormal: adding a half makes the hardware round at the right bit.
      float a;
      std::memcpy(&a, &u, 4);
      a += 0.5f;
      std::memcpy(&h, &a, 4);
      h -= 0x3f000000;
    } else {
      h = (u - 0x38000000 + 0xfff + ((u >> 13) & 1)) >> 13;
    }
    out[i] = static_cast<uint16_t>(sign | h);
  }
  return out;
#endif
}

SHAKTI_INLINE vf load_as_f32(const void* data, DType t, int64_t at) {
  if (t == DType::f32) return load(static_cast<const float*>(data) + at);
  vh h;
  std::memcpy(&h, static_cast<const uint16_t*>(data) + at, sizeof h);
  return t == DType::bf16 ? from_bf16(h) : from_f16(h);
}

// Brings a row towards the caches, element by element, while the one before it is computed: else memory waits for
// arithmetic and arithmetic for memory.
class Ahead {
 public:
  SHAKTI_INLINE Ahead(const Operand& o, int64_t at)
      : size_(static_cast<int64_t>(dtype_size(o.dtype))), row_(o.ptr<char>() + at * size_) {}
  SHAKTI_INLINE void fetch(int64_t i) const { __builtin_prefetch(row_ + i * size_, 0, 2); }
  // For writing: else the first store to a line waits for it.
  SHAKTI_INLINE void claim(int64_t i) const { __builtin_prefetch(row_ + i * size_, 1, 3); }
  SHAKTI_INLINE void fetch_all(int64_t n) const {
    for (int64_t i = 0; i < n; i += 64 / size_) fetch(i);
  }

 private:
  int64_t size_;
  const char* row_;
};

// Calls f(offset, count, part) over n lanes: part is false for whole vectors.
template <class F>
SHAKTI_INLINE void lanes(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + W <= n; i += W) f(i, W, false);
  if (i < n) f(i, n - i, true);
}
SHAKTI_INLINE vf load_n(const float* p, int64_t n, bool part) { return part ? load_part(p, n) : load(p); }
SHAKTI_INLINE void store_n(float* p, vf v, int64_t n, bool part) {
  if (part)
    store_part(p, v, n);
  else
    store(p, v);
}

// Masks as bool elements.
SHAKTI_INLINE void store_bools(uint8_t* p, vi mask, int64_t n, bool part) {
  typedef uint8_t Bytes __attribute__((vector_size(W)));
  const Bytes b = __builtin_convertvector((vu)mask, Bytes) & 1;
  if (part)
    std::memcpy(p, &b, static_cast<size_t>(n));
  else
    std::memcpy(p, &b, sizeof b);
}

// K sums over n lanes at once: f(offset, count, part, terms) gives the terms of a vector. Each sum is four (two, if
// there are two) until the end, so that an addition need not wait for the one before.
template <int K, class F>
SHAKTI_INLINE void lane_sums(int64_t n, const F& f, float (&sums)[K]) {
  constexpr int U = 4 / K;
  vf s[U][K] = {}, terms[K];
  const auto add = [&](int u, int64_t i, int64_t m, bool part) {
    f(i, m, part, terms);
    for (int k = 0; k < K; ++k) s[u][k] += part ? keep_first(terms[k], m) : terms[k];
  };
  int64_t i = 0;
  for (; i + U * W <= n; i += U * W) {
    for (int u = 0; u < U; ++u) add(u, i + u * W, W, false);
  }
  for (; i + W <= n; i += W) add(0, i, W, false);
  if (i < n) add(1, i, n - i, true);
  for (int k = 0; k < K; ++k) {
    vf all = s[0][k] + s[1][k];
    if (U == 4) all += s[2 % U][k] + s[3 % U][k];
    sums[k] = hsum(all);
  }
}
template <class F>
SHAKTI_INLINE float lane_sum(int64_t n, const F& f) {
  float s[1];
  lane_sums(n, [&](int64_t i, int64_t m, bool part, vf(&terms)[1]) { terms[0] = f(i, m, part); }, s);
  return s[0];
}
// The largest, NaN left out; -infinity of nothing.
SHAKTI_INLINE float lane_max(const float* p, int64_t n) {
  float best = -__builtin_inff();
  if (n < W) {
    for (int64_t i = 0; i < n; ++i) best = p[i] > best ? p[i] : best;
    return best;
  }
  vf m[4] = {splat(best), splat(best), splat(best), splat(best)};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W) {
    for (int u = 0; u < 4; ++u) m[u] = vmax(load(p + i + u * W), m[u]);
  }
  for (; i + W <= n; i += W) m[0] = vmax(load(p + i), m[0]);
  // Some are seen twice, which does no harm.
  m[1] = vmax(load(p + n - W), m[1]);
  return hmax(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
}

// The first n lanes of 16 bits each, all of them unless it is a part: a copy of a length that the compiler does not
// know is a call.
SHAKTI_INLINE vh load_half(const uint16_t* p, int64_t n, bool part) {
  vh h = {};
  if (part)
    std::memcpy(&h, p, static_cast<size_t>(n) * 2);
  else
    std::memcpy(&h, p, sizeof h);
  return h;
}
SHAKTI_INLINE void store_half(uint16_t* p, vh h, int64_t n, bool part) {
  if (part)
    std::memcpy(p, &h, static_cast<size_t>(n) * 2);
  else
    std::memcpy(p, &h, sizeof h);
}

// The same of a float type that the compiler knows, as f32.
template <DType t>
SHAKTI_INLINE vf load_float(const void* data, int64_t at, int64_t n, bool part) {
  if (t == DType::f32) return load_n(static_cast<const float*>(data) + at, n, part);
  const vh h = load_half(static_cast<const uint16_t*>(data) + at, n, part);
  return t == DType::bf16 ? from_bf16(h) : from_f16(h);
}
template <DType t>
SHAKTI_INLINE void store_float(void* data, int64_t at, vf v, int64_t n, bool part) {
  if (t == DType::f32) return store_n(static_cast<float*>(data) + at, v, n, part);
  store_half(static_cast<uint16_t*>(data) + at, t == DType::bf16 ? to_bf16(v) : to_f16(v), n, part);
}
// Calls f with the float type of 32 or 16 bits as a constant.
template <DType t>
struct FloatType {
  static constexpr DType value = t;
};
template <class F>
SHAKTI_INLINE void by_float_type(DType t, const F& f) {
  if (t == DType::f32)
    f(FloatType<DType::f32>());
  else if (t == DType::bf16)
    f(FloatType<DType::bf16>());
  else
    f(FloatType<DType::f16>());
}

// n neighbouring 16-bit floats to f32, and back.
template <bool bf16>
SHAKTI_INLINE void widen(float* to, const uint16_t* from, int64_t n) {
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    const vh h = load_half(from + i, m, part);
    store_n(to + i, bf16 ? from_bf16(h) : from_f16(h), m, part);
  });
}
template <bool bf16>
SHAKTI_INLINE void narrow(uint16_t* to, const float* from, int64_t n) {
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    const vf v = load_n(from + i, m, part);
    store_half(to + i, bf16 ? to_bf16(v) : to_f16(v), m, part);
  });
}

// n elements of a float type (f32, bf16, f16) lying `stride` apart, as f32.
SHAKTI_INLINE void gather_f32(float* to, const Operand& o, int64_t at, int64_t stride, int64_t n) {
  if (o.dtype == DType::f32) {
    const float* p = o.ptr<float>() + at;
    if (stride == 1) {
      std::memcpy(to, p, static_cast<size_t>(n) * 4);
    } else if (stride == 0) {
      // With nothing to gather there may be nothing at p.
      const float v = n > 0 ? p[0] : 0;
      for (int64_t i = 0; i < n; ++i) to[i] = v;
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = p[i * stride];
    }
    return;
  }
  const uint16_t* p = o.ptr<uint16_t>() + at;
  const bool bf16 = o.dtype == DType::bf16;
  if (stride == 1) return bf16 ? widen<true>(to, p, n) : widen<false>(to, p, n);
  for (int64_t i = 0; i < n; i += W) {
    const int64_t m = n - i < W ? n - i : W;
    vh h = {};
    for (int j = 0; j < m; ++j) h[j] = p[(i + j) * stride];
    store_n(to + i, bf16 ? from_bf16(h) : from_f16(h), m, m < W);
  }
}

// n f32 values to consecutive elements of a float type.
SHAKTI_INLINE void scatter_f32(const Operand& o, int64_t at, const float* from, int64_t n) {
  if (o.dtype == DType::f32)
    std::memcpy(o.ptr<float>() + at, from, static_cast<size_t>(n) * 4);
  else if (o.dtype == DType::bf16)
    narrow<true>(o.ptr<uint16_t>() + at, from, n);
  else
    narrow<false>(o.ptr<uint16_t>() + at, from, n);
}

// n elements as they are needed in a row: the memory itself when it is f32 without gaps, else a copy in `buffer`.
SHAKTI_INLINE const float* row_f32(const Operand& o, int64_t at, int64_t stride, int64_t n, float* buffer) {
  if (o.dtype == DType::f32 && stride == 1) return o.ptr<float>() + at;
  gather_f32(buffer, o, at, stride, n);
  return buffer;
}

// Offset in elements of the row-major place `i` of `shape` seen through `strides`.
SHAKTI_INLINE int64_t offset_of(int64_t i, const int64_t* shape, const int64_t* strides, int ndim) {
  int64_t at = 0;
  for (int d = ndim - 1; d >= 0; --d) {
    at += i % shape[d] * strides[d];
    i /= shape[d];
  }
  return at;
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
