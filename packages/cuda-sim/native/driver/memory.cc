// Device memory, stream-ordered allocation and its pools, pinned host memory, and what a pointer is.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "call.h"
#include "capture.h"
#include "copy.h"

namespace sim {
namespace {

uint64_t cached(const Device& device) {
  uint64_t bytes = 0;
  for (const auto& pool : driver().pools.all()) {
    if (pool->device == &device) bytes += pool->reserved - pool->used;
  }
  return bytes;
}

void trim(Pool& pool, uint64_t keep) { pool.reserved = std::max(pool.used, std::min(pool.reserved, keep)); }

// Memory that pools keep for later counts as used until somebody needs it.
bool make_room(Device& device, uint64_t bytes) {
  const auto enough = [&] { return device.memory->used() + cached(device) + bytes <= device.memory->capacity(); };
  if (enough()) return true;
  for (const auto& pool : driver().pools.all()) {
    if (pool->device == &device) trim(*pool, 0);
  }
  if (enough()) return true;
  // Frees that wait in streams: a driver would wait for them before it gives up.
  for (const auto& context : driver().contexts.all()) {
    if (context->alive && context->device == &device) wait_for_all(*context);
  }
  for (const auto& pool : driver().pools.all()) {
    if (pool->device == &device) trim(*pool, 0);
  }
  return enough();
}

CUresult allocate(Context& context, uint64_t bytes, const std::shared_ptr<Pool>& pool, CUdeviceptr* out) {
  Driver& d = driver();
  Device& device = pool ? *pool->device : *context.device;
  if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (pool && pool->max_bytes > 0 && pool->used + bytes > pool->max_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  // What the pool kept serves first.
  if (pool) pool->reserved -= std::min(pool->reserved - pool->used, bytes);
  const bool room = bytes <= device.memory->capacity() && make_room(device, bytes);
  const uint64_t address = room ? device.memory->allocate(bytes, 512, pool ? "cuMemAllocAsync" : "cuMemAlloc") : 0;
  if (context.error != CUDA_SUCCESS) return context.error;
  if (address == 0) {
    return refuse(CUDA_ERROR_OUT_OF_MEMORY, "%llu bytes asked for, %llu of %llu in use",
                  static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(device.memory->used()),
                  static_cast<unsigned long long>(device.memory->capacity()));
  }
  d.allocations[address] = {bytes, &context, &device, pool, false, false};
  if (pool) {
    pool->used += bytes;
    pool->reserved += bytes;
    pool->used_high = std::max(pool->used_high, pool->used);
    pool->reserved_high = std::max(pool->reserved_high, pool->reserved);
  }
  *out = address;
  return CUDA_SUCCESS;
}

// A free in stream order. Of a graph's memory, whose address stays good for the next launch, it does nothing.
struct FreeWork : Work {
  uint64_t address = 0;
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_MEM_FREE; }
  CUresult run(Context&) const override {
    const auto at = driver().allocations.find(address);
    if (at != driver().allocations.end() && !at->second.of_graph) release(nullptr, address);
    return CUDA_SUCCESS;
  }
};

// Memory allocated while a stream was captured: there from then until the graph and its executables are gone.
struct AllocateWork : Work {
  uint64_t address = 0;
  ~AllocateWork() override { release(nullptr, address); }
  CUgraphNodeType type() const override { return CU_GRAPH_NODE_TYPE_MEM_ALLOC; }
  CUresult run(Context&) const override { return CUDA_SUCCESS; }
};

CUresult allocate_in_stream(Context& context, Stream& stream, std::shared_ptr<Pool> pool, uint64_t bytes,
                            CUdeviceptr* out) {
  if (!stream.capture) {
    if (stream.legacy) {
      if (const CUresult r = refuse_legacy(context); r != CUDA_SUCCESS) return r;
    }
    return allocate(context, bytes, pool, out);
  }
  if (const CUresult r = allocate(context, bytes, nullptr, out); r != CUDA_SUCCESS) return r;
  driver().allocations[*out].of_graph = true;
  auto work = std::make_shared<AllocateWork>();
  work->address = *out;
  return enqueue(stream, std::move(work));
}

size_t page() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Every device reaches it, at its own address.
void keep(const std::shared_ptr<HostRange>& range) {
  driver().host[range->start] = range;
  for (const auto& device : driver().devices) {
    device->memory->map(range->start, range->bytes,
                        range->registered ? "registered host memory" : "pinned host memory");
  }
}

CUresult allocate_host(Context& context, void** out, size_t bytes, unsigned flags) {
  Driver& d = driver();
  if (!out || bytes == 0 || (flags & ~7u) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
  if (bytes > SIZE_MAX / 2) return CUDA_ERROR_OUT_OF_MEMORY;
  const size_t whole = (bytes + page() - 1) / page() * page();
  // A page that nobody may touch behind it.
  void* start = mmap(nullptr, whole + page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  if (mprotect(start, whole, PROT_READ | PROT_WRITE) != 0) {
    munmap(start, whole + page());
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (d.fill != Fill::zero) std::memset(start, d.fill == Fill::nan ? 0xFF : 0xCB, bytes);
  auto range = std::make_shared<HostRange>();
  range->start = reinterpret_cast<uintptr_t>(start);
  range->bytes = bytes;
  range->mapped = whole + page();
  range->flags = flags;
  range->context = &context;
  keep(range);
  *out = start;
  return CUDA_SUCCESS;
}

std::shared_ptr<HostRange> host_range_at(const void* start) {
  const auto at = driver().host.find(reinterpret_cast<uintptr_t>(start));
  return at == driver().host.end() ? nullptr : at->second;
}

template <class F>
CUresult of_pool(CUmemoryPool handle, F&& body) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<Pool> pool = driver().pools.find(handle);
    return pool ? body(pool) : CUDA_ERROR_INVALID_VALUE;
  });
}

template <class F>
CUresult of_device(CUdevice ordinal, F&& body) {
  return locked([&]() -> CUresult {
    Driver& d = driver();
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= d.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    return body(*d.devices[static_cast<size_t>(ordinal)]);
  });
}

}  // namespace

Device* device_of(uint64_t address) {
  uint64_t start = 0, bytes = 0;
  for (const auto& device : driver().devices) {
    if (device->memory->find(address, &start, &bytes)) return device.get();
  }
  return nullptr;
}

std::shared_ptr<HostRange> host_range_of(uintptr_t address, size_t bytes) {
  const auto& host = driver().host;
  auto at = host.upper_bound(address);
  if (at == host.begin()) return nullptr;
  const std::shared_ptr<HostRange>& range = (--at)->second;
  const uintptr_t offset = address - range->start;
  return offset < range->bytes && bytes <= range->bytes - offset ? range : nullptr;
}

// With a context, only what it allocated.
CUresult release(Context* context, uint64_t address) {
  Driver& d = driver();
  const auto at = d.allocations.find(address);
  if (at == d.allocations.end() || (context && at->second.context != context)) return CUDA_ERROR_INVALID_VALUE;
  const Allocation a = at->second;
  d.allocations.erase(at);
  a.device->memory->free(address);
  if (a.pool) a.pool->used -= a.bytes;  // reserved stays: it is kept for later
  return CUDA_SUCCESS;
}

void release_host(HostRange& range) {
  range.live = false;
  const uintptr_t start = range.start;
  const size_t mapped = range.mapped;
  driver().host.erase(start);
  for (const auto& device : driver().devices) device->memory->unmap(start);
  if (mapped > 0) munmap(reinterpret_cast<void*>(start), mapped);
}

void pools_synchronized(Context& context) {
  for (const auto& pool : driver().pools.all()) {
    if (pool->device == context.device && pool->reserved > pool->threshold) trim(*pool, pool->threshold);
  }
}

}  // namespace sim

using namespace sim;

CU_API cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
  return working([&](Context& context) -> CUresult {
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    return allocate(context, bytes, nullptr, out);
  });
}

CU_API cuMemAllocPitch_v2(CUdeviceptr* out, size_t* pitch, size_t width, size_t height, unsigned element) {
  return working([&](Context& context) -> CUresult {
    if (!out || !pitch || width == 0 || height == 0 || width > (1ull << 40)) return CUDA_ERROR_INVALID_VALUE;
    if (element != 4 && element != 8 && element != 16) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    *pitch = (width + 511) / 512 * 512;
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(*pitch, height, &bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    return allocate(context, bytes, nullptr, out);
  });
}

CU_API cuMemAllocManaged(CUdeviceptr*, size_t, unsigned) {
  return working([](Context&) { return refuse(CUDA_ERROR_NOT_SUPPORTED, "there is no managed memory here"); });
}

// Waits for the context's work, except for memory that came in stream order: that is gone at once.
CU_API cuMemFree_v2(CUdeviceptr address) {
  return working([&](Context& context) -> CUresult {
    if (address == 0) return CUDA_SUCCESS;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    const auto at = driver().allocations.find(address);
    if (at == driver().allocations.end() || at->second.freeing) return CUDA_ERROR_INVALID_VALUE;
    if (!at->second.pool) {
      if (const CUresult r = wait_for_all(*at->second.context); r != CUDA_SUCCESS) return r;
    }
    return release(nullptr, address);
  });
}

CU_API cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  return working([&](Context& context) -> CUresult {
    if (!free_bytes || !total) return CUDA_ERROR_INVALID_VALUE;
    const Memory& memory = *context.device->memory;
    const uint64_t used = memory.used() + cached(*context.device);
    *total = memory.capacity();
    *free_bytes = *total - std::min<uint64_t>(*total, used);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  return working([&](Context&) -> CUresult {
    Device* device = device_of(address);
    uint64_t start = 0, size = 0;
    if (!device || !device->memory->find(address, &start, &size)) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = start;
    if (bytes) *bytes = size;
    return CUDA_SUCCESS;
  });
}

CU_API cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream handle) {
  return in_stream(handle, [&](Context& context, Stream& stream) {
    return allocate_in_stream(context, stream, context.device->pool, bytes, out);
  });
}

CU_API cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool pool_handle, CUstream handle) {
  return in_stream(handle, [&](Context& context, Stream& stream) -> CUresult {
    const std::shared_ptr<Pool> pool = driver().pools.find(pool_handle);
    return pool ? allocate_in_stream(context, stream, pool, bytes, out) : CUDA_ERROR_INVALID_VALUE;
  });
}

CU_API cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
  return in_stream(handle, [&](Context&, Stream& stream) -> CUresult {
    if (address == 0) return CUDA_SUCCESS;
    const auto at = driver().allocations.find(address);
    if (at == driver().allocations.end() || at->second.freeing) {
      return refuse(CUDA_ERROR_INVALID_VALUE, "0x%llx is no live allocation", address);
    }
    if (stream.capture && !at->second.of_graph) return CUDA_ERROR_INVALID_VALUE;
    auto work = std::make_shared<FreeWork>();
    work->address = address;
    if (const CUresult r = enqueue(stream, std::move(work)); r != CUDA_SUCCESS) return r;
    // It may have run already.
    if (const auto still = driver().allocations.find(address); still != driver().allocations.end()) {
      still->second.freeing = !still->second.of_graph;
    }
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = device.default_pool->handle;
    return CUDA_SUCCESS;
  });
}
CU_API cuDeviceGetMemPool(CUmemoryPool* out, CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = device.pool->handle;
    return CUDA_SUCCESS;
  });
}
CU_API cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool handle) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    const std::shared_ptr<Pool> pool = driver().pools.find(handle);
    if (!pool || pool->device != &device) return CUDA_ERROR_INVALID_VALUE;
    device.pool = pool;
    return CUDA_SUCCESS;
  });
}

CU_API cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* props) {
  return locked([&]() -> CUresult {
    Driver& d = driver();
    constexpr int kPinned = 1, kDeviceLocation = 1;
    if (!out || !props || props->allocType != kPinned || props->location.type != kDeviceLocation) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (props->location.id < 0 || static_cast<size_t>(props->location.id) >= d.devices.size()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (props->handleTypes != 0) return CUDA_ERROR_NOT_SUPPORTED;
    auto pool = std::make_shared<Pool>();
    pool->device = d.devices[static_cast<size_t>(props->location.id)].get();
    pool->max_bytes = props->maxSize;
    *out = d.pools.add(pool);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemPoolDestroy(CUmemoryPool handle) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    if (pool->is_default) return CUDA_ERROR_INVALID_VALUE;
    if (pool->device->pool == pool) pool->device->pool = pool->device->default_pool;
    driver().pools.remove(handle);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemPoolTrimTo(CUmemoryPool handle, size_t keep) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    trim(*pool, keep);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
      case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        pool->reuse[attribute - 1] = *static_cast<int*>(value) != 0;
        return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: pool->threshold = *static_cast<uint64_t*>(value); return CUDA_SUCCESS;
      // The high-water marks can only be put back.
      case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        if (*static_cast<uint64_t*>(value) != 0) return CUDA_ERROR_INVALID_VALUE;
        pool->reserved_high = pool->reserved;
        return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        if (*static_cast<uint64_t*>(value) != 0) return CUDA_ERROR_INVALID_VALUE;
        pool->used_high = pool->used;
        return CUDA_SUCCESS;
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CU_API cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    const auto bytes = [&](uint64_t n) {
      *static_cast<uint64_t*>(value) = n;
      return CUDA_SUCCESS;
    };
    switch (attribute) {
      case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *static_cast<int*>(value) = pool->reuse[attribute - 1];
        return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: return bytes(pool->threshold);
      case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: return bytes(pool->reserved);
      case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: return bytes(pool->reserved_high);
      case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: return bytes(pool->used);
      case CU_MEMPOOL_ATTR_USED_MEM_HIGH: return bytes(pool->used_high);
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

// A pool belongs to its device alone, which always has access.
CU_API cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* map, size_t count) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    if (!map && count > 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      const bool own = map[i].location.type == 1 && map[i].location.id == pool->device->ordinal;
      if (own && map[i].flags != 3) return CUDA_ERROR_INVALID_VALUE;
      if (!own && map[i].flags != 0) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    }
    return CUDA_SUCCESS;
  });
}
CU_API cuMemPoolGetAccess(int* flags, CUmemoryPool handle, CUmemLocation* location) {
  return of_pool(handle, [&](const std::shared_ptr<Pool>& pool) -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    *flags = location->type == 1 && location->id == pool->device->ordinal ? 3 : 0;
    return CUDA_SUCCESS;
  });
}

CU_API cuMemAllocHost_v2(void** out, size_t bytes) {
  return working([&](Context& context) {
    return allocate_host(context, out, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
  });
}
CU_API cuMemHostAlloc(void** out, size_t bytes, unsigned flags) {
  return working([&](Context& context) { return allocate_host(context, out, bytes, flags); });
}

// Nothing promises that this waits for copies, so it doesn't: one that comes later says so.
CU_API cuMemFreeHost(void* start) {
  return working([&](Context& context) -> CUresult {
    if (!start) return CUDA_SUCCESS;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    const std::shared_ptr<HostRange> range = host_range_at(start);
    if (!range || range->registered) return CUDA_ERROR_INVALID_VALUE;
    release_host(*range);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemHostRegister_v2(void* start, size_t bytes, unsigned flags) {
  return working([&](Context& context) -> CUresult {
    Driver& d = driver();
    const auto address = reinterpret_cast<uintptr_t>(start);
    if (!start || bytes == 0 || (flags & ~15u) != 0 || address + bytes < address) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_MEMHOSTREGISTER_READ_ONLY) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    const auto next = d.host.lower_bound(address);
    const bool above = next != d.host.end() && next->first < address + bytes;
    if (above || host_range_of(address, 1)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    char first = 0;
    for (size_t at = 0; at < bytes; at += page()) {
      if (!copy_checked(&first, reinterpret_cast<void*>(address + at), 1)) return CUDA_ERROR_INVALID_VALUE;
    }
    auto range = std::make_shared<HostRange>();
    range->start = address;
    range->bytes = bytes;
    range->flags = flags;
    range->registered = true;
    range->context = &context;
    keep(range);
    return CUDA_SUCCESS;
  });
}
CU_API cuMemHostRegister(void* start, size_t bytes, unsigned flags) {
  return cuMemHostRegister_v2(start, bytes, flags);
}

CU_API cuMemHostUnregister(void* start) {
  return working([&](Context& context) -> CUresult {
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    const std::shared_ptr<HostRange> range = host_range_at(start);
    if (!range) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (!range->registered) return CUDA_ERROR_INVALID_VALUE;
    release_host(*range);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* address, unsigned flags) {
  return working([&](Context&) -> CUresult {
    if (!out || flags != 0 || !host_range_of(reinterpret_cast<uintptr_t>(address), 1)) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUdeviceptr>(address);
    return CUDA_SUCCESS;
  });
}

CU_API cuMemHostGetFlags(unsigned* out, void* address) {
  return working([&](Context&) -> CUresult {
    const std::shared_ptr<HostRange> range = host_range_of(reinterpret_cast<uintptr_t>(address), 1);
    if (!out || !range) return CUDA_ERROR_INVALID_VALUE;
    *out = range->flags;
    return CUDA_SUCCESS;
  });
}

namespace {

// What the attribute of a pointer is; false where it has no meaning.
bool pointer_attribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
  Driver& d = driver();
  Device* device = device_of(address);
  const std::shared_ptr<HostRange> range = device ? nullptr : host_range_of(address, 1);
  if (!device && !range) return false;
  uint64_t start = range ? range->start : 0, bytes = range ? range->bytes : 0;
  if (device) device->memory->find(address, &start, &bytes);
  const auto allocation = d.allocations.find(start);
  const bool known = device && allocation != d.allocations.end();
  Context* context = range ? range->context : known ? allocation->second.context : nullptr;
  const int ordinal = device ? device->ordinal : context ? context->device->ordinal : 0;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      *static_cast<CUcontext*>(data) = context && !(known && allocation->second.pool) ? context->handle : nullptr;
      return true;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      *static_cast<unsigned*>(data) = device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
      return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *static_cast<CUdeviceptr*>(data) = address; return true;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (device) return false;
      *static_cast<void**>(data) = reinterpret_cast<void*>(address);
      return true;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *static_cast<unsigned char*>(data) = 0; return true;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: *static_cast<unsigned char*>(data) = 0; return true;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: *static_cast<unsigned long long*>(data) = start; return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(data) = ordinal; return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *static_cast<CUdeviceptr*>(data) = start; return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *static_cast<size_t*>(data) = bytes; return true;
    case CU_POINTER_ATTRIBUTE_MAPPED: *static_cast<unsigned char*>(data) = 1; return true;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      *static_cast<CUmemoryPool*>(data) = known && allocation->second.pool ? allocation->second.pool->handle : nullptr;
      return true;
    default: return false;
  }
}

}  // namespace

CU_API cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
  return locked([&]() -> CUresult {
    return data && pointer_attribute(data, attribute, address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

// Of a pointer that the driver doesn't know, all are zero; that is no error here.
CU_API cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data, CUdeviceptr address) {
  return locked([&]() -> CUresult {
    if (!attributes || !data) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; ++i) {
      if (!data[i]) return CUDA_ERROR_INVALID_VALUE;
      if (pointer_attribute(data[i], attributes[i], address)) continue;
      switch (attributes[i]) {
        case CU_POINTER_ATTRIBUTE_CONTEXT:
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: std::memset(data[i], 0, 8); break;
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: std::memset(data[i], 0, 4); break;
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(data[i]) = -2; break;
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        case CU_POINTER_ATTRIBUTE_MAPPED: std::memset(data[i], 0, 1); break;
        default: return CUDA_ERROR_INVALID_VALUE;
      }
    }
    return CUDA_SUCCESS;
  });
}

CU_API cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return locked([&]() -> CUresult {
    if (!value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS || !device_of(address)) return CUDA_ERROR_INVALID_VALUE;
    return *static_cast<const unsigned*>(value) == 0
               ? CUDA_SUCCESS
               : refuse(CUDA_ERROR_NOT_SUPPORTED, "copies that always wait are not made here");
  });
}
