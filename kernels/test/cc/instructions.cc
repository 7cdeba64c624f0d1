// Runs key kernels once each on operands of one size, for scripts/instructions.mjs, which counts under Valgrind the
// instructions that each executes. What depends on the machine is fixed here.
#define HARNESS_MAIN
#include "harness.h"

#include "../../src/runtime/cpu_features.h"
#include "../../src/runtime/limits.h"

namespace shakti {
uint64_t last_cache_bytes() { return uint64_t{32} << 20; }
bool has_avx512_bf16() { return false; }
bool has_amx_bf16() { return false; }
}  // namespace shakti

DECLARE_OP(matmul)
DECLARE_OP(attention)
DECLARE_OP(softmax)
DECLARE_OP(rms_norm)

int main() {
  on_whole_lines = true;
  pretend_cache_bytes = last_cache_bytes();
  const auto random = [](const Shape& shape) { return filled(shape, DType::f32, 0, -1, 1); };
  const auto room = [](const Shape& shape) { return tensor(shape, DType::f32); };

  const Tensor a = random({96, 256}), b = random({256, 96});
  OP_OF(matmul)({a, b, absent()}, {room({96, 96})}, {0, 0});

  const Tensor q = random({1, 64, 2, 32}), k = random({1, 64, 2, 32}), v = random({1, 64, 2, 32});
  const double scale = 0.17678, causal = 1;
  OP_OF(attention)
  ({q, k, v, absent(), absent(), absent(), absent(), absent()}, {room({1, 64, 2, 32}), room({1, 2, 64})},
   {scale, causal, 0, 0});

  const Tensor x = random({64, 512}), weight = random({512});
  OP_OF(softmax)({x}, {room({64, 512})});
  OP_OF(rms_norm)({x, weight}, {room({64, 512}), room({64})}, {1e-6});
  pretend_cache_bytes = 0;
  OP_OF(rms_norm)({x, weight}, {room({64, 512}), room({64})}, {1e-6});
  return finish("instructions");
}
