// A device as an ordered stream of commands. The thread that issues checks a command, reserves its memory and goes
// on; one executor thread runs commands in order, each on all threads of the pool. Only reading waits.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "capture.h"
#include "device.h"
#include "op.h"

namespace shakti {

// What a command found wrong while it ran. The stream refuses work from then on until it is reset.
struct StreamError {
  std::string op;
  std::string message;
};

enum class InlineMode { automatic, never, always };

class Stream {
 public:
  explicit Stream(Device& device = cpu_device()) : device_(device) {}
  ~Stream() { stop(); }

  // Starts the executor if it is not there yet. False when the system gives no thread.
  bool start();
  // Runs an op: at once on this thread when the stream is idle and the op is tiny (`nanoseconds` estimated), else
  // queued. `args` points into memory that this call copies. After start().
  void submit(const Op& op, const Args& args, double nanoseconds);
  // Runs all commands of a capture in their order, as one entry of the stream; random numbers are drawn from `now` on.
  // After start().
  void replay(std::shared_ptr<Capture> capture, const RandomState& now);
  // Queues something that is not an op (a copy in, a copy out, an unmapping), in order with the ops. After start().
  void enqueue(std::function<void()> task);
  // Waking the executor costs more than a small command takes, so commands may wait for company. This sends it to
  // work on them; called before the JavaScript thread sleeps.
  void wake() {
    if (waiting_nanoseconds_ > 0) rouse();
  }
  bool idle() const { return pending_.load(std::memory_order_acquire) == 0; }
  // Waits until everything issued is done.
  void sync();
  // Stops the executor after the command it is at; queued ones are dropped.
  void stop();

  bool failed() const { return failed_.load(std::memory_order_acquire); }
  StreamError error();
  void reset_error();
  void fail(const char* op, const char* message);

  Isa isa = Isa::portable;
  InlineMode inline_mode = InlineMode::automatic;
  std::atomic<int> slow_microseconds{0};
  // Time and calls of every op while profiling is on; read when the stream is idle.
  struct Profile {
    uint64_t calls = 0, nanoseconds = 0;
  };
  std::atomic<bool> profiling{false};
  std::vector<Profile> profile;
  uint64_t commands = 0, inlined = 0, wakes = 0;

 private:
  // Whether work of this length is done at once, by the thread that issues it.
  bool here(double nanoseconds) const;
  void push(Command::Ptr command, double nanoseconds);
  void rouse();
  // Waits until everything issued has run; the device may not be done with it.
  void drain();
  void run();
  // The executor's part of the work; also done by drain() on its own thread while the executor is not at it.
  void execute_all(std::deque<Command::Ptr>& batch);
  void execute(Command& command);
  void call(const Op& op, const Args& args);

  Device& device_;
  std::deque<Command::Ptr> queue_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<int64_t> pending_{0};  // issued and not yet finished
  std::atomic<int64_t> queued_{0};   // what the executor has not taken
  bool sleeping_ = false;            // the executor; who wakes it sets this back
  bool executing_ = false;           // the executor has taken work; it alone writes this
  bool syncing_ = false;
  double waiting_nanoseconds_ = 0;  // estimated work behind a sleeping executor; the issuing thread's own
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  StreamError error_;
  std::thread executor_;
};

}  // namespace shakti
