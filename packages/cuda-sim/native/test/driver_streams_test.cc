// Streams: when work runs, what order may be relied on, and what an asynchronous copy reads.
#include <atomic>
#include <chrono>
#include <thread>

#include "driver_api.h"

using namespace test;

// The mistake that a GPU shows now and then, shown always: the copy reads its pinned source when it runs, and it runs
// late, so it finds what the program wrote into the buffer meanwhile.
TEST("a pinned buffer reused before its asynchronous copy was waited for arrives with the new values") {
  Device d;
  const CUdeviceptr x = allocate(4), y = allocate(4);
  float* buffer = pinned(1);
  const CUstream s = stream();
  *buffer = 1;
  OK(to_device(x, buffer, 4, s));
  *buffer = 2;  // too early
  OK(to_device(y, buffer, 4, s));
  OK(synchronize(s));
  CHECK(first(x) == 2);
  CHECK(first(y) == 2);
}

TEST("a pinned buffer reused after a wait arrives with the old values") {
  Device d;
  const CUdeviceptr x = allocate(4), y = allocate(4);
  float* buffer = pinned(1);
  const CUstream s = stream();
  const CUevent copied = event();
  *buffer = 1;
  OK(to_device(x, buffer, 4, s));
  OK(record(copied, s));
  OK(call("cuEventSynchronize", copied));
  *buffer = 2;
  OK(to_device(y, buffer, 4, s));
  OK(synchronize(s));
  CHECK(first(x) == 1);
  CHECK(first(y) == 2);
}

TEST("pageable memory is staged at the call, so that it may be reused at once") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream s = stream();
  float buffer = 1;
  OK(to_device(x, &buffer, 4, s));
  buffer = 2;
  OK(synchronize(s));
  CHECK(first(x) == 1);
}

TEST("a copy from the device to pageable memory has happened on return, to pinned memory after a wait") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 5);
  const CUstream s = stream();
  float* late = pinned(1);
  *late = 0;
  OK(affine(d, x, 2, 0, 1, s));
  OK(to_host(late, x, 4, s));
  CHECK(*late == 0);
  float now = 0;
  OK(to_host(&now, x, 4, s));
  CHECK(now == 10);
  CHECK(*late == 10);  // it was before that in the stream
}

TEST("pinned memory freed before its copy ran is a fault that says so",
     {"SHAKTI_SIM_REPORT", "/tmp/cuda-sim-freed.jsonl"}) {
  std::remove("/tmp/cuda-sim-freed.jsonl");
  Device d;
  const CUdeviceptr x = allocate(4);
  float* buffer = pinned(1);
  const CUstream s = stream();
  OK(to_device(x, buffer, 4, s));
  OK(call("cuMemFreeHost", static_cast<void*>(buffer)));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  const std::string report = read_file("/tmp/cuda-sim-freed.jsonl");
  CHECK(report.find("\"kind\":\"use-after-free\"") != std::string::npos);
  CHECK(report.find("pinned host memory was freed") != std::string::npos);
  std::remove("/tmp/cuda-sim-freed.jsonl");
}

TEST("nothing runs before something waits for it") {
  Device d;
  std::atomic<int>* runs = new std::atomic<int>(0);
  float* seen = pinned(1);
  *seen = -1;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream a = stream(), b = stream();
  OK(affine(d, x, 3, 0, 1, a));
  OK(to_host(seen, x, 4, a));
  OK(call("cuLaunchKernel", d.function("empty"), 1u, 1u, 1u, 1u, 1u, 1u, 0u, b, static_cast<void**>(nullptr),
          static_cast<void**>(nullptr)));
  OK(synchronize(b));
  CHECK(*seen == -1);  // that was another stream
  OK(synchronize(a));
  CHECK(*seen == 3);
  delete runs;
}

TEST("two streams without an event between them run in the order that the program did not mean") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream a = stream(), b = stream();
  OK(affine(d, x, 10, 0, 1, a));  // meant to be first
  OK(affine(d, x, 1, 5, 1, b));
  OK(synchronize());
  CHECK(first(x) == 60);  // (1 + 5) * 10
}

TEST("an event between two streams is kept") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream a = stream(), b = stream();
  const CUevent done = event();
  OK(affine(d, x, 10, 0, 1, a));
  OK(record(done, a));
  OK(wait(b, done));
  OK(affine(d, x, 1, 5, 1, b));
  OK(synchronize(b));
  CHECK(first(x) == 15);
}

TEST("an event stands for the work before its record, not for what came later") {
  Device d;
  const CUdeviceptr x = allocate(4), y = allocate(4);
  put(x, 1);
  put(y, 1);
  float* seen = pinned(2);
  seen[0] = seen[1] = 0;
  const CUstream a = stream();
  const CUevent middle = event();
  OK(to_host(&seen[0], x, 4, a));
  OK(record(middle, a));
  OK(to_host(&seen[1], y, 4, a));
  OK(call("cuEventSynchronize", middle));
  CHECK(seen[0] == 1);
  CHECK(seen[1] == 0);
  OK(synchronize(a));
  CHECK(seen[1] == 1);
}

TEST("an event recorded again waits for the new place") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  float* seen = pinned(1);
  *seen = 0;
  const CUstream a = stream();
  const CUevent e = event();
  OK(record(e, a));
  OK(to_host(seen, x, 4, a));
  OK(record(e, a));
  OK(call("cuEventSynchronize", e));
  CHECK(*seen == 1);
}

TEST("an event that was never recorded is complete, and a wait for it does nothing") {
  Device d;
  const CUevent e = event();
  OK(call("cuEventQuery", e));
  OK(call("cuEventSynchronize", e));
  OK(wait(stream(), e));
}

TEST("the legacy default stream waits for blocking streams and they for it; non-blocking ones do neither") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream blocking = stream(CU_STREAM_DEFAULT), free_stream = stream();
  put(x, 1);
  OK(affine(d, x, 10, 0, 1, blocking));
  OK(affine(d, x, 1, 5, 1, nullptr));
  OK(affine(d, x, 10, 0, 1, blocking));
  OK(synchronize(blocking));
  CHECK(first(x) == 150);
  put(x, 1);
  OK(affine(d, x, 10, 0, 1, free_stream));
  OK(affine(d, x, 1, 5, 1, nullptr));
  OK(synchronize());
  CHECK(first(x) == 60);
}

TEST("a thread's own default stream is a blocking stream of that thread") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  OK(affine(d, x, 10, 0, 1, CU_STREAM_PER_THREAD));
  OK(affine(d, x, 1, 5, 1, CU_STREAM_LEGACY));
  OK(affine(d, x, 10, 0, 1, CU_STREAM_PER_THREAD));
  OK(synchronize(CU_STREAM_PER_THREAD));
  CHECK(first(x) == 150);
}

TEST("a blocking copy of pageable memory may still be under way on return: a non-blocking stream has to wait for it") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const float two = 2;
  const CUstream s = stream();
  OK(to_device(x, &two, 4));
  OK(affine(d, x, 10, 0, 1, s));
  OK(synchronize(s));
  CHECK(first(x) == 2);  // the kernel ran on the old value, then the copy arrived
}

TEST("a query says not ready, does one piece of the work, and comes to an end") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  for (int i = 0; i < 3; ++i) OK(affine(d, x, 2, 0, 1, s));
  int asked = 0;
  CUresult r = CUDA_ERROR_NOT_READY;
  for (; asked < 10 && (r = call("cuStreamQuery", s)) == CUDA_ERROR_NOT_READY; ++asked) {
  }
  OK(r);
  CHECK(asked == 3);
  CHECK(first(x) == 8);
}

TEST("a destroyed stream's work still runs") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  CUstream s = stream(CU_STREAM_DEFAULT);
  OK(affine(d, x, 3, 0, 1, s));
  OK(call("cuStreamDestroy_v2", s));
  GIVES(CUDA_ERROR_INVALID_HANDLE, synchronize(s));
  CHECK(first(x) == 3);  // in the legacy stream, which waits for it
}

static std::atomic<int> called{0};
static CUresult inside = CUDA_SUCCESS;

TEST("a host function runs in its stream's order, and may not call the driver") {
  Device d;
  float* seen = pinned(1);
  const CUdeviceptr x = allocate(4);
  put(x, 4);
  const CUstream s = stream();
  OK(to_host(seen, x, 4, s));
  const CUhostFn check = [](void* p) {
    called = static_cast<int>(*static_cast<float*>(p));
    size_t bytes = 0;
    inside = call("cuMemGetInfo_v2", &bytes, &bytes);
  };
  OK(call("cuLaunchHostFunc", s, check, static_cast<void*>(seen)));
  OK(synchronize(s));
  CHECK(called == 4);
  CHECK(inside == CUDA_ERROR_NOT_PERMITTED);
}

TEST("a host function that nobody waits for runs after a while") {
  Device d;
  const CUstream s = stream();
  const CUhostFn add = [](void*) { ++called; };
  OK(call("cuLaunchHostFunc", s, add, static_cast<void*>(nullptr)));
  for (int i = 0; i < 1000 && called == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(called == 1);
}

TEST("a host function may wait for another thread that uses another stream") {
  Device d;
  const CUstream a = stream(), b = stream();
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  OK(affine(d, x, 7, 0, 1, b));
  const CUhostFn until = [](void*) {
    while (called == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  OK(call("cuLaunchHostFunc", a, until, static_cast<void*>(nullptr)));
  std::thread other([&] {
    OK(call("cuCtxSetCurrent", d.context));
    OK(synchronize(b));
    called = 1;
  });
  OK(synchronize(a));
  other.join();
  CHECK(first(x) == 7);
}

TEST("a callback of a stream is told of a fault before its turn, a host function is left out") {
  Device d;
  const CUstream s = stream();
  const CUdeviceptr x = allocate(4);
  OK(launch(d.function("past_the_end"), 1, 1, 0, s, x, 1u));
  static CUresult told = CUDA_SUCCESS;
  const CUstreamCallback callback = [](CUstream, CUresult status, void*) { told = status; };
  const CUhostFn never = [](void*) { ++called; };
  OK(call("cuStreamAddCallback", s, callback, static_cast<void*>(nullptr), 0u));
  OK(call("cuLaunchHostFunc", s, never, static_cast<void*>(nullptr)));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  for (int i = 0; i < 1000 && told == CUDA_SUCCESS; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(told == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(called == 0);
}

TEST("memory freed in a stream's order is there until then and gone after it") {
  Device d;
  const CUstream s = stream();
  CUdeviceptr x = 0;
  OK(call("cuMemAllocAsync", &x, size_t{4}, s));
  OK(call("cuMemsetD32Async", x, 0x3f800000u, size_t{1}, s));
  OK(affine(d, x, 3, 0, 1, s));
  float* seen = pinned(1);
  OK(to_host(seen, x, 4, s));
  OK(call("cuMemFreeAsync", x, s));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemFreeAsync", x, s));
  OK(affine(d, x, 3, 0, 1, s));  // too late
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  CHECK(*seen == 3);
}

// A program that orders its work rightly: its result may not depend on how the streams are run.
static float chain(const Device& d) {
  constexpr int kStreams = 4, kRounds = 25;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  CUstream streams[kStreams];
  CUevent events[kStreams];
  for (int i = 0; i < kStreams; ++i) {
    streams[i] = stream(i % 2 == 0 ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT);
    events[i] = event();
  }
  const CUdeviceptr scratch = allocate(4 * kStreams);
  OK(call("cuMemsetD32_v2", scratch, 0u, size_t{kStreams}));
  OK(synchronize());
  for (int round = 0; round < kRounds; ++round) {
    const int i = (round * 7) % kStreams, before = (round * 7 + kStreams - 7 % kStreams) % kStreams;
    if (round > 0) OK(wait(streams[i], events[before]));
    OK(affine(d, x, round % 2 == 0 ? 1.5f : 0.75f, static_cast<float>(round), 1, streams[i]));
    OK(affine(d, scratch + 4 * static_cast<CUdeviceptr>(i), 1, 1, 1, streams[i]));
    OK(record(events[i], streams[i]));
  }
  OK(synchronize());
  return first(x);
}
static float expected() {
  float x = 1;
  for (int round = 0; round < 25; ++round) x = x * (round % 2 == 0 ? 1.5f : 0.75f) + static_cast<float>(round);
  return x;
}

TEST("a rightly ordered program gives one result: lazy") { CHECK(chain(Device()) == expected()); }
TEST("a rightly ordered program gives one result: eager", {"SHAKTI_SIM_STREAMS", "eager"}) {
  CHECK(chain(Device()) == expected());
}
TEST("a rightly ordered program gives one result: random 1", {"SHAKTI_SIM_STREAMS", "random"},
     {"SHAKTI_SIM_SEED", "1"}) {
  CHECK(chain(Device()) == expected());
}
TEST("a rightly ordered program gives one result: random 2", {"SHAKTI_SIM_STREAMS", "random"},
     {"SHAKTI_SIM_SEED", "2"}) {
  CHECK(chain(Device()) == expected());
}
TEST("a rightly ordered program gives one result: random 3", {"SHAKTI_SIM_STREAMS", "random"},
     {"SHAKTI_SIM_SEED", "3"}) {
  CHECK(chain(Device()) == expected());
}

TEST("eager streams run at the call", {"SHAKTI_SIM_STREAMS", "eager"}) {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 2);
  float* seen = pinned(1);
  *seen = 0;
  OK(to_host(seen, x, 4, stream()));
  CHECK(*seen == 2);
}

TEST("many threads, each with its stream, in one context") {
  Device d;
  constexpr int kThreads = 8, kRounds = 50;
  std::vector<float> results(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      OK(call("cuCtxSetCurrent", d.context));
      const CUstream s = stream();
      const CUdeviceptr x = allocate(64);
      float* mine = pinned(1);
      *mine = static_cast<float>(t);
      OK(to_device(x, mine, 4, s));
      for (int i = 0; i < kRounds; ++i) {
        OK(affine(d, x, 1, 1, 1, s));
        if (i % 10 == t % 10) OK(synchronize(s));
      }
      OK(to_host(mine, x, 4, s));
      OK(synchronize(s));
      results[static_cast<size_t>(t)] = *mine;
      OK(call("cuStreamDestroy_v2", s));
      OK(free_memory(x));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) CHECK(results[static_cast<size_t>(t)] == static_cast<float>(t + kRounds));
}

TEST("a long chain of work runs without deep recursion") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 0);
  const CUstream s = stream();
  const CUfunction f = d.function("affine");
  for (int i = 0; i < 20000; ++i) OK(launch(f, 1, 1, 0, s, x, 1.0f, 1.0f, 1u));
  OK(synchronize(s));
  CHECK(first(x) == 20000);
  for (int i = 0; i < 20000; ++i) OK(launch(f, 1, 1, 0, s, x, 1.0f, 1.0f, 1u));
  OK(call("cuDevicePrimaryCtxRelease_v2", 0));
}

TEST("there is no time: what an event measures is not a number") {
  Device d;
  const CUstream s = stream();
  const CUevent start = event(0), end = event(0), untimed = event();
  float ms = 1;
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuEventElapsedTime_v2", &ms, start, end));  // not recorded
  OK(record(start, s));
  OK(record(end, s));
  OK(record(untimed, s));
  OK(synchronize(s));
  OK(call("cuEventElapsedTime_v2", &ms, start, end));
  CHECK(ms != ms);
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuEventElapsedTime_v2", &ms, start, untimed));
}

int main(int argc, char** argv) { return main_of(argc, argv); }
