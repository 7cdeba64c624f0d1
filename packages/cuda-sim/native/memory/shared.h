// A block's shared memory: its bytes, what is known of them, and who touched them last.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace sim {

class SharedMemory {
 public:
  static constexpr uint8_t kAddressable = 1, kInitialised = 2, kGood = 3,
                           kPending = 4;  // kPending: cp.async not waited for

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
    uint32_t write = 0;        // clock << 11 | atomic << 10 | thread
    uint32_t read_clock = 0;   // of the latest read
    uint32_t read_warps = 0;   // by warp of the block
    uint32_t read_thread = 0;  // thread + 1; kMany: several
  };
  static constexpr uint32_t kMany = 0xFFFFFFFFu;
  void watch(uint32_t granule) {
    granule_ = granule;
    accesses_.assign(bytes_ / granule + 1, Access{});
  }
  uint32_t granule() const { return granule_; }
  Access* accesses() { return accesses_.data(); }

 private:
  std::vector<char> data_;
  std::vector<uint8_t> shadow_;
  std::vector<Access> accesses_;
  uint32_t bytes_ = 0, granule_ = 0;
};

}  // namespace sim
