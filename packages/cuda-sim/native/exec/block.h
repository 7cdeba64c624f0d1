// A grid, the workers that share its blocks, and a block with its warps and barriers.
#pragma once
#include <atomic>
#include <mutex>

#include "tensor_map.h"
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
  uint64_t workspace;  // of a cooperative launch: zeros, where grid.sync() counts
  uint64_t turn;       // warp instructions before another block's turn
  uint32_t registers;  // of each thread at first, for setmaxnreg
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
  std::vector<uint32_t> coming, done, coming_fenced, done_fenced;
  uint32_t made_by = 0, made_at = 0;  // warp and clock of mbarrier.init
};

// A tile on its way from global to shared memory, whose bytes an mbarrier waits for.
struct TensorCopy {
  TensorMap map;
  int32_t from[5];
  uint32_t to;
  uint64_t barrier;
  uint32_t warp, lane, clock;  // who issued it, and when
};

// A block's own, so that its schedule does not depend on which worker has it (splitmix64).
struct Random {
  using result_type = uint64_t;
  uint64_t state = 0;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return UINT64_MAX; }
  uint64_t operator()() {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
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
  Random random;
  uint32_t vain_rounds = 0;           // in which all that ran waited at mbarriers, and nobody came
  std::map<uint64_t, Phases> phases;  // by address
  std::vector<TensorCopy> tiles;      // in the order of issue
  std::vector<Warpgroup> warpgroups;
  int64_t registers_left = 0;  // of the block's, after setmaxnreg; negative: some warp still waits for its own

  void start(Grid&, Worker&, uint64_t number);
  bool run(uint64_t turn);                         // true: all its warps have ended
  void arrive(Warp&, const Inst&, uint32_t mask);  // at a barrier
  void leave(Warp&, uint32_t lanes);               // threads that exited
  std::string deadlock(Warp** warp, int* lane, const char** kind);

 private:
  void complete(uint32_t barrier);
  bool full(const Barrier&) const;
  void end(Warp&);  // the last threads have left
};

class Worker {
 public:
  explicit Worker(Grid& grid) : grid(grid) {}
  Grid& grid;
  std::vector<std::vector<LineStat>> stats;  // by function, by instruction
  Counters counted;
  bool failed = false;
  Fault fault;
  uint64_t fault_order = 0;
  uint64_t budget = 0;  // thread instructions left
};

inline Grid& Warp::grid() const { return *block->grid; }

}  // namespace sim
