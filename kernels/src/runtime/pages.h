// What stands behind the allocator's memory. Reads a report of the kernel on the whole process: milliseconds.
#pragma once
#include <cstdint>

namespace shakti {

class Allocator;

struct Pages {
  uint64_t resident = 0;  // bytes of physical memory
  uint64_t huge = 0;      // those of them in huge pages
};
// Zeros where the system has no /proc/self/smaps.
Pages pages_of(const Allocator& allocator);

}  // namespace shakti
