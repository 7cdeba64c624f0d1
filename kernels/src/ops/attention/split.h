// How work is cut, by sizes alone: the one place that both the workspaces' sizes and the kernels read.
#pragma once
#include <cstdint>

#include "../../runtime/dtype.h"

namespace shakti {
namespace attention {

constexpr int64_t kKeysOfBlock = 64;  // that are multiplied at a time
constexpr int64_t kTasks = 32;        // wanted before keys are split

// Parts of the keys, in whole blocks of at least `least` keys, so that `tasks` become kTasks if they were fewer.
struct Parts {
  int64_t keys, count;

  // No fewer than there are for any number of keys up to lk: whole blocks can make fewer parts of more keys.
  static SHAKTI_INLINE int64_t most(int64_t tasks, int64_t lk, int64_t least) {
    if (tasks < 1) tasks = 1;
    int64_t count = tasks >= kTasks ? 1 : (kTasks + tasks - 1) / tasks;
    if (count > lk / least) count = lk / least;
    return count < 1 ? 1 : count;
  }

  SHAKTI_INLINE Parts(int64_t tasks, int64_t lk, int64_t least) {
    count = most(tasks, lk, least);
    keys = ((lk + count - 1) / count + kKeysOfBlock - 1) / kKeysOfBlock * kKeysOfBlock;
    count = lk > 0 ? (lk + keys - 1) / keys : 1;
  }
};

struct Forward {
  static constexpr int64_t kRows = 192;  // of a block, which pass over the keys together
  static constexpr int64_t kStrip = 24;  // whose scores exist at a time: a multiple of the rows of every register tile
  static constexpr int64_t kPart = 512;  // keys, at least
  static constexpr int64_t kShared = 4;  // blocks of rows

  int64_t heads, n, lk;  // of keys in the whole batch; rows of each; keys
  int64_t rows, blocks;  // of a block, and how many
  Parts parts;

  SHAKTI_INLINE Forward(int64_t heads_, int64_t n_, int64_t lk_)
      : heads(heads_),
        n(n_),
        lk(lk_),
        rows(rows_of(n_)),
        blocks((n_ + rows - 1) / rows),
        parts(heads_ * blocks, lk_, kPart) {}

  // Keys and values that many blocks of rows read are laid out for the products once.
  SHAKTI_INLINE bool packed() const { return blocks >= kShared; }
  // Floats of the workspace: these,
  // rows over a part of the keys keep their sum, and the maximum and sum of their weights.
  SHAKTI_INLINE int64_t packed_block(int64_t dp) const { return packed() ? 2 * kKeysOfBlock * dp : 0; }
  SHAKTI_INLINE int64_t packed_head(int64_t dp) const {
    return (lk + kKeysOfBlock - 1) / kKeysOfBlock * packed_block(dp);
  }
  SHAKTI_INLINE int64_t part_row(int64_t dp) const { return parts.count > 1 ? dp + 2 : 0; }
  SHAKTI_INLINE int64_t floats(int64_t dp) const { return floats(dp, parts.count); }
  // The same if a sequence's border may leave fewer keys.
  SHAKTI_INLINE int64_t most_floats(int64_t dp) const { return floats(dp, Parts::most(heads * blocks, lk, kPart)); }

 private:
  // Blocks are as equal as whole strips allow.
  SHAKTI_INLINE int64_t floats(int64_t dp, int64_t count) const {
    return heads * (packed_head(dp) + n * count * (count > 1 ? dp + 2 : 0));
  }
  static SHAKTI_INLINE int64_t rows_of(int64_t n) {
    if (n < 1) return kStrip;
    const int64_t blocks = (n + kRows - 1) / kRows;
    return ((n + blocks - 1) / blocks + kStrip - 1) / kStrip * kStrip;
  }
};

struct Backward {
  static constexpr int64_t kQueries = 16;         // whose keys are known together, at least
  static constexpr int64_t kPart = 128;           // keys, at least
  static constexpr int64_t kScratch = 1ll << 19;  // floats of a thread's scratch memory that a head of queries may take

  int64_t heads, group, lq, lk;  // of queries in the whole batch; that share keys; lengths
  Parts parts;
  bool local;  // queries are in scratch memory, near to the core

  SHAKTI_INLINE Backward(int64_t heads_, int64_t group_, int64_t lq_, int64_t lk_, int64_t d)
      : heads(heads_), group(group_), lq(lq_), lk(lk_), parts(heads_, lk_, kPart) {
    const int64_t padded = (d + 15) / 16 * 16;  // whatever the instruction set
    local = parts.count == 1 && queries(padded) + lq * padded <= kScratch;
  }

  // Floats. Of the queries of a head, and of their gradients: rows, and the same two by two, on any unit.
  SHAKTI_INLINE int64_t side(int64_t dp) const { return 3 * ((lq + 33) / 2) * dp; }
  // Both, and two numbers for each.
  SHAKTI_INLINE int64_t queries(int64_t dp) const { return 2 * side(dp) + (2 * lq + 15) / 16 * 16; }
  // Of the workspace: which keys queries look at, for all heads; and for each head queries and the sums of each part
  // for their gradients, if not local, and the gradients of keys and values that are to be added.
  SHAKTI_INLINE int64_t sights() const { return (lq + kQueries - 1) / kQueries * 16; }
  SHAKTI_INLINE int64_t sums(int64_t dp) const { return parts.count * lq * dp; }
  SHAKTI_INLINE int64_t by_head(int64_t dp) const { return group > 1 ? 2 * lk * dp : 0; }
  SHAKTI_INLINE int64_t floats(int64_t dp) const {
    return sights() + heads * ((local ? 0 : queries(dp) + sums(dp)) + by_head(dp));
  }
};

}  // namespace attention
}  // namespace shakti
