// The product of bf16 and f16 on compute capability 9.0: wgmma m64n256k16, tiles of both operands through TMA. Blocks
// stay and take one tile of y after another. One warpgroup of a block fetches, two multiply, each 64 rows of the tile;
// a ring of stages lies between, so that the next tile's operands come while this one's sums go out.
#pragma once
#include "../../cuda/device/tensor_core.cuh"
#include "../../cuda/device/tma.cuh"
#include "../../cuda/device/wgmma.cuh"
#include "epilogue.cuh"
#include "warpgroup_tile.h"

namespace shakti::cuda {

// An operand's tile in shared memory, as lines of 128 bytes in the swizzle of TMA: with k contiguous one tile of `Rows`
// lines of 64 k; else, for each 64 rows (of m or n), 64 lines of k.
template <int Rows, bool ByK>
struct WarpgroupTile {
  static constexpr unsigned bytes = Rows * kWarpgroupDepth * 2;
  static constexpr unsigned part = 64 * kWarpgroupDepth * 2;  // of 64 rows, either way
  __device__ __forceinline__ static void fetch(unsigned to, const TensorMap& map, int row, int k, int matrix,
                                               unsigned barrier) {
    if constexpr (ByK) {
      copy_tile(to, map, k, row, matrix, barrier);
    } else {
#pragma unroll
      for (int r = 0; r < Rows; r += 64) copy_tile(to + r / 64 * part, map, row + r, k, matrix, barrier);
    }
  }
  // 16 of k, from row `first` on, a multiple of 64.
  __device__ __forceinline__ static uint64_t at(unsigned tile, int first, int k) {
    return operand_at(tile + first / 64 * part + (ByK ? k * 2 : k * 128), part);
  }
};

// Which tile of y comes as number t: along m in groups, so that those under way at one time share rows of a and columns
// of b.
struct TilePlace {
  int64_t row, column;
  int batch;
};
__device__ __forceinline__ TilePlace tile_place(const Product& p, int t) {
  constexpr int kGroup = 16;
  const int down = static_cast<int>(p.blocks_m), across = static_cast<int>(p.blocks_n), all = down * across;
  const int batch = t / all, here = t % all, first = here / (kGroup * across) * kGroup;
  const int rows = down - first < kGroup ? down - first : kGroup, in = here % (kGroup * across);
  return {int64_t{first + in % rows} * kWarpgroupM, int64_t{in / rows} * kWarpgroupN, batch};
}

template <class T, class Y, bool ByRowsA, bool ByRowsB>
__device__ __forceinline__ void warpgroup_product(const WarpgroupProduct& w) {
  using TileA = WarpgroupTile<kWarpgroupM, ByRowsA>;
  using TileB = WarpgroupTile<kWarpgroupN, !ByRowsB>;
  constexpr unsigned kStage = TileA::bytes + TileB::bytes;
  constexpr int kConsumerWarps = kWarpgroupM / 16;
  const Product& p = w.product;
  extern __shared__ __align__(1024) char4 tiles[];
  const unsigned base = shared_address(tiles);
  const auto a_at = [&](int stage) { return base + stage * kStage; };
  const auto b_at = [&](int stage) { return a_at(stage) + TileA::bytes; };
  const auto full = [&](int stage) { return base + kWarpgroupStages * kStage + kWarpgroupStaging + stage * 16; };
  const auto empty = [&](int stage) { return full(stage) + 8; };
  if (threadIdx.x == 0) {
    for (int s = 0; s < kWarpgroupStages; ++s) {
      barrier_init(full(s), 1);
      barrier_init(empty(s), kConsumerWarps);
    }
    fence_async();
  }
  __syncthreads();

  const int steps = static_cast<int>((p.k + kWarpgroupDepth - 1) / kWarpgroupDepth);
  // The place in the ring, and the parity of its round.
  int stage = 0;
  unsigned round = 0;
  const auto next = [&] {
    if (++stage == kWarpgroupStages) {
      stage = 0;
      round ^= 1;
    }
  };

  if (threadIdx.x < 128) {
    registers_give_back<40>();
    if (threadIdx.x != 0) return;
    prefetch(w.a);
    prefetch(w.b);
    for (int t = blockIdx.x; t < w.tiles; t += gridDim.x) {
      const TilePlace tile = tile_place(p, t);
      for (int step = 0; step < steps; ++step, next()) {
        const int k = step * kWarpgroupDepth;
        wait(empty(stage), round ^ 1);
        arrive_expecting(full(stage), kStage);
        TileA::fetch(a_at(stage), w.a, static_cast<int>(tile.row), k, w.a_batched ? tile.batch : 0, full(stage));
        TileB::fetch(b_at(stage), w.b, static_cast<int>(tile.column), k, w.b_batched ? tile.batch : 0, full(stage));
      }
    }
    return;
  }

  registers_take<232>();
  const int warp = threadIdx.x / 32 - 4, lane = threadIdx.x % 32, first = warp / 4 * 64;
  for (int t = blockIdx.x; t < w.tiles; t += gridDim.x) {
    float sums[128];
#pragma unroll
    for (int i = 0; i < 128; ++i) sums[i] = 0;
    int before = 0;  // the stage that the products under way read
    for (int step = 0; step < steps; ++step, next()) {
      wait(full(stage), round);
      pin(sums);
      products_begin();
#pragma unroll
      for (int k = 0; k < kWarpgroupDepth; k += 16)
        multiply_add_64x256<T, !ByRowsA, ByRowsB>(sums, TileA::at(a_at(stage), first, k), TileB::at(b_at(stage), 0, k));
      products_commit();
      pin(sums);
      products_wait<1>();
      if (step > 0 && lane == 0) arrive(empty(before));
      before = stage;
    }
    products_wait<0>();
    pin(sums);
    if (lane == 0) arrive(empty(before));

    // 64 columns of the warp's 16 rows at a time through shared memory, in pieces of 16 bytes mixed by the row: written
    // to y along its lines.
    constexpr int N = kRun<Y>;
    const TilePlace tile = tile_place(p, t);
    const BatchPlace place = batch_place(p, tile.batch);
    float* out = reinterpret_cast<float*>(reinterpret_cast<char*>(tiles) + kWarpgroupStages * kStage) + warp * 16 * 64;
    const auto at = [&](int row, int column) { return out + row * 64 + ((column / 4 ^ row % 8 * 2) * 4 + column % 4); };
#pragma unroll 1
    for (int chunk = 0; chunk < kWarpgroupN / 64; ++chunk) {
      __syncwarp();
#pragma unroll
      for (int c = 0; c < kWarpgroupN / 64; ++c) {
        if (c != chunk) continue;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const float* s = sums + (c * 8 + j) * 4;
          *reinterpret_cast<float2*>(at(lane / 4, j * 8 + lane % 4 * 2)) = make_float2(s[0], s[1]);
          *reinterpret_cast<float2*>(at(lane / 4 + 8, j * 8 + lane % 4 * 2)) = make_float2(s[2], s[3]);
        }
      }
      __syncwarp();
#pragma unroll 1
      for (int e = lane * N; e < 16 * 64; e += 32 * N) {
        const int row = e / 64, column = e % 64;
        float run[N];
#pragma unroll
        for (int q = 0; q < N; q += 4) {
          const float4 four = *reinterpret_cast<const float4*>(at(row, column + q));
          run[q] = four.x, run[q + 1] = four.y, run[q + 2] = four.z, run[q + 3] = four.w;
        }
        put_sums<T, Y>(p, place, 0, tile.row + warp * 16 + row, tile.column + chunk * 64 + column, run);
      }
    }
  }
}

}  // namespace shakti::cuda
