// Copies of tiles into shared memory by the tensor memory accelerator, and the barriers in shared memory (mbarriers)
// that count their bytes (PTX ISA, sm_90 and later).
#pragma once
#include <cstdint>

#include "../tensor_map.h"

namespace shakti::cuda {

// A phase ends when `arrivals` threads have arrived and all bytes that they announced are there.
__device__ __forceinline__ void barrier_init(unsigned barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// What this thread did to shared memory comes before what copies and products do asynchronously.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void arrive_expecting(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Until the phase of this parity has ended. A fresh barrier is in phase 0; the one before it, of parity 1, has ended.
__device__ __forceinline__ void wait(unsigned barrier, unsigned parity) {
  unsigned done = 0;
  while (!done)
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(barrier), "r"(parity)
                 : "memory");
}

// One tile: from (column, line) of a matrix; what lies outside of it comes as 0, and its bytes count too.
__device__ __forceinline__ void copy_tile(unsigned to, const TensorMap& map, int column, int line, int matrix,
                                          unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];" ::"r"(to),
      "l"(&map), "r"(column), "r"(line), "r"(matrix), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void prefetch(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

}  // namespace shakti::cuda
