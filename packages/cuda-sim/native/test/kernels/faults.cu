// Kernels that are wrong, one fault each, and a few that look wrong and are not.
#include <cassert>
#include <cstdint>

#define KERNEL extern "C" __global__ void

KERNEL off_by_one(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[i];
}
KERNEL before_start(const float* x, float* y, int n) {
  int i = threadIdx.x;
  if (i < n) y[i] = x[i - 1];
}
KERNEL shared_off_by_one(float* y) {
  __shared__ float a[64], b[64];
  a[threadIdx.x] = 1;
  b[threadIdx.x] = 2;
  __syncthreads();
  y[threadIdx.x] = a[threadIdx.x + 1] + b[threadIdx.x];
}
KERNEL dynamic_too_small(float* y) {
  extern __shared__ float d[];
  d[threadIdx.x] = 1;
  y[threadIdx.x] = d[threadIdx.x];
}
KERNEL copy(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}
KERNEL blocks_overlap(float* y, int step) { y[blockIdx.x * step + threadIdx.x] = blockIdx.x; }
KERNEL blocks_write_the_same(float* y) { y[threadIdx.x] = 3; }
KERNEL reads_a_neighbour(float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float left = i > 0 ? y[i - 1] : 0;
  __syncthreads();
  y[i] = left + 1;
}
KERNEL missing_barrier(const float* x, float* y) {
  __shared__ float s[128];
  s[threadIdx.x] = 0;
  __syncthreads();
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[127 - threadIdx.x];
}
KERNEL missing_second_barrier(const float* x, float* y, int rounds) {
  __shared__ float s[128];
  float sum = 0;
  for (int r = 0; r < rounds; ++r) {
    s[threadIdx.x] = x[threadIdx.x] + r;
    __syncthreads();
    sum += s[127 - threadIdx.x];
  }
  y[threadIdx.x] = sum;
}
KERNEL missing_syncwarp(const float* x, float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[31 - threadIdx.x];
}
KERNEL with_syncwarp(const float* x, float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = s[31 - threadIdx.x];
}
KERNEL same_place(float* y) {
  __shared__ int s;
  s = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = s;
}
KERNEL same_value(int* y, int n) {
  __shared__ int s[2];
  s[n] = 7;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x * n];
}
KERNEL atomics_in_shared(int* y) {
  __shared__ int s;
  if (threadIdx.x == 0) s = 0;
  __syncthreads();
  atomicAdd(&s, threadIdx.x);
  __syncthreads();
  y[threadIdx.x] = s;
}
KERNEL atomics_not_awaited(int* y) {
  __shared__ int s;
  if (threadIdx.x == 0) s = 0;
  __syncthreads();
  atomicAdd(&s, threadIdx.x);
  y[threadIdx.x] = s;
}
KERNEL shared_not_written(float* y) {
  __shared__ float s[64];
  if (threadIdx.x < 63) s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
KERNEL local_not_written(float* y, int n, int k) {
  float a[16];
  for (int i = 0; i < n; ++i) a[i * k % 16] = i;
  y[threadIdx.x] = a[(threadIdx.x + k) % 16];
}
KERNEL vector_load(const float* x, float4* y, int shift) { y[threadIdx.x] = *(const float4*)(x + shift + threadIdx.x * 4); }
KERNEL shuffle_of_absent(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x < 16) v += __shfl_down_sync(0xffff, v, 8);
  y[threadIdx.x] = v;
}
KERNEL shuffle_in_branch(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 2 == 0)
    v += __shfl_xor_sync(~0u, v, 2);
  __syncthreads();
  y[threadIdx.x] = v;
}
KERNEL shuffle_not_member(const float* x, float* y) {
  y[threadIdx.x] = __shfl_xor_sync(0xffff, x[threadIdx.x], 1);
}
KERNEL shuffle_of_half(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x < 16)
    v += __shfl_xor_sync(0xffff, v, 8);
  else
    v -= __shfl_xor_sync(0xffff0000, v, 8);
  y[threadIdx.x] = v;
}
KERNEL barrier_in_branch(float* y) {
  __shared__ float s[64];
  if (threadIdx.x < 16) {
    s[threadIdx.x] = 1;
    __syncthreads();
  } else {
    s[threadIdx.x] = 2;
  }
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
KERNEL barrier_for_some_warps(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = 2;
}
KERNEL left_before_barrier(float* y, int n) {
  if (threadIdx.x >= n) return;
  y[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] += 2;
}
KERNEL copy_not_awaited(const float* x, float* y) {
  __shared__ __align__(16) float s[128];
  uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(&s[threadIdx.x * 4]));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + threadIdx.x * 4));
  asm volatile("cp.async.commit_group;");
  y[threadIdx.x] = s[threadIdx.x * 4];
  asm volatile("cp.async.wait_group 0;");
}
KERNEL copy_awaited_by_one_stage_too_few(const float* x, float* y) {
  __shared__ __align__(16) float s[2][128];
  for (int k = 0; k < 2; ++k) {
    uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(&s[k][threadIdx.x * 4]));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + threadIdx.x * 4));
    asm volatile("cp.async.commit_group;");
  }
  asm volatile("cp.async.wait_group 1;");
  __syncwarp();
  y[threadIdx.x] = s[0][threadIdx.x * 4] + s[1][threadIdx.x * 4];
}
KERNEL named_barriers(float* y) {  // warp 0 makes, warp 1 takes
  __shared__ float s[32];
  if (threadIdx.x < 32) {
    s[threadIdx.x] = threadIdx.x;
    asm volatile("bar.arrive 1, 64;" ::: "memory");
  } else {
    asm volatile("bar.sync 1, 64;" ::: "memory");
    y[threadIdx.x - 32] = s[63 - threadIdx.x];
  }
}
KERNEL named_barrier_alone(float* y) {
  if (threadIdx.x < 32) asm volatile("bar.sync 1, 64;" ::: "memory");
  y[threadIdx.x] = 1;
}
KERNEL stops_itself(const int* x) {
  if (x[threadIdx.x] == 3) __trap();
}
KERNEL asserts(const int* x) { assert(x[threadIdx.x] != 3); }
KERNEL never_ends(volatile int* x) {
  while (*x == 0) {
  }
}
KERNEL waits_for_a_lower_block(int* flag, float* y) {
  if (threadIdx.x == 0) {
    if (blockIdx.x != gridDim.x - 1)
      while (atomicAdd(&flag[blockIdx.x + 1], 0) == 0) {
      }
    atomicExch(&flag[blockIdx.x], 1);
  }
  __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}
KERNEL lock(int* mutex, int* sum) {  // lanes of a warp wait for each other
  bool done = false;
  while (!done) {
    if (atomicCAS(mutex, 0, 1) == 0) {
      *(volatile int*)sum += 1;
      __threadfence();
      atomicExch(mutex, 0);
      done = true;
    }
  }
}
KERNEL mbarriers(const float* x, float* y) {
  __shared__ uint64_t bar;
  __shared__ __align__(16) float s[256];
  uint32_t b = static_cast<uint32_t>(__cvta_generic_to_shared(&bar));
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(b), "r"(blockDim.x));
  __syncthreads();
  for (int round = 0; round < 2; ++round) {
    uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(&s[threadIdx.x * 4]));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + threadIdx.x * 4));
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(b));
    asm volatile("{\n.reg .pred p;\nagain:\nmbarrier.test_wait.parity.shared.b64 p, [%0], %1;\n@!p bra again;\n}" ::"r"(b), "r"(round) : "memory");
    y[round * blockDim.x + threadIdx.x] = s[255 - threadIdx.x];
    __syncthreads();
  }
}
KERNEL mbarrier_waits_for_ever(float* y) {
  __shared__ uint64_t bar;
  uint32_t b = static_cast<uint32_t>(__cvta_generic_to_shared(&bar));
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(b), "r"(blockDim.x + 1));
  __syncthreads();
  asm volatile("{\n.reg .b64 s;\nmbarrier.arrive.shared.b64 s, [%0];\n}" ::"r"(b));
  asm volatile("{\n.reg .pred p;\nagain:\nmbarrier.test_wait.parity.shared.b64 p, [%0], 0;\n@!p bra again;\n}" ::"r"(b) : "memory");
  y[threadIdx.x] = 1;
}
KERNEL too_many_arrivals(float* y) {
  __shared__ uint64_t bar;
  uint32_t b = static_cast<uint32_t>(__cvta_generic_to_shared(&bar));
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(b), "r"(blockDim.x));
  __syncthreads();
  asm volatile("{\n.reg .b64 s;\nmbarrier.arrive.shared.b64 s, [%0], 3;\n}" ::"r"(b));
  y[threadIdx.x] = 1;
}
