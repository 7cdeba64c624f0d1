// Sorting along the last dimension: every element becomes an unsigned key whose order is the wanted one (floats with
// their sign bits folded, NaN above all), then a stable merge sort of (key, place) pairs. topk sorts and keeps the
// first k.
#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Item {
  uint64_t key;
  int64_t place;
};

SHAKTI_INLINE uint64_t key_of(double v) {
  if (v != v) return ~uint64_t{0};
  v = v == 0 ? 0.0 : v;  // -0 and 0 are equal
  uint64_t u;
  std::memcpy(&u, &v, 8);
  return u >> 63 ? ~u : u | uint64_t{1} << 63;
}

SHAKTI_INLINE uint64_t key_at(const Operand& x, int64_t at) {
  switch (x.dtype) {
    case DType::f64: return key_of(x.ptr<double>()[at]);
    case DType::i32: return static_cast<uint64_t>(int64_t{x.ptr<int32_t>()[at]}) ^ uint64_t { 1 } << 63;
    case DType::i64: return static_cast<uint64_t>(x.ptr<int64_t>()[at]) ^ uint64_t { 1 } << 63;
    case DType::u8:
    case DType::boolean: return x.ptr<uint8_t>()[at];
    default: {
      float v[1];
      gather_f32(v, x, at, 1, 1);
      return key_of(static_cast<double>(v[0]));
    }
  }
}

// Stable; `descending` reverses the order of keys, not of equals. Returns where the result is.
Item* merge_sort(Item* a, Item* b, int64_t n, bool descending) {
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t i = 0; i < n; i += 2 * width) {
      const int64_t mid = i + width < n ? i + width : n, end = i + 2 * width < n ? i + 2 * width : n;
      int64_t l = i, r = mid;
      for (int64_t k = i; k < end; ++k) {
        const bool left = l < mid && (r >= end || (descending ? a[l].key >= a[r].key : a[l].key <= a[r].key));
        b[k] = left ? a[l++] : a[r++];
      }
    }
    Item* t = a;
    a = b;
    b = t;
  }
  return a;
}

void order(const Args& a, Context& c, bool descending) {
  const Operand &x = a.in[0], &values = a.out[0];
  const int64_t n = x.size(-1), k = values.size(-1), rows = x.numel() / n;
  auto* space = static_cast<Item*>(a.workspace);
  c.parallel_for(rows, 1 + 4096 / n, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      Item* mine = space + r * n;
      const int64_t at = offset_of(r, x.shape, x.strides, x.ndim - 1);
      for (int64_t i = 0; i < n; ++i) mine[i] = {key_at(x, at + i * x.stride(-1)), i};
      const Item* sorted = merge_sort(mine, space + rows * n + r * n, n, descending);
      for (int64_t i = 0; i < k; ++i) {
        const int64_t from = at + sorted[i].place * x.stride(-1), to = r * k + i;
        a.out[1].ptr<int32_t>()[to] = static_cast<int32_t>(sorted[i].place);
        switch (dtype_size(x.dtype)) {
          case 8: values.ptr<uint64_t>()[to] = x.ptr<uint64_t>()[from]; break;
          case 4: values.ptr<uint32_t>()[to] = x.ptr<uint32_t>()[from]; break;
          case 2: values.ptr<uint16_t>()[to] = x.ptr<uint16_t>()[from]; break;
          default: values.ptr<uint8_t>()[to] = x.ptr<uint8_t>()[from];
        }
      }
    }
  });
}

}  // namespace

void run_sort(const Args& a, Context& c) { order(a, c, a.attr_bool(0)); }
void run_topk(const Args& a, Context& c) { order(a, c, a.attr_bool(0)); }

}  // namespace SHAKTI_ISA_NS
