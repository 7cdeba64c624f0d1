// Matrix products: tensor cores for bf16 and f16 (tensor_product.cuh), tiles of multiply-adds for f32, f64 and whatever
// lies in an order that those cannot take, and few rows of a against all of b for decoding.
#include "tensor_product.cuh"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/reduce.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#include "warpgroup_product.cuh"
#endif

namespace shakti::cuda {
namespace {

// 64 x 64 of y by 256 threads, 4 x 4 a thread, 16 of the depth at a time; any strides.
template <class T, class Y>
__device__ __forceinline__ void tiled_product(const Product& p) {
  using C = compute_t<T>;
  constexpr int B = 64, BK = 16;
  __shared__ alignas(16) C ta[BK][B + 4], tb[BK][B + 4];
  const BlockPlace block = block_place(p);
  const int64_t piece = block.piece, i0 = block.row * B, j0 = block.column * B;
  const BatchPlace place = batch_place(p, block.batch);
  const int64_t k0 = piece * p.piece, k1 = k0 + p.piece < p.k ? k0 + p.piece : p.k;
  const T* a = static_cast<const T*>(p.a.data) + place.a;
  const T* b = static_cast<const T*>(p.b.data) + place.b;
  const int ti = threadIdx.x / 16 * 4, tj = threadIdx.x % 16 * 4;
  C sums[4][4] = {};
  for (int64_t k = k0; k < k1; k += BK) {
    // Neighbouring threads read along what lies in order.
#pragma unroll
    for (int e = threadIdx.x; e < B * BK; e += 256) {
      const int ka = p.a_by_rows ? e % BK : e / B, i = p.a_by_rows ? e / BK : e % B;
      const int kb = p.b_by_rows ? e / B : e % BK, j = p.b_by_rows ? e % B : e / BK;
      ta[ka][i] = i0 + i < p.m && k + ka < k1 ? load(a[(i0 + i) * p.a.row + (k + ka) * p.a.column]) : C(0);
      tb[kb][j] = j0 + j < p.n && k + kb < k1 ? load(b[(k + kb) * p.b.row + (j0 + j) * p.b.column]) : C(0);
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < BK; ++d) {
      C u[4], v[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        u[e] = ta[d][ti + e];
        v[e] = tb[d][tj + e];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += u[i] * v[j];
      }
    }
    __syncthreads();
  }
  // One of the four rows of each thread at a time, so that the way out is not written out sixteen times.
  C(*out)[B + 4] = ta;  // [16][64]
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 4; ++j) out[ti / 4][tj + j] = sums[i][j];
    __syncthreads();
    constexpr int N = kRun<Y>;
#pragma unroll 1
    for (int e = threadIdx.x * N; e < 16 * B; e += 256 * N) {
      C run[N];
      load_run(run, &out[e / B][e % B], 1, N, true);
      put_sums<T, Y>(p, place, piece, i0 + e / B * 4 + i, j0 + e % B, run);
    }
  }
}

// Few rows of a: a warp for a column of b, whose k lies in order and is read once, 16 bytes a lane; rows of a come from
// the caches.
constexpr int kFewRows = 8;
template <class T, class Y>
__device__ __forceinline__ void few_rows(const Product& p) {
  using C = compute_t<T>;
  constexpr int N = Pack<T>::size;
  const BlockPlace block = block_place(p);
  const int64_t piece = block.piece, j = block.column * (blockDim.x / 32) + threadIdx.x / 32;
  const BatchPlace place = batch_place(p, block.batch);
  if (j >= p.n) return;
  const int64_t k0 = piece * p.piece, k1 = k0 + p.piece < p.k ? k0 + p.piece : p.k;
  const T* a = static_cast<const T*>(p.a.data) + place.a;
  const T* b = static_cast<const T*>(p.b.data) + place.b + j * p.b.column;
  C sums[kFewRows] = {};
  for (int64_t k = k0 + threadIdx.x % 32 * N; k < k1; k += 32 * N) {
    // k0 and k1 are multiples of N, as the launcher sees to.
    const Pack<T> w = *reinterpret_cast<const Pack<T>*>(b + k);
#pragma unroll
    for (int i = 0; i < kFewRows; ++i) {
      if (i >= p.m) break;
      const Pack<T> x = *reinterpret_cast<const Pack<T>*>(a + i * p.a.row + k);
#pragma unroll
      for (int e = 0; e < N; ++e) sums[i] += load(x.v[e]) * load(w.v[e]);
    }
  }
  // Lane i takes row i's.
  const int lane = threadIdx.x % 32;
  C mine = 0;
#pragma unroll
  for (int i = 0; i < kFewRows; ++i) {
    const C all = warp_reduce(sums[i], Sum());
    if (lane == i) mine = all;
  }
  if (lane < p.m) put_sum<T, Y>(p, place, piece, lane, j, mine);
}

// Few rows of x against a packed weight, which p.b stands for: a warp for a panel, a lane for each of its 32 rows,
// whose words lie side by side.
template <class T, class Y>
__device__ __forceinline__ void packed_rows(const Product& p) {
  constexpr int kPanel = 32, N = 4 / sizeof(T);  // elements of a word
  const int lane = threadIdx.x % 32;
  const int64_t panel = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32,
                j = panel * kPanel + lane;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kFewRows;
  if (panel * kPanel >= p.n) return;
  struct alignas(4) Word {
    T v[N];
  };
  const Word* words = static_cast<const Word*>(p.b.data) + panel * kPanel * p.b.row + lane;
  const T* x = static_cast<const T*>(p.a.data) + first * p.a.row;
  float sums[kFewRows] = {};
  for (int64_t k = 0; k < p.k; k += N) {
    const Word w = words[k / N * kPanel];
#pragma unroll
    for (int i = 0; i < kFewRows; ++i) {
      if (first + i >= p.m) break;
#pragma unroll
      for (int e = 0; e < N; ++e)
        if (k + e < p.k) sums[i] += load(x[i * p.a.row + (k + e) * p.a.column]) * load(w.v[e]);
    }
  }
  if (j >= p.n) return;
  const BatchPlace place = batch_place(p, 0);
#pragma unroll
  for (int i = 0; i < kFewRows; ++i) {
    if (first + i >= p.m) break;
    put_sum<T, Y>(p, place, 0, first + i, j, sums[i]);
  }
}

// Places of a packed weight, its filling too; E has the bits of an element.
template <class E>
__device__ __forceinline__ void pack_weight(const PackWeight& p) {
  constexpr int kPanel = 32, N = 4 / sizeof(E);
  const int64_t all = (p.n + kPanel - 1) / kPanel * kPanel * p.words * N;
  for (int64_t t = thread_of_grid(); t < all; t += threads_of_grid()) {
    const int64_t row = t / N / p.words / kPanel * kPanel + t / N % kPanel, k = t / N / kPanel % p.words * N + t % N;
    static_cast<E*>(p.packed)[t] = row < p.n && k < p.k ? static_cast<const E*>(p.w)[row * p.row + k * p.column] : E{0};
  }
}

// From `packed` to w, contiguous.
template <class E>
__device__ __forceinline__ void unpack_weight(const PackWeight& p) {
  constexpr int kPanel = 32, N = 4 / sizeof(E);
  for (int64_t t = thread_of_grid(); t < p.n * p.k; t += threads_of_grid()) {
    const int64_t row = t / p.k, k = t % p.k;
    static_cast<E*>(const_cast<void*>(p.w))[t] =
        static_cast<const E*>(p.packed)[((row / kPanel * p.words + k / N) * kPanel + row % kPanel) * N + k % N];
  }
}

// Pieces of the depth in their order.
template <class T, class Y>
__device__ __forceinline__ void add_pieces(const Product& p) {
  const int64_t all = p.batches * p.m * p.n;
  for (int64_t t = thread_of_grid(); t < all; t += threads_of_grid()) {
    const BatchPlace place = batch_place(p, t / (p.m * p.n));
    float sum = 0;
    for (int64_t piece = 0; piece < p.pieces; ++piece) sum += p.partial[piece * all + t];
    float one[1] = {sum};
    finish_sums<T, Y>(p, place, t / p.n % p.m, t % p.n, one);
  }
}

}  // namespace

extern "C" {

// The dtype of a and b, then y's.
#define TILED(t, T, y, Y) \
  __global__ void __launch_bounds__(256) tiled_##t##_##y(const __grid_constant__ Product p) { tiled_product<T, Y>(p); }
#define ALL_OF(t, T, y, Y)                                                                     \
  TILED(t, T, y, Y)                                                                            \
  __global__ void few_rows_##t##_##y(const __grid_constant__ Product p) { few_rows<T, Y>(p); } \
  __global__ void add_pieces_##t##_##y(const __grid_constant__ Product p) { add_pieces<T, Y>(p); }
TILED(f64, double, f64, double)
ALL_OF(f32, float, f32, float)
ALL_OF(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
ALL_OF(bf16, shakti::cuda::bf16, f32, float)
ALL_OF(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
ALL_OF(f16, shakti::cuda::f16, f32, float)

__global__ void packed_rows_f32_f32(const __grid_constant__ Product p) { packed_rows<float, float>(p); }
__global__ void packed_rows_bf16_bf16(const __grid_constant__ Product p) {
  packed_rows<shakti::cuda::bf16, shakti::cuda::bf16>(p);
}
__global__ void packed_rows_bf16_f32(const __grid_constant__ Product p) { packed_rows<shakti::cuda::bf16, float>(p); }
__global__ void pack_weight_16(const __grid_constant__ PackWeight p) { pack_weight<uint16_t>(p); }
__global__ void pack_weight_32(const __grid_constant__ PackWeight p) { pack_weight<uint32_t>(p); }
__global__ void unpack_weight_16(const __grid_constant__ PackWeight p) { unpack_weight<uint16_t>(p); }
__global__ void unpack_weight_32(const __grid_constant__ PackWeight p) { unpack_weight<uint32_t>(p); }

// How a and b lie: n for rows in order (k of a, n of b), t for the other way.
#define TENSOR_AS(t, T, y, Y, name, rows_a, rows_b)                                                              \
  __global__ void __launch_bounds__(256, 2) tensor_large_##name##_##t##_##y(const __grid_constant__ Product p) { \
    tensor_product<T, Y, 128, 128, 2, 4, rows_a, rows_b>(p);                                                     \
  }                                                                                                              \
  __global__ void __launch_bounds__(128, 4) tensor_small_##name##_##t##_##y(const __grid_constant__ Product p) { \
    tensor_product<T, Y, 64, 64, 2, 2, rows_a, rows_b>(p);                                                       \
  }
#define TENSOR(t, T, y, Y)               \
  TENSOR_AS(t, T, y, Y, nn, true, true)  \
  TENSOR_AS(t, T, y, Y, nt, true, false) \
  TENSOR_AS(t, T, y, Y, tn, false, true) \
  TENSOR_AS(t, T, y, Y, tt, false, false)
TENSOR(f32, float, f32, float)
TENSOR(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
TENSOR(bf16, shakti::cuda::bf16, f32, float)
TENSOR(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
TENSOR(f16, shakti::cuda::f16, f32, float)

// For compute capability 9.0 and no other: sm_90a alone has these instructions.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WARPGROUP_AS(t, T, y, Y, name, rows_a, rows_b)                           \
  __global__ void __launch_bounds__(kWarpgroupThreads, 1)                        \
      warpgroup_##name##_##t##_##y(const __grid_constant__ WarpgroupProduct w) { \
    warpgroup_product<T, Y, rows_a, rows_b>(w);                                  \
  }
#define WARPGROUP(t, T, y, Y)               \
  WARPGROUP_AS(t, T, y, Y, nn, true, true)  \
  WARPGROUP_AS(t, T, y, Y, nt, true, false) \
  WARPGROUP_AS(t, T, y, Y, tn, false, true) \
  WARPGROUP_AS(t, T, y, Y, tt, false, false)
WARPGROUP(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
WARPGROUP(bf16, shakti::cuda::bf16, f32, float)
WARPGROUP(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
WARPGROUP(f16, shakti::cuda::f16, f32, float)
#endif

}  // extern "C"
}  // namespace shakti::cuda
