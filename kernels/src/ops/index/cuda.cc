#include "cuda.h"

#include "../../cuda/host_rows.h"

namespace shakti::cuda {

void run_copy(const Args& a, Launch& launch);  // ops/copy

namespace {

constexpr const char* kFamily = "index";

Indices indices_of(const Operand& index, int64_t size, const Launch& launch) {
  return {index.data, index.dtype == DType::i64, size, launch.reporter()};
}

// The dimensions [first, last) of x.
Walk<1> part_of(const Operand& x, int first, int last) {
  Operand o = x;
  o.ndim = last - first;
  for (int d = 0; d < o.ndim; ++d) {
    o.shape[d] = x.shape[first + d];
    o.strides[d] = x.strides[first + d];
  }
  return walk({&o});
}

// The same of two tensors that are alike there.
Walk<2> part_of(const Operand& x, const Operand& y, int first, int last) {
  Operand of[2] = {x, y};
  for (int i = 0; i < 2; ++i) {
    const Operand& from = i == 0 ? x : y;
    of[i].ndim = last - first;
    for (int d = 0; d < of[i].ndim; ++d) {
      of[i].shape[d] = x.shape[first + d];
      of[i].strides[d] = from.strides[first + d];
    }
  }
  return walk({&of[0], &of[1]});
}

void copy_in(const Args& a, Launch& launch) {
  Args copy = a;
  copy.n_in = 1;
  run_copy(copy, launch);
}

}  // namespace

void run_embedding(const Args& a, Launch& launch) {
  const Operand &w = a.in[0], &ids = a.in[1], &y = a.out[0];
  const Embedding p{w.data,      y.data, w.shape[1], w.strides[0], w.strides[1], indices_of(ids, w.shape[0], launch),
                    walk({&ids})};
  launch.kernel(kFamily, SizeName("embedding", y.dtype), grid_for(launch, p.places.numel * 32), kThreads, p);
}

size_t workspace_embedding_backward(const Args& a) {
  const int64_t places = a.in[1].numel(), rows = a.out[0].shape[0];
  return static_cast<size_t>(2 * rows + 1 + 2 * places) * sizeof(int64_t);
}

void run_embedding_backward(const Args& a, Launch& launch) {
  const Operand &g = a.in[0], &ids = a.in[1], &w = a.out[0];
  const int64_t rows = w.shape[0];
  auto* start = static_cast<int64_t*>(a.workspace);
  EmbeddingOrder o{
      indices_of(ids, rows, launch), a.attr_int(0), walk({&ids}), start, start + rows + 1, nullptr, nullptr};
  o.unsorted = o.cursor + rows;
  o.order = o.unsorted + o.places.numel;
  launch.zero(o.start, static_cast<size_t>(rows + 1) * sizeof(int64_t));
  const int64_t grid = grid_for(launch, o.places.numel);
  launch.kernel(kFamily, "embedding_count", grid, kThreads, o);
  launch.kernel(kFamily, "embedding_start", 1, 1024, o);
  launch.kernel(kFamily, "embedding_place", grid, kThreads, o);
  launch.kernel(kFamily, "embedding_rank", grid, kThreads, o);
  const EmbeddingBackward p{g.data, w.data, rows, w.shape[1], g.stride(-1), o.start, o.order, row_walk({&g})};
  launch.kernel(kFamily, KernelName("embedding_backward", w.dtype), rows,
                std::min(kThreads, blocks_of(p.width, 32) * 32), p);
}

void run_gather(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &index = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  Operand from = index;  // x as it is walked
  for (int d = 0; d < x.ndim; ++d) from.strides[d] = d == dim ? 0 : x.strides[d];
  const Gather p{x.data, y.data, x.strides[dim], indices_of(index, x.shape[dim], launch), walk({&index, &from})};
  launch.kernel(kFamily, SizeName("gather", y.dtype), grid_for(launch, p.walk.numel), kThreads, p);
}

void run_scatter_add(const Args& a, Launch& launch) {
  const Operand &index = a.in[1], &src = a.in[2], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  copy_in(a, launch);
  if (index.numel() == 0) return;
  Operand i = index, s = src, to = y;
  for (Operand* o : {&i, &s, &to}) {
    for (int d = 0; d < y.ndim; ++d) o->shape[d] = d == dim ? 1 : index.shape[d];
  }
  const ScatterAdd p{src.data,
                     y.data,
                     index.shape[dim],
                     index.strides[dim],
                     src.strides[dim],
                     y.strides[dim],
                     indices_of(index, y.shape[dim], launch),
                     walk({&i, &s, &to})};
  // Lines side by side get a thread each, which then reads beside its neighbours; one that lies in order a warp.
  const bool in_order = p.index_step == 1 && p.src_step == 1;
  launch.kernel(kFamily, KernelName(in_order ? "scatter_add_lines" : "scatter_add", y.dtype),
                grid_for(launch, p.lines.numel * (in_order ? 32 : 1)), kThreads, p);
}

void run_index_select(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &index = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  IndexSelect p{x.data,
                y.data,
                index.shape[0],
                0,
                index.strides[0],
                x.strides[dim],
                indices_of(index, x.shape[dim], launch),
                part_of(x, 0, dim),
                part_of(x, dim + 1, x.ndim),
                y.numel()};
  p.inner = p.inside.numel;
  launch.kernel(kFamily, SizeName("index_select", y.dtype), grid_for(launch, p.n), kThreads, p);
}

void run_index_copy(const Args& a, Launch& launch) {
  const Operand &index = a.in[0], &src = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  IndexCopy p{src.data,
              y.data,
              index.shape[0],
              0,
              index.strides[0],
              src.strides[dim],
              y.strides[dim],
              indices_of(index, y.shape[dim], launch),
              part_of(src, y, 0, dim),
              part_of(src, y, dim + 1, y.ndim),
              0};
  p.inner = p.inside.numel;
  p.n = p.outer.numel * p.inner;
  if (p.n * p.count == 0) return;
  launch.kernel(kFamily, SizeName("index_copy", y.dtype), grid_for(launch, p.n), kThreads, p);
}

void run_index_add(const Args& a, Launch& launch) {
  const Operand &index = a.in[1], &src = a.in[2], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  copy_in(a, launch);
  IndexAdd p{src.data,
             y.data,
             index.shape[0],
             0,
             y.shape[dim],
             index.strides[0],
             src.strides[dim],
             indices_of(index, y.shape[dim], launch),
             part_of(src, 0, dim),
             part_of(src, dim + 1, src.ndim),
             0};
  p.inner = p.inside.numel;
  p.n = p.outer.numel * p.inner;
  launch.kernel(kFamily, KernelName("index_add", y.dtype), grid_for(launch, p.n), kThreads, p);
}

}  // namespace shakti::cuda
