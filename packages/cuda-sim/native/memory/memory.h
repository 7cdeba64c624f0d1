// One device's global memory. A device address is no host address: it lies in a reserved range that nobody may touch,
// so host code that follows one crashes there. The bytes and their shadow lie at fixed distances from it.
#pragma once
#include <cstdint>
#include <map>
#include <string>

namespace sim {

enum class Fill { garbage, nan, zero };  // what fresh memory holds: bytes 0xCB, 0xFF or 0

class Memory {
 public:
  explicit Memory(uint64_t capacity, Fill fill = Fill::garbage);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // 0: none left. Addresses are never given twice, and between two allocations lies a gap.
  uint64_t allocate(uint64_t bytes, uint64_t align = 256, const char* what = "");
  bool free(uint64_t address);  // false: not the start of a live allocation
  bool find(uint64_t address, uint64_t* start, uint64_t* bytes) const;
  void* host(uint64_t address, uint64_t bytes) const;            // null unless inside one live allocation
  void mark_initialised(uint64_t address, uint64_t bytes);       // after a copy in
  void copy_shadow(uint64_t to, uint64_t from, uint64_t bytes);  // after a copy between two places of this memory
  bool initialised(uint64_t address, uint64_t bytes, uint64_t* first_not = nullptr) const;
  // Host memory that kernels may touch at its own address (pinned). Counts as initialised, not as used; neither find()
  // nor host() know it.
  void map(uint64_t address, uint64_t bytes, const char* what);
  bool unmap(uint64_t address);
  char* mapped(uint64_t address, uint64_t bytes) const;  // null unless inside one such range
  // Where an address lies, as part of a sentence: "16 bytes after the end of an allocation of 4096 bytes at 0x...".
  std::string where(uint64_t address) const;
  bool was_freed(uint64_t address) const;
  uint64_t used() const { return used_; }
  uint64_t capacity() const { return capacity_; }

  // Which block of a launch last wrote and read a granule of 1, 2 or 4 bytes: stamp << 24 | block + 1, of the launch
  // that a stamp names. For races between blocks.
  struct Tags {
    uint32_t write, read;
  };
  static constexpr uint32_t kManyBlocks = 0xFFFFFF;
  Tags* watch(uint32_t* stamp);  // a new stamp; null: no room

  // For the instructions that read and write: shadow bytes say what the data bytes are.
  static constexpr uint8_t kAddressable = 1, kInitialised = 2, kGood = kAddressable | kInitialised;
  uint64_t base() const { return base_; }
  uint64_t reserved() const { return reserved_; }
  char* data() const { return data_; }         // of base()
  uint8_t* shadow() const { return shadow_; }  // of base()

 private:
  struct Allocation {
    uint64_t bytes;
    std::string what;
    bool live;
  };
  uint64_t capacity_, used_ = 0, reserved_ = 0, base_ = 0, next_ = 0;
  Fill fill_;
  char* data_ = nullptr;
  uint8_t* shadow_ = nullptr;
  std::map<uint64_t, Allocation> allocations_;  // by address, freed ones too
  std::map<uint64_t, Allocation> mapped_;
  Tags* tags_ = nullptr;
  uint32_t stamp_ = 0;
};

}  // namespace sim
