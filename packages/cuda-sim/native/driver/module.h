// Modules, libraries and the functions in them.
#pragma once
#include "state.h"

namespace sim {

// A kernel as it is launched: with its attributes, and with the module that keeps it alive.
struct Callable {
  KernelPtr kernel;
  std::shared_ptr<LoadedModule> module;
  Function* function = nullptr;

  uint64_t shared_limit() const;  // the most dynamic shared memory that a launch may ask for
};
// Of a CUfunction of this context, or of a CUkernel of a library, which is loaded here when it wasn't.
CUresult resolve_function(Context&, const void* handle, Callable*);

CUresult function_attribute(const Callable&, CUfunction_attribute, int* value);
CUresult set_function_attribute(const Callable&, CUfunction_attribute, int value);

}  // namespace sim
