// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/rows.h"

namespace shakti::cuda {

struct Targets {
  const void* data;
  int64_t stride;
  bool wide;  // i64, else i32
  int64_t classes, ignore;
};
struct CrossEntropy {
  const void* logits;  // [rows, classes]
  int64_t row_stride;
  RowForm form;
  Targets targets;
  void *loss, *lse;
  double smoothing;
  Reporter reporter;
};
// dlogits = g * (softmax - (1 - smoothing) onehot - smoothing / classes)
struct CrossEntropyBackward {
  const void *g, *logits, *lse;
  int64_t g_stride, row_stride, lse_stride;
  RowForm form, dlogits_form;
  Targets targets;
  void* dlogits;  // contiguous
  double smoothing;
  Reporter reporter;
};

}  // namespace shakti::cuda
