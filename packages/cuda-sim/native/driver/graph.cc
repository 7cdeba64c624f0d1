// Graphs: built by hand or by capture, made executable, launched, updated.
#include "graph.h"

#include <algorithm>
#include <cstdio>

#include "call.h"
#include "capture.h"
#include "copy.h"
#include "launch.h"

namespace sim {
namespace {

struct EventWork : Work {
  std::shared_ptr<Event> event;
  bool records = false;
  CUgraphNodeType type() const override {
    return records ? CU_GRAPH_NODE_TYPE_EVENT_RECORD : CU_GRAPH_NODE_TYPE_WAIT_EVENT;
  }
  CUresult run(Context&) const override { return CUDA_SUCCESS; }
};

using Steps = std::vector<GraphExec::Step>;

// Nodes in an order that respects their dependencies, else as they were added. False: they go round in a circle.
bool in_order(const Graph& graph, std::vector<NodePtr>* out) {
  std::map<const Node*, size_t> missing;
  std::map<const Node*, std::vector<NodePtr>> next;
  std::map<size_t, NodePtr> ready;
  std::map<const Node*, size_t> place;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const NodePtr& node = graph.nodes[i];
    place[node.get()] = i;
    missing[node.get()] = node->after.size();
    for (const NodePtr& before : node->after) next[before.get()].push_back(node);
    if (node->after.empty()) ready.emplace(i, node);
  }
  while (!ready.empty()) {
    const NodePtr node = ready.begin()->second;
    ready.erase(ready.begin());
    out->push_back(node);
    for (const NodePtr& other : next[node.get()]) {
      if (--missing[other.get()] == 0) ready.emplace(place[other.get()], other);
    }
  }
  return out->size() == graph.nodes.size();
}

// A child graph is put in place of its node: its first nodes wait for what the node waits for, and who waits for the
// node waits for its last ones, by way of an empty step.
bool flatten(const Graph& graph, const std::vector<size_t>& before, Steps* steps) {
  std::vector<NodePtr> nodes;
  if (!in_order(graph, &nodes)) return false;
  std::map<const Node*, size_t> step_of;
  for (const NodePtr& node : nodes) {
    std::vector<size_t> after;
    for (const NodePtr& dependency : node->after) after.push_back(step_of[dependency.get()]);
    if (after.empty()) after = before;
    if (node->child) {
      const size_t first = steps->size();
      if (!flatten(*node->child, after, steps)) return false;
      for (size_t i = first; i < steps->size(); ++i) after.push_back(i);
    }
    step_of[node.get()] = steps->size();
    steps->push_back({node->handle, node->work, std::move(after), true});
  }
  return true;
}

std::shared_ptr<Graph> clone(const Graph& graph) {
  auto copy = make_graph();
  std::map<const Node*, NodePtr> twin;
  for (const NodePtr& node : graph.nodes) {
    const NodePtr made = add_node(*copy, node->work, {});
    made->original = node->handle;
    if (node->child) made->child = clone(*node->child);
    twin[node.get()] = made;
  }
  for (const NodePtr& node : graph.nodes) {
    for (const NodePtr& before : node->after) twin[node.get()]->after.push_back(twin[before.get()]);
  }
  return copy;
}

CUresult launch_steps(Context& context, Stream& stream, GraphExec& exec) {
  std::vector<OpPtr> before = tails_of(stream);
  if (!is_done(exec.last)) before.push_back(exec.last);
  const OpPtr start = submit_detached(context, nullptr, std::move(before));
  std::vector<OpPtr> ops;
  for (const GraphExec::Step& step : exec.steps) {
    std::vector<OpPtr> after{start};
    for (const size_t i : step.after) after.push_back(ops[i]);
    const auto* event = dynamic_cast<const EventWork*>(step.work.get());
    if (event && !event->records && event->event->op) after.push_back(event->event->op);
    ops.push_back(submit_detached(context, step.enabled ? step.work : nullptr, std::move(after)));
    if (event && event->records) {
      event->event->op = ops.back();
      event->event->recorded = true;
      event->event->capture.reset();
    }
  }
  ops.push_back(start);
  exec.last = submit(stream, nullptr, std::move(ops));
  return context.error;
}

CUresult instantiate(CUgraphExec* out, CUgraph handle, uint64_t flags) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<Graph> graph = driver().graphs.find(handle);
    constexpr uint64_t kDeviceLaunch = 4;
    if (!out || !graph || flags > 15) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & kDeviceLaunch) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    auto exec = std::make_shared<GraphExec>();
    if (!flatten(*graph, {}, &exec->steps)) return refuse(CUDA_ERROR_INVALID_VALUE, "the graph has a cycle");
    exec->flags = flags;
    *out = driver().execs.add(exec);
    return CUDA_SUCCESS;
  });
}

CUresult update(CUgraphExec exec_handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo* info) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<GraphExec> exec = driver().execs.find(exec_handle);
    const std::shared_ptr<Graph> graph = driver().graphs.find(graph_handle);
    if (!exec || !graph || !info) return CUDA_ERROR_INVALID_VALUE;
    *info = {CU_GRAPH_EXEC_UPDATE_SUCCESS, nullptr, nullptr};
    Steps steps;
    const auto differs = [&](CUgraphExecUpdateResult what, size_t at) {
      info->result = what;
      if (at < steps.size()) info->errorNode = steps[at].node;
      return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    };
    if (!flatten(*graph, {}, &steps)) return CUDA_ERROR_INVALID_VALUE;
    if (steps.size() != exec->steps.size()) return differs(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, SIZE_MAX);
    const auto type = [](const WorkPtr& work) { return work ? work->type() : CU_GRAPH_NODE_TYPE_EMPTY; };
    for (size_t i = 0; i < steps.size(); ++i) {
      const WorkPtr &now = steps[i].work, &then = exec->steps[i].work;
      if (steps[i].after != exec->steps[i].after) return differs(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, i);
      if (type(now) != type(then)) return differs(CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, i);
      if (type(now) != CU_GRAPH_NODE_TYPE_MEMCPY) continue;
      const auto &a = static_cast<const CopyWork&>(*now), &b = static_cast<const CopyWork&>(*then);
      if (a.to.device != b.to.device || a.from.device != b.from.device) {
        return differs(CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED, i);
      }
    }
    // What nodes were disabled stays so, and so do the names by which the executable's nodes are known.
    for (size_t i = 0; i < steps.size(); ++i) exec->steps[i].work = steps[i].work;
    return CUDA_SUCCESS;
  });
}

template <class F>
CUresult of_graph(CUgraph handle, F&& body) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<Graph> graph = driver().graphs.find(handle);
    return graph ? body(*graph) : CUDA_ERROR_INVALID_VALUE;
  });
}

template <class F>
CUresult of_node(CUgraphNode handle, F&& body) {
  return locked([&]() -> CUresult {
    const NodePtr node = driver().nodes.find(handle);
    return node ? body(*node) : CUDA_ERROR_INVALID_VALUE;
  });
}

// The step that a node of the graph became.
template <class F>
CUresult of_step(CUgraphExec exec_handle, CUgraphNode node, F&& body) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<GraphExec> exec = driver().execs.find(exec_handle);
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    for (GraphExec::Step& step : exec->steps) {
      if (step.node == node) return body(step);
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

// make(&work) gives the new node's work.
template <class F>
CUresult add(CUgraphNode* out, CUgraph graph_handle, const CUgraphNode* after, size_t count, F&& make) {
  return of_graph(graph_handle, [&](Graph& graph) -> CUresult {
    if (!out || (count > 0 && !after)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<NodePtr> list;
    for (size_t i = 0; i < count; ++i) {
      const NodePtr node = driver().nodes.find(after[i]);
      if (!node || node->graph != &graph || std::find(list.begin(), list.end(), node) != list.end()) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      list.push_back(node);
    }
    WorkPtr work;
    if (const CUresult r = make(&work); r != CUDA_SUCCESS) return r;
    *out = add_node(graph, std::move(work), std::move(list))->handle;
    return CUDA_SUCCESS;
  });
}

CUresult kernel_work(const CUDA_KERNEL_NODE_PARAMS_v2* p, WorkPtr* out) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const ContextPtr context = p->ctx ? driver().contexts.find(p->ctx) : current_context();
  if (!context || !context->alive) return CUDA_ERROR_INVALID_CONTEXT;
  const void* function = p->func ? static_cast<const void*>(p->func) : p->kern;
  std::shared_ptr<KernelWork> work;
  const CUresult r = make_kernel(*context, function,
                                 {{p->gridDimX, p->gridDimY, p->gridDimZ},
                                  {p->blockDimX, p->blockDimY, p->blockDimZ},
                                  {0, 0, 0},
                                  p->sharedMemBytes,
                                  false},
                                 p->kernelParams, p->extra, &work);
  *out = std::move(work);
  return r;
}

CUDA_KERNEL_NODE_PARAMS_v2 second(const CUDA_KERNEL_NODE_PARAMS_v1& p) {
  return {p.func,      p.gridDimX,       p.gridDimY,     p.gridDimZ, p.blockDimX, p.blockDimY,
          p.blockDimZ, p.sharedMemBytes, p.kernelParams, p.extra,    nullptr,     nullptr};
}

CUresult copy_work(const CUDA_MEMCPY3D* p, WorkPtr* out) {
  std::shared_ptr<CopyWork> work;
  const CUresult r = p ? make_copy(*p, &work) : CUDA_ERROR_INVALID_VALUE;
  *out = std::move(work);
  return r;
}

CUresult fill_work(const CUDA_MEMSET_NODE_PARAMS* p, WorkPtr* out) {
  std::shared_ptr<FillWork> work;
  const CUresult r = p ? make_fill(*p, &work) : CUDA_ERROR_INVALID_VALUE;
  *out = std::move(work);
  return r;
}

CUresult host_work(const CUDA_HOST_NODE_PARAMS* p, WorkPtr* out) {
  if (!p || !p->fn) return CUDA_ERROR_INVALID_VALUE;
  auto work = std::make_shared<HostWork>();
  work->function = p->fn;
  work->data = p->userData;
  *out = std::move(work);
  return CUDA_SUCCESS;
}

// New work for a node or a step, of the type that it has.
template <class Target, class F>
CUresult replace(Target& target, CUgraphNodeType type, F&& make) {
  if (!target.work || target.work->type() != type) return CUDA_ERROR_INVALID_VALUE;
  WorkPtr work;
  if (const CUresult r = make(&work); r != CUDA_SUCCESS) return r;
  target.work = std::move(work);
  return CUDA_SUCCESS;
}

template <class T>
const T* work_of(const Node& node) {
  return dynamic_cast<const T*>(node.work.get());
}

// Lists of nodes: with no place to put them, only how many.
CUresult list_nodes(const std::vector<CUgraphNode>& list, CUgraphNode* out, size_t* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (out) {
    for (size_t i = 0; i < *count; ++i) out[i] = i < list.size() ? list[i] : nullptr;
    *count = std::min(*count, list.size());
  } else {
    *count = list.size();
  }
  return CUDA_SUCCESS;
}

CUresult list_edges(CUgraph handle, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges, size_t* count) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    if (!count || !from != !to) return CUDA_ERROR_INVALID_VALUE;
    size_t n = 0;
    for (const NodePtr& node : graph.nodes) {
      for (const NodePtr& before : node->after) {
        if (from && n < *count) {
          from[n] = before->handle;
          to[n] = node->handle;
          if (edges) edges[n] = {};
        }
        ++n;
      }
    }
    *count = from ? std::min(*count, n) : n;
    return CUDA_SUCCESS;
  });
}

CUresult list_neighbours(CUgraphNode handle, bool before, CUgraphNode* out, CUgraphEdgeData* edges, size_t* count) {
  return of_node(handle, [&](Node& node) -> CUresult {
    std::vector<CUgraphNode> list;
    if (before) {
      for (const NodePtr& other : node.after) list.push_back(other->handle);
    } else {
      for (const NodePtr& other : node.graph->nodes) {
        for (const NodePtr& dependency : other->after) {
          if (dependency.get() == &node) list.push_back(other->handle);
        }
      }
    }
    const CUresult r = list_nodes(list, out, count);
    if (r == CUDA_SUCCESS && edges && out) std::fill(edges, edges + *count, CUgraphEdgeData{});
    return r;
  });
}

CUresult change_edges(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, size_t count, bool adds) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    if (count > 0 && (!from || !to)) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      const NodePtr a = driver().nodes.find(from[i]), b = driver().nodes.find(to[i]);
      if (!a || !b || a == b || a->graph != &graph || b->graph != &graph) return CUDA_ERROR_INVALID_VALUE;
      const auto at = std::find(b->after.begin(), b->after.end(), a);
      if ((at != b->after.end()) == adds) return CUDA_ERROR_INVALID_VALUE;
      if (adds) {
        b->after.push_back(a);
      } else {
        b->after.erase(at);
      }
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

std::shared_ptr<Graph> make_graph() {
  auto graph = std::make_shared<Graph>();
  driver().graphs.add(graph);
  return graph;
}

void drop_graph(Graph& graph) {
  Driver& d = driver();
  for (const NodePtr& node : graph.nodes) {
    node->after.clear();
    if (node->child) drop_graph(*node->child);
    d.nodes.remove(node->handle);
  }
  d.graphs.remove(graph.handle);
}

NodePtr add_node(Graph& graph, WorkPtr work, std::vector<NodePtr> after) {
  auto node = std::make_shared<Node>();
  node->graph = &graph;
  node->work = std::move(work);
  node->after = std::move(after);
  driver().nodes.add(node);
  graph.nodes.push_back(node);
  return node;
}

WorkPtr record_work(std::shared_ptr<Event> event) {
  auto work = std::make_shared<EventWork>();
  work->event = std::move(event);
  work->records = true;
  return work;
}

WorkPtr wait_work(std::shared_ptr<Event> event) {
  auto work = std::make_shared<EventWork>();
  work->event = std::move(event);
  return work;
}

}  // namespace sim

using namespace sim;

CU_API cuGraphCreate(CUgraph* out, unsigned flags) {
  return locked([&]() -> CUresult {
    if (!out || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *out = make_graph()->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphDestroy(CUgraph handle) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<Graph> graph = driver().graphs.find(handle);
    if (!graph) return CUDA_ERROR_INVALID_VALUE;
    drop_graph(*graph);
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphClone(CUgraph* out, CUgraph handle) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = clone(graph)->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph handle) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    for (const NodePtr& node : graph.nodes) {
      if (!out || node->original != original) continue;
      *out = node->handle;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CU_API cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
  return instantiate(out, graph, flags);
}
CU_API cuGraphInstantiateWithParams(CUgraphExec* out, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUresult r = instantiate(out, graph, params->flags);
  params->hErrNode_out = nullptr;
  params->result_out = r == CUDA_SUCCESS ? 0 : 1;
  return r;
}
CU_API cuGraphInstantiate_v2(CUgraphExec* out, CUgraph graph, CUgraphNode* error, char* log, size_t room) {
  if (error) *error = nullptr;
  if (log && room > 0) *log = '\0';
  return instantiate(out, graph, 0);
}
CU_API cuGraphInstantiate(CUgraphExec* out, CUgraph graph, CUgraphNode* error, char* log, size_t room) {
  return cuGraphInstantiate_v2(out, graph, error, log, room);
}

CU_API cuGraphExecDestroy(CUgraphExec handle) {
  return locked([&]() -> CUresult { return driver().execs.remove(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CU_API cuGraphExecGetFlags(CUgraphExec handle, uint64_t* flags) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<GraphExec> exec = driver().execs.find(handle);
    if (!exec || !flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec->flags;
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  return in_stream(stream_handle, [&](Context& context, Stream& stream) -> CUresult {
    const std::shared_ptr<GraphExec> exec = driver().execs.find(handle);
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    if (stream.capture) {  // becomes a child graph
      if (stream.capture->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      const NodePtr parent = add_node(*stream.capture->graph, nullptr, stream.capture_after);
      parent->child = make_graph();
      for (const GraphExec::Step& step : exec->steps) {
        std::vector<NodePtr> after;
        for (const size_t i : step.after) after.push_back(parent->child->nodes[i]);
        add_node(*parent->child, step.enabled ? step.work : nullptr, std::move(after));
      }
      stream.capture_after = {parent};
      return CUDA_SUCCESS;
    }
    if (stream.legacy) {
      if (const CUresult r = refuse_legacy(context); r != CUDA_SUCCESS) return r;
    }
    return launch_steps(*stream.context, stream, *exec);
  });
}

CU_API cuGraphUpload(CUgraphExec handle, CUstream stream_handle) {
  return in_stream(stream_handle, [&](Context&, Stream&) -> CUresult {
    return driver().execs.find(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CU_API cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return update(exec, graph, info);
}
CU_API cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* node, CUgraphExecUpdateResult* result) {
  CUgraphExecUpdateResultInfo info{};
  const CUresult r = update(exec, graph, &info);
  if (node) *node = info.errorNode;
  if (result) *result = info.result;
  return r;
}

CU_API cuGraphAddKernelNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                               const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  return add(out, graph, after, count, [&](WorkPtr* work) { return kernel_work(params, work); });
}
CU_API cuGraphAddKernelNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                            const CUDA_KERNEL_NODE_PARAMS_v1* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS_v2 p = second(*params);
  return cuGraphAddKernelNode_v2(out, graph, after, count, &p);
}

CU_API cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS_v2* p) {
  return of_node(handle, [&](Node& node) -> CUresult {
    const auto* work = work_of<KernelWork>(node);
    if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
    const Launch& l = work->launch;
    work->pointers.clear();
    for (const Parameter& parameter : l.function->parameters()) {
      work->pointers.push_back(const_cast<char*>(l.params.data()) + parameter.offset);
    }
    *p = {
        work->callable.kernel->handle, l.grid.x, l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z, l.dynamic_shared,
        work->pointers.data(),         nullptr,  nullptr,  nullptr};
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphKernelNodeGetParams(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS_v1* p) {
  CUDA_KERNEL_NODE_PARAMS_v2 full{};
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUresult r = cuGraphKernelNodeGetParams_v2(handle, &full);
  // The first version is the second's beginning.
  if (r == CUDA_SUCCESS) std::memcpy(p, &full, sizeof *p);
  return r;
}

CU_API cuGraphKernelNodeSetParams_v2(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS_v2* p) {
  return of_node(handle, [&](Node& node) {
    return replace(node, CU_GRAPH_NODE_TYPE_KERNEL, [&](WorkPtr* work) { return kernel_work(p, work); });
  });
}
CU_API cuGraphKernelNodeSetParams(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS_v2 full = second(*p);
  return cuGraphKernelNodeSetParams_v2(handle, &full);
}
CU_API cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v2* p) {
  return of_step(exec, node, [&](GraphExec::Step& step) {
    return replace(step, CU_GRAPH_NODE_TYPE_KERNEL, [&](WorkPtr* work) { return kernel_work(p, work); });
  });
}
CU_API cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS_v2 full = second(*p);
  return cuGraphExecKernelNodeSetParams_v2(exec, node, &full);
}

CU_API cuGraphAddMemcpyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                            const CUDA_MEMCPY3D* p, CUcontext) {
  return add(out, graph, after, count, [&](WorkPtr* work) { return copy_work(p, work); });
}
CU_API cuGraphMemcpyNodeGetParams(CUgraphNode handle, CUDA_MEMCPY3D* p) {
  return of_node(handle, [&](Node& node) -> CUresult {
    const auto* work = work_of<CopyWork>(node);
    if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
    *p = describe(*work);
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphMemcpyNodeSetParams(CUgraphNode handle, const CUDA_MEMCPY3D* p) {
  return of_node(handle, [&](Node& node) {
    return replace(node, CU_GRAPH_NODE_TYPE_MEMCPY, [&](WorkPtr* work) { return copy_work(p, work); });
  });
}
CU_API cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* p, CUcontext) {
  return of_step(exec, node, [&](GraphExec::Step& step) {
    return replace(step, CU_GRAPH_NODE_TYPE_MEMCPY, [&](WorkPtr* work) { return copy_work(p, work); });
  });
}

CU_API cuGraphAddMemsetNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                            const CUDA_MEMSET_NODE_PARAMS* p, CUcontext) {
  return add(out, graph, after, count, [&](WorkPtr* work) { return fill_work(p, work); });
}
CU_API cuGraphMemsetNodeGetParams(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS* p) {
  return of_node(handle, [&](Node& node) -> CUresult {
    const auto* work = work_of<FillWork>(node);
    if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
    *p = describe(*work);
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphMemsetNodeSetParams(CUgraphNode handle, const CUDA_MEMSET_NODE_PARAMS* p) {
  return of_node(handle, [&](Node& node) {
    return replace(node, CU_GRAPH_NODE_TYPE_MEMSET, [&](WorkPtr* work) { return fill_work(p, work); });
  });
}
CU_API cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* p, CUcontext) {
  return of_step(exec, node, [&](GraphExec::Step& step) {
    return replace(step, CU_GRAPH_NODE_TYPE_MEMSET, [&](WorkPtr* work) { return fill_work(p, work); });
  });
}

CU_API cuGraphAddHostNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                          const CUDA_HOST_NODE_PARAMS* p) {
  return add(out, graph, after, count, [&](WorkPtr* work) { return host_work(p, work); });
}
CU_API cuGraphHostNodeGetParams(CUgraphNode handle, CUDA_HOST_NODE_PARAMS* p) {
  return of_node(handle, [&](Node& node) -> CUresult {
    const auto* work = work_of<HostWork>(node);
    if (!work || !p) return CUDA_ERROR_INVALID_VALUE;
    *p = {work->function, work->data};
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphHostNodeSetParams(CUgraphNode handle, const CUDA_HOST_NODE_PARAMS* p) {
  return of_node(handle, [&](Node& node) {
    return replace(node, CU_GRAPH_NODE_TYPE_HOST, [&](WorkPtr* work) { return host_work(p, work); });
  });
}
CU_API cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS* p) {
  return of_step(exec, node, [&](GraphExec::Step& step) {
    return replace(step, CU_GRAPH_NODE_TYPE_HOST, [&](WorkPtr* work) { return host_work(p, work); });
  });
}

CU_API cuGraphAddEmptyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count) {
  return add(out, graph, after, count, [](WorkPtr*) { return CUDA_SUCCESS; });
}

CU_API cuGraphAddEventRecordNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                                 CUevent event) {
  return add(out, graph, after, count, [&](WorkPtr* work) -> CUresult {
    const std::shared_ptr<Event> target = driver().events.find(event);
    if (!target) return CUDA_ERROR_INVALID_VALUE;
    *work = record_work(target);
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphAddEventWaitNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count, CUevent event) {
  return add(out, graph, after, count, [&](WorkPtr* work) -> CUresult {
    const std::shared_ptr<Event> target = driver().events.find(event);
    if (!target) return CUDA_ERROR_INVALID_VALUE;
    *work = wait_work(target);
    return CUDA_SUCCESS;
  });
}

// The child is copied at the time of the call.
CU_API cuGraphAddChildGraphNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count,
                                CUgraph child) {
  const CUresult r = add(out, graph, after, count, [&](WorkPtr*) -> CUresult {
    return driver().graphs.find(child) && child != graph ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
  if (r != CUDA_SUCCESS) return r;
  return of_node(*out, [&](Node& node) -> CUresult {
    node.child = clone(*driver().graphs.find(child));
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph* out) {
  return of_node(handle, [&](Node& node) -> CUresult {
    if (!node.child || !out) return CUDA_ERROR_INVALID_VALUE;
    *out = node.child->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphGetNodes(CUgraph handle, CUgraphNode* out, size_t* count) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    std::vector<CUgraphNode> list;
    for (const NodePtr& node : graph.nodes) list.push_back(node->handle);
    return list_nodes(list, out, count);
  });
}
CU_API cuGraphGetRootNodes(CUgraph handle, CUgraphNode* out, size_t* count) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    std::vector<CUgraphNode> list;
    for (const NodePtr& node : graph.nodes) {
      if (node->after.empty()) list.push_back(node->handle);
    }
    return list_nodes(list, out, count);
  });
}
CU_API cuGraphGetEdges(CUgraph handle, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return list_edges(handle, from, to, nullptr, count);
}
CU_API cuGraphGetEdges_v2(CUgraph handle, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges, size_t* count) {
  return list_edges(handle, from, to, edges, count);
}
CU_API cuGraphNodeGetDependencies(CUgraphNode handle, CUgraphNode* out, size_t* count) {
  return list_neighbours(handle, true, out, nullptr, count);
}
CU_API cuGraphNodeGetDependencies_v2(CUgraphNode handle, CUgraphNode* out, CUgraphEdgeData* edges, size_t* count) {
  return list_neighbours(handle, true, out, edges, count);
}
CU_API cuGraphNodeGetDependentNodes(CUgraphNode handle, CUgraphNode* out, size_t* count) {
  return list_neighbours(handle, false, out, nullptr, count);
}
CU_API cuGraphNodeGetDependentNodes_v2(CUgraphNode handle, CUgraphNode* out, CUgraphEdgeData* edges, size_t* count) {
  return list_neighbours(handle, false, out, edges, count);
}
CU_API cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return change_edges(graph, from, to, count, true);
}
CU_API cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData*,
                                 size_t count) {
  return change_edges(graph, from, to, count, true);
}
CU_API cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return change_edges(graph, from, to, count, false);
}
CU_API cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                    const CUgraphEdgeData*, size_t count) {
  return change_edges(graph, from, to, count, false);
}

CU_API cuGraphDestroyNode(CUgraphNode handle) {
  return of_node(handle, [&](Node& node) -> CUresult {
    const NodePtr self = driver().nodes.find(handle);
    std::vector<NodePtr>& nodes = node.graph->nodes;
    for (const NodePtr& other : nodes) {
      other->after.erase(std::remove(other->after.begin(), other->after.end(), self), other->after.end());
    }
    nodes.erase(std::remove(nodes.begin(), nodes.end(), self), nodes.end());
    if (self->child) drop_graph(*self->child);
    driver().nodes.remove(handle);
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
  return of_node(handle, [&](Node& node) -> CUresult {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    *type = node.type();
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled) {
  return of_step(exec, node, [&](GraphExec::Step& step) -> CUresult {
    const CUgraphNodeType type = step.work ? step.work->type() : CU_GRAPH_NODE_TYPE_EMPTY;
    if (type > CU_GRAPH_NODE_TYPE_MEMSET) return CUDA_ERROR_INVALID_VALUE;
    step.enabled = enabled != 0;
    return CUDA_SUCCESS;
  });
}
CU_API cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned* enabled) {
  return of_step(exec, node, [&](GraphExec::Step& step) -> CUresult {
    if (!enabled) return CUDA_ERROR_INVALID_VALUE;
    *enabled = step.enabled;
    return CUDA_SUCCESS;
  });
}

CU_API cuGraphDebugDotPrint(CUgraph handle, const char* path, unsigned) {
  return of_graph(handle, [&](Graph& graph) -> CUresult {
    std::FILE* file = path ? std::fopen(path, "we") : nullptr;
    if (!file) return CUDA_ERROR_OPERATING_SYSTEM;
    static constexpr const char* kNames[] = {"kernel", "copy", "fill", "host", "graph", "empty", "wait", "record"};
    std::fprintf(file, "digraph {\n");
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      const Node& node = *graph.nodes[i];
      const auto* kernel = work_of<KernelWork>(node);
      const auto type = static_cast<size_t>(node.type());
      const std::string label = kernel ? kernel->callable.kernel->name : type < 8 ? kNames[type] : "memory";
      std::fprintf(file, "  n%zu [label=\"%s\"]\n", i, label.c_str());
      for (const NodePtr& before : node.after) {
        const auto at = std::find(graph.nodes.begin(), graph.nodes.end(), before) - graph.nodes.begin();
        std::fprintf(file, "  n%td -> n%zu\n", at, i);
      }
    }
    std::fprintf(file, "}\n");
    std::fclose(file);
    return CUDA_SUCCESS;
  });
}
