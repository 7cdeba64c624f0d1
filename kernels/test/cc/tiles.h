// The tile unit for machines that have none: each of its instructions traps there and is done here, on the registers
// and the memory of the code that trapped. So tests run what is shipped, instruction for instruction, and a mistake
// that the unit would refuse (a wrong configuration, tiles that do not fit together, none in use) ends the test. Where
// there is a tile unit, and it is permitted, the tests run on it.
#pragma once
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace tiles {

struct Tile {
  int rows = 0, bytes = 0;
  uint8_t of[16][64] = {};

  uint32_t word(int row, int i) const {
    uint32_t w;
    std::memcpy(&w, of[row] + 4 * i, 4);
    return w;
  }
  void set(int row, int i, uint32_t w) { std::memcpy(of[row] + 4 * i, &w, 4); }
  void clear() { std::memset(of, 0, sizeof of); }
};

struct Unit {
  bool on = false;
  Tile tile[8];
};
inline thread_local Unit unit;

[[noreturn]] inline void refuse(const char* what) {
  std::printf("FAIL tile unit: %s\n", what);
  std::fflush(stdout);
  std::abort();
}
inline void want(bool ok, const char* what) {
  if (!ok) refuse(what);
}

inline float float_of(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
// Subnormals count as zero, of operands and of results.
inline uint32_t flushed(uint32_t bits) { return (bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits; }
inline float sum(float a, float b) {
  const float c = a + b;
  uint32_t bits;
  std::memcpy(&bits, &c, 4);
  return float_of(flushed(bits));
}

// What is added to a word of the sums from a row of a and a column of b.
inline uint32_t dot_bf16(const Tile& a, const Tile& b, int row, int column, uint32_t before) {
  float even = 0, odd = 0;
  for (int k = 0; k < b.rows; ++k) {
    const uint32_t x = a.word(row, k), y = b.word(k, column);
    even = sum(even, float_of(flushed(x << 16)) * float_of(flushed(y << 16)));
    odd = sum(odd, float_of(flushed(x & 0xffff0000)) * float_of(flushed(y & 0xffff0000)));
  }
  const float all = sum(float_of(flushed(before)), sum(even, odd));
  std::memcpy(&before, &all, 4);
  return before;
}
inline uint32_t dot_bytes(const Tile& a, const Tile& b, int row, int column, uint32_t before, bool signed_a,
                          bool signed_b) {
  for (int k = 0; k < b.rows; ++k) {
    for (int i = 0; i < 4; ++i) {
      const int x = a.of[row][4 * k + i], y = b.of[k][4 * column + i];
      const int64_t product = int64_t{signed_a && x > 127 ? x - 256 : x} * (signed_b && y > 127 ? y - 256 : y);
      before += static_cast<uint32_t>(product);
    }
  }
  return before;
}

inline void configure(const uint8_t* from) {
  want(from[0] == 1 && from[1] == 0, "palette 1 from row 0 is what there is");
  for (int i = 2; i < 16; ++i) want(from[i] == 0, "a reserved byte of the configuration is not 0");
  for (int t = 0; t < 16; ++t) {
    const int bytes = from[16 + 2 * t] | from[17 + 2 * t] << 8, rows = from[48 + t];
    want(bytes <= 64 && rows <= 16 && (bytes == 0) == (rows == 0), "no tile has this size");
    want(t < 8 || rows == 0, "there are 8 tiles");
    if (t >= 8) continue;
    unit.tile[t].clear();
    unit.tile[t].rows = rows;
    unit.tile[t].bytes = bytes;
  }
  unit.on = true;
}

// Does the instruction at `at` and returns the one behind it; null when it is none of the tile unit's.
inline const uint8_t* perform(const uint8_t* at, const greg_t* registers) {
  if (at[0] != 0xc4 || (at[1] & 0x1f) != 2 || (at[2] & 0x84) != 0) return nullptr;  // VEX, 128 bits, map 0F38, W0
  const bool x = (at[1] & 0x40) == 0, base_high = (at[1] & 0x20) == 0;
  const int prefix = at[2] & 3, v = 15 - (at[2] >> 3 & 15), opcode = at[3];
  enum { none, p66, pF3, pF2 };
  const int mod = at[4] >> 6, reg = at[4] >> 3 & 7, rm = at[4] & 7;
  const uint8_t* next = at + 5;
  const auto general = [&](int i) {
    constexpr int places[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return static_cast<int64_t>(registers[places[i]]);
  };
  int64_t address = 0, step = 0;
  if (mod != 3) {
    int base = rm;
    if (rm == 4) {
      base = *next & 7;
      const int index = (*next >> 3 & 7) | (x ? 8 : 0);
      if (index != 4) step = general(index) * (1 << (*next >> 6));
      ++next;
    }
    const int wide = mod == 2 || (mod == 0 && base == 5) ? 4 : mod;
    int32_t offset = 0;
    if (wide == 4) std::memcpy(&offset, next, 4);
    if (wide == 1) offset = static_cast<int8_t>(*next);
    next += wide;
    const bool beside = mod == 0 && rm == 5;  // relative to the next instruction
    if (mod != 0 || base != 5) address = general(base | (base_high ? 8 : 0));
    address += offset + (beside ? reinterpret_cast<int64_t>(next) : 0);
  }
  const auto row = [&](int i) { return reinterpret_cast<uint8_t*>(address + i * step); };

  if (opcode == 0x49 && prefix == none && mod != 3) {
    configure(row(0));
    return next;
  }
  want(unit.on, "no tiles are in use");
  if (opcode == 0x49 && prefix == none) {
    unit.on = false;
    return next;
  }
  Tile& c = unit.tile[reg];
  want(c.rows > 0, "a tile without a size");
  if (opcode == 0x49 && prefix == pF2) {
    c.clear();
    return next;
  }
  if (opcode == 0x4b && (prefix == pF2 || prefix == p66)) {
    c.clear();
    for (int i = 0; i < c.rows; ++i) std::memcpy(c.of[i], row(i), static_cast<size_t>(c.bytes));
    return next;
  }
  if (opcode == 0x4b && prefix == pF3) {
    for (int i = 0; i < c.rows; ++i) std::memcpy(row(i), c.of[i], static_cast<size_t>(c.bytes));
    return next;
  }
  if (mod != 3 || v > 7 || !(opcode == 0x5e || (opcode == 0x5c && prefix == pF3))) return nullptr;
  const Tile &a = unit.tile[rm], &b = unit.tile[v];
  want(reg != rm && reg != v && rm != v, "a product takes three tiles");
  want(a.rows == c.rows && b.bytes == c.bytes && a.bytes == 4 * b.rows && b.rows > 0, "tiles do not fit together");
  for (int i = 0; i < c.rows; ++i) {
    for (int j = 0; j < c.bytes / 4; ++j) {
      const uint32_t before = c.word(i, j);
      c.set(i, j,
            opcode == 0x5c
                ? dot_bf16(a, b, i, j, before)
                : dot_bytes(a, b, i, j, before, prefix == pF2 || prefix == pF3, prefix == pF2 || prefix == p66));
    }
  }
  return next;
}

inline void trapped(int number, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint8_t* next = perform(reinterpret_cast<const uint8_t*>(registers[REG_RIP]), registers);
  if (next == nullptr) {
    std::signal(number, SIG_DFL);  // and it traps again
    return;
  }
  registers[REG_RIP] = reinterpret_cast<greg_t>(next);
}

// From here on tiles may be used.
inline void provide() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // as runtime/cpu_features.cc asks
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) {
    std::printf("on the tile unit, ");
    return;
  }
  struct sigaction action = {};
  action.sa_sigaction = trapped;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
  std::printf("tiles emulated, ");
}

}  // namespace tiles
