#include "allocator.h"

#include <sys/mman.h>

#include <algorithm>

#include "limits.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace shakti {
namespace {

// Under AddressSanitizer what lies behind the bytes asked for is forbidden ground, and a block is reused for the very
// same number of bytes alone: a queued command may still be reading it by its old length.
#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kRedZone = 256;
#define FORBID(start, bytes) ASAN_POISON_MEMORY_REGION(start, bytes)
#define PERMIT(start, bytes) ASAN_UNPOISON_MEMORY_REGION(start, bytes)
#else
constexpr uint64_t kRedZone = 0;
#define FORBID(start, bytes)
#define PERMIT(start, bytes)
#endif

constexpr uint64_t kAlign = 64;
constexpr uint64_t kSlab = 8u << 20;
constexpr uint64_t kLarge = 1u << 20;  // from here on a block has a mapping of its own
constexpr uint64_t kHugePage = 2u << 20;

}  // namespace

Allocator::Allocator() : limit_(system_memory() / 10 * 9) {}

Allocator::~Allocator() {
  for (auto& [block, mapping] : large_) unmap(mapping);
  for (auto& slab : slabs_) unmap(slab.mapping);
}

// Powers of two split in four: at most a quarter is wasted, and sizes that differ a little share blocks.
uint64_t Allocator::size_class(uint64_t bytes) {
  if (kRedZone > 0) return (bytes + kRedZone + kAlign - 1) / kAlign * kAlign;
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

void Allocator::unmap(const Mapping& mapping) {
  PERMIT(mapping.base, mapping.bytes);
  munmap(mapping.base, mapping.bytes);
  stats_.reserved -= mapping.bytes;
}

void* Allocator::from_slab(uint64_t size) {
  if (slabs_.empty() || kSlab - slabs_.back().used < size) {
    Mapping mapping;
    char* start = map(kSlab, &mapping);
    if (start == nullptr) return nullptr;
    slabs_.push_back({mapping, start, 0});
  }
  Slab& slab = slabs_.back();
  void* block = slab.start + slab.used;
  slab.used += size;
  return block;
}

void* Allocator::from_system(uint64_t size) {
  Mapping mapping;
  char* block = map(size, &mapping);
  if (block != nullptr) large_[block] = mapping;
  return block;
}

uint64_t Allocator::key_of(uint64_t bytes) { return kRedZone > 0 ? bytes : size_class(bytes); }
uint64_t Allocator::size_of_key(uint64_t key) { return kRedZone > 0 ? size_class(key) : key; }

void* Allocator::take(FreeBlocks& blocks, uint64_t key) {
  auto it = blocks.find(key);
  if (it == blocks.end() || it->second.empty()) return nullptr;
  void* block = it->second.back();
  it->second.pop_back();
  return block;
}

void* Allocator::allocate(uint64_t bytes, Arena* arena) {
  if (bytes > (uint64_t{1} << 48)) return nullptr;
  const uint64_t size = size_class(bytes);
  void* block = arena ? take(arena->free, key_of(bytes)) : nullptr;
  if (block == nullptr) {
    if (limit_ != 0 && stats_.live + size > limit_) return nullptr;
    block = take(free_, key_of(bytes));
    if (block != nullptr) {
      stats_.cached -= size;
    } else {
      if (limit_ != 0 && stats_.live + stats_.cached + size > limit_)
        return nullptr;  // the caller clears the cache and asks again
      block = size < kLarge ? from_slab(size) : from_system(size);
    }
    if (block == nullptr) return nullptr;
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
    if (arena) {
      arena->bytes += size;
      stats_.captured += size;
    }
  }
  FORBID(static_cast<char*>(block) + bytes, size - bytes);
  return block;
}

void Allocator::free(void* ptr, uint64_t bytes, Arena* arena) {
  if (arena && !arena->closed) {
    arena->free[key_of(bytes)].push_back(ptr);
    return;
  }
  const uint64_t size = size_class(bytes);
  free_[key_of(bytes)].push_back(ptr);
  stats_.live -= size;
  stats_.cached += size;
}

void Allocator::close(Arena& arena) {
  for (auto& [key, blocks] : arena.free) {
    const uint64_t size = size_of_key(key) * blocks.size();
    std::vector<void*>& to = free_[key];
    to.insert(to.end(), blocks.begin(), blocks.end());
    stats_.live -= size;
    stats_.cached += size;
  }
  stats_.captured -= arena.bytes;
  arena.free.clear();
  arena.bytes = 0;
  arena.closed = true;
}

void Allocator::clear_cache() {
  for (auto& [key, blocks] : free_) {
    const uint64_t size = size_of_key(key);
    if (size < kLarge) continue;
    for (void* block : blocks) {
      auto it = large_.find(block);
      unmap(it->second);
      stats_.cached -= size;
      large_.erase(it);
    }
    blocks.clear();
  }
  clear_slabs();
}

// A slab can go when its free blocks add up to all that was ever handed out of it.
void Allocator::clear_slabs() {
  if (slabs_.empty()) return;
  const Slab filling = slabs_.back();
  std::sort(slabs_.begin(), slabs_.end(), [](const Slab& a, const Slab& b) { return a.start < b.start; });
  const auto slab_of = [&](void* block) {
    const auto after = std::upper_bound(slabs_.begin(), slabs_.end(), block,
                                        [](void* b, const Slab& slab) { return static_cast<char*>(b) < slab.start; });
    return static_cast<size_t>(after - slabs_.begin()) - 1;
  };
  std::vector<uint64_t> idle(slabs_.size(), 0);
  for (auto& [key, blocks] : free_) {
    const uint64_t size = size_of_key(key);
    for (void* block : blocks) idle[slab_of(block)] += size;
  }
  const auto whole = [&](size_t i) { return idle[i] == slabs_[i].used; };
  for (auto& [key, blocks] : free_) {
    const uint64_t size = size_of_key(key);
    const auto kept = std::remove_if(blocks.begin(), blocks.end(), [&](void* b) { return whole(slab_of(b)); });
    stats_.cached -= size * static_cast<uint64_t>(blocks.end() - kept);
    blocks.erase(kept, blocks.end());
  }
  std::vector<Slab> left;
  bool filling_left = false;
  for (size_t i = 0; i < slabs_.size(); ++i) {
    if (whole(i)) {
      unmap(slabs_[i].mapping);
    } else if (slabs_[i].start == filling.start) {
      filling_left = true;
    } else {
      left.push_back(slabs_[i]);
    }
  }
  if (filling_left) left.push_back(filling);
  slabs_ = std::move(left);
}

}  // namespace shakti
