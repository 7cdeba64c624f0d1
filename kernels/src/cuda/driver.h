// NVIDIA's driver API, as much of it as we call, declared by ourselves and found by dlopen: no toolkit is needed to
// build, install or run. Names and numbers are those of the CUDA driver API manual.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "tensor_map.h"

namespace shakti::cuda {

using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUresult = int;
struct CUctx_st;
struct CUmod_st;
struct CUfunc_st;
struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using CUcontext = CUctx_st*;
using CUmodule = CUmod_st*;
using CUfunction = CUfunc_st*;
using CUstream = CUstream_st*;
using CUevent = CUevent_st*;
using CUgraph = CUgraph_st*;
using CUgraphExec = CUgraphExec_st*;

constexpr CUresult kSuccess = 0;
constexpr CUresult kOutOfMemory = 2;
constexpr CUresult kNoDevice = 100;
constexpr CUresult kInvalidImage = 200;
constexpr CUresult kNoBinaryForGpu = 209;
constexpr CUresult kInvalidPtx = 218;
constexpr CUresult kUnsupportedPtxVersion = 222;
constexpr CUresult kNotFound = 500;
constexpr CUresult kNotReady = 600;

// CUdevice_attribute
constexpr int kMaxSharedPerBlockOptin = 97;
constexpr int kMultiprocessorCount = 16;
constexpr int kComputeMajor = 75;
constexpr int kComputeMinor = 76;

constexpr int kMaxDynamicSharedBytes = 8;  // CUfunction_attribute
constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kHostMapped = 2;
constexpr int kCaptureModeThreadLocal = 1;

// CUtensorMapDataType, CUtensorMapSwizzle, CUtensorMapL2promotion
constexpr int kMapF16 = 6, kMapBf16 = 9;
constexpr int kMapSwizzle128 = 3;
constexpr int kMapPromote256 = 3;

// SHAKTI_DRIVER(member, symbol, arguments)
#define SHAKTI_DRIVER_API(F)                                                                                          \
  F(init, "cuInit", (unsigned flags))                                                                                 \
  F(driver_version, "cuDriverGetVersion", (int* version))                                                             \
  F(device_count, "cuDeviceGetCount", (int* count))                                                                   \
  F(device_get, "cuDeviceGet", (CUdevice * device, int ordinal))                                                      \
  F(device_name, "cuDeviceGetName", (char* name, int length, CUdevice))                                               \
  F(device_attribute, "cuDeviceGetAttribute", (int* value, int attribute, CUdevice))                                  \
  F(device_memory, "cuDeviceTotalMem_v2", (size_t* bytes, CUdevice))                                                  \
  F(context_retain, "cuDevicePrimaryCtxRetain", (CUcontext*, CUdevice))                                               \
  F(context_release, "cuDevicePrimaryCtxRelease_v2", (CUdevice))                                                      \
  F(context_set, "cuCtxSetCurrent", (CUcontext))                                                                      \
  F(module_load, "cuModuleLoadDataEx", (CUmodule*, const void* image, unsigned options, int* names, void** values))   \
  F(module_unload, "cuModuleUnload", (CUmodule))                                                                      \
  F(module_function, "cuModuleGetFunction", (CUfunction*, CUmodule, const char* name))                                \
  F(function_set, "cuFuncSetAttribute", (CUfunction, int attribute, int value))                                       \
  F(launch, "cuLaunchKernel",                                                                                         \
    (CUfunction, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared_bytes, \
     CUstream, void** params, void** extra))                                                                          \
  F(allocate, "cuMemAlloc_v2", (CUdeviceptr*, size_t bytes))                                                          \
  F(free, "cuMemFree_v2", (CUdeviceptr))                                                                              \
  F(memory_info, "cuMemGetInfo_v2", (size_t* free, size_t* total))                                                    \
  F(host_allocate, "cuMemHostAlloc", (void**, size_t bytes, unsigned flags))                                          \
  F(host_free, "cuMemFreeHost", (void*))                                                                              \
  F(host_address, "cuMemHostGetDevicePointer_v2", (CUdeviceptr*, void*, unsigned flags))                              \
  F(copy_in, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void* from, size_t bytes, CUstream))                      \
  F(copy_out, "cuMemcpyDtoHAsync_v2", (void* to, CUdeviceptr from, size_t bytes, CUstream))                           \
  F(copy_peer, "cuMemcpyPeerAsync",                                                                                   \
    (CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes, CUstream))         \
  F(set_bytes, "cuMemsetD8Async", (CUdeviceptr, unsigned char value, size_t bytes, CUstream))                         \
  F(stream_create, "cuStreamCreate", (CUstream*, unsigned flags))                                                     \
  F(stream_destroy, "cuStreamDestroy_v2", (CUstream))                                                                 \
  F(stream_wait, "cuStreamSynchronize", (CUstream))                                                                   \
  F(stream_wait_event, "cuStreamWaitEvent", (CUstream, CUevent, unsigned flags))                                      \
  F(stream_begin_capture, "cuStreamBeginCapture_v2", (CUstream, int mode))                                            \
  F(stream_end_capture, "cuStreamEndCapture", (CUstream, CUgraph*))                                                   \
  F(graph_instantiate, "cuGraphInstantiateWithFlags", (CUgraphExec*, CUgraph, unsigned long long flags))              \
  F(graph_launch, "cuGraphLaunch", (CUgraphExec, CUstream))                                                           \
  F(graph_destroy, "cuGraphDestroy", (CUgraph))                                                                       \
  F(graph_exec_destroy, "cuGraphExecDestroy", (CUgraphExec))                                                          \
  F(event_create, "cuEventCreate", (CUevent*, unsigned flags))                                                        \
  F(event_destroy, "cuEventDestroy_v2", (CUevent))                                                                    \
  F(event_record, "cuEventRecord", (CUevent, CUstream))                                                               \
  F(event_query, "cuEventQuery", (CUevent))                                                                           \
  F(event_wait, "cuEventSynchronize", (CUevent))                                                                      \
  F(event_elapsed, "cuEventElapsedTime", (float* milliseconds, CUevent from, CUevent to))                             \
  F(encode_tiled, "cuTensorMapEncodeTiled",                                                                           \
    (TensorMap*, int dtype, unsigned rank, void* data, const uint64_t* sizes, const uint64_t* strides,                \
     const unsigned* tile, const unsigned* steps, int interleave, int swizzle, int l2_promotion, int fill))           \
  F(error_name, "cuGetErrorName", (CUresult, const char** name))                                                      \
  F(error_text, "cuGetErrorString", (CUresult, const char** text))

struct Driver {
#define MEMBER(member, symbol, arguments) CUresult(*member) arguments;
  SHAKTI_DRIVER_API(MEMBER)
#undef MEMBER

  // "CUDA_ERROR_OUT_OF_MEMORY (out of memory)"
  std::string describe(CUresult) const;
  // Makes a context the calling thread's, which is what most calls are about.
  void enter(CUcontext) const;
};

// The library SHAKTI_LIBCUDA, or libcuda.so.1, loaded and initialised once. Null, with a sentence for the user in *why,
// where there is none, where it is too old, or where it finds no GPU.
const Driver* driver(std::string* why);

struct DeviceProperties {
  std::string name;
  uint64_t bytes = 0;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int shared_bytes = 0;  // that a block may ask for
};

// Empty, with a sentence in *why, where driver() is null.
int device_count(std::string* why);
// False: *why says what the driver said.
bool properties_of(int ordinal, DeviceProperties* properties, std::string* why);

}  // namespace shakti::cuda
