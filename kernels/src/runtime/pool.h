// The threads that share the work of one command. One pool a process; the caller takes part. Chunks are claimed one by
// one, and what a chunk is depends on the work alone, so results do not depend on the number of threads.
#pragma once
#include <cstdint>

#include "context.h"

namespace shakti {

class Pool {
 public:
  static Pool& instance();
  // Serial when there is one chunk or one thread, or when another command (of another JS thread) has the pool.
  void run(int64_t n, int64_t grain, ChunkFn fn, void* closure);
  int threads() const;
  // Takes effect with the next command.
  void set_threads(int threads);
  // CPUs of the affinity mask, bounded by the cgroup's quota; SHAKTI_NUM_THREADS overrides.
  static int default_threads();

 private:
  Pool();
  struct State;
  State* state_;  // never freed: its threads may outlive static destructors
};

}  // namespace shakti
