// How the gradient of the weight is added up.
#pragma once
#include <cstdint>

namespace shakti::norm_rope {

// Heads whose shares are added one to the next; then part by part.
constexpr int64_t kPart = 64;

inline int64_t parts_of(int64_t heads) { return (heads + kPart - 1) / kPart; }

}  // namespace shakti::norm_rope
