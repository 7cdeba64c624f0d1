// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/view.h"

namespace shakti::cuda {

struct Indices {
  const void* data;
  bool wide;     // i64, else i32
  int64_t size;  // every index lies in [0, size)
  Reporter reporter;
};

// y[i, :] = weight[ids[i], :]
struct Embedding {
  const void* weight;
  void* y;
  int64_t width, row_stride, column_stride;  // of weight
  Indices ids;
  Walk<1> places;  // over ids
};

// The places of each id, in order: counted, laid out one id behind the other, then brought into order within each id.
struct EmbeddingOrder {
  Indices ids;
  int64_t padding;
  Walk<1> places;
  int64_t* start;             // [ids.size + 1]: first the counts, then where each id begins
  int64_t* cursor;            // [ids.size]
  int64_t *unsorted, *order;  // [places]
};
struct EmbeddingBackward {
  const void* g;
  void* dweight;
  int64_t rows, width, g_stride;  // of g's last dimension
  const int64_t *start, *order;
  Walk<1> g_rows;
};

struct Gather {
  const void* x;
  void* y;
  int64_t step;  // of x along dim
  Indices indices;
  Walk<2> walk;  // over index, and x with a stride of 0 along dim
};
// y[index[i][j]][j] += src[i][j], a thread for a line along dim.
struct ScatterAdd {
  const void* src;
  void* y;
  int64_t length, index_step, src_step, y_step;
  Indices indices;
  Walk<3> lines;  // over index, src and y
};
struct IndexSelect {
  const void* x;
  void* y;
  int64_t count, inner;  // y is [outer, count, inner]
  int64_t index_stride, step;
  Indices indices;
  Walk<1> outer, inside;  // of x, before and behind dim
  int64_t n;
};
// y[index[i]] = src[i], a thread for each [outer, inner]: the places in their order.
struct IndexCopy {
  const void* src;
  void* y;
  int64_t count, inner;
  int64_t index_stride, step, y_step;  // of src and y along dim
  Indices indices;
  Walk<2> outer, inside;  // of src and y
  int64_t n;
};
// A thread for each [outer, inner] of y.
struct IndexAdd {
  const void* src;
  void* y;
  int64_t count, inner, size;  // y is [outer, size, inner]
  int64_t index_stride, step;  // of src along dim
  Indices indices;
  Walk<1> outer, inside;  // of src
  int64_t n;
};

}  // namespace shakti::cuda
