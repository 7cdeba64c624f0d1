// What a kernel may use while it runs: threads, a place to report bad content.
#pragma once
#include "args.h"

namespace shakti {

// The chunk [begin, end) of a parallel loop. `thread` is in [0, Context::threads()).
using ChunkFn = void (*)(void* closure, int64_t begin, int64_t end, int thread);

class Context {
 public:
  // Runs fn over [0, n) in chunks of exactly `grain` (the last may be shorter), on all threads of the pool when
  // there is more than one chunk. The chunks depend on n and grain alone, never on the number of threads, so a
  // kernel that reduces per chunk gives the same result on any machine.
  void parallel_for_raw(int64_t n, int64_t grain, ChunkFn fn, void* closure);

  template <class F>
  SHAKTI_INLINE void parallel_for(int64_t n, int64_t grain, const F& fn) {
    struct Call {
      static void run(void* closure, int64_t b, int64_t e, int t) { (*static_cast<const F*>(closure))(b, e, t); }
    };
    parallel_for_raw(n, grain, &Call::run, const_cast<F*>(&fn));
  }

  int threads() const;
  // Of the last cache. A result that is larger is better written past it.
  size_t cache_bytes() const;
  // At least kScratchBytes of memory of the running thread's own, 64-byte aligned; contents undefined.
  void* scratch(int thread);
  static constexpr size_t kScratchBytes = 4u << 20;

  // Reports content that is wrong (an index out of range). The first report of a command wins; the next read of
  // the stream rejects with it. Callable from any thread. printf-style; the op's name is added.
  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

}  // namespace shakti
