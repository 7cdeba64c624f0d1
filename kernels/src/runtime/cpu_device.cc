#include <sys/mman.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>

#include "device.h"
#include "limits.h"
#include "pool.h"
#include "stream.h"

namespace shakti {
namespace {

constexpr uint64_t kHugePage = 2u << 20;
constexpr uint64_t kPage = 64u << 10;  // the largest of the usual sizes: mappings are multiples of it

struct Scratch {
  void* memory = nullptr;
  ~Scratch() {
    if (memory) munmap(memory, Context::kScratchBytes);
  }
};

// Chunks may run on pool threads, so it carries the stream and the op itself.
struct RunContext : Context {
  RunContext(Stream* s, const char* name) : stream(s), op(name), pool_threads(Pool::instance().threads()) {}
  Stream* stream;
  const char* op;
  int pool_threads;  // fixed while a command runs: kernels size arrays by it
};

class CpuDevice : public Device {
 public:
  // From a huge page on, memory starts on one.
  char* map(uint64_t* size) override {
    const uint64_t bytes = (*size + kPage - 1) / kPage * kPage;
    const uint64_t slack = bytes >= kHugePage ? kHugePage : 0;
    void* base = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    *size = bytes;
    char* start = static_cast<char*>(base);
    if (slack == 0) return start;
    const uint64_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
    if (before > 0) munmap(start, before);
    start += before;
    munmap(start + bytes, slack - before);
#ifdef MADV_HUGEPAGE
    madvise(start, bytes, MADV_HUGEPAGE);
#endif
    return start;
  }
  void unmap(char* start, uint64_t bytes) override { munmap(start, bytes); }
  uint64_t total_memory() const override { return system_memory(); }
  bool on_host() const override { return true; }
  std::shared_ptr<char> staging(uint64_t bytes) override {
    return std::shared_ptr<char>(static_cast<char*>(std::malloc(bytes)), std::free);
  }

  void run(const Op& op, const Args& args, Stream& stream) override {
    RunContext context(&stream, op.name);
    op.run[static_cast<int>(stream.isa)](args, context);
  }
  void fill(void* to, int byte, uint64_t bytes, Stream&) override { std::memset(to, byte, bytes); }
  void write(void* to, std::shared_ptr<char> from, uint64_t bytes, Stream&) override {
    std::memcpy(to, from.get(), bytes);
  }
  void read(char* to, const void* from, uint64_t bytes, Stream&, std::function<void()> done) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
    done();
  }
  void finish(Stream&) override {}
  size_t workspace(const Op& op, const Args& args) const override { return op.workspace ? op.workspace(args) : 0; }
  const char* lacks(const Op&) const override { return nullptr; }
  bool runs_inline() const override { return true; }
};

}  // namespace

Device& cpu_device() {
  static auto* device = new CpuDevice;  // never freed: executors may outlive static destructors
  return *device;
}

void Context::parallel_for_raw(int64_t n, int64_t grain, ChunkFn fn, void* closure) {
  Pool::instance().run(n, grain < 1 ? 1 : grain, threads(), fn, closure);
}

int Context::threads() const { return static_cast<const RunContext*>(this)->pool_threads; }

size_t Context::cache_bytes() const {
  static const size_t bytes = last_cache_bytes();
  return bytes;
}

void* Context::scratch(int) {
  thread_local Scratch mine;
  if (mine.memory == nullptr) {
    void* p = mmap(nullptr, kScratchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // A few MiB of address space; if the system has not even that, nothing can go on.
    if (p == MAP_FAILED) std::abort();
    mine.memory = p;
  }
  return mine.memory;
}

void Context::fail(const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  auto* self = static_cast<RunContext*>(this);
  self->stream->fail(self->op, text);
}

}  // namespace shakti
