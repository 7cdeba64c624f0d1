// Stream capture with its rules, and graphs.
#include <algorithm>
#include <thread>

#include "driver_api.h"

using namespace test;

static CUresult begin(CUstream s, CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL) {
  return call("cuStreamBeginCapture_v2", s, mode);
}
static CUresult end(CUstream s, CUgraph* graph) { return call("cuStreamEndCapture", s, graph); }
static CUgraphExec instantiate(CUgraph graph) {
  CUgraphExec exec = nullptr;
  OK(call("cuGraphInstantiateWithFlags", &exec, graph, 0ull));
  return exec;
}
static CUresult launch_graph(CUgraphExec exec, CUstream s) { return call("cuGraphLaunch", exec, s); }
static std::vector<CUgraphNode> nodes_of(CUgraph graph) {
  size_t count = 0;
  OK(call("cuGraphGetNodes", graph, static_cast<CUgraphNode*>(nullptr), &count));
  std::vector<CUgraphNode> nodes(count);
  OK(call("cuGraphGetNodes", graph, nodes.data(), &count));
  return nodes;
}
static CUgraphNodeType type_of(CUgraphNode node) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  OK(call("cuGraphNodeGetType", node, &type));
  return type;
}
static CUgraphNode find(CUgraph graph, CUgraphNodeType type) {
  for (const CUgraphNode node : nodes_of(graph)) {
    if (type_of(node) == type) return node;
  }
  CHECK(!"a node of that type");
  return nullptr;
}
static CUstreamCaptureStatus status_of(CUstream s) {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  OK(call("cuStreamIsCapturing", s, &status));
  return status;
}
// That a capture is broken: it ends with that code and without a graph, and the stream works again.
static void expect_broken(CUstream s) {
  CUgraph graph = reinterpret_cast<CUgraph>(1);
  CHECK(status_of(s) == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
  GIVES(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, end(s, &graph));
  CHECK(graph == nullptr);
  CHECK(status_of(s) == CU_STREAM_CAPTURE_STATUS_NONE);
  OK(synchronize(s));
}

TEST("captured work doesn't run until its graph is launched, and then each time") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(affine(d, x, 2, 0, 1, s));
  OK(affine(d, x, 1, 3, 1, s));
  CHECK(status_of(s) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  OK(end(s, &graph));
  CHECK(nodes_of(graph).size() == 2);
  CHECK(first(x) == 1);
  const CUgraphExec exec = instantiate(graph);
  OK(call("cuGraphDestroy", graph));  // the executable is its own
  OK(launch_graph(exec, s));
  OK(launch_graph(exec, s));
  OK(synchronize(s));
  CHECK(first(x) == (1 * 2 + 3) * 2 + 3);
  OK(call("cuGraphExecDestroy", exec));
  GIVES(CUDA_ERROR_INVALID_VALUE, launch_graph(exec, s));
}

TEST("a graph stands in its stream's order") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(affine(d, x, 10, 0, 1, s));
  OK(end(s, &graph));
  const CUgraphExec exec = instantiate(graph);
  OK(affine(d, x, 1, 1, 1, s));
  OK(launch_graph(exec, s));
  OK(affine(d, x, 1, 1, 1, s));
  OK(synchronize(s));
  CHECK(first(x) == 21);
}

TEST("two launches of one executable never overlap, in any streams") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream a = stream(), b = stream();
  CUgraph graph = nullptr;
  OK(begin(a));
  OK(affine(d, x, 2, 0, 1, a));
  OK(affine(d, x, 1, 1, 1, a));
  OK(end(a, &graph));
  const CUgraphExec exec = instantiate(graph);
  OK(launch_graph(exec, a));
  OK(launch_graph(exec, b));
  OK(synchronize(b));
  CHECK(first(x) == 7);
}

TEST("copies in a graph read pinned memory at each launch") {
  Device d;
  const CUdeviceptr x = allocate(4), y = allocate(4);
  float *in = pinned(1), *out = pinned(1);
  const CUstream s = stream();
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(to_device(x, in, 4, s));
  OK(call("cuMemcpyDtoDAsync_v2", y, x, size_t{4}, s));
  OK(affine(d, y, 2, 0, 1, s));
  OK(to_host(out, y, 4, s));
  OK(end(s, &graph));
  const CUgraphExec exec = instantiate(graph);
  for (const float value : {3.0f, 5.0f}) {
    *in = value;
    OK(launch_graph(exec, s));
    OK(synchronize(s));
    CHECK(*out == 2 * value);
  }
}

TEST("a fork by an event and its join become branches of the graph, run in any order",
     {"SHAKTI_SIM_STREAMS", "random"}) {
  Device d;
  const CUdeviceptr x = allocate(4), y = allocate(4);
  put(x, 1);
  put(y, 1);
  const CUstream a = stream(), b = stream();
  const CUevent fork = event(), join = event();
  CUgraph graph = nullptr;
  OK(begin(a));
  OK(affine(d, x, 2, 0, 1, a));
  OK(record(fork, a));
  OK(wait(b, fork));
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  OK(affine(d, y, 3, 0, 1, b));
  OK(affine(d, x, 5, 0, 1, a));
  OK(record(join, b));
  OK(wait(a, join));
  OK(launch(d.function("add"), 1, 1, 0, a, x, y, x, 1u));
  OK(end(a, &graph));
  CHECK(nodes_of(graph).size() == 4);
  size_t edges = 0;
  OK(call("cuGraphGetEdges", graph, static_cast<CUgraphNode*>(nullptr), static_cast<CUgraphNode*>(nullptr), &edges));
  CHECK(edges == 4);
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_NONE);
  const CUgraphExec exec = instantiate(graph);
  OK(launch_graph(exec, a));
  OK(synchronize(a));
  CHECK(first(x) == 13);
}

TEST("a wait for a captured stream breaks its capture") {
  Device d;
  const CUstream s = stream();
  const CUdeviceptr x = allocate(4);
  OK(begin(s));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, synchronize(s));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, affine(d, x, 1, 1, 1, s));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, synchronize(s));
  expect_broken(s);
}

TEST("so do a query, a wait for the context, and one for an event recorded in it") {
  Device d;
  const CUstream s = stream();
  const CUevent e = event();
  OK(begin(s));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, call("cuStreamQuery", s));
  expect_broken(s);
  OK(begin(s));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, synchronize());
  expect_broken(s);
  OK(begin(s));
  OK(record(e, s));
  GIVES(CUDA_ERROR_CAPTURED_EVENT, call("cuEventSynchronize", e));
  expect_broken(s);
  OK(begin(s));
  OK(record(e, s));
  GIVES(CUDA_ERROR_CAPTURED_EVENT, call("cuEventQuery", e));
  expect_broken(s);
}

TEST("calls that may wait break a capture of the global mode, and of this thread unless it is relaxed") {
  Device d;
  const CUstream s = stream();
  CUdeviceptr x = 0;
  for (const CUstreamCaptureMode mode : {CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL}) {
    OK(begin(s, mode));
    GIVES(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, call("cuMemAlloc_v2", &x, size_t{4}));
    expect_broken(s);
  }
  OK(begin(s, CU_STREAM_CAPTURE_MODE_RELAXED));
  OK(call("cuMemAlloc_v2", &x, size_t{4}));
  CUgraph graph = nullptr;
  OK(end(s, &graph));

  const auto elsewhere = [&](CUresult expected) {
    std::thread([&] {
      OK(call("cuCtxSetCurrent", d.context));
      GIVES(expected, call("cuMemAlloc_v2", &x, size_t{4}));
    }).join();
  };
  OK(begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  elsewhere(CUDA_SUCCESS);
  OK(end(s, &graph));
  OK(begin(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
  elsewhere(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  expect_broken(s);
  // A thread may say that it knows what it does.
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  OK(begin(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
  OK(call("cuThreadExchangeStreamCaptureMode", &mode));
  CHECK(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
  OK(call("cuMemAlloc_v2", &x, size_t{4}));
  OK(end(s, &graph));
}

TEST("the legacy default stream cannot be captured, and work in it breaks the capture of a blocking stream alone") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream blocking = stream(CU_STREAM_DEFAULT), s = stream();
  CUgraph graph = nullptr;
  put(x, 1);
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, begin(nullptr));
  OK(begin(blocking));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, affine(d, x, 1, 1, 1, nullptr));
  expect_broken(blocking);
  OK(begin(blocking));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, to_device(x, &x, 4));
  expect_broken(blocking);
  OK(begin(s));
  OK(affine(d, x, 1, 1, 1, nullptr));
  OK(end(s, &graph));
  CHECK(first(x) == 2);
}

TEST("a capture ends in the stream and the thread where it began, with all branches joined") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream a = stream(), b = stream();
  const CUevent fork = event();
  CUgraph graph = nullptr;
  GIVES(CUDA_ERROR_ILLEGAL_STATE, end(a, &graph));
  OK(begin(a));
  GIVES(CUDA_ERROR_ILLEGAL_STATE, begin(a));
  OK(record(fork, a));
  OK(wait(b, fork));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, end(b, &graph));
  expect_broken(a);

  OK(begin(a));
  OK(record(fork, a));
  OK(wait(b, fork));
  OK(affine(d, x, 1, 1, 1, b));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, end(a, &graph));
  CHECK(graph == nullptr);
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_NONE);

  OK(begin(a));
  std::thread([&] {
    OK(call("cuCtxSetCurrent", d.context));
    GIVES(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, end(a, &graph));
  }).join();
  OK(end(a, &graph));
}

TEST("no dependence crosses the border of a capture") {
  Device d;
  const CUstream a = stream(), b = stream();
  const CUevent outside = event(), inside = event(), never = event();
  CUgraph graph = nullptr;
  OK(record(outside, b));
  OK(begin(a));
  OK(wait(a, never));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, wait(a, outside));
  expect_broken(a);
  OK(begin(a));
  OK(begin(b));
  OK(record(inside, b));
  GIVES(CUDA_ERROR_STREAM_CAPTURE_MERGE, wait(a, inside));
  expect_broken(a);
  expect_broken(b);
  OK(begin(a));
  OK(record(inside, a));
  OK(end(a, &graph));
  GIVES(CUDA_ERROR_CAPTURED_EVENT, wait(b, inside));  // its capture is over
}

static CUDA_KERNEL_NODE_PARAMS_v2 kernel_params(CUfunction f, void** params) {
  CUDA_KERNEL_NODE_PARAMS_v2 p{};
  p.func = f;
  p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimX = p.blockDimY = p.blockDimZ = 1;
  p.kernelParams = params;
  return p;
}

TEST("parameters of an executable's kernel can be set, and launches already made keep the old ones") {
  Device d;
  CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(affine(d, x, 2, 0, 1, s));
  OK(end(s, &graph));
  const CUgraphNode node = find(graph, CU_GRAPH_NODE_TYPE_KERNEL);
  const CUgraphExec exec = instantiate(graph);
  CUDA_KERNEL_NODE_PARAMS_v2 p{};
  OK(call("cuGraphKernelNodeGetParams_v2", node, &p));
  CHECK(p.func == d.function("affine"));
  CHECK(p.gridDimX == 1 && p.blockDimX == 64);
  CHECK(*static_cast<CUdeviceptr*>(p.kernelParams[0]) == x);
  CHECK(*static_cast<float*>(p.kernelParams[1]) == 2);
  OK(launch_graph(exec, s));
  float by = 10;
  void* params[] = {p.kernelParams[0], &by, p.kernelParams[2], p.kernelParams[3]};
  p.kernelParams = params;
  OK(call("cuGraphExecKernelNodeSetParams_v2", exec, node, static_cast<const CUDA_KERNEL_NODE_PARAMS_v2*>(&p)));
  OK(launch_graph(exec, s));
  OK(synchronize(s));
  CHECK(first(x) == 20);
  // The graph itself is as it was.
  OK(launch_graph(instantiate(graph), s));
  OK(synchronize(s));
  CHECK(first(x) == 40);
}

TEST("an executable is updated from a graph of the same shape and refuses another") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  const auto capture = [&](float by, int count) {
    CUgraph graph = nullptr;
    OK(begin(s));
    for (int i = 0; i < count; ++i) OK(affine(d, x, by, 0, 1, s));
    OK(end(s, &graph));
    return graph;
  };
  const CUgraphExec exec = instantiate(capture(2, 2));
  CUgraphExecUpdateResultInfo info{};
  OK(call("cuGraphExecUpdate_v2", exec, capture(3, 2), &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
  OK(launch_graph(exec, s));
  OK(synchronize(s));
  CHECK(first(x) == 9);
  GIVES(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, call("cuGraphExecUpdate_v2", exec, capture(3, 3), &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
  CUgraph other = nullptr;
  OK(begin(s));
  OK(affine(d, x, 2, 0, 1, s));
  OK(call("cuMemsetD32Async", x, 0u, size_t{1}, s));
  OK(end(s, &other));
  GIVES(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, call("cuGraphExecUpdate_v2", exec, other, &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
  OK(launch_graph(exec, s));
  OK(synchronize(s));
  CHECK(first(x) == 81);
}

TEST("a graph built by hand: kernels, fills, copies, host functions, events, children") {
  Device d;
  CUdeviceptr x = allocate(4), y = allocate(4);
  put(y, 0);
  CUgraph graph = nullptr, child = nullptr;
  OK(call("cuGraphCreate", &graph, 0u));
  OK(call("cuGraphCreate", &child, 0u));

  CUDA_MEMSET_NODE_PARAMS fill{x, 0, 0x3f800000, 4, 1, 1};
  CUgraphNode filled = nullptr, kernel = nullptr, copied = nullptr, nested = nullptr, host = nullptr, empty = nullptr,
              recorded = nullptr;
  const CUgraphNode* none = nullptr;
  OK(call("cuGraphAddMemsetNode", &filled, graph, none, size_t{0}, static_cast<const CUDA_MEMSET_NODE_PARAMS*>(&fill),
          d.context));
  float by = 4, shift = 0;
  unsigned n = 1;
  void* params[] = {&x, &by, &shift, &n};
  CUDA_KERNEL_NODE_PARAMS_v2 p = kernel_params(d.function("affine"), params);
  const auto* constant = static_cast<const CUDA_KERNEL_NODE_PARAMS_v2*>(&p);
  OK(call("cuGraphAddKernelNode_v2", &kernel, child, none, size_t{0}, constant));
  OK(call("cuGraphAddChildGraphNode", &nested, graph, static_cast<const CUgraphNode*>(&filled), size_t{1}, child));
  by = 100;  // copied when the node was made
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = x;
  copy.dstDevice = y;
  copy.WidthInBytes = 4;
  copy.Height = copy.Depth = 1;
  OK(call("cuGraphAddMemcpyNode", &copied, graph, static_cast<const CUgraphNode*>(&nested), size_t{1},
          static_cast<const CUDA_MEMCPY3D*>(&copy), d.context));
  static int calls = 0;
  const CUDA_HOST_NODE_PARAMS function{[](void* count) { ++*static_cast<int*>(count); }, &calls};
  OK(call("cuGraphAddHostNode", &host, graph, static_cast<const CUgraphNode*>(&copied), size_t{1}, &function));
  const CUevent done = event();
  OK(call("cuGraphAddEventRecordNode", &recorded, graph, static_cast<const CUgraphNode*>(&copied), size_t{1}, done));
  OK(call("cuGraphAddEmptyNode", &empty, graph, none, size_t{0}));

  CHECK(type_of(filled) == CU_GRAPH_NODE_TYPE_MEMSET);
  CHECK(type_of(nested) == CU_GRAPH_NODE_TYPE_GRAPH);
  CHECK(type_of(copied) == CU_GRAPH_NODE_TYPE_MEMCPY);
  CHECK(type_of(host) == CU_GRAPH_NODE_TYPE_HOST);
  CHECK(type_of(recorded) == CU_GRAPH_NODE_TYPE_EVENT_RECORD);
  CHECK(type_of(empty) == CU_GRAPH_NODE_TYPE_EMPTY);
  size_t roots = 0;
  OK(call("cuGraphGetRootNodes", graph, static_cast<CUgraphNode*>(nullptr), &roots));
  CHECK(roots == 2);

  const CUgraphExec exec = instantiate(graph);
  OK(launch_graph(exec, stream()));
  OK(call("cuEventSynchronize", done));
  CHECK(first(y) == 4);
  OK(synchronize());
  CHECK(calls == 1);

  // Of the executable's nodes, those of the child too.
  CUgraph inner = nullptr;
  OK(call("cuGraphChildGraphNodeGetGraph", nested, &inner));
  const CUgraphNode inner_kernel = find(inner, CU_GRAPH_NODE_TYPE_KERNEL);
  by = 7;
  OK(call("cuGraphExecKernelNodeSetParams_v2", exec, inner_kernel, constant));
  OK(call("cuGraphNodeSetEnabled", exec, filled, 0u));
  OK(launch_graph(exec, stream()));
  OK(synchronize());
  CHECK(first(y) == 28);

  // No circles.
  OK(call("cuGraphAddDependencies", graph, static_cast<const CUgraphNode*>(&copied),
          static_cast<const CUgraphNode*>(&filled), size_t{1}));
  CUgraphExec bad = nullptr;
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuGraphInstantiateWithFlags", &bad, graph, 0ull));
  OK(call("cuGraphRemoveDependencies", graph, static_cast<const CUgraphNode*>(&copied),
          static_cast<const CUgraphNode*>(&filled), size_t{1}));
  CUgraph twin = nullptr;
  OK(call("cuGraphClone", &twin, graph));
  CHECK(nodes_of(twin).size() == nodes_of(graph).size());
  OK(call("cuGraphDestroyNode", host));
  CHECK(nodes_of(twin).size() == nodes_of(graph).size() + 1);
  OK(call("cuGraphDestroy", graph));
  GIVES(CUDA_ERROR_INVALID_VALUE, call("cuGraphNodeGetType", filled, static_cast<CUgraphNodeType*>(nullptr)));
  OK(launch_graph(instantiate(twin), stream()));
  OK(synchronize());
  CHECK(calls == 3);
}

TEST("a graph launched into a captured stream becomes its child") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 1);
  const CUstream s = stream();
  CUgraph inner = nullptr, outer = nullptr;
  OK(begin(s));
  OK(affine(d, x, 2, 0, 1, s));
  OK(end(s, &inner));
  const CUgraphExec exec = instantiate(inner);
  OK(begin(s));
  OK(launch_graph(exec, s));
  OK(affine(d, x, 1, 1, 1, s));
  OK(launch_graph(exec, s));
  OK(end(s, &outer));
  CHECK(nodes_of(outer).size() == 3);
  OK(launch_graph(instantiate(outer), s));
  OK(synchronize(s));
  CHECK(first(x) == 6);
}

TEST("memory allocated while captured lives as long as the graph and its executables") {
  Device d;
  const CUdeviceptr x = allocate(4);
  put(x, 3);
  const CUstream s = stream();
  CUdeviceptr temporary = 0;
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(call("cuMemAllocAsync", &temporary, size_t{4}, s));
  OK(call("cuMemcpyDtoDAsync_v2", temporary, x, size_t{4}, s));
  OK(affine(d, temporary, 2, 0, 1, s));
  OK(call("cuMemcpyDtoDAsync_v2", x, temporary, size_t{4}, s));
  OK(call("cuMemFreeAsync", temporary, s));
  OK(end(s, &graph));
  const CUgraphExec exec = instantiate(graph);
  OK(call("cuGraphDestroy", graph));
  OK(launch_graph(exec, s));
  OK(launch_graph(exec, s));
  OK(synchronize(s));
  CHECK(first(x) == 12);
  OK(call("cuGraphExecDestroy", exec));
  size_t bytes = 0;
  GIVES(CUDA_ERROR_NOT_FOUND, call("cuMemGetAddressRange_v2", static_cast<CUdeviceptr*>(nullptr), &bytes, temporary));
}

TEST("what a capture depends on can be read and changed") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream s = stream();
  CUgraph graph = nullptr, during = nullptr;
  OK(begin(s));
  OK(affine(d, x, 1, 1, 1, s));
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  uint64_t id = 0;
  const CUgraphNode* after = nullptr;
  size_t count = 0;
  OK(call("cuStreamGetCaptureInfo_v2", s, &status, &id, &during, &after, &count));
  CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && id != 0 && count == 1);
  CHECK(type_of(after[0]) == CU_GRAPH_NODE_TYPE_KERNEL);
  CUgraphNode added = nullptr;
  OK(call("cuGraphAddEmptyNode", &added, during, after, count));
  OK(call("cuStreamUpdateCaptureDependencies", s, &added, size_t{1}, 1u));
  OK(affine(d, x, 1, 1, 1, s));
  OK(end(s, &graph));
  CHECK(graph == during);
  CHECK(nodes_of(graph).size() == 3);
  size_t before = 0;
  OK(call("cuGraphNodeGetDependencies", nodes_of(graph)[2], static_cast<CUgraphNode*>(nullptr), &before));
  CHECK(before == 1);
}

TEST("a fault in a graph stays like any other") {
  Device d;
  const CUdeviceptr x = allocate(4);
  const CUstream s = stream();
  CUgraph graph = nullptr;
  OK(begin(s));
  OK(launch(d.function("past_the_end"), 1, 1, 0, s, x, 1u));
  OK(affine(d, x, 1, 1, 1, s));
  OK(end(s, &graph));
  OK(launch_graph(instantiate(graph), s));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize(s));
  GIVES(CUDA_ERROR_ILLEGAL_ADDRESS, synchronize());
}

int main(int argc, char** argv) { return main_of(argc, argv); }
