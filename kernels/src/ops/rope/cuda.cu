// Rotary embedding, half-split: the pair (i, i + d/2) of every head turns by the angle of its position. A warp for a head.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"

namespace shakti::cuda {
namespace {

template <class T>
__device__ __forceinline__ void rotate(const Rope& p) {
  using C = compute_t<T>;
  const int64_t half = p.sizes.d / 2;
  for (int64_t i = thread_of_grid() / 32; i < p.sizes.count; i += threads_of_grid() / 32) {
    const HeadPlace place = p.sizes.place(i);
    const T* x = head_at<const T>(p.x, place);
    T* y = head_at<T>(p.y, place);
    const int64_t table = angles_at(p.angles, place, p.sizes);
    for (int64_t j = threadIdx.x % 32; j < half; j += 32) {
      const C cs = static_cast<C>(p.angles.cosine[table + j]), sn = static_cast<C>(p.sign * p.angles.sine[table + j]);
      const C u = load(x[j]), v = load(x[j + half]);
      y[j] = store<T>(u * cs - v * sn);
      y[j + half] = store<T>(v * cs + u * sn);
    }
  }
}

}  // namespace

extern "C" {

#define ROPE(t, T) \
  __global__ void rope_##t(const __grid_constant__ Rope p) { rotate<T>(p); }
SHAKTI_FLOATS(ROPE)

}  // extern "C"
}  // namespace shakti::cuda
