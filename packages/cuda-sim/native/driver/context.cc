// Contexts, and which of them is current in a thread.
#include <algorithm>

#include "call.h"
#include "capture.h"

namespace sim {

ContextPtr current_context() {
  const ThreadState& state = thread_state();
  return state.contexts.empty() ? nullptr : state.contexts.back();
}

ContextPtr make_context(Device& device, unsigned flags, bool primary) {
  auto context = std::make_shared<Context>();
  context->device = &device;
  context->flags = flags;
  context->primary = primary;
  driver().contexts.add(context);
  return context;
}

void activate(Context& context) {
  Driver& d = driver();
  const ContextPtr self = d.contexts.find(context.handle);
  context.alive = true;
  context.error = CUDA_SUCCESS;
  context.id = ++d.next_context;
  context.limits = {{CU_LIMIT_STACK_SIZE, 1024},
                    {CU_LIMIT_PRINTF_FIFO_SIZE, 1 << 20},
                    {CU_LIMIT_MALLOC_HEAP_SIZE, 8 << 20},
                    {CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH, 2},
                    {CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT, 2048},
                    {CU_LIMIT_MAX_L2_FETCH_GRANULARITY, 64},
                    {CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0}};
  context.legacy = std::make_shared<Stream>();
  context.legacy->context = self;
  context.legacy->legacy = true;
  context.legacy->id = 1;
}

// What was submitted still runs, as a device finishes its work; then everything of the context is gone.
void tear_down(Context& context) {
  Driver& d = driver();
  if (!context.alive) return;
  wait_for_all(context);
  context.alive = false;
  const auto mine = [&](const auto& object) { return object->context.get() == &context; };
  invalidate_captures(context);
  for (const auto& event : d.events.all()) {
    if (mine(event)) d.events.remove(event->handle);
  }
  for (const auto& stream : d.streams.all()) {
    if (!mine(stream)) continue;
    stream->capture.reset();
    d.streams.remove(stream->handle);
  }
  for (const auto& library : d.libraries.all()) library->modules.erase(&context);
  for (const auto& module : d.modules.all()) {
    if (module->context == &context) unload(*module);
  }
  for (auto at = d.allocations.begin(); at != d.allocations.end();) {
    const uint64_t address = at->second.context == &context ? at->first : 0;
    ++at;
    if (address != 0) release(nullptr, address);
  }
  for (auto at = d.host.begin(); at != d.host.end();) {
    const std::shared_ptr<HostRange> range = at->second;
    ++at;
    if (range->context == &context) release_host(*range);
  }
  abandon(context);
  context.legacy.reset();
  context.per_thread.clear();
  context.error = CUDA_SUCCESS;
}

}  // namespace sim

using namespace sim;

namespace {

CUresult create(CUcontext* out, unsigned flags, CUdevice ordinal) {
  return locked([&]() -> CUresult {
    Driver& d = driver();
    if (!out || (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= d.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    const ContextPtr context = make_context(*d.devices[static_cast<size_t>(ordinal)], flags, false);
    activate(*context);
    thread_state().contexts.push_back(context);
    *out = context->handle;
    return CUDA_SUCCESS;
  });
}

// A handle's context, or the current one for null.
template <class F>
CUresult given_or_current(CUcontext handle, F&& body) {
  return locked([&]() -> CUresult {
    const ContextPtr context = handle ? driver().contexts.find(handle) : current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return body(*context);
  });
}

CUresult synchronize(Context& context) {
  if (context.error != CUDA_SUCCESS) return context.error;
  if (const CUresult r = refuse_while_capturing(context); r != CUDA_SUCCESS) return r;
  return wait_for_all(context);
}

}  // namespace

CU_API cuCtxCreate_v2(CUcontext* out, unsigned flags, CUdevice ordinal) { return create(out, flags, ordinal); }
CU_API cuCtxCreate(CUcontext* out, unsigned flags, CUdevice ordinal) { return create(out, flags, ordinal); }
CU_API cuCtxCreate_v3(CUcontext* out, void*, int affinities, unsigned flags, CUdevice ordinal) {
  return affinities != 0 ? CUDA_ERROR_NOT_SUPPORTED : create(out, flags, ordinal);
}
CU_API cuCtxCreate_v4(CUcontext* out, void* params, unsigned flags, CUdevice ordinal) {
  return params ? CUDA_ERROR_NOT_SUPPORTED : create(out, flags, ordinal);
}

CU_API cuCtxDestroy_v2(CUcontext handle) {
  return locked([&]() -> CUresult {
    const ContextPtr context = driver().contexts.find(handle);
    if (!context || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    tear_down(*context);
    driver().contexts.remove(handle);
    std::vector<ContextPtr>& stack = thread_state().contexts;
    if (!stack.empty() && stack.back() == context) stack.pop_back();
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxDestroy(CUcontext handle) { return cuCtxDestroy_v2(handle); }

CU_API cuCtxPushCurrent_v2(CUcontext handle) {
  return locked([&]() -> CUresult {
    const ContextPtr context = driver().contexts.find(handle);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    thread_state().contexts.push_back(context);
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxPushCurrent(CUcontext handle) { return cuCtxPushCurrent_v2(handle); }

CU_API cuCtxPopCurrent_v2(CUcontext* out) {
  return locked([&]() -> CUresult {
    std::vector<ContextPtr>& stack = thread_state().contexts;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out) *out = stack.back()->handle;
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxPopCurrent(CUcontext* out) { return cuCtxPopCurrent_v2(out); }

CU_API cuCtxSetCurrent(CUcontext handle) {
  return locked([&]() -> CUresult {
    std::vector<ContextPtr>& stack = thread_state().contexts;
    const ContextPtr context = handle ? driver().contexts.find(handle) : nullptr;
    if (handle && !context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (context) stack.push_back(context);
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetCurrent(CUcontext* out) {
  return locked([&]() -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const ContextPtr context = current_context();
    *out = context ? context->handle : nullptr;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetDevice_v2(CUdevice* out, CUcontext handle) {
  return given_or_current(handle, [&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = context.device->ordinal;
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxGetDevice(CUdevice* out) { return cuCtxGetDevice_v2(out, nullptr); }

CU_API cuCtxGetFlags(unsigned* out) {
  return in_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = context.flags;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxSetFlags(unsigned flags) {
  return in_context([&](Context& context) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    context.flags = flags;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetId(CUcontext handle, unsigned long long* out) {
  return given_or_current(handle, [&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = context.id;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxSynchronize() {
  return in_context([](Context& context) { return synchronize(context); });
}
CU_API cuCtxSynchronize_v2(CUcontext handle) { return given_or_current(handle, synchronize); }

CU_API cuCtxSetLimit(CUlimit limit, size_t value) {
  return in_context([&](Context& context) -> CUresult {
    const auto at = context.limits.find(limit);
    if (at == context.limits.end()) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    at->second = value;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetLimit(size_t* value, CUlimit limit) {
  return in_context([&](Context& context) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    const auto at = context.limits.find(limit);
    if (at == context.limits.end()) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = at->second;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetCacheConfig(int* out) {
  return in_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = context.cache_config;
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxSetCacheConfig(int config) {
  return in_context([&](Context& context) -> CUresult {
    if (config < 0 || config > 3) return CUDA_ERROR_INVALID_VALUE;
    context.cache_config = config;
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxGetSharedMemConfig(int* out) {
  return in_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = context.shared_config;
    return CUDA_SUCCESS;
  });
}
CU_API cuCtxSetSharedMemConfig(int config) {
  return in_context([&](Context& context) -> CUresult {
    if (config < 0 || config > 2) return CUDA_ERROR_INVALID_VALUE;
    context.shared_config = config;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetApiVersion(CUcontext handle, unsigned* version) {
  return given_or_current(handle, [&](Context&) -> CUresult {
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 3020;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context([&](Context&) -> CUresult {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
  });
}

CU_API cuCtxResetPersistingL2Cache() {
  return in_context([](Context&) { return CUDA_SUCCESS; });
}

CU_API cuCtxEnablePeerAccess(CUcontext peer, unsigned flags) {
  return in_context([&](Context& context) -> CUresult {
    const ContextPtr other = driver().contexts.find(peer);
    if (!other || other.get() == &context) return CUDA_ERROR_INVALID_CONTEXT;
    return flags != 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  });
}

CU_API cuCtxDisablePeerAccess(CUcontext peer) {
  return in_context([&](Context&) -> CUresult {
    return driver().contexts.find(peer) ? CUDA_ERROR_PEER_ACCESS_NOT_ENABLED : CUDA_ERROR_INVALID_CONTEXT;
  });
}
