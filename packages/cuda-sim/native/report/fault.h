// The first thing that a run did wrong.
#pragma once
#include <cstdint>
#include <string>

namespace sim {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

struct Fault {
  // "out-of-bounds", "use-after-free", "misaligned", "uninitialised", "race", "barrier", "shuffle", "trap", "limit",
  // "assert", "unsupported", "timeout"
  std::string kind;
  std::string kernel;
  std::string message;  // whole: kernel, block, thread, line, address, the allocation missed
  Dim3 block{0, 0, 0}, thread{0, 0, 0};
  uint64_t address = 0;  // of the access, where there is one
  int line = 0;          // of the PTX
  std::string source;    // file:line of the .cu when compiled with -lineinfo
};

}  // namespace sim
