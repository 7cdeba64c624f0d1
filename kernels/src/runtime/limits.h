// What this process may use of the machine.
#pragma once
#include <cstdint>

namespace shakti {

// CPUs of the affinity mask, bounded by the quota of the process's cgroups. SHAKTI_NUM_THREADS overrides. At least 1.
int default_threads();
// Physical memory, bounded by the limits of the process's cgroups.
uint64_t system_memory();
// Bytes of the caches that a core sees, level 3 in all; 0 where the system does not say.
struct CacheSizes {
  int64_t level1, level2, level3;
};
const CacheSizes& cache_sizes();

}  // namespace shakti
