// Devices, contexts, modules, memory, launches: what works, and with which code the rest is refused.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "driver_api.h"

using namespace test;

static int attribute(CUdevice_attribute which, CUdevice device = 0) {
  int value = -12345;
  OK(call("cuDeviceGetAttribute", &value, which, device));
  return value;
}
static bool contains(const std::string& text, const char* part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("\"%s\" is not in: %s\n", part, text.c_str());
  return false;
}

// Runs body in a process of its own and returns what that wrote to a report file, at its end too.
template <class F>
std::string report_of(F&& body) {
  char path[] = "/tmp/cuda-sim-report-XXXXXX";
  close(mkstemp(path));
  const pid_t child = fork();
  if (child == 0) {
    setenv("SHAKTI_SIM_REPORT", path, 1);
    body();
    std::exit(failures > 0 ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  const std::string text = read_file(path);
  std::remove(path);
  return text;
}

TEST("nothing works before cuInit, but the version and the names of errors") {
  int n = 0;
  GIVES(CUDA_ERROR_NOT_INITIALIZED, call("cuDeviceGetCount", &n));
  GIVES(CUDA_ERROR_NOT_INITIALIZED, call("cuCtxSynchronize"));
  OK(call("cuDriverGetVersion", &n));
  CHECK(n == 13000);
  const char* text = nullptr;
  OK(call("cuGetErrorString", CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(std::string(text) == "out of memory");
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuGetErrorName", static_cast<CUresult>(12345), &text));
  CHECK(text == nullptr);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuInit", 1u));
  OK(call("cuInit", 0u));
  OK(call("cuInit", 0u));
  OK(call("cuDeviceGetCount", &n));
  CHECK(n == 1);
}

TEST("devices say that they are no GPU, and have the limits of the chip asked for", {"SHAKTI_SIM_DEVICES", "3"},
     {"SHAKTI_SIM_ARCH", "89"}, {"SHAKTI_SIM_MEMORY", "512M"}) {
  OK(call("cuInit", 0u));
  int n = 0;
  OK(call("cuDeviceGetCount", &n));
  CHECK(n == 3);
  CUdevice device = -1;
  OK(call("cuDeviceGet", &device, 2));
  GIVES(CUDA_ERROR_INVALID_DEVICE, call("cuDeviceGet", &device, 3));
  GIVES(CUDA_ERROR_INVALID_DEVICE, call("cuDeviceGet", &device, -1));
  char name[64];
  OK(call("cuDeviceGetName", name, 64, 2));
  CHECK(contains(name, "no GPU"));
  OK(call("cuDeviceGetName", name, 4, 2));
  CHECK(std::strlen(name) == 3);
  size_t bytes = 0;
  OK(call("cuDeviceTotalMem_v2", &bytes, 0));
  CHECK(bytes == size_t{512} << 20);
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) == 8);
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) == 9);
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE) == 32);
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) == 99 * 1024);
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) == 128);
  int value = 0;
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuDeviceGetAttribute", &value, static_cast<CUdevice_attribute>(100000), 0));
  GIVES(CUDA_ERROR_INVALID_DEVICE, call("cuDeviceGetAttribute", &value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 7));
  CUuuid a{}, b{};
  OK(call("cuDeviceGetUuid_v2", &a, 0));
  OK(call("cuDeviceGetUuid_v2", &b, 1));
  CHECK(std::memcmp(&a, &b, sizeof a) != 0);
  char bus[32];
  OK(call("cuDeviceGetPCIBusId", bus, 32, 1));
  OK(call("cuDeviceGetByPCIBusId", &device, static_cast<const char*>(bus)));
  CHECK(device == 1);
}

TEST("without a device cuInit says so", {"SHAKTI_SIM_DEVICES", "0"}) {
  GIVES(CUDA_ERROR_NO_DEVICE, call("cuInit", 0u));
  int n = 0;
  GIVES(CUDA_ERROR_NO_DEVICE, call("cuDeviceGetCount", &n));
}

TEST("a setting that is not understood is refused, not passed over", {"SHAKTI_SIM_STREAMS", "lazzy"}) {
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuInit", 0u));
}

TEST("an older driver can be played", {"SHAKTI_SIM_DRIVER_VERSION", "12040"}) {
  int version = 0;
  OK(call("cuInit", 0u));
  OK(call("cuDriverGetVersion", &version));
  CHECK(version == 12040);
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  OK(call("cuDevicePrimaryCtxRetain", &context, 0));
  OK(call("cuCtxSetCurrent", context));
  const std::string ptx = read_file(fixtures + "/driver.ptx");  // PTX 9.0
  GIVES(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, call("cuModuleLoadData", &module, static_cast<const void*>(ptx.c_str())));
}

TEST("the current context is a stack of each thread") {
  OK(call("cuInit", 0u));
  CUcontext a = nullptr, b = nullptr, got = nullptr;
  OK(call("cuCtxGetCurrent", &got));
  CHECK(got == nullptr);
  CUdeviceptr x = 0;
  GIVES(CUDA_ERROR_INVALID_CONTEXT, call("cuMemAlloc_v2", &x, size_t{4}));
  GIVES(CUDA_ERROR_INVALID_CONTEXT, call("cuCtxPopCurrent_v2", &got));
  OK(call("cuCtxCreate_v2", &a, 0u, 0));
  OK(call("cuCtxCreate_v2", &b, 0u, 0));
  OK(call("cuCtxGetCurrent", &got));
  CHECK(got == b);
  std::thread([&] {
    CUcontext mine = a;
    OK(call("cuCtxGetCurrent", &mine));
    CHECK(mine == nullptr);
    OK(call("cuCtxPushCurrent_v2", a));
  }).join();
  OK(call("cuCtxPopCurrent_v2", &got));
  CHECK(got == b);
  OK(call("cuCtxGetCurrent", &got));
  CHECK(got == a);
  OK(call("cuCtxDestroy_v2", a));
  OK(call("cuCtxGetCurrent", &got));
  CHECK(got == nullptr);
  OK(call("cuCtxPushCurrent_v2", b));
  std::thread([&] { OK(call("cuCtxDestroy_v2", b)); }).join();
  GIVES(CUDA_ERROR_CONTEXT_IS_DESTROYED, call("cuMemAlloc_v2", &x, size_t{4}));
  GIVES(CUDA_ERROR_INVALID_CONTEXT, call("cuCtxSetCurrent", b));
}

TEST("what belongs to a context goes with it") {
  Device d;
  const CUdeviceptr x = allocate(1 << 20);
  const CUstream s = stream();
  const CUevent e = event();
  put(x, 1);
  OK(affine(d, x, 1, 1, 1, s));
  OK(call("cuDevicePrimaryCtxRelease_v2", 0));
  GIVES(CUDA_ERROR_INVALID_CONTEXT, call("cuDevicePrimaryCtxRelease_v2", 0));
  CUcontext context = nullptr;
  OK(call("cuDevicePrimaryCtxRetain", &context, 0));
  CHECK(context == d.context);
  GIVES(CUDA_ERROR_INVALID_HANDLE, synchronize(s));
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuEventSynchronize", e));
  GIVES(CUDA_ERROR_INVALID_VALUE, free_memory(x));
  CUfunction f = nullptr;
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuModuleGetFunction", &f, d.module, "add"));
  size_t free_bytes = 0, total = 0;
  OK(call("cuMemGetInfo_v2", &free_bytes, &total));
  CHECK(free_bytes == total);
}

TEST("memory: allocated, found, freed, refused", {"SHAKTI_SIM_MEMORY", "8M"}) {
  Device d;
  CUdeviceptr x = 0, base = 0;
  size_t bytes = 0, before = 0, total = 0, now = 0;
  OK(call("cuMemGetInfo_v2", &before, &total));
  CHECK(total == 8 << 20);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemAlloc_v2", &x, size_t{0}));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemAlloc_v2", static_cast<CUdeviceptr*>(nullptr), size_t{4}));
  GIVES(CUDA_ERROR_OUT_OF_MEMORY, call("cuMemAlloc_v2", &x, size_t{9} << 20));
  GIVES(CUDA_ERROR_OUT_OF_MEMORY, call("cuMemAlloc_v2", &x, SIZE_MAX));
  OK(call("cuMemAlloc_v2", &x, size_t{1000}));
  CHECK(x % 256 == 0);
  OK(call("cuMemGetInfo_v2", &now, &total));
  CHECK(now < before);
  OK(call("cuMemGetAddressRange_v2", &base, &bytes, x + 999));
  CHECK(base == x && bytes == 1000);
  GIVES(CUDA_ERROR_NOT_FOUND, call("cuMemGetAddressRange_v2", &base, &bytes, x + 1000));
  GIVES(CUDA_ERROR_INVALID_VALUE, free_memory(x + 4));
  char host[1001] = {};
  GIVES(CUDA_ERROR_INVALID_VALUE, to_host(host, x, 1001));
  GIVES(CUDA_ERROR_INVALID_VALUE, to_device(x + 1, host, 1000));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemsetD32_v2", x + 2, 0u, size_t{1}));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemsetD8_v2", x, static_cast<unsigned char>(0), size_t{1001}));
  OK(free_memory(x));
  GIVES(CUDA_ERROR_INVALID_VALUE, free_memory(x));
  OK(free_memory(0));
  GIVES(CUDA_ERROR_INVALID_VALUE, to_host(host, x, 4));
  OK(call("cuMemGetInfo_v2", &now, &total));
  CHECK(now == before);
  // Again and again: what is freed can be had again.
  for (int i = 0; i < 1000; ++i) OK(free_memory(allocate(4 << 20)));
}

TEST("host pointers that point nowhere are refused") {
  Device d;
  const CUdeviceptr x = allocate(4096);
  GIVES(CUDA_ERROR_INVALID_VALUE, to_device(x, reinterpret_cast<void*>(0x10), 4));
  GIVES(CUDA_ERROR_INVALID_VALUE, to_device(x, nullptr, 4));
  GIVES(CUDA_ERROR_INVALID_VALUE, to_device(x, reinterpret_cast<void*>(x), 4));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemHostRegister_v2", reinterpret_cast<void*>(0x1000), size_t{4096}, 0u));
  OK(to_device(x, nullptr, 0));
  // Memory of the program that is gone when the copy runs.
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK(call("cuMemHostRegister_v2", page, size_t{4096}, 0u));
  const CUstream s = stream();
  OK(to_device(x, page, 4096, s));
  munmap(page, 4096);
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
}

TEST("pinned memory: allocated, registered, known by its pointer, reached by kernels") {
  Device d;
  float* p = pinned(1000);
  void* null = nullptr;
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemAllocHost_v2", &null, size_t{0}));
  CUdeviceptr device = 0;
  unsigned flags = 0, type = 0;
  OK(call("cuMemHostGetDevicePointer_v2", &device, static_cast<void*>(p), 0u));
  CHECK(device == reinterpret_cast<CUdeviceptr>(p));
  OK(call("cuMemHostGetFlags", &flags, static_cast<void*>(p)));
  OK(call("cuPointerGetAttribute", static_cast<void*>(&type), CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device));
  CHECK(type == CU_MEMORYTYPE_HOST);
  for (int i = 0; i < 1000; ++i) p[i] = static_cast<float>(i);
  OK(affine(d, device, 2, 1, 1000, nullptr));
  OK(synchronize());
  CHECK(p[999] == 1999);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemHostUnregister", static_cast<void*>(p)));
  OK(call("cuMemFreeHost", static_cast<void*>(p)));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemFreeHost", static_cast<void*>(p)));

  std::vector<float> own(2048, 1.0f);
  void* at = own.data();
  OK(call("cuMemHostRegister_v2", at, own.size() * 4, 0u));
  GIVES(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, call("cuMemHostRegister_v2", at, size_t{4}, 0u));
  GIVES(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
        call("cuMemHostRegister_v2", static_cast<void*>(own.data() + 2000), size_t{4096}, 0u));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemFreeHost", at));
  OK(affine(d, reinterpret_cast<CUdeviceptr>(at), 3, 0, 2048, nullptr));
  OK(synchronize());
  CHECK(own[2047] == 3);
  OK(call("cuMemHostUnregister", at));
  GIVES(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, call("cuMemHostUnregister", at));
  OK(affine(d, reinterpret_cast<CUdeviceptr>(at), 3, 0, 2048, nullptr));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize());
}

TEST("what a pointer is", {"SHAKTI_SIM_DEVICES", "2"}) {
  Device one(1);
  const CUdeviceptr x = allocate(100);
  unsigned type = 0;
  int ordinal = -1;
  CUcontext context = nullptr;
  CUdeviceptr start = 0;
  size_t bytes = 0;
  CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                 CU_POINTER_ATTRIBUTE_CONTEXT, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                 CU_POINTER_ATTRIBUTE_RANGE_SIZE};
  void* data[] = {&type, &ordinal, &context, &start, &bytes};
  OK(call("cuPointerGetAttributes", 5u, static_cast<CUpointer_attribute*>(which), static_cast<void**>(data), x + 50));
  CHECK(type == CU_MEMORYTYPE_DEVICE && ordinal == 1 && context == one.context && start == x && bytes == 100);
  float local = 0;
  OK(call("cuPointerGetAttributes", 5u, static_cast<CUpointer_attribute*>(which), static_cast<void**>(data),
          reinterpret_cast<CUdeviceptr>(&local)));
  CHECK(type == 0 && ordinal == -2 && context == nullptr && start == 0 && bytes == 0);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuPointerGetAttribute", static_cast<void*>(&type),
                                       CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(&local)));
}

TEST("fills and copies of rows") {
  Device d;
  CUdeviceptr x = 0;
  size_t pitch = 0;
  OK(call("cuMemAllocPitch_v2", &x, &pitch, size_t{12}, size_t{4}, 4u));
  CHECK(pitch >= 12 && pitch % 4 == 0);
  OK(call("cuMemsetD2D32_v2", x, pitch, 7u, size_t{3}, size_t{4}));
  OK(call("cuMemsetD16_v2", x + pitch, static_cast<unsigned short>(0x0102), size_t{2}));
  OK(call("cuMemsetD8_v2", x + 2 * pitch, static_cast<unsigned char>(9), size_t{1}));
  int host[4][5];
  std::memset(host, -1, sizeof host);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = x;
  copy.srcPitch = pitch;
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = host;
  copy.dstPitch = sizeof host[0];
  copy.dstXInBytes = 4;
  copy.WidthInBytes = 12;
  copy.Height = 4;
  const auto* constant = static_cast<const CUDA_MEMCPY2D*>(&copy);
  OK(call("cuMemcpy2D_v2", constant));
  CHECK(host[0][0] == -1 && host[0][1] == 7 && host[0][3] == 7 && host[0][4] == -1);
  CHECK(host[1][1] == 0x01020102 && host[1][2] == 7);
  CHECK(host[2][1] == 0x00000009 && host[3][3] == 7);
  copy.srcPitch = 8;
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemcpy2D_v2", constant));
  copy.srcPitch = pitch;
  copy.Height = 5;
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuMemcpy2D_v2", constant));
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  GIVES(CUDA_ERROR_NOT_SUPPORTED, call("cuMemcpy2D_v2", constant));
  // By addresses alone, which say themselves where they are.
  int value = 5, back = 0;
  OK(call("cuMemcpy", x, reinterpret_cast<CUdeviceptr>(&value), size_t{4}));
  OK(call("cuMemcpy", reinterpret_cast<CUdeviceptr>(&back), x, size_t{4}));
  CHECK(back == 5);
}

TEST("modules: functions, variables, constants") {
  Device d;
  CUfunction f = nullptr;
  GIVES(CUDA_ERROR_NOT_FOUND, call("cuModuleGetFunction", &f, d.module, "nothing"));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuModuleGetFunction", &f, d.module, static_cast<const char*>(nullptr)));
  CHECK(d.function("add") == d.function("add"));
  CUdeviceptr counter = 0;
  size_t bytes = 0;
  OK(call("cuModuleGetGlobal_v2", &counter, &bytes, d.module, "counter"));
  CHECK(bytes == 4);
  GIVES(CUDA_ERROR_NOT_FOUND, call("cuModuleGetGlobal_v2", &counter, &bytes, d.module, "missing"));
  OK(launch(d.function("count"), 3, 50, 0, nullptr));
  unsigned n = 0;
  OK(to_host(&n, counter, 4));
  CHECK(n == 150);
  const CUdeviceptr x = allocate(16);
  float out[4];
  OK(launch(d.function("use_table"), 1, 4, 0, nullptr, x));
  OK(to_host(out, x, 16));
  CHECK(out[0] == 2 && out[3] == 8);
  CUdeviceptr factor = 0;
  OK(call("cuModuleGetGlobal_v2", &factor, &bytes, d.module, "factor"));
  put(factor, 3);
  OK(launch(d.function("use_table"), 1, 4, 0, nullptr, x));
  OK(to_host(out, x, 16));
  CHECK(out[0] == 3 && out[3] == 12);
  unsigned count = 0;
  OK(call("cuModuleGetFunctionCount", &count, d.module));
  CHECK(count == 15);
  OK(call("cuModuleUnload", d.module));
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuModuleUnload", d.module));
  GIVES(CUDA_ERROR_INVALID_HANDLE, launch(f, 1, 1, 0, nullptr));
}

static CUresult load(CUmodule* module, const std::string& image) {
  return call("cuModuleLoadData", module, static_cast<const void*>(image.c_str()));
}

TEST("images: fat binaries with PTX are read, LZ4 too; Zstandard, cubins and rubbish are refused by name") {
  Device d;
  CUmodule module = nullptr;
  CUfunction scale = nullptr;
  const CUdeviceptr x = allocate(4);
  for (const char* name : {"/plain.fatbin", "/lz4.fatbin"}) {
    put(x, 2);
    OK(load(&module, read_file(fixtures + name)));
    OK(call("cuModuleGetFunction", &scale, module, "scale"));
    OK(launch(scale, 1, 32, 0, nullptr, x, 3.0f, 1u));
    CHECK(first(x) == 6);
  }
  OK(call("cuModuleLoad", &module, (fixtures + "/plain.fatbin").c_str()));
  GIVES(CUDA_ERROR_FILE_NOT_FOUND, call("cuModuleLoad", &module, "/no/such/file"));

  const auto refused = [&](CUresult code, const std::string& image, const char* word) {
    char log[1024] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
    GIVES(code, call("cuModuleLoadDataEx", &module, static_cast<const void*>(image.c_str()), 2u,
                     static_cast<CUjit_option*>(options), static_cast<void**>(values)));
    CHECK(contains(log, word));
    CHECK(reinterpret_cast<size_t>(values[1]) == std::strlen(log) + 1);
  };
  refused(CUDA_ERROR_NO_BINARY_FOR_GPU, read_file(fixtures + "/zstd.fatbin"), "Zstandard");
  refused(CUDA_ERROR_NO_BINARY_FOR_GPU, read_file(fixtures + "/code.fatbin"), "machine code for sm_80");
  refused(CUDA_ERROR_NO_BINARY_FOR_GPU, read_file(fixtures + "/code.cubin"), "cubin");
  refused(CUDA_ERROR_INVALID_IMAGE, "hello", "neither PTX");
  refused(CUDA_ERROR_INVALID_IMAGE, "", "neither PTX");
  refused(CUDA_ERROR_INVALID_PTX, ".version 9.0\n.target sm_100\n.address_size 64\n", "sm_100");
  refused(CUDA_ERROR_INVALID_PTX, ".version 9.0\n.target sm_100a\n.address_size 64\n", "sm_100a");
  refused(
      CUDA_ERROR_INVALID_PTX,
      ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n  bogus.instruction %r1;\n  ret;\n}\n",
      "bogus");
  // A log that is too short is cut, and a null image is no crash.
  char log[8];
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  GIVES(CUDA_ERROR_INVALID_IMAGE, call("cuModuleLoadDataEx", &module, static_cast<const void*>("rubbish"), 2u,
                                       static_cast<CUjit_option*>(options), static_cast<void**>(values)));
  CHECK(std::strlen(log) == 7);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuModuleLoadData", &module, static_cast<const void*>(nullptr)));
}

TEST("a damaged fat binary never crashes, whatever byte is wrong") {
  Device d;
  for (const char* name : {"/plain.fatbin", "/lz4.fatbin"}) {
    const std::string good = read_file(fixtures + name);
    for (size_t i = 0; i < std::min<size_t>(good.size(), 600); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x55);
      char log[256];
      CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
      void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
      CUmodule module = nullptr;
      // Room behind it, since its own sizes say how far to read.
      bad.resize(bad.size() + (1 << 17));
      call("cuModuleLoadDataEx", &module, static_cast<const void*>(bad.data()), 2u, static_cast<CUjit_option*>(options),
           static_cast<void**>(values));
    }
  }
}

TEST("libraries: loaded once, used in every context", {"SHAKTI_SIM_DEVICES", "2"}) {
  OK(call("cuInit", 0u));
  const std::string ptx = read_file(fixtures + "/driver.ptx");
  CUlibrary library = nullptr;
  OK(call("cuLibraryLoadData", &library, static_cast<const void*>(ptx.c_str()), static_cast<CUjit_option*>(nullptr),
          static_cast<void**>(nullptr), 0u, static_cast<void*>(nullptr), static_cast<void**>(nullptr), 0u));
  CUkernel kernel = nullptr;
  for (const int ordinal : {0, 1}) {
    CUcontext context = nullptr;
    OK(call("cuDevicePrimaryCtxRetain", &context, ordinal));
    OK(call("cuCtxSetCurrent", context));
    OK(call("cuLibraryGetKernel", &kernel, library, "affine"));
    const CUdeviceptr x = allocate(4);
    put(x, 1);
    OK(launch(reinterpret_cast<CUfunction>(kernel), 1, 1, 0, nullptr, x, 2.0f, 3.0f, 1u));
    CHECK(first(x) == 5);
    CUfunction f = nullptr;
    OK(call("cuKernelGetFunction", &f, kernel));
    OK(launch(f, 1, 1, 0, nullptr, x, 2.0f, 3.0f, 1u));
    CHECK(first(x) == 13);
    CUdeviceptr counter = 0;
    size_t bytes = 0;
    OK(call("cuLibraryGetGlobal", &counter, &bytes, library, "counter"));
    CHECK(bytes == 4);
  }
  OK(call("cuLibraryUnload", library));
  GIVES(CUDA_ERROR_INVALID_HANDLE, call("cuLibraryGetKernel", &kernel, library, "affine"));
}

TEST("launches: parameters of all sizes, by pointers or in a buffer") {
  Device d;
  const CUdeviceptr x = allocate(12);
  float out[3];
  const CUfunction mixed = d.function("mixed");
  OK(launch(mixed, 1, 1, 0, nullptr, static_cast<unsigned char>(200), 2.5, static_cast<unsigned short>(60000), x));
  OK(to_host(out, x, 12));
  CHECK(out[0] == 200 && out[1] == 2.5f && out[2] == 60000);
  size_t offset = 0, bytes = 0;
  OK(call("cuFuncGetParamInfo", mixed, size_t{3}, &offset, &bytes));
  CHECK(offset == 24 && bytes == 8);
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuFuncGetParamInfo", mixed, size_t{4}, &offset, &bytes));
  struct {
    unsigned char a;
    double b;
    unsigned short c;
    CUdeviceptr out;
  } buffer{1, 0.5, 3, x};
  size_t size = sizeof buffer;
  void* extra[] = {reinterpret_cast<void*>(1), &buffer, reinterpret_cast<void*>(2), &size, nullptr};
  const auto with = [&](void** params, void** more) {
    return call("cuLaunchKernel", mixed, 1u, 1u, 1u, 1u, 1u, 1u, 0u, static_cast<CUstream>(nullptr), params, more);
  };
  OK(with(nullptr, extra));
  OK(to_host(out, x, 12));
  CHECK(out[0] == 1 && out[1] == 0.5f && out[2] == 3);
  size = 8;
  GIVES(CUDA_ERROR_INVALID_VALUE, with(nullptr, extra));
  GIVES(CUDA_ERROR_INVALID_VALUE, with(nullptr, nullptr));
  void* some[] = {&buffer.a, nullptr, &buffer.c, &buffer.out};
  GIVES(CUDA_ERROR_INVALID_VALUE, with(some, nullptr));
  GIVES(CUDA_ERROR_INVALID_VALUE, with(some, extra));
}

TEST("launches that a chip can't take are refused") {
  Device d;
  const CUdeviceptr x = allocate(4096);
  const CUfunction empty = d.function("empty"), bounded = d.function("bounded");
  const auto shape = [&](unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz) {
    return call("cuLaunchKernel", empty, gx, gy, gz, bx, by, bz, 0u, static_cast<CUstream>(nullptr),
                static_cast<void**>(nullptr), static_cast<void**>(nullptr));
  };
  OK(shape(1, 65535, 1, 1, 1, 1));
  OK(shape(1, 1, 1, 16, 1, 64));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(0, 1, 1, 1, 1, 1));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1, 65536, 1, 1, 1, 1));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1u << 31, 1, 1, 1, 1, 1));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1, 1, 1, 1025, 1, 1));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1, 1, 1, 33, 32, 1));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1, 1, 1, 1, 1, 65));
  GIVES(CUDA_ERROR_INVALID_VALUE, shape(1, 1, 1, 1, 0, 1));
  GIVES(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, launch(bounded, 1, 129, 0, nullptr, x));
  OK(launch(bounded, 1, 128, 0, nullptr, x));
  GIVES(CUDA_ERROR_INVALID_HANDLE, launch(nullptr, 1, 1, 0, nullptr, x));
  GIVES(CUDA_ERROR_INVALID_HANDLE, launch(reinterpret_cast<CUfunction>(d.module), 1, 1, 0, nullptr, x));
  GIVES(CUDA_ERROR_INVALID_HANDLE, launch(bounded, 1, 1, 0, reinterpret_cast<CUstream>(0x1234), x));
  // Dynamic shared memory: 48 KiB together with the static part, more after it was asked for.
  const CUfunction reverse = d.function("reverse"), fixed = d.function("static_shared");
  OK(launch(bounded, 1, 1, 48 << 10, nullptr, x));
  GIVES(CUDA_ERROR_INVALID_VALUE, launch(reverse, 1, 1, (48 << 10) + 1, nullptr, x));
  GIVES(CUDA_ERROR_INVALID_VALUE, launch(fixed, 1, 1, 33 << 10, nullptr, x));
  int value = 0;
  OK(call("cuFuncGetAttribute", &value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, fixed));
  CHECK(value == 16 << 10);
  OK(call("cuFuncGetAttribute", &value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, bounded));
  CHECK(value == 128);
  OK(call("cuFuncSetAttribute", reverse, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 << 10));
  OK(call("cuFuncGetAttribute", &value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, reverse));
  CHECK(value == 100 << 10);
  OK(call("cuMemsetD32_v2", x, 0u, size_t{1024}));
  OK(launch(reverse, 1, 1, 100 << 10, nullptr, x));
  OK(synchronize());
  GIVES(CUDA_ERROR_INVALID_VALUE,
        call("cuFuncSetAttribute", reverse, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 228 << 10));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuFuncSetAttribute", reverse, CU_FUNC_ATTRIBUTE_NUM_REGS, 1));
  GIVES(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
        call("cuLaunchCooperativeKernel", empty, 1u << 20, 1u, 1u, 1024u, 1u, 1u, 0u, static_cast<CUstream>(nullptr),
             static_cast<void**>(nullptr)));
  OK(call("cuLaunchCooperativeKernel", empty, 4u, 1u, 1u, 64u, 1u, 1u, 0u, static_cast<CUstream>(nullptr),
          static_cast<void**>(nullptr)));
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {4, 1, 1};
  CUlaunchConfig config{6, 1, 1, 32, 1, 1, 0, nullptr, &cluster, 1};
  const auto* constant = static_cast<const CUlaunchConfig*>(&config);
  void** none = nullptr;
  GIVES(CUDA_ERROR_INVALID_CLUSTER_SIZE, call("cuLaunchKernelEx", constant, empty, none, none));
  config.numAttrs = 0;
  OK(call("cuLaunchKernelEx", constant, empty, none, none));
  OK(synchronize());
}

TEST("occupancy") {
  Device d;
  int blocks = 0, grid = 0, block = 0;
  const CUfunction fixed = d.function("static_shared"), bounded = d.function("bounded");
  OK(call("cuOccupancyMaxActiveBlocksPerMultiprocessor", &blocks, fixed, 64, size_t{0}));
  CHECK(blocks == 13);  // 228 KiB by 16 KiB and the 1 KiB of the system
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuOccupancyMaxActiveBlocksPerMultiprocessor", &blocks, fixed, 0, size_t{0}));
  OK(call("cuOccupancyMaxActiveBlocksPerMultiprocessor", &blocks, bounded, 256, size_t{0}));
  CHECK(blocks == 0);
  OK(call("cuOccupancyMaxPotentialBlockSize", &grid, &block, bounded, static_cast<CUoccupancyB2DSize>(nullptr),
          size_t{0}, 0));
  CHECK(block == 128);
  CHECK(grid > 0 && grid % attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) == 0);
}

TEST("a fault stays: every call of the context returns it, other contexts work, a reset ends it",
     {"SHAKTI_SIM_DEVICES", "2"}) {
  Device other(1);
  const CUdeviceptr theirs = allocate(4);
  put(theirs, 1);
  Device d(0);
  CUdeviceptr x = allocate(4);
  const CUstream s = stream();
  OK(launch(d.function("past_the_end"), 1, 1, 0, s, x, 1u));
  OK(affine(d, x, 1, 1, 1, s));  // nothing is known yet
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, call("cuMemAlloc_v2", &x, size_t{4}));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, free_memory(x));
  CUstream t = nullptr;
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, call("cuStreamCreate", &t, 0u));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, call("cuStreamQuery", s));
  OK(call("cuCtxSetCurrent", other.context));
  OK(affine(other, theirs, 2, 0, 1, nullptr));
  CHECK(first(theirs) == 2);
  OK(call("cuCtxSetCurrent", d.context));
  OK(call("cuDevicePrimaryCtxReset_v2", 0));
  x = allocate(4);
  put(x, 3);
  CHECK(first(x) == 3);
}

static void expect_fault(CUresult code, const char* kernel, CUdeviceptr x) {
  Device d;
  if (x == 0) x = allocate(64);
  OK(call("cuMemsetD8_v2", x, static_cast<unsigned char>(0), size_t{64}));
  OK(std::strcmp(kernel, "asserts") == 0 ? launch(d.function(kernel), 1, 1, 0, nullptr, 1)
                                         : launch(d.function(kernel), 1, 1, 0, nullptr, x));
  GIVES(code, synchronize());
}
TEST("a misaligned access is CUDA_ERROR_MISALIGNED_ADDRESS") {
  expect_fault(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned", 0);
}
TEST("an assertion is CUDA_ERROR_ASSERT") { expect_fault(CUDA_ERROR_ASSERT, "asserts", 0); }
TEST("a trap is CUDA_ERROR_LAUNCH_FAILED") { expect_fault(CUDA_ERROR_LAUNCH_FAILED, "traps", 0); }
TEST("a kernel without end is CUDA_ERROR_LAUNCH_TIMEOUT", {"SHAKTI_SIM_MAX_INSTRUCTIONS", "100000"}) {
  expect_fault(CUDA_ERROR_LAUNCH_TIMEOUT, "loops", 0);
}

TEST("the report has the fault, the counters and, when asked for, what was left at exit") {
  setenv("SHAKTI_SIM_COUNTERS", "1", 1);
  setenv("SHAKTI_SIM_LEAKS", "1", 1);
  const std::string report = report_of([] {
    Device d;
    const CUdeviceptr x = allocate(400);
    const CUstream s = stream();
    OK(call("cuMemsetD32Async", x, 0u, size_t{100}, s));
    for (int i = 0; i < 3; ++i) OK(affine(d, x, 1, 1, 100, s));
    OK(synchronize(s));
    OK(affine(d, x, 1, 1, 100, s));  // never waited for
  });
  CHECK(contains(report, "{\"type\":\"kernel\",\"name\":\"affine\",\"launches\":3,\"counters\":{"));
  CHECK(contains(report, "\"what\":\"device memory\",\"bytes\":400"));
  CHECK(contains(report, "\"what\":\"streams\",\"count\":1"));
  CHECK(contains(report, "never ran\",\"count\":1"));
  const std::string fault = report_of([] {
    Device d;
    const CUdeviceptr x = allocate(8);
    OK(launch(d.function("past_the_end"), 1, 1, 0, nullptr, x, 2u));
    GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize());
  });
  CHECK(contains(
      fault, "{\"type\":\"fault\",\"kind\":\"out-of-bounds\",\"code\":700,\"name\":\"CUDA_ERROR_ILLEGAL_ADDRESS\""));
  CHECK(contains(fault, "\"kernel\":\"past_the_end\""));
}

TEST("pools count what they hold and give it back when told", {"SHAKTI_SIM_MEMORY", "8M"}) {
  Device d;
  const CUstream s = stream();
  size_t free_bytes = 0, total = 0, all = 0;
  OK(call("cuMemGetInfo_v2", &all, &total));
  CUmemoryPool pool = nullptr;
  OK(call("cuDeviceGetDefaultMemPool", &pool, 0));
  const auto read = [&](CUmemPool_attribute which) {
    uint64_t value = 0;
    OK(call("cuMemPoolGetAttribute", pool, which, static_cast<void*>(&value)));
    return value;
  };
  uint64_t keep = UINT64_MAX;
  OK(call("cuMemPoolSetAttribute", pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, static_cast<void*>(&keep)));
  CUdeviceptr x = 0, y = 0;
  OK(call("cuMemAllocAsync", &x, size_t{4} << 20, s));
  CHECK(read(CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 4 << 20);
  OK(call("cuMemFreeAsync", x, s));
  OK(synchronize(s));
  CHECK(read(CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 0);
  CHECK(read(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 4 << 20);
  CHECK(read(CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 4 << 20);
  OK(call("cuMemGetInfo_v2", &free_bytes, &total));
  CHECK(free_bytes == all - (4 << 20));
  OK(call("cuMemPoolTrimTo", pool, size_t{0}));
  OK(call("cuMemGetInfo_v2", &free_bytes, &total));
  CHECK(free_bytes == all);
  // Memory whose free waits in the stream is had by waiting for it.
  OK(call("cuMemAllocAsync", &x, size_t{6} << 20, s));
  OK(call("cuMemFreeAsync", x, s));
  OK(call("cuMemAllocAsync", &y, size_t{6} << 20, s));
  GIVES(CUDA_ERROR_OUT_OF_MEMORY, call("cuMemAllocAsync", &x, size_t{6} << 20, s));
  GIVES(CUDA_ERROR_OUT_OF_MEMORY, call("cuMemAlloc_v2", &x, size_t{6} << 20));
  OK(free_memory(y));
}

TEST("two devices: memory of each its own, copies between them", {"SHAKTI_SIM_DEVICES", "2"}) {
  Device a(0);
  const CUdeviceptr x = allocate(4);
  put(x, 4);
  Device b(1);
  const CUdeviceptr y = allocate(4);
  OK(call("cuMemcpyPeer", y, b.context, x, a.context, size_t{4}));
  CHECK(first(y) == 4);
  put(y, 6);
  const CUstream s = stream();
  OK(call("cuMemcpyPeerAsync", x, a.context, y, b.context, size_t{4}, s));
  OK(synchronize(s));
  CHECK(first(x) == 6);
  int can = 1;
  OK(call("cuDeviceCanAccessPeer", &can, 0, 1));
  CHECK(can == 0);
  GIVES(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, call("cuCtxEnablePeerAccess", a.context, 0u));
  OK(affine(b, x, 1, 1, 1, nullptr));  // the other's memory
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize());
}

struct TileMap {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  uint32_t rank = 3;
  uint64_t address = 0, sizes[5] = {100, 20, 3, 1, 1}, strides[4] = {208, 4160, 12480, 12480};
  uint32_t box[5] = {64, 16, 1, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
  CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  CUresult encode(void* out) {
    return call("cuTensorMapEncodeTiled", static_cast<CUtensorMap*>(out), type, rank, reinterpret_cast<void*>(address),
                static_cast<const uint64_t*>(sizes), static_cast<const uint64_t*>(strides),
                static_cast<const uint32_t*>(box), static_cast<const uint32_t*>(steps), interleave, swizzle, promotion,
                fill);
  }
};

TEST("tensor maps are made of what the manual allows, and of nothing else") {
  Device device;
  const CUdeviceptr memory = allocate(12480);
  CUtensorMap map;
  TileMap good;
  good.address = memory;
  OK(good.encode(&map));
  GIVES(CUDA_ERROR_INVALID_VALUE, good.encode(nullptr));
  GIVES(CUDA_ERROR_INVALID_VALUE, good.encode(reinterpret_cast<char*>(&map) + 32));
  const auto refused = [&](auto change) {
    TileMap t = good;
    change(t);
    GIVES(CUDA_ERROR_INVALID_VALUE, t.encode(&map));
  };
  refused([](TileMap& t) { t.rank = 0; });
  refused([](TileMap& t) { t.rank = 6; });
  refused([](TileMap& t) { t.address = 0; });
  refused([](TileMap& t) { t.address += 8; });
  refused([](TileMap& t) { t.sizes[1] = 0; });
  refused([](TileMap& t) { t.sizes[1] = (uint64_t{1} << 32) + 1; });
  refused([](TileMap& t) { t.strides[0] = 200; });
  refused([](TileMap& t) { t.strides[1] = uint64_t{1} << 40; });
  refused([](TileMap& t) { t.strides[0] = 192; });  // lines of 200 bytes overlap
  refused([](TileMap& t) { t.box[1] = 0; });
  refused([](TileMap& t) { t.box[1] = 257; });
  refused([](TileMap& t) { t.box[0] = 60; });   // lines of 120 bytes
  refused([](TileMap& t) { t.box[0] = 128; });  // longer than the swizzle
  refused([](TileMap& t) { t.swizzle = CU_TENSOR_MAP_SWIZZLE_64B; });
  refused([](TileMap& t) { t.swizzle = static_cast<CUtensorMapSwizzle>(7); });
  refused([](TileMap& t) { t.steps[1] = 9; });
  refused([](TileMap& t) { t.steps[1] = 0; });
  refused([](TileMap& t) { t.type = static_cast<CUtensorMapDataType>(16); });
  refused([](TileMap& t) { t.promotion = static_cast<CUtensorMapL2promotion>(4); });
  refused([](TileMap& t) {
    t.type = CU_TENSOR_MAP_DATA_TYPE_UINT16;
    t.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
  });
  refused([](TileMap& t) { t.interleave = CU_TENSOR_MAP_INTERLEAVE_32B; });  // with a swizzle of 128 bytes
  refused([](TileMap& t) {
    t.rank = 2;
    t.interleave = CU_TENSOR_MAP_INTERLEAVE_16B;
  });
  TileMap line = good;
  line.rank = 1;
  OK(line.encode(&map));
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED) == 1);
}

TEST("before compute capability 9.0 there are no tensor maps", {"SHAKTI_SIM_ARCH", "80"}) {
  Device device;
  CUtensorMap map;
  TileMap t;
  t.address = allocate(12480);
  GIVES(CUDA_ERROR_INVALID_VALUE, t.encode(&map));
  CHECK(attribute(CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED) == 0);
}

TEST("entry points by name and version") {
  void* at = nullptr;
  int found = -1;
  const auto get = [&](const char* name, int version) {
    return call("cuGetProcAddress_v2", name, &at, version, uint64_t{0}, &found);
  };
  OK(get("cuMemAlloc", 13000));
  CHECK(at == symbol("cuMemAlloc_v2") && found == 0);
  OK(get("cuCtxCreate", 13000));
  CHECK(at == symbol("cuCtxCreate_v4"));
  OK(get("cuCtxCreate", 11000));
  CHECK(at == symbol("cuCtxCreate_v2"));
  OK(get("cuGraphInstantiate", 12000));
  CHECK(at == symbol("cuGraphInstantiateWithFlags"));
  OK(get("cuLaunchKernel", 12000));
  GIVES(CUDA_ERROR_NOT_FOUND, get("cuLaunchKernelEx", 11000));
  CHECK(at == nullptr && found == 2);
  GIVES(CUDA_ERROR_NOT_FOUND, get("cuNothing", 13000));
  CHECK(at == nullptr && found == 1);
}

int main(int argc, char** argv) { return main_of(argc, argv); }
