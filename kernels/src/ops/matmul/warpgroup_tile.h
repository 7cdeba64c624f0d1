// Sizes that the kernel of warpgroup_product.cuh and its launcher agree on.
#pragma once
#include "../../cuda/tensor_map.h"
#include "cuda.h"

namespace shakti::cuda {

constexpr int kWarpgroupM = 128, kWarpgroupN = 256;  // tile of y
constexpr int kWarpgroupDepth = 64;                  // 128 bytes: a line of the swizzle
constexpr int kWarpgroupStages = 4;
constexpr int kWarpgroupThreads = 384;
constexpr int kWarpgroupStaging = kWarpgroupM * 64 * 4;  // of sums on their way out
constexpr int kWarpgroupShared =
    kWarpgroupStages * ((kWarpgroupM + kWarpgroupN) * kWarpgroupDepth * 2 + 16) + kWarpgroupStaging;

struct WarpgroupProduct {
  TensorMap a, b;
  Product product;
  int tiles;                  // of all matrices of the batch
  bool a_batched, b_batched;  // else one matrix serves all
};

}  // namespace shakti::cuda
