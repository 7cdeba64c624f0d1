// How a fold is cut: the one place that both the workspace's size and the kernel read.
#pragma once
#include <cstdint>

namespace shakti {
namespace reduce {

constexpr int64_t kPiece = 32768;     // places of x that one task folds at least
constexpr int64_t kColumnTasks = 32;  // of a fold of columns, at least, before a task is a strip's whole fold

}  // namespace reduce
}  // namespace shakti
