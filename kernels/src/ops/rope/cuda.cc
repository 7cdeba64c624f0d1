#include "cuda.h"

#include "../../cuda/host_heads.h"

namespace shakti::cuda {

void run_rope(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Rope p{heads_of(x), heads_of(y), head_sizes(x), angles_of(a.in[1], a.in[2]), a.attr_bool(0) ? -1.0f : 1.0f};
  launch.kernel("rope", KernelName("rope", x.dtype), grid_for(launch, p.sizes.count * 32), kThreads, p);
}

}  // namespace shakti::cuda
