#include "pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace shakti {
namespace {

constexpr int kMaxThreads = 256;
constexpr uint64_t kOpen = uint64_t{1} << 63;
constexpr int kSpins = 1500;  // some tens of microseconds: longer than the gap between two kernels of a step

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

int quota() {
  long long limit = 0, period = 0;
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    const int n = std::fscanf(f, "%lld %lld", &limit, &period);
    std::fclose(f);
    if (n == 2 && limit > 0 && period > 0) return static_cast<int>((limit + period - 1) / period);
  }
  return kMaxThreads;
}

}  // namespace

struct Pool::State {
  std::mutex busy;  // held by the command that uses the workers
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  std::atomic<uint64_t> epoch{0};
  std::atomic<int> sleeping{0};
  // kOpen while the current job may be joined; the low bits count the workers inside. A worker that never woke up
  // in time is not waited for.
  std::atomic<uint64_t> gate{0};
  std::atomic<int> wanted{1};
  // The current job; written before `epoch` moves.
  ChunkFn fn = nullptr;
  void* closure = nullptr;
  int64_t n = 0, grain = 1;
  std::atomic<int64_t> next{0};

  void chunks(int thread) {
    const int64_t count = (n + grain - 1) / grain;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      fn(closure, i * grain, std::min(n, (i + 1) * grain), thread);
    }
  }

  bool enter() {
    uint64_t g = gate.load(std::memory_order_acquire);
    while (g & kOpen) {
      if (gate.compare_exchange_weak(g, g + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  void work(int index, uint64_t seen) {
    for (;;) {
      uint64_t now = epoch.load(std::memory_order_acquire);
      for (int i = 0; now == seen && i < kSpins; ++i) {
        pause();
        now = epoch.load(std::memory_order_acquire);
      }
      if (now == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return epoch.load(std::memory_order_acquire) != seen; });
        sleeping.fetch_sub(1);
        now = epoch.load(std::memory_order_acquire);
      }
      seen = now;
      if (index >= wanted.load(std::memory_order_relaxed) || !enter()) continue;
      chunks(index);
      gate.fetch_sub(1, std::memory_order_acq_rel);
    }
  }
};

Pool::Pool() : state_(new State) { state_->wanted = default_threads(); }

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

int Pool::default_threads() {
  if (const char* text = std::getenv("SHAKTI_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1) return std::min(n, kMaxThreads);
  }
  int n = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
  return std::max(1, std::min({n, quota(), kMaxThreads}));
}

int Pool::threads() const { return state_->wanted.load(); }
void Pool::set_threads(int threads) { state_->wanted = std::max(1, std::min(threads, kMaxThreads)); }

void Pool::run(int64_t n, int64_t grain, ChunkFn fn, void* closure) {
  if (n <= 0) return;
  State& s = *state_;
  const int64_t count = (n + grain - 1) / grain;
  const int threads = s.wanted.load(std::memory_order_relaxed);
  std::unique_lock<std::mutex> busy(s.busy, std::defer_lock);
  if (count == 1 || threads == 1 || !busy.try_lock()) {
    for (int64_t i = 0; i < count; ++i) fn(closure, i * grain, std::min(n, (i + 1) * grain), 0);
    return;
  }
  while (static_cast<int>(s.workers.size()) < threads - 1) {
    const int index = static_cast<int>(s.workers.size()) + 1;
    const uint64_t seen = s.epoch.load();
    s.workers.emplace_back([&s, index, seen] { s.work(index, seen); });
    s.workers.back().detach();
  }
  s.fn = fn;
  s.closure = closure;
  s.n = n;
  s.grain = grain;
  s.next.store(0, std::memory_order_relaxed);
  s.gate.store(kOpen, std::memory_order_release);
  {
    // The lock closes the gap between a worker's last look and its sleep.
    std::lock_guard<std::mutex> lock(s.mutex);
    s.epoch.fetch_add(1, std::memory_order_release);
  }
  if (s.sleeping.load() > 0) s.wake.notify_all();
  s.chunks(0);
  // The job's fields may not change while a worker can still read them.
  s.gate.fetch_and(~kOpen, std::memory_order_acq_rel);
  while (s.gate.load(std::memory_order_acquire) != 0) pause();
}

}  // namespace shakti
