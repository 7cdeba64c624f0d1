#include "allocator.h"

#include <algorithm>
#include <iterator>

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
#define FORBID(start, bytes) (void)0
#define PERMIT(start, bytes) (void)0
#endif

constexpr uint64_t kAlign = 64;
constexpr uint64_t kSlab = 8u << 20;
constexpr uint64_t kLarge = 1u << 20;  // from here on a block has a mapping of its own
// Large blocks handed out until those of a size that none was taken of are stale: a step of a model of dozens of layers
// takes fewer, so what recurs is kept.
constexpr uint64_t kStale = 1024;
}  // namespace

Allocator::Allocator(Device& device)
    : device_(device), exact_(device.exact()), limit_(device.total_memory() / 10 * 9) {}

Allocator::~Allocator() {
  for (auto& [block, bytes] : large_) unmap(block, bytes);
  for (auto& [start, used] : slabs_) unmap(start, kSlab);
}

// Powers of two split in four: at most a quarter is wasted, and sizes that differ a little share blocks.
uint64_t Allocator::size_class(uint64_t bytes) const {
  if (exact_) return std::max<uint64_t>(bytes, 1);
  if (kRedZone > 0) return (bytes + kRedZone + kAlign - 1) / kAlign * kAlign;
  if (bytes <= 4 * kAlign) return bytes == 0 ? kAlign : (bytes + kAlign - 1) / kAlign * kAlign;
  const int top = 63 - __builtin_clzll(bytes - 1);
  const uint64_t step = uint64_t{1} << (top - 2);
  return (bytes + step - 1) / step * step;
}

void Allocator::unmap(void* start, uint64_t bytes) {
  if (device_.on_host()) PERMIT(start, bytes);
  device_.unmap(static_cast<char*>(start), bytes);
  stats_.reserved -= bytes;
}

void* Allocator::from_slab(uint64_t size) {
  if (filling_ == nullptr || kSlab - slabs_[filling_] < size) {
    uint64_t bytes = kSlab;
    char* start = device_.map(&bytes);
    if (start == nullptr) return nullptr;
    stats_.reserved += bytes;
    slabs_[filling_ = start] = 0;
  }
  uint64_t& used = slabs_[filling_];
  void* block = filling_ + used;
  used += size;
  return block;
}

void* Allocator::from_system(uint64_t size) {
  char* block = device_.map(&size);
  if (block == nullptr) return nullptr;
  stats_.reserved += size;
  large_[block] = size;
  return block;
}

uint64_t Allocator::key_of(uint64_t bytes) const { return kRedZone > 0 ? bytes : size_class(bytes); }
uint64_t Allocator::size_of_key(uint64_t key) const { return kRedZone > 0 ? size_class(key) : key; }

void* Allocator::take(FreeBlocks& blocks, uint64_t key, uint64_t most) {
  auto it = blocks.lower_bound(key);
  while (it != blocks.end() && it->second.empty()) ++it;
  if (it == blocks.end() || it->first > most) return nullptr;
  void* block = it->second.back();
  it->second.pop_back();
  return block;
}

void* Allocator::allocate(uint64_t bytes, Arena* arena) {
  if (bytes > (uint64_t{1} << 48)) return nullptr;
  const uint64_t size = size_class(bytes), key = key_of(bytes);
  void* block = arena ? take(arena->free, key, kRedZone > 0 ? key : 2 * key) : nullptr;
  if (block == nullptr) {
    if (limit_ != 0 && stats_.live + size > limit_) return nullptr;
    block = exact_ ? nullptr : take(free_, key, key);
    if (block != nullptr) {
      stats_.cached -= size;
    } else {
      if (limit_ != 0 && stats_.live + stats_.cached + size > limit_)
        return nullptr;  // the caller clears the cache and asks again
      block = size < kLarge && !exact_ ? from_slab(size) : from_system(size);
    }
    if (block == nullptr) return nullptr;
    if (size >= kLarge) taken_[key] = ++turn_;
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
    if (arena) {
      arena->keys[block] = key;
      arena->bytes += size;
      stats_.captured += size;
    }
  }
  if (device_.on_host()) FORBID(static_cast<char*>(block) + bytes, size - bytes);
  return block;
}

void Allocator::free(void* ptr, uint64_t bytes, Arena* arena) {
  const uint64_t key = arena ? arena->keys.at(ptr) : key_of(bytes), size = size_of_key(key);
  if (arena && !arena->closed) {
    arena->free[key].push_back(ptr);
    return;
  }
  free_[key].push_back(ptr);
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

void Allocator::clear_large(uint64_t key, std::vector<void*>& blocks) {
  for (void* block : blocks) {
    auto it = large_.find(static_cast<char*>(block));
    unmap(it->first, it->second);
    large_.erase(it);
  }
  stats_.cached -= size_of_key(key) * blocks.size();
  blocks.clear();
}

void Allocator::clear_cache() {
  for (auto& [key, blocks] : free_) {
    if (size_of_key(key) >= kLarge || exact_) clear_large(key, blocks);
  }
  clear_slabs();
}

bool Allocator::stale(uint64_t key) const {
  const auto it = taken_.find(key);
  return it != taken_.end() && it->second + kStale < turn_;
}

bool Allocator::crowded(uint64_t bytes) const {
  const uint64_t key = key_of(bytes);
  if (exact_ || size_of_key(key) < kLarge) return false;
  if (const auto it = free_.find(key); it != free_.end() && !it->second.empty()) return false;
  return std::any_of(free_.begin(), free_.end(),
                     [this](const auto& of) { return !of.second.empty() && stale(of.first); });
}

void Allocator::clear_stale() {
  for (auto& [key, blocks] : free_) {
    if (stale(key)) clear_large(key, blocks);
  }
}

std::map<char*, uint64_t> Allocator::live_in_slabs() const {
  std::map<char*, uint64_t> live = slabs_;
  for (auto& [key, blocks] : free_) {
    const uint64_t size = size_of_key(key);
    if (size >= kLarge || exact_) break;
    for (void* block : blocks) std::prev(live.upper_bound(static_cast<char*>(block)))->second -= size;
  }
  return live;
}

void Allocator::clear_slabs() {
  const auto live = live_in_slabs();
  const auto idle = [&](void* block) { return std::prev(live.upper_bound(static_cast<char*>(block)))->second == 0; };
  for (auto& [key, blocks] : free_) {
    const auto kept = std::remove_if(blocks.begin(), blocks.end(), idle);
    stats_.cached -= size_of_key(key) * static_cast<uint64_t>(blocks.end() - kept);
    blocks.erase(kept, blocks.end());
  }
  for (auto& [start, bytes] : live) {
    if (bytes > 0) continue;
    unmap(start, kSlab);
    slabs_.erase(start);
    if (start == filling_) filling_ = nullptr;
  }
}

uint64_t Allocator::fragmented() const {
  uint64_t sum = 0;
  for (auto& [start, bytes] : live_in_slabs()) {
    if (bytes > 0) sum += kSlab - bytes;
  }
  return sum;
}

void Allocator::each_mapping(const std::function<void(const char*, uint64_t)>& visit) const {
  for (auto& [start, used] : slabs_) visit(start, kSlab);
  for (auto& [start, bytes] : large_) visit(start, bytes);
}

}  // namespace shakti
