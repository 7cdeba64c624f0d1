// The threads that share the work of one command. One pool a process; the caller takes part. Chunks are claimed one by
// one, and what a chunk is depends on the work alone, so results do not depend on the number of threads.
#pragma once
#include <cstdint>

#include "context.h"

namespace shakti {

constexpr int kMaxThreads = 256;

// Tells the CPU that this is a waiting loop.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// How often to look before going to sleep: some tens of microseconds, longer than the gap between two kernels of a
// step. With one or two CPUs the thread that one waits for needs the core.
int spin_turns();

class Pool {
 public:
  static Pool& instance();
  // Runs with at most `threads` threads; fn sees indices below that. Serial when there is one chunk or one thread, or
  // when another command (of another JavaScript thread, or a chunk's own) has the pool.
  void run(int64_t n, int64_t grain, int threads, ChunkFn fn, void* closure);
  int threads() const;
  // Takes effect with the next command.
  void set_threads(int threads);

  // While one lives more jobs are at hand: workers look for the next one again and again, stepping aside for who needs
  // the core, instead of going to sleep. Waking costs more than many a kernel of a step that generates one token.
  class Expecting {
   public:
    Expecting();
    ~Expecting();
    Expecting(const Expecting&) = delete;
    Expecting& operator=(const Expecting&) = delete;
  };

 private:
  Pool();
  struct State;
  State* state_;  // never freed: its threads may outlive static destructors
};

}  // namespace shakti
