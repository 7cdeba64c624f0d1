// Philox 4x32-10 (Salmon et al., SC 2011), number for number what simd/philox.h gives on the CPU.
#pragma once
#include "../random.h"

namespace shakti::cuda {

struct Words {
  uint32_t w[4];
};

__device__ __forceinline__ Words philox(uint64_t counter, uint64_t key) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma unroll
  for (int i = 0; i < 10; ++i) {
    const uint32_t h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
    const uint32_t h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
    c0 = h1 ^ c1 ^ k0;
    c1 = l1;
    c2 = h0 ^ c3 ^ k1;
    c3 = l0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The four words of block i of a command, and word i.
__device__ __forceinline__ Words block_of(const RandomStart& s, int64_t i) {
  const RandomNow begin = s.begin();
  return philox(begin.offset + static_cast<uint64_t>(i), begin.key);
}
__device__ __forceinline__ uint32_t word_of(const RandomStart& s, int64_t i) {
  const Words block = block_of(s, i / 4);
  // An index that is not known while compiling would put the block into local memory.
  const uint32_t low = i & 1 ? block.w[1] : block.w[0], high = i & 1 ? block.w[3] : block.w[2];
  return i & 2 ? high : low;
}

// [0, 1), 24 bits: exact in f32.
__device__ __forceinline__ double unit(uint32_t w) { return (w >> 8) * (1.0 / 16777216.0); }
// (0, 1), for logarithms.
__device__ __forceinline__ double open_unit(uint32_t w) {
  return (static_cast<double>(w >> 8) + 0.5) * (1.0 / 16777216.0);
}

}  // namespace shakti::cuda
