#include "stream.h"

#include <chrono>
#include <system_error>

#include "pool.h"

namespace shakti {
namespace {

constexpr double kInlineNanoseconds = 2000;  // a sleeping executor takes longer to wake than this takes to run
constexpr double kWakeNanoseconds = 20000;   // from here on the executor is worth waking

}  // namespace

bool Stream::here(double nanoseconds) const {
  const bool small =
      inline_mode == InlineMode::always || (inline_mode == InlineMode::automatic && nanoseconds <= kInlineNanoseconds);
  return small && device_.runs_inline() && idle();
}

void Stream::submit(const Op& op, const Args& args, double nanoseconds) {
  ++commands;
  if (here(nanoseconds)) {
    ++inlined;
    call(op, args);
    return;
  }
  Command::Ptr c = Command::of(op, args);
  if (c == nullptr) {
    fail(op.name, "out of memory for the command itself");
    return;
  }
  push(std::move(c), nanoseconds);
}

void Stream::enqueue(std::function<void()> task) { push(Command::of(std::move(task)), kWakeNanoseconds); }

void Stream::replay(std::shared_ptr<Capture> capture, const RandomState& now) {
  const double nanoseconds = capture->nanoseconds;
  auto run = [this, capture = std::move(capture), now] {
    if (device_.replay(*capture, now, *this)) return;
    capture->draw_from(now);
    for (const Command::Ptr& c : capture->commands) {
      if (stopping_) return;
      execute(*c);
    }
  };
  if (here(nanoseconds)) {
    run();
  } else {
    push(Command::of(std::move(run)), nanoseconds);
  }
}

bool Stream::start() {
  if (executor_.joinable()) return true;
  try {
    executor_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

void Stream::push(Command::Ptr command, double nanoseconds) {
  pending_.fetch_add(1, std::memory_order_acq_rel);
  bool sleeping;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(command));
    queued_.fetch_add(1, std::memory_order_release);
    sleeping = sleeping_;
  }
  if (!sleeping) return;
  waiting_nanoseconds_ += nanoseconds;
  if (waiting_nanoseconds_ >= kWakeNanoseconds) rouse();
}

void Stream::rouse() {
  waiting_nanoseconds_ = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!sleeping_) return;
    sleeping_ = false;
  }
  ++wakes;
  wake_.notify_one();
}

void Stream::execute(Command& c) {
  if (const int us = slow_microseconds.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(std::chrono::microseconds(us));
  }
  if (c.op == nullptr) {
    c.task();
    return;
  }
  if (!failed()) call(*c.op, c.args);
}

void Stream::call(const Op& op, const Args& args) {
  if (!profiling.load(std::memory_order_relaxed)) {
    device_.run(op, args, *this);
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  device_.run(op, args, *this);
  device_.finish(*this);
  const auto taken = std::chrono::steady_clock::now() - start;
  Profile& p = profile[static_cast<size_t>(&op - kOps)];
  ++p.calls;
  p.nanoseconds += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count());
}

void Stream::execute_all(std::deque<Command::Ptr>& batch) {
  const Pool::Expecting more;
  while (!batch.empty() && !stopping_) {
    execute(*batch.front());
    batch.pop_front();
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (syncing_) done_.notify_all();
    }
  }
}

void Stream::run() {
  std::deque<Command::Ptr> batch;
  while (!stopping_) {
    // Who was woken for work that drain() has taken meanwhile need not look for more.
    for (int i = executing_ ? spin_turns() : 0; i > 0 && queued_.load(std::memory_order_acquire) == 0; --i)
      spin_pause();
    {
      std::unique_lock<std::mutex> lock(mutex_);
      executing_ = false;
      if (queue_.empty() && !stopping_) {
        sleeping_ = true;
        wake_.wait(lock, [this] { return !sleeping_ || stopping_; });
      }
      batch.swap(queue_);
      queued_.store(0, std::memory_order_release);
      executing_ = !batch.empty();
    }
    execute_all(batch);
  }
}

void Stream::sync() {
  drain();
  device_.finish(*this);
}

void Stream::drain() {
  if (idle()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  if (!executing_) {
    // The executor sleeps, or has been woken and is not there yet: this thread is sooner at it. Nobody issues
    // anything meanwhile.
    std::deque<Command::Ptr> batch;
    batch.swap(queue_);
    queued_.store(0, std::memory_order_release);
    waiting_nanoseconds_ = 0;
    lock.unlock();
    execute_all(batch);
    return;
  }
  lock.unlock();
  for (int i = spin_turns(); i > 0; --i) {
    if (idle()) return;
    spin_pause();
  }
  lock.lock();
  syncing_ = true;
  done_.wait(lock, [this] { return idle(); });
  syncing_ = false;
}

void Stream::stop() {
  if (!executor_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  executor_.join();
  // Another stream may wait for what is dropped to say so.
  queue_.clear();
}

void Stream::fail(const char* op, const char* message) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failed_.load()) return;
  error_ = {op, message};
  failed_.store(true, std::memory_order_release);
}

StreamError Stream::error() {
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void Stream::reset_error() {
  sync();
  std::lock_guard<std::mutex> lock(mutex_);
  failed_.store(false);
  error_ = {};
}

}  // namespace shakti
