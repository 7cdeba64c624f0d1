// A caching allocator for the memory of a device. Blocks come in size classes, so that a step that repeats finds its
// blocks again. Not thread-safe: the thread that issues commands owns it. Freeing is ordered by the stream (see
// stream.h), so a block may be handed out again while a queued command still reads it: the next writer runs after that
// reader.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "device.h"

namespace shakti {

class Allocator {
 public:
  using FreeBlocks = std::map<uint64_t, std::vector<void*>>;  // size class -> blocks

  // Blocks that its owners have to themselves: what is freed into an arena is handed out again by that arena alone.
  // Its captures have tensors of different sizes: a block of up to twice the size serves too.
  struct Arena {
    FreeBlocks free;
    std::unordered_map<void*, uint64_t> keys;  // of all its blocks
    uint64_t bytes = 0;                        // of all its blocks, in use or free; they count as live
    uint32_t owners = 0;
    bool closed = false;
  };

  struct Stats {
    uint64_t live = 0;      // bytes handed out
    uint64_t captured = 0;  // those of them that belong to arenas
    uint64_t cached = 0;    // bytes free for reuse
    uint64_t peak = 0;      // the most that was live since the last reset_peak()
    uint64_t reserved = 0;  // bytes taken from the system
  };

  explicit Allocator(Device& device = cpu_device());
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // 64-byte aligned; null when the limit or the system says no. `bytes` 0 gives a small block. `arena` null: for
  // general use.
  void* allocate(uint64_t bytes, Arena* arena = nullptr);
  // `bytes` and `arena` as asked for.
  void free(void* ptr, uint64_t bytes, Arena* arena = nullptr);
  // Gives its free blocks back to general use; those in use follow when they are freed.
  void close(Arena& arena);
  // Gives large blocks and slabs of which nothing is in use back to the system. The caller has seen to it that no
  // queued command uses them.
  void clear_cache();
  // Whether `bytes` would be mapped anew although large blocks lie in the cache that nothing took for long: a prompt
  // that is read in chunks leaves a block of every size that its longest operand has had.
  bool crowded(uint64_t bytes) const;
  // Gives those back to the system, on the terms of clear_cache().
  void clear_stale();
  void set_limit(uint64_t bytes) { limit_ = bytes; }
  uint64_t limit() const { return limit_; }
  const Stats& stats() const { return stats_; }
  void reset_peak() { stats_.peak = stats_.live; }
  // Reserved bytes that are not live and that clear_cache() cannot give back: what else is in the slabs of live blocks.
  // Looks at every free block.
  uint64_t fragmented() const;
  // Calls with the start and length of all that is reserved.
  void each_mapping(const std::function<void(const char*, uint64_t)>& visit) const;

 private:
  uint64_t size_class(uint64_t bytes) const;
  uint64_t key_of(uint64_t bytes) const;     // in FreeBlocks
  uint64_t size_of_key(uint64_t key) const;  // of the blocks under it
  // A block with a key from `key` to `most`, the smallest there is; null: none.
  static void* take(FreeBlocks& blocks, uint64_t key, uint64_t most);
  // A block never crosses slabs; what is left of the old one when a new one is opened stays unused.
  void* from_slab(uint64_t size);
  void* from_system(uint64_t size);

  void unmap(void* start, uint64_t bytes);
  // Slab -> bytes of it that are live. A slab where there are none can go.
  std::map<char*, uint64_t> live_in_slabs() const;
  void clear_slabs();
  void clear_large(uint64_t key, std::vector<void*>& blocks);
  bool stale(uint64_t key) const;

  Device& device_;
  const bool exact_;  // as the device wants it
  FreeBlocks free_;
  std::unordered_map<uint64_t, uint64_t> taken_;  // key of large blocks -> turn_ when one was last handed out
  uint64_t turn_ = 0;                             // large blocks handed out
  std::map<char*, uint64_t> large_;               // block with a mapping of its own -> the mapping's length
  std::map<char*, uint64_t> slabs_;  // slab -> bytes handed out at some time, in blocks one behind the other
  char* filling_ = nullptr;          // the slab that new blocks come from
  uint64_t limit_;
  Stats stats_;
};

}  // namespace shakti
