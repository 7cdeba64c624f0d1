// Attributes of functions, and how many blocks of one a multiprocessor holds.
#include <algorithm>

#include "call.h"
#include "chip.h"
#include "module.h"

namespace sim {

uint64_t Callable::shared_limit() const {
  const uint64_t fixed = function->shared_bytes(), usual = driver().limits->shared_per_block;
  if (kernel->max_dynamic_shared >= 0) return static_cast<uint64_t>(kernel->max_dynamic_shared);
  return usual > fixed ? usual - fixed : 0;
}

// The registers are the interpreter's estimate: ptxas alone knows its own number.
CUresult function_attribute(const Callable& f, CUfunction_attribute attribute, int* value) {
  const Dim3 cluster = f.function->required_cluster();
  const auto is = [&](uint64_t n) {
    *value = static_cast<int>(n);
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: return is(f.function->max_threads());
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: return is(f.function->shared_bytes());
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: return is(0);
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: return is(f.function->local_bytes());
    case CU_FUNC_ATTRIBUTE_NUM_REGS: return is(f.function->registers());
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: return is(static_cast<uint64_t>(f.module->module->target()));
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: return is(static_cast<uint64_t>(driver().limits->arch));
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA: return is(0);
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: return is(f.shared_limit());
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: return is(static_cast<uint64_t>(f.kernel->carveout));
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET: return is(0);
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH: return is(cluster.x);
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT: return is(cluster.y);
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH: return is(cluster.z);
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED: return is(f.kernel->non_portable_cluster);
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE: return is(0);
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult set_function_attribute(const Callable& f, CUfunction_attribute attribute, int value) {
  const uint64_t fixed = f.function->shared_bytes(), most = driver().limits->shared_per_block_optin;
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      if (value < 0 || static_cast<uint64_t>(value) + fixed > most) {
        return refuse(CUDA_ERROR_INVALID_VALUE, "%d bytes of dynamic shared memory and %llu static ones: %llu at most",
                      value, static_cast<unsigned long long>(fixed), static_cast<unsigned long long>(most));
      }
      f.kernel->max_dynamic_shared = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      f.kernel->carveout = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      if (value < 0 || value > 1) return CUDA_ERROR_INVALID_VALUE;
      f.kernel->non_portable_cluster = value == 1;
      return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace sim

using namespace sim;

namespace {

template <class F>
CUresult of_function(const void* handle, F&& body) {
  return working([&](Context& context) -> CUresult {
    Callable f;
    if (const CUresult r = resolve_function(context, handle, &f); r != CUDA_SUCCESS) return r;
    return body(f);
  });
}

int blocks_of(const Callable& f, int threads, size_t dynamic) {
  if (threads < 1 || static_cast<uint32_t>(threads) > f.function->max_threads()) return 0;
  const Limits& l = *driver().limits;
  const uint64_t shared = f.function->shared_bytes() + dynamic;
  if (shared > l.shared_per_block_optin || dynamic > f.shared_limit()) return 0;
  return resident_blocks(l, static_cast<uint32_t>(threads), f.function->registers(), shared);
}

CUresult parameter_info(const void* handle, size_t index, size_t* offset, size_t* bytes) {
  return of_function(handle, [&](const Callable& f) -> CUresult {
    if (!offset || index >= f.function->parameters().size()) return CUDA_ERROR_INVALID_VALUE;
    *offset = f.function->parameters()[index].offset;
    if (bytes) *bytes = f.function->parameters()[index].bytes;
    return CUDA_SUCCESS;
  });
}

CUresult name_of(const void* handle, const char** name) {
  return locked([&]() -> CUresult {
    const KernelPtr kernel = driver().functions.find(handle);
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = kernel->name.c_str();
    return CUDA_SUCCESS;
  });
}

}  // namespace

CU_API cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return of_function(handle, [&](const Callable& f) {
    return value ? function_attribute(f, attribute, value) : CUDA_ERROR_INVALID_VALUE;
  });
}
CU_API cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return of_function(handle, [&](const Callable& f) { return set_function_attribute(f, attribute, value); });
}
CU_API cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel handle, CUdevice) {
  return of_function(handle, [&](const Callable& f) {
    return value ? function_attribute(f, attribute, value) : CUDA_ERROR_INVALID_VALUE;
  });
}
CU_API cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel handle, CUdevice) {
  return of_function(handle, [&](const Callable& f) { return set_function_attribute(f, attribute, value); });
}

CU_API cuFuncSetCacheConfig(CUfunction handle, int config) {
  return of_function(
      handle, [&](const Callable&) { return config >= 0 && config <= 3 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}
CU_API cuKernelSetCacheConfig(CUkernel handle, int config, CUdevice) {
  return cuFuncSetCacheConfig(reinterpret_cast<CUfunction>(handle), config);
}
CU_API cuFuncSetSharedMemConfig(CUfunction handle, int config) {
  return of_function(
      handle, [&](const Callable&) { return config >= 0 && config <= 2 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CU_API cuFuncGetModule(CUmodule* out, CUfunction handle) {
  return of_function(handle, [&](const Callable& f) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = f.module->handle;
    return CUDA_SUCCESS;
  });
}
CU_API cuFuncGetName(const char** name, CUfunction handle) { return name_of(handle, name); }
CU_API cuKernelGetName(const char** name, CUkernel handle) { return name_of(handle, name); }
CU_API cuFuncGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* bytes) {
  return parameter_info(handle, index, offset, bytes);
}
CU_API cuKernelGetParamInfo(CUkernel handle, size_t index, size_t* offset, size_t* bytes) {
  return parameter_info(handle, index, offset, bytes);
}
CU_API cuFuncIsLoaded(int* state, CUfunction handle) {
  return of_function(handle, [&](const Callable&) -> CUresult {
    if (!state) return CUDA_ERROR_INVALID_VALUE;
    *state = 1;
    return CUDA_SUCCESS;
  });
}
CU_API cuFuncLoad(CUfunction handle) {
  return of_function(handle, [](const Callable&) { return CUDA_SUCCESS; });
}

CU_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction handle, int threads, size_t dynamic,
                                                            unsigned flags) {
  return of_function(handle, [&](const Callable& f) -> CUresult {
    if (!blocks || threads < 1 || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    *blocks = blocks_of(f, threads, dynamic);
    return CUDA_SUCCESS;
  });
}
CU_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads, size_t dynamic) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, threads, dynamic, 0);
}

// The largest block among those that fill a multiprocessor most.
CU_API cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction handle,
                                                 CUoccupancyB2DSize dynamic_of, size_t dynamic, int limit,
                                                 unsigned flags) {
  return of_function(handle, [&](const Callable& f) -> CUresult {
    if (!grid || !block || limit < 0 || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    const int most = static_cast<int>(std::min(f.function->max_threads(), driver().limits->threads_per_block));
    const int top = limit > 0 ? std::min(limit, most) : most;
    int best_threads = 0, best = 0, best_blocks = 0;
    for (int threads = top; threads > 0; threads = (threads - 1) / 32 * 32) {
      const int blocks = blocks_of(f, threads, dynamic_of ? dynamic_of(threads) : dynamic);
      if (blocks * threads <= best) continue;
      best = blocks * threads;
      best_threads = threads;
      best_blocks = blocks;
    }
    *block = best_threads;
    *grid = best_blocks * driver().limits->multiprocessors;
    return CUDA_SUCCESS;
  });
}
CU_API cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction handle, CUoccupancyB2DSize dynamic_of,
                                        size_t dynamic, int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, handle, dynamic_of, dynamic, limit, 0);
}

CU_API cuOccupancyAvailableDynamicSMemPerBlock(size_t* dynamic, CUfunction handle, int blocks, int threads) {
  return of_function(handle, [&](const Callable& f) -> CUresult {
    if (!dynamic || blocks < 1 || threads < 1) return CUDA_ERROR_INVALID_VALUE;
    const Limits& l = *driver().limits;
    const uint64_t fixed = f.function->shared_bytes();
    if (blocks_of(f, threads, 0) < blocks) return CUDA_ERROR_INVALID_VALUE;
    const uint64_t share = l.shared_per_multiprocessor / static_cast<uint64_t>(blocks) / 128 * 128;
    const uint64_t whole =
        std::min<uint64_t>(share - std::min<uint64_t>(share, l.shared_reserved), l.shared_per_block_optin);
    *dynamic = whole > fixed ? whole - fixed : 0;
    return CUDA_SUCCESS;
  });
}
