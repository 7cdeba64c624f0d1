#include "cuda.h"

#include "../../cuda/host_rows.h"

namespace shakti::cuda {
namespace {

constexpr int64_t kMostThreads = 512;

int64_t padded(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

void order(const Args& a, Launch& launch, bool descending) {
  const Operand &x = a.in[0], &values = a.out[0];
  const int64_t n = x.size(-1);
  const Sort p{x.data,
               values.data,
               a.out[1].ptr<int32_t>(),
               static_cast<SortItem*>(a.workspace),
               n,
               padded(n),
               values.size(-1),
               descending,
               x.stride(-1),
               row_walk({&x})};
  launch.kernel("sort", KernelName("sort", x.dtype), p.rows.numel, std::min(kMostThreads, blocks_of(p.padded, 64) * 32),
                p);
}

size_t workspace(const Args& a) {
  const Operand& x = a.in[0];
  const int64_t n = x.size(-1);
  return n > 0 ? static_cast<size_t>(x.numel() / n * padded(n)) * sizeof(SortItem) : 0;
}

}  // namespace

void run_sort(const Args& a, Launch& launch) { order(a, launch, a.attr_bool(0)); }
void run_topk(const Args& a, Launch& launch) { order(a, launch, a.attr_bool(0)); }
size_t workspace_sort(const Args& a) { return workspace(a); }
size_t workspace_topk(const Args& a) { return workspace(a); }

}  // namespace shakti::cuda
