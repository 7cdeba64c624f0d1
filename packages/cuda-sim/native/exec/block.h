// A grid, the workers that share its blocks, and a block with its warps and barriers.
#pragma once
#include <atomic>
#include <mutex>
#include <random>

#include "warp.h"

namespace sim {

struct SharedVariable {
  uint32_t at, bytes;
  std::string name;
};

// One launch. Constant while it runs.
struct Grid {
  const Launch* launch;
  const Options* options;
  Memory* memory;
  const Code* code;
  const ptx::Module* module;
  char* constants;
  uint64_t blocks;
  uint32_t threads, warps;  // of a block
  uint32_t shared_bytes;    // with the gaps between variables
  std::vector<SharedVariable> shared;
  bool counting;            // traffic too
  Memory::Tags* tags;       // null: races between blocks are not looked for
  uint32_t stamp, granule;  // of the tags
  std::vector<char> params;
};

struct Barrier {
  uint32_t arrived = 0, expected = 0;  // threads; expected 0: all of the block
  uint32_t waiting = 0;
  int line = 0;                          // of the first that arrived
  uint32_t any = 0, all = 1, count = 0;  // what barrier.red gathers
  std::vector<uint32_t> arrivals;        // by warp: the clock when it came; 0: not
};
constexpr int kBarriers = 16;

struct LineStat {
  uint64_t issued = 0, threads = 0, moved = 0, ideal = 0;
};

// An mbarrier lies in shared memory; what its phases order is kept here, by warp: when it came.
struct Phases {
  std::vector<uint32_t> coming, done;
};

class Block {
 public:
  Grid* grid = nullptr;
  Worker* worker = nullptr;
  uint64_t number = 0;  // of the grid
  Dim3 index;
  SharedMemory shared;
  std::vector<Warp> warps;
  Barrier barriers[kBarriers];
  uint32_t live = 0;   // threads
  uint32_t clock = 1;  // ticks at each event that may order accesses
  uint64_t executed = 0;
  std::map<uint64_t, Phases> phases;  // by address

  void start(Grid&, Worker&, uint64_t number);
  bool run(uint64_t turn);                         // true: all its warps have ended
  void arrive(Warp&, const Inst&, uint32_t mask);  // at a barrier
  void leave(Warp&, uint32_t lanes);               // threads that exited
  std::string deadlock(Warp** warp, int* lane, const char** kind);

 private:
  void complete(uint32_t barrier);
  bool full(const Barrier&) const;
};

class Worker {
 public:
  explicit Worker(Grid& grid, uint32_t index) : grid(grid), index(index), random(grid.options->seed + index) {}
  Grid& grid;
  uint32_t index;
  std::mt19937_64 random;
  std::vector<std::vector<LineStat>> stats;  // by function, by instruction
  Counters counted;
  bool failed = false;
  Fault fault;
  uint64_t fault_order = 0;
  uint64_t budget = 0;  // thread instructions left
};

inline Grid& Warp::grid() const { return *block->grid; }

}  // namespace sim
