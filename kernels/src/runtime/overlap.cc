#include "overlap.h"

#include <algorithm>

namespace shakti {
namespace {

// One unknown of sum(c[i] * stride[i]) == distance: a whole number between low and high.
struct Term {
  int64_t stride, low, high;
};

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0)); }

// Depth first from the largest stride. For the strides of views of one tensor each level leaves one or two
// candidates; the budget bounds contrived ones, which count as overlapping.
bool solvable(const Term* term, int n, int64_t distance, int* budget) {
  if (n == 0) return distance == 0;
  if (--*budget < 0) return true;
  int64_t low = 0, high = 0;  // what the smaller strides can add
  for (int i = 1; i < n; ++i) {
    low += term[i].low * term[i].stride;
    high += term[i].high * term[i].stride;
  }
  const int64_t first = std::max(term->low, -floor_div(high - distance, term->stride));
  const int64_t last = std::min(term->high, floor_div(distance - low, term->stride));
  for (int64_t c = first; c <= last; ++c) {
    if (solvable(term + 1, n - 1, distance - c * term->stride, budget)) return true;
  }
  return false;
}

}  // namespace

const char* end_of(const Operand& view) {
  int64_t last = 0;
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return view.ptr<const char>();
    last += (view.shape[d] - 1) * view.strides[d];
  }
  return view.ptr<const char>() + (last + 1) * static_cast<int64_t>(dtype_size(view.dtype));
}

bool same_view(const Operand& a, const Operand& b) {
  if (a.data != b.data || a.dtype != b.dtype || a.ndim != b.ndim) return false;
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] != b.shape[d] || (a.shape[d] > 1 && a.strides[d] != b.strides[d])) return false;
  }
  return true;
}

bool overlaps_itself(const Operand& view) {
  if (view.contiguous()) return false;
  int order[kMaxDims];  // by stride
  int n = 0;
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return false;
    if (view.shape[d] == 1) continue;
    int i = n++;
    for (; i > 0 && view.strides[order[i - 1]] > view.strides[d]; --i) order[i] = order[i - 1];
    order[i] = d;
  }
  // Each stride must step over all that the smaller ones reach.
  int64_t reach = 0;
  for (int i = 0; i < n; ++i) {
    if (view.strides[order[i]] <= reach) return true;
    reach += (view.shape[order[i]] - 1) * view.strides[order[i]];
  }
  return false;
}

bool overlap(const Operand& a, const Operand& b) {
  const char *a0 = a.ptr<const char>(), *b0 = b.ptr<const char>();
  const char *a1 = end_of(a), *b1 = end_of(b);
  if (a0 == a1 || b0 == b1 || a1 <= b0 || b1 <= a0) return false;
  // a0 + sum(i * stride) == b0 + sum(j * stride), with a byte within the element on either side.
  Term terms[2 * kMaxDims + 1];
  int n = 0;
  const auto add = [&](int64_t stride, int64_t low, int64_t high) {
    for (int i = 0; i < n; ++i) {
      if (terms[i].stride != stride) continue;
      terms[i].low += low;
      terms[i].high += high;
      return;
    }
    terms[n++] = {stride, low, high};
  };
  const int64_t a_size = static_cast<int64_t>(dtype_size(a.dtype)), b_size = static_cast<int64_t>(dtype_size(b.dtype));
  add(1, 1 - b_size, a_size - 1);
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] > 1 && a.strides[d] > 0) add(a.strides[d] * a_size, 0, a.shape[d] - 1);
  }
  for (int d = 0; d < b.ndim; ++d) {
    if (b.shape[d] > 1 && b.strides[d] > 0) add(b.strides[d] * b_size, 1 - b.shape[d], 0);
  }
  std::sort(terms, terms + n, [](const Term& x, const Term& y) { return x.stride > y.stride; });
  int budget = 4096;
  return solvable(terms, n, b0 - a0, &budget);
}

}  // namespace shakti
