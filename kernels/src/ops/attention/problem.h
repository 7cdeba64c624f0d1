// What is asked: sizes, and which keys each query may look at.
#pragma once
#include "../../simd/vec.h"
#include "split.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kKeys = attention::kKeysOfBlock;
constexpr int64_t kMaxDim = 512;  // of a head, as the check demands
constexpr float kLog2E = 1.44269504088896341f;

// Keys [begin, end).
struct Range {
  int64_t begin, end;

  bool empty() const { return begin >= end; }
  bool operator==(Range o) const { return begin == o.begin && end == o.end; }
};

Range common(Range a, Range b) { return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end}; }

// The least that holds both; a range from the last key to 0 holds nothing.
Range hull(Range a, Range b) { return {a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end}; }

struct Problem {
  const Operand *q, *k, *v, *mask, *cu_q, *cu_k;
  const Operand *k_scale = nullptr, *v_scale = nullptr;  // of keys and values in bytes
  int64_t b, lq, lk, h, hk, d, dp, window;
  float scale;
  bool causal;

  Problem(const Operand& q_, const Operand& k_, const Operand& v_, const Operand& m, const Operand& cq,
          const Operand& ck, const Args& a)
      : q(&q_), k(&k_), v(&v_), mask(&m), cu_q(&cq), cu_k(&ck) {
    b = q_.shape[0];
    lq = q_.shape[1];
    h = q_.shape[2];
    d = q_.shape[3];
    lk = k_.shape[1];
    hk = k_.shape[2];
    dp = (d + W - 1) / W * W;
    scale = static_cast<float>(a.attr(0));
    causal = a.attr_bool(1);
    window = a.attr_int(2);
  }

  bool bytes() const { return k_scale != nullptr; }

  // @param room keys may follow that no sequence has: lk then is where they begin
  bool check(Context& c, bool room) {
    if (!cu_q->present()) return true;
    for (int side = 0; side < 2; ++side) {
      const Operand* cu = side == 0 ? cu_q : cu_k;
      const int32_t* p = cu->ptr<int32_t>();
      const int64_t n = cu->shape[0], length = cu == cu_q ? lq : lk;
      bool ok = p[0] == 0 && (room && side == 1 ? p[n - 1] <= length : p[n - 1] == length);
      for (int64_t i = 1; i < n; ++i) ok = ok && p[i] >= p[i - 1];
      if (!ok) {
        c.fail("%s must ascend from 0 to %lld", cu == cu_q ? "cu_q" : "cu_k", static_cast<long long>(length));
        return false;
      }
      if (side == 1) lk = p[n - 1];
    }
    return true;
  }

  // That query i may look at, by causality, window and packing.
  Range keys(int64_t i) const {
    int64_t q0 = 0, q1 = lq, k0 = 0, k1 = lk;
    if (cu_q->present()) {
      const int32_t* p = cu_q->ptr<int32_t>();
      int64_t low = 0, high = cu_q->shape[0] - 2;
      while (low < high) {
        const int64_t mid = (low + high) / 2;
        if (p[mid + 1] > i)
          high = mid;
        else
          low = mid + 1;
      }
      q0 = p[low];
      q1 = p[low + 1];
      k0 = cu_k->ptr<int32_t>()[low];
      k1 = cu_k->ptr<int32_t>()[low + 1];
    }
    if (!causal) return {k0, k1};
    const int64_t last = k0 + (i - q0) + (k1 - k0) - (q1 - q0);
    const int64_t first = window > 0 ? last - window + 1 : k0;
    return {first > k0 ? first : k0, last + 1 < k1 ? last + 1 : k1};
  }
};

SHAKTI_INLINE int64_t row_at(const Operand& o, int64_t b, int64_t l, int64_t h) {
  return b * o.strides[0] + l * o.strides[1] + h * o.strides[2];
}

// Keys that some of a few queries may look at, and that each of them may.
struct Sight {
  Range any, all;
};
Sight sight(const Problem& p, int64_t first, int64_t n) {
  Sight s{{p.lk, 0}, {0, p.lk}};
  for (int64_t i = first; i < first + n; ++i) {
    const Range r = p.keys(i);
    s.all = common(s.all, r);
    if (!r.empty()) s.any = hull(s.any, r);
  }
  return s;
}

// Columns [c0, c1) of a row, whole vectors: `low` outside of [begin, end).
SHAKTI_INLINE void clip(int64_t begin, int64_t end, int64_t c0, int64_t c1, float low, float* row) {
  vi lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
  const auto near = [&](int64_t at) { return splat_i(static_cast<int32_t>(at < c0 ? c0 : at > c1 ? c1 : at)); };
  const vi first = near(begin), last = near(end);
  for (int64_t j = c0; j < c1; j += W) {
    const vi at = lane + static_cast<int32_t>(j);
    store(row + j, select((at >= first) & (at < last), load(row + j), splat(low)));
  }
}

// Scores are kept as powers of two: s[j] is score * log2(e) of key k0 + j, j in [c0, c1). Adds the mask, and puts -inf
// where the query may not look and behind the n keys that there are.
void apply_mask(const Problem& p, int64_t b, int64_t h, int64_t i, Range r, int64_t k0, int64_t n, int64_t c0,
                int64_t c1, float* s) {
  const float low = -__builtin_inff();
  clip(r.begin - k0, r.end - k0, c0, c1, low, s);
  if (!p.mask->present()) return;
  const Operand& m = *p.mask;
  const int64_t at = b * m.strides[0] + h * m.strides[1] + i * m.strides[2] + k0 * m.strides[3];
  const int64_t last = c1 < n ? c1 : n;
  if (m.dtype == DType::boolean) {
    for (int64_t j = c0; j < last; ++j) {
      if (!m.ptr<uint8_t>()[at + j * m.strides[3]]) s[j] = low;
    }
  } else if (last > c0) {
    float row[kKeys];
    gather_f32(row, m, at + c0 * m.strides[3], m.strides[3], last - c0);
    for (int64_t j = c0; j < last; ++j) s[j] += row[j - c0] * kLog2E;
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
