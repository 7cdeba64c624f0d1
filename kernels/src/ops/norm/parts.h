// How the gradients of weights are added up: row by row within a part, then part by part, whatever the threads.
#pragma once
#include <cstdint>

namespace shakti::norm {

constexpr int64_t kPart = 64;  // rows

inline int64_t parts_of(int64_t rows) { return (rows + kPart - 1) / kPart; }

}  // namespace shakti::norm
