// Products of bf16 pairs (AVX512-BF16), where has_avx512_bf16() says so. Written as instructions: kernels are compiled
// for AVX-512 without them, and an intrinsic would ask every function that it is inlined into to be compiled with them.
#pragma once
#include "vec.h"

#if defined(__AVX512F__)
namespace SHAKTI_ISA_NS {
namespace {

typedef __m512i vpairs;  // 16 pairs of bf16, the first of a pair in the lower half

// sum + a.low * b.low + a.high * b.high, lane by lane, sums in f32. Subnormals count as zero.
SHAKTI_INLINE vf dot_pairs(vf sum, vpairs a, vpairs b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

// 16 floats, rounded to the nearest bf16, as 32-bit lanes with an upper half of zero.
SHAKTI_INLINE __m512i round_to_bf16(vf v) {
  __m256i half;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(v));
  return _mm512_cvtepu16_epi32(half);
}

// 32 floats in a row as bf16.
SHAKTI_INLINE vpairs round_to_pairs(vf first, vf second) {
  vpairs out;
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(out) : "v"(first), "v"(second));
  return out;
}

// n bf16, 1 .. 32; the rest is zero.
SHAKTI_INLINE vpairs load_pairs(const uint16_t* p, int64_t n) {
  return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
}

// n elements, `along` apart, of a float type to consecutive bf16.
SHAKTI_INLINE void gather_bf16(uint16_t* to, const Operand& o, int64_t at, int64_t along, int64_t n) {
  if (o.dtype == DType::bf16) {
    const uint16_t* p = o.ptr<uint16_t>() + at;
    if (along == 1) {
      std::memcpy(to, p, static_cast<size_t>(n) * 2);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = p[i * along];
    }
    return;
  }
  // Whole vectors, and the rest by way of memory: AMD's CPUs are slow to store a part of a vector of 16-bit elements.
  alignas(64) float buffer[2 * W] = {};
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    const float* from = row_f32(o, at + i * along, along, 2 * W, buffer);
    _mm512_storeu_si512(to + i, round_to_pairs(load(from), load(from + W)));
  }
  if (i == n) return;
  gather_f32(buffer, o, at + i * along, along, n - i);
  const vpairs rest = round_to_pairs(load(buffer), load(buffer + W));
  std::memcpy(to + i, &rest, static_cast<size_t>(n - i) * 2);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
#endif
