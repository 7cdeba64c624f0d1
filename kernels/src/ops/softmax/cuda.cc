#include "cuda.h"

#include "../../cuda/host_rows.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "softmax";
constexpr int64_t kMostThreads = 512;

void forward(const Args& a, Launch& launch, const char* name) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Softmax p{x.data, y.data, x.size(-1), row_form(x), row_form(y), row_walk({&x})};
  launch.kernel(kFamily, KernelName(name, x.dtype), p.rows.numel, row_threads(x, kMostThreads), p);
}

void backward(const Args& a, Launch& launch, const char* name) {
  const Operand &g = a.in[0], &y = a.in[1], &dx = a.out[0];
  const SoftmaxBackward p{g.data,      y.data,      dx.data,      g.size(-1),
                          row_form(g), row_form(y), row_form(dx), row_walk({&g, &y})};
  launch.kernel(kFamily, KernelName(name, g.dtype), p.rows.numel, row_threads(g, kMostThreads), p);
}

}  // namespace

void run_softmax(const Args& a, Launch& launch) { forward(a, launch, "softmax"); }
void run_log_softmax(const Args& a, Launch& launch) { forward(a, launch, "log_softmax"); }
void run_softmax_backward(const Args& a, Launch& launch) { backward(a, launch, "softmax_backward"); }
void run_log_softmax_backward(const Args& a, Launch& launch) { backward(a, launch, "log_softmax_backward"); }

}  // namespace shakti::cuda
