#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "random";

void draw(const Args& a, Launch& launch, const char* name, Draw p) {
  const Operand& y = a.out[0];
  p.y = y.data;
  p.n = y.numel();
  p.start = launch.random_start(a, 0);
  launch.kernel(kFamily, KernelName(name, y.dtype), grid_for(launch, blocks_of(p.n, 4)), kThreads, p);
}

}  // namespace

void run_uniform(const Args& a, Launch& launch) {
  draw(a, launch, "uniform", {nullptr, 0, {}, a.attr(3), a.attr(4) - a.attr(3), 0, 0});
}
void run_normal(const Args& a, Launch& launch) {
  draw(a, launch, "normal", {nullptr, 0, {}, a.attr(3), a.attr(4), 0, 0});
}
void run_truncated_normal(const Args& a, Launch& launch) {
  draw(a, launch, "truncated_normal", {nullptr, 0, {}, a.attr(3), a.attr(4), a.attr(5), a.attr(6)});
}

void run_randint(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  const DrawIntegers p{y.data, y.numel(), launch.random_start(a, 0), a.attr_int(3),
                       static_cast<uint64_t>(a.attr_int(4) - a.attr_int(3))};
  launch.kernel(kFamily, KernelName("randint", y.dtype), grid_for(launch, p.n), kThreads, p);
}

size_t workspace_permutation(const Args& a) { return static_cast<size_t>(a.out[0].numel()) * sizeof(int32_t); }
void run_permutation(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  const Permutation p{y.ptr<int32_t>(), static_cast<int32_t*>(a.workspace), y.numel(), launch.random_start(a, 0)};
  launch.kernel(kFamily, "permutation_partners", grid_for(launch, p.n), kThreads, p);
  launch.kernel(kFamily, "permutation_swaps", 1, 1, p);
}

size_t workspace_multinomial(const Args& a) { return static_cast<size_t>(a.in[0].numel()) * sizeof(double); }
void run_multinomial(const Args& a, Launch& launch) {
  const Operand &weights = a.in[0], &y = a.out[0];
  const int64_t classes = weights.size(-1);
  const Multinomial p{weights.data, y.ptr<int32_t>(), static_cast<double*>(a.workspace), weights.numel() / classes,
                      classes,      y.size(-1),       launch.random_start(a, 1),         launch.reporter()};
  const char* name = a.attr_bool(0) ? "multinomial_again" : "multinomial_once";
  launch.kernel(kFamily, KernelName(name, weights.dtype), p.rows, std::min<int64_t>(1024, blocks_of(classes, 32) * 32),
                p);
}

void run_dropout(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Dropout p{x.data, y.data, a.attr(0), launch.random_start(a, 1), walk({&x})};
  launch.kernel(kFamily, KernelName("dropout", y.dtype), grid_for(launch, blocks_of(p.walk.numel, 4)), kThreads, p);
}

}  // namespace shakti::cuda
