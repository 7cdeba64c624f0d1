// How the forward pass is cut: the one place that both the workspace's size and the kernel read.
#pragma once
#include <cstdint>

#include "../../runtime/dtype.h"

namespace shakti {
namespace attention {

constexpr int64_t kRowsOfBlock = 96;  // rows that share a block of keys
constexpr int64_t kRowsOfStrip = 24;  // whose scores exist at a time: a multiple of the rows of every register tile
constexpr int64_t kKeysOfPart = 512;  // at least
constexpr int64_t kTasks = 32;        // wanted before keys are split

struct Split {
  int64_t rows, blocks;  // of a block, and how many
  int64_t keys, parts;   // of a part, and how many

  // heads: of keys, of the whole batch; n: rows of each.
  SHAKTI_INLINE Split(int64_t heads, int64_t n, int64_t lk) {
    if (n < 1) n = 1;
    blocks = (n + kRowsOfBlock - 1) / kRowsOfBlock;
    rows = ((n + blocks - 1) / blocks + kRowsOfStrip - 1) / kRowsOfStrip * kRowsOfStrip;
    blocks = (n + rows - 1) / rows;
    const int64_t tasks = heads * blocks > 0 ? heads * blocks : 1;
    parts = tasks >= kTasks ? 1 : (kTasks + tasks - 1) / tasks;
    const int64_t most = lk / kKeysOfPart;
    if (parts > most) parts = most;
    if (parts < 1) parts = 1;
    keys = (lk + parts - 1) / parts;
    keys = (keys + 63) / 64 * 64;
    if (keys < 1) keys = 1;
    parts = lk > 0 ? (lk + keys - 1) / keys : 1;
  }
};

}  // namespace attention
}  // namespace shakti
