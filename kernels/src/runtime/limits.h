// What this process may use of the machine.
#pragma once
#include <cstdint>

namespace shakti {

// CPUs of the affinity mask, bounded by the quota of the process's cgroups. SHAKTI_NUM_THREADS overrides. At least 1.
int default_threads();
// Physical memory, bounded by the limits of the process's cgroups.
uint64_t system_memory();
// Of the last cache of one CPU, which it may share with others; 32 MiB where the system does not say.
uint64_t last_cache_bytes();

}  // namespace shakti
