// Reduction, tiled product, scatter with atomics, histogram, and what else ordinary CUDA C++ makes: switches, calls that
// are not inlined, local arrays, constants.
#include <cstdint>

extern "C" __global__ void reduce_sum(const float* x, float* out, int n) {
  __shared__ float part[32];
  float s = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  for (int o = 16; o > 0; o >>= 1) s += __shfl_down_sync(0xffffffffu, s, o);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
  __syncthreads();
  if (threadIdx.x < 32) {
    s = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0;
    for (int o = 16; o > 0; o >>= 1) s += __shfl_xor_sync(0xffffffffu, s, o);
    if (threadIdx.x == 0) out[blockIdx.x] = s;
  }
}

extern "C" __global__ void gemm_tiled(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float as[16][17], bs[16][17];
  int row = blockIdx.y * 16 + threadIdx.y, col = blockIdx.x * 16 + threadIdx.x;
  float sum = 0;
  for (int t = 0; t < k; t += 16) {
    as[threadIdx.y][threadIdx.x] = row < m && t + threadIdx.x < k ? a[row * k + t + threadIdx.x] : 0;
    bs[threadIdx.y][threadIdx.x] = col < n && t + threadIdx.y < k ? b[(t + threadIdx.y) * n + col] : 0;
    __syncthreads();
    for (int i = 0; i < 16; ++i) sum += as[threadIdx.y][i] * bs[i][threadIdx.x];
    __syncthreads();
  }
  if (row < m && col < n) c[row * n + col] = sum;
}

extern "C" __global__ void histogram(const uint8_t* x, unsigned* bins, int n) {
  __shared__ unsigned local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[x[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    if (local[i]) atomicAdd(&bins[i], local[i]);
}

extern "C" __global__ void scatter_add(const float* g, const int* index, float* out, int rows, int width) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < rows * width) atomicAdd(&out[index[i / width] * width + i % width], g[i]);
}

__constant__ float table[8] = {1, 2, 4, 8, 16, 32, 64, 128};

struct Pair {
  int a;
  float b[3];
};

__noinline__ __device__ float helper(float x, Pair p, int* out) {
  *out = p.a + 1;
  return x * p.b[p.a % 3];
}
__noinline__ __device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

extern "C" __global__ void odds_and_ends(const float* x, float* out, int n, Pair p) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int local[8];
  for (int k = 0; k < 8; ++k) local[k] = k * i;
  int extra;
  float v = helper(x[i], p, &extra);
  v += local[(i + extra) & 7] + table[i & 7] + fibonacci(i % 10);
  switch (i % 7) {
    case 0: v += 1; break;
    case 1: v *= 2; break;
    case 2: v = sqrtf(fabsf(v)); break;
    case 3: v = -v; break;
    case 4: v = v / 3; break;
    case 5: v = floorf(v); break;
    default: v = fmodf(v, 5.0f);
  }
  out[i] = v + sinf(x[i]) + expf(-fabsf(x[i])) + logf(1 + fabsf(x[i])) + static_cast<float>(erf(static_cast<double>(x[i])));
}
