// Graphs: work with its order, but in no stream.
#pragma once
#include "state.h"

namespace sim {

struct Node {
  CUgraphNode handle = nullptr;
  Graph* graph = nullptr;
  WorkPtr work;                              // null: an empty node
  std::shared_ptr<Graph> child;              // of a child graph node
  std::vector<std::shared_ptr<Node>> after;  // dependencies
  CUgraphNode original = nullptr;            // of a clone

  CUgraphNodeType type() const {
    return child ? CU_GRAPH_NODE_TYPE_GRAPH : work ? work->type() : CU_GRAPH_NODE_TYPE_EMPTY;
  }
};
using NodePtr = std::shared_ptr<Node>;

struct Graph {
  CUgraph handle = nullptr;
  std::vector<NodePtr> nodes;
};

// A graph made ready to launch: flat, in an order that respects the dependencies.
struct GraphExec {
  struct Step {
    CUgraphNode node;
    WorkPtr work;
    std::vector<size_t> after;
    bool enabled;
  };
  CUgraphExec handle = nullptr;
  std::vector<Step> steps;
  uint64_t flags = 0;
  OpPtr last;  // of its last launch: one launch at a time
};

std::shared_ptr<Graph> make_graph();
void drop_graph(Graph&);
NodePtr add_node(Graph&, WorkPtr, std::vector<NodePtr> after);
// Nodes that record an event for everyone, or wait for one from outside, at each launch.
WorkPtr record_work(std::shared_ptr<Event>);
WorkPtr wait_work(std::shared_ptr<Event>);

}  // namespace sim
