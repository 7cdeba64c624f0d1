// What every entry point does first: the lock, cuInit's result, the current context and its standing error.
#pragma once
#include <exception>
#include <new>

#include "state.h"

#define CU_API extern "C" __attribute__((visibility("default"))) CUresult

namespace sim {

template <class F>
CUresult locked(F&& body) {
  if (thread_state().in_callback) return CUDA_ERROR_NOT_PERMITTED;
  try {
    std::lock_guard<std::mutex> lock(driver().mutex);
    ++driver().calls;
    if (!driver().initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (driver().init_result != CUDA_SUCCESS) return driver().init_result;
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    say("this is a mistake of the simulator: %s", error.what());
    return CUDA_ERROR_UNKNOWN;
  }
}

// With the current context, whatever state it is in.
template <class F>
CUresult in_context(F&& body) {
  return locked([&]() -> CUresult {
    const ContextPtr context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return body(*context);
  });
}

// And refused once a kernel of this context has failed.
template <class F>
CUresult working(F&& body) {
  return in_context([&](Context& context) -> CUresult {
    if (context.error != CUDA_SUCCESS) return context.error;
    return body(context);
  });
}

// The same for calls that act in a stream.
template <class F>
CUresult in_stream(CUstream handle, F&& body) {
  return working([&](Context& context) -> CUresult {
    std::shared_ptr<Stream> stream;
    if (const CUresult r = resolve_stream(context, handle, &stream); r != CUDA_SUCCESS) return r;
    if (stream->context->error != CUDA_SUCCESS) return stream->context->error;
    return body(context, *stream);
  });
}

}  // namespace sim
