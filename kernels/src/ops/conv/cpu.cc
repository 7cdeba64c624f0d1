// 2-D convolution, right first: for every image and group the patches become a matrix (im2col) and the product is a
// plain loop over its rows, vectorised by the compiler. Patch embedding does not come through here: a reshape and a
// product do it.
#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Geometry {
  int64_t n, c, h, w, o, cg, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups, og;
  Geometry(const Args& a, const Operand& x, const Operand& wt, const Operand& y)
      : n(x.shape[0]),
        c(x.shape[1]),
        h(x.shape[2]),
        w(x.shape[3]),
        o(wt.shape[0]),
        cg(wt.shape[1]),
        kh(wt.shape[2]),
        kw(wt.shape[3]),
        oh(y.shape[2]),
        ow(y.shape[3]),
        sh(a.attr_int(0)),
        sw(a.attr_int(1)),
        ph(a.attr_int(2)),
        pw(a.attr_int(3)),
        dh(a.attr_int(4)),
        dw(a.attr_int(5)),
        groups(a.attr_int(6)),
        og(o / groups) {}
  int64_t depth() const { return cg * kh * kw; }
  int64_t places() const { return oh * ow; }
  // Input row of output row i under kernel row k.
  int64_t row(int64_t i, int64_t k) const { return i * sh - ph + k * dh; }
  int64_t column(int64_t j, int64_t k) const { return j * sw - pw + k * dw; }
};

template <class T>
SHAKTI_INLINE T get(const Operand& o, int64_t at) {
  if constexpr (sizeof(T) == 8)
    return o.ptr<double>()[at];
  else {
    if (o.dtype == DType::f32) return o.ptr<float>()[at];
    float v[1];
    gather_f32(v, o, at, 1, 1);
    return v[0];
  }
}
template <class T>
SHAKTI_INLINE void put(const Operand& o, int64_t at, T v) {
  if constexpr (sizeof(T) == 8)
    o.ptr<double>()[at] = v;
  else
    scatter_f32(o, at, &v, 1);
}
SHAKTI_INLINE int64_t at4(const Operand& o, int64_t a, int64_t b, int64_t c, int64_t d) {
  return a * o.strides[0] + b * o.strides[1] + c * o.strides[2] + d * o.strides[3];
}

// columns[depth][places] of image i, group g.
template <class T>
void im2col(const Geometry& q, const Operand& x, int64_t i, int64_t g, T* columns, Context& c) {
  c.parallel_for(q.depth(), 1 + 16384 / q.places(), [&](int64_t begin, int64_t end, int) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t ch = k / (q.kh * q.kw), ky = k / q.kw % q.kh, kx = k % q.kw;
      T* to = columns + k * q.places();
      for (int64_t y = 0; y < q.oh; ++y) {
        for (int64_t z = 0; z < q.ow; ++z) {
          const int64_t r = q.row(y, ky), s = q.column(z, kx);
          *to++ = r >= 0 && r < q.h && s >= 0 && s < q.w ? get<T>(x, at4(x, i, g * q.cg + ch, r, s)) : T{0};
        }
      }
    }
  });
}

template <class T>
void forward(const Args& a, Context& c) {
  const Operand &x = a.in[0], &w = a.in[1], &bias = a.in[2], &y = a.out[0];
  const Geometry q(a, x, w, y);
  T* columns = static_cast<T*>(a.workspace);
  const int64_t p = q.places();
  for (int64_t i = 0; i < q.n; ++i) {
    for (int64_t g = 0; g < q.groups; ++g) {
      im2col(q, x, i, g, columns, c);
      c.parallel_for(q.og, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t o = g * q.og + begin; o < g * q.og + end; ++o) {
          T acc[512];
          for (int64_t first = 0; first < p; first += 512) {
            const int64_t m = p - first < 512 ? p - first : 512;
            const T start = bias.present() ? get<T>(bias, o * bias.strides[0]) : T{0};
            for (int64_t j = 0; j < m; ++j) acc[j] = start;
            for (int64_t k = 0; k < q.depth(); ++k) {
              const T v = get<T>(w, at4(w, o, k / (q.kh * q.kw), k / q.kw % q.kh, k % q.kw));
              const T* from = columns + k * p + first;
              for (int64_t j = 0; j < m; ++j) acc[j] += v * from[j];
            }
            for (int64_t j = 0; j < m; ++j) put<T>(y, (i * q.o + o) * p + first + j, acc[j]);
          }
        }
      });
    }
  }
}

template <class T>
void backward_input(const Args& a, Context& c) {
  const Operand &g = a.in[0], &w = a.in[1], &dx = a.out[0];
  const Geometry q(a, dx, w, g);
  T* sums = static_cast<T*>(a.workspace);
  std::memset(sums, 0, static_cast<size_t>(dx.numel()) * sizeof(T));
  // A task owns an input channel of an image: nothing else adds there.
  c.parallel_for(q.n * q.c, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t / q.c, ch = t % q.c, group = ch / q.cg;
      T* to = sums + t * q.h * q.w;
      for (int64_t o = group * q.og; o < (group + 1) * q.og; ++o) {
        for (int64_t ky = 0; ky < q.kh; ++ky) {
          for (int64_t kx = 0; kx < q.kw; ++kx) {
            const T v = get<T>(w, at4(w, o, ch % q.cg, ky, kx));
            for (int64_t y = 0; y < q.oh; ++y) {
              const int64_t r = q.row(y, ky);
              if (r < 0 || r >= q.h) continue;
              for (int64_t z = 0; z < q.ow; ++z) {
                const int64_t s = q.column(z, kx);
                if (s >= 0 && s < q.w) to[r * q.w + s] += v * get<T>(g, at4(g, i, o, y, z));
              }
            }
          }
        }
      }
      for (int64_t j = 0; j < q.h * q.w; ++j) put<T>(dx, t * q.h * q.w + j, to[j]);
    }
  });
}

template <class T>
void backward_weight(const Args& a, Context& c) {
  const Operand &g = a.in[0], &x = a.in[1], &dw = a.out[0];
  const Geometry q(a, x, dw, g);
  T* sums = static_cast<T*>(a.workspace);
  T* columns = sums + dw.numel();
  const int64_t p = q.places(), depth = q.depth();
  std::memset(sums, 0, static_cast<size_t>(dw.numel()) * sizeof(T));
  for (int64_t i = 0; i < q.n; ++i) {
    for (int64_t group = 0; group < q.groups; ++group) {
      im2col(q, x, i, group, columns, c);
      c.parallel_for(q.og, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t o = group * q.og + begin; o < group * q.og + end; ++o) {
          for (int64_t k = 0; k < depth; ++k) {
            T acc = 0;
            for (int64_t j = 0; j < p; ++j) acc += get<T>(g, at4(g, i, o, j / q.ow, j % q.ow)) * columns[k * p + j];
            sums[o * depth + k] += acc;
          }
        }
      });
    }
  }
  for (int64_t j = 0; j < dw.numel(); ++j) put<T>(dw, j, sums[j]);
}

}  // namespace

#define RUN(name, f)                           \
  void run_##name(const Args& a, Context& c) { \
    if (a.out[0].dtype == DType::f64)          \
      f<double>(a, c);                         \
    else                                       \
      f<float>(a, c);                          \
  }
RUN(conv2d, forward)
RUN(conv2d_backward_input, backward_input)
RUN(conv2d_backward_weight, backward_weight)

}  // namespace SHAKTI_ISA_NS
