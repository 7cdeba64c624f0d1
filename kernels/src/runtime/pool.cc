#include "pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "limits.h"

namespace shakti {
namespace {

constexpr uint64_t kOpen = uint64_t{1} << 63;

std::atomic<int> expecting{0};
constexpr int kLooks = 20;  // for a job, between two offers of the core

}  // namespace

int spin_turns() {
  static const int turns = default_threads() <= 2 ? 200 : 1500;
  return turns;
}

struct Pool::State {
  std::atomic<bool> busy{false};  // a command uses the workers
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;  // touched by who is busy
  std::atomic<uint64_t> epoch{0};
  std::atomic<int> sleeping{0};
  // kOpen while the current job may be joined; the low bits count the workers inside. A worker that never woke up
  // in time is not waited for.
  std::atomic<uint64_t> gate{0};
  std::atomic<int> wanted{1};
  // The current job: written before the gate opens, read by those who are inside.
  ChunkFn fn = nullptr;
  void* closure = nullptr;
  int64_t n = 0, grain = 1;
  int threads = 1;
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
      for (int i = spin_turns(); now == seen && i > 0; --i) {
        spin_pause();
        now = epoch.load(std::memory_order_acquire);
      }
      while (now == seen && expecting.load(std::memory_order_relaxed) > 0) {
        sched_yield();
        for (int i = kLooks; now == seen && i > 0; --i) {
          spin_pause();
          now = epoch.load(std::memory_order_acquire);
        }
      }
      if (now == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return epoch.load(std::memory_order_acquire) != seen; });
        sleeping.fetch_sub(1);
        now = epoch.load(std::memory_order_acquire);
      }
      seen = now;
      if (!enter()) continue;
      if (index < threads) chunks(index);
      gate.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void start_workers() {
    while (static_cast<int>(workers.size()) < threads - 1) {
      const int index = static_cast<int>(workers.size()) + 1;
      const uint64_t seen = epoch.load();
      try {
        workers.emplace_back([this, index, seen] { work(index, seen); });
      } catch (const std::system_error&) {
        // The system gives no more threads: the work is done by those that are there.
        wanted = index;
        return;
      }
      workers.back().detach();
    }
  }
};

Pool::Pool() : state_(new State) { state_->wanted = default_threads(); }

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

Pool::Expecting::Expecting() { expecting.fetch_add(1, std::memory_order_relaxed); }
Pool::Expecting::~Expecting() { expecting.fetch_sub(1, std::memory_order_relaxed); }

int Pool::threads() const { return state_->wanted.load(std::memory_order_relaxed); }
void Pool::set_threads(int threads) { state_->wanted = std::max(1, std::min(threads, kMaxThreads)); }

void Pool::run(int64_t n, int64_t grain, int threads, ChunkFn fn, void* closure) {
  if (n <= 0) return;
  State& s = *state_;
  const int64_t count = (n + grain - 1) / grain;
  if (count == 1 || threads == 1 || s.busy.exchange(true, std::memory_order_acquire)) {
    for (int64_t i = 0; i < count; ++i) fn(closure, i * grain, std::min(n, (i + 1) * grain), 0);
    return;
  }
  s.fn = fn;
  s.closure = closure;
  s.n = n;
  s.grain = grain;
  s.threads = threads;
  s.start_workers();
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
  for (int i = spin_turns(); s.gate.load(std::memory_order_acquire) != 0;) {
    // A worker that lost its CPU in the middle of a chunk gets it back sooner when this thread steps aside.
    if (i > 0) {
      --i;
      spin_pause();
    } else {
      sched_yield();
    }
  }
  s.busy.store(false, std::memory_order_release);
}

}  // namespace shakti
