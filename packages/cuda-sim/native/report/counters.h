// What a run did, counted. Never a time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace sim {

// Bytes that the threads asked for, and what the warp's requests need of the hardware.
struct Traffic {
  uint64_t load_requests = 0, store_requests = 0;  // by warps
  uint64_t load_bytes = 0, store_bytes = 0;        // by threads
  uint64_t moved = 0, ideal = 0;                   // global: sectors of 32 bytes; shared: wavefronts of 128 bytes
};

struct LineCount {
  int line = 0;
  std::string text, source;
  uint64_t issued = 0, threads = 0;  // warp instructions, thread instructions
  uint64_t moved = 0, ideal = 0;     // as in Traffic
};

struct Counters {
  uint64_t launches = 0, blocks = 0, warps = 0;
  uint64_t warp_instructions = 0;
  uint64_t thread_instructions = 0;         // active lanes, over warp_instructions * 32 it is the SIMT efficiency
  std::map<std::string, uint64_t> classes;  // warp instructions: "float", "integer", "mma", "global", "shared", ...
  Traffic global, shared, local, constant;
  uint64_t atomics = 0;
  uint64_t mma = 0, mma_flop = 0;
  uint64_t barriers = 0;
  uint64_t same_value_races = 0;  // writes of one value to one place by threads that nothing orders
  std::map<std::string, std::vector<LineCount>> kernels;  // by PTX line, in order

  Counters& operator+=(const Counters&);
  // Every figure but those of the lines, with its name: "global.load_bytes", "class.mma", ...
  void each(const std::function<void(const char* name, double value)>&) const;
};

}  // namespace sim
