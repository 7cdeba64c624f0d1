#include "transfer.h"

#include <condition_variable>
#include <mutex>

namespace shakti {
namespace {

// What the reading stream hands to the writing one. A task that is dropped (its thread ends) hands over a failure.
struct Handoff {
  std::shared_ptr<char> bytes;
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false, arrived = false;

  void settle(bool ok) {
    std::lock_guard<std::mutex> lock(mutex);
    if (ready) return;
    ready = true;
    arrived = ok;
    changed.notify_all();
  }
  bool wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return ready; });
    return arrived;
  }
};

struct Giver {
  explicit Giver(std::shared_ptr<Handoff> h) : handoff(std::move(h)) {}
  ~Giver() { handoff->settle(false); }
  std::shared_ptr<Handoff> handoff;
};

// Where two streams wait for each other, so that work for both has its place in the order of either. Whoever comes
// second does it. Streams meet in the order in which their thread issued the meetings, so no ring of them can wait.
struct Meeting {
  std::function<void()> work;
  std::mutex mutex;
  std::condition_variable changed;
  bool one_waits = false, over = false;

  void attend() {
    std::unique_lock<std::mutex> lock(mutex);
    if (one_waits && !over) {
      work();
      over = true;
      changed.notify_all();
    }
    one_waits = true;
    changed.wait(lock, [this] { return over; });
  }
  void cancel() {
    std::lock_guard<std::mutex> lock(mutex);
    over = true;
    changed.notify_all();
  }
};

// A task that is dropped keeps nobody waiting.
struct Seat {
  explicit Seat(std::shared_ptr<Meeting> m) : meeting(std::move(m)) {}
  ~Seat() { meeting->cancel(); }
  std::shared_ptr<Meeting> meeting;
};

bool fail(Env& env, Env** refused, int code, const char* message) {
  env.last_error = {code, message, "to", false};
  *refused = &env;
  return false;
}

bool through_host(Env& from, const char* read, Env& to, char* write, uint64_t bytes, Env** refused) {
  auto handoff = std::make_shared<Handoff>();
  // Pinned memory belongs to the GPU of the two, which is asked.
  handoff->bytes = (from.device().on_host() ? to : from).device().staging(bytes);
  if (!handoff->bytes)
    return fail(to, refused, Status::out_of_memory, "no memory on the host for the copy between devices");
  auto giver = std::make_shared<Giver>(handoff);
  from.stream.enqueue([&from, giver, read, bytes] {
    if (from.stream.failed()) return;
    from.device().read(giver->handoff->bytes.get(), read, bytes, from.stream,
                       [&from, giver] { giver->handoff->settle(!from.stream.failed()); });
  });
  giver = nullptr;
  to.stream.enqueue([&to, handoff, write, bytes] {
    if (to.stream.failed()) return;
    if (handoff->wait())
      to.device().write(write, handoff->bytes, bytes, to.stream);
    else
      to.stream.fail("to", kSourceFailed);
  });
  return true;
}

void between_devices(Env& from, const char* read, Env& to, char* write, uint64_t bytes) {
  auto meeting = std::make_shared<Meeting>();
  meeting->work = [&from, read, &to, write, bytes] {
    if (!from.stream.failed() && !to.stream.failed())
      to.device().copy_from(from.device(), from.stream, read, write, bytes, to.stream);
    if (from.stream.failed()) to.stream.fail("to", kSourceFailed);
  };
  for (Stream* stream : {&from.stream, &to.stream})
    stream->enqueue([seat = std::make_shared<Seat>(meeting)] { seat->meeting->attend(); });
}

}  // namespace

bool transfer(Env& from, double source, double source_offset, Env& to, double target, double target_offset,
              uint64_t bytes, Env** refused) {
  *refused = &from;
  if (from.refuse_if_failed("to") || from.refuse_if_capturing("to")) return false;
  const char* read = from.resolve("to", source, source_offset, bytes);
  if (read == nullptr) return false;
  *refused = &to;
  if (to.refuse_if_failed("to") || to.refuse_if_capturing("to")) return false;
  char* write = to.resolve("to", target, target_offset, bytes);
  if (write == nullptr) return false;
  if (bytes == 0) return true;
  if (!from.stream.start() || !to.stream.start())
    return fail(to, refused, Status::internal, "the system gives no thread to run commands on");
  if (from.device().on_host() || to.device().on_host()) {
    if (!through_host(from, read, to, write, bytes, refused)) return false;
  } else {
    between_devices(from, read, to, write, bytes);
  }
  // Either stream may be asleep, and the other waits for it, so nobody else would wake it.
  from.stream.wake();
  to.stream.wake();
  return true;
}

}  // namespace shakti
