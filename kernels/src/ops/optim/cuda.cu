// AdamW and the gradient norm over lists of tensors, a block for a chunk of one.
#include "cuda.h"

#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"

namespace shakti::cuda {
namespace {

// The tensor that chunk c of the launch belongs to.
template <class Table>
__device__ __forceinline__ int tensor_of(const Table& p, int64_t c) {
  int low = 0, high = p.count - 1;
  while (low < high) {
    const int mid = (low + high + 1) / 2;
    if (p.tensors[mid].first <= c)
      low = mid;
    else
      high = mid - 1;
  }
  return low;
}

template <class T>
__device__ __forceinline__ void squares(const GlobalNorm& p) {
  __shared__ double shared[32];
  const NormTensor& t = p.tensors[tensor_of(p, blockIdx.x)];
  const T* x = static_cast<const T*>(t.x);
  const int64_t begin = (blockIdx.x - t.first) * kChunk, end = begin + kChunk < t.n ? begin + kChunk : t.n;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const double v = static_cast<double>(load(x[i]));
    sum += v * v;
  }
  sum = block_reduce(sum, Sum(), shared);
  if (threadIdx.x == 0) p.sums[blockIdx.x] = sum;
}

}  // namespace

extern "C" {

__global__ void __launch_bounds__(256) adamw(const __grid_constant__ AdamW p) {
  const double rate = p.rate ? *p.rate : p.lr, step = p.step ? *p.step : p.step_number;
  if (!(rate >= 0) || isinf(rate)) {
    if (threadIdx.x == 0) p.reporter.say(Wrong::rate, 0, 0, 0, 0, rate);
    return;
  }
  if (!(step >= 1)) {
    if (threadIdx.x == 0) p.reporter.say(Wrong::step, 0, 0, 0, 0, step);
    return;
  }
  // A gradient that is not finite changes nothing: the run can stop, name the bad module and keep what it has.
  const float scale = p.scale ? *p.scale : 1.0f;
  if (!isfinite(scale)) return;
  __shared__ float corrections[2];
  if (threadIdx.x == 0) {
    corrections[0] = static_cast<float>(1 / (1 - pow(p.beta1, step)));
    corrections[1] = static_cast<float>(1 / (1 - pow(p.beta2, step)));
  }
  __syncthreads();
  const float c1 = corrections[0], c2 = corrections[1];
  const float lr = static_cast<float>(rate), b1 = static_cast<float>(p.beta1), b2 = static_cast<float>(p.beta2);
  const float eps = static_cast<float>(p.eps), decay = static_cast<float>(1 - rate * p.weight_decay);
  const AdamWTensor& t = p.tensors[tensor_of(p, blockIdx.x)];
  const int64_t begin = (blockIdx.x - t.first) * kChunk, end = begin + kChunk < t.n ? begin + kChunk : t.n;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float g = (t.short_gradient ? load(static_cast<const bf16*>(t.g)[i]) : static_cast<const float*>(t.g)[i]) * scale;
    const float m = t.m[i] * b1 + g * (1 - b1), v = t.v[i] * b2 + g * g * (1 - b2);
    const float w = t.p[i] * decay - m * c1 * lr / (sqrtf(v * c2) + eps);
    t.m[i] = m;
    t.v[i] = v;
    t.p[i] = w;
    if (t.copy) static_cast<bf16*>(t.copy)[i] = store<bf16>(w);
  }
}

#define SQUARES(t, T) \
  __global__ void squares_##t(const __grid_constant__ GlobalNorm p) { squares<T>(p); }
SHAKTI_FLOATS(SQUARES)

// One block: each thread its own sums in order, then the threads.
__global__ void global_norm(const __grid_constant__ GlobalNormSum p) {
  __shared__ double shared[32];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < p.chunks; i += blockDim.x) sum += p.sums[i];
  sum = block_reduce(sum, Sum(), shared);
  if (threadIdx.x == 0) *p.y = static_cast<float>(sqrt(sum));
}

}  // extern "C"
}  // namespace shakti::cuda
