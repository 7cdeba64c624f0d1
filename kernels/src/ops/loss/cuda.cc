#include "cuda.h"

#include "../../cuda/host_rows.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "loss";
constexpr int64_t kMostThreads = 512;

Targets targets_of(const Operand& target, const Operand& logits, const Args& a) {
  return {target.data, target.strides[0], target.dtype == DType::i64, logits.shape[1], a.attr_int(0)};
}

}  // namespace

void run_cross_entropy(const Args& a, Launch& launch) {
  const Operand& x = a.in[0];
  const CrossEntropy p{x.data,        x.strides[0],  row_form(x), targets_of(a.in[1], x, a),
                       a.out[0].data, a.out[1].data, a.attr(1),   launch.reporter()};
  launch.kernel(kFamily, KernelName("cross_entropy", x.dtype), x.shape[0], row_threads(x, kMostThreads), p);
}

void run_cross_entropy_backward(const Args& a, Launch& launch) {
  const Operand &g = a.in[0], &x = a.in[1], &lse = a.in[3], &dx = a.out[0];
  const CrossEntropyBackward p{g.data,       x.data,       lse.data,
                               g.strides[0], x.strides[0], lse.strides[0],
                               row_form(x),  row_form(dx), targets_of(a.in[2], x, a),
                               dx.data,      a.attr(1),    launch.reporter()};
  launch.kernel(kFamily, KernelName("cross_entropy_backward", x.dtype), x.shape[0], row_threads(x, kMostThreads), p);
}

}  // namespace shakti::cuda
