// Env's part of captures: their beginning, what goes into them, their replays and their end.
#include "capture.h"

#include <algorithm>
#include <cmath>

#include "env.h"

namespace shakti {
namespace {

// Whether random numbers may be drawn from there on, up to `farthest` places on.
bool sane(const RandomState& s, double farthest) {
  const auto half = [](double v) { return v >= 0 && v < 4294967296.0; };
  return half(s.seed_lo) && half(s.seed_hi) && s.offset >= 0 && s.offset == std::floor(s.offset) &&
         s.offset + farthest <= 0x1p53;
}

}  // namespace

bool Env::refuse_if_capturing(const char* op) {
  if (!recording_) return false;
  fail(Status::capture, op, "cannot be part of a capture");
  return true;
}

bool Env::begin_capture(const RandomState& now, double pool) {
  if (refuse_if_failed("capture") || refuse_if_capturing("capture")) return false;
  if (!sane(now, 0)) return fail(Status::value, "capture", "not a state of the random numbers");
  const auto other = pool == 0 ? nullptr : find_capture("capture", pool);
  if (pool != 0 && !other) return false;
  recording_ = std::make_shared<Capture>();
  recording_->start = now;
  auto& arena = recording_->origin->arena;
  arena = other ? other->origin->arena : std::make_shared<Allocator::Arena>();
  ++arena->owners;
  recording_->bytes = arena->bytes;
  return true;
}

double Env::end_capture(bool keep) {
  if (!recording_) return refuse(Status::value, "capture", "nothing is being captured");
  const std::shared_ptr<Capture> made = std::move(recording_);
  recording_ = nullptr;
  made->bytes = made->origin->arena->bytes - made->bytes;
  double handle = 0;
  if (keep) {
    Storage s;
    s.capture = made;
    handle = add(std::move(s));
  }
  if (handle <= 0) drop(*made);
  return handle;
}

std::shared_ptr<Capture> Env::find_capture(const char* op, double handle) {
  const Storage* s = find(handle);
  if (s == nullptr || !s->capture) {
    fail(Status::disposed, op, "the capture was disposed");
    return nullptr;
  }
  return s->capture;
}

double Env::capture_bytes(double handle) {
  const auto capture = find_capture("capture", handle);
  return capture ? static_cast<double>(capture->bytes) : -1;
}

bool Env::replay(double handle, const RandomState& now) {
  const auto capture = find_capture("replay", handle);
  if (!capture || refuse_if_failed("replay") || refuse_if_capturing("replay")) return false;
  if (!sane(now, capture->farthest)) return fail(Status::value, "replay", "not a state of the random numbers");
  if (!stream.start()) return fail(Status::internal, "replay", "the system gives no thread to run commands on");
  capture->origin->filled = true;
  stream.replay(capture, now);
  return true;
}

// Lets go of what the capture holds. Replays on their way are not disturbed: the stream runs them before any command
// that gets the memory next.
void Env::drop(Capture& capture) {
  Allocator::Arena& arena = *capture.origin->arena;
  if (--arena.owners == 0) allocator.close(arena);
  for (uint32_t index : capture.pinned) {
    Storage& s = storages_[index];
    if (--s.pins == 0 && s.released) remove(index);
  }
  capture.pinned.clear();
}

bool Env::record(const Op& op, const Args& args, double nanoseconds, int64_t draws_at) {
  Command::Ptr command = Command::of(op, args);
  if (command == nullptr) return fail(Status::out_of_memory, op.name, "no memory for the command itself");
  Capture& c = *recording_;
  c.commands.push_back(std::move(command));
  c.nanoseconds += nanoseconds;
  if (draws_at >= 0) {
    double* at = c.commands.back()->attrs + draws_at;
    const double distance = at[2] - c.start.offset;
    c.draws.push_back({at, distance});
    c.farthest = std::max(c.farthest, distance);
  }
  return true;
}

// Within a capture every draw must be a place in the one sequence that a replay goes on with.
bool Env::refuse_draw(const Op& op, const double* state) {
  const RandomState& start = recording_->start;
  if (state[0] == start.seed_lo && state[1] == start.seed_hi && state[2] >= start.offset) return false;
  fail(Status::capture, op.name,
       "draws from another seed or place than the capture began with, so that a replay could not go on from it");
  return true;
}

}  // namespace shakti
