// When operations run, and in which order. A stream's work is legal to run at any time after what it depends on, so it
// runs as late as it can: only once a wait, a query or a dependent needs it, and then nothing else with it. Among
// several that may run, the one submitted last goes first (lazy), or the seed decides, also about running more than was
// asked for (random). `eager` runs everything at once, which hides mistakes; it is there to tell them from others.
#include <algorithm>

#include "state.h"

namespace sim {
namespace {

uint64_t last_visit = 0;

// All operations that the targets need and that are not done, each with the number of those it waits for.
std::vector<OpPtr> needed(const std::vector<OpPtr>& targets) {
  const uint64_t visit = ++last_visit;
  std::vector<OpPtr> found;
  const auto meet = [&](const OpPtr& op) {
    if (is_done(op) || op->visit == visit) return;
    op->visit = visit;
    op->missing = 0;
    op->next.clear();
    found.push_back(op);
  };
  for (const OpPtr& target : targets) meet(target);
  for (size_t i = 0; i < found.size(); ++i) {
    const OpPtr op = found[i];
    for (const OpPtr& before : op->after) {
      meet(before);
      if (is_done(before)) continue;
      before->next.push_back(op.get());
      ++op->missing;
    }
  }
  return found;
}

void finish(Op& op) {
  op.state = Op::State::done;
  op.after.clear();
  std::deque<OpPtr>& pending = op.context->pending;
  while (!pending.empty() && pending.front()->state == Op::State::done) pending.pop_front();
}

void run(Op& op) {
  Driver& d = driver();
  Context& context = *op.context;
  op.state = Op::State::running;
  if (op.work) {
    const bool failed = context.error != CUDA_SUCCESS;
    if (op.work->calls_host()) {
      d.mutex.unlock();
      thread_state().in_callback = true;
      if (failed) {
        op.work->abandoned(context.error);
      } else {
        op.work->run(context);
      }
      thread_state().in_callback = false;
      d.mutex.lock();
      ++d.version;
      d.done.notify_all();
    } else if (!failed) {
      op.work->run(context);
    }
  }
  finish(op);
}

void wait_for_others() {
  Driver& d = driver();
  std::unique_lock<std::mutex> lock(d.mutex, std::adopt_lock);
  d.done.wait(lock);
  ++d.version;
  lock.release();
}

size_t pick(const std::vector<Op*>& ready) {
  if (driver().order == Order::random) return driver().random(ready.size());
  size_t best = 0;
  for (size_t i = 1; i < ready.size(); ++i) {
    if (ready[i]->sequence > ready[best]->sequence) best = i;
  }
  // Eager means the order of submission.
  if (driver().order == Order::eager) {
    for (size_t i = 0; i < ready.size(); ++i) {
      if (ready[i]->sequence < ready[best]->sequence) best = i;
    }
  }
  return best;
}

// Runs at most `limit` operations of those that the targets need.
void run_needed(const std::vector<OpPtr>& targets, size_t limit) {
  Driver& d = driver();
  while (limit > 0) {
    const std::vector<OpPtr> plan = needed(targets);
    if (plan.empty()) return;
    std::vector<Op*> ready;
    for (const OpPtr& op : plan) {
      if (op->missing == 0 && op->state == Op::State::pending) ready.push_back(op.get());
    }
    if (ready.empty()) {  // another thread runs what is left
      wait_for_others();
      continue;
    }
    const uint64_t version = d.version;
    while (!ready.empty() && limit > 0 && d.version == version) {
      const size_t at = pick(ready);
      Op* op = ready[at];
      ready[at] = ready.back();
      ready.pop_back();
      if (op->state != Op::State::pending) continue;  // dropped: its context failed
      run(*op);
      --limit;
      for (Op* next : op->next) {
        if (--next->missing == 0) ready.push_back(next);
      }
    }
  }
}

// A callback of the host is waited for by nobody: it is what the host waits for. So when no call comes for a while, a
// thread of the driver's own runs what the first of them needs.
OpPtr first_callback() {
  auto& callbacks = driver().callbacks;
  while (!callbacks.empty()) {
    const OpPtr op = callbacks.front().lock();
    if (op && op->state == Op::State::pending) return op;
    callbacks.pop_front();
  }
  return nullptr;
}

void progress() {
  Driver& d = driver();
  std::unique_lock<std::mutex> lock(d.mutex);
  uint64_t before = 0;
  for (;;) {
    const OpPtr op = first_callback();
    if (!op) {
      d.callback_added.wait(lock);
    } else if (d.calls == before) {
      run_needed({op}, SIZE_MAX);
    }
    before = d.calls;
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::milliseconds(d.idle_ms));
    lock.lock();
  }
}

OpPtr add(Context& context, WorkPtr work, std::vector<OpPtr> after) {
  Driver& d = driver();
  auto op = std::make_shared<Op>();
  op->work = std::move(work);
  op->context = &context;
  op->sequence = ++d.next_op;
  for (OpPtr& before : after) {
    if (!is_done(before)) op->after.push_back(std::move(before));
  }
  context.pending.push_back(op);
  if (op->work && op->work->calls_host()) {
    d.callbacks.push_back(op);
    if (!d.progressing) std::thread(progress).detach();
    d.progressing = true;
    d.callback_added.notify_one();
  }
  return op;
}

}  // namespace

bool is_done(const OpPtr& op) { return !op || op->state == Op::State::done; }

std::vector<OpPtr> tails_of(Stream& stream) {
  Context& context = *stream.context;
  std::vector<OpPtr> tails;
  const auto take = [&](const OpPtr& op) {
    if (!is_done(op)) tails.push_back(op);
  };
  take(stream.tail);
  if (stream.legacy) {
    for (const auto& other : driver().streams.all()) {
      if (other->context.get() == &context && other->blocking()) take(other->tail);
    }
    for (const OpPtr& op : context.orphans) take(op);
  } else if (stream.blocking()) {
    take(context.legacy->tail);
  }
  return tails;
}

OpPtr submit(Stream& stream, WorkPtr work, std::vector<OpPtr> after) {
  for (OpPtr& tail : tails_of(stream)) after.push_back(std::move(tail));
  if (stream.legacy) stream.context->orphans.clear();
  OpPtr op = add(*stream.context, std::move(work), std::move(after));
  stream.tail = op;
  if (driver().order == Order::eager) run_needed({op}, SIZE_MAX);
  return op;
}

OpPtr submit_detached(Context& context, WorkPtr work, std::vector<OpPtr> after) {
  return add(context, std::move(work), std::move(after));
}

CUresult wait_for(Context& context, std::vector<OpPtr> targets) {
  Driver& d = driver();
  if (d.order == Order::random && d.random(2) == 0) {
    for (const OpPtr& op : context.pending) {
      if (d.random(2) == 0) targets.push_back(op);
    }
  }
  run_needed(targets, SIZE_MAX);
  pools_synchronized(context);
  return context.error;
}

CUresult wait_for_all(Context& context) { return wait_for(context, {context.pending.begin(), context.pending.end()}); }

void step_towards(const std::vector<OpPtr>& targets) { run_needed(targets, 1); }

void abandon(Context& context) {
  const std::deque<OpPtr> dropped = std::move(context.pending);
  context.pending.clear();
  context.orphans.clear();
  for (const OpPtr& op : dropped) {
    // Callbacks are kept: theirs is to be told.
    if (op->state == Op::State::running || (op->work && op->work->calls_host())) {
      if (op->state == Op::State::pending) op->after.clear();
      if (op->state != Op::State::done) context.pending.push_back(op);
      continue;
    }
    op->state = Op::State::done;
    op->after.clear();
  }
}

}  // namespace sim
