#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "optim";

}  // namespace

void run_adamw(const Args& a, Launch& launch) {
  const Operand* grads = a.in + 3;
  const int n = a.n_in - 3;
  const bool copies = a.n_out == 4 * n;
  AdamW p{};
  p.scale = a.in[0].ptr<float>();
  p.rate = a.in[1].ptr<double>();
  p.step = a.in[2].ptr<double>();
  p.lr = a.attr(0);
  p.step_number = a.attr(5);
  p.beta1 = a.attr(1);
  p.beta2 = a.attr(2);
  p.eps = a.attr(3);
  p.weight_decay = a.attr(4);
  p.reporter = launch.reporter();
  for (int i = 0; i < n;) {
    int64_t chunks = 0;
    for (p.count = 0; p.count < kTensorsOfLaunch && i < n; ++p.count, ++i) {
      const int64_t size = grads[i].numel();
      p.tensors[p.count] = {grads[i].data,
                            a.out[i].ptr<float>(),
                            a.out[n + i].ptr<float>(),
                            a.out[2 * n + i].ptr<float>(),
                            copies ? a.out[3 * n + i].data : nullptr,
                            size,
                            chunks,
                            grads[i].dtype == DType::bf16};
      chunks += blocks_of(size, kChunk);
    }
    launch.kernel(kFamily, "adamw", chunks, kThreads, p);
  }
}

size_t workspace_global_norm(const Args& a) {
  int64_t chunks = 0;
  for (int i = 0; i < a.n_in; ++i) chunks += blocks_of(a.in[i].numel(), kChunk);
  return static_cast<size_t>(chunks + 1) * sizeof(double);
}

void run_global_norm(const Args& a, Launch& launch) {
  auto* sums = static_cast<double*>(a.workspace);
  int64_t all = 0;
  // A launch has tensors of one dtype.
  for (int i = 0; i < a.n_in;) {
    GlobalNorm p{};
    p.sums = sums + all;
    const DType t = a.in[i].dtype;
    int64_t chunks = 0;
    for (; p.count < kTensorsOfLaunch && i < a.n_in && a.in[i].dtype == t; ++p.count, ++i) {
      p.tensors[p.count] = {a.in[i].data, a.in[i].numel(), chunks};
      chunks += blocks_of(a.in[i].numel(), kChunk);
    }
    launch.kernel(kFamily, KernelName("squares", t), chunks, kThreads, p);
    all += chunks;
  }
  const GlobalNormSum p{sums, all, a.out[0].ptr<float>()};
  launch.kernel(kFamily, "global_norm", 1, kThreads, p);
}

}  // namespace shakti::cuda
