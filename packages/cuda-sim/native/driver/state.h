// What the driver holds: devices, contexts, streams of operations that have not run yet, modules, graphs. Everything is
// touched under one lock, and work runs one operation at a time: the streams of a GPU overlap, here they interleave.
#pragma once
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../exec/machine.h"
#include "api.h"

namespace sim {

struct Chip;
struct Context;
struct Capture;
struct Graph;
struct GraphExec;
struct Node;
struct Pool;
struct Stream;

// Handles are numbers that were never given before, with the kind in their top bits: a stale one, or one of another
// kind, is refused instead of followed.
enum class Kind : uint64_t { context = 1, stream, event, module, function, library, graph, node, exec, pool };

template <class Handle, class T, Kind kind>
class Table {
 public:
  Handle add(std::shared_ptr<T> object) {
    const uint64_t id = (0x51ull << 56) | (static_cast<uint64_t>(kind) << 48) | (++last_ << 4);
    const Handle handle = reinterpret_cast<Handle>(id);
    object->handle = handle;
    objects_.emplace(id, std::move(object));
    return handle;
  }
  std::shared_ptr<T> find(const void* handle) const {
    const auto at = objects_.find(reinterpret_cast<uint64_t>(handle));
    return at == objects_.end() ? nullptr : at->second;
  }
  bool remove(const void* handle) { return objects_.erase(reinterpret_cast<uint64_t>(handle)) > 0; }
  std::vector<std::shared_ptr<T>> all() const {
    std::vector<std::shared_ptr<T>> list;
    for (const auto& entry : objects_) list.push_back(entry.second);
    return list;
  }
  size_t size() const { return objects_.size(); }

 private:
  uint64_t last_ = 0;
  std::map<uint64_t, std::shared_ptr<T>> objects_;
};

struct Device {
  int ordinal = 0;
  std::unique_ptr<Memory> memory;
  std::shared_ptr<Context> primary;
  int primary_users = 0;
  std::shared_ptr<Pool> default_pool, pool;
};

// Host memory that the device may reach: allocated by the driver, or registered with it.
struct HostRange {
  uintptr_t start = 0;
  size_t bytes = 0;
  size_t mapped = 0;  // of an allocation: what munmap gives back
  unsigned flags = 0;
  bool registered = false;
  bool live = true;
  Context* context = nullptr;
};

// One operation in a stream, or one node of a graph. Immutable: a graph launched twice runs the same object twice, and
// an update of an executable graph replaces it.
struct Work {
  virtual ~Work() = default;
  virtual CUgraphNodeType type() const = 0;
  // A code other than CUDA_SUCCESS stays with the context.
  virtual CUresult run(Context&) const = 0;
  virtual bool calls_host() const { return false; }  // runs without the driver's lock
  virtual void abandoned(CUresult) const {}          // its context failed before its turn
};
using WorkPtr = std::shared_ptr<const Work>;

struct Op {
  enum class State { pending, running, done };
  WorkPtr work;  // null: only an order of others
  Context* context = nullptr;
  State state = State::pending;
  uint64_t sequence = 0;                   // of submission
  std::vector<std::shared_ptr<Op>> after;  // emptied once done, so that chains don't pile up
  // Of one search: how many of `after` have not run, who waits for this one.
  uint64_t visit = 0;
  size_t missing = 0;
  std::vector<Op*> next;
};
using OpPtr = std::shared_ptr<Op>;

struct Stream {
  CUstream handle = nullptr;
  std::shared_ptr<Context> context;
  unsigned flags = 0;
  int priority = 0;
  uint64_t id = 0;
  bool legacy = false;
  OpPtr tail;
  std::shared_ptr<Capture> capture;
  std::vector<std::shared_ptr<Node>> capture_after;  // what the next captured node depends on

  bool blocking() const { return !legacy && (flags & CU_STREAM_NON_BLOCKING) == 0; }
};

struct Event {
  CUevent handle = nullptr;
  std::shared_ptr<Context> context;
  unsigned flags = 0;
  OpPtr op;  // of the last record; null: never recorded, or complete
  bool recorded = false;
  std::shared_ptr<Capture> capture;  // last recorded in a capturing stream
  std::vector<std::shared_ptr<Node>> capture_after;
};

struct LoadedModule;

// A kernel in one context (CUfunction), or in a library, which finds its module in whatever context it is used
// (CUkernel).
struct Kernel {
  CUfunction handle = nullptr;
  std::weak_ptr<LoadedModule> module;
  Function* function = nullptr;  // lives with the module
  std::string name;
  int64_t max_dynamic_shared = -1;  // -1: not set, so that 48 KiB with the static part is the limit
  int carveout = -1;
  bool non_portable_cluster = false;
  std::weak_ptr<struct Library> library;  // of a CUkernel; function is then null
};
using KernelPtr = std::shared_ptr<Kernel>;

struct LoadedModule {
  CUmodule handle = nullptr;
  Context* context = nullptr;
  std::unique_ptr<Module> module;
  std::map<std::string, KernelPtr, std::less<>> kernels;  // those asked for
  bool of_library = false;
};

struct Library {
  CUlibrary handle = nullptr;
  std::string ptx;
  std::map<std::string, KernelPtr, std::less<>> kernels;
  std::map<Context*, std::shared_ptr<LoadedModule>> modules;
};

struct Pool {
  CUmemoryPool handle = nullptr;
  Device* device = nullptr;
  bool is_default = false;
  uint64_t threshold = 0, used = 0, used_high = 0, reserved = 0, reserved_high = 0, max_bytes = 0;
  int reuse[3] = {1, 1, 1};
};

struct Allocation {
  uint64_t bytes = 0;
  Context* context = nullptr;
  Device* device = nullptr;
  std::shared_ptr<Pool> pool;  // null: cuMemAlloc
  bool freeing = false;        // a free waits in a stream
  bool of_graph = false;       // allocated while a stream was captured
};

struct Context {
  CUcontext handle = nullptr;
  Device* device = nullptr;
  unsigned flags = 0;
  uint64_t id = 0;
  bool primary = false, alive = false;
  CUresult error = CUDA_SUCCESS;  // the fault that stays
  std::deque<OpPtr> pending;      // in the order of submission; done ones leave from the front
  std::vector<OpPtr> orphans;     // last operations of blocking streams destroyed meanwhile
  std::shared_ptr<Stream> legacy;
  std::map<std::thread::id, std::shared_ptr<Stream>> per_thread;
  std::map<int, size_t> limits;
  int cache_config = 0, shared_config = 0;
};
using ContextPtr = std::shared_ptr<Context>;

enum class Order { lazy, eager, random };

struct Copies {
  uint64_t count = 0, bytes = 0;
};

struct Driver {
  std::mutex mutex;
  std::condition_variable done;  // an operation that ran without the lock is through
  bool initialised = false;
  CUresult init_result = CUDA_SUCCESS;
  uint64_t calls = 0;    // of the API
  uint64_t version = 0;  // counts every time that the lock was let go in the midst of running

  // From the environment, read by cuInit.
  Options options;
  const Limits* limits = nullptr;
  const Chip* chip = nullptr;
  Order order = Order::lazy;
  Fill fill = Fill::garbage;
  bool verbose = false, leaks = false, counting = false, count_launches = false;
  int idle_ms = 5;
  int version_reported = 13000;
  std::string report;

  std::vector<std::unique_ptr<Device>> devices;
  Table<CUcontext, Context, Kind::context> contexts;
  Table<CUstream, Stream, Kind::stream> streams;
  Table<CUevent, Event, Kind::event> events;
  Table<CUmodule, LoadedModule, Kind::module> modules;
  Table<CUfunction, Kernel, Kind::function> functions;
  Table<CUlibrary, Library, Kind::library> libraries;
  Table<CUgraph, Graph, Kind::graph> graphs;
  Table<CUgraphNode, Node, Kind::node> nodes;
  Table<CUgraphExec, GraphExec, Kind::exec> execs;
  Table<CUmemoryPool, Pool, Kind::pool> pools;
  std::map<uint64_t, Allocation> allocations;                             // by device address
  std::map<uintptr_t, std::shared_ptr<HostRange>> host;                   // live ranges by start
  std::map<const Context*, std::set<std::shared_ptr<Capture>>> captures;  // running or invalid, by the context
  std::deque<std::weak_ptr<Op>> callbacks;                                // host functions that have not run
  std::condition_variable callback_added;
  bool progressing = false;  // the thread that sees to them is there
  uint64_t next_context = 0, next_stream = 0, next_op = 0, next_capture = 0, random_state = 0;

  std::map<std::string, Counters> counters;  // by kernel
  std::map<std::string, uint64_t> launches;
  std::map<std::string, Copies> copies;  // by where from and where to

  uint64_t random(uint64_t below);  // below > 0
};
Driver& driver();  // never destroyed: other threads may still call at exit

// The calling thread's stack of contexts, and its word on captures.
struct ThreadState {
  std::vector<ContextPtr> contexts;
  CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  bool in_callback = false;  // of a stream, where no call is allowed
};
ThreadState& thread_state();

// schedule.cc
OpPtr submit(Stream&, WorkPtr, std::vector<OpPtr> after = {});       // at the stream's end
OpPtr submit_detached(Context&, WorkPtr, std::vector<OpPtr> after);  // in no stream: a node of a graph
std::vector<OpPtr> tails_of(Stream&);             // what an operation submitted to it now would wait for
CUresult wait_for(Context&, std::vector<OpPtr>);  // runs what they need; then the context's error
CUresult wait_for_all(Context&);
bool is_done(const OpPtr&);
void step_towards(const std::vector<OpPtr>&);  // one operation of those they need
void abandon(Context&);                        // drops everything that has not run

// context.cc
ContextPtr current_context();
ContextPtr make_context(Device&, unsigned flags, bool primary);
void activate(Context&);
void tear_down(Context&);

// stream.cc
CUresult resolve_stream(Context&, CUstream, std::shared_ptr<Stream>*);

// report.cc
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
CUresult refuse(CUresult, const char* format, ...) __attribute__((format(printf, 2, 3)));
CUresult fail(Context&, CUresult, const Fault&);  // remembers, prints, reports
CUresult code_of(const Fault&);
std::string quoted(const std::string&);  // as a JSON string
std::string json(const Counters&);
void report_line(const std::string& json);
const char* error_name(CUresult);

// module.cc
void unload(LoadedModule&);

// memory.cc
CUresult release(Context*, uint64_t address);
void release_host(HostRange&);
Device* device_of(uint64_t address);
std::shared_ptr<HostRange> host_range_of(uintptr_t address, size_t bytes);
void pools_synchronized(Context&);

}  // namespace sim
