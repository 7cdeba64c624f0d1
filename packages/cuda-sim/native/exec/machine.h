// What the driver sees of the simulator: a module made from PTX, and the run of one grid. Nothing here throws.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../memory/memory.h"
#include "../report/counters.h"
#include "../report/fault.h"

namespace sim {

// The most that a chip of this compute capability takes, from the CUDA programming guide's table of capabilities.
struct Limits {
  int arch;  // 80, 86, 89, 90, 100, 120
  int multiprocessors;
  uint32_t threads_per_block, threads_per_multiprocessor, blocks_per_multiprocessor;
  uint32_t shared_per_block, shared_per_block_optin, shared_per_multiprocessor, shared_reserved;
  uint32_t registers_per_block, registers_per_multiprocessor, registers_per_thread;
  uint32_t block_x, block_y, block_z, grid_x, grid_y, grid_z;
  uint32_t constant_bytes, parameter_bytes;
};
const Limits* limits_of(int arch);  // null: no such chip here

struct Options {
  enum class Schedule { in_order, reversed, random_warps, random_blocks };
  enum class Copies { late, early };                 // when the data of cp.async arrives
  enum class Products { exact, truncate, chunked };  // how a tensor core rounds its sums
  enum class Bound { nearest, low, high };           // where in the manual's error bound an approximate function lies
  Schedule schedule = Schedule::in_order;
  uint64_t seed = 1;  // of the random schedules
  Copies copies = Copies::late;
  Products products = Products::exact;
  Bound approximations = Bound::nearest;
  bool races = true;
  bool uninitialised = true;                   // reading what was never written is a fault
  bool strict_barriers = true;                 // threads that have ended are missed at barriers of the whole block
  uint64_t max_instructions = 20'000'000'000;  // thread instructions of one launch; then the fault "timeout"
  int threads = 2;                             // more than one only where the result cannot depend on it
  int arch = 90;                               // whose limits are enforced

  // SHAKTI_SIM_SCHEDULE=in-order|reversed|random-warps|random-blocks, _SEED, _COPIES=late|early,
  // _PRODUCTS=exact|truncate|chunked, _APPROXIMATIONS=nearest|low|high, _RACES=1|0, _UNINITIALISED=1|0,
  // _STRICT_BARRIERS=1|0, _MAX_INSTRUCTIONS, _THREADS,
  // _ARCH=80|86|89|90|100|120. A word that is none of these is an error, whose sentence goes into `error`.
  static bool from_environment(Options*, std::string* error);
};

struct Parameter {
  uint64_t offset, bytes, align;
};

// One kernel, ready to run. Lives as long as its module.
class Function {
 public:
  virtual ~Function() = default;
  virtual const std::string& name() const = 0;
  virtual const std::vector<Parameter>& parameters() const = 0;
  virtual uint64_t parameter_bytes() const = 0;
  virtual uint64_t shared_bytes() const = 0;    // static ones
  virtual uint64_t local_bytes() const = 0;     // of one thread
  virtual uint64_t constant_bytes() const = 0;  // of the module
  virtual uint32_t registers() const = 0;       // 32-bit registers live at once: an estimate of what ptxas would need
  virtual uint32_t max_threads() const = 0;     // .maxntid, else 1024
  virtual Dim3 required_threads() const = 0;    // .reqntid, else zeros
  virtual Dim3 required_cluster() const = 0;    // .reqnctapercluster, else zeros
};

class Module {
 public:
  // Null and a log when the text holds anything that the simulator doesn't know: the line, and what it is. The module's
  // .global and .const variables are allocated in the memory, which has to outlive it, and are freed with it.
  static std::unique_ptr<Module> load(std::string_view ptx, Memory&, std::string* log);
  virtual ~Module() = default;
  virtual Function* function(std::string_view name) = 0;  // null: no such kernel
  virtual std::vector<Function*> functions() = 0;
  virtual bool global(std::string_view name, uint64_t* address, uint64_t* bytes) = 0;
  virtual int ptx_version() const = 0;    // 90: .version 9.0
  virtual int target() const = 0;         // 80: .target sm_80
  virtual bool target_exact() const = 0;  // sm_90a: for no other chip
};

struct Launch {
  Function* function = nullptr;
  Dim3 grid, block, cluster;
  uint32_t dynamic_shared = 0;
  std::vector<char> params;  // laid out by parameters()
  bool cooperative = false;  // all blocks are resident at once
};

// Runs the grid to its end. False: *fault says what it did wrong first, and memory is as far as it got. Counters, when
// given, are added to. The same launch on the same memory gives the same bits for any number of threads.
bool run(const Launch&, Memory&, const Options&, Counters*, Fault*);

}  // namespace sim
