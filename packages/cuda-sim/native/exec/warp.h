// A warp: 32 lanes, their registers, and the fragments of them that stand at different instructions.
//
// The fragment with the deepest call and then the lowest instruction runs first, until it comes to where another one
// stands; there they join. Since a compiler lays code out so that what follows both arms of a branch comes after them,
// this is where a program expects its lanes to meet.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../memory/shared.h"
#include "code.h"

namespace sim {

constexpr int kLanes = 32;
constexpr uint32_t kAll = 0xFFFFFFFFu;

// Generic addresses of what is no global memory.
constexpr uint64_t kSharedWindow = uint64_t{1} << 32;
constexpr uint64_t kLocalWindow = uint64_t{2} << 32;
constexpr uint64_t kParamWindow = uint64_t{3} << 32;
constexpr uint64_t kWindow = uint64_t{1} << 32;

// Special registers, one array of 32 words each, in bank kSpecials.
// clang-format off
enum Special : uint32_t {
  kTidX, kTidY, kTidZ, kNtidX, kNtidY, kNtidZ, kCtaidX, kCtaidY, kCtaidZ, kNctaidX, kNctaidY, kNctaidZ,
  kLaneid, kWarpid, kNwarpid, kSmid, kNsmid, kLanemaskEq, kLanemaskLt, kLanemaskLe, kLanemaskGt, kLanemaskGe,
  kDynamicSmemSize, kTotalSmemSize, kZero, kOne, kEnvreg1, kEnvreg2, kGridid /* 64 bits: two */, kSpecialCount = kGridid + 2
};
// clang-format on

class Block;
class Worker;
struct Grid;
struct LineStat;

struct Fragment {
  enum class State : uint8_t { ready, at_sync, at_barrier };
  uint32_t pc, mask, frame;
  State state;
};

struct Frame {
  const Code* code;
  uint32_t return_pc, parent, depth;
  uint32_t registers;  // offset in the register file
  uint32_t local;      // offset in a lane's local memory
  const Call* call;
  uint32_t users;  // lanes in it
};

// An asynchronous copy that has been issued and not waited for.
struct AsyncCopy {
  uint32_t mask;
  uint32_t group[kLanes];  // the group that the lane's next commit closes
  uint8_t bytes;
  uint8_t source_bytes[kLanes];
  uint32_t to[kLanes];
  uint64_t from[kLanes];
  int line;
};

// A product of a warpgroup that this warp has issued and not waited for.
struct AsyncProduct {
  const Inst* inst;
  const Code::Touches* holds;  // registers
  uint32_t group;              // that the next commit closes
  uint64_t a, b;               // descriptors
  std::vector<char> saw;       // what shared memory held
};

// The products that the four warps of a warpgroup have issued and not all have: they have to be the same ones.
struct Warpgroup {
  struct Issue {
    const Inst* inst;
    uint64_t a, b;
  };
  std::vector<Issue> issued;
};

// Thrown through the instruction functions, caught by the worker.
struct Stop {};

class Warp {
 public:
  char* bank[4] = {};  // of the running frame
  Block* block = nullptr;
  Worker* worker = nullptr;
  uint32_t index = 0;  // in its block
  uint32_t live = 0;   // lanes that have not exited
  uint32_t exited = 0;
  const Inst* current = nullptr;
  uint32_t carry = 0;           // CC.CF, a bit a lane
  uint64_t ticks = 0;           // of %clock, beside the instructions executed
  uint32_t local_base = 0;      // of the running frame
  uint32_t yields = 0;          // asks the scheduler for another warp's turn
  const Inst* vain = nullptr;   // the wait at an mbarrier that ended its turn
  const Inst* tried = nullptr;  // the one that last came back in vain

  void start(Block*, Worker*, uint32_t index);
  // Runs until it has to wait, has ended, or has had its turn. True: it did something.
  bool run(uint64_t turn);
  bool ended() const { return live == 0; }
  bool ready() const;
  // A barrier of the block has been passed: its lanes go on.
  void pass_barrier(uint32_t barrier);
  const std::vector<Fragment>& fragments() const { return fragments_; }
  const Frame& frame(uint32_t i) const { return frames_[i]; }

  // ---- for the instruction functions
  template <class T>
  T* lanes(Slot s) {
    return reinterpret_cast<T*>(bank[s >> 30] + (s & 0x3FFFFFFFu));
  }
  uint32_t& predicate(Slot s) { return *lanes<uint32_t>(s); }
  [[noreturn]] void fault(const char* kind, const std::string& message, int lane);
  Grid& grid() const;
  const Code& running() const { return *running_; }
  LineStat& stat();  // what is counted of the running instruction

  char* local_data(int lane) { return local_.data() + static_cast<size_t>(lane) * local_stride_; }
  uint8_t* local_shadow(int lane) { return local_shadow_.data() + static_cast<size_t>(lane) * local_stride_; }
  uint32_t local_size() const { return local_stride_; }

  std::vector<AsyncCopy> copies;                        // in the order of issue
  std::vector<std::pair<uint32_t, uint64_t>> arrivals;  // lane and mbarrier: due when the lane's copies are done
  uint32_t committed[kLanes] = {};                      // groups that each lane has closed
  void finish_copies(uint32_t mask,
                     uint32_t but);  // all but the last groups of these lanes; UINT32_MAX: uncommitted too

  uint32_t waiting_barrier[kLanes] = {};  // which barrier a lane waits at
  uint32_t epoch_sync = 0;                // the block's clock at this warp's last __syncwarp
  uint32_t floor = 0;                     // all accesses up to this clock are ordered before this warp's
  std::vector<uint32_t> known;            // by warp: the same, from barriers that not all took part in
  std::vector<uint32_t> fenced;           // by warp: a proxy fence makes accesses up to here visible to async copies

  std::vector<AsyncProduct> products;  // in the order of issue
  uint32_t product_groups = 0;         // that wgmma.commit_group has closed
  uint32_t products_issued = 0;
  std::vector<uint8_t> unfenced;  // by number: registers accessed since the last wgmma.fence; all, before the first
  uint32_t registers = 0;         // of a thread, as setmaxnreg left them

 private:
  std::vector<char> registers_;
  std::vector<Fragment> fragments_;
  std::vector<Frame> frames_;
  std::vector<uint32_t> free_frames_;
  std::vector<char> local_;
  std::vector<uint8_t> local_shadow_;
  uint32_t local_stride_ = 0;
  std::vector<uint32_t> specials_;

  const Code* running_ = nullptr;
  uint64_t steps_ = 0, rotate_at_ = 0;  // instructions so far, and when another fragment gets a turn

  void enter(const Frame&);
  int pick();
  bool release_waiting();
  uint32_t join_point(const Fragment&) const;
  void call(Fragment&, const Inst&, uint32_t mask);
  bool ret(Fragment&, uint32_t mask);
  void leave(uint32_t mask);  // exit
  uint32_t sync(const Inst&, uint32_t mask);
  void touch_held(const Inst&);
  void reserve_local(uint32_t bytes);
  uint32_t new_frame(Frame);
  void drop_frame(uint32_t, uint32_t lanes);
};

}  // namespace sim
