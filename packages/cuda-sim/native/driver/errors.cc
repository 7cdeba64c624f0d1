// Names and sentences of result codes. These work before cuInit and after a fault.
#include "call.h"

namespace sim {
namespace {

struct Named {
  CUresult code;
  const char *name, *text;
};
constexpr Named kErrors[] = {
#define E(name, number, text) {name, #name, text},
#include "errors.inc"
#undef E
};

const Named* find(CUresult code) {
  for (const Named& error : kErrors) {
    if (error.code == code) return &error;
  }
  return nullptr;
}

}  // namespace

const char* error_name(CUresult code) {
  const Named* error = find(code);
  return error ? error->name : "an unknown code";
}

}  // namespace sim

CU_API cuGetErrorName(CUresult code, const char** text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  const sim::Named* error = sim::find(code);
  *text = error ? error->name : nullptr;
  return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CU_API cuGetErrorString(CUresult code, const char** text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  const sim::Named* error = sim::find(code);
  *text = error ? error->text : nullptr;
  return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
