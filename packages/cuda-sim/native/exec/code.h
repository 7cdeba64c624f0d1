// A function ready to run: its instructions decoded, operands turned into places.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "../ptx/module.h"
#include "machine.h"

namespace sim {

class Warp;
struct Inst;
using Run = void (*)(Warp&, const Inst&, uint32_t mask);

// Where the 32 lanes of a value lie: a bank in the two top bits, an offset in bytes below. A predicate is one word, a
// bit a lane; everything else is an array of 32 elements of 2, 4, 8 or 16 bytes.
using Slot = uint32_t;
enum Bank : uint32_t { kRegisters = 0, kConstants = 1, kSpecials = 2 };
constexpr Slot slot(Bank bank, uint32_t offset) { return static_cast<uint32_t>(bank) << 30 | offset; }
constexpr Slot kSink = slot(kRegisters, 0);  // what nobody reads: the first bytes of a frame
constexpr uint32_t kSinkBytes = 512;

// What the instruction does to the order of execution.
enum class Flow : uint8_t {
  straight,  // the next one follows
  branch,    // op[0]: target
  indexed,   // brx.idx
  call,
  ret,
  exit,
  sync,     // waits until the lanes that op[kMembers] names stand here; then run() does it
  barrier,  // of the block
};

enum class Class : uint8_t {
  integer,
  floating,
  convert,
  move,
  compare,
  control,
  barrier,
  warp,
  memory,
  shared,
  local,
  constant,
  atomic,
  mma,
  copy
};
constexpr int kClasses = 15;
const char* name_of(Class);

struct Inst {
  Run run = nullptr;
  Slot op[6] = {};             // results first
  const Slot* list = nullptr;  // more of them: vectors
  int64_t offset = 0;          // of an address
  int64_t offset2 = 0;         // of a second one, in op[2]
  uint32_t target = 0;         // instruction, list of targets, or call
  Slot guard = 0;
  uint8_t guarded = 0;  // 1: @p, 2: @!p
  Flow flow = Flow::straight;
  Class kind = Class::integer;
  ptx::Space space = ptx::Space::generic;
  uint8_t bytes = 0, count = 1;  // of an element, elements
  uint8_t register_bytes = 0;    // of the register that holds an element
  bool sign = false;             // the element is extended with its sign
  bool strong = false;           // volatile, relaxed or stronger, atomic: no data race with others of that kind
  bool framed = false;           // the address is relative to the frame's local memory
  bool wide_address = true;      // the address register has 64 bits
  bool aligned = true;           // all lanes of the warp have to be here
  bool watched = false;          // touches registers that products of a warpgroup hold: see Code::touches
  uint16_t mode = 0;             // what else run() wants to know
  int line = 0;
};
constexpr int kMembers = 5;  // op that holds the member mask of Flow::sync

struct Call {
  const struct Code* callee = nullptr;  // null: one of the built-in functions
  int builtin = 0;
  struct Argument {
    uint32_t from, to, bytes;
  };
  std::vector<Argument> arguments, results;  // places in the frames' local memory
};

// The matrices of one product, or of one wmma fragment (then m x n of type a).
struct MatrixForm {
  int m, n, k;
  ptx::Type d, a, b, c;
  bool saturate, by_rows;
  int rd, ra, rb, rc;  // registers of each
};

struct Code {
  std::string name;
  const ptx::Function* source = nullptr;
  std::vector<Inst> inst;
  std::vector<std::vector<Slot>> lists;
  std::vector<std::vector<uint32_t>> targets;
  std::vector<Call> calls;
  std::vector<MatrixForm> forms;
  uint32_t register_bytes = 0;  // of a frame
  uint32_t local_bytes = 0;     // of a frame, for each lane
  uint32_t local_align = 16;
  bool reads_unset = true;                          // some path may read a register before it writes it
  uint32_t registers = 0;                           // estimate
  std::map<const ptx::Variable*, uint32_t> locals;  // offsets of .local and .param variables
  uint32_t granule = 16;                            // of shared accesses: the smallest
  uint32_t global_granule = 4;                      // of global ones, 4 at most
  bool uses_global_atomics = false, prints = false;
  bool asynchronous = false;  // has mbarriers, tensor copies or products of warpgroups
  // Registers that products of warpgroups write or read from are numbered; what each instruction that touches them
  // reads and writes of them, by its index.
  struct Touches {
    std::vector<uint16_t> read, written;
  };
  std::unordered_map<uint32_t, Touches> touches;
  uint32_t held = 0;
  uint32_t index = 0;
};

}  // namespace sim
