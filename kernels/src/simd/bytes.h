// Numbers in bytes, each 128 more than what it stands for: there is no signed byte among the dtypes. They are exact in
// f32 and in bf16.
#pragma once
#include "bf16.h"

namespace SHAKTI_ISA_NS {
namespace {

// The first W of them, and n (1 .. W) with 0 in the other lanes.
SHAKTI_INLINE vf load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  const __m128i x = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(-128));
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x));
#elif defined(__AVX2__)
  const __m128i x = _mm_xor_si128(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(-128));
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x));
#else
  typedef uint8_t vb __attribute__((vector_size(W)));
  vb x;
  std::memcpy(&x, p, sizeof x);
  return __builtin_convertvector(__builtin_convertvector(x, vi) - 128, vf);
#endif
}
SHAKTI_INLINE vf load_bytes_part(const uint8_t* p, int64_t n) {
  uint8_t x[W];
  std::memset(x, 128, sizeof x);
  std::memcpy(x, p, static_cast<size_t>(n));
  return load_bytes(x);
}

SHAKTI_INLINE void widen_bytes(float* to, const uint8_t* from, int64_t n) {
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    store_n(to + i, part ? load_bytes_part(from + i, m) : load_bytes(from + i), m, part);
  });
}

#if defined(__AVX512F__)
// The same to bf16, where has_avx512_bf16() says so.
SHAKTI_INLINE void widen_bytes(uint16_t* to, const uint8_t* from, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W)
    _mm512_storeu_si512(to + i, round_to_pairs(load_bytes(from + i), load_bytes(from + i + W)));
  if (i == n) return;
  uint8_t x[2 * W];
  std::memset(x, 128, sizeof x);
  std::memcpy(x, from + i, static_cast<size_t>(n - i));
  const vpairs rest = round_to_pairs(load_bytes(x), load_bytes(x + W));
  std::memcpy(to + i, &rest, static_cast<size_t>(n - i) * 2);
}
#endif

}  // namespace
}  // namespace SHAKTI_ISA_NS
