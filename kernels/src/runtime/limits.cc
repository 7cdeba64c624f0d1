#include "limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "pool.h"

namespace shakti {
namespace {

std::string first_line(const std::string& path) {
  char line[256] = {0};
  if (FILE* f = std::fopen(path.c_str(), "r")) {
    if (std::fgets(line, sizeof line, f) == nullptr) line[0] = 0;
    std::fclose(f);
  }
  return line;
}

// Calls f with the text of a control file in each cgroup (version 2) from the process's own up to the root: a limit
// may stand at any of them. In a container only the root is visible.
template <class F>
void each_cgroup(const char* file, const F& f) {
  std::string path;
  if (FILE* list = std::fopen("/proc/self/cgroup", "r")) {
    char line[1024];
    while (std::fgets(line, sizeof line, list)) {
      if (std::strncmp(line, "0::", 3) == 0) path.assign(line + 3, std::strcspn(line + 3, "\n"));
    }
    std::fclose(list);
  }
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    f(first_line("/sys/fs/cgroup" + path + "/" + file));
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

int default_threads() {
  if (const char* text = std::getenv("SHAKTI_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1) return std::min(n, kMaxThreads);
  }
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#endif
  const auto bound = [&](long long quota, long long period) {
    if (quota > 0 && period > 0) cpus = static_cast<int>(std::min<long long>(cpus, (quota + period - 1) / period));
  };
  each_cgroup("cpu.max", [&](const std::string& text) {
    long long quota = 0, period = 0;
    if (std::sscanf(text.c_str(), "%lld %lld", &quota, &period) == 2) bound(quota, period);
  });
  bound(std::atoll(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").c_str()),
        std::atoll(first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us").c_str()));
  return std::max(1, std::min(cpus, kMaxThreads));
}

uint64_t system_memory() {
  uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto bound = [&](const std::string& text) {
    unsigned long long limit = 0;
    if (std::sscanf(text.c_str(), "%llu", &limit) == 1 && limit > 0) bytes = std::min<uint64_t>(bytes, limit);
  };
  each_cgroup("memory.max", bound);
  bound(first_line("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  return bytes;
}

uint64_t last_cache_bytes() {
  // As the kernel lists them, that of the highest level. glibc's sysconf counts all caches of a socket for one (AMD
  // EPYC, Zen 5: 384 MiB where a CPU has 32), so it is asked last.
  uint64_t bytes = 0;
  int highest = 0;
  for (int i = 0;; ++i) {
    const std::string cache = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    const int level = std::atoi(first_line(cache + "level").c_str());
    if (level == 0) break;
    unsigned long long size = 0;
    char unit = 0;
    if (level < highest || std::sscanf(first_line(cache + "size").c_str(), "%llu%c", &size, &unit) != 2) continue;
    highest = level;
    bytes = size << (unit == 'M' ? 20 : 10);
  }
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (bytes == 0) bytes = static_cast<uint64_t>(std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE)));
#endif
  return bytes > 0 ? bytes : uint64_t{32} << 20;
}

}  // namespace shakti
