// A block's shared memory: its bytes, what is known of them, and who touched them last.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace sim {

class SharedMemory {
 public:
  static constexpr uint8_t kAddressable = 1, kInitialised = 2, kGood = 3,
                           kPending = 4;  // kPending: an asynchronous copy that was not waited for

  char* data() { return data_.data(); }
  uint8_t* shadow() { return shadow_.data(); }
  uint32_t bytes() const { return bytes_; }

  void reset(uint32_t bytes, uint8_t fill) {
    bytes_ = bytes;
    const size_t room = bytes + 64;  // vector loads may look past the end
    data_.assign(room, static_cast<char>(fill));
    shadow_.assign(room, 0);
  }
  void allow(uint32_t at, uint32_t bytes) { std::memset(shadow_.data() + at, kAddressable, bytes); }

  // ---- races. A granule's last write and the reads since: by whom, and at which tick of the block's clock.
  struct Access {
    uint32_t write = 0;        // clock; 0: none
    uint32_t read_clock = 0;   // of the latest read
    uint32_t read_warps = 0;   // by warp of the block
    uint16_t writer = 0;       // thread, and how it wrote
    uint16_t read_thread = 0;  // thread + 1; kMany: several
  };
  static constexpr uint16_t kThread = 0x3FF, kStrong = 0x400,  // volatile or atomic
      kAsync = 0x800;                                          // by a tensor copy that the thread issued
  static constexpr uint16_t kMany = 0xFFFF;
  // `warps`: not 0 where warps are let go one by one (mbarriers), so that the latest read of all says too little.
  void watch(uint32_t granule, uint32_t warps) {
    granule_ = granule;
    warps_ = warps;
    accesses_.assign(bytes_ / granule + 1, Access{});
    reads_.assign(accesses_.size() * warps, 0);
  }
  // The clock of that warp's latest read.
  void note_read(const Access& a, uint32_t warp, uint32_t clock) {
    if (warps_ != 0) reads_[static_cast<size_t>(&a - accesses_.data()) * warps_ + warp] = clock;
  }
  uint32_t read_by(const Access& a, uint32_t warp) const {
    return warps_ != 0 ? reads_[static_cast<size_t>(&a - accesses_.data()) * warps_ + warp] : a.read_clock;
  }
  uint32_t granule() const { return granule_; }
  Access* accesses() { return accesses_.data(); }

 private:
  std::vector<char> data_;
  std::vector<uint8_t> shadow_;
  std::vector<Access> accesses_;
  std::vector<uint32_t> reads_;  // by granule and warp
  uint32_t bytes_ = 0, granule_ = 0, warps_ = 0;
};

}  // namespace sim
