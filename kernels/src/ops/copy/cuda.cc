#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "copy";

// Whether the innermost dimension of y is not that of x: then a square at a time goes through shared memory.
bool turned(const Walk<2>& w, int* other) {
  if (w.ndim < 2 || w.ndim > 3 || w.strides[1][0] != 1 || w.shape[0] < 16) return false;
  for (int d = 1; d < w.ndim; ++d) {
    if (w.strides[0][d] != 1 || w.shape[d] < 16) continue;
    *other = d;
    return w.ndim == 2 || w.shape[3 - d] <= 65535;
  }
  return false;
}

void move(Launch& launch, const Move& p, DType t) {
  const Walk<2>& w = p.walk;
  if (dense(w, 0) && dense(w, 1) && aligned16(p.x) && aligned16(p.y)) {
    Move bytes = p;
    bytes.walk.numel = w.numel * static_cast<int64_t>(dtype_size(t));
    launch.kernel(kFamily, "move_dense", grid_for(launch, blocks_of(bytes.walk.numel, 16)), kThreads, bytes);
    return;
  }
  int rows = 0;
  if (turned(w, &rows)) {
    Transpose q{p.x, p.y, w.shape[rows], w.shape[0], w.strides[0][0], w.strides[1][rows], 0, 0};
    const int plane = 3 - rows;
    const int64_t planes = w.ndim == 3 ? w.shape[plane] : 1;
    if (w.ndim == 3) {
      q.x_plane = w.strides[0][plane];
      q.y_plane = w.strides[1][plane];
    }
    const Dim grid(blocks_of(q.rows, 32), blocks_of(q.cols, 32), planes);
    if (grid.y <= 65535) return launch.kernel(kFamily, SizeName("transpose", t), grid, Dim(32, 8), q);
  }
  launch.kernel(kFamily, SizeName("move", t), grid_for(launch, w.numel), kThreads, p);
}

void fill(Launch& launch, const Operand& y, double value) {
  Fill p{y.data, value, false, walk({&y})};
  p.packed = dense(p.walk, 0) && aligned16(y.data);
  const int64_t each = p.packed ? 16 / static_cast<int64_t>(dtype_size(y.dtype)) : 1;
  launch.kernel(kFamily, KernelName("fill", y.dtype), grid_for(launch, blocks_of(p.walk.numel, each)), kThreads, p);
}

void triangle(const Args& a, Launch& launch, bool lower) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Triangle p{x.data, y.data, y.size(-2), y.size(-1), a.attr_int(0), lower, walk({&x})};
  launch.kernel(kFamily, SizeName("triangle", y.dtype), grid_for(launch, p.walk.numel), kThreads, p);
}

// x into the part of y that begins `at` elements behind y's first.
void move_into(Launch& launch, const Operand& x, const Operand& y, int64_t at) {
  Operand part = y;
  for (int d = 0; d < y.ndim; ++d) part.shape[d] = x.shape[d];
  if (x.numel() == 0) return;
  const Move p{x.data, static_cast<char*>(y.data) + at * static_cast<int64_t>(dtype_size(y.dtype)), walk({&x, &part})};
  move(launch, p, y.dtype);
}

}  // namespace

void run_copy(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Move p{x.data, y.data, walk({&x, &y})};
  if (x.dtype == y.dtype) return move(launch, p, y.dtype);
  const bool halves =
      dtype_size(x.dtype) <= 4 && dtype_size(y.dtype) <= 4 && dtype_is_float(x.dtype) && dtype_is_float(y.dtype);
  if (halves && dense(p.walk, 0) && dense(p.walk, 1) && aligned16(x.data) && aligned16(y.data)) {
    const auto longer = static_cast<int64_t>(std::max(dtype_size(x.dtype), dtype_size(y.dtype)));
    launch.kernel(kFamily, KernelName("convert_dense", x.dtype, y.dtype),
                  grid_for(launch, blocks_of(p.walk.numel, 16 / longer)), kThreads, p);
    return;
  }
  launch.kernel(kFamily, KernelName("convert", x.dtype, y.dtype), grid_for(launch, p.walk.numel), kThreads, p);
}

void run_fill(const Args& a, Launch& launch) { fill(launch, a.out[0], a.attr(0)); }

void run_arange(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  const Arange p{y.data, y.numel(), a.attr(0), a.attr(1)};
  launch.kernel(kFamily, KernelName("arange", y.dtype), grid_for(launch, p.n), kThreads, p);
}

void run_tril(const Args& a, Launch& launch) { triangle(a, launch, true); }
void run_triu(const Args& a, Launch& launch) { triangle(a, launch, false); }

void run_cat(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  int64_t at = 0;
  for (int i = 0; i < a.n_in; ++i) {
    move_into(launch, a.in[i], y, at);
    at += a.in[i].shape[dim] * y.strides[dim];
  }
}

void run_pad(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &y = a.out[0];
  fill(launch, y, a.attr(0));
  int64_t at = 0;
  for (int d = 0; d < y.ndim; ++d) at += a.attr_int(2 + d) * y.strides[d];
  move_into(launch, x, y, at);
}

void run_flip(const Args& a, Launch& launch) {
  const Operand& y = a.out[0];
  Operand x = a.in[0];
  int64_t start = 0;
  for (int64_t i = 0; i < a.attr_int(0); ++i) {
    const int d = static_cast<int>(a.attr_int(static_cast<int>(1 + i)));
    start += (x.shape[d] - 1) * x.strides[d];
    x.strides[d] = -x.strides[d];
  }
  const auto bytes = static_cast<int64_t>(dtype_size(x.dtype));
  const Move p{static_cast<char*>(x.data) + start * bytes, y.data, walk({&x, &y})};
  launch.kernel(kFamily, SizeName("move", y.dtype), grid_for(launch, p.walk.numel), kThreads, p);
}

}  // namespace shakti::cuda
