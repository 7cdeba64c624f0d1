// Stream capture: while a stream is captured, what is submitted to it becomes the nodes of a graph.
#pragma once
#include "graph.h"
#include "state.h"

namespace sim {

struct Capture {
  uint64_t id = 0;
  std::shared_ptr<Graph> graph;
  Context* context = nullptr;
  Stream* origin = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  bool broken = false;  // by a call that may not be made: it can only be ended now, without a graph
  bool ended = false;
  bool own_graph = true;                         // made for it, not the caller's
  std::vector<std::shared_ptr<Stream>> streams;  // the origin and all that joined
};

// A stream's next operation: into its queue, or into the graph that captures it.
CUresult enqueue(Stream&, WorkPtr);

// Each of these is CUDA_SUCCESS, or the error of a call that breaks a capture.
CUresult refuse_while_capturing(Stream&);   // for what waits for a stream,
CUresult refuse_while_capturing(Event&);    // an event,
CUresult refuse_while_capturing(Context&);  // everything of a context
CUresult refuse_unsafe(Context&);  // for what may wait without saying so (cuMemAlloc), by the mode of the captures
CUresult refuse_legacy(Context&);  // for what is in the legacy stream, which waits for every blocking stream

CUresult capture_record(const std::shared_ptr<Event>&, Stream&, bool external);
CUresult capture_wait(Stream&, const std::shared_ptr<Event>&, bool external);
void invalidate_captures(Context&);

}  // namespace sim
