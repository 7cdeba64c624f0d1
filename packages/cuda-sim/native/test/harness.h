// A check that counts and goes on, and a device to run PTX on.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../exec/machine.h"

inline int checks = 0, failures = 0;

#define EXPECT(condition, ...)                         \
  do {                                                 \
    ++checks;                                          \
    if (!(condition)) {                                \
      std::printf("FAIL %s:%d: ", __FILE__, __LINE__); \
      std::printf(__VA_ARGS__);                        \
      std::printf("\n");                               \
      ++failures;                                      \
    }                                                  \
  } while (0)

inline int finish(const char* name) {
  std::printf(failures != 0 ? "%s: %d of %d checks failed\n" : "%s: good\n", name, failures, checks);
  return failures != 0 ? 1 : 0;
}

struct Device {
  sim::Memory memory{uint64_t{4} << 30};
  std::unique_ptr<sim::Module> module;
  sim::Options options;
  sim::Fault fault;
  sim::Counters counters;
  std::vector<uint64_t> allocated;

  bool load(const std::string& ptx) {
    std::string log;
    module = sim::Module::load(ptx, memory, &log);
    EXPECT(module != nullptr, "%s", log.c_str());
    return module != nullptr;
  }
  bool load_file(const std::string& path) {
    const std::string here = __FILE__;
    std::ifstream in(here.substr(0, here.rfind('/') + 1) + path);
    std::stringstream text;
    text << in.rdbuf();
    EXPECT(!text.str().empty(), "no file %s", path.c_str());
    return !text.str().empty() && load(text.str());
  }
  template <class T>
  uint64_t put(const std::vector<T>& v) {
    const uint64_t bytes = v.size() * sizeof(T);
    const uint64_t at = empty(bytes);
    std::memcpy(memory.host(at, bytes), v.data(), bytes);
    memory.mark_initialised(at, bytes);
    return at;
  }
  uint64_t empty(uint64_t bytes) {
    const uint64_t at = memory.allocate(bytes);
    EXPECT(at != 0, "no memory");
    allocated.push_back(at);
    return at;
  }
  template <class T>
  std::vector<T> get(uint64_t at, size_t n) {
    std::vector<T> v(n);
    std::memcpy(v.data(), memory.host(at, n * sizeof(T)), n * sizeof(T));
    return v;
  }
  void release() {
    for (uint64_t at : allocated) memory.free(at);
    allocated.clear();
  }

  struct Arguments {
    const sim::Function& f;
    std::vector<char> bytes;
    size_t next = 0;
    explicit Arguments(const sim::Function& f) : f(f), bytes(f.parameter_bytes()) {}
    template <class T>
    void add(T v) {
      const auto& p = f.parameters().at(next++);
      EXPECT(p.bytes == sizeof(T), "parameter %zu has %zu bytes", next - 1, static_cast<size_t>(p.bytes));
      std::memcpy(bytes.data() + p.offset, &v, std::min<size_t>(sizeof(T), p.bytes));
    }
  };
  // False: see fault.
  template <class... T>
  bool run(const char* kernel, sim::Dim3 grid, sim::Dim3 block, uint32_t dynamic, T... arguments) {
    sim::Function* f = module->function(kernel);
    if (f == nullptr) {
      EXPECT(false, "no kernel %s", kernel);
      return false;
    }
    Arguments a(*f);
    (a.add(arguments), ...);
    sim::Launch l;
    l.function = f;
    l.grid = grid;
    l.block = block;
    l.dynamic_shared = dynamic;
    l.params = a.bytes;
    l.cooperative = cooperative;
    fault = {};
    return sim::run(l, memory, options, counting ? &counters : nullptr, &fault);
  }
  bool counting = false, cooperative = false;
};

inline uint16_t bf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return static_cast<uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
inline float from_bf16(uint16_t x) {
  const uint32_t u = static_cast<uint32_t>(x) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
// Numbers that are the same everywhere: in -1..1.
struct Random {
  uint64_t s;
  explicit Random(uint64_t seed) : s(seed * 0x9E3779B97F4A7C15u + 1) {}
  uint32_t word() {
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return static_cast<uint32_t>(s >> 16);
  }
  float number() { return static_cast<float>(word() & 0xFFFFFF) / 8388608.0f - 1.0f; }
};
