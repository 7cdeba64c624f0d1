// Copies and fills between places of any device and host memory.
#pragma once
#include "state.h"

namespace sim {

// Rows of one end of a copy: at address, `pitch` bytes from row to row, `height` rows from slice to slice.
struct Side {
  Device* device = nullptr;  // null: host memory
  uint64_t address = 0;
  uint64_t pitch = 0, height = 0;
  std::shared_ptr<HostRange> range;  // pinned; null: pageable
};

struct CopyWork : Work {
  Side to, from;
  size_t width = 0, rows = 1, slices = 1;           // width in bytes
  std::shared_ptr<const std::vector<char>> staged;  // the source's bytes at the time of the call, row by row
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_MEMCPY; }
  CUresult run(Context&) const override;
};

struct FillWork : Work {
  Side to;
  unsigned value = 0, element = 1;  // element: 1, 2 or 4 bytes
  size_t width = 0, rows = 1;       // width in elements
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_MEMSET; }
  CUresult run(Context&) const override;
};

// From the API's descriptions; a result other than CUDA_SUCCESS says what is wrong with them.
CUresult make_copy(const CUDA_MEMCPY3D&, std::shared_ptr<CopyWork>*);
CUresult make_fill(const CUDA_MEMSET_NODE_PARAMS&, std::shared_ptr<FillWork>*);
CUDA_MEMCPY3D describe(const CopyWork&);
CUDA_MEMSET_NODE_PARAMS describe(const FillWork&);

// Copies within this process; false where either range cannot be touched, instead of a crash.
bool copy_checked(void* to, const void* from, size_t bytes);

}  // namespace sim
