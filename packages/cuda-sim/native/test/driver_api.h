// Opens the library as a program does, and calls it by name. A test is a function with a name that says what it claims;
// each runs in a process of its own, since a fault stays with a context and settings are read once.
#pragma once
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "../driver/api.h"

namespace test {

inline void* library = nullptr;
inline int failures = 0;

inline void* symbol(const char* name) {
  void* at = dlsym(library, name);
  if (!at) {
    std::printf("FAIL the library has no %s\n", name);
    std::exit(1);
  }
  return at;
}

// call("cuMemAlloc_v2", &p, bytes): the arguments must have the very types of the entry point.
template <class... Args>
CUresult call(const char* name, Args... args) {
  return reinterpret_cast<CUresult (*)(Args...)>(symbol(name))(args...);
}

inline const char* name_of(CUresult code) {
  const char* text = nullptr;
  call("cuGetErrorName", code, &text);
  return text ? text : "?";
}

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::printf("FAIL %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++test::failures;                                                \
    }                                                                  \
  } while (0)

#define GIVES(code, ...)                                                                                               \
  do {                                                                                                                 \
    const CUresult given_ = (__VA_ARGS__);                                                                             \
    if (given_ != (code)) {                                                                                            \
      std::printf("FAIL %s:%d: %s gave %s, not %s\n", __FILE__, __LINE__, #__VA_ARGS__, test::name_of(given_), #code); \
      ++test::failures;                                                                                                \
    }                                                                                                                  \
  } while (0)
#define OK(...) GIVES(CUDA_SUCCESS, __VA_ARGS__)

struct Case {
  const char* name;
  void (*run)();
  std::vector<std::pair<const char*, const char*>> settings;
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Register {
  Register(const char* name, void (*run)(), std::vector<std::pair<const char*, const char*>> settings) {
    cases().push_back({name, run, std::move(settings)});
  }
};
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
// TEST("what it claims", {"SHAKTI_SIM_X", "value"}, ...) { ... }
#define TEST(name, ...)                                                                              \
  static void JOIN(test_, __LINE__)();                                                               \
  static const test::Register JOIN(register_, __LINE__)(name, JOIN(test_, __LINE__), {__VA_ARGS__}); \
  static void JOIN(test_, __LINE__)()

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// driver_test LIBRARY FIXTURES [part of a name]
inline std::string fixtures;
inline int main_of(int argc, char** argv) {
  if (argc < 3) {
    std::printf("usage: %s libcuda.so.1 fixtures [part of a test's name]\n", argv[0]);
    return 2;
  }
  fixtures = argv[2];
  int passed = 0, failed = 0;
  for (const Case& one : cases()) {
    if (argc > 3 && !std::strstr(one.name, argv[3])) continue;
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      for (const auto& [name, value] : one.settings) setenv(name, value, 1);
      library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
      if (!library) {
        std::printf("FAIL %s\n", dlerror());
        std::exit(1);
      }
      one.run();
      std::fflush(stdout);
      std::exit(failures > 0 ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status)) std::printf("FAIL ended by signal %d\n", WTERMSIG(status));
    std::printf("%s %s\n", good ? "ok" : "not ok", one.name);
    ++(good ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

// A context, the fixtures' module, and the calls that nearly every test makes.
struct Device {
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  explicit Device(int ordinal = 0) {
    OK(call("cuInit", 0u));
    OK(call("cuDevicePrimaryCtxRetain", &context, ordinal));
    OK(call("cuCtxSetCurrent", context));
    const std::string ptx = read_file(fixtures + "/driver.ptx");
    OK(call("cuModuleLoadData", &module, static_cast<const void*>(ptx.c_str())));
  }
  CUfunction function(const char* name) const {
    CUfunction f = nullptr;
    OK(call("cuModuleGetFunction", &f, module, name));
    return f;
  }
};

inline CUdeviceptr allocate(size_t bytes) {
  CUdeviceptr p = 0;
  OK(call("cuMemAlloc_v2", &p, bytes));
  return p;
}
inline CUresult free_memory(CUdeviceptr p) { return call("cuMemFree_v2", p); }
template <class T = float>
T* pinned(size_t count) {
  void* p = nullptr;
  OK(call("cuMemAllocHost_v2", &p, count * sizeof(T)));
  return static_cast<T*>(p);
}
inline CUstream stream(unsigned flags = CU_STREAM_NON_BLOCKING) {
  CUstream s = nullptr;
  OK(call("cuStreamCreate", &s, flags));
  return s;
}
inline CUevent event(unsigned flags = CU_EVENT_DISABLE_TIMING) {
  CUevent e = nullptr;
  OK(call("cuEventCreate", &e, flags));
  return e;
}
inline CUresult record(CUevent e, CUstream s) { return call("cuEventRecord", e, s); }
inline CUresult wait(CUstream s, CUevent e) { return call("cuStreamWaitEvent", s, e, 0u); }
inline CUresult synchronize(CUstream s) { return call("cuStreamSynchronize", s); }
inline CUresult synchronize() { return call("cuCtxSynchronize"); }
inline CUresult to_device(CUdeviceptr to, const void* from, size_t n) { return call("cuMemcpyHtoD_v2", to, from, n); }
inline CUresult to_host(void* to, CUdeviceptr from, size_t n) { return call("cuMemcpyDtoH_v2", to, from, n); }
inline CUresult to_device(CUdeviceptr to, const void* from, size_t n, CUstream s) {
  return call("cuMemcpyHtoDAsync_v2", to, from, n, s);
}
inline CUresult to_host(void* to, CUdeviceptr from, size_t n, CUstream s) {
  return call("cuMemcpyDtoHAsync_v2", to, from, n, s);
}
template <class... Args>
CUresult launch(CUfunction f, unsigned grid, unsigned block, unsigned shared, CUstream s, Args... args) {
  void* params[] = {&args..., nullptr};
  return call("cuLaunchKernel", f, grid, 1u, 1u, block, 1u, 1u, shared, s, static_cast<void**>(params),
              static_cast<void**>(nullptr));
}
// x = x * scale + shift over n floats
inline CUresult affine(const Device& d, CUdeviceptr x, float scale, float shift, unsigned n, CUstream s) {
  return launch(d.function("affine"), (n + 63) / 64, 64, 0, s, x, scale, shift, n);
}
inline float first(CUdeviceptr p) {
  float value = 0;
  OK(to_host(&value, p, sizeof value));
  return value;
}
inline void put(CUdeviceptr p, float value) {
  OK(to_device(p, &value, sizeof value));
  OK(synchronize());
}

}  // namespace test
