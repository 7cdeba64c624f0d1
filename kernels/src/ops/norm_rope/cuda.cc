#include "cuda.h"

#include "../../cuda/host_heads.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "norm_rope";

// Heads whose gradients of the weight one warp adds up: the order of addition depends on their number alone.
int64_t heads_of_part(int64_t heads) { return std::max<int64_t>(16, blocks_of(heads, 4096)); }

}  // namespace

void run_norm_rope(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &weight = a.in[1];
  const NormRope p{heads_of(x), heads_of(a.out[0]), head_sizes(x), angles_of(a.in[2], a.in[3]),
                   weight.data, a.out[1].data,      a.attr(0)};
  launch.kernel(kFamily, KernelName("norm_rope", x.dtype, weight.present() ? weight.dtype : x.dtype),
                grid_for(launch, p.sizes.count * 32), kThreads, p);
}

void run_norm_rope_backward(const Args& a, Launch& launch) {
  const Operand &g = a.in[0], &x = a.in[1], &weight = a.in[2], &dweight = a.out[1];
  const NormRopeBackward p{heads_of(g),
                           heads_of(x),
                           heads_of(a.out[0]),
                           head_sizes(x),
                           angles_of(a.in[4], a.in[5]),
                           weight.data,
                           a.in[3].data,
                           dweight.present() ? a.workspace : nullptr,
                           heads_of_part(x.numel() / x.shape[3])};
  const int64_t parts = blocks_of(p.sizes.count, p.heads_of_part);
  launch.kernel(kFamily, KernelName("norm_rope_backward", x.dtype, weight.present() ? weight.dtype : x.dtype),
                blocks_of(parts, kWarps), kThreads, p);
  if (!dweight.present()) return;
  const NormRopeSums q{a.workspace, dweight.data, p.sizes.d, parts};
  launch.kernel(kFamily, KernelName("norm_rope_sums", dweight.dtype), blocks_of(q.d, kThreads), kThreads, q);
}

size_t workspace_norm_rope_backward(const Args& a) {
  const Operand& x = a.in[1];
  const int64_t d = x.shape[3], heads = x.numel() / d;
  return static_cast<size_t>(blocks_of(heads, heads_of_part(heads)) * d) * dtype_size(statistics_of(x.dtype));
}

}  // namespace shakti::cuda
