#include "driver.h"

#include <dlfcn.h>

#include <cstdlib>

namespace shakti::cuda {
namespace {

constexpr int kOldest = 12000;  // CUDA 12.0, as cuDriverGetVersion counts

struct Loaded {
  Driver api{};
  std::string why;  // empty: it works
};

const Loaded& load() {
  static const Loaded* loaded = [] {
    auto* l = new Loaded;
    const char* named = std::getenv("SHAKTI_LIBCUDA");
    const std::string path = named && *named ? named : "libcuda.so.1";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* said = dlerror();
      l->why = named && *named ? "SHAKTI_LIBCUDA names '" + path + "', which does not load: " + (said ? said : "")
                               : "this machine has no NVIDIA driver (libcuda.so.1 was not found)";
      return l;
    }
    if (dlsym(library, "cuInit") == nullptr) {
      l->why = "'" + path + "' is not NVIDIA's driver: it lacks cuInit";
      return l;
    }
    const auto find = [&](const char* symbol) {
      void* p = dlsym(library, symbol);
      if (p == nullptr && l->why.empty())
        l->why = "the NVIDIA driver is too old: it lacks " + std::string(symbol) + " (CUDA 12 or later has it)";
      return p;
    };
#define FIND(member, symbol, arguments) l->api.member = reinterpret_cast<CUresult(*) arguments>(find(symbol));
    SHAKTI_DRIVER_API(FIND)
#undef FIND
    if (!l->why.empty()) return l;
    int version = 0;
    if (l->api.driver_version(&version) == kSuccess && version < kOldest) {
      l->why = "the NVIDIA driver is too old: it knows CUDA " + std::to_string(version / 1000) + "." +
               std::to_string(version % 1000 / 10) + ", and this needs 12.0 or later";
      return l;
    }
    const CUresult started = l->api.init(0);
    if (started == kNoDevice)
      l->why = "the NVIDIA driver finds no GPU";
    else if (started != kSuccess)
      l->why = "the NVIDIA driver does not start: " + l->api.describe(started);
    return l;
  }();
  return *loaded;
}

}  // namespace

std::string Driver::describe(CUresult code) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name) error_name(code, &name);
  if (error_text) error_text(code, &text);
  std::string all = name ? name : "error " + std::to_string(code);
  if (text) all += std::string(" (") + text + ")";
  return all;
}

void Driver::enter(CUcontext context) const {
  thread_local CUcontext current = nullptr;
  if (current == context) return;
  context_set(context);
  current = context;
}

const Driver* driver(std::string* why) {
  const Loaded& l = load();
  if (l.why.empty()) return &l.api;
  if (why) *why = l.why;
  return nullptr;
}

int device_count(std::string* why) {
  const Driver* d = driver(why);
  if (d == nullptr) return 0;
  int count = 0;
  const CUresult r = d->device_count(&count);
  if (r == kSuccess && count > 0) return count;
  if (why) *why = r == kSuccess ? "the NVIDIA driver finds no GPU" : d->describe(r);
  return 0;
}

bool properties_of(int ordinal, DeviceProperties* p, std::string* why) {
  const Driver* d = driver(why);
  if (d == nullptr) return false;
  CUdevice device = 0;
  char name[256] = {0};
  size_t bytes = 0;
  CUresult r = d->device_get(&device, ordinal);
  const auto attribute = [&](int which, int* value) {
    if (r == kSuccess) r = d->device_attribute(value, which, device);
  };
  if (r == kSuccess) r = d->device_name(name, sizeof name, device);
  if (r == kSuccess) r = d->device_memory(&bytes, device);
  attribute(kComputeMajor, &p->major);
  attribute(kComputeMinor, &p->minor);
  attribute(kMultiprocessorCount, &p->multiprocessors);
  attribute(kMaxSharedPerBlockOptin, &p->shared_bytes);
  if (r != kSuccess) {
    if (why) *why = d->describe(r);
    return false;
  }
  p->name = name;
  p->bytes = bytes;
  return true;
}

}  // namespace shakti::cuda
