// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/view.h"

namespace shakti::cuda {

// [batch, length, heads, head dim] by strides; last: of the head dim.
struct Rows4 {
  void* data;
  int64_t batch, row, head, last;
};

struct Attention {
  Rows4 q, k, v;
  Rows4 k_scale, v_scale;  // f32, of k and v in bytes; else null
  Rows4 g, y;              // backward: the gradient of y, and y; forward: y is written
  Rows4 dq, dk, dv;        // backward
  void* lse;               // [b, h, lq], f32 (f64 for f64)
  void* delta;             // backward: sum of g * y, as lse
  const void* mask;        // [b, h, lq, lk] by strides; null: none
  int64_t mask_strides[4];
  int mask_kind;  // 0: none, 1: bool, 2: added, q's dtype, 3: added, f32
  const int32_t *cu_q, *cu_k;
  int sequences;  // of packed ones; 0: not packed
  bool room;      // keys may follow that no sequence has
  int64_t b, lq, lk, h, hk, d, window;
  // Split keys: into so many parts, and what each has found for each row (split_keys.cuh): [rows][parts][d], then Part.
  int64_t parts;
  float* partial;
  double scale;
  bool causal;
  Reporter reporter;
};

}  // namespace shakti::cuda
