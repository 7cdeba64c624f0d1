// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a block of four
// random words is a function of a counter and a key alone, so any element of a tensor can be computed by any thread,
// on any device, with the same result. The words are those of the authors' Random123 library with counter
// {lo(counter), hi(counter), 0, 0} and key {lo(seed), hi(seed)}.
#pragma once
#include "dtype.h"

namespace shakti {

struct PhiloxBlock {
  uint32_t word[4];
};

SHAKTI_INLINE uint64_t philox_seed(double lo, double hi) {
  return static_cast<uint64_t>(static_cast<uint32_t>(lo)) | static_cast<uint64_t>(static_cast<uint32_t>(hi)) << 32;
}

// The block at `counter` of the stream `seed`.
SHAKTI_INLINE PhiloxBlock philox4x32(uint64_t counter, uint64_t seed) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c0;
    const uint64_t b = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(b);
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with the 24 bits that f32 holds exactly, so that 1 is never reached.
SHAKTI_INLINE float philox_unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
// Uniform in (0, 1): where a logarithm or an inverse error function follows.
SHAKTI_INLINE float philox_open_unit(uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f; }

}  // namespace shakti
