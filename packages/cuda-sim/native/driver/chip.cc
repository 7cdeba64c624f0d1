#include "chip.h"

#include <algorithm>
#include <climits>

namespace sim {
namespace {

// From the vendor's data sheets and white papers.
constexpr Chip kChips[] = {
    {80, "A100 SXM4 40 GB", 1'410'000, 1'215'000, 5120, 40 << 20, true},
    {86, "GeForce RTX 3090", 1'695'000, 9'751'000, 384, 6 << 20, false},
    {89, "GeForce RTX 4090", 2'520'000, 10'501'000, 384, 72 << 20, false},
    {90, "H100 SXM5 80 GB", 1'980'000, 2'619'000, 5120, 50 << 20, true},
    {100, "B200", 1'965'000, 3'996'000, 8192, 126 << 20, true},
    {120, "GeForce RTX 5090", 2'407'000, 14'001'000, 512, 96 << 20, false},
};

uint64_t round_up(uint64_t n, uint64_t step) { return (n + step - 1) / step * step; }

}  // namespace

const Chip* chip_of(int arch) {
  for (const Chip& chip : kChips) {
    if (chip.arch == arch) return &chip;
  }
  return nullptr;
}

// Registers are given out by warps, 256 at a time, from the quarter of the file that belongs to the warp's scheduler;
// shared memory in steps of 128 bytes, with what the system keeps for each block.
int resident_blocks(const Limits& l, uint32_t threads, uint32_t registers, uint64_t shared) {
  if (threads == 0 || threads > l.threads_per_block) return 0;
  const uint64_t warps = (threads + 31) / 32;
  uint64_t blocks = std::min<uint64_t>(l.blocks_per_multiprocessor, l.threads_per_multiprocessor / 32 / warps);
  const uint64_t of_warp = round_up(uint64_t{std::max(registers, 1u)} * 32, 256);
  const uint64_t quarters = 4;
  if (registers > l.registers_per_thread || of_warp * round_up(warps, quarters) > l.registers_per_block) return 0;
  const uint64_t by_registers = l.registers_per_multiprocessor / quarters / of_warp * quarters / warps;
  const uint64_t of_block = round_up(shared + l.shared_reserved, 128);
  if (of_block > 0) blocks = std::min(blocks, l.shared_per_multiprocessor / of_block);
  return static_cast<int>(std::min(blocks, by_registers));
}

}  // namespace sim
