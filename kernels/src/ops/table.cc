// The op table, built from the OP lines alone. Not compiled per instruction set.
#include "../runtime/op.h"

namespace shakti {

// clang-format off
#define DECLARE(name) \
  Status check_##name(const Args&); \
  namespace portable { void run_##name(const Args&, Context&); } \
  namespace avx2 { void run_##name(const Args&, Context&); } \
  namespace avx512 { void run_##name(const Args&, Context&); } \
  namespace cuda { \
  __attribute__((weak)) void run_##name(const Args&, Launch&); \
  __attribute__((weak)) size_t workspace_##name(const Args&); \
  }
#define OP(name, in, out, attrs, cost) DECLARE(name)
#define OP_WS(name, in, out, attrs, cost) \
  DECLARE(name) \
  size_t workspace_##name(const Args&);
#include "ops.inc"
#undef OP
#undef OP_WS

#ifdef SHAKTI_X86
#define RUNS(name) {portable::run_##name, avx2::run_##name, avx512::run_##name}
#else
#define RUNS(name) {portable::run_##name, nullptr, nullptr}
#endif
#define OP(name, in, out, attrs, cost) {#name, in, out, attrs, cost, check_##name, nullptr, RUNS(name), cuda::run_##name, cuda::workspace_##name},
#define OP_WS(name, in, out, attrs, cost) {#name, in, out, attrs, cost, check_##name, workspace_##name, RUNS(name), cuda::run_##name, cuda::workspace_##name},
const Op kOps[] = {
#include "ops.inc"
};
const int kOpCount = sizeof(kOps) / sizeof(kOps[0]);

#undef OP
#define OP(name, in, out, attrs, cost) +1
const int kElementwiseCount = 0
#include "elementwise/ops.inc"
    ;
// clang-format on

}  // namespace shakti
