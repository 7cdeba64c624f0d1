// Calls at random, with good, stale, null and mistaken arguments, in every order of streams: whatever is asked, the
// answer is a code. A crash or a hang fails the test; codes are not looked at.
#include "driver_api.h"

using namespace test;

namespace {

uint64_t state = 1;
uint64_t random(uint64_t below) {
  uint64_t z = state += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return (z ^ (z >> 31)) % below;
}

// Handles as they were given, some destroyed since; now and then one of another kind, or none.
std::vector<void*> all_handles;
template <class T>
struct Handles {
  std::vector<T> list;
  void add(T handle) {
    list.push_back(handle);
    all_handles.push_back(handle);
  }
  T any() {
    const uint64_t kind = random(20);
    if (kind == 0) return nullptr;
    if (kind == 1 && !all_handles.empty()) return static_cast<T>(all_handles[random(all_handles.size())]);
    if (kind == 2) return reinterpret_cast<T>(random(UINT64_MAX));
    return list.empty() ? nullptr : list[list.size() - 1 - random(std::min<size_t>(list.size(), 6))];
  }
};

struct Fuzz {
  Device d;
  Handles<CUstream> streams;
  Handles<CUevent> events;
  Handles<CUgraph> graphs;
  Handles<CUgraphExec> execs;
  Handles<CUgraphNode> nodes;
  std::vector<CUdeviceptr> memory;
  std::vector<void*> host;
  std::vector<CUfunction> functions;
  char plain[4096] = {};

  Fuzz() {
    for (const char* name : {"affine", "add", "count", "reverse", "past_the_end", "bounded", "empty"}) {
      functions.push_back(d.function(name));
    }
  }

  CUdeviceptr device_pointer() {
    if (memory.empty() || random(15) == 0) return random(2) == 0 ? 0 : random(UINT64_MAX);
    const CUdeviceptr p = memory[memory.size() - 1 - random(std::min<size_t>(memory.size(), 5))];
    return random(8) == 0 ? p + random(2000) : p;
  }
  void* host_pointer() {
    if (random(3) == 0) return plain;
    if (host.empty() || random(15) == 0) return random(2) == 0 ? nullptr : reinterpret_cast<void*>(0x123);
    return host[host.size() - 1 - random(std::min<size_t>(host.size(), 4))];
  }
  CUstream any_stream() {
    const uint64_t kind = random(10);
    return kind == 0 ? nullptr : kind == 1 ? CU_STREAM_PER_THREAD : streams.any();
  }
  size_t bytes() { return random(12) == 0 ? random(UINT64_MAX) : random(1024); }

  void step() {
    CUgraphNode node = nullptr;
    switch (random(40)) {
      case 0: {
        CUstream s = nullptr;
        if (call("cuStreamCreate", &s, static_cast<unsigned>(random(3))) == CUDA_SUCCESS) streams.add(s);
        break;
      }
      case 1: call("cuStreamDestroy_v2", streams.any()); break;
      case 2: {
        CUevent e = nullptr;
        if (call("cuEventCreate", &e, static_cast<unsigned>(random(5))) == CUDA_SUCCESS) events.add(e);
        break;
      }
      case 3: call("cuEventDestroy_v2", events.any()); break;
      case 4: record(events.any(), any_stream()); break;
      case 5: call("cuStreamWaitEvent", any_stream(), events.any(), static_cast<unsigned>(random(3))); break;
      case 6: synchronize(any_stream()); break;
      case 7: call("cuStreamQuery", any_stream()); break;
      case 8: call("cuEventQuery", events.any()); break;
      case 9: call("cuEventSynchronize", events.any()); break;
      case 10: {
        CUdeviceptr p = 0;
        if (call("cuMemAlloc_v2", &p, bytes()) == CUDA_SUCCESS) memory.push_back(p);
        break;
      }
      case 11: free_memory(device_pointer()); break;
      case 12: {
        CUdeviceptr p = 0;
        if (call("cuMemAllocAsync", &p, bytes(), any_stream()) == CUDA_SUCCESS) memory.push_back(p);
        break;
      }
      case 13: call("cuMemFreeAsync", device_pointer(), any_stream()); break;
      case 14: {
        void* p = nullptr;
        if (call("cuMemHostAlloc", &p, bytes(), static_cast<unsigned>(random(9))) == CUDA_SUCCESS) host.push_back(p);
        break;
      }
      case 15: call("cuMemFreeHost", host_pointer()); break;
      case 16: call("cuMemHostRegister_v2", host_pointer(), bytes(), 0u); break;
      case 17: call("cuMemHostUnregister", host_pointer()); break;
      case 18:
      case 19: to_device(device_pointer(), host_pointer(), bytes(), any_stream()); break;
      case 20: to_device(device_pointer(), host_pointer(), bytes()); break;
      // Into plain memory and no more than there is: what a driver writes there is the caller's business.
      case 21: to_host(plain, device_pointer(), random(sizeof plain), any_stream()); break;
      case 22: call("cuMemcpyDtoDAsync_v2", device_pointer(), device_pointer(), bytes(), any_stream()); break;
      case 23: call("cuMemsetD32Async", device_pointer(), 0u, bytes(), any_stream()); break;
      case 24:
      case 25:
      case 26: {
        const CUfunction f = random(10) == 0 ? static_cast<CUfunction>(all_handles.empty() ? nullptr : all_handles[0])
                                             : functions[random(functions.size())];
        launch(f, static_cast<unsigned>(random(4)), static_cast<unsigned>(random(200)),
               random(5) == 0 ? static_cast<unsigned>(random(70000)) : 1024u, any_stream(), device_pointer(),
               device_pointer(), device_pointer(), device_pointer());
        break;
      }
      case 27: call("cuStreamBeginCapture_v2", any_stream(), static_cast<CUstreamCaptureMode>(random(4))); break;
      case 28:
      case 29: {
        CUgraph g = nullptr;
        if (call("cuStreamEndCapture", any_stream(), &g) == CUDA_SUCCESS) graphs.add(g);
        break;
      }
      case 30: {
        CUgraphExec e = nullptr;
        if (call("cuGraphInstantiateWithFlags", &e, graphs.any(), 0ull) == CUDA_SUCCESS) execs.add(e);
        break;
      }
      case 31:
      case 32: call("cuGraphLaunch", execs.any(), any_stream()); break;
      case 33: call("cuGraphDestroy", graphs.any()); break;
      case 34: call("cuGraphExecDestroy", execs.any()); break;
      case 35: {
        CUgraphExecUpdateResultInfo info{};
        call("cuGraphExecUpdate_v2", execs.any(), graphs.any(), &info);
        break;
      }
      case 36: {
        CUgraphNode list[8] = {};
        size_t count = 8;
        if (call("cuGraphGetNodes", graphs.any(), static_cast<CUgraphNode*>(list), &count) == CUDA_SUCCESS) {
          for (size_t i = 0; i < count; ++i) nodes.add(list[i]);
        }
        break;
      }
      case 37: {
        CUDA_KERNEL_NODE_PARAMS_v2 p{};
        node = nodes.any();
        if (call("cuGraphKernelNodeGetParams_v2", node, &p) != CUDA_SUCCESS) break;
        p.gridDimX = static_cast<unsigned>(random(4));
        call("cuGraphExecKernelNodeSetParams_v2", execs.any(), node,
             static_cast<const CUDA_KERNEL_NODE_PARAMS_v2*>(&p));
        call("cuGraphKernelNodeSetParams_v2", node, static_cast<const CUDA_KERNEL_NODE_PARAMS_v2*>(&p));
        break;
      }
      case 38: {
        const CUgraphNode after = nodes.any();
        if (random(2) == 0) {
          call("cuGraphAddChildGraphNode", &node, graphs.any(), &after, random(2), graphs.any());
        } else if (random(2) == 0) {
          call("cuGraphAddEmptyNode", &node, graphs.any(), &after, random(2));
        } else {
          call("cuGraphDestroyNode", nodes.any());
        }
        if (node) nodes.add(node);
        break;
      }
      default: {
        size_t a = 0, b = 0;
        call("cuMemGetInfo_v2", &a, &b);
        CUstreamCaptureStatus status{};
        call("cuStreamIsCapturing", any_stream(), &status);
      }
    }
    // After a fault all calls say the same: begin anew.
    if (random(25) == 0 && call("cuCtxSynchronize") != CUDA_SUCCESS) {
      call("cuDevicePrimaryCtxReset_v2", 0);
      const std::string ptx = read_file(fixtures + "/driver.ptx");
      call("cuModuleLoadData", &d.module, static_cast<const void*>(ptx.c_str()));
      functions.clear();
      for (const char* name : {"affine", "add", "count", "reverse", "past_the_end", "bounded", "empty"}) {
        functions.push_back(d.function(name));
      }
    }
  }
};

void fuzz(uint64_t seed) {
  // Faults are expected by the hundred; what they say is not.
  if (!std::freopen("/dev/null", "w", stderr)) std::printf("stderr stays\n");
  state = seed;
  Fuzz fuzz;
  for (int i = 0; i < 20000; ++i) fuzz.step();
  call("cuDevicePrimaryCtxReset_v2", 0);
}

}  // namespace

TEST("random calls: lazy") { fuzz(1); }
TEST("random calls: random", {"SHAKTI_SIM_STREAMS", "random"}) { fuzz(2); }
TEST("random calls: eager", {"SHAKTI_SIM_STREAMS", "eager"}) { fuzz(3); }
TEST("random calls: little memory", {"SHAKTI_SIM_MEMORY", "1M"}) { fuzz(4); }

int main(int argc, char** argv) { return main_of(argc, argv); }
