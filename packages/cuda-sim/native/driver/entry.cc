// cuGetProcAddress: a name and a version of the API to the entry point that has them.
#include <dlfcn.h>

#include "call.h"

namespace sim {
namespace {

struct EntryPoint {
  const char* name;
  int since;  // the version of CUDA that brought it
  const char* symbol;
};
constexpr EntryPoint kEntryPoints[] = {
#define S(name, since) {#name, since, #name},
#define V(name, since, symbol) {#name, since, #symbol},
#include "entry_points.inc"
#undef S
#undef V
};

enum Found { kFound = 0, kNoSuchName = 1, kTooNew = 2 };

CUresult find_entry(const char* name, void** out, int version, uint64_t flags, int* found) {
  if (!name || !out || flags > 3) return CUDA_ERROR_INVALID_VALUE;
  *out = nullptr;
  // The variants whose stream 0 is the thread's own are not there.
  constexpr uint64_t kPerThreadStream = 2;
  const EntryPoint* best = nullptr;
  Found result = kNoSuchName;
  for (const EntryPoint& entry : kEntryPoints) {
    if ((flags & kPerThreadStream) != 0 || std::strcmp(entry.name, name) != 0) continue;
    if (entry.since > version) {
      if (result == kNoSuchName) result = kTooNew;
    } else if (!best || entry.since > best->since) {
      best = &entry;
    }
  }
  if (best) {
    Dl_info self{};
    void* library = nullptr;
    if (dladdr(reinterpret_cast<void*>(&driver), &self) != 0) library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library) {
      *out = dlsym(library, best->symbol);
      dlclose(library);
    }
    if (*out) result = kFound;
  }
  if (found) *found = result;
  return result == kFound ? CUDA_SUCCESS : refuse(CUDA_ERROR_NOT_FOUND, "%s of CUDA %d", name, version);
}

}  // namespace
}  // namespace sim

CU_API cuGetProcAddress_v2(const char* name, void** out, int version, uint64_t flags, int* found) {
  return sim::find_entry(name, out, version, flags, found);
}
CU_API cuGetProcAddress(const char* name, void** out, int version, uint64_t flags) {
  return sim::find_entry(name, out, version, flags, nullptr);
}
