// The tile unit: eight tiles of 16 rows of 64 bytes. SHAKTI_EMULATE_AMX (tests) does the same in plain code, so that
// what is built on it is tested on machines without one.
#pragma once
#include "vec.h"

#if defined(__AVX512F__)
namespace SHAKTI_ISA_NS {
namespace {
namespace amx {

constexpr int kRows = 16;   // of a tile
constexpr int kWords = 16;  // of 32 bits in a row: 16 sums in f32, or 16 pairs of bf16

#if defined(SHAKTI_EMULATE_AMX)
struct Tiles {
  alignas(64) uint32_t of[8][kRows][kWords];
  bool on = false;
};
inline Tiles& tiles() {
  static thread_local Tiles t;
  return t;
}
SHAKTI_INLINE void begin() { tiles().on = true; }
SHAKTI_INLINE void end() { tiles().on = false; }
template <int T>
SHAKTI_INLINE void zero() {
  std::memset(tiles().of[T], 0, sizeof tiles().of[T]);
}
template <int T>
SHAKTI_INLINE void load(const void* from, int64_t step) {
  if (!tiles().on) __builtin_trap();
  for (int i = 0; i < kRows; ++i) std::memcpy(tiles().of[T][i], static_cast<const char*>(from) + i * step, 64);
}
template <int T>
SHAKTI_INLINE void store(void* to, int64_t step) {
  for (int i = 0; i < kRows; ++i) std::memcpy(static_cast<char*>(to) + i * step, tiles().of[T][i], 64);
}
template <int C, int A, int B>
SHAKTI_INLINE void dot_bf16() {
  const auto value = [](uint32_t bits) {
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  };
  Tiles& t = tiles();
  for (int i = 0; i < kRows; ++i) {
    for (int k = 0; k < kWords; ++k) {
      for (int j = 0; j < kWords; ++j) {
        float sum = value(t.of[C][i][j]);
        sum += value(t.of[A][i][k] << 16) * value(t.of[B][k][j] << 16);
        sum += value(t.of[A][i][k] & 0xffff0000u) * value(t.of[B][k][j] & 0xffff0000u);
        std::memcpy(&t.of[C][i][j], &sum, 4);
      }
    }
  }
}
#else
struct alignas(64) Config {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {kRows, kRows, kRows, kRows, kRows, kRows, kRows, kRows};
};
// On each thread, before its first tile and after its last: a thread without tiles in use is cheaper to switch.
SHAKTI_INLINE void begin() {
  const Config config;
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
template <int C, int A, int B>
SHAKTI_INLINE void dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
#endif

}  // namespace amx
}  // namespace
}  // namespace SHAKTI_ISA_NS
#endif
