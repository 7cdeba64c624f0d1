// Devices: names, attributes, primary contexts.
#include <algorithm>
#include <cstdio>

#include "call.h"
#include "chip.h"

using namespace sim;

namespace {

Device* device_at(CUdevice ordinal) {
  Driver& d = driver();
  return ordinal >= 0 && static_cast<size_t>(ordinal) < d.devices.size() ? d.devices[static_cast<size_t>(ordinal)].get()
                                                                         : nullptr;
}

template <class F>
CUresult of_device(CUdevice ordinal, F&& body) {
  return locked([&]() -> CUresult {
    Device* device = device_at(ordinal);
    return device ? body(*device) : refuse(CUDA_ERROR_INVALID_DEVICE, "there is no device %d", ordinal);
  });
}

bool attribute(int number, int ordinal, int* value) {
  const Limits& l = *driver().limits;
  const Chip& c = *driver().chip;
  switch (number) {
#define A(name, number, expression) \
  case number: *value = static_cast<int>(expression); return true;
#include "attributes.inc"
#undef A
    default: return false;
  }
}

void copy_text(char* to, int room, const std::string& text) {
  const size_t n = std::min(text.size(), static_cast<size_t>(room) - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

std::string bus_id(int ordinal) {
  char text[32];
  std::snprintf(text, sizeof text, "00000000:%02X:00.0", ordinal + 1);
  return text;
}

}  // namespace

CU_API cuDeviceGet(CUdevice* device, int ordinal) {
  return locked([&]() -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    if (!device_at(ordinal)) return refuse(CUDA_ERROR_INVALID_DEVICE, "there is no device %d", ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetCount(int* count) {
  return locked([&]() -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(driver().devices.size());
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetName(char* name, int room, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!name || room < 1) return CUDA_ERROR_INVALID_VALUE;
    copy_text(name, room, "PTX interpreter (no GPU)");
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(uuid->bytes, "shakti cuda-sim", 16);
    uuid->bytes[15] = static_cast<char>(ordinal);
    return CUDA_SUCCESS;
  });
}
CU_API cuDeviceGetUuid(CUuuid* uuid, CUdevice ordinal) { return cuDeviceGetUuid_v2(uuid, ordinal); }

CU_API cuDeviceTotalMem_v2(size_t* bytes, CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = device.memory->capacity();
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetAttribute(int* value, CUdevice_attribute number, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    return attribute(number, ordinal, value)
               ? CUDA_SUCCESS
               : refuse(CUDA_ERROR_INVALID_VALUE, "device attribute %d", static_cast<int>(number));
  });
}

CU_API cuDeviceComputeCapability(int* major, int* minor, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    *major = driver().limits->arch / 10;
    *minor = driver().limits->arch % 10;
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetProperties(CUdevprop* p, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!p) return CUDA_ERROR_INVALID_VALUE;
    const Limits& l = *driver().limits;
    const auto i = [](uint64_t n) { return static_cast<int>(n); };
    *p = {i(l.threads_per_block),
          {i(l.block_x), i(l.block_y), i(l.block_z)},
          {i(l.grid_x), i(l.grid_y), i(l.grid_z)},
          i(l.shared_per_block),
          i(l.constant_bytes),
          32,
          0x7FFFFFFF,
          i(l.registers_per_block),
          driver().chip->clock_khz,
          512};
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetPCIBusId(char* text, int room, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!text || room < 1) return CUDA_ERROR_INVALID_VALUE;
    copy_text(text, room, bus_id(ordinal));
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
  return locked([&]() -> CUresult {
    if (!device || !text) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& candidate : driver().devices) {
      const std::string id = bus_id(candidate->ordinal);
      // With a domain of eight digits, of four, or without.
      if (id != text && id.substr(4) != text && id.substr(9) != text) continue;
      *device = candidate->ordinal;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_DEVICE;
  });
}

// A kernel here sees the memory of its own device alone; copies between devices work.
CU_API cuDeviceCanAccessPeer(int* can, CUdevice ordinal, CUdevice peer) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!can) return CUDA_ERROR_INVALID_VALUE;
    if (!device_at(peer)) return CUDA_ERROR_INVALID_DEVICE;
    *can = 0;
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetP2PAttribute(int* value, int number, CUdevice ordinal, CUdevice peer) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!value || number < 1 || number > 5) return CUDA_ERROR_INVALID_VALUE;
    if (!device_at(peer) || peer == ordinal) return CUDA_ERROR_INVALID_DEVICE;
    *value = 0;
    return CUDA_SUCCESS;
  });
}

CU_API cuDeviceGetExecAffinitySupport(int* value, int, CUdevice ordinal) {
  return of_device(ordinal, [&](Device&) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    return CUDA_SUCCESS;
  });
}

CU_API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    if (!device.primary) device.primary = make_context(device, 0, true);
    if (!device.primary->alive) activate(*device.primary);
    ++device.primary_users;
    *context = device.primary->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (device.primary_users == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--device.primary_users == 0) tear_down(*device.primary);
    return CUDA_SUCCESS;
  });
}
CU_API cuDevicePrimaryCtxRelease(CUdevice ordinal) { return cuDevicePrimaryCtxRelease_v2(ordinal); }

// Everything in it is gone and so is its error; who holds it may go on with it.
CU_API cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!device.primary || !device.primary->alive) return CUDA_SUCCESS;
    tear_down(*device.primary);
    if (device.primary_users > 0) activate(*device.primary);
    return CUDA_SUCCESS;
  });
}
CU_API cuDevicePrimaryCtxReset(CUdevice ordinal) { return cuDevicePrimaryCtxReset_v2(ordinal); }

CU_API cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned flags) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (!device.primary) device.primary = make_context(device, flags, true);
    device.primary->flags = flags;
    return CUDA_SUCCESS;
  });
}
CU_API cuDevicePrimaryCtxSetFlags(CUdevice ordinal, unsigned flags) {
  return cuDevicePrimaryCtxSetFlags_v2(ordinal, flags);
}

CU_API cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned* flags, int* active) {
  return of_device(ordinal, [&](Device& device) -> CUresult {
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    *flags = device.primary ? device.primary->flags : 0;
    *active = device.primary && device.primary->alive;
    return CUDA_SUCCESS;
  });
}
