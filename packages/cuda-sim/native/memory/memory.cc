#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace sim {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSpan = uint64_t{1} << 40;  // addresses of one device; never reused, so more than its capacity
constexpr uint64_t kFirst = uint64_t{0x2000} << 32;

uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

void* reserve(void* where, uint64_t bytes, int protection, int flags) {
  void* p = mmap(where, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

std::string hex(uint64_t x) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(x));
  return text;
}

}  // namespace

Memory::Memory(uint64_t capacity, Fill fill) : capacity_(capacity), fill_(fill) {
  // The same addresses in every run where the system lets us, so that reports can be compared.
  reserved_ = kSpan;
  for (uint64_t n = 0; base_ == 0 && n < 16; ++n) {
    void* p = reserve(reinterpret_cast<void*>(kFirst + n * 2 * kSpan), kSpan, PROT_NONE, MAP_FIXED_NOREPLACE);
    if (p != nullptr) base_ = reinterpret_cast<uint64_t>(p);
  }
  if (base_ == 0) base_ = reinterpret_cast<uint64_t>(reserve(nullptr, kSpan, PROT_NONE, 0));
  data_ = static_cast<char*>(reserve(nullptr, kSpan, PROT_READ | PROT_WRITE, 0));
  shadow_ = static_cast<uint8_t*>(reserve(nullptr, kSpan, PROT_READ | PROT_WRITE, 0));
  if (base_ == 0 || data_ == nullptr || shadow_ == nullptr) capacity_ = 0;
  next_ = base_ + kPage;
}

Memory::~Memory() {
  if (base_ != 0) munmap(reinterpret_cast<void*>(base_), kSpan);
  if (data_ != nullptr) munmap(data_, kSpan);
  if (shadow_ != nullptr) munmap(shadow_, kSpan);
  if (tags_ != nullptr) munmap(tags_, kSpan * sizeof(Tags));
}

Memory::Tags* Memory::watch(uint32_t* stamp) {
  if (tags_ == nullptr) tags_ = static_cast<Tags*>(reserve(nullptr, kSpan * sizeof(Tags), PROT_READ | PROT_WRITE, 0));
  if (tags_ == nullptr) return nullptr;
  if (++stamp_ == 256) {  // stamps are used again: forget what they meant
    madvise(tags_, kSpan * sizeof(Tags), MADV_DONTNEED);
    stamp_ = 1;
  }
  *stamp = stamp_ << 24;
  return tags_;
}

uint64_t Memory::allocate(uint64_t bytes, uint64_t align, const char* what) {
  if (bytes == 0 || bytes > capacity_ - used_) return 0;
  const uint64_t address = up(next_, std::max<uint64_t>(align, 256));
  const uint64_t end = up(address + bytes, kPage) + kPage;
  if (end > base_ + kSpan) return 0;
  next_ = end;
  used_ += bytes;
  allocations_[address] = {bytes, what, true};
  // Zeros need no writing: these pages were never given before.
  if (fill_ != Fill::zero) std::memset(data_ + (address - base_), fill_ == Fill::nan ? 0xFF : 0xCB, bytes);
  std::memset(shadow_ + (address - base_), kAddressable, bytes);
  return address;
}

bool Memory::free(uint64_t address) {
  const auto it = allocations_.find(address);
  if (it == allocations_.end() || !it->second.live) return false;
  it->second.live = false;
  used_ -= it->second.bytes;
  // The pages go back; what is read there from now on is zero in the shadow, that is: not addressable.
  const uint64_t first = up(address, kPage), last = (address + it->second.bytes) / kPage * kPage;
  std::memset(shadow_ + (address - base_), 0, it->second.bytes);
  if (last > first) {
    madvise(data_ + (first - base_), last - first, MADV_DONTNEED);
    madvise(shadow_ + (first - base_), last - first, MADV_DONTNEED);
  }
  return true;
}

bool Memory::find(uint64_t address, uint64_t* start, uint64_t* bytes) const {
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return false;
  --it;
  if (!it->second.live || address - it->first >= it->second.bytes) return false;
  if (start != nullptr) *start = it->first;
  if (bytes != nullptr) *bytes = it->second.bytes;
  return true;
}

void* Memory::host(uint64_t address, uint64_t bytes) const {
  uint64_t start, size;
  if (!find(address, &start, &size) || bytes > size - (address - start)) return nullptr;
  return data_ + (address - base_);
}

void Memory::mark_initialised(uint64_t address, uint64_t bytes) {
  if (host(address, bytes) != nullptr) std::memset(shadow_ + (address - base_), kGood, bytes);
}

void Memory::copy_shadow(uint64_t to, uint64_t from, uint64_t bytes) {
  if (host(to, bytes) != nullptr && host(from, bytes) != nullptr)
    std::memmove(shadow_ + (to - base_), shadow_ + (from - base_), bytes);
}

bool Memory::initialised(uint64_t address, uint64_t bytes, uint64_t* first_not) const {
  if (host(address, bytes) == nullptr) return false;
  const uint8_t* s = shadow_ + (address - base_);
  const uint8_t* bad = std::find_if(s, s + bytes, [](uint8_t b) { return b != kGood; });
  if (first_not != nullptr) *first_not = address + static_cast<uint64_t>(bad - s);
  return bad == s + bytes;
}

void Memory::map(uint64_t address, uint64_t bytes, const char* what) { mapped_[address] = {bytes, what, true}; }
bool Memory::unmap(uint64_t address) { return mapped_.erase(address) != 0; }

char* Memory::mapped(uint64_t address, uint64_t bytes) const {
  auto it = mapped_.upper_bound(address);
  if (it == mapped_.begin()) return nullptr;
  --it;
  const uint64_t at = address - it->first;
  return at < it->second.bytes && bytes <= it->second.bytes - at ? reinterpret_cast<char*>(address) : nullptr;
}

bool Memory::was_freed(uint64_t address) const {
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return false;
  --it;
  return !it->second.live && address - it->first < it->second.bytes;
}

std::string Memory::where(uint64_t address) const {
  if (address < base_ || address >= base_ + reserved_) return "no address of this device";
  const auto describe = [](const auto& a) {
    return (a.second.live ? "an allocation of " : "a freed allocation of ") + std::to_string(a.second.bytes) +
           " bytes at " + hex(a.first) + (a.second.what.empty() ? "" : " (" + a.second.what + ")");
  };
  const auto after = allocations_.upper_bound(address);
  std::string text = "nothing is allocated near it";
  uint64_t distance = UINT64_MAX;
  if (after != allocations_.begin()) {
    const auto before = std::prev(after);
    const uint64_t at = address - before->first;
    if (at < before->second.bytes) return "byte " + std::to_string(at) + " of " + describe(*before);
    distance = at - before->second.bytes;
    text = std::to_string(distance) + " bytes after the end of " + describe(*before);
  }
  if (after != allocations_.end() && after->first - address < distance)
    text = std::to_string(after->first - address) + " bytes before " + describe(*after);
  return text;
}

}  // namespace sim
