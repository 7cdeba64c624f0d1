// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four words from a 64-bit
// counter and a 64-bit key, with no state between them.
#pragma once
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Words {
  uint32_t w[4];
};

SHAKTI_INLINE Words philox(uint64_t counter, uint64_t key) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int i = 0; i < 10; ++i) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// The words of blocks [counter, counter + n) in order. Lane by lane the same arithmetic as above, kBatch blocks at a
// time.
constexpr int kBatch = 16;
SHAKTI_INLINE void philox_words(uint64_t counter, uint64_t key, int64_t n, uint32_t* to) {
  typedef uint32_t u32s __attribute__((vector_size(kBatch * 4)));
  typedef uint64_t u64s __attribute__((vector_size(kBatch * 8)));
  for (int64_t b = 0; b < n; b += kBatch) {
    u32s c0, c1, c2{}, c3{};
    for (int i = 0; i < kBatch; ++i) {
      const uint64_t at = counter + static_cast<uint64_t>(b + i);
      c0[i] = static_cast<uint32_t>(at);
      c1[i] = static_cast<uint32_t>(at >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int i = 0; i < 10; ++i) {
      const u64s p0 = __builtin_convertvector(c0, u64s) * uint64_t{0xD2511F53};
      const u64s p1 = __builtin_convertvector(c2, u64s) * uint64_t{0xCD9E8D57};
      c0 = __builtin_convertvector(p1 >> 32, u32s) ^ c1 ^ k0;
      c2 = __builtin_convertvector(p0 >> 32, u32s) ^ c3 ^ k1;
      c1 = __builtin_convertvector(p1, u32s);
      c3 = __builtin_convertvector(p0, u32s);
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    const int64_t m = n - b < kBatch ? n - b : kBatch;
    for (int64_t i = 0; i < m; ++i, to += 4) {
      to[0] = c0[i];
      to[1] = c1[i];
      to[2] = c2[i];
      to[3] = c3[i];
    }
  }
}

// Seed and offset as the attributes seed_lo, seed_hi, offset from `first` on.
struct Stream {
  uint64_t key, offset;
  Stream(const Args& a, int first)
      : key(static_cast<uint64_t>(a.attr(first)) | static_cast<uint64_t>(a.attr(first + 1)) << 32),
        offset(static_cast<uint64_t>(a.attr(first + 2))) {}
  SHAKTI_INLINE Words block(int64_t i) const { return philox(offset + static_cast<uint64_t>(i), key); }
  SHAKTI_INLINE uint32_t word(int64_t i) const { return block(i / 4).w[i % 4]; }
};

// [0, 1), 24 bits: exact in f32.
SHAKTI_INLINE double unit(uint32_t w) { return (w >> 8) * (1.0 / 16777216.0); }
// (0, 1), for logarithms.
SHAKTI_INLINE double open_unit(uint32_t w) { return (static_cast<double>(w >> 8) + 0.5) * (1.0 / 16777216.0); }

}  // namespace
}  // namespace SHAKTI_ISA_NS
