#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "interpolate";

Interpolate resize(const Args& a, const Operand& from, const Operand& to) {
  const Operand &x = a.in[0], &y = a.out[0];
  return {x.data,
          y.data,
          x.shape[0] * x.shape[1],
          x.shape[1],
          {x.strides[0], x.strides[1], x.strides[2], x.strides[3]},
          from.shape[2],
          from.shape[3],
          to.shape[2],
          to.shape[3],
          static_cast<int>(a.attr_int(0)),
          a.attr_bool(1)};
}

}  // namespace

void run_interpolate(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  launch.kernel(kFamily, KernelName("interpolate", y.dtype), grid_for(launch, y.numel()), kThreads,
                resize(a, a.in[0], y));
}

void run_interpolate_backward(const Args& a, Launch& launch) {
  const Operand& dx = a.out[0];
  launch.kernel(kFamily, KernelName("interpolate_backward", dx.dtype), grid_for(launch, dx.numel()), kThreads,
                resize(a, dx, a.in[0]));
}

}  // namespace shakti::cuda
