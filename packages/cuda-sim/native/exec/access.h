// How a warp reaches memory: from the addresses of its lanes to host addresses, checked.
#pragma once
#include "lanes.h"

namespace sim {

enum class Touch : uint8_t { load, store, atomic, peek };  // peek: a load that may read what was never written

struct Places {
  char* at[kLanes];          // of the lanes in the mask
  uint64_t address[kLanes];  // within its space
  uint32_t shared = 0;       // lanes whose place is shared memory
  uint32_t global = 0;       // and global, where it is watched
};

// Every lane's `bytes` at its address (op[1] + offset): within bounds, aligned, and initialised where they are read.
// What is stored to counts as initialised from here on. Counts traffic. Loads from global memory are compared with what
// other blocks have written; all other races are looked for below.
void reach(Warp&, const Inst&, uint32_t mask, Touch, unsigned bytes, Places*);
// The same for addresses that p->address holds.
void reach_at(Warp&, ptx::Space, uint32_t mask, Touch, unsigned bytes, Places* p);
void reach_shared(Warp&, uint32_t mask, Touch, unsigned bytes, Places* p);

// What copies and products read and write at once, on behalf of one lane: a range of global memory that is read, one of
// shared memory. Checked, and compared with what others did; a store is to come later.
void reach_global_range(Warp&, int lane, uint64_t address, uint64_t bytes);
void reach_shared_range(Warp&, int lane, uint32_t at, uint32_t bytes, Touch);
// An asynchronous read of shared memory by the warp: what was written there has to be fenced, too.
void watch_async_load(Warp&, uint32_t at, unsigned bytes);

// Races of one lane's access to shared memory. `value`, for stores: what will be written; the same value as there is
// counts as the lower class. Call it before the bytes change.
void watch_load(Warp&, uint32_t lane, uint32_t at, unsigned bytes, bool strong);
void watch_loads(Warp&, uint32_t mask, const Places&, unsigned bytes, bool strong);
void watch_store(Warp&, uint32_t lane, uint32_t at, unsigned bytes, bool strong, const void* value);
// A store to global memory, and its bytes: has another block written or read there?
void watch_global_store(Warp&, uint32_t lane, uint64_t address, unsigned bytes, const void* value);
inline bool watched(Warp& w) { return w.block->shared.granule() != 0; }

}  // namespace sim
