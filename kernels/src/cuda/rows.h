// Rows of the last dimension, a block for each; included by kernels too.
#pragma once
#include "view.h"

namespace shakti::cuda {

// How the elements of an operand's rows lie.
struct RowForm {
  int64_t stride;  // from one element to the next
  bool packed;     // they lie in order, and each row begins on 16 bytes
};

}  // namespace shakti::cuda
