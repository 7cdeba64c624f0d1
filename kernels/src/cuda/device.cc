#include "device.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "../runtime/stream.h"

namespace shakti::cuda {
namespace {

constexpr uint64_t kGranule = 2u << 20;  // the driver's own pages
constexpr uint64_t kSmallestPinned = 64u << 10;
constexpr size_t kPlainSharedBytes = 48u << 10;  // more than this a kernel must be allowed to use

std::string format_bytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1u << 20));
  return text;
}

// A file's bytes and a zero behind them; empty when there is none.
std::vector<char> contents(const std::string& path) {
  std::vector<char> bytes;
  FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  char part[1 << 16];
  for (size_t n; (n = std::fread(part, 1, sizeof part, file)) > 0;) bytes.insert(bytes.end(), part, part + n);
  std::fclose(file);
  if (!bytes.empty()) bytes.push_back(0);
  return bytes;
}

}  // namespace

CudaDevice::CudaDevice(const Driver& driver, int ordinal, std::string modules)
    : driver_(driver), ordinal_(ordinal), modules_(std::move(modules)), exact_([] {
        const char* wanted = std::getenv("SHAKTI_CUDA_EXACT");
        return wanted != nullptr && std::strcmp(wanted, "1") == 0;
      }()) {}

CudaDevice::Pinned::~Pinned() {
  driver.enter(context);
  for (auto& [size, blocks] : free)
    for (char* block : blocks) driver.host_free(block);
}

std::unique_ptr<CudaDevice> CudaDevice::open(int ordinal, const std::string& modules, std::string* why) {
  const int count = device_count(why);
  if (count == 0) return nullptr;
  if (ordinal < 0 || ordinal >= count) {
    *why = "there is no GPU " + std::to_string(ordinal) + ": the driver has " + std::to_string(count);
    return nullptr;
  }
  std::unique_ptr<CudaDevice> device(new CudaDevice(*driver(nullptr), ordinal, modules));
  if (!device->start(why)) return nullptr;
  return device;
}

bool CudaDevice::start(std::string* why) {
  if (!properties_of(ordinal_, &gpu_, why)) return false;
  if (gpu_.major < 8) {
    *why = gpu_.name + " has compute capability " + std::to_string(gpu_.major) + "." + std::to_string(gpu_.minor) +
           "; the kernels need 8.0 (Ampere) or later";
    return false;
  }
  CUresult r = driver_.context_retain(&context_, ordinal_);
  if (r == kSuccess) enter();
  // Not the legacy stream: that one waits for every other stream of the process.
  if (r == kSuccess) r = driver_.stream_create(&cuda_stream_, kStreamNonBlocking);
  if (r == kSuccess) r = driver_.event_create(&passed_, kEventDisableTiming);
  void* report = nullptr;
  if (r == kSuccess) r = driver_.host_allocate(&report, sizeof(Report), kHostMapped);
  if (r == kSuccess) {
    report_ = static_cast<Report*>(report);
    std::memset(report_, 0, sizeof *report_);
    r = driver_.host_address(&report_address_, report_, 0);
  }
  if (r != kSuccess) {
    *why = gpu_.name + " does not start: " + driver_.describe(r);
    return false;
  }
  CUdeviceptr random_now = 0;
  r = driver_.allocate(&random_now, sizeof(RandomNow));
  if (r != kSuccess) {
    *why = gpu_.name + " has no memory left: " + driver_.describe(r);
    return false;
  }
  random_now_ = reinterpret_cast<RandomNow*>(random_now);
  pinned_ = std::make_shared<Pinned>(driver_, context_);
  try {
    waiter_ = std::thread([this] { wait_for_arrivals(); });
  } catch (const std::system_error&) {
    *why = "the system gives no thread to wait for the GPU";
    return false;
  }
  return true;
}

CudaDevice::~CudaDevice() {
  stop();
  if (context_ == nullptr) return;
  enter();
  if (cuda_stream_) driver_.stream_wait(cuda_stream_);
  for (const Arrival& a : arrivals_) driver_.event_destroy(a.event);
  for (CUevent e : events_) driver_.event_destroy(e);
  for (CUevent e : marks_) driver_.event_destroy(e);
  if (passed_) driver_.event_destroy(passed_);
  for (auto& [name, module] : loaded_) driver_.module_unload(module);
  if (report_) driver_.host_free(report_);
  if (random_now_) driver_.free(reinterpret_cast<CUdeviceptr>(random_now_));
  if (cuda_stream_) driver_.stream_destroy(cuda_stream_);
  pinned_ = nullptr;
  driver_.context_release(ordinal_);
}

void CudaDevice::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (waiter_.joinable()) waiter_.join();
  for (Arrival& a : arrivals_) a.done = nullptr;  // whoever waits for one learns that it won't be called
}

// ---- Memory

char* CudaDevice::map(uint64_t* bytes) {
  enter();
  if (!exact_) *bytes = (*bytes + kGranule - 1) / kGranule * kGranule;
  CUdeviceptr address = 0;
  if (driver_.allocate(&address, *bytes) != kSuccess) return nullptr;
  return reinterpret_cast<char*>(address);
}

void CudaDevice::unmap(char* start, uint64_t) {
  enter();
  driver_.free(reinterpret_cast<CUdeviceptr>(start));
}

std::shared_ptr<char> CudaDevice::staging(uint64_t bytes) {
  uint64_t size = kSmallestPinned;
  while (size < bytes) size *= 2;
  char* block = nullptr;
  {
    std::lock_guard<std::mutex> lock(pinned_->mutex);
    auto& blocks = pinned_->free[size];
    if (!blocks.empty()) {
      block = blocks.back();
      blocks.pop_back();
    }
  }
  if (block == nullptr) {
    enter();
    void* fresh = nullptr;
    if (driver_.host_allocate(&fresh, size, 0) != kSuccess) return nullptr;
    block = static_cast<char*>(fresh);
  }
  return std::shared_ptr<char>(block, [pinned = pinned_, size](char* p) {
    std::lock_guard<std::mutex> lock(pinned->mutex);
    pinned->free[size].push_back(p);
  });
}

// ---- Failure

bool CudaDevice::refuse_if_lost(const char* op, Stream& stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (lost_.empty()) return false;
  stream.fail(op, lost_.c_str());
  return true;
}

bool CudaDevice::succeeded(CUresult result, const char* what, Stream& stream) {
  if (result == kSuccess) return true;
  const std::string said = driver_.describe(result);
  std::string message = "the GPU failed: " + said;
  // These leave the context as it was; after all others the driver refuses every call of this process.
  if (result != kOutOfMemory) {
    message += ". cuda:" + std::to_string(ordinal_) + " takes no more work in this process";
    std::lock_guard<std::mutex> lock(mutex_);
    if (lost_.empty()) lost_ = message;
  }
  stream.fail(what, message.c_str());
  return false;
}

void CudaDevice::collect_reports(Stream& stream) {
  std::lock_guard<std::mutex> lock(report_mutex_);
  if (reinterpret_cast<volatile Report*>(report_)->taken == 0) return;
  const Report r = *report_;
  std::memset(report_, 0, sizeof *report_);
  const bool known = r.op >= 0 && r.op < kOpCount;
  stream.fail(known ? kOps[r.op].name : "cuda", sentence(r).c_str());
}

// ---- Running

size_t CudaDevice::workspace(const Op& op, const Args& args) const {
  return op.cuda_workspace ? op.cuda_workspace(args) : 0;
}

const char* CudaDevice::lacks(const Op& op) const {
  return op.cuda ? nullptr : "has no CUDA kernel yet. Compute it on the CPU: x.to('cpu')";
}

void CudaDevice::run(const Op& op, const Args& args, Stream& stream) {
  if (refuse_if_lost(op.name, stream)) return;
  enter();
  Launch launch(*this, stream, op);
  op.cuda(args, launch);
}

void CudaDevice::fill(void* to, int byte, uint64_t bytes, Stream& stream) {
  if (bytes == 0 || refuse_if_lost("fill", stream)) return;
  enter();
  succeeded(driver_.set_bytes(reinterpret_cast<CUdeviceptr>(to), static_cast<unsigned char>(byte), bytes, cuda_stream_),
            "fill", stream);
}

void CudaDevice::write(void* to, std::shared_ptr<char> from, uint64_t bytes, Stream& stream) {
  if (refuse_if_lost("upload", stream)) return;
  enter();
  const CUresult r = driver_.copy_in(reinterpret_cast<CUdeviceptr>(to), from.get(), bytes, cuda_stream_);
  // The pinned bytes are the copy's until it is done; a capture keeps those of its own copies.
  if (succeeded(r, "upload", stream) && !capturing_)
    arrive({nullptr, std::move(from), nullptr, 0, &stream, {}}, stream);
}

void CudaDevice::read(char* to, const void* from, uint64_t bytes, Stream& stream, std::function<void()> done) {
  if (refuse_if_lost("read", stream)) return done();
  enter();
  std::shared_ptr<char> pinned;
  if (bytes > 0) {
    pinned = staging(bytes);
    if (!pinned) {
      stream.fail("read", ("no pinned memory for a copy of " + format_bytes(bytes)).c_str());
      return done();
    }
    const CUresult r = driver_.copy_out(pinned.get(), reinterpret_cast<CUdeviceptr>(from), bytes, cuda_stream_);
    if (!succeeded(r, "read", stream)) return done();
  }
  arrive({nullptr, std::move(pinned), to, bytes, &stream, std::move(done)}, stream);
}

// The streams wait for each other on the GPUs, not here: the source's until the memory is free, the target's until it
// is written. A wait is for what was recorded when it was queued, so one event a device does for all copies. Where the
// two cannot reach each other's memory the driver goes through the host's by itself.
void CudaDevice::copy_from(Device& other, Stream& source_stream, const void* from, void* to, uint64_t bytes,
                           Stream& stream) {
  auto& source = static_cast<CudaDevice&>(other);
  if (source.refuse_if_lost("to", source_stream) || refuse_if_lost("to", stream)) return;
  enter();
  if (!succeeded(driver_.event_record(passed_, cuda_stream_), "to", stream)) return;
  source.enter();
  CUresult r = driver_.stream_wait_event(source.cuda_stream_, passed_, 0);
  if (r == kSuccess)
    r = driver_.copy_peer(reinterpret_cast<CUdeviceptr>(to), context_, reinterpret_cast<CUdeviceptr>(from),
                          source.context_, bytes, source.cuda_stream_);
  if (r == kSuccess) r = driver_.event_record(source.passed_, source.cuda_stream_);
  enter();
  if (r == kSuccess) r = driver_.stream_wait_event(cuda_stream_, source.passed_, 0);
  if (r != kSuccess) {
    // Either GPU may be at fault; this one lacks the bytes.
    stream.fail("to",
                ("the copy from cuda:" + std::to_string(source.ordinal_) + " failed: " + driver_.describe(r)).c_str());
    return;
  }
  // What is wrong with the source is known once the copy has run: before anything that is read here afterwards.
  arrive({nullptr, nullptr, nullptr, 0, &stream,
          [&source, &source_stream, &stream] {
            if (!source.sound(source_stream)) stream.fail("to", kSourceFailed);
          }},
         stream);
}

bool CudaDevice::sound(Stream& stream) {
  enter();
  const CUresult r = driver_.event_query(passed_);
  if (r == kNotReady || succeeded(r, "synchronize", stream)) collect_reports(stream);
  return !stream.failed();
}

void CudaDevice::arrive(Arrival arrival, Stream& stream) {
  CUevent event = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!events_.empty()) {
      event = events_.back();
      events_.pop_back();
    }
  }
  if ((event == nullptr && !succeeded(driver_.event_create(&event, kEventDisableTiming), "event", stream)) ||
      !succeeded(driver_.event_record(event, cuda_stream_), "event", stream)) {
    if (arrival.done) arrival.done();
    return;
  }
  arrival.event = event;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    arrivals_.push_back(std::move(arrival));
  }
  changed_.notify_all();
}

void CudaDevice::wait_for_arrivals() {
  for (;;) {
    Arrival* next;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !arrivals_.empty(); });
      if (stopping_) return;
      next = &arrivals_.front();
    }
    Arrival& a = *next;
    enter();
    if (succeeded(driver_.event_wait(a.event), "read", *a.stream)) {
      collect_reports(*a.stream);
      if (a.to != nullptr && a.bytes > 0) std::memcpy(a.to, a.pinned.get(), a.bytes);
    }
    a.pinned = nullptr;
    if (a.done) a.done();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back(a.event);
      arrivals_.pop_front();
    }
    changed_.notify_all();
  }
}

void CudaDevice::finish(Stream& stream) {
  if (refuse_if_lost("synchronize", stream)) return;
  enter();
  if (!succeeded(driver_.stream_wait(cuda_stream_), "synchronize", stream)) return;
  collect_reports(stream);
  // All have arrived; what they say may not have been heard yet.
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || arrivals_.empty(); });
}

void CudaDevice::mark(Stream& stream) {
  if (refuse_if_lost("mark", stream)) return;
  enter();
  CUevent event = nullptr;
  if (!succeeded(driver_.event_create(&event, 0), "mark", stream)) return;
  marks_.push_back(event);
  succeeded(driver_.event_record(event, cuda_stream_), "mark", stream);
}

std::vector<double> CudaDevice::times(Stream& stream) {
  enter();
  std::vector<double> milliseconds;
  for (size_t i = 1; i < marks_.size() && !stream.failed(); ++i) {
    float passed = 0;
    if (succeeded(driver_.event_elapsed(&passed, marks_[i - 1], marks_[i]), "mark", stream))
      milliseconds.push_back(static_cast<double>(passed));
  }
  for (CUevent event : marks_) driver_.event_destroy(event);
  marks_.clear();
  return milliseconds;
}

// ---- Captures

CUgraphExec CudaDevice::graph_of(Capture& capture, Stream& stream) {
  if (capture.made) return static_cast<CUgraphExec>(capture.made.get());
  // Kernels are found before the capture begins: loading a module is not allowed in it.
  CUgraph graph = nullptr;
  if (!succeeded(driver_.stream_begin_capture(cuda_stream_, kCaptureModeThreadLocal), "replay", stream)) return nullptr;
  capturing_ = &capture;
  for (const Command::Ptr& c : capture.commands) {
    if (c->op == nullptr)
      c->task();
    else
      run(*c->op, c->args, stream);
  }
  capturing_ = nullptr;
  const CUresult ended = driver_.stream_end_capture(cuda_stream_, &graph);
  if (stream.failed() || !succeeded(ended, "replay", stream)) return nullptr;
  CUgraphExec made = nullptr;
  const CUresult r = driver_.graph_instantiate(&made, graph, 0);
  driver_.graph_destroy(graph);
  if (!succeeded(r, "replay", stream)) return nullptr;
  capture.made = std::shared_ptr<void>(made, [driver = &driver_, context = context_](void* p) {
    driver->enter(context);
    driver->graph_exec_destroy(static_cast<CUgraphExec>(p));
  });
  return made;
}

bool CudaDevice::replay(Capture& capture, const RandomState& now, Stream& stream) {
  if (refuse_if_lost("replay", stream)) return true;
  enter();
  // The first run is one by one: it loads the modules, which a capture must not do.
  if (!capture.seen) {
    capture.seen = true;
    return false;
  }
  CUgraphExec graph = graph_of(capture, stream);
  if (graph == nullptr) return true;
  if (!capture.draws.empty()) {
    const std::shared_ptr<char> from = staging(sizeof(RandomNow));
    if (!from) {
      stream.fail("replay", "no pinned memory for the state of the random numbers");
      return true;
    }
    const RandomNow begin{static_cast<uint64_t>(now.seed_lo) | static_cast<uint64_t>(now.seed_hi) << 32,
                          static_cast<uint64_t>(now.offset)};
    std::memcpy(from.get(), &begin, sizeof begin);
    write(random_now_, from, sizeof begin, stream);
  }
  succeeded(driver_.graph_launch(graph, cuda_stream_), "replay", stream);
  return true;
}

// ---- Kernels

std::string CudaDevice::capability() const { return std::to_string(gpu_.major) + "." + std::to_string(gpu_.minor); }

CUmodule CudaDevice::module(const std::string& family, std::string* why) {
  const auto it = loaded_.find(family);
  if (it != loaded_.end()) return it->second;
  // What a release carries, and what `build:cuda --ptx` leaves.
  CUmodule module = nullptr;
  for (const char* form : {".fatbin", ".sm_90a.ptx", ".ptx"}) {
    if (std::strstr(form, "90a") && (gpu_.major != 9 || gpu_.minor != 0)) continue;
    const std::vector<char> image = contents(modules_ + "/" + family + form);
    if (image.empty()) continue;
    const CUresult r = driver_.module_load(&module, image.data(), 0, nullptr, nullptr);
    if (r == kSuccess) {
      loaded_[family] = module;
      return module;
    }
    if (r == kUnsupportedPtxVersion)
      *why = "the driver is too old for the kernels' PTX and they hold no code for compute capability " + capability();
    else if (r == kNoBinaryForGpu)
      *why = "the kernels hold no code for " + gpu_.name + " (compute capability " + capability() + ")";
    else
      *why = "the driver refuses the kernels '" + family + form + "': " + driver_.describe(r);
  }
  if (why->empty())
    *why = "the CUDA kernels of '" + family + "' were not found in " + modules_ +
           ". Build them: npm run build:cuda (needs nvcc 12 or 13)";
  return nullptr;
}

CUfunction CudaDevice::function(const char* family, const char* name, Stream& stream, const char* op) {
  std::string key = std::string(family) + "/" + name;
  const auto it = functions_.find(key);
  if (it != functions_.end()) return it->second;
  std::string why;
  CUmodule from = module(family, &why);
  if (from == nullptr) {
    stream.fail(op, why.c_str());
    return nullptr;
  }
  CUfunction f = nullptr;
  const CUresult r = driver_.module_function(&f, from, name);
  if (r != kSuccess) {
    const std::string missing = r == kNotFound ? "" : ": " + driver_.describe(r);
    stream.fail(op, ("the CUDA kernels of '" + std::string(family) + "' have no '" + name +
                     "' for compute capability " + capability() + missing + ". Rebuild them: npm run build:cuda")
                        .c_str());
    return nullptr;
  }
  functions_[std::move(key)] = f;
  return f;
}

// ---- Launch

const DeviceProperties& Launch::gpu() const { return device_.gpu_; }

Reporter Launch::reporter() const {
  return {reinterpret_cast<Report*>(device_.report_address_), static_cast<int>(&op_ - kOps)};
}

RandomStart Launch::random_start(const Args& a, int first) const {
  const uint64_t key = static_cast<uint64_t>(a.attr(first)) | static_cast<uint64_t>(a.attr(first + 1)) << 32;
  const auto offset = static_cast<uint64_t>(a.attr(first + 2));
  if (!device_.capturing_) return {key, offset, nullptr};
  // The attributes say where the last replay one by one began.
  return {key, offset - static_cast<uint64_t>(device_.capturing_->begun), device_.random_now_};
}

void Launch::fail(const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  stream_.fail(op_.name, text);
}

void Launch::zero(void* to, size_t bytes) {
  if (!stream_.failed()) device_.fill(to, 0, bytes, stream_);
}

bool Launch::tensor_map(DType dtype, const TiledMatrices& m, TensorMap* map) {
  if (stream_.failed()) return false;
  const auto bytes = static_cast<int64_t>(dtype_size(dtype));
  const auto u = [](int64_t n) { return static_cast<uint64_t>(n); };
  // One matrix, or one line, has no stride; the driver wants one all the same, a multiple of 16 bytes.
  const int64_t line = m.lines > 1 ? m.line_stride * bytes : (m.columns * bytes + 15) / 16 * 16;
  const uint64_t sizes[] = {u(m.columns), u(m.lines), u(m.matrices)};
  const uint64_t strides[] = {u(line), u(m.matrices > 1 ? m.matrix_stride * bytes : line * m.lines)};
  const unsigned tile[] = {static_cast<unsigned>(m.tile_columns), static_cast<unsigned>(m.tile_lines), 1};
  const unsigned steps[] = {1, 1, 1};
  const CUresult r =
      device_.driver_.encode_tiled(map, dtype == DType::bf16 ? kMapBf16 : kMapF16, 3, const_cast<void*>(m.data), sizes,
                                   strides, tile, steps, 0, kMapSwizzle128, kMapPromote256, 0);
  if (r != kSuccess) fail("the driver takes no tensor map of its operands: %s", device_.driver_.describe(r).c_str());
  return r == kSuccess;
}

void Launch::start(const char* family, const char* name, Dim grid, Dim block, void** params, size_t shared_bytes) {
  if (stream_.failed() || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr int64_t kMaxX = 0x7fffffff, kMaxYZ = 65535;
  const bool fits = grid.x > 0 && grid.x <= kMaxX && grid.y > 0 && grid.y <= kMaxYZ && grid.z > 0 && grid.z <= kMaxYZ &&
                    block.x > 0 && block.y > 0 && block.z > 0 && block.x * block.y * block.z <= 1024 &&
                    shared_bytes <= static_cast<size_t>(device_.gpu_.shared_bytes);
  if (!fits) {
    fail(
        "the launch of %s is too large for the GPU: grid %lld x %lld x %lld, block %lld x %lld x %lld, %zu bytes "
        "shared",
        name, static_cast<long long>(grid.x), static_cast<long long>(grid.y), static_cast<long long>(grid.z),
        static_cast<long long>(block.x), static_cast<long long>(block.y), static_cast<long long>(block.z),
        shared_bytes);
    return;
  }
  CUfunction f = device_.function(family, name, stream_, op_.name);
  if (f == nullptr) return;
  if (shared_bytes > kPlainSharedBytes && device_.shared_limits_[f] < shared_bytes) {
    const CUresult r = device_.driver_.function_set(f, kMaxDynamicSharedBytes, static_cast<int>(shared_bytes));
    if (!device_.succeeded(r, op_.name, stream_)) return;
    device_.shared_limits_[f] = shared_bytes;
  }
  const auto u = [](int64_t n) { return static_cast<unsigned>(n); };
  device_.succeeded(
      device_.driver_.launch(f, u(grid.x), u(grid.y), u(grid.z), u(block.x), u(block.y), u(block.z),
                             u(static_cast<int64_t>(shared_bytes)), device_.cuda_stream_, params, nullptr),
      op_.name, stream_);
}

}  // namespace shakti::cuda
