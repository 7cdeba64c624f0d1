#include "pages.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "allocator.h"

namespace shakti {
namespace {

// Bytes of [begin, end) among sorted ranges that do not meet.
uint64_t shared(const std::map<uintptr_t, uintptr_t>& ranges, uintptr_t begin, uintptr_t end) {
  uint64_t sum = 0;
  auto it = ranges.upper_bound(begin);
  if (it != ranges.begin()) --it;
  for (; it != ranges.end() && it->first < end; ++it) {
    const uintptr_t from = std::max(begin, it->first), to = std::min(end, it->second);
    if (from < to) sum += to - from;
  }
  return sum;
}

}  // namespace

Pages pages_of(const Allocator& allocator) {
  std::map<uintptr_t, uintptr_t> ours;
  allocator.each_mapping([&](const char* start, uint64_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(start);
    ours[at] = at + bytes;
  });
  Pages pages;
  FILE* report = std::fopen("/proc/self/smaps", "r");
  if (report == nullptr) return pages;
  // The kernel joins neighbours of one kind, ours or not: more than our share of an area cannot be ours.
  uint64_t share = 0;
  char line[4096];
  while (std::fgets(line, sizeof line, report)) {
    unsigned long long a, b;
    if (std::sscanf(line, "%llx-%llx ", &a, &b) == 2) share = shared(ours, a, b);
    if (std::sscanf(line, "Rss: %llu kB", &a) == 1) pages.resident += std::min<uint64_t>(a * 1024, share);
    if (std::sscanf(line, "AnonHugePages: %llu kB", &a) == 1) pages.huge += std::min<uint64_t>(a * 1024, share);
  }
  std::fclose(report);
  return pages;
}

}  // namespace shakti
