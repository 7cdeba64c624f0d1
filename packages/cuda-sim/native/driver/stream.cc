// Streams and events.
#include <cmath>

#include "call.h"
#include "capture.h"

namespace sim {

// 0 and 1 are the legacy default stream, 2 the calling thread's own default stream.
CUresult resolve_stream(Context& context, CUstream handle, std::shared_ptr<Stream>* out) {
  if (handle == nullptr || handle == CU_STREAM_LEGACY) {
    *out = context.legacy;
  } else if (handle == CU_STREAM_PER_THREAD) {
    std::shared_ptr<Stream>& own = context.per_thread[std::this_thread::get_id()];
    if (!own) {
      own = std::make_shared<Stream>();
      own->context = context.legacy->context;
      own->id = 2;
      driver().streams.add(own);
    }
    *out = own;
  } else {
    *out = driver().streams.find(handle);
  }
  return *out ? CUDA_SUCCESS : refuse(CUDA_ERROR_INVALID_HANDLE, "there is no stream %p", static_cast<void*>(handle));
}

}  // namespace sim

using namespace sim;

namespace {

CUresult create_stream(CUstream* out, unsigned flags, int priority) {
  return working([&](Context& context) -> CUresult {
    if (!out || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    auto stream = std::make_shared<Stream>();
    stream->context = context.legacy->context;
    stream->flags = flags;
    stream->priority = std::max(-5, std::min(0, priority));
    stream->id = 2 + ++driver().next_stream;
    *out = driver().streams.add(stream);
    return CUDA_SUCCESS;
  });
}

template <class F>
CUresult of_event(CUevent handle, F&& body) {
  return working([&](Context& context) -> CUresult {
    const std::shared_ptr<Event> event = driver().events.find(handle);
    if (!event) return refuse(CUDA_ERROR_INVALID_HANDLE, "there is no event %p", static_cast<void*>(handle));
    if (event->context->error != CUDA_SUCCESS) return event->context->error;
    return body(context, *event);
  });
}

// A query that finds work undone does one piece of it, so that who asks often enough comes to an end.
CUresult query(Context& context, const std::vector<OpPtr>& targets) {
  const auto undone = [&] {
    for (const OpPtr& op : targets) {
      if (!is_done(op)) return true;
    }
    return false;
  };
  if (!undone()) return CUDA_SUCCESS;
  step_towards(targets);
  return context.error != CUDA_SUCCESS ? context.error : CUDA_ERROR_NOT_READY;
}

}  // namespace

CU_API cuStreamCreate(CUstream* out, unsigned flags) { return create_stream(out, flags, 0); }
CU_API cuStreamCreateWithPriority(CUstream* out, unsigned flags, int priority) {
  return create_stream(out, flags, priority);
}

// Returns at once; what is in it still runs.
CU_API cuStreamDestroy_v2(CUstream handle) {
  return working([&](Context&) -> CUresult {
    const std::shared_ptr<Stream> stream = driver().streams.find(handle);
    if (!stream || stream->id <= 2) return CUDA_ERROR_INVALID_HANDLE;
    if (const CUresult r = refuse_while_capturing(*stream); r != CUDA_SUCCESS) return r;
    if (stream->blocking() && !is_done(stream->tail)) stream->context->orphans.push_back(stream->tail);
    driver().streams.remove(handle);
    return CUDA_SUCCESS;
  });
}
CU_API cuStreamDestroy(CUstream handle) { return cuStreamDestroy_v2(handle); }

CU_API cuStreamQuery(CUstream handle) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (const CUresult r = refuse_while_capturing(stream); r != CUDA_SUCCESS) return r;
    return query(*stream.context, {stream.tail});
  });
}

CU_API cuStreamSynchronize(CUstream handle) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (const CUresult r = refuse_while_capturing(stream); r != CUDA_SUCCESS) return r;
    return wait_for(*stream.context, {stream.tail});
  });
}

CU_API cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    const std::shared_ptr<Event> event = driver().events.find(event_handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    return capture_wait(stream, event, flags == 1);
  });
}

CU_API cuStreamGetPriority(CUstream handle, int* priority) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!priority) return CUDA_ERROR_INVALID_VALUE;
    *priority = stream.priority;
    return CUDA_SUCCESS;
  });
}
CU_API cuStreamGetFlags(CUstream handle, unsigned* flags) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream.flags;
    return CUDA_SUCCESS;
  });
}
CU_API cuStreamGetId(CUstream handle, unsigned long long* id) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = stream.id;
    return CUDA_SUCCESS;
  });
}
CU_API cuStreamGetCtx(CUstream handle, CUcontext* context) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    *context = stream.context->handle;
    return CUDA_SUCCESS;
  });
}
CU_API cuStreamGetCtx_v2(CUstream handle, CUcontext* context, void** green) {
  if (green) *green = nullptr;
  return cuStreamGetCtx(handle, context);
}
CU_API cuStreamGetDevice(CUstream handle, CUdevice* device) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = stream.context->device->ordinal;
    return CUDA_SUCCESS;
  });
}

CU_API cuEventCreate(CUevent* out, unsigned flags) {
  return working([&](Context& context) -> CUresult {
    if (!out || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_EVENT_INTERPROCESS) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    auto event = std::make_shared<Event>();
    event->context = context.legacy->context;
    event->flags = flags;
    *out = driver().events.add(event);
    return CUDA_SUCCESS;
  });
}

CU_API cuEventDestroy_v2(CUevent handle) {
  return working([&](Context&) { return driver().events.remove(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}
CU_API cuEventDestroy(CUevent handle) { return cuEventDestroy_v2(handle); }

CU_API cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned flags) {
  return in_stream(stream_handle, [&](Context&, Stream& stream) -> CUresult {
    const std::shared_ptr<Event> event = driver().events.find(handle);
    if (!event || event->context != stream.context) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    return capture_record(event, stream, flags == 1);
  });
}
CU_API cuEventRecord(CUevent handle, CUstream stream) { return cuEventRecordWithFlags(handle, stream, 0); }

CU_API cuEventQuery(CUevent handle) {
  return of_event(handle, [&](Context&, Event& event) -> CUresult {
    if (const CUresult r = refuse_while_capturing(event); r != CUDA_SUCCESS) return r;
    if (const CUresult r = refuse_unsafe(*event.context); r != CUDA_SUCCESS) return r;
    return query(*event.context, {event.op});
  });
}

CU_API cuEventSynchronize(CUevent handle) {
  return of_event(handle, [&](Context&, Event& event) -> CUresult {
    if (const CUresult r = refuse_while_capturing(event); r != CUDA_SUCCESS) return r;
    return wait_for(*event.context, {event.op});
  });
}

// There is no time here: the answer is not a number, so that nobody takes it for one.
CU_API cuEventElapsedTime_v2(float* milliseconds, CUevent start_handle, CUevent end_handle) {
  return of_event(start_handle, [&](Context&, Event& start) -> CUresult {
    const std::shared_ptr<Event> end = driver().events.find(end_handle);
    if (!end) return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    const bool timed = ((start.flags | end->flags) & CU_EVENT_DISABLE_TIMING) == 0;
    if (!timed || !start.recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    for (const OpPtr& op : {start.op, end->op}) {
      if (const CUresult r = query(*start.context, {op}); r != CUDA_SUCCESS) return r;
    }
    *milliseconds = std::nanf("");
    return CUDA_SUCCESS;
  });
}
CU_API cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(milliseconds, start, end);
}
