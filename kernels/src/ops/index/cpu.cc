// Reading and adding at given places. Every index is checked where it is used: a bad one is reported and skipped.
#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Index {
  const Operand& o;
  SHAKTI_INLINE int64_t operator()(int64_t at) const {
    return o.dtype == DType::i32 ? o.ptr<int32_t>()[at] : o.ptr<int64_t>()[at];
  }
};

bool inside(int64_t i, int64_t size, int64_t place, Context& c) {
  if (i >= 0 && i < size) return true;
  c.fail("index %lld at place %lld is outside [0, %lld)", static_cast<long long>(i), static_cast<long long>(place),
         static_cast<long long>(size));
  return false;
}

template <class F>
SHAKTI_INLINE void by_size(DType t, const F& f) {
  switch (dtype_size(t)) {
    case 8: return f(uint64_t{});
    case 4: return f(uint32_t{});
    case 2: return f(uint16_t{});
    default: return f(uint8_t{});
  }
}

// y[at] += v in y's own type; bf16 and f16 through f32.
SHAKTI_INLINE void add_at(const Operand& y, int64_t at, const Operand& x, int64_t from) {
  switch (y.dtype) {
    case DType::f32: y.ptr<float>()[at] += x.ptr<float>()[from]; break;
    case DType::f64: y.ptr<double>()[at] += x.ptr<double>()[from]; break;
    case DType::i32: y.ptr<uint32_t>()[at] += x.ptr<uint32_t>()[from]; break;
    case DType::i64: y.ptr<uint64_t>()[at] += x.ptr<uint64_t>()[from]; break;
    case DType::u8: y.ptr<uint8_t>()[at] = static_cast<uint8_t>(y.ptr<uint8_t>()[at] + x.ptr<uint8_t>()[from]); break;
    case DType::boolean: y.ptr<uint8_t>()[at] |= x.ptr<uint8_t>()[from]; break;
    default: {
      float a[1], b[1];
      gather_f32(a, y, at, 1, 1);
      gather_f32(b, x, from, 1, 1);
      a[0] += b[0];
      scatter_f32(y, at, a, 1);
    }
  }
}

void copy_in(const Operand& x, const Operand& y, Context& c) {
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    const Walk w(x, y);
    c.parallel_for(y.numel(), 65536, [&](int64_t b, int64_t e, int) {
      w.runs(b, e, [&](int64_t to, int64_t at, int64_t stride, int64_t n) {
        if (stride == 1)
          std::memcpy(y.ptr<T>() + to, x.ptr<T>() + at, static_cast<size_t>(n) * sizeof(T));
        else
          for (int64_t i = 0; i < n; ++i) y.ptr<T>()[to + i] = x.ptr<T>()[at + i * stride];
      });
    });
  });
}

}  // namespace

void run_embedding(const Args& a, Context& c) {
  const Operand &w = a.in[0], &ids = a.in[1], &y = a.out[0];
  const int64_t d = w.shape[1];
  const Index index{ids};
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    c.parallel_for(ids.numel(), 1 + 65536 / (d + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t v = index(offset_of(i, ids.shape, ids.strides, ids.ndim));
        T* to = y.ptr<T>() + i * d;
        if (!inside(v, w.shape[0], i, c)) {
          std::memset(to, 0, static_cast<size_t>(d) * sizeof(T));
          continue;
        }
        const T* from = w.ptr<T>() + v * w.strides[0];
        if (w.strides[1] == 1)
          std::memcpy(to, from, static_cast<size_t>(d) * sizeof(T));
        else
          for (int64_t j = 0; j < d; ++j) to[j] = from[j * w.strides[1]];
      }
    });
  });
}

// Places are sorted by id (a counting sort, stable), then every row of the table sums its own places in order.
void run_embedding_backward(const Args& a, Context& c) {
  const Operand &g = a.in[0], &ids = a.in[1], &w = a.out[0];
  const int64_t n = ids.numel(), v = w.shape[0], d = w.shape[1], padding = a.attr_int(0);
  auto* start = static_cast<int64_t*>(a.workspace);  // [v + 1]
  int64_t* order = start + v + 1;                    // [n]
  const Index index{ids};
  std::memset(start, 0, static_cast<size_t>(v + 1) * 8);
  const auto id_of = [&](int64_t i) { return index(offset_of(i, ids.shape, ids.strides, ids.ndim)); };
  for (int64_t i = 0; i < n; ++i) {
    const int64_t id = id_of(i);
    if (inside(id, v, i, c) && id != padding) ++start[id + 1];
  }
  for (int64_t i = 0; i < v; ++i) start[i + 1] += start[i];
  for (int64_t i = 0; i < n; ++i) {
    const int64_t id = id_of(i);
    if (id >= 0 && id < v && id != padding) order[start[id]++] = i;
  }
  // start[id] is now the end of id's places.
  const Output result(a, 0, c);
  c.parallel_for(v, 64, [&](int64_t b, int64_t e, int) {
    for (int64_t id = b; id < e; ++id) {
      const int64_t first = id > 0 ? start[id - 1] : 0;
      if (w.dtype == DType::f64) {
        double* to = w.ptr<double>() + id * d;
        for (int64_t j = 0; j < d; ++j) to[j] = 0;
        for (int64_t k = first; k < start[id]; ++k) {
          const int64_t at = offset_of(order[k], g.shape, g.strides, g.ndim - 1);
          for (int64_t j = 0; j < d; ++j) to[j] += g.ptr<double>()[at + j * g.stride(-1)];
        }
        continue;
      }
      for (int64_t j0 = 0; j0 < d; j0 += kTile) {
        const int64_t m = d - j0 < kTile ? d - j0 : kTile;
        alignas(64) float acc[kTile], row[kTile];
        if (first == start[id]) {
          std::memset(acc, 0, static_cast<size_t>(m) * 4);
          result.write(id * d + j0, acc, m);
          continue;
        }
        const auto place = [&](int64_t k) {
          return offset_of(order[k], g.shape, g.strides, g.ndim - 1) + j0 * g.stride(-1);
        };
        // Rows lie anywhere: the one after this row's is fetched already.
        if (start[id] < start[v - 1]) Ahead(g, place(start[id])).fetch_all(m);
        // The first is copied or, when it is the only one, taken as it lies.
        const float* sum = row_f32(g, place(first), g.stride(-1), m, acc);
        for (int64_t k = first + 1; k < start[id]; ++k) {
          const float* p = row_f32(g, place(k), g.stride(-1), m, row);
          lanes(m, [&](int64_t j, int64_t w, bool part) {
            store_n(acc + j, load_n(sum + j, w, part) + load_n(p + j, w, part), w, part);
          });
          sum = acc;
        }
        result.write(id * d + j0, sum, m);
      }
    }
    result.finish();
  });
}

void run_gather(const Args& a, Context& c) {
  const Operand &x = a.in[0], &places = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  const Index index{places};
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    int64_t strides[kMaxDims];
    for (int d = 0; d < x.ndim; ++d) strides[d] = d == dim ? 0 : x.strides[d];
    c.parallel_for(y.numel(), 8192, [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t v = index(offset_of(i, y.shape, places.strides, y.ndim));
        y.ptr<T>()[i] = inside(v, x.shape[dim], i, c)
                            ? x.ptr<T>()[offset_of(i, y.shape, strides, y.ndim) + v * x.strides[dim]]
                            : T{0};
      }
    });
  });
}

// One thread a line along dim: within a line the order of addition is that of the places.
void run_scatter_add(const Args& a, Context& c) {
  const Operand &x = a.in[0], &places = a.in[1], &src = a.in[2], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  const Index index{places};
  copy_in(x, y, c);
  if (places.numel() == 0) return;
  int64_t shape[kMaxDims], si[kMaxDims], ss[kMaxDims], sy[kMaxDims];
  int n = 0;
  int64_t lines = 1;
  for (int d = 0; d < y.ndim; ++d) {
    if (d == dim) continue;
    shape[n] = places.shape[d];
    si[n] = places.strides[d];
    ss[n] = src.strides[d];
    sy[n++] = y.strides[d];
    lines *= places.shape[d];
  }
  const int64_t length = places.shape[dim];
  c.parallel_for(lines, 1 + 8192 / length, [&](int64_t b, int64_t e, int) {
    for (int64_t l = b; l < e; ++l) {
      const int64_t ai = offset_of(l, shape, si, n), as = offset_of(l, shape, ss, n), ay = offset_of(l, shape, sy, n);
      for (int64_t k = 0; k < length; ++k) {
        const int64_t v = index(ai + k * places.strides[dim]);
        if (inside(v, x.shape[dim], l * length + k, c))
          add_at(y, ay + v * y.strides[dim], src, as + k * src.strides[dim]);
      }
    }
  });
}

namespace {
// The dimensions before and behind dim, of y.
struct Sides {
  int64_t outer = 1, inner = 1;
  Sides(const Operand& y, int dim) {
    for (int d = 0; d < dim; ++d) outer *= y.shape[d];
    for (int d = dim + 1; d < y.ndim; ++d) inner *= y.shape[d];
  }
};
}  // namespace

void run_index_select(const Args& a, Context& c) {
  const Operand &x = a.in[0], &places = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  const Sides s(y, dim);
  const int64_t n = places.shape[0];
  const Index index{places};
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    c.parallel_for(s.outer * n, 1 + 32768 / (s.inner + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t v = index(i % n * places.strides[0]);
        T* to = y.ptr<T>() + i * s.inner;
        if (!inside(v, x.shape[dim], i % n, c)) {
          std::memset(to, 0, static_cast<size_t>(s.inner) * sizeof(T));
          continue;
        }
        const T* from = x.ptr<T>() + offset_of(i / n, x.shape, x.strides, dim) + v * x.strides[dim];
        const int behind = x.ndim - dim - 1;
        if (behind == 1 && x.strides[dim + 1] == 1)
          std::memcpy(to, from, static_cast<size_t>(s.inner) * sizeof(T));
        else
          for (int64_t j = 0; j < s.inner; ++j)
            to[j] = from[offset_of(j, x.shape + dim + 1, x.strides + dim + 1, behind)];
      }
    });
  });
}

// Rows are few and long here (what a cache takes in), or many and short; each is moved as it lies where it can be.
void run_index_copy(const Args& a, Context& c) {
  const Operand &places = a.in[0], &src = a.in[1], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0)), behind = y.ndim - dim - 1;
  const Sides s(src, dim);
  const Index index{places};
  int64_t size = 1;
  bool rows = true;
  for (int d = y.ndim - 1; d > dim; size *= src.shape[d--])
    rows = rows && (src.shape[d] == 1 || (src.strides[d] == size && y.strides[d] == size));
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    c.parallel_for(s.outer, 1 + 32768 / (places.shape[0] * s.inner + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t o = b; o < e; ++o) {
        const T* from = src.ptr<T>() + offset_of(o, src.shape, src.strides, dim);
        T* to = y.ptr<T>() + offset_of(o, src.shape, y.strides, dim);
        for (int64_t k = 0; k < places.shape[0]; ++k) {
          const int64_t v = index(k * places.strides[0]);
          if (!inside(v, y.shape[dim], k, c)) continue;
          const T* line = from + k * src.strides[dim];
          T* at = to + v * y.strides[dim];
          if (rows) {
            std::memcpy(at, line, static_cast<size_t>(s.inner) * sizeof(T));
            continue;
          }
          for (int64_t j = 0; j < s.inner; ++j)
            at[offset_of(j, src.shape + dim + 1, y.strides + dim + 1, behind)] =
                line[offset_of(j, src.shape + dim + 1, src.strides + dim + 1, behind)];
        }
      }
    });
  });
}

// Each block of columns takes all places in their order.
void run_index_add(const Args& a, Context& c) {
  const Operand &x = a.in[0], &places = a.in[1], &src = a.in[2], &y = a.out[0];
  const int dim = static_cast<int>(a.attr_int(0));
  const Sides s(y, dim);
  const Index index{places};
  copy_in(x, y, c);
  int64_t size = 1;
  bool rows = y.dtype == DType::f32;
  for (int d = src.ndim - 1; d > dim; size *= src.shape[d--]) rows = rows && src.strides[d] == size;
  const int64_t columns = 64, blocks = (s.inner + columns - 1) / columns;
  const int64_t work = places.shape[0] * (s.inner < columns ? s.inner : columns);
  c.parallel_for(s.outer * blocks, 1 + 8192 / (work + 1), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t o = i / blocks, j0 = i % blocks * columns, j1 = j0 + columns < s.inner ? j0 + columns : s.inner;
      const int64_t from = offset_of(o, src.shape, src.strides, dim);
      for (int64_t k = 0; k < places.shape[0]; ++k) {
        const int64_t v = index(k * places.strides[0]);
        if (!inside(v, x.shape[dim], k, c)) continue;
        if (rows) {
          float* to = y.ptr<float>() + (o * y.shape[dim] + v) * s.inner;
          const float* p = src.ptr<float>() + from + k * src.strides[dim];
          for (int64_t j = j0; j < j1; ++j) to[j] += p[j];
          continue;
        }
        for (int64_t j = j0; j < j1; ++j) {
          const int64_t at = from + k * src.strides[dim] +
                             offset_of(j, src.shape + dim + 1, src.strides + dim + 1, src.ndim - dim - 1);
          add_at(y, (o * y.shape[dim] + v) * s.inner + j, src, at);
        }
      }
    }
  });
}

}  // namespace SHAKTI_ISA_NS
