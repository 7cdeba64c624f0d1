// What copies ask of mbarriers.
#pragma once
#include "access.h"

namespace sim {

// Of the mbarrier that op[1] names.
uint64_t mbarrier_address(Warp&, const Inst&, int lane);
// `more` arrivals are due in this phase; where the word lies in shared memory.
uint64_t mbarrier_expect_arrivals(Warp&, int lane, uint64_t address, ptx::Space, unsigned more);
// The mbarrier that a tensor copy is to tell of its bytes: initialised, and visible to copies.
uint64_t mbarrier_for_tile(Warp&, int lane, uint64_t address);
// Bytes of a tensor copy are there, which that lane of the warp issued at clock `issued`.
void mbarrier_complete(Warp&, int lane, uint64_t address, int64_t bytes, uint32_t issued);

}  // namespace sim
