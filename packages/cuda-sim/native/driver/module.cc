// Modules and libraries: PTX in, functions and variables out.
#include "module.h"

#include <cstdio>

#include "call.h"
#include "capture.h"
#include "image.h"

namespace sim {
namespace {

// The newest PTX that a driver of this version reads.
int newest_ptx(int driver_version) {
  const int major = driver_version / 1000, minor = driver_version % 1000 / 10;
  if (major >= 13) return 90 + (major - 13) * 10 + minor;
  if (major == 12) return 80 + (minor <= 5 ? minor : minor - 1);
  return major == 11 ? 70 + minor : 0;
}

// Where the caller wants to read what was wrong.
struct Logs {
  char* error = nullptr;
  size_t room = 0;
  void** used = nullptr;
  void** info_used = nullptr;
};

CUresult read_options(unsigned count, const CUjit_option* options, void** values, Logs* logs) {
  if (count > 0 && (!options || !values)) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    switch (options[i]) {
      case CU_JIT_ERROR_LOG_BUFFER: logs->error = static_cast<char*>(values[i]); break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        logs->room = static_cast<unsigned>(reinterpret_cast<uintptr_t>(values[i]));
        logs->used = &values[i];
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES: logs->info_used = &values[i]; break;
      default:
        if (options[i] < 0 || options[i] >= CU_JIT_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

// A module that can't be loaded says why: into the caller's buffer, else on stderr, since the code alone helps nobody.
CUresult refuse_module(CUresult code, const std::string& why, const Logs& logs) {
  if (logs.error && logs.room > 0) {
    const size_t n = std::min(why.size(), logs.room - 1);
    std::memcpy(logs.error, why.data(), n);
    logs.error[n] = '\0';
    if (logs.used) *logs.used = reinterpret_cast<void*>(n + 1);
  } else {
    say("a module is refused (%s): %s", error_name(code), why.c_str());
  }
  report_line("{\"type\":\"module\",\"code\":" + std::to_string(code) + ",\"name\":" + quoted(error_name(code)) +
              ",\"message\":" + quoted(why) + "}");
  return code;
}

CUresult read_image(const void* image, const Logs& logs, std::string* ptx) {
  Driver& d = driver();
  std::string why;
  if (const CUresult r = ptx_of_image(image, d.options.arch, ptx, &why); r != CUDA_SUCCESS) {
    return refuse_module(r, why, logs);
  }
  PtxTarget target;
  ptx_target(*ptx, &target);
  if (target.version > newest_ptx(d.version_reported)) {
    why = "PTX " + std::to_string(target.version / 10) + "." + std::to_string(target.version % 10) +
          " wants a newer driver than " + std::to_string(d.version_reported) + ".";
    return refuse_module(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, why, logs);
  }
  return CUDA_SUCCESS;
}

CUresult load(Context& context, const std::string& ptx, const Logs& logs, std::shared_ptr<LoadedModule>* out) {
  std::string log;
  std::unique_ptr<Module> module = Module::load(ptx, *context.device->memory, &log);
  if (!module) return refuse_module(CUDA_ERROR_INVALID_PTX, log, logs);
  auto loaded = std::make_shared<LoadedModule>();
  loaded->context = &context;
  loaded->module = std::move(module);
  driver().modules.add(loaded);
  if (logs.used) *logs.used = nullptr;
  if (logs.info_used) *logs.info_used = nullptr;
  *out = std::move(loaded);
  return CUDA_SUCCESS;
}

KernelPtr kernel_named(const std::shared_ptr<LoadedModule>& module, const std::string& name) {
  if (const auto at = module->kernels.find(name); at != module->kernels.end()) return at->second;
  Function* function = module->module->function(name);
  if (!function) return nullptr;
  auto kernel = std::make_shared<Kernel>();
  kernel->module = module;
  kernel->function = function;
  kernel->name = name;
  driver().functions.add(kernel);
  module->kernels.emplace(name, kernel);
  return kernel;
}

CUresult load_data(CUmodule* out, const void* image, unsigned count, const CUjit_option* options, void** values) {
  return working([&](Context& context) -> CUresult {
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = refuse_unsafe(context); r != CUDA_SUCCESS) return r;
    Logs logs;
    std::string ptx;
    std::shared_ptr<LoadedModule> module;
    if (const CUresult r = read_options(count, options, values, &logs); r != CUDA_SUCCESS) return r;
    if (const CUresult r = read_image(image, logs, &ptx); r != CUDA_SUCCESS) return r;
    if (const CUresult r = load(context, ptx, logs, &module); r != CUDA_SUCCESS) return r;
    *out = module->handle;
    return CUDA_SUCCESS;
  });
}

bool read_file(const char* path, std::string* bytes) {
  std::FILE* file = std::fopen(path, "rbe");
  if (!file) return false;
  char part[65536];
  for (size_t n; (n = std::fread(part, 1, sizeof part, file)) > 0;) bytes->append(part, n);
  const bool good = std::ferror(file) == 0;
  std::fclose(file);
  return good;
}

template <class F>
CUresult of_module(CUmodule handle, F&& body) {
  return working([&](Context&) -> CUresult {
    const std::shared_ptr<LoadedModule> module = driver().modules.find(handle);
    return module ? body(module) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class F>
CUresult of_library(CUlibrary handle, F&& body) {
  return locked([&]() -> CUresult {
    const std::shared_ptr<Library> library = driver().libraries.find(handle);
    return library ? body(library) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult module_in(Context& context, Library& library, std::shared_ptr<LoadedModule>* out) {
  if (const auto at = library.modules.find(&context); at != library.modules.end()) {
    *out = at->second;
    return CUDA_SUCCESS;
  }
  if (const CUresult r = load(context, library.ptx, {}, out); r != CUDA_SUCCESS) return r;
  (*out)->of_library = true;
  library.modules[&context] = *out;
  return CUDA_SUCCESS;
}

// A library is of no context, so what is in it is read off a module in one: the current one.
CUresult kernel_of_library(Context& context, const std::shared_ptr<Library>& library, const std::string& name,
                           KernelPtr* out) {
  std::shared_ptr<LoadedModule> module;
  if (const CUresult r = module_in(context, *library, &module); r != CUDA_SUCCESS) return r;
  if (!module->module->function(name)) return CUDA_ERROR_NOT_FOUND;
  KernelPtr& kernel = library->kernels[name];
  if (!kernel) {
    kernel = std::make_shared<Kernel>();
    kernel->library = library;
    kernel->name = name;
    driver().functions.add(kernel);
  }
  *out = kernel;
  return CUDA_SUCCESS;
}

CUresult load_library(CUlibrary* out, const void* image, const CUjit_option* options, void** values, unsigned count) {
  return locked([&]() -> CUresult {
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    Logs logs;
    auto library = std::make_shared<Library>();
    if (const CUresult r = read_options(count, options, values, &logs); r != CUDA_SUCCESS) return r;
    if (const CUresult r = read_image(image, logs, &library->ptx); r != CUDA_SUCCESS) return r;
    // What is wrong with it is said here, not at the first launch.
    Memory scratch(64 << 20, driver().fill);
    std::string log;
    if (!Module::load(library->ptx, scratch, &log)) return refuse_module(CUDA_ERROR_INVALID_PTX, log, logs);
    *out = driver().libraries.add(library);
    return CUDA_SUCCESS;
  });
}

}  // namespace

void unload(LoadedModule& module) {
  Driver& d = driver();
  for (const auto& [name, kernel] : module.kernels) d.functions.remove(kernel->handle);
  module.kernels.clear();
  d.modules.remove(module.handle);
}

CUresult resolve_function(Context& context, const void* handle, Callable* out) {
  const KernelPtr kernel = driver().functions.find(handle);
  if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
  out->kernel = kernel;
  if (const std::shared_ptr<Library> library = kernel->library.lock()) {
    if (const CUresult r = module_in(context, *library, &out->module); r != CUDA_SUCCESS) return r;
    out->function = out->module->module->function(kernel->name);
  } else {
    out->module = kernel->module.lock();
    out->function = kernel->function;
  }
  if (!out->module || !out->function) return CUDA_ERROR_INVALID_HANDLE;
  if (out->module->context != &context) return refuse(CUDA_ERROR_INVALID_HANDLE, "a function of another context");
  return CUDA_SUCCESS;
}

}  // namespace sim

using namespace sim;

CU_API cuModuleLoadData(CUmodule* out, const void* image) { return load_data(out, image, 0, nullptr, nullptr); }
CU_API cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned count, CUjit_option* options, void** values) {
  return load_data(out, image, count, options, values);
}
CU_API cuModuleLoadFatBinary(CUmodule* out, const void* image) { return load_data(out, image, 0, nullptr, nullptr); }
CU_API cuModuleLoad(CUmodule* out, const char* path) {
  std::string bytes;
  if (!path) return CUDA_ERROR_INVALID_VALUE;
  if (!read_file(path, &bytes)) return CUDA_ERROR_FILE_NOT_FOUND;
  return load_data(out, bytes.c_str(), 0, nullptr, nullptr);
}

CU_API cuModuleUnload(CUmodule handle) {
  return of_module(handle, [&](const std::shared_ptr<LoadedModule>& module) -> CUresult {
    if (module->of_library) return CUDA_ERROR_NOT_PERMITTED;
    if (const CUresult r = refuse_unsafe(*module->context); r != CUDA_SUCCESS) return r;
    if (const CUresult r = wait_for_all(*module->context); r != CUDA_SUCCESS) return r;
    unload(*module);
    return CUDA_SUCCESS;
  });
}

CU_API cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
  return of_module(handle, [&](const std::shared_ptr<LoadedModule>& module) -> CUresult {
    if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
    const KernelPtr kernel = kernel_named(module, name);
    if (!kernel) return refuse(CUDA_ERROR_NOT_FOUND, "the module has no kernel %s", name);
    *out = kernel->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
  return of_module(handle, [&](const std::shared_ptr<LoadedModule>& module) -> CUresult {
    if (!name || (!address && !bytes)) return CUDA_ERROR_INVALID_VALUE;
    uint64_t at = 0, size = 0;
    if (!module->module->global(name, &at, &size)) return CUDA_ERROR_NOT_FOUND;
    if (address) *address = at;
    if (bytes) *bytes = size;
    return CUDA_SUCCESS;
  });
}

CU_API cuModuleGetLoadingMode(int* mode) {
  return locked([&]() -> CUresult {
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    *mode = 1;  // eager
    return CUDA_SUCCESS;
  });
}

CU_API cuModuleGetFunctionCount(unsigned* count, CUmodule handle) {
  return of_module(handle, [&](const std::shared_ptr<LoadedModule>& module) -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(module->module->functions().size());
    return CUDA_SUCCESS;
  });
}

CU_API cuModuleEnumerateFunctions(CUfunction* out, unsigned count, CUmodule handle) {
  return of_module(handle, [&](const std::shared_ptr<LoadedModule>& module) -> CUresult {
    const std::vector<Function*> all = module->module->functions();
    if (!out || count > all.size()) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; ++i) out[i] = kernel_named(module, all[i]->name())->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryLoadData(CUlibrary* out, const void* image, CUjit_option* options, void** values, unsigned count, void*,
                         void**, unsigned) {
  return load_library(out, image, options, values, count);
}
CU_API cuLibraryLoadFromFile(CUlibrary* out, const char* path, CUjit_option* options, void** values, unsigned count,
                             void*, void**, unsigned) {
  std::string bytes;
  if (!path) return CUDA_ERROR_INVALID_VALUE;
  if (!read_file(path, &bytes)) return CUDA_ERROR_FILE_NOT_FOUND;
  return load_library(out, bytes.c_str(), options, values, count);
}

CU_API cuLibraryUnload(CUlibrary handle) {
  return of_library(handle, [&](const std::shared_ptr<Library>& library) -> CUresult {
    Driver& d = driver();
    for (const auto& [context, module] : library->modules) {
      wait_for_all(*context);
      unload(*module);
    }
    for (const auto& [name, kernel] : library->kernels) d.functions.remove(kernel->handle);
    d.libraries.remove(handle);
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryGetKernel(CUkernel* out, CUlibrary handle, const char* name) {
  return working([&](Context& context) -> CUresult {
    const std::shared_ptr<Library> library = driver().libraries.find(handle);
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
    KernelPtr kernel;
    if (const CUresult r = kernel_of_library(context, library, name, &kernel); r != CUDA_SUCCESS) return r;
    *out = reinterpret_cast<CUkernel>(kernel->handle);
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryGetKernelCount(unsigned* count, CUlibrary handle) {
  return working([&](Context& context) -> CUresult {
    const std::shared_ptr<Library> library = driver().libraries.find(handle);
    std::shared_ptr<LoadedModule> module;
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = module_in(context, *library, &module); r != CUDA_SUCCESS) return r;
    *count = static_cast<unsigned>(module->module->functions().size());
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryEnumerateKernels(CUkernel* out, unsigned count, CUlibrary handle) {
  return working([&](Context& context) -> CUresult {
    const std::shared_ptr<Library> library = driver().libraries.find(handle);
    std::shared_ptr<LoadedModule> module;
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (const CUresult r = module_in(context, *library, &module); r != CUDA_SUCCESS) return r;
    const std::vector<Function*> all = module->module->functions();
    if (!out || count > all.size()) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; ++i) {
      KernelPtr kernel;
      if (const CUresult r = kernel_of_library(context, library, all[i]->name(), &kernel); r != CUDA_SUCCESS) return r;
      out[i] = reinterpret_cast<CUkernel>(kernel->handle);
    }
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryGetModule(CUmodule* out, CUlibrary handle) {
  return working([&](Context& context) -> CUresult {
    const std::shared_ptr<Library> library = driver().libraries.find(handle);
    std::shared_ptr<LoadedModule> module;
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = module_in(context, *library, &module); r != CUDA_SUCCESS) return r;
    *out = module->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
  CUmodule module = nullptr;
  if (const CUresult r = cuLibraryGetModule(&module, handle); r != CUDA_SUCCESS) return r;
  return cuModuleGetGlobal_v2(address, bytes, module, name);
}

CU_API cuKernelGetFunction(CUfunction* out, CUkernel handle) {
  return working([&](Context& context) -> CUresult {
    const KernelPtr kernel = driver().functions.find(handle);
    const std::shared_ptr<Library> library = kernel ? kernel->library.lock() : nullptr;
    std::shared_ptr<LoadedModule> module;
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult r = module_in(context, *library, &module); r != CUDA_SUCCESS) return r;
    *out = kernel_named(module, kernel->name)->handle;
    return CUDA_SUCCESS;
  });
}

CU_API cuKernelGetLibrary(CUlibrary* out, CUkernel handle) {
  return locked([&]() -> CUresult {
    const KernelPtr kernel = driver().functions.find(handle);
    const std::shared_ptr<Library> library = kernel ? kernel->library.lock() : nullptr;
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = library->handle;
    return CUDA_SUCCESS;
  });
}
