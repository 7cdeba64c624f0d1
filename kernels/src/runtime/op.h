// An op on the native side: its line in ops/<family>/ops.inc, its check and its kernels.
//
//   OP(name, "inputs", "outputs", "attrs", cost)
//     inputs, outputs: comma-separated names; `bias?` may be absent; `xs*` (last) takes any number of tensors
//     attrs: comma-separated `name:int|float|bool|ints|floats`; a list is stored as its length, then its elements
//     cost: estimated nanoseconds per element of the largest operand on one thread (decides what may run on the
//     caller's thread)
//   OP_WS(...): the same, and the op has a workspace
//
// For each line there must be, with these exact names:
//   namespace shakti        Status check_<name>(const Args&)          ops/<family>/op.cc   pure; shapes, dtypes,
//   attributes namespace shakti        size_t workspace_<name>(const Args&)      ops/<family>/op.cc   OP_WS only
//   namespace SHAKTI_ISA_NS void run_<name>(const Args&, Context&)    ops/<family>/cpu.cc  compiled once per
//   instruction set
//   namespace shakti::cuda  void run_<name>(const Args&, Launch&)     ops/<family>/cuda.cc (cuda/launch.h), with its
//   kernels in cuda.cu namespace shakti::cuda  size_t workspace_<name>(const Args&)      the same file, when it needs
//   one on a GPU
// A check must establish everything that its kernel relies on: TypeScript is not trusted. Operands arrive with
// their bounds already checked against their storage, attrs with the right count and finite.
#pragma once
#include "args.h"
#include "context.h"
#include "status.h"

// Kernel files are compiled with -DSHAKTI_ISA=portable|avx2|avx512.
#ifdef SHAKTI_ISA
#define SHAKTI_ISA_NS shakti::SHAKTI_ISA
#endif

namespace shakti {

using CheckFn = Status (*)(const Args&);
using WorkspaceFn = size_t (*)(const Args&);
using RunFn = void (*)(const Args&, Context&);
namespace cuda {
class Launch;
}
using CudaFn = void (*)(const Args&, cuda::Launch&);

enum class Isa { portable = 0, avx2 = 1, avx512 = 2 };
constexpr int kIsaCount = 3;

struct Op {
  const char* name;
  const char* inputs;
  const char* outputs;
  const char* attrs;
  double cost;
  CheckFn check;
  WorkspaceFn workspace;                 // null: none
  RunFn run[kIsaCount];                  // null above portable where the compiler target has no such level (arm64)
  CudaFn cuda;                           // null: not there
  WorkspaceFn cuda_workspace = nullptr;  // null: none
};

extern const Op kOps[];
extern const int kOpCount;
// The first ops of the table are the elementwise ones: y[i] depends on the i-th elements alone, so y may be an input.
extern const int kElementwiseCount;

}  // namespace shakti
