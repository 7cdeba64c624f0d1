#include "allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace shakti {
namespace {

constexpr uint64_t kAlign = 64;
constexpr uint64_t kSlab = 8u << 20;
constexpr uint64_t kLarge = 1u << 20;  // from here on a block has a mapping of its own
constexpr uint64_t kHugePage = 2u << 20;

}  // namespace

uint64_t system_memory() {
  uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (FILE* f = std::fopen(path, "r")) {
      unsigned long long limit = 0;
      if (std::fscanf(f, "%llu", &limit) == 1 && limit > 0) bytes = std::min<uint64_t>(bytes, limit);
      std::fclose(f);
    }
  }
  return bytes;
}

Allocator::Allocator() : limit_(system_memory() / 10 * 9) {}

Allocator::~Allocator() {
  for (auto& [block, m] : large_) munmap(m.base, m.bytes);
  for (auto& m : slabs_) munmap(m.base, m.bytes);
}

// Powers of two split in four: at most a quarter is wasted, and sizes that differ a little share blocks.
uint64_t Allocator::size_class(uint64_t bytes) {
  if (bytes <= 4 * kAlign) return bytes == 0 ? kAlign : (bytes + kAlign - 1) / kAlign * kAlign;
  const int top = 63 - __builtin_clzll(bytes - 1);
  const uint64_t step = uint64_t{1} << (top - 2);
  return (bytes + step - 1) / step * step;
}

void* Allocator::from_slab(uint64_t size) {
  if (slab_left_ < size) {
    void* base = mmap(nullptr, kSlab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    // What is left of the old slab is under 1 MiB and stays unused.
    slabs_.push_back({base, kSlab});
    slab_at_ = static_cast<char*>(base);
    slab_left_ = kSlab;
    stats_.reserved += kSlab;
  }
  void* block = slab_at_;
  slab_at_ += size;
  slab_left_ -= size;
  return block;
}

void* Allocator::from_system(uint64_t size) {
  // A little more, so that the block can start on a huge page.
  const uint64_t bytes = size + (size >= kHugePage ? kHugePage : 0);
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  char* block = static_cast<char*>(base);
  if (size >= kHugePage) {
    block += (kHugePage - reinterpret_cast<uintptr_t>(block) % kHugePage) % kHugePage;
#ifdef MADV_HUGEPAGE
    madvise(block, size, MADV_HUGEPAGE);
#endif
  }
  large_[block] = {base, bytes};
  stats_.reserved += bytes;
  return block;
}

void* Allocator::allocate(uint64_t bytes) {
  if (bytes > (uint64_t{1} << 48)) return nullptr;
  const uint64_t size = size_class(bytes);
  if (limit_ != 0 && stats_.live + size > limit_) return nullptr;
  void* block = nullptr;
  auto it = free_.find(size);
  if (it != free_.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
    stats_.cached -= size;
  } else {
    if (limit_ != 0 && stats_.live + stats_.cached + size > limit_) return nullptr;  // the caller clears the cache and asks again
    block = size < kLarge ? from_slab(size) : from_system(size);
  }
  if (block == nullptr) return nullptr;
  stats_.live += size;
  stats_.peak = std::max(stats_.peak, stats_.live);
  return block;
}

void Allocator::free(void* ptr, uint64_t bytes) {
  const uint64_t size = size_class(bytes);
  free_[size].push_back(ptr);
  stats_.live -= size;
  stats_.cached += size;
}

void Allocator::clear_cache() {
  for (auto& [size, blocks] : free_) {
    if (size < kLarge) continue;
    for (void* block : blocks) {
      auto it = large_.find(block);
      munmap(it->second.base, it->second.bytes);
      stats_.reserved -= it->second.bytes;
      stats_.cached -= size;
      large_.erase(it);
    }
    blocks.clear();
  }
}

}  // namespace shakti
