#include "cuda.h"

#include "../../cuda/host_heads.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "norm_rope";

// Heads whose gradients of the weight one warp adds up: the order of addition depends on their number alone.
int64_t heads_of_part(int64_t heads) { return std::max<int64_t>(16, blocks_of(heads, 4096)); }

// Whether both halves of every head can be read four elements at a time, and 32 lanes have them all.
bool in_fours(const Operand& x) {
  bool ok = x.dtype != DType::f64 && x.shape[3] % 8 == 0 && x.shape[3] <= 256 && aligned16(x.data);
  for (int d = 0; d < 3; ++d) ok = ok && (x.shape[d] == 1 || x.strides[d] % 4 == 0);
  return ok;
}

}  // namespace

void run_norm_rope(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &weight = a.in[1], &y = a.out[0];
  NormRope p{heads_of(x), heads_of(y),   head_sizes(x), angles_of(a.in[2], a.in[3]),
             weight.data, a.out[1].data, a.attr(0),     0};
  const DType of_weight = weight.present() ? weight.dtype : x.dtype;
  if (in_fours(x) && in_fours(y) && aligned16(weight.data) && aligned16(a.in[2].data) && aligned16(a.in[3].data)) {
    while (8 << p.log2_lanes < p.sizes.d) ++p.log2_lanes;
    launch.kernel(kFamily, KernelName("norm_rope_packed", x.dtype, of_weight),
                  grid_for(launch, p.sizes.count << p.log2_lanes), kThreads, p);
    return;
  }
  launch.kernel(kFamily, KernelName("norm_rope", x.dtype, of_weight), grid_for(launch, p.sizes.count * 32), kThreads,
                p);
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
