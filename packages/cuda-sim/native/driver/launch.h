// Kernels and host functions as work.
#pragma once
#include "module.h"
#include "state.h"

namespace sim {

struct KernelWork : Work {
  Callable callable;
  Launch launch;
  mutable std::vector<void*> pointers;  // into launch.params, for those who ask a graph's node
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_KERNEL; }
  CUresult run(Context&) const override;
};

struct HostWork : Work {
  CUhostFn function = nullptr;
  void* data = nullptr;
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_HOST; }
  bool calls_host() const override { return true; }
  CUresult run(Context&) const override {
    function(data);
    return CUDA_SUCCESS;
  }
};

struct LaunchShape {
  Dim3 grid, block, cluster{0, 0, 0};
  unsigned shared = 0;
  bool cooperative = false;
};
// Checks all that a driver checks, and copies the parameters.
CUresult make_kernel(Context&, const void* function, const LaunchShape&, void** params, void** extra,
                     std::shared_ptr<KernelWork>*);

}  // namespace sim
