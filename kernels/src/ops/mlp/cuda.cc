#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "mlp";

int64_t grid(const Launch& launch, const Operand& y) {
  return grid_for(launch, blocks_of(y.numel(), static_cast<int64_t>(16 / dtype_size(y.dtype))));
}

// All in order and on 16 bytes.
template <int N>
bool packed(const Operand* const (&operands)[N]) {
  return std::all_of(operands, operands + N, [](const Operand* o) { return o->contiguous() && aligned16(o->data); });
}

}  // namespace

void run_swiglu(const Args& a, Launch& launch) {
  const Operand &gate = a.in[0], &up = a.in[1], &y = a.out[0];
  const Swiglu p{gate.data, up.data, y.data, y.numel(), packed({&gate, &up, &y}), walk({&gate, &up})};
  launch.kernel(kFamily, KernelName("swiglu", y.dtype), grid(launch, y), kThreads, p);
}

void run_swiglu_backward(const Args& a, Launch& launch) {
  const Operand &g = a.in[0], &gate = a.in[1], &up = a.in[2], &dgate = a.out[0], &dup = a.out[1];
  const SwigluBackward p{g.data,
                         gate.data,
                         up.data,
                         dgate.data,
                         dup.data,
                         dup.numel(),
                         packed({&g, &gate, &up, &dgate, &dup}),
                         walk({&g, &gate, &up})};
  launch.kernel(kFamily, KernelName("swiglu_backward", dup.dtype), grid(launch, dup), kThreads, p);
}

}  // namespace shakti::cuda
