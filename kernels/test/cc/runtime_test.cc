// The pool, the stream and the allocator without Node, so that ThreadSanitizer sees nothing but our own threads:
//   run.sh tsan
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "../../src/runtime/allocator.h"
#include "../../src/runtime/limits.h"
#include "../../src/runtime/pages.h"
#include "../../src/runtime/pool.h"
#include "../../src/runtime/stream.h"
#include "expect.h"

using namespace shakti;

// ---- An op table of our own: x = 3 x + attr on all threads; a sum over chunks; one that reports bad content.

static void run_affine(const Args& a, Context& context) {
  auto* x = a.out[0].ptr<int64_t>();
  context.parallel_for(a.out[0].shape[0], 64, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i) x[i] = (3 * x[i] + a.attr_int(0)) % 1000003;
  });
}

static void run_sum(const Args& a, Context& context) {
  const auto* x = a.in[0].ptr<int64_t>();
  const int64_t n = a.in[0].shape[0];
  std::vector<int64_t> parts(static_cast<size_t>((n + 31) / 32));
  context.parallel_for(n, 32, [&](int64_t b, int64_t e, int thread) {
    EXPECT(thread >= 0 && thread < context.threads(), "thread %d of %d", thread, context.threads());
    // Through scratch memory: no two threads may have the same.
    auto* mine = static_cast<int64_t*>(context.scratch(thread));
    std::memcpy(mine, x + b, static_cast<size_t>(e - b) * sizeof(int64_t));
    parts[static_cast<size_t>(b / 32)] = std::accumulate(mine, mine + (e - b), int64_t{0});
  });
  *a.out[0].ptr<int64_t>() = std::accumulate(parts.begin(), parts.end(), int64_t{0});
}

static void run_complain(const Args&, Context& context) {
  context.parallel_for(100, 1, [&](int64_t b, int64_t, int) {
    if (b % 2 == 1) context.fail("index %lld is out of range", static_cast<long long>(b));
  });
}

namespace shakti {
#define TABLE_OP(name) \
  {#name, "x", "y", "", 1, nullptr, nullptr, {run_##name, run_##name, run_##name}, nullptr, nullptr}
const Op kOps[] = {TABLE_OP(affine), TABLE_OP(sum), TABLE_OP(complain)};
}  // namespace shakti
enum { kAffine, kSum, kComplain };

static Operand vector_of(int64_t* data, int64_t n) {
  Operand o{};
  o.data = data;
  o.shape[0] = n;
  o.strides[0] = 1;
  o.ndim = 1;
  o.dtype = DType::i64;
  return o;
}

static void submit(Stream& stream, int op, Operand in, Operand out, double attr, double nanoseconds) {
  Args a{};
  a.in = &in;
  a.out = &out;
  a.attrs = &attr;
  a.n_in = a.n_out = a.n_attrs = 1;
  stream.submit(kOps[op], a, nanoseconds);
}

// ---- Pool

static void every_chunk_runs_once() {
  for (int round = 0; round < 300; ++round) {
    const int64_t n = 1 + round * 7 % 500, grain = 1 + round % 13;
    const int threads = 1 + round % 5;
    std::vector<int> seen(static_cast<size_t>(n), 0);
    struct Job {
      std::vector<int>* seen;
      int threads;
    } job{&seen, threads};
    Pool::instance().run(
        n, grain, threads,
        [](void* closure, int64_t b, int64_t e, int thread) {
          auto* j = static_cast<Job*>(closure);
          EXPECT(thread < j->threads, "thread %d of %d", thread, j->threads);
          for (int64_t i = b; i < e; ++i) ++(*j->seen)[static_cast<size_t>(i)];
        },
        &job);
    for (int count : seen) EXPECT(count == 1, "round %d: an element ran %d times", round, count);
  }
}

static void chunks_may_use_the_pool_themselves() {
  std::atomic<int64_t> total{0};
  Pool::instance().run(
      8, 1, 3,
      [](void* closure, int64_t, int64_t, int) {
        Pool::instance().run(
            100, 9, 3,
            [](void* inner, int64_t b, int64_t e, int) { *static_cast<std::atomic<int64_t>*>(inner) += e - b; },
            closure);
      },
      &total);
  EXPECT(total == 800, "%lld", static_cast<long long>(total));
}

// ---- Stream

static void commands_run_in_order(InlineMode mode, int rounds) {
  Stream stream;
  EXPECT(stream.start(), "no executor");
  stream.inline_mode = mode;
  std::vector<int64_t> x(500, 1), expected(500, 1);
  int64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    // Of every size: alone, behind others that wait for company, and large enough to wake the executor.
    const double nanoseconds = i % 7 == 0 ? 50000 : i % 3 == 0 ? 5000 : 100;
    submit(stream, kAffine, vector_of(x.data(), 500), vector_of(x.data(), 500), i, nanoseconds);
    for (auto& v : expected) v = (3 * v + i) % 1000003;
    if (i % 11 == 0) submit(stream, kSum, vector_of(x.data(), 500), vector_of(&sum, 1), 0, nanoseconds);
    if (i % 13 == 0) stream.wake();
    if (i % 17 == 0) {
      std::atomic<bool> told{false};
      std::vector<int64_t> copy;
      stream.enqueue([&] {
        copy = x;
        told.store(true, std::memory_order_release);
      });
      stream.sync();
      EXPECT(told.load(std::memory_order_acquire) && copy == expected, "round %d: the copy out differs", i);
    }
  }
  submit(stream, kSum, vector_of(x.data(), 500), vector_of(&sum, 1), 0, 100);
  stream.sync();
  EXPECT(stream.idle() && x == expected, "the results differ");
  EXPECT(sum == std::accumulate(expected.begin(), expected.end(), int64_t{0}), "the sum differs");
}

static void streams_of_several_threads_share_the_pool() {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([t] { commands_run_in_order(t == 0 ? InlineMode::never : InlineMode::automatic, 150); });
  for (int i = 0; i < 100; ++i) {
    Pool::instance().set_threads(1 + i % 4);
    std::this_thread::yield();
  }
  for (auto& t : threads) t.join();
  Pool::instance().set_threads(3);
}

static void a_failure_stops_ops_and_not_tasks() {
  Stream stream;
  EXPECT(stream.start(), "no executor");
  stream.inline_mode = InlineMode::never;
  std::vector<int64_t> x(200, 1);
  const auto whole = vector_of(x.data(), 200);
  bool ran = false;
  submit(stream, kComplain, whole, whole, 0, 100);
  submit(stream, kAffine, whole, whole, 5, 100);
  stream.enqueue([&] { ran = true; });
  stream.sync();
  EXPECT(stream.failed() && ran, "failed %d, task ran %d", stream.failed(), ran);
  EXPECT(stream.error().op == "complain" && stream.error().message.find("out of range") != std::string::npos, "%s: %s",
         stream.error().op.c_str(), stream.error().message.c_str());
  EXPECT(x[0] == 1, "an op ran after the failure");
  stream.reset_error();
  submit(stream, kAffine, whole, whole, 5, 100);
  stream.sync();
  EXPECT(!stream.failed() && x[0] == 8, "the stream does not go on after its reset");
}

static void a_stream_can_be_stopped_at_any_time() {
  for (int i = 0; i < 40; ++i) {
    std::vector<int64_t> x(300, 1);
    Stream stream;
    EXPECT(stream.start(), "no executor");
    stream.inline_mode = InlineMode::never;
    for (int k = 0; k < i; ++k) submit(stream, kAffine, vector_of(x.data(), 300), vector_of(x.data(), 300), k, 30000);
    if (i % 2 == 0) stream.stop();
  }
}

static void replays_take_their_place_in_the_order(InlineMode mode) {
  Stream stream;
  EXPECT(stream.start(), "no executor");
  stream.inline_mode = mode;
  std::vector<int64_t> x(300, 1), expected(300, 1);
  auto operand = vector_of(x.data(), 300);
  auto capture = std::make_shared<Capture>();
  for (double attr : {5.0, 7.0}) {
    const double attrs[] = {attr, 0, 0};
    Args a{};
    a.in = a.out = &operand;
    a.attrs = attrs;
    a.n_in = a.n_out = 1;
    a.n_attrs = 3;
    capture->commands.push_back(Command::of(kOps[kAffine], a));
  }
  // The last command's attributes are drawn anew.
  capture->draws.push_back({capture->commands[1]->attrs, 0});
  capture->nanoseconds = 5000;
  const auto step = [&](int64_t c) {
    for (auto& v : expected) v = (3 * v + c) % 1000003;
  };
  for (int i = 0; i < 100; ++i) {
    stream.replay(capture, {static_cast<double>(i), 0, 0});
    step(5), step(i);
    submit(stream, kAffine, operand, operand, 11, i % 5 == 0 ? 50000 : 100);
    step(11);
    // Its last owner may be the stream.
    if (i == 99) capture.reset();
  }
  stream.sync();
  EXPECT(x == expected, "the results differ");
}

static void a_stream_can_be_stopped_in_a_replay() {
  for (int i = 0; i < 20; ++i) {
    std::vector<int64_t> x(300, 1);
    auto operand = vector_of(x.data(), 300);
    Stream stream;
    EXPECT(stream.start(), "no executor");
    auto capture = std::make_shared<Capture>();
    const double attr = 1;
    for (int k = 0; k < 500; ++k) {
      Args a{};
      a.in = a.out = &operand;
      a.attrs = &attr;
      a.n_in = a.n_out = a.n_attrs = 1;
      capture->commands.push_back(Command::of(kOps[kAffine], a));
    }
    capture->nanoseconds = 1e6;
    for (int k = 0; k < 5; ++k) stream.replay(capture, {});
    if (i % 2 == 0) stream.stop();
  }
}

// ---- Allocator

// As a prompt read in chunks does it: beside what recurs, a block that is larger each time.
static void blocks_of_sizes_that_nothing_takes_any_more_are_stale() {
  constexpr uint64_t kMiB = 1u << 20;
  Allocator allocator;
  uint64_t most = 0;
  for (uint64_t chunk = 1; chunk <= 64; ++chunk) {
    for (int i = 0; i < 300; ++i) {
      const bool crowded = allocator.crowded(2 * kMiB);
      void* recurs = allocator.allocate(2 * kMiB);
      EXPECT(i == 0 || !crowded, "what lies in the cache is not taken from it");
      allocator.free(recurs, 2 * kMiB);
    }
    if (allocator.crowded(chunk * kMiB)) allocator.clear_stale();
    void* grows = allocator.allocate(chunk * kMiB);
    std::memset(grows, 1, chunk * kMiB);
    allocator.free(grows, chunk * kMiB);
    most = std::max(most, allocator.stats().reserved);
    EXPECT(allocator.stats().live == 0, "bytes got lost");
  }
  EXPECT(most < 4 * 64 * kMiB, "%llu MiB were held for blocks of 64", static_cast<unsigned long long>(most / kMiB));
}

static void an_arena_keeps_its_blocks_until_it_is_closed() {
  Allocator allocator;
  // One from the general cache, two fresh ones, of which one large.
  void* cached = allocator.allocate(1000);
  allocator.free(cached, 1000);
  Allocator::Arena arena;
  void* a = allocator.allocate(1000, &arena);
  void* b = allocator.allocate(1000, &arena);
  void* large = allocator.allocate(3u << 20, &arena);
  EXPECT(a == cached && b != a, "the arena does not begin with what is free");
  const auto held = allocator.stats();
  EXPECT(held.captured == arena.bytes && held.live == arena.bytes && held.cached == 0, "captured %llu of %llu",
         static_cast<unsigned long long>(held.captured), static_cast<unsigned long long>(arena.bytes));
  allocator.free(a, 1000, &arena);
  allocator.free(large, 3u << 20, &arena);
  allocator.clear_cache();
  std::memset(large, 1, 3u << 20);
  void* other = allocator.allocate(1000);
  EXPECT(other != a && other != b, "someone else got a block of the arena");
  EXPECT(allocator.allocate(1000, &arena) == a && arena.bytes == held.captured, "the arena does not use its own again");
  allocator.set_limit(allocator.stats().live);
  EXPECT(allocator.allocate(3u << 20, &arena) == large, "the limit stops what is there already");
  EXPECT(allocator.allocate(3u << 20, &arena) == nullptr, "the limit does not count for arenas");
  allocator.set_limit(0);
  allocator.free(large, 3u << 20, &arena);
#ifndef __SANITIZE_ADDRESS__  // which wants a block for the same bytes alone
  // Another shape's tensors: a block up to twice as large as what is asked for, which stays what it is when freed.
  EXPECT(allocator.allocate(2u << 20, &arena) == large, "a larger block is not used");
  allocator.free(large, 2u << 20, &arena);
  EXPECT(allocator.allocate(3u << 20, &arena) == large, "a block became smaller by its use");
  allocator.free(large, 3u << 20, &arena);
  void* small = allocator.allocate(1u << 20, &arena);
  EXPECT(small != large, "a block three times as large is used");
  allocator.free(small, 1u << 20, &arena);
  EXPECT(allocator.allocate(1u << 20, &arena) == small, "not the smallest that serves");
  EXPECT(allocator.allocate(2u << 20, &arena) == large, "a larger block is not found");
  // In use when the arena closes.
  allocator.close(arena);
  allocator.free(small, 1u << 20, &arena);
  allocator.free(large, 2u << 20, &arena);
#else
  allocator.close(arena);
#endif
  EXPECT(allocator.stats().captured == 0, "still captured");
  allocator.free(a, 1000, &arena);
  allocator.free(b, 1000, &arena);
  allocator.free(other, 1000);
  EXPECT(allocator.stats().live == 0, "%llu live", static_cast<unsigned long long>(allocator.stats().live));
  allocator.clear_cache();
  EXPECT(allocator.stats().cached == 0 && allocator.stats().reserved == 0, "not all given back");
}

static void blocks_never_overlap() {
  Allocator allocator;
  uint64_t random = 88172645463325252ull;
  const auto next = [&random](uint64_t n) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random % n;
  };
  struct Block {
    uint64_t bytes;
    unsigned char mark;
  };
  std::map<char*, Block> live;
  for (int i = 0; i < 4000; ++i) {
    if (live.size() < 60 && next(3) != 0) {
      const uint64_t bytes = next(5) == 0 ? next(3u << 20) : next(5000);
      auto* p = static_cast<char*>(allocator.allocate(bytes));
      EXPECT(p != nullptr && reinterpret_cast<uintptr_t>(p) % 64 == 0, "block of %llu at %p",
             static_cast<unsigned long long>(bytes), static_cast<void*>(p));
      if (p == nullptr) continue;
      auto after = live.lower_bound(p);
      EXPECT(after == live.end() || p + std::max<uint64_t>(bytes, 1) <= after->first, "overlaps the next");
      EXPECT(after == live.begin() || std::prev(after)->first + std::prev(after)->second.bytes <= p, "overlaps");
      const auto mark = static_cast<unsigned char>(next(256));
      std::memset(p, mark, bytes);
      live[p] = {bytes, mark};
    } else if (!live.empty()) {
      auto it = std::next(live.begin(), static_cast<int64_t>(next(live.size())));
      const auto& [bytes, mark] = it->second;
      for (uint64_t k = 0; k < bytes; k += 1 + bytes / 64)
        EXPECT(static_cast<unsigned char>(it->first[k]) == mark, "a block changed");
      allocator.free(it->first, bytes);
      live.erase(it);
    }
    if (i % 500 == 499) allocator.clear_cache();
  }
  for (auto& [p, block] : live) allocator.free(p, block.bytes);
  EXPECT(allocator.stats().live == 0, "live %llu", static_cast<unsigned long long>(allocator.stats().live));
  allocator.clear_cache();
  EXPECT(allocator.stats().cached == 0 && allocator.stats().reserved == 0, "cached %llu, reserved %llu",
         static_cast<unsigned long long>(allocator.stats().cached),
         static_cast<unsigned long long>(allocator.stats().reserved));
  allocator.set_limit(1 << 20);
  EXPECT(allocator.allocate(2 << 20) == nullptr, "more than the limit");
  EXPECT(allocator.allocate(~uint64_t{0}) == nullptr, "2^64 - 1 bytes");
}

static void fragmentation_is_what_clearing_leaves_beside_the_live() {
  Allocator allocator;
  std::vector<void*> small;
  for (int i = 0; i < 40; ++i) small.push_back(allocator.allocate(500000));
  void* large = allocator.allocate(5u << 20);
  // One block in the first slab and one in the last stay.
  for (size_t i = 1; i + 1 < small.size(); ++i) allocator.free(small[i], 500000);
  allocator.free(large, 5u << 20);
  const auto before = allocator.stats();
  const uint64_t fragmented = allocator.fragmented();
  EXPECT(fragmented == (16u << 20) - before.live && before.reserved > before.live + fragmented,
         "%llu fragmented, %llu live, %llu reserved", static_cast<unsigned long long>(fragmented),
         static_cast<unsigned long long>(before.live), static_cast<unsigned long long>(before.reserved));
  allocator.clear_cache();
  EXPECT(allocator.fragmented() == fragmented && allocator.stats().reserved == before.live + fragmented,
         "%llu reserved afterwards", static_cast<unsigned long long>(allocator.stats().reserved));
  EXPECT(before.peak > before.live, "no peak");
  allocator.reset_peak();
  EXPECT(allocator.stats().peak == before.live, "the peak stays");
  allocator.free(small.front(), 500000);
  allocator.free(small.back(), 500000);
  allocator.clear_cache();
  EXPECT(allocator.fragmented() == 0 && allocator.stats().reserved == 0, "not all given back");
}

// The kernel's notes on the area of p: "hg" means that huge pages were asked for. "" where it makes no report.
static std::string flags_of(const void* p) {
  std::string flags;
  FILE* report = std::fopen("/proc/self/smaps", "r");
  if (report == nullptr) return flags;
  bool inside = false;
  char line[4096];
  while (std::fgets(line, sizeof line, report)) {
    unsigned long long from, to;
    const auto at = reinterpret_cast<uintptr_t>(p);
    if (std::sscanf(line, "%llx-%llx ", &from, &to) == 2) inside = at >= from && at < to;
    if (inside && std::strncmp(line, "VmFlags:", 8) == 0) flags = line + 8;
  }
  std::fclose(report);
  return flags;
}

static void large_blocks_and_slabs_ask_for_huge_pages() {
  // Whether it is noted at all: not without such pages, nor on an emulated CPU.
  constexpr size_t kProbe = 2u << 20;
  void* probe = mmap(nullptr, kProbe, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(probe, kProbe, MADV_HUGEPAGE);
  const bool noted = flags_of(probe).find(" hg") != std::string::npos;
  munmap(probe, kProbe);
  Allocator allocator;
  for (const uint64_t bytes : {uint64_t{64}, uint64_t{2} << 20, uint64_t{5} << 20, uint64_t{24} << 20}) {
    auto* p = static_cast<char*>(allocator.allocate(bytes));
    EXPECT(reinterpret_cast<uintptr_t>(p) % (2u << 20) == 0, "%llu bytes start at %p",
           static_cast<unsigned long long>(bytes), static_cast<void*>(p));
    const std::string flags = flags_of(p);
    EXPECT(!noted || flags.find(" hg") != std::string::npos, "%llu bytes:%s", static_cast<unsigned long long>(bytes),
           flags.c_str());
  }
  if (flags_of(&allocator).empty()) return;  // no report
  const Pages before = pages_of(allocator);
  auto* p = static_cast<char*>(allocator.allocate(16u << 20));
  EXPECT(pages_of(allocator).resident == before.resident, "resident before it is touched");
  std::memset(p, 1, 16u << 20);
  const Pages after = pages_of(allocator);
  EXPECT(after.resident == before.resident + (16u << 20), "%llu, then %llu resident",
         static_cast<unsigned long long>(before.resident), static_cast<unsigned long long>(after.resident));
  EXPECT(after.huge <= after.resident, "%llu huge of %llu", static_cast<unsigned long long>(after.huge),
         static_cast<unsigned long long>(after.resident));
}

static void what_the_system_lacks_is_null_and_allocation_goes_on() {
  Allocator allocator;
  allocator.set_limit(0);
  EXPECT(allocator.allocate(uint64_t{1} << 47) == nullptr, "more than the address space");
  EXPECT(allocator.stats().reserved == 0 && allocator.stats().live == 0 && allocator.stats().peak == 0,
         "it was counted");
  EXPECT(allocator.allocate(1000) != nullptr, "it does not go on");
}

// A block that was freed is handed out again while a queued command still uses it: the stream's order keeps them apart.
static void freeing_is_ordered_by_the_stream() {
  Allocator allocator;
  Stream stream;
  EXPECT(stream.start(), "no executor");
  stream.inline_mode = InlineMode::never;
  constexpr int kRounds = 200;
  std::vector<int64_t> sums(kRounds, -1);
  for (int i = 0; i < kRounds; ++i) {
    auto* x = static_cast<int64_t*>(allocator.allocate(400 * sizeof(int64_t)));
    stream.enqueue([x, i] { std::fill(x, x + 400, i); });
    submit(stream, kSum, vector_of(x, 400), vector_of(&sums[static_cast<size_t>(i)], 1), 0, 5000);
    allocator.free(x, 400 * sizeof(int64_t));
  }
  stream.sync();
  for (int i = 0; i < kRounds; ++i) EXPECT(sums[static_cast<size_t>(i)] == 400 * i, "round %d", i);
}

// Linux lists a CPU's caches, nearest first; what the C library says is the sum of a socket's on some.
static void the_last_cache_is_that_of_one_cpu() {
  unsigned long long last = 0;
  for (int i = 0;; ++i) {
    FILE* f = std::fopen(("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size").c_str(), "r");
    if (f == nullptr) break;
    EXPECT(std::fscanf(f, "%lluK", &last) == 1, "cache %d has no size in KiB", i);
    std::fclose(f);
  }
  const uint64_t bytes = last_cache_bytes();
  EXPECT(last == 0 ? bytes > 0 : bytes == last << 10, "%llu bytes for %llu KiB", static_cast<unsigned long long>(bytes),
         last);
}

int main() {
  Pool::instance().set_threads(3);
  every_chunk_runs_once();
  chunks_may_use_the_pool_themselves();
  commands_run_in_order(InlineMode::never, 400);
  commands_run_in_order(InlineMode::automatic, 400);
  commands_run_in_order(InlineMode::always, 100);
  streams_of_several_threads_share_the_pool();
  a_failure_stops_ops_and_not_tasks();
  a_stream_can_be_stopped_at_any_time();
  replays_take_their_place_in_the_order(InlineMode::never);
  replays_take_their_place_in_the_order(InlineMode::automatic);
  a_stream_can_be_stopped_in_a_replay();
  blocks_of_sizes_that_nothing_takes_any_more_are_stale();
  an_arena_keeps_its_blocks_until_it_is_closed();
  blocks_never_overlap();
  fragmentation_is_what_clearing_leaves_beside_the_live();
  large_blocks_and_slabs_ask_for_huge_pages();
  what_the_system_lacks_is_null_and_allocation_goes_on();
  freeing_is_ordered_by_the_stream();
  the_last_cache_is_that_of_one_cpu();
  return finish("runtime");
}
