// What this process may use of the machine.
#pragma once
#include <cstdint>

namespace shakti {

// CPUs of the affinity mask, bounded by the quota of the process's cgroups. SHAKTI_NUM_THREADS overrides. At least 1.
int default_threads();
// Physical memory, bounded by the limits of the process's cgroups.
uint64_t system_memory();

}  // namespace shakti
