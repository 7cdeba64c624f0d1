// The rules of stream capture, from the CUDA programming guide and the documentation of the calls. An event recorded in
// a captured stream carries the capture; a stream that waits for it joins; all that joined have to be waited for by the
// origin before the end; whatever would wait for work that is not being done breaks the capture.
#include "capture.h"

#include <algorithm>

#include "call.h"

namespace sim {
namespace {

CUresult broken(const Capture& capture) {
  return capture.broken ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

CUresult breaks(Capture& capture, CUresult code, const char* why) {
  if (capture.broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  capture.broken = true;
  return refuse(code, "%s: the capture is broken", why);
}

void merge(std::vector<NodePtr>* into, const std::vector<NodePtr>& more) {
  for (const NodePtr& node : more) {
    if (std::find(into->begin(), into->end(), node) == into->end()) into->push_back(node);
  }
}

void collect(const NodePtr& node, std::set<const Node*>* seen) {
  std::vector<const Node*> todo{node.get()};
  while (!todo.empty()) {
    const Node* next = todo.back();
    todo.pop_back();
    if (!seen->insert(next).second) continue;
    for (const NodePtr& before : next->after) todo.push_back(before.get());
  }
}

void end(Capture& capture) {
  capture.ended = true;
  for (const auto& stream : capture.streams) {
    stream->capture.reset();
    stream->capture_after.clear();
  }
  auto& all = driver().captures[capture.context];
  for (auto at = all.begin(); at != all.end(); ++at) {
    if (at->get() != &capture) continue;
    all.erase(at);
    break;
  }
}

std::shared_ptr<Capture> begin(Stream& stream, const std::shared_ptr<Stream>& self, CUstreamCaptureMode mode) {
  Driver& d = driver();
  auto capture = std::make_shared<Capture>();
  capture->id = ++d.next_capture;
  capture->context = stream.context.get();
  capture->origin = &stream;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams.push_back(self);
  d.captures[capture->context].insert(capture);
  stream.capture = capture;
  stream.capture_after.clear();
  return capture;
}

std::shared_ptr<Stream> shared(Stream& stream) {
  for (const auto& candidate : driver().streams.all()) {
    if (candidate.get() == &stream) return candidate;
  }
  return nullptr;
}

}  // namespace

CUresult enqueue(Stream& stream, WorkPtr work) {
  if (stream.capture) {
    if (const CUresult r = broken(*stream.capture); r != CUDA_SUCCESS) return r;
    stream.capture_after = {add_node(*stream.capture->graph, std::move(work), stream.capture_after)};
    return CUDA_SUCCESS;
  }
  if (stream.legacy) {
    if (const CUresult r = refuse_legacy(*stream.context); r != CUDA_SUCCESS) return r;
  }
  submit(stream, std::move(work));
  return stream.context->error;
}

CUresult refuse_while_capturing(Stream& stream) {
  if (stream.capture) return breaks(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a wait for its stream");
  return stream.legacy ? refuse_legacy(*stream.context) : CUDA_SUCCESS;
}

CUresult refuse_while_capturing(Event& event) {
  if (!event.capture) return CUDA_SUCCESS;
  if (event.capture->ended) return CUDA_ERROR_CAPTURED_EVENT;
  return breaks(*event.capture, CUDA_ERROR_CAPTURED_EVENT, "a wait for an event recorded in it");
}

CUresult refuse_while_capturing(Context& context) {
  CUresult result = CUDA_SUCCESS;
  for (const auto& capture : driver().captures[&context]) {
    const CUresult r = breaks(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a wait for its context");
    if (result == CUDA_SUCCESS) result = r;
  }
  return result;
}

CUresult refuse_unsafe(Context& context) {
  const CUstreamCaptureMode mine = thread_state().capture_mode;
  if (mine == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  CUresult result = CUDA_SUCCESS;
  for (const auto& [where, all] : driver().captures) {
    for (const auto& capture : all) {
      const bool own = capture->thread == std::this_thread::get_id();
      const bool forbids =
          own ? capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED
              : mine == CU_STREAM_CAPTURE_MODE_GLOBAL && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
      if (!forbids) continue;
      const CUresult r = breaks(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a call that may wait");
      if (result == CUDA_SUCCESS) result = r;
    }
  }
  return context.error != CUDA_SUCCESS ? context.error : result;
}

CUresult refuse_legacy(Context& context) {
  CUresult result = CUDA_SUCCESS;
  for (const auto& capture : driver().captures[&context]) {
    bool blocking = false;
    for (const auto& stream : capture->streams) blocking = blocking || stream->blocking();
    if (!blocking) continue;
    const CUresult r = breaks(*capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "work in the legacy default stream");
    if (result == CUDA_SUCCESS) result = r;
  }
  return result;
}

CUresult capture_record(const std::shared_ptr<Event>& event, Stream& stream, bool external) {
  if (stream.capture) {
    if (const CUresult r = broken(*stream.capture); r != CUDA_SUCCESS) return r;
    if (external) {
      stream.capture_after = {add_node(*stream.capture->graph, record_work(event), stream.capture_after)};
      return CUDA_SUCCESS;
    }
    event->capture = stream.capture;
    event->capture_after = stream.capture_after;
    event->op.reset();
    event->recorded = true;
    return CUDA_SUCCESS;
  }
  if (external) return CUDA_ERROR_ILLEGAL_STATE;
  if (stream.legacy) {
    if (const CUresult r = refuse_legacy(*stream.context); r != CUDA_SUCCESS) return r;
  }
  event->capture.reset();
  event->capture_after.clear();
  event->recorded = true;
  event->op = submit(stream, nullptr);
  return stream.context->error;
}

CUresult capture_wait(Stream& stream, const std::shared_ptr<Event>& event, bool external) {
  if (external) {
    if (!stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (const CUresult r = broken(*stream.capture); r != CUDA_SUCCESS) return r;
    stream.capture_after = {add_node(*stream.capture->graph, wait_work(event), stream.capture_after)};
    return CUDA_SUCCESS;
  }
  const std::shared_ptr<Capture> theirs = event->capture;
  if (!theirs) {
    if (!event->recorded) return CUDA_SUCCESS;
    if (stream.capture) {
      return breaks(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a wait for an event from outside");
    }
    if (stream.legacy) {
      if (const CUresult r = refuse_legacy(*stream.context); r != CUDA_SUCCESS) return r;
    }
    submit(stream, nullptr, {event->op});
    return stream.context->error;
  }
  if (theirs->ended) return CUDA_ERROR_CAPTURED_EVENT;
  if (const CUresult r = broken(*theirs); r != CUDA_SUCCESS) return r;
  if (stream.capture && stream.capture != theirs) {
    breaks(*theirs, CUDA_ERROR_STREAM_CAPTURE_MERGE, "a wait from another capture");
    return breaks(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_MERGE, "a wait for another capture");
  }
  if (!stream.capture) {
    if (stream.legacy)
      return breaks(*theirs, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "a wait in the legacy default stream");
    stream.capture = theirs;
    stream.capture_after.clear();
    theirs->streams.push_back(shared(stream));
  }
  merge(&stream.capture_after, event->capture_after);
  return CUDA_SUCCESS;
}

void invalidate_captures(Context& context) {
  const auto all = driver().captures[&context];
  for (const auto& capture : all) end(*capture);
  driver().captures.erase(&context);
}

}  // namespace sim

using namespace sim;

namespace {

CUresult begin_capture(CUstream handle, CUstreamCaptureMode mode, CUgraph into, const CUgraphNode* after,
                       size_t count) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
    if (stream.legacy)
      return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the legacy default stream is not captured");
    if (stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
    std::shared_ptr<Graph> graph;
    std::vector<NodePtr> first;
    if (into) {
      graph = driver().graphs.find(into);
      if (!graph || (count > 0 && !after)) return CUDA_ERROR_INVALID_VALUE;
      for (size_t i = 0; i < count; ++i) {
        const NodePtr node = driver().nodes.find(after[i]);
        if (!node || node->graph != graph.get()) return CUDA_ERROR_INVALID_VALUE;
        first.push_back(node);
      }
    } else {
      graph = make_graph();
    }
    const std::shared_ptr<Capture> capture = begin(stream, shared(stream), mode);
    capture->graph = graph;
    capture->own_graph = into == nullptr;
    stream.capture_after = std::move(first);
    return CUDA_SUCCESS;
  });
}

CUresult capture_info(CUstream handle, CUstreamCaptureStatus* status, uint64_t* id, CUgraph* graph,
                      const CUgraphNode** after, size_t* count) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    if (stream.legacy) {
      // Only told, not broken.
      for (const auto& capture : driver().captures[stream.context.get()]) {
        for (const auto& other : capture->streams) {
          if (other->blocking()) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
      }
    }
    *status = !stream.capture          ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream.capture->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                       : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
    if (id) *id = stream.capture->id;
    if (graph) *graph = stream.capture->graph->handle;
    // Good until the stream's next call, as documented.
    static thread_local std::vector<CUgraphNode> handles;
    handles.clear();
    for (const NodePtr& node : stream.capture_after) handles.push_back(node->handle);
    if (after) *after = handles.data();
    if (count) *count = handles.size();
    return CUDA_SUCCESS;
  });
}

CUresult update_dependencies(CUstream handle, const CUgraphNode* nodes, size_t count, unsigned flags) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (flags > 1 || (count > 0 && !nodes)) return CUDA_ERROR_INVALID_VALUE;
    if (!stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (const CUresult r = broken(*stream.capture); r != CUDA_SUCCESS) return r;
    std::vector<NodePtr> list;
    for (size_t i = 0; i < count; ++i) {
      const NodePtr node = driver().nodes.find(nodes[i]);
      if (!node || node->graph != stream.capture->graph.get()) return CUDA_ERROR_INVALID_VALUE;
      list.push_back(node);
    }
    if (flags == 1) stream.capture_after.clear();
    merge(&stream.capture_after, list);
    return CUDA_SUCCESS;
  });
}

}  // namespace

CU_API cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
  return begin_capture(handle, mode, nullptr, nullptr, 0);
}
CU_API cuStreamBeginCapture(CUstream handle) {
  return begin_capture(handle, CU_STREAM_CAPTURE_MODE_GLOBAL, nullptr, nullptr, 0);
}
CU_API cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph, const CUgraphNode* after, const CUgraphEdgeData*,
                                   size_t count, CUstreamCaptureMode mode) {
  return graph ? begin_capture(handle, mode, graph, after, count) : CUDA_ERROR_INVALID_VALUE;
}

CU_API cuStreamEndCapture(CUstream handle, CUgraph* out) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = nullptr;
    const std::shared_ptr<Capture> capture = stream.capture;
    if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != &stream) {
      return breaks(*capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "ended in another stream than it began in");
    }
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id()) {
      return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    }
    std::set<const Node*> joined;
    for (const NodePtr& node : stream.capture_after) collect(node, &joined);
    bool unjoined = false;
    for (const auto& other : capture->streams) {
      for (const NodePtr& node : other->capture_after) unjoined = unjoined || joined.count(node.get()) == 0;
    }
    end(*capture);
    if (capture->broken || unjoined) {
      if (capture->own_graph) drop_graph(*capture->graph);
      return capture->broken ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    *out = capture->graph->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return capture_info(handle, status, nullptr, nullptr, nullptr, nullptr);
}
CU_API cuStreamGetCaptureInfo(CUstream handle, CUstreamCaptureStatus* status, uint64_t* id) {
  return capture_info(handle, status, id, nullptr, nullptr, nullptr);
}
CU_API cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus* status, uint64_t* id, CUgraph* graph,
                                 const CUgraphNode** after, size_t* count) {
  return capture_info(handle, status, id, graph, after, count);
}
CU_API cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus* status, uint64_t* id, CUgraph* graph,
                                 const CUgraphNode** after, const CUgraphEdgeData** edges, size_t* count) {
  if (edges) *edges = nullptr;
  return capture_info(handle, status, id, graph, after, count);
}

CU_API cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode* nodes, size_t count, unsigned flags) {
  return update_dependencies(handle, nodes, count, flags);
}
CU_API cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode* nodes, const CUgraphEdgeData*, size_t count,
                                            unsigned flags) {
  return update_dependencies(handle, nodes, count, flags);
}

CU_API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return locked([&]() -> CUresult {
    if (!mode || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::swap(thread_state().capture_mode, *mode);
    return CUDA_SUCCESS;
  });
}
