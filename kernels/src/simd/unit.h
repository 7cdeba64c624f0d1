// What multiplies floats.
#pragma once
#include "../runtime/cpu_features.h"
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

// f32: elements of f32, in vectors. bf16: pairs of bf16, in vectors. amx: pairs of bf16, in tiles. widened: bf16 kept
// in pairs, each made f32 on its way to the vectors.
enum class Unit { f32, bf16, amx, widened };

// Elements of the left factor in a word of 32 bits, side by side along what is summed over.
template <Unit U>
constexpr int64_t kPerWord = U == Unit::f32 || U == Unit::widened ? 1 : 2;

// bf16 operands lose nothing in pairs: their products are exact in f32. f32 ones are rounded where that is allowed.
SHAKTI_INLINE Unit unit_for(DType t, bool allow_bf16) {
#if defined(__AVX512F__)
  if (t == DType::bf16 || (t == DType::f32 && allow_bf16)) {
    if (has_amx_bf16()) return Unit::amx;
    if (has_avx512_bf16()) return Unit::bf16;
  }
#endif
  return Unit::f32;
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
