// Compares api.h with NVIDIA's cuda.h where the toolkit is installed: every number, every layout; and the occupancy
// with what cuda_occupancy.h reckons. Most of it has passed once this compiles.
#include <cstddef>
#include <cstdint>
#include <cstdio>

#if !__has_include("/usr/local/cuda/include/cuda.h")
int main() {
  std::printf("skipped: no cuda.h in /usr/local/cuda/include\n");
  return 0;
}
#else
namespace ours {
#include "../driver/api.h"
}
#undef CU_STREAM_LEGACY  // macros know no namespace
#undef CU_STREAM_PER_THREAD
#include "../driver/chip.cc"
#include "/usr/local/cuda/include/cuda.h"
#include "/usr/local/cuda/include/cuda_occupancy.h"

#define SAME(name) static_assert(static_cast<long long>(ours::name) == static_cast<long long>(::name), #name)
#define SIZE(mine, theirs) static_assert(sizeof(ours::mine) == sizeof(::theirs), #mine)
#define AT(mine, theirs, field) \
  static_assert(offsetof(ours::mine, field) == offsetof(::theirs, field), #mine "::" #field)

#define E(name, number, text) SAME(name);
#include "../driver/errors.inc"
#undef E
#define A(name, number, value) SAME(CU_DEVICE_ATTRIBUTE_##name);
#include "../driver/attributes.inc"
#undef A
SAME(CU_CTX_SCHED_MASK);
SAME(CU_CTX_MAP_HOST);
SAME(CU_CTX_FLAGS_MASK);
SAME(CU_STREAM_DEFAULT);
SAME(CU_STREAM_NON_BLOCKING);
SAME(CU_EVENT_DEFAULT);
SAME(CU_EVENT_BLOCKING_SYNC);
SAME(CU_EVENT_DISABLE_TIMING);
SAME(CU_EVENT_INTERPROCESS);
SAME(CU_MEMORYTYPE_HOST);
SAME(CU_MEMORYTYPE_DEVICE);
SAME(CU_MEMORYTYPE_ARRAY);
SAME(CU_MEMORYTYPE_UNIFIED);
SAME(CU_TENSOR_MAP_DATA_TYPE_UINT8);
SAME(CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
SAME(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
SAME(CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ);
SAME(CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B);
SAME(CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B);
SAME(CU_TENSOR_MAP_INTERLEAVE_NONE);
SAME(CU_TENSOR_MAP_INTERLEAVE_32B);
SAME(CU_TENSOR_MAP_SWIZZLE_NONE);
SAME(CU_TENSOR_MAP_SWIZZLE_32B);
SAME(CU_TENSOR_MAP_SWIZZLE_64B);
SAME(CU_TENSOR_MAP_SWIZZLE_128B);
SAME(CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B);
SAME(CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
SAME(CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA);
SIZE(CUtensorMap, CUtensorMap);
SAME(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
SAME(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
SAME(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES);
SAME(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
SAME(CU_FUNC_ATTRIBUTE_NUM_REGS);
SAME(CU_FUNC_ATTRIBUTE_PTX_VERSION);
SAME(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
SAME(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA);
SAME(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
SAME(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET);
SAME(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH);
SAME(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT);
SAME(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH);
SAME(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
SAME(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
SAME(CU_POINTER_ATTRIBUTE_CONTEXT);
SAME(CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
SAME(CU_POINTER_ATTRIBUTE_DEVICE_POINTER);
SAME(CU_POINTER_ATTRIBUTE_HOST_POINTER);
SAME(CU_POINTER_ATTRIBUTE_SYNC_MEMOPS);
SAME(CU_POINTER_ATTRIBUTE_BUFFER_ID);
SAME(CU_POINTER_ATTRIBUTE_IS_MANAGED);
SAME(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
SAME(CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE);
SAME(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR);
SAME(CU_POINTER_ATTRIBUTE_RANGE_SIZE);
SAME(CU_POINTER_ATTRIBUTE_MAPPED);
SAME(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE);
SAME(CU_JIT_INFO_LOG_BUFFER);
SAME(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES);
SAME(CU_JIT_ERROR_LOG_BUFFER);
SAME(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
SAME(CU_JIT_NUM_OPTIONS);
SAME(CU_LIMIT_STACK_SIZE);
SAME(CU_LIMIT_PRINTF_FIFO_SIZE);
SAME(CU_LIMIT_MALLOC_HEAP_SIZE);
SAME(CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH);
SAME(CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT);
SAME(CU_LIMIT_MAX_L2_FETCH_GRANULARITY);
SAME(CU_LIMIT_PERSISTING_L2_CACHE_SIZE);
SAME(CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES);
SAME(CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC);
SAME(CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES);
SAME(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
SAME(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
SAME(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH);
SAME(CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
SAME(CU_MEMPOOL_ATTR_USED_MEM_HIGH);
SAME(CU_STREAM_CAPTURE_STATUS_NONE);
SAME(CU_STREAM_CAPTURE_STATUS_ACTIVE);
SAME(CU_STREAM_CAPTURE_STATUS_INVALIDATED);
SAME(CU_STREAM_CAPTURE_MODE_GLOBAL);
SAME(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME(CU_STREAM_CAPTURE_MODE_RELAXED);
SAME(CU_GRAPH_NODE_TYPE_KERNEL);
SAME(CU_GRAPH_NODE_TYPE_MEMCPY);
SAME(CU_GRAPH_NODE_TYPE_MEMSET);
SAME(CU_GRAPH_NODE_TYPE_HOST);
SAME(CU_GRAPH_NODE_TYPE_GRAPH);
SAME(CU_GRAPH_NODE_TYPE_EMPTY);
SAME(CU_GRAPH_NODE_TYPE_WAIT_EVENT);
SAME(CU_GRAPH_NODE_TYPE_EVENT_RECORD);
SAME(CU_GRAPH_NODE_TYPE_MEM_ALLOC);
SAME(CU_GRAPH_NODE_TYPE_MEM_FREE);
SAME(CU_GRAPH_EXEC_UPDATE_SUCCESS);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR_FUNCTION_CHANGED);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);
SAME(CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED);
SAME(CU_LAUNCH_ATTRIBUTE_IGNORE);
SAME(CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW);
SAME(CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
SAME(CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY);
SAME(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
SAME(CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
SAME(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
SAME(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT);
SAME(CU_LAUNCH_ATTRIBUTE_PRIORITY);
SAME(CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP);
SAME(CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN);
SAME(CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION);
SAME(CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT);
SAME(CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE);
SAME(CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);

// These are macros there.
constexpr int kHostFlags[] = {CU_MEMHOSTALLOC_PORTABLE, CU_MEMHOSTALLOC_DEVICEMAP, CU_MEMHOSTALLOC_WRITECOMBINED,
                              CU_MEMHOSTREGISTER_IOMEMORY, CU_MEMHOSTREGISTER_READ_ONLY};
static_assert(kHostFlags[0] == 1 && kHostFlags[1] == 2 && kHostFlags[2] == 4 && kHostFlags[3] == 4 &&
                  kHostFlags[4] == 8,
              "host memory");

SIZE(CUlaunchAttributeValue, CUlaunchAttributeValue);
AT(CUlaunchAttributeValue, CUlaunchAttributeValue, pad);
AT(CUlaunchAttributeValue, CUlaunchAttributeValue, cooperative);
AT(CUlaunchAttributeValue, CUlaunchAttributeValue, clusterDim);
AT(CUlaunchAttributeValue, CUlaunchAttributeValue, programmaticStreamSerializationAllowed);
AT(CUlaunchAttributeValue, CUlaunchAttributeValue, priority);
SIZE(CUlaunchAttribute, CUlaunchAttribute);
AT(CUlaunchAttribute, CUlaunchAttribute, id);
AT(CUlaunchAttribute, CUlaunchAttribute, pad);
AT(CUlaunchAttribute, CUlaunchAttribute, value);
SIZE(CUlaunchConfig, CUlaunchConfig);
AT(CUlaunchConfig, CUlaunchConfig, gridDimX);
AT(CUlaunchConfig, CUlaunchConfig, gridDimY);
AT(CUlaunchConfig, CUlaunchConfig, gridDimZ);
AT(CUlaunchConfig, CUlaunchConfig, blockDimX);
AT(CUlaunchConfig, CUlaunchConfig, blockDimY);
AT(CUlaunchConfig, CUlaunchConfig, blockDimZ);
AT(CUlaunchConfig, CUlaunchConfig, sharedMemBytes);
AT(CUlaunchConfig, CUlaunchConfig, hStream);
AT(CUlaunchConfig, CUlaunchConfig, attrs);
AT(CUlaunchConfig, CUlaunchConfig, numAttrs);
SIZE(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, func);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, gridDimX);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, gridDimY);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, gridDimZ);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, blockDimX);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, blockDimY);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, blockDimZ);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, sharedMemBytes);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, kernelParams);
AT(CUDA_KERNEL_NODE_PARAMS_v1, CUDA_KERNEL_NODE_PARAMS_v1, extra);
SIZE(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, func);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, gridDimX);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, gridDimY);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, gridDimZ);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, blockDimX);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, blockDimY);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, blockDimZ);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, sharedMemBytes);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, kernelParams);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, extra);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, kern);
AT(CUDA_KERNEL_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS_v2, ctx);
SIZE(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcXInBytes);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcY);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcMemoryType);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcHost);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcDevice);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcArray);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, srcPitch);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstXInBytes);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstY);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstMemoryType);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstHost);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstDevice);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstArray);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, dstPitch);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, WidthInBytes);
AT(CUDA_MEMCPY2D, CUDA_MEMCPY2D_v2, Height);
SIZE(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcXInBytes);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcY);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcZ);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcLOD);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcMemoryType);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcHost);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcDevice);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcArray);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, reserved0);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcPitch);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, srcHeight);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstXInBytes);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstY);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstZ);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstLOD);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstMemoryType);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstHost);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstDevice);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstArray);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, reserved1);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstPitch);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, dstHeight);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, WidthInBytes);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, Height);
AT(CUDA_MEMCPY3D, CUDA_MEMCPY3D_v2, Depth);
SIZE(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, dst);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, pitch);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, value);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, elementSize);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, width);
AT(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS, height);
SIZE(CUDA_HOST_NODE_PARAMS, CUDA_HOST_NODE_PARAMS);
AT(CUDA_HOST_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, fn);
AT(CUDA_HOST_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, userData);
SIZE(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS);
AT(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS, flags);
AT(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS, hUploadStream);
AT(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS, hErrNode_out);
AT(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS, result_out);
SIZE(CUgraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo);
AT(CUgraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo, result);
AT(CUgraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo, errorNode);
AT(CUgraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo, errorFromNode);
SIZE(CUgraphEdgeData, CUgraphEdgeData);
AT(CUgraphEdgeData, CUgraphEdgeData, from_port);
AT(CUgraphEdgeData, CUgraphEdgeData, to_port);
AT(CUgraphEdgeData, CUgraphEdgeData, type);
AT(CUgraphEdgeData, CUgraphEdgeData, reserved);
SIZE(CUuuid, CUuuid);
AT(CUuuid, CUuuid, bytes);
SIZE(CUmemLocation, CUmemLocation);
AT(CUmemLocation, CUmemLocation, type);
AT(CUmemLocation, CUmemLocation, id);
SIZE(CUmemPoolProps, CUmemPoolProps);
AT(CUmemPoolProps, CUmemPoolProps, allocType);
AT(CUmemPoolProps, CUmemPoolProps, handleTypes);
AT(CUmemPoolProps, CUmemPoolProps, location);
AT(CUmemPoolProps, CUmemPoolProps, win32SecurityAttributes);
AT(CUmemPoolProps, CUmemPoolProps, maxSize);
AT(CUmemPoolProps, CUmemPoolProps, usage);
AT(CUmemPoolProps, CUmemPoolProps, reserved);
SIZE(CUmemAccessDesc, CUmemAccessDesc);
AT(CUmemAccessDesc, CUmemAccessDesc, location);
AT(CUmemAccessDesc, CUmemAccessDesc, flags);
SIZE(CUdevprop, CUdevprop);
AT(CUdevprop, CUdevprop, maxThreadsPerBlock);
AT(CUdevprop, CUdevprop, maxThreadsDim);
AT(CUdevprop, CUdevprop, maxGridSize);
AT(CUdevprop, CUdevprop, sharedMemPerBlock);
AT(CUdevprop, CUdevprop, totalConstantMemory);
AT(CUdevprop, CUdevprop, SIMDWidth);
AT(CUdevprop, CUdevprop, memPitch);
AT(CUdevprop, CUdevprop, regsPerBlock);
AT(CUdevprop, CUdevprop, clockRate);
AT(CUdevprop, CUdevprop, textureAlign);

int main() {
  int failures = 0, compared = 0;
  for (const int arch : {80, 86, 89, 90, 100, 120}) {
    const sim::Limits* l = sim::limits_of(arch);
    if (!l) {
      std::printf("FAIL no limits of sm_%d\n", arch);
      return 1;
    }
    cudaOccDeviceProp device{};
    device.computeMajor = arch / 10;
    device.computeMinor = arch % 10;
    device.maxThreadsPerBlock = static_cast<int>(l->threads_per_block);
    device.maxThreadsPerMultiprocessor = static_cast<int>(l->threads_per_multiprocessor);
    device.regsPerBlock = static_cast<int>(l->registers_per_block);
    device.regsPerMultiprocessor = static_cast<int>(l->registers_per_multiprocessor);
    device.warpSize = 32;
    device.sharedMemPerBlock = l->shared_per_block;
    device.sharedMemPerMultiprocessor = l->shared_per_multiprocessor;
    device.numSms = l->multiprocessors;
    device.sharedMemPerBlockOptin = l->shared_per_block_optin;
    device.reservedSharedMemPerBlock = l->shared_reserved;
    cudaOccDeviceState state{};
    state.carveoutConfig = -1;  // 0 would mean: as much L1 as can be
    for (const uint32_t threads : {1u, 32u, 33u, 64u, 96u, 128u, 192u, 256u, 384u, 512u, 640u, 768u, 1024u}) {
      for (uint32_t registers = 1; registers <= 255; registers += 7) {
        for (uint64_t shared = 0; shared + 1024 <= l->shared_per_block_optin; shared += 3333) {
          cudaOccFuncAttributes function{};
          function.maxThreadsPerBlock = 1024;
          function.numRegs = static_cast<int>(registers);
          function.sharedSizeBytes = 0;
          function.partitionedGCConfig = PARTITIONED_GC_OFF;
          function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
          function.maxDynamicSharedSizeBytes = l->shared_per_block_optin;
          cudaOccResult result{};
          cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, static_cast<int>(threads),
                                                  shared);
          const int got = sim::resident_blocks(*l, threads, registers, shared);
          ++compared;
          if (got == result.activeBlocksPerMultiprocessor) continue;
          if (++failures < 20) {
            std::printf("FAIL sm_%d, %u threads, %u registers, %llu bytes: %d blocks, cuda_occupancy.h says %d\n", arch,
                        threads, registers, static_cast<unsigned long long>(shared), got,
                        result.activeBlocksPerMultiprocessor);
          }
        }
      }
    }
  }
  std::printf("abi: %d occupancies compared, %d failures\n", compared, failures);
  return failures > 0 ? 1 : 0;
}
#endif
