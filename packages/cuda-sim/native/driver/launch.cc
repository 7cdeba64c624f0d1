// Launches: what is checked when they are asked for, and the run itself.
#include "launch.h"

#include "call.h"
#include "capture.h"
#include "chip.h"

namespace sim {
namespace {

uint64_t volume(const Dim3& d) { return uint64_t{d.x} * d.y * d.z; }

std::string text(const Dim3& d) {
  return std::to_string(d.x) + " x " + std::to_string(d.y) + " x " + std::to_string(d.z);
}

CUresult check_cluster(const Callable& f, const LaunchShape& shape, const Dim3& cluster) {
  const Limits& l = *driver().limits;
  const uint64_t blocks = volume(cluster);
  const bool divides = cluster.x > 0 && cluster.y > 0 && cluster.z > 0 && shape.grid.x % cluster.x == 0 &&
                       shape.grid.y % cluster.y == 0 && shape.grid.z % cluster.z == 0;
  if (!divides || (l.arch < 90 && blocks > 1) || blocks > (f.kernel->non_portable_cluster ? 16u : 8u)) {
    return refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE, "clusters of %s blocks for a grid of %s on sm_%d",
                  text(cluster).c_str(), text(shape.grid).c_str(), l.arch);
  }
  return CUDA_SUCCESS;
}

CUresult check_shape(const Callable& f, const LaunchShape& s) {
  const Limits& l = *driver().limits;
  const char* name = f.kernel->name.c_str();
  if (s.grid.x < 1 || s.grid.y < 1 || s.grid.z < 1 || s.grid.x > l.grid_x || s.grid.y > l.grid_y ||
      s.grid.z > l.grid_z) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: a grid of %s blocks", name, text(s.grid).c_str());
  }
  const uint64_t threads = volume(s.block);
  if (s.block.x < 1 || s.block.y < 1 || s.block.z < 1 || s.block.x > l.block_x || s.block.y > l.block_y ||
      s.block.z > l.block_z || threads > l.threads_per_block) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %s threads", name, text(s.block).c_str());
  }
  const Dim3 required = f.function->required_threads();
  if (volume(required) > 0 && (required.x != s.block.x || required.y != s.block.y || required.z != s.block.z)) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %s threads, it was compiled for %s", name,
                  text(s.block).c_str(), text(required).c_str());
  }
  if (threads > f.function->max_threads()) {
    return refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%s: %llu threads, it was compiled for at most %u", name,
                  static_cast<unsigned long long>(threads), f.function->max_threads());
  }
  const uint64_t shared = f.function->shared_bytes() + s.shared;
  if (s.shared > f.shared_limit() || shared > l.shared_per_block_optin) {
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "%s: %u bytes of dynamic shared memory, %llu are allowed (cuFuncSetAttribute raises that)", name,
                  s.shared, static_cast<unsigned long long>(f.shared_limit()));
  }
  if (s.cooperative) {
    const uint64_t resident =
        static_cast<uint64_t>(resident_blocks(l, static_cast<uint32_t>(threads), f.function->registers(), shared)) *
        static_cast<uint64_t>(l.multiprocessors);
    if (volume(s.grid) > resident) {
      return refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "%s: %llu blocks, %llu fit at once", name,
                    static_cast<unsigned long long>(volume(s.grid)), static_cast<unsigned long long>(resident));
    }
  }
  return CUDA_SUCCESS;
}

CUresult copy_params(const Callable& f, void** params, void** extra, std::vector<char>* out) {
  const std::vector<Parameter>& all = f.function->parameters();
  out->assign(f.function->parameter_bytes(), 0);
  if (params && extra) return CUDA_ERROR_INVALID_VALUE;
  if (extra) {
    const void* buffer = nullptr;
    size_t bytes = 0;
    // Pairs of a key and its value: 1 the buffer, 2 where its size is, 0 the end.
    for (void** pair = extra; *pair; pair += 2) {
      const auto key = reinterpret_cast<uintptr_t>(pair[0]);
      if (key == 1) {
        buffer = pair[1];
      } else if (key == 2 && pair[1]) {
        bytes = *static_cast<const size_t*>(pair[1]);
      } else {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    if (bytes < out->size() || (!buffer && !out->empty())) {
      return refuse(CUDA_ERROR_INVALID_VALUE, "%s: %zu bytes of parameters, it takes %zu", f.kernel->name.c_str(),
                    bytes, out->size());
    }
    if (!out->empty()) std::memcpy(out->data(), buffer, out->size());
    return CUDA_SUCCESS;
  }
  if (all.empty()) return CUDA_SUCCESS;
  if (!params) return refuse(CUDA_ERROR_INVALID_VALUE, "%s: no parameters given", f.kernel->name.c_str());
  for (size_t i = 0; i < all.size(); ++i) {
    if (!params[i]) return refuse(CUDA_ERROR_INVALID_VALUE, "%s: parameter %zu is null", f.kernel->name.c_str(), i);
    std::memcpy(out->data() + all[i].offset, params[i], all[i].bytes);
  }
  return CUDA_SUCCESS;
}

CUresult launch(CUstream handle, const void* function, const LaunchShape& shape, void** params, void** extra) {
  return in_stream(handle, [&](Context& context, Stream& stream) -> CUresult {
    if (stream.context.get() != &context) return CUDA_ERROR_INVALID_HANDLE;
    std::shared_ptr<KernelWork> work;
    if (const CUresult r = make_kernel(context, function, shape, params, extra, &work); r != CUDA_SUCCESS) return r;
    return enqueue(stream, std::move(work));
  });
}

struct CallbackWork : Work {
  CUstreamCallback function = nullptr;
  CUstream stream = nullptr;
  void* data = nullptr;
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_HOST; }
  bool calls_host() const override { return true; }
  CUresult run(Context&) const override {
    function(stream, CUDA_SUCCESS, data);
    return CUDA_SUCCESS;
  }
  void abandoned(CUresult why) const override { function(stream, why, data); }
};

}  // namespace

CUresult make_kernel(Context& context, const void* function, const LaunchShape& shape, void** params, void** extra,
                     std::shared_ptr<KernelWork>* out) {
  auto work = std::make_shared<KernelWork>();
  if (const CUresult r = resolve_function(context, function, &work->callable); r != CUDA_SUCCESS) return r;
  const Callable& f = work->callable;
  if (const CUresult r = check_shape(f, shape); r != CUDA_SUCCESS) return r;
  Dim3 cluster = f.function->required_cluster();
  if (volume(cluster) == 0) cluster = volume(shape.cluster) == 0 ? Dim3{1, 1, 1} : shape.cluster;
  if (const CUresult r = check_cluster(f, shape, cluster); r != CUDA_SUCCESS) return r;
  if (const CUresult r = copy_params(f, params, extra, &work->launch.params); r != CUDA_SUCCESS) return r;
  work->launch.function = f.function;
  work->launch.grid = shape.grid;
  work->launch.block = shape.block;
  work->launch.cluster = cluster;
  work->launch.dynamic_shared = shape.shared;
  work->launch.cooperative = shape.cooperative;
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUresult KernelWork::run(Context& context) const {
  Driver& d = driver();
  Fault fault;
  Counters counters;
  const bool good = sim::run(launch, *context.device->memory, d.options, d.counting ? &counters : nullptr, &fault);
  if (d.counting) {
    const std::string& name = callable.kernel->name;
    d.counters[name] += counters;
    ++d.launches[name];
    if (d.count_launches) {
      report_line("{\"type\":\"launch\",\"kernel\":" + quoted(name) + ",\"grid\":[" + std::to_string(launch.grid.x) +
                  "," + std::to_string(launch.grid.y) + "," + std::to_string(launch.grid.z) + "],\"block\":[" +
                  std::to_string(launch.block.x) + "," + std::to_string(launch.block.y) + "," +
                  std::to_string(launch.block.z) + "],\"shared\":" + std::to_string(launch.dynamic_shared) +
                  ",\"counters\":" + json(counters) + "}");
    }
  }
  return good ? CUDA_SUCCESS : fail(context, code_of(fault), fault);
}

}  // namespace sim

using namespace sim;

CU_API cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, CUstream stream, void** params, void** extra) {
  return launch(stream, f, {{gx, gy, gz}, {bx, by, bz}, {0, 0, 0}, shared, false}, params, extra);
}

CU_API cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, CUstream stream, void** params) {
  return launch(stream, f, {{gx, gy, gz}, {bx, by, bz}, {0, 0, 0}, shared, true}, params, nullptr);
}

// Attributes that only hint are taken and do nothing; those that would need another kind of run are refused.
CU_API cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction f, void** params, void** extra) {
  if (!c || (c->numAttrs > 0 && !c->attrs)) return CUDA_ERROR_INVALID_VALUE;
  LaunchShape shape{{c->gridDimX, c->gridDimY, c->gridDimZ},
                    {c->blockDimX, c->blockDimY, c->blockDimZ},
                    {0, 0, 0},
                    c->sharedMemBytes,
                    false};
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    const CUlaunchAttributeValue& value = c->attrs[i].value;
    switch (c->attrs[i].id) {
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE: shape.cooperative = value.cooperative != 0; break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        shape.cluster = {value.clusterDim.x, value.clusterDim.y, value.clusterDim.z};
        if (volume(shape.cluster) == 0) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        break;
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: break;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE: return CUDA_ERROR_NOT_SUPPORTED;
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return launch(c->hStream, f, shape, params, extra);
}

CU_API cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    auto work = std::make_shared<HostWork>();
    work->function = function;
    work->data = data;
    return enqueue(stream, std::move(work));
  });
}

CU_API cuStreamAddCallback(CUstream handle, CUstreamCallback function, void* data, unsigned flags) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (!function || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = refuse_while_capturing(stream); r != CUDA_SUCCESS) return r;
    auto work = std::make_shared<CallbackWork>();
    work->function = function;
    work->stream = handle;
    work->data = data;
    return enqueue(stream, std::move(work));
  });
}
