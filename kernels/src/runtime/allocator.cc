#include "allocator.h"

#include <sys/mman.h>

#include <algorithm>

#include "limits.h"

namespace shakti {
namespace {

constexpr uint64_t kAlign = 64;
constexpr uint64_t kSlab = 8u << 20;
constexpr uint64_t kLarge = 1u << 20;  // from here on a block has a mapping of its own
constexpr uint64_t kHugePage = 2u << 20;

}  // namespace

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

char* Allocator::map(uint64_t size, Mapping* mapping) {
  const uint64_t bytes = size + (size >= kHugePage ? kHugePage : 0);
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(base);
  if (size >= kHugePage) {
    start += (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
#ifdef MADV_HUGEPAGE
    madvise(start, size, MADV_HUGEPAGE);
#endif
  }
  *mapping = {base, bytes};
  stats_.reserved += bytes;
  return start;
}

void* Allocator::from_slab(uint64_t size) {
  if (slab_left_ < size) {
    Mapping mapping;
    char* start = map(kSlab, &mapping);
    if (start == nullptr) return nullptr;
    slabs_.push_back(mapping);
    slab_at_ = start;
    slab_left_ = kSlab;
  }
  void* block = slab_at_;
  slab_at_ += size;
  slab_left_ -= size;
  return block;
}

void* Allocator::from_system(uint64_t size) {
  Mapping mapping;
  char* block = map(size, &mapping);
  if (block != nullptr) large_[block] = mapping;
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
