// How a product is cut: the one place that both the workspace's size and the kernel read.
#pragma once
#include <cstdint>

#include "../../runtime/dtype.h"

namespace shakti {
namespace matmul {

constexpr int64_t kPanel = 32;  // columns of b are padded to this: the widest register tile of all instruction sets

struct Blocking {
  int64_t kc;  // depth of a block
  int64_t nc;  // columns of b packed at a time
  int64_t mc;  // rows of a task

  SHAKTI_INLINE Blocking(int64_t m, int64_t n, int64_t k, bool f32) {
    // Only f32 can add up in y itself; the others sum over the whole depth in registers.
    kc = f32 && k > 512 ? 512 : (k > 0 ? k : 1);
    nc = (1 << 20) / kc / kPanel * kPanel;  // 4 MiB of b
    if (nc < kPanel) nc = kPanel;
    const int64_t columns = (n + kPanel - 1) / kPanel * kPanel;
    if (nc > columns) nc = columns > 0 ? columns : kPanel;
    mc = (192 << 10) / kc;  // 768 KiB of a in the thread's scratch memory at most, half an L2
    mc = mc > 96 ? 96 : mc / 12 * 12;
    if (mc < 12) mc = 12;
    (void)m;
  }
};

}  // namespace matmul
}  // namespace shakti
