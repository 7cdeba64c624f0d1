// Code of others, from the toolkit's own headers, whose results are known: CUB's block and warp primitives, cooperative
// groups.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/warp/warp_merge_sort.cuh>

namespace cg = cooperative_groups;

extern "C" __global__ void block_sum(const int* x, int* y) {
  using Reduce = cub::BlockReduce<int, 128>;
  __shared__ typename Reduce::TempStorage room;
  int v = x[blockIdx.x * 128 + threadIdx.x];
  int s = Reduce(room).Sum(v);
  if (threadIdx.x == 0) y[blockIdx.x] = s;
}
extern "C" __global__ void block_scan(const int* x, int* y) {
  using Scan = cub::BlockScan<int, 128>;
  __shared__ typename Scan::TempStorage room;
  int v[4];
  for (int i = 0; i < 4; ++i) v[i] = x[threadIdx.x * 4 + i];
  Scan(room).InclusiveSum(v, v);
  for (int i = 0; i < 4; ++i) y[threadIdx.x * 4 + i] = v[i];
}
extern "C" __global__ void block_sort(const float* x, float* y) {
  using Sort = cub::BlockRadixSort<float, 128, 4>;
  __shared__ typename Sort::TempStorage room;
  float v[4];
  for (int i = 0; i < 4; ++i) v[i] = x[threadIdx.x * 4 + i];
  Sort(room).Sort(v);
  for (int i = 0; i < 4; ++i) y[threadIdx.x * 4 + i] = v[i];
}
extern "C" __global__ void warp_sort(const int* x, int* y) {
  using Sort = cub::WarpMergeSort<int, 4, 32>;
  __shared__ typename Sort::TempStorage room;
  int v[4];
  for (int i = 0; i < 4; ++i) v[i] = x[threadIdx.x * 4 + i];
  Sort(room).Sort(v, [](int a, int b) { return a < b; });
  for (int i = 0; i < 4; ++i) y[threadIdx.x * 4 + i] = v[i];
}
extern "C" __global__ void tiles(const int* x, int* y) {
  auto block = cg::this_thread_block();
  auto tile = cg::tiled_partition<8>(block);
  int v = x[threadIdx.x];
  y[threadIdx.x] = cg::reduce(tile, v, cg::plus<int>());
  block.sync();
  y[blockDim.x + threadIdx.x] = cg::inclusive_scan(cg::tiled_partition<32>(block), v);
  y[2 * blockDim.x + threadIdx.x] = tile.ballot(v > 0) | tile.any(v > 50) << 8 | tile.all(v > -1000) << 9;
  if (v > 0) {
    auto together = cg::coalesced_threads();
    y[3 * blockDim.x + threadIdx.x] = together.size() * 100 + together.thread_rank() + cg::reduce(together, 1, cg::plus<int>()) * 10000;
  } else {
    y[3 * blockDim.x + threadIdx.x] = -1;
  }
  auto labeled = cg::labeled_partition(tile, v & 1);
  y[4 * blockDim.x + threadIdx.x] = cg::reduce(labeled, v, cg::greater<int>());
}
// Launched cooperatively: its blocks go in step.
extern "C" __global__ void whole_grid(int* x, int rounds) {
  auto grid = cg::this_grid();
  int n = gridDim.x * blockDim.x, i = grid.thread_rank();
  for (int r = 0; r < rounds; ++r) {
    int left = x[(i + n - 1) % n];
    grid.sync();
    x[i] = left + 1;
    grid.sync();
  }
}
