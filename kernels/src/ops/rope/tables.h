// The tables of angles that rotations read.
#pragma once
#include "../../runtime/check.h"

namespace shakti::rope {

// cos and sin: f32 [b or 1, l, d / 2] without gaps, for x [b, l, h, d].
inline Status check_tables(const Operand& cosine, const Operand& sine, const Operand& x) {
  SHAKTI_CHECK(cosine.ndim == 3 && (cosine.shape[0] == 1 || cosine.shape[0] == x.shape[0]) &&
                   cosine.shape[1] == x.shape[1] && cosine.shape[2] == x.shape[3] / 2,
               shape, "cos must be [b or 1, l, d / 2] for x [b, l, h, d]");
  return all(want_same_shape(cosine, "cos", sine, "sin"), want_dtype(cosine, "cos", DType::f32),
             want_dtype(sine, "sin", DType::f32), want_contiguous(cosine, "cos"), want_contiguous(sine, "sin"));
}

}  // namespace shakti::rope
