// The tile unit (AMX): eight tiles of at most 16 rows of 64 bytes. Written as instructions, as in bf16.h: so the
// assembler alone must know them. On machines without it, tests do the instructions where they trap (test/cc/tiles.h).
#pragma once
#include "vec.h"

#if defined(__AVX512F__)
namespace SHAKTI_ISA_NS {
namespace {
namespace amx {

constexpr int kRows = 16;   // of a tile
constexpr int kWords = 16;  // of 32 bits in a row: 16 sums, or 16 times two bf16 or four bytes

// Everything here multiplies two tiles of rows by two of columns: 0 .. 3 are the sums, row by row, 4 and 5 the left
// side, 6 and 7 the right one.
struct alignas(64) Config {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};

  // `m` rows on the left, 1 .. 32, and `words` summed over at a time, 1 .. 16.
  SHAKTI_INLINE Config(int64_t m, int64_t words) {
    const auto set = [&](int tile, int64_t height, int64_t width) {
      if (height <= 0) return;
      rows[tile] = static_cast<uint8_t>(height);
      bytes[tile] = static_cast<uint16_t>(4 * width);
    };
    for (int i = 0; i < 2; ++i) {
      const int64_t height = m - i * kRows < kRows ? m - i * kRows : kRows;
      set(2 * i, height, kWords);
      set(2 * i + 1, height, kWords);
      set(4 + i, height, words);
      set(6 + i, words, kWords);
    }
  }
};

// On each thread, before its first tile and after its last: a thread without tiles in use is cheaper to switch. The
// operand names all 64 bytes as read; GCC 12's _tile_loadconfig names 8, and the stores to the others may vanish.
SHAKTI_INLINE void begin(int64_t m = 2 * kRows, int64_t words = kWords) {
  const Config config(m, words);
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}
SHAKTI_INLINE void end() { __asm__ volatile("tilerelease" ::: "memory"); }

template <int T>
SHAKTI_INLINE void zero() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(T));
}
template <int T>
SHAKTI_INLINE void load(const void* from, int64_t step) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(T), "r"(from), "r"(step) : "memory");
}
template <int T>
SHAKTI_INLINE void store(void* to, int64_t step) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(T), "r"(to), "r"(step) : "memory");
}
// Sums in f32 of pairs of bf16.
template <int C, int A, int B>
SHAKTI_INLINE void dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
// Sums in i32 of four signed bytes on the left by four unsigned ones on the right.
template <int C, int A, int B>
SHAKTI_INLINE void dot_bytes() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

}  // namespace amx
}  // namespace
}  // namespace SHAKTI_ISA_NS
#endif
