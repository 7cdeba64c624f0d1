// Tensor cores: ldmatrix, stmatrix, movmatrix, mma.sync, and wmma as mma.h emits it.
//
// Fragments of mma.sync lie as the PTX manual draws them: with g = lane / 4, t = lane % 4 and p elements in a register,
// register r of A holds row g + 8 * (r % 2), columns p * t + 4 * p * (r / 2) onwards; register r of B the same columns
// of row (that is n) g; C and D hold rows g and g + 8, columns 2 * t and 2 * t + 1. Those of wmma are the machine's
// secret: here each lane has a run of the matrix's elements.
#include <cmath>

#include "matrix.h"

#include "access.h"
#include "families.h"

namespace sim {
namespace {}  // namespace

double widen(Type t, uint32_t x) {
  switch (t) {
    case Type::f16: return from_f16(static_cast<uint16_t>(x));
    case Type::bf16: return from_bf16(static_cast<uint16_t>(x));
    case Type::tf32: return bits<float>(x & 0xFFFFE000u);  // the hardware reads the upper 19 bits
    case Type::f32: return bits<float>(x);
    case Type::s32: return static_cast<int32_t>(x);
    case Type::s8: return static_cast<int8_t>(x);
    case Type::u8: return static_cast<uint8_t>(x);
    case Type::e4m3: return decode(x & 0xFF, kE4m3);
    default: return decode(x & 0xFF, kE5m2);
  }
}

namespace {

float truncated(double x) {  // towards zero
  const float f = static_cast<float>(x);
  if (std::fabs(static_cast<double>(f)) <= std::fabs(x) || !std::isfinite(f)) return f;
  return bits<float>(bits<uint32_t>(f) - 1);
}

// c + a b in f64, one element after another along k: sums of 16-bit products lose nothing that f32 could hold.
template <int n>
void multiply_exact(Matrices& x, int m, int k) {
  for (int i = 0; i < m; ++i) {
    double sum[n];
    for (int j = 0; j < n; ++j) sum[j] = x.c[i][j];
    for (int l = 0; l < k; ++l) {
      const double a = x.a[i][l];
#pragma GCC ivdep
      for (int j = 0; j < n; ++j) sum[j] = __builtin_fma(a, x.b[l][j], sum[j]);
    }
    for (int j = 0; j < n; ++j) x.c[i][j] = sum[j];
  }
}

// What chips have been seen to do (arXiv 2512.07004 and earlier): products of a group along k are aligned to the
// largest exponent among them and the sum so far, cut two bits below f32's last, added exactly, and the sum is cut to
// f32.
void multiply_truncated(Matrices& x, const Shape& s, int group) {
  for (int i = 0; i < s.m; ++i) {
    for (int j = 0; j < s.n; ++j) {
      double sum = x.c[i][j];
      for (int first = 0; first < s.k; first += group) {
        double terms[kMaxK + 1];
        int n = 0, most = -10000;
        terms[n++] = sum;
        for (int l = first; l < std::min(first + group, s.k); ++l) terms[n++] = x.a[i][l] * x.b[l][j];
        bool finite = true;
        for (int q = 0; q < n; ++q) {
          finite &= std::isfinite(terms[q]);
          if (terms[q] != 0 && std::isfinite(terms[q])) most = std::max(most, std::ilogb(terms[q]));
        }
        double total = 0;
        for (int q = 0; q < n; ++q)
          total +=
              finite && most > -10000 ? std::ldexp(std::trunc(std::ldexp(terms[q], 25 - most)), most - 25) : terms[q];
        sum = truncated(total);
      }
      x.c[i][j] = sum;
    }
  }
}

// Sums of a few products at a time, each rounded to f32.
void multiply_chunked(Matrices& x, const Shape& s, int chunk) {
  for (int i = 0; i < s.m; ++i)
    for (int j = 0; j < s.n; ++j) {
      float sum = static_cast<float>(x.c[i][j]);
      for (int first = 0; first < s.k; first += chunk) {
        double part = 0;
        for (int l = first; l < std::min(first + chunk, s.k); ++l) part += x.a[i][l] * x.b[l][j];
        sum = static_cast<float>(static_cast<double>(sum) + part);
      }
      x.c[i][j] = sum;
    }
}

}  // namespace

void count_product(Warp& w, const Shape& s) {
  w.worker->counted.mma += 1;
  w.worker->counted.mma_flop +=
      2ull * static_cast<uint64_t>(s.m) * static_cast<uint64_t>(s.n) * static_cast<uint64_t>(s.k);
}

void multiply(Warp& w, Matrices& x, const Shape& s, bool integers) {
  const auto how = w.grid().options->products;
  if (integers || how == Options::Products::exact) {
    switch (s.n) {
      case 8: return multiply_exact<8>(x, s.m, s.k);
      case 16: return multiply_exact<16>(x, s.m, s.k);
      default: return multiply_exact<32>(x, s.m, s.k);
    }
  }
  if (how == Options::Products::truncate) return multiply_truncated(x, s, 8);
  multiply_chunked(x, s, 4);
}

namespace {

uint32_t narrow(Type t, double x, bool saturate) {
  switch (t) {
    case Type::f16: return encode(x, kF16);
    case Type::f32: return bits<uint32_t>(static_cast<float>(x));
    default:
      if (saturate)
        return static_cast<uint32_t>(static_cast<int32_t>(x > 2147483647.0    ? 2147483647.0
                                                          : x < -2147483648.0 ? -2147483648.0
                                                                              : x));
      return static_cast<uint32_t>(static_cast<int64_t>(x));  // wraps: sums stay far below 2^53
  }
}

unsigned bits_of(Type t) { return t == Type::tf32 ? 32 : ptx::size_of(t) * 8; }

void everybody(Warp& w, uint32_t mask) {
  if (mask != kAll) w.fault("shuffle", "all 32 lanes have to take part.", __builtin_ctz(mask));
}

template <Type t>
void read_a(Warp& w, const Slot* regs, int n, Matrices& x) {
  constexpr int e = t == Type::tf32 ? 32 : t == Type::f16 || t == Type::bf16 ? 16 : 8, p = 32 / e;
  for (int r = 0; r < n; ++r) {
    const uint32_t* v = w.lanes<uint32_t>(regs[r]);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < p; ++i)
        x.a[lane / 4 + 8 * (r & 1)][p * (lane & 3) + i + 4 * p * (r >> 1)] =
            widen(t, e == 32 ? v[lane] : v[lane] >> e * i & ((1u << (e & 31)) - 1));
  }
}
template <Type t>
void read_b(Warp& w, const Slot* regs, int n, Matrices& x) {
  constexpr int e = t == Type::tf32 ? 32 : t == Type::f16 || t == Type::bf16 ? 16 : 8, p = 32 / e;
  for (int r = 0; r < n; ++r) {
    const uint32_t* v = w.lanes<uint32_t>(regs[r]);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < p; ++i)
        x.b[p * (lane & 3) + i + 4 * p * r][lane / 4] =
            widen(t, e == 32 ? v[lane] : v[lane] >> e * i & ((1u << (e & 31)) - 1));
  }
}
void read_ab(Warp& w, Type ta, Type tb, const Slot* regs, const MatrixForm& p, Matrices& x) {
#define EACH(T)                                                  \
  case Type::T:                                                  \
    if (ta == Type::T) read_a<Type::T>(w, regs + p.rd, p.ra, x); \
    break;
  switch (ta) { EACH(f16) EACH(bf16) EACH(tf32) EACH(s8) EACH(u8) EACH(e4m3) EACH(e5m2) default : break; }
#undef EACH
#define EACH(T) \
  case Type::T: read_b<Type::T>(w, regs + p.rd + p.ra, p.rb, x); break;
  switch (tb) { EACH(f16) EACH(bf16) EACH(tf32) EACH(s8) EACH(u8) EACH(e4m3) EACH(e5m2) default : break; }
#undef EACH
}

void mma_run(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  const MatrixForm& p = w.running().forms[in.target];
  Matrices x;
  const Slot* s = in.list;
  read_ab(w, p.a, p.b, s, p, x);
  const Slot* c = s + p.rd + p.ra + p.rb;
  for (int r = 0; r < p.rc; ++r) {
    const uint32_t* v = w.lanes<uint32_t>(c[r]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane & 3;
      if (p.c == Type::f16) {
        x.c[g + 8 * r][2 * t] = from_f16(static_cast<uint16_t>(v[lane]));
        x.c[g + 8 * r][2 * t + 1] = from_f16(static_cast<uint16_t>(v[lane] >> 16));
      } else {
        x.c[g + 8 * (r >> 1)][2 * t + (r & 1)] = widen(p.c, v[lane]);
      }
    }
  }
  count_product(w, {p.m, p.n, p.k});
  multiply(w, x, {p.m, p.n, p.k}, p.c == Type::s32);
  for (int r = 0; r < p.rd; ++r) {
    uint32_t* v = w.lanes<uint32_t>(s[r]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane & 3;
      if (p.d == Type::f16)
        v[lane] = encode(x.c[g + 8 * r][2 * t], kF16) | encode(x.c[g + 8 * r][2 * t + 1], kF16) << 16;
      else
        v[lane] = narrow(p.d, x.c[g + 8 * (r >> 1)][2 * t + (r & 1)], p.saturate);
    }
  }
}

// f64 has a layout of its own: m8n8k4, one element of A and B a lane, two of C.
void mma_f64(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  const double *a = w.lanes<double>(in.list[2]), *b = w.lanes<double>(in.list[3]);
  const double *c0 = w.lanes<double>(in.list[4]), *c1 = w.lanes<double>(in.list[5]);
  double d[2][kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane & 3;
    double s0 = c0[lane], s1 = c1[lane];
    for (int k = 0; k < 4; ++k) {
      s0 = __builtin_fma(a[g * 4 + k], b[2 * t * 4 + k], s0);
      s1 = __builtin_fma(a[g * 4 + k], b[(2 * t + 1) * 4 + k], s1);
    }
    d[0][lane] = s0;
    d[1][lane] = s1;
  }
  w.worker->counted.mma += 1;
  w.worker->counted.mma_flop += 512;
  for (int r = 0; r < 2; ++r) std::memcpy(w.lanes<double>(in.list[r]), d[r], sizeof d[r]);
}

Shape shape_of(Binder& b, std::initializer_list<const char*> known) {
  const std::string s = b.take_one(known);
  if (s.empty()) b.refuse("no shape that is supported");
  Shape r{};
  std::sscanf(s.c_str(), "m%dn%dk%d", &r.m, &r.n, &r.k);
  return r;
}

void gather(Binder& b, std::vector<Slot>& slots, size_t i, int n, Type t, bool results) {
  const Operand& o = b.operand(i);
  const std::vector<Operand> one{o};
  const auto& parts = o.kind == Operand::Kind::vector ? o.parts : one;
  if (static_cast<int>(parts.size()) != n)
    b.refuse("operand " + std::to_string(i + 1) + " has " + std::to_string(parts.size()) + " registers, not " +
             std::to_string(n));
  for (const Operand& p : parts) slots.push_back(results ? b.result(p, t) : b.source(p, t));
}

void warp_wide(Binder& b) {
  if (!b.take("sync") || !b.take("aligned")) b.refuse(".sync.aligned is missing");
  b.out.flow = Flow::sync;
  b.out.op[kMembers] = b.linker.constant(4, kAll);
}

void mma(Binder& b) {
  warp_wide(b);
  if (b.has("sp") || b.has("block_scale")) b.refuse("sparse and scaled products are not supported");
  const Shape s = shape_of(b, {"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32", "m8n8k4"});
  if (!b.take("row") || !b.take("col")) b.refuse("A is by rows, B by columns");
  const bool saturate = b.take("satfinite");
  b.drop({"kind::f8f6f4"});
  const Type d = b.take_type(), ta = b.take_type(), tb = b.take_type(), tc = b.take_type();
  std::vector<Slot> slots;
  if (d == Type::f64) {
    if (s.m != 8) b.refuse("f64 is supported as m8n8k4");
    b.take("rn");
    gather(b, slots, 0, 2, Type::f64, true);
    gather(b, slots, 1, 1, Type::f64, false);
    gather(b, slots, 2, 1, Type::f64, false);
    gather(b, slots, 3, 2, Type::f64, false);
    b.out.list = b.list(std::move(slots));
    return b.set(mma_f64, Class::mma);
  }
  if (s.m != 16) b.refuse("m8n8k4 is supported for f64 alone");
  const bool floats = d == Type::f32 || d == Type::f16;
  const bool sixteen = (ta == Type::f16 || ta == Type::bf16) && ta == tb && (s.k == 8 || s.k == 16);
  const bool tf32 = ta == Type::tf32 && tb == ta && (s.k == 4 || s.k == 8);
  const bool bytes = (ta == Type::s8 || ta == Type::u8) && (tb == Type::s8 || tb == Type::u8) &&
                     (s.k == 16 || s.k == 32) && d == Type::s32 && tc == d;
  const bool fp8 =
      (ta == Type::e4m3 || ta == Type::e5m2) && (tb == Type::e4m3 || tb == Type::e5m2) && (s.k == 32 || s.k == 16);
  if (!bytes && !(floats && (tc == Type::f32 || tc == Type::f16) && (sixteen || tf32 || fp8)))
    b.refuse("no such types for this shape");
  MatrixForm p{};
  p.m = s.m;
  p.n = s.n;
  p.k = s.k;
  p.d = d;
  p.a = ta;
  p.b = tb;
  p.c = tc;
  p.saturate = saturate;
  const int e = static_cast<int>(bits_of(ta));
  p.ra = 16 * s.k * e / 32 / kLanes;
  p.rb = 8 * s.k * e / 32 / kLanes;
  p.rd = d == Type::f16 ? 2 : 4;
  p.rc = tc == Type::f16 ? 2 : 4;
  gather(b, slots, 0, p.rd, Type::b32, true);
  gather(b, slots, 1, p.ra, Type::b32, false);
  gather(b, slots, 2, p.rb, Type::b32, false);
  gather(b, slots, 3, p.rc, Type::b32, false);
  b.out.list = b.list(std::move(slots));
  b.out.target = static_cast<uint32_t>(b.code.forms.size());
  b.code.forms.push_back(p);
  b.set(mma_run, Class::mma);
}

// ---- ldmatrix and stmatrix: rows of 16 bytes, whose addresses lanes 8 k to 8 k + 7 give for matrix k
template <bool trans>
void ldmatrix_run(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  Places p;
  const int n = in.count;
  const uint32_t rows = n == 4 ? kAll : (1u << 8 * n) - 1;
  reach(w, in, rows, Touch::load, 16, &p);
  if (watched(w))
    each(rows & p.shared,
         [&](int i) { watch_load(w, static_cast<uint32_t>(i), static_cast<uint32_t>(p.address[i]), 16, false); });
  for (int k = 0; k < n; ++k) {
    uint32_t* d = w.lanes<uint32_t>(in.list[k]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane & 3;
      if constexpr (trans) {
        uint16_t x[2];
        for (int i = 0; i < 2; ++i) std::memcpy(&x[i], p.at[8 * k + 2 * t + i] + 2 * g, 2);
        d[lane] = x[0] | static_cast<uint32_t>(x[1]) << 16;
      } else {
        std::memcpy(&d[lane], p.at[8 * k + g] + 4 * t, 4);
      }
    }
  }
}
template <bool trans>
void stmatrix_run(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  Places p;
  const int n = in.count;
  const uint32_t rows = n == 4 ? kAll : (1u << 8 * n) - 1;
  reach(w, in, rows, Touch::store, 16, &p);
  each(rows, [&](int row) {
    const uint32_t* s = w.lanes<uint32_t>(in.list[row / 8]);
    uint16_t v[8];
    for (int c = 0; c < 8; ++c) {
      // Element (r, c) of the matrix lies with lane 4 r + c / 2, half c % 2; transposed the other way round.
      const int r = row & 7;
      v[c] = static_cast<uint16_t>(trans ? s[4 * c + r / 2] >> 16 * (r & 1) : s[4 * r + c / 2] >> 16 * (c & 1));
    }
    if (watched(w) && (p.shared >> row & 1) != 0)
      watch_store(w, static_cast<uint32_t>(row), static_cast<uint32_t>(p.address[row]), 16, false, v);
    std::memcpy(p.at[row], v, 16);
  });
}
void matrix_copy(Binder& b) {
  const bool loads = b.in->opcode == "ldmatrix";
  warp_wide(b);
  if (!b.take("m8n8")) b.refuse("only m8n8 is supported");
  const std::string x = b.take_one({"x1", "x2", "x4"});
  if (x.empty()) b.refuse(".x1, .x2 or .x4 is missing");
  const int n = x[1] - '0';
  const bool trans = b.take("trans");
  b.out.space = b.space();
  if (!b.take("b16")) b.refuse("only .b16 is supported");
  b.address(b.operand(loads ? 1 : 0), &b.out.op[1]);
  std::vector<Slot> slots;
  gather(b, slots, loads ? 0 : 1, n, Type::b32, loads);
  b.out.list = b.list(std::move(slots));
  b.out.count = static_cast<uint8_t>(n);
  b.set(loads ? (trans ? ldmatrix_run<true> : ldmatrix_run<false>) : (trans ? stmatrix_run<true> : stmatrix_run<false>),
        Class::shared);
}
void movmatrix_run(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  uint32_t a[kLanes], *d = w.lanes<uint32_t>(in.op[0]);
  std::memcpy(a, w.lanes<uint32_t>(in.op[1]), sizeof a);
  for (int lane = 0; lane < kLanes; ++lane) {
    const int r = lane / 4, c = 2 * (lane & 3);
    const auto element = [&](int row, int column) { return a[4 * row + column / 2] >> 16 * (column & 1) & 0xFFFF; };
    d[lane] = element(c, r) | element(c + 1, r) << 16;
  }
}
void movmatrix(Binder& b) {
  warp_wide(b);
  if (!b.take("m8n8") || !b.take("trans") || !b.take("b16")) b.refuse("only .m8n8.trans.b16 is known");
  b.set(movmatrix_run, Class::move);
  b.out.op[0] = b.result(0, Type::b32);
  b.out.op[1] = b.source(1, Type::b32);
}

// ---- wmma
int elements(const MatrixForm& f) { return f.m * f.n / kLanes; }
// Where element i of a lane lies: its register and its bits.
unsigned element_bits(Type t) { return t == Type::tf32 || t == Type::f32 || t == Type::s32 ? 32 : bits_of(t); }

void wmma_load(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  const MatrixForm& f = w.running().forms[in.target];
  const unsigned bits = element_bits(f.a), bytes = bits / 8, per = 32 / bits;
  const int n = elements(f);
  uint32_t values[kLanes][32] = {};
  for (int i = 0; i < n; ++i) {
    Places p;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int e = lane * n + i, r = e / f.n, c = e % f.n;
      const uint64_t stride = w.lanes<uint32_t>(in.op[2])[lane];
      const uint64_t base = in.wide_address ? w.lanes<uint64_t>(in.op[1])[lane] : w.lanes<uint32_t>(in.op[1])[lane];
      const uint64_t at = f.by_rows ? static_cast<uint64_t>(r) * stride + static_cast<uint64_t>(c)
                                    : static_cast<uint64_t>(c) * stride + static_cast<uint64_t>(r);
      p.address[lane] = base + static_cast<uint64_t>(in.offset) + at * bytes;
    }
    reach_at(w, in.space, mask, Touch::load, bytes, &p);
    if (p.shared != 0 && watched(w))
      each(p.shared, [&](int lane) {
        watch_load(w, static_cast<uint32_t>(lane), static_cast<uint32_t>(p.address[lane]), bytes, false);
      });
    for (int lane = 0; lane < kLanes; ++lane) std::memcpy(&values[lane][i], p.at[lane], bytes);
  }
  // Fragments with more room than elements hold them twice.
  for (int r = 0; r < f.ra; ++r) {
    uint32_t* d = w.lanes<uint32_t>(in.list[r]);
    for (int lane = 0; lane < kLanes; ++lane) {
      uint32_t v = 0;
      for (unsigned k = 0; k < per; ++k)
        v |= values[lane][(static_cast<unsigned>(r) * per + k) % static_cast<unsigned>(n)] << (k * bits & 31);
      d[lane] = v;
    }
  }
}
void wmma_store(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  const MatrixForm& f = w.running().forms[in.target];
  const unsigned bits = element_bits(f.a), bytes = bits / 8, per = 32 / bits;
  const int n = elements(f);
  for (int i = 0; i < n; ++i) {
    Places p;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int e = lane * n + i, r = e / f.n, c = e % f.n;
      const uint64_t stride = w.lanes<uint32_t>(in.op[2])[lane];
      const uint64_t base = in.wide_address ? w.lanes<uint64_t>(in.op[1])[lane] : w.lanes<uint32_t>(in.op[1])[lane];
      const uint64_t at = f.by_rows ? static_cast<uint64_t>(r) * stride + static_cast<uint64_t>(c)
                                    : static_cast<uint64_t>(c) * stride + static_cast<uint64_t>(r);
      p.address[lane] = base + static_cast<uint64_t>(in.offset) + at * bytes;
    }
    reach_at(w, in.space, mask, Touch::store, bytes, &p);
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint32_t v = w.lanes<uint32_t>(in.list[static_cast<unsigned>(i) / per])[lane] >>
                         (static_cast<unsigned>(i) % per * bits & 31);
      if ((p.shared >> lane & 1) != 0 && watched(w))
        watch_store(w, static_cast<uint32_t>(lane), static_cast<uint32_t>(p.address[lane]), bytes, false, &v);
      if ((p.global >> lane & 1) != 0) watch_global_store(w, static_cast<uint32_t>(lane), p.address[lane], bytes, &v);
      std::memcpy(p.at[lane], &v, bytes);
    }
  }
}
template <class To>
void spread(Warp& w, const Slot* regs, int rows, int columns, Type t, To to) {
  const unsigned bits = element_bits(t), per = 32 / bits;
  const int n = rows * columns / kLanes;
  for (int i = 0; i < n; ++i) {
    const uint32_t* v = w.lanes<uint32_t>(regs[static_cast<unsigned>(i) / per]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int e = lane * n + i;
      uint32_t x = v[lane] >> (static_cast<unsigned>(i) % per * bits & 31);
      if (bits < 32) x &= (1u << bits) - 1;
      to(e / columns, e % columns, widen(t, x));
    }
  }
}
void wmma_mma(Warp& w, const Inst& in, uint32_t mask) {
  everybody(w, mask);
  const MatrixForm& p = w.running().forms[in.target];
  Matrices x;
  const Slot* s = in.list;
  spread(w, s + p.rd, p.m, p.k, p.a, [&](int r, int c, double v) { x.a[r][c] = v; });
  spread(w, s + p.rd + p.ra, p.k, p.n, p.b, [&](int r, int c, double v) { x.b[r][c] = v; });
  spread(w, s + p.rd + p.ra + p.rb, p.m, p.n, p.c, [&](int r, int c, double v) { x.c[r][c] = v; });
  count_product(w, {p.m, p.n, p.k});
  multiply(w, x, {p.m, p.n, p.k}, p.c == Type::s32);
  const unsigned bits = element_bits(p.d), per = 32 / bits;
  const int n = p.m * p.n / kLanes;
  for (int r = 0; r < p.rd; ++r) {
    uint32_t* d = w.lanes<uint32_t>(s[r]);
    for (int lane = 0; lane < kLanes; ++lane) {
      uint32_t v = 0;
      for (unsigned k = 0; k < per; ++k) {
        const int e = lane * n + static_cast<int>(static_cast<unsigned>(r) * per + k);
        v |= narrow(p.d, x.c[e / p.n][e % p.n], p.saturate) << (k * bits & 31);
      }
      d[lane] = v;
    }
  }
}

int wmma_registers(Type t, int rows, int columns, bool accumulator) {
  if (accumulator) return t == Type::f16 ? 4 : 8;
  if (t == Type::f16) return 8;
  return rows * columns / kLanes * static_cast<int>(element_bits(t)) / 32;
}

void wmma(Binder& b) {
  const std::string what = b.take_one({"load", "store", "mma"});
  if (what.empty()) b.refuse("no form that is known");
  const std::string which = what == "mma" ? "" : b.take_one({"a", "b", "c", "d"});
  warp_wide(b);
  const std::initializer_list<const char*> shapes = {"m16n16k16", "m32n8k16", "m8n32k16", "m16n16k8"};
  if (what == "mma") {
    if (b.take_one({"row", "col"}).empty() || b.take_one({"row", "col"}).empty()) b.refuse("layouts are missing");
    const Shape s = shape_of(b, shapes);
    const bool saturate = b.take("satfinite");
    b.take("rn");
    std::vector<Type> types;
    for (const auto& m : b.in->modifiers)
      if (ptx::type_of(m) != Type::none) types.push_back(b.take_type());
    MatrixForm p{};
    p.m = s.m;
    p.n = s.n;
    p.k = s.k;
    p.saturate = saturate;
    if (types.size() == 2) {  // f16: only D and C are named
      p.d = types[0];
      p.c = types[1];
      p.a = p.b = Type::f16;
    } else if (types.size() == 4) {
      p.d = types[0];
      p.a = types[1];
      p.b = types[2];
      p.c = types[3];
    } else {
      b.refuse("two or four types are needed");
    }
    p.ra = wmma_registers(p.a, s.m, s.k, false);
    p.rb = wmma_registers(p.b, s.k, s.n, false);
    p.rc = wmma_registers(p.c, s.m, s.n, true);
    p.rd = wmma_registers(p.d, s.m, s.n, true);
    std::vector<Slot> slots;
    gather(b, slots, 0, p.rd, Type::b32, true);
    gather(b, slots, 1, p.ra, Type::b32, false);
    gather(b, slots, 2, p.rb, Type::b32, false);
    gather(b, slots, 3, p.rc, Type::b32, false);
    b.out.list = b.list(std::move(slots));
    b.out.target = static_cast<uint32_t>(b.code.forms.size());
    b.code.forms.push_back(p);
    return b.set(wmma_mma, Class::mma);
  }
  const std::string layout = b.take_one({"row", "col"});
  const Shape s = shape_of(b, shapes);
  b.out.space = b.space();
  const Type t = b.take_type();
  if (layout.empty() || which.empty()) b.refuse("a layout or a matrix is missing");
  MatrixForm f{};
  f.m = which == "b" ? s.k : s.m;
  f.n = which == "a" ? s.k : s.n;
  f.a = t;
  f.by_rows = layout == "row";
  f.ra = wmma_registers(t, f.m, f.n, which == "c" || which == "d");
  const bool loads = what == "load";
  b.address(b.operand(loads ? 1 : 0), &b.out.op[1]);
  std::vector<Slot> slots;
  gather(b, slots, loads ? 0 : 1, f.ra, Type::b32, loads);
  b.out.list = b.list(std::move(slots));
  b.out.op[2] =
      b.operands() > 2 ? b.source(2, Type::u32) : b.linker.constant(4, static_cast<uint64_t>(f.by_rows ? f.n : f.m));
  b.out.target = static_cast<uint32_t>(b.code.forms.size());
  b.code.forms.push_back(f);
  b.code.global_granule = std::min(b.code.global_granule, element_bits(t) / 8);
  if (b.out.space != Space::global) b.code.granule = std::min(b.code.granule, element_bits(t) / 8);
  b.set(loads ? wmma_load : wmma_store, Class::mma);
}

}  // namespace

const Row kMatrixRows[] = {
    {"mma", mma},   {"ldmatrix", matrix_copy}, {"stmatrix", matrix_copy}, {"movmatrix", movmatrix},
    {"wmma", wmma}, {"wgmma", wgmma},          {nullptr, nullptr}};

}  // namespace sim
