// What limits_of() doesn't say of a chip: figures that programs read to choose tile sizes or to reckon peaks.
#pragma once
#include <cstddef>
#include <cstdint>

#include "../exec/machine.h"

namespace sim {

struct Chip {
  int arch;
  const char* model;  // whose published figures these are
  int clock_khz, memory_khz, bus_bits, l2_bytes;
  bool data_centre;
};
const Chip* chip_of(int arch);  // null: no such chip here

// How many blocks one multiprocessor holds at once; 0: not even one.
int resident_blocks(const Limits&, uint32_t threads, uint32_t registers, uint64_t shared);

}  // namespace sim
