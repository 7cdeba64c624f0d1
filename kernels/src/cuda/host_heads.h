// Launchers of kernels that give each head to a warp.
#pragma once
#include "heads.h"
#include "host.h"

namespace shakti::cuda {

constexpr int64_t kWarps = kThreads / 32;  // of a block

inline Heads heads_of(const Operand& x) { return {x.data, x.strides[0], x.strides[1], x.strides[2]}; }
inline HeadSizes head_sizes(const Operand& x) {
  return {x.shape[1], x.shape[2], x.shape[3], x.shape[0] * x.shape[1] * x.shape[2]};
}
inline Angles angles_of(const Operand& cosine, const Operand& sine) {
  return {cosine.ptr<float>(), sine.ptr<float>(), cosine.shape[0] == 1 ? 0 : cosine.shape[1] * cosine.shape[2]};
}

}  // namespace shakti::cuda
