// The driver itself: cuInit, the settings in the environment, and what belongs to threads.
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include "call.h"
#include "chip.h"

namespace sim {
namespace {

// "2147483648", "512M", "2G": false for anything else.
bool parse_bytes(const char* text, uint64_t* bytes) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long n = std::strtoull(text, &end, 10);
  if (end == text || errno != 0 || *text == '-') return false;
  int shift = 0;
  if (*end == 'K' || *end == 'k') shift = 10;
  if (*end == 'M' || *end == 'm') shift = 20;
  if (*end == 'G' || *end == 'g') shift = 30;
  if (shift > 0) ++end;
  if (*end != '\0' || n > (UINT64_MAX >> shift)) return false;
  *bytes = static_cast<uint64_t>(n) << shift;
  return true;
}

struct Settings {
  std::string error;

  const char* text(const char* name) const {
    const char* value = std::getenv(name);
    return value && *value ? value : nullptr;
  }
  void bad(const char* name, const char* value, const char* wanted) {
    if (error.empty()) error = std::string(name) + "=" + value + ": wanted is " + wanted + ".";
  }
  int number(const char* name, int otherwise, int low, int high) {
    const char* value = text(name);
    if (!value) return otherwise;
    char* end = nullptr;
    const long n = std::strtol(value, &end, 10);
    if (end != value && *end == '\0' && n >= low && n <= high) return static_cast<int>(n);
    bad(name, value, ("a number from " + std::to_string(low) + " to " + std::to_string(high)).c_str());
    return otherwise;
  }
  uint64_t bytes(const char* name, uint64_t otherwise) {
    const char* value = text(name);
    uint64_t n = otherwise;
    if (value && (!parse_bytes(value, &n) || n < (1 << 20))) bad(name, value, "bytes, or 512M, or 2G, at least 1M");
    return n;
  }
  bool flag(const char* name) { return number(name, 0, 0, 1) == 1; }
  int word(const char* name, int otherwise, std::initializer_list<const char*> words) {
    const char* value = text(name);
    if (!value) return otherwise;
    int at = 0;
    std::string all;
    for (const char* candidate : words) {
      if (std::strcmp(value, candidate) == 0) return at;
      all += (at++ > 0 ? ", " : "one of ") + std::string(candidate);
    }
    bad(name, value, all.c_str());
    return otherwise;
  }
};

CUresult init(Driver& d) {
  Settings settings;
  if (!Options::from_environment(&d.options, &settings.error)) {
    if (settings.error.empty()) settings.error = "a setting SHAKTI_SIM_* was not understood.";
  }
  const int devices = settings.number("SHAKTI_SIM_DEVICES", 1, 0, 16);
  const uint64_t memory = settings.bytes("SHAKTI_SIM_MEMORY", 2ull << 30);
  d.order = static_cast<Order>(settings.word("SHAKTI_SIM_STREAMS", 0, {"lazy", "eager", "random"}));
  d.fill = static_cast<Fill>(settings.word("SHAKTI_SIM_FILL", 0, {"garbage", "nan", "zero"}));
  const int counters = settings.word("SHAKTI_SIM_COUNTERS", 0, {"0", "1", "launches"});
  d.counting = counters > 0;
  d.count_launches = counters == 2;
  d.leaks = settings.flag("SHAKTI_SIM_LEAKS");
  d.verbose = settings.flag("SHAKTI_SIM_VERBOSE");
  d.idle_ms = settings.number("SHAKTI_SIM_IDLE_MS", 5, 1, 60'000);
  d.version_reported = settings.number("SHAKTI_SIM_DRIVER_VERSION", 13000, 1000, 99'999);
  if (const char* report = settings.text("SHAKTI_SIM_REPORT")) d.report = report;
  d.limits = limits_of(d.options.arch);
  d.chip = chip_of(d.options.arch);
  if (!d.limits || !d.chip)
    settings.bad("SHAKTI_SIM_ARCH", std::to_string(d.options.arch).c_str(), "a chip known here");
  if (!settings.error.empty()) {
    say("%s", settings.error.c_str());
    return CUDA_ERROR_INVALID_VALUE;
  }
  d.random_state = d.options.seed * 0x9E3779B97F4A7C15ull + 1;
  if (devices == 0) return CUDA_ERROR_NO_DEVICE;
  for (int i = 0; i < devices; ++i) {
    auto device = std::make_unique<Device>();
    device->ordinal = i;
    device->memory = std::make_unique<Memory>(memory, d.fill);
    device->default_pool = std::make_shared<Pool>();
    device->default_pool->device = device.get();
    device->default_pool->is_default = true;
    d.pools.add(device->default_pool);
    device->pool = device->default_pool;
    d.devices.push_back(std::move(device));
  }
  return CUDA_SUCCESS;
}

}  // namespace

Driver& driver() {
  static Driver* the_driver = new Driver;
  return *the_driver;
}

ThreadState& thread_state() {
  static thread_local ThreadState state;
  return state;
}

// splitmix64
uint64_t Driver::random(uint64_t below) {
  uint64_t z = random_state += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return (z ^ (z >> 31)) % below;
}

}  // namespace sim

using namespace sim;

CU_API cuInit(unsigned flags) {
  Driver& d = driver();
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (thread_state().in_callback) return CUDA_ERROR_NOT_PERMITTED;
  try {
    std::lock_guard<std::mutex> lock(d.mutex);
    if (!d.initialised) {
      d.init_result = init(d);
      d.initialised = true;
    }
    return d.init_result;
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

CU_API cuDriverGetVersion(int* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  Driver& d = driver();
  std::lock_guard<std::mutex> lock(d.mutex);
  // Answered before cuInit too, which is when programs ask.
  Settings settings;
  *version = d.initialised ? d.version_reported : settings.number("SHAKTI_SIM_DRIVER_VERSION", 13000, 1000, 99'999);
  return CUDA_SUCCESS;
}
