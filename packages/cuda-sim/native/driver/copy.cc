// cuMemcpy* and cuMemset*. Which of them wait, and when host memory is read, is what NVIDIA's page "API synchronization
// behavior" promises and no more: pinned memory is read when the copy runs, which is late; pageable memory is staged at
// the call; a copy from device to pageable memory has happened on return; copies and fills within devices never wait.
#include "copy.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "call.h"
#include "capture.h"

namespace sim {
namespace {

// From the first byte to the last, or 0 when that overflows.
uint64_t extent(const Side& side, size_t width, size_t rows, size_t slices) {
  uint64_t slice = 0, a = 0, b = 0, total = 0;
  if (__builtin_mul_overflow(side.pitch, side.height, &slice) || __builtin_mul_overflow(slice, slices - 1, &a) ||
      __builtin_mul_overflow(side.pitch, rows - 1, &b) || __builtin_add_overflow(a, b, &total) ||
      __builtin_add_overflow(total, width, &total)) {
    return 0;
  }
  return total;
}

std::string hex(uint64_t n) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(n));
  return text;
}

CUresult gone(Context& context, const char* what, const Side& side, uint64_t bytes) {
  Fault fault;
  fault.kind = "use-after-free";
  fault.kernel = what;
  fault.message = std::string(what) + " of " + std::to_string(bytes) + " bytes at " + hex(side.address) + " ran when ";
  if (side.device) {
    fault.message += "that was no longer memory of the device: " + side.device->memory->where(side.address);
  } else if (side.range) {
    fault.message += side.range->registered
                         ? "that host memory was unregistered, or gone: keep it until the copy is waited for"
                         : "that pinned host memory was freed: keep it until the copy is waited for";
  } else {
    fault.message += "that host memory could not be touched";
  }
  return fail(context, CUDA_ERROR_ILLEGAL_ADDRESS, fault);
}

// The bytes of one row, or null.
char* row_of(const Side& side, uint64_t offset, size_t width) {
  if (side.device) return static_cast<char*>(side.device->memory->host(side.address + offset, width));
  if (side.range && !side.range->live) return nullptr;
  return reinterpret_cast<char*>(side.address + offset);
}

CUresult find_side(Side* side, CUmemorytype type, const void* host, CUdeviceptr device) {
  if (type == CU_MEMORYTYPE_ARRAY) return CUDA_ERROR_NOT_SUPPORTED;
  if (type != CU_MEMORYTYPE_HOST && type != CU_MEMORYTYPE_DEVICE && type != CU_MEMORYTYPE_UNIFIED)
    return CUDA_ERROR_INVALID_VALUE;
  side->address = type == CU_MEMORYTYPE_HOST ? reinterpret_cast<uint64_t>(host) : device;
  side->device = device_of(side->address);
  // A device pointer may point to pinned host memory, whose address is one for both.
  if (type == CU_MEMORYTYPE_DEVICE && !side->device && !host_range_of(side->address, 1)) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s is no address of a device's memory", hex(side->address).c_str());
  }
  if (type == CU_MEMORYTYPE_HOST && side->device) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s is given as host memory but is a device's", hex(side->address).c_str());
  }
  return side->address == 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult finish_side(Side* side, size_t width, size_t rows, size_t slices) {
  const uint64_t bytes = extent(*side, width, rows, slices);
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (side->device) {
    if (side->device->memory->host(side->address, bytes)) return CUDA_SUCCESS;
    return refuse(CUDA_ERROR_INVALID_VALUE, "%llu bytes at %s: %s", static_cast<unsigned long long>(bytes),
                  hex(side->address).c_str(), side->device->memory->where(side->address).c_str());
  }
  side->range = host_range_of(side->address, bytes);
  return CUDA_SUCCESS;
}

CUDA_MEMCPY3D plain(CUmemorytype to_type, uint64_t to, CUmemorytype from_type, uint64_t from, size_t bytes) {
  CUDA_MEMCPY3D c{};
  c.dstMemoryType = to_type;
  c.dstHost = reinterpret_cast<void*>(to);
  c.dstDevice = to;
  c.srcMemoryType = from_type;
  c.srcHost = reinterpret_cast<void*>(from);
  c.srcDevice = from;
  c.WidthInBytes = bytes;
  c.Height = c.Depth = 1;
  return c;
}

CUDA_MEMCPY3D plain(const CUDA_MEMCPY2D& c) {
  CUDA_MEMCPY3D d{};
  d.srcXInBytes = c.srcXInBytes;
  d.srcY = c.srcY;
  d.srcMemoryType = c.srcMemoryType;
  d.srcHost = c.srcHost;
  d.srcDevice = c.srcDevice;
  d.srcPitch = c.srcPitch;
  d.dstXInBytes = c.dstXInBytes;
  d.dstY = c.dstY;
  d.dstMemoryType = c.dstMemoryType;
  d.dstHost = c.dstHost;
  d.dstDevice = c.dstDevice;
  d.dstPitch = c.dstPitch;
  d.WidthInBytes = c.WidthInBytes;
  d.Height = c.Height;
  d.Depth = 1;
  return d;
}

bool stage(CopyWork& copy) {
  auto bytes = std::make_shared<std::vector<char>>(copy.width * copy.rows * copy.slices);
  char* to = bytes->data();
  for (size_t z = 0; z < copy.slices; ++z) {
    for (size_t y = 0; y < copy.rows; ++y, to += copy.width) {
      const uint64_t at = copy.from.address + (z * copy.from.height + y) * copy.from.pitch;
      if (!copy_checked(to, reinterpret_cast<const void*>(at), copy.width)) return false;
    }
  }
  copy.staged = std::move(bytes);
  return true;
}

enum class When { now, in_stream };

CUresult copy(Context& context, Stream& stream, const CUDA_MEMCPY3D& description, When when) {
  if (when == When::now) {
    if (const CUresult r = refuse_legacy(context); r != CUDA_SUCCESS) return r;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
  }
  if (description.WidthInBytes == 0 || description.Height == 0 || description.Depth == 0) return CUDA_SUCCESS;
  std::shared_ptr<CopyWork> work;
  if (const CUresult r = make_copy(description, &work); r != CUDA_SUCCESS) return r;
  if (stream.capture) return enqueue(stream, work);
  const bool to_host = !work->to.device, from_host = !work->from.device;
  if (from_host && !to_host && !work->from.range) {
    // Pageable to device. The call in no stream waits for what came before; neither waits for the copy itself.
    if (when == When::now) {
      if (const CUresult r = wait_for(context, tails_of(stream)); r != CUDA_SUCCESS) return r;
    }
    if (!stage(*work)) return refuse(CUDA_ERROR_INVALID_VALUE, "the source cannot be read");
    return enqueue(stream, work);
  }
  if (const CUresult r = enqueue(stream, work); r != CUDA_SUCCESS) return r;
  const bool waits =
      (to_host && from_host) || (to_host && !work->to.range) || (when == When::now && (to_host || from_host));
  return waits ? wait_for(context, {stream.tail}) : CUDA_SUCCESS;
}

CUresult copy_now(const CUDA_MEMCPY3D& description) {
  return in_stream(nullptr,
                   [&](Context& context, Stream& stream) { return copy(context, stream, description, When::now); });
}
CUresult copy_async(const CUDA_MEMCPY3D& description, CUstream handle) {
  return in_stream(
      handle, [&](Context& context, Stream& stream) { return copy(context, stream, description, When::in_stream); });
}

CUresult fill(CUdeviceptr to, size_t pitch, unsigned value, unsigned element, size_t width, size_t rows,
              CUstream handle, When when) {
  return in_stream(handle, [&](Context& context, Stream& stream) -> CUresult {
    if (when == When::now) {
      if (const CUresult r = refuse_legacy(context); r != CUDA_SUCCESS) return r;
    }
    if (width == 0 || rows == 0) return CUDA_SUCCESS;
    std::shared_ptr<FillWork> work;
    if (const CUresult r = make_fill({to, pitch, value, element, width, rows}, &work); r != CUDA_SUCCESS) return r;
    if (const CUresult r = enqueue(stream, work); r != CUDA_SUCCESS) return r;
    return when == When::now && !work->to.device ? wait_for(context, {stream.tail}) : CUDA_SUCCESS;
  });
}

}  // namespace

bool copy_checked(void* to, const void* from, size_t bytes) {
  auto* t = static_cast<char*>(to);
  auto* f = static_cast<char*>(const_cast<void*>(from));
  while (bytes > 0) {
    iovec local{t, bytes}, remote{f, bytes};
    const ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (n <= 0) {
      // Where the call itself is forbidden (some containers), trust the pointer as a driver would.
      if (n < 0 && (errno == EPERM || errno == ENOSYS)) {
        std::memmove(t, f, bytes);
        return true;
      }
      return false;
    }
    t += n;
    f += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

CUresult make_copy(const CUDA_MEMCPY3D& c, std::shared_ptr<CopyWork>* out) {
  auto work = std::make_shared<CopyWork>();
  if (const CUresult r = find_side(&work->to, c.dstMemoryType, c.dstHost, c.dstDevice); r != CUDA_SUCCESS) return r;
  if (const CUresult r = find_side(&work->from, c.srcMemoryType, c.srcHost, c.srcDevice); r != CUDA_SUCCESS) return r;
  work->width = c.WidthInBytes;
  work->rows = c.Height;
  work->slices = c.Depth;
  const auto place = [&](Side& side, size_t x, size_t y, size_t z, size_t pitch, size_t height) {
    side.pitch = pitch == 0 ? x + c.WidthInBytes : pitch;
    side.height = height == 0 ? y + c.Height : height;
    if (c.Height * c.Depth > 1 && side.pitch < x + c.WidthInBytes) return false;
    if (c.Depth > 1 && side.height < y + c.Height) return false;
    side.address += (z * side.height + y) * side.pitch + x;
    return true;
  };
  if (c.WidthInBytes == 0 || c.Height == 0 || c.Depth == 0 || c.srcLOD != 0 || c.dstLOD != 0 ||
      !place(work->to, c.dstXInBytes, c.dstY, c.dstZ, c.dstPitch, c.dstHeight) ||
      !place(work->from, c.srcXInBytes, c.srcY, c.srcZ, c.srcPitch, c.srcHeight)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult r = finish_side(&work->to, work->width, work->rows, work->slices); r != CUDA_SUCCESS) return r;
  if (const CUresult r = finish_side(&work->from, work->width, work->rows, work->slices); r != CUDA_SUCCESS) return r;
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUresult make_fill(const CUDA_MEMSET_NODE_PARAMS& p, std::shared_ptr<FillWork>* out) {
  if ((p.elementSize != 1 && p.elementSize != 2 && p.elementSize != 4) || p.width == 0 || p.height == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(p.width, size_t{p.elementSize}, &bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (p.dst % p.elementSize != 0 || (p.height > 1 && (p.pitch < bytes || p.pitch % p.elementSize != 0))) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "%s is not a multiple of %u", hex(p.dst).c_str(), p.elementSize);
  }
  auto work = std::make_shared<FillWork>();
  if (const CUresult r = find_side(&work->to, CU_MEMORYTYPE_DEVICE, nullptr, p.dst); r != CUDA_SUCCESS) return r;
  work->to.pitch = p.pitch;
  work->to.height = p.height;
  work->value = p.value;
  work->element = p.elementSize;
  work->width = p.width;
  work->rows = p.height;
  if (const CUresult r = finish_side(&work->to, bytes, p.height, 1); r != CUDA_SUCCESS) return r;
  *out = std::move(work);
  return CUDA_SUCCESS;
}

CUDA_MEMCPY3D describe(const CopyWork& work) {
  CUDA_MEMCPY3D c = plain(work.to.device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST, work.to.address,
                          work.from.device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST, work.from.address, work.width);
  if (work.to.device) c.dstHost = nullptr;
  if (!work.to.device) c.dstDevice = 0;
  if (work.from.device) c.srcHost = nullptr;
  if (!work.from.device) c.srcDevice = 0;
  c.dstPitch = work.to.pitch;
  c.dstHeight = work.to.height;
  c.srcPitch = work.from.pitch;
  c.srcHeight = work.from.height;
  c.Height = work.rows;
  c.Depth = work.slices;
  return c;
}

CUDA_MEMSET_NODE_PARAMS describe(const FillWork& work) {
  return {work.to.address, work.to.pitch, work.value, work.element, work.width, work.rows};
}

CUresult CopyWork::run(Context& context) const {
  if (driver().counting) {
    const char* route = !from.device               ? to.device ? "host to device" : "within the host"
                        : !to.device               ? "device to host"
                        : to.device == from.device ? "within a device"
                                                   : "between devices";
    Copies& copies = driver().copies[route];
    ++copies.count;
    copies.bytes += width * rows * slices;
  }
  const char* source = staged ? staged->data() : nullptr;
  for (size_t z = 0; z < slices; ++z) {
    for (size_t y = 0; y < rows; ++y) {
      const uint64_t to_offset = (z * to.height + y) * to.pitch, from_offset = (z * from.height + y) * from.pitch;
      char* t = row_of(to, to_offset, width);
      if (!t) return gone(context, "a copy", to, width * rows * slices);
      const char* f = source ? source + (z * rows + y) * width : row_of(from, from_offset, width);
      if (!f) return gone(context, "a copy", from, width * rows * slices);
      // Memory that is the program's own may have vanished: registered, or pageable in a graph.
      const bool trusted = (to.device || (to.range && !to.range->registered)) &&
                           (source || from.device || (from.range && !from.range->registered));
      if (trusted) {
        std::memmove(t, f, width);
      } else if (!copy_checked(t, f, width)) {
        return gone(context, "a copy", to.device ? from : to, width * rows * slices);
      }
      if (!to.device) continue;
      if (to.device == from.device) {
        to.device->memory->copy_shadow(to.address + to_offset, from.address + from_offset, width);
      } else if (!from.device || from.device->memory->initialised(from.address + from_offset, width)) {
        to.device->memory->mark_initialised(to.address + to_offset, width);
      }
    }
  }
  return CUDA_SUCCESS;
}

CUresult FillWork::run(Context& context) const {
  const size_t bytes = width * element;
  for (size_t y = 0; y < rows; ++y) {
    char* t = row_of(to, y * to.pitch, bytes);
    if (!t) return gone(context, "a fill", to, bytes * rows);
    if (element == 1) {
      std::memset(t, static_cast<int>(value & 0xFF), bytes);
    } else {
      for (size_t i = 0; i < bytes; i += element) std::memcpy(t + i, &value, element);
    }
    if (to.device) to.device->memory->mark_initialised(to.address + y * to.pitch, bytes);
  }
  return CUDA_SUCCESS;
}

}  // namespace sim

using namespace sim;

namespace {
constexpr CUmemorytype kHost = CU_MEMORYTYPE_HOST, kDevice = CU_MEMORYTYPE_DEVICE, kUnified = CU_MEMORYTYPE_UNIFIED;
uint64_t of(const void* p) { return reinterpret_cast<uint64_t>(p); }
}  // namespace

CU_API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t n) { return copy_now(plain(kUnified, to, kUnified, from, n)); }
CU_API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
  return copy_async(plain(kUnified, to, kUnified, from, n), s);
}
CU_API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t n) {
  return copy_now(plain(kDevice, to, kHost, of(from), n));
}
CU_API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t n) {
  return copy_now(plain(kHost, of(to), kDevice, from, n));
}
CU_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) {
  return copy_now(plain(kDevice, to, kDevice, from, n));
}
CU_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t n, CUstream s) {
  return copy_async(plain(kDevice, to, kHost, of(from), n), s);
}
CU_API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t n, CUstream s) {
  return copy_async(plain(kHost, of(to), kDevice, from, n), s);
}
CU_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
  return copy_async(plain(kDevice, to, kDevice, from, n), s);
}

// Serialised with all work of both contexts: it runs at once, behind everything.
CU_API cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t n) {
  return working([&](Context& context) -> CUresult {
    for (const CUcontext handle : {to_context, from_context}) {
      const ContextPtr other = driver().contexts.find(handle);
      if (!other || !other->alive) return CUDA_ERROR_INVALID_CONTEXT;
      if (const CUresult r = refuse_while_capturing(*other); r != CUDA_SUCCESS) return r;
      if (const CUresult r = wait_for_all(*other); r != CUDA_SUCCESS) return r;
    }
    return copy(context, *context.legacy, plain(kDevice, to, kDevice, from, n), When::now);
  });
}
CU_API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t n,
                         CUstream s) {
  return in_stream(s, [&](Context& context, Stream& stream) -> CUresult {
    if (!driver().contexts.find(to_context) || !driver().contexts.find(from_context)) return CUDA_ERROR_INVALID_CONTEXT;
    return copy(context, stream, plain(kDevice, to, kDevice, from, n), When::in_stream);
  });
}

CU_API cuMemcpy2D_v2(const CUDA_MEMCPY2D* c) { return c ? copy_now(plain(*c)) : CUDA_ERROR_INVALID_VALUE; }
CU_API cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* c) { return cuMemcpy2D_v2(c); }
CU_API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* c, CUstream s) {
  return c ? copy_async(plain(*c), s) : CUDA_ERROR_INVALID_VALUE;
}
CU_API cuMemcpy3D_v2(const CUDA_MEMCPY3D* c) { return c ? copy_now(*c) : CUDA_ERROR_INVALID_VALUE; }
CU_API cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* c, CUstream s) {
  return c ? copy_async(*c, s) : CUDA_ERROR_INVALID_VALUE;
}

CU_API cuMemsetD8_v2(CUdeviceptr to, unsigned char v, size_t n) { return fill(to, 0, v, 1, n, 1, nullptr, When::now); }
CU_API cuMemsetD16_v2(CUdeviceptr to, unsigned short v, size_t n) {
  return fill(to, 0, v, 2, n, 1, nullptr, When::now);
}
CU_API cuMemsetD32_v2(CUdeviceptr to, unsigned v, size_t n) { return fill(to, 0, v, 4, n, 1, nullptr, When::now); }
CU_API cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char v, size_t w, size_t h) {
  return fill(to, pitch, v, 1, w, h, nullptr, When::now);
}
CU_API cuMemsetD2D16_v2(CUdeviceptr to, size_t pitch, unsigned short v, size_t w, size_t h) {
  return fill(to, pitch, v, 2, w, h, nullptr, When::now);
}
CU_API cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, unsigned v, size_t w, size_t h) {
  return fill(to, pitch, v, 4, w, h, nullptr, When::now);
}
CU_API cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream s) {
  return fill(to, 0, v, 1, n, 1, s, When::in_stream);
}
CU_API cuMemsetD16Async(CUdeviceptr to, unsigned short v, size_t n, CUstream s) {
  return fill(to, 0, v, 2, n, 1, s, When::in_stream);
}
CU_API cuMemsetD32Async(CUdeviceptr to, unsigned v, size_t n, CUstream s) {
  return fill(to, 0, v, 4, n, 1, s, When::in_stream);
}
CU_API cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char v, size_t w, size_t h, CUstream s) {
  return fill(to, pitch, v, 1, w, h, s, When::in_stream);
}
CU_API cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short v, size_t w, size_t h, CUstream s) {
  return fill(to, pitch, v, 2, w, h, s, When::in_stream);
}
CU_API cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, unsigned v, size_t w, size_t h, CUstream s) {
  return fill(to, pitch, v, 4, w, h, s, When::in_stream);
}
