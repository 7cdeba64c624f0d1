// wgmma: products of a warpgroup, whose operands lie in shared memory (the first may lie in registers). Each of the
// four warps computes its own 16 rows when it issues the product. Until its wgmma.wait_group the sums belong to the
// product, and what shared memory holds must not change: it is read a second time then.
//
// How an operand lies, by its descriptor: chunks of 16 bytes, whose place is mixed by the address alone (the swizzle).
// Along k: lines of the swizzle's width, one for each row, eight to a group, groups the stride offset apart; without a
// swizzle groups of eight lines of 16 bytes, the next 16 bytes of k the leading offset on. Along m or n: lines for each
// k, eight to a group, the groups the stride offset apart and the next width of m or n the leading offset on; without a
// swizzle the other way round.
#include <cstring>

#include "access.h"
#include "families.h"
#include "matrix.h"
#include "registers.h"

namespace sim {
namespace {

constexpr uint32_t kChunk = 16;
enum Mode : uint16_t { kTransposedA = 1, kTransposedB = 2, kNegatedA = 4, kNegatedB = 8, kRegistersA = 16 };

struct Descriptor {
  uint32_t start, leading, stride, width;  // width of a line: 16 without a swizzle
  explicit Descriptor(uint64_t d)
      : start(static_cast<uint32_t>(d & 0x3FFF) << 4),
        leading(static_cast<uint32_t>(d >> 16 & 0x3FFF) << 4),
        stride(static_cast<uint32_t>(d >> 32 & 0x3FFF) << 4),
        width(d >> 62 == 0 ? 16 : 256u >> (d >> 62)) {}
  // Of chunk c of the line: along k, `line` counts rows; else k.
  uint32_t at(bool transposed, uint32_t line, uint32_t c) const {
    const uint32_t wide = width / kChunk;
    uint32_t x = start + line % 8 * width;
    if (width != 16)
      x += line / 8 * stride + c % wide * kChunk + c / wide * (transposed ? leading : width);
    else
      x += transposed ? line / 8 * leading + c * stride : line / 8 * stride + c * leading;
    return x ^ (x >> 3 & (width - 16));
  }
};

// An operand's bytes, chunk by chunk, line by line: `rows` from `first` on, `k` bytes or lines deep.
void fetch(Warp& w, uint64_t descriptor, bool transposed, uint32_t first, uint32_t rows, uint32_t k, unsigned bytes,
           std::vector<char>* to) {
  const Descriptor d(descriptor);
  if ((descriptor >> 49 & 7) != 0) w.fault("unsupported", "a matrix descriptor with a base offset.", 0);
  const uint32_t lines = transposed ? k : rows, chunks = (transposed ? rows : k) * bytes / kChunk;
  const uint32_t first_line = transposed ? 0 : first, first_chunk = transposed ? first * bytes / kChunk : 0;
  for (uint32_t l = 0; l < lines; ++l)
    for (uint32_t c = 0; c < chunks; ++c) {
      const uint32_t at = d.at(transposed, first_line + l, first_chunk + c);
      reach_shared_range(w, 0, at, kChunk, Touch::load);
      to->insert(to->end(), w.block->shared.data() + at, w.block->shared.data() + at + kChunk);
    }
}

// Where element (row, k) lies among the bytes.
uint32_t place(bool transposed, uint32_t row, uint32_t k, uint32_t rows, uint32_t depth, unsigned bytes) {
  return (transposed ? k * rows + row : row * depth + k) * bytes;
}

double element(const char* at, Type t, unsigned bytes) {
  uint32_t x = 0;
  std::memcpy(&x, at, bytes);
  return widen(t, x);
}

// The rows of this warp, and all of b.
std::vector<char> fetch_all(Warp& w, const Inst& in, const MatrixForm& f, uint64_t a, uint64_t b) {
  const unsigned bytes = ptx::size_of(f.a);
  const auto k = static_cast<uint32_t>(f.k);
  std::vector<char> all;
  if ((in.mode & kRegistersA) == 0) fetch(w, a, (in.mode & kTransposedA) != 0, w.index % 4 * 16, 16, k, bytes, &all);
  fetch(w, b, (in.mode & kTransposedB) != 0, 0, static_cast<uint32_t>(f.n), k, bytes, &all);
  return all;
}

// The four warps have to do the same.
void agree(Warp& w, const Inst& in, uint64_t a, uint64_t b) {
  Block& block = *w.block;
  Warpgroup& g = block.warpgroups[w.index / 4];
  const uint32_t first = w.index / 4 * 4;
  if (first + 4 > block.warps.size()) w.fault("barrier", "a warpgroup has four warps; the block ends before that.", 0);
  uint32_t least = UINT32_MAX, most = 0;
  for (uint32_t i = first; i < first + 4; ++i) {
    if (i != w.index) least = std::min(least, block.warps[i].products_issued);
    most = std::max(most, block.warps[i].products_issued);
  }
  const uint32_t mine = w.products_issued++;
  const auto start = most - static_cast<uint32_t>(g.issued.size());  // number of the first that is kept
  if (mine == most) {
    g.issued.push_back({&in, a, b});
  } else {
    const Warpgroup::Issue& other = g.issued[mine - start];
    if (other.inst != &in || other.a != a || other.b != b)
      w.fault("barrier",
              "another warp of the warpgroup has executed the product at line " + std::to_string(other.inst->line) +
                  (other.inst == &in ? " with other descriptors." : " in its place."),
              0);
  }
  // What all have issued goes.
  const uint32_t all = std::min(least, w.products_issued), now = std::max(most, w.products_issued);
  const uint32_t kept = now - all;
  if (g.issued.size() > kept) g.issued.erase(g.issued.begin(), g.issued.end() - static_cast<std::ptrdiff_t>(kept));
}

uint64_t uniform(Warp& w, Slot s) {
  const uint64_t* x = w.lanes<uint64_t>(s);
  for (int i = 1; i < kLanes; ++i)
    if (x[i] != x[0]) w.fault("barrier", "the lanes give different matrix descriptors.", i);
  return x[0];
}

void issue(Warp& w, const Inst& in, uint32_t mask) {
  if (mask != kAll) w.fault("shuffle", "all 32 lanes have to take part.", __builtin_ctz(mask));
  const Code& code = w.running();
  const MatrixForm& f = code.forms[in.target];
  const Code::Touches& holds = code.touches.at(static_cast<uint32_t>(&in - code.inst.data()));
  for (const auto* list : {&holds.written, &holds.read})
    for (uint16_t x : *list)
      if (w.unfenced[x] != 0)
        w.fault("race", "a register of the product was accessed, and no wgmma.fence stands between.", 0);
  const bool registers = (in.mode & kRegistersA) != 0;
  const uint64_t a = registers ? 0 : uniform(w, in.op[1]), b = uniform(w, in.op[2]);
  agree(w, in, a, b);

  AsyncProduct p{&in, &holds, w.product_groups, a, b, fetch_all(w, in, f, a, b)};
  const unsigned bytes = ptx::size_of(f.a);
  const auto k = static_cast<uint32_t>(f.k), n = static_cast<uint32_t>(f.n);
  const char* from_b = p.saw.data() + (registers ? 0 : size_t{16} * k * bytes);
  Matrices x;
  if (registers) {
    // As in mma.sync: register r holds row lane / 4 + 8 (r % 2), 4 bytes of k at 4 (lane % 4) + 16 (r / 2).
    for (int r = 0; r < f.ra; ++r) {
      const uint32_t* v = w.lanes<uint32_t>(in.list[f.rd + r]);
      for (int lane = 0; lane < kLanes; ++lane)
        for (unsigned i = 0; i < 4 / bytes; ++i)
          x.a[lane / 4 + 8 * (r & 1)]
             [(static_cast<unsigned>(lane & 3) * 4 + static_cast<unsigned>(r >> 1) * 16) / bytes + i] =
              widen(f.a, bytes == 4 ? v[lane] : v[lane] >> 8 * bytes * i & ((1u << 8 * bytes) - 1));
    }
  } else {
    for (uint32_t i = 0; i < 16; ++i)
      for (uint32_t l = 0; l < k; ++l)
        x.a[i][l] = element(p.saw.data() + place((in.mode & kTransposedA) != 0, i, l, 16, k, bytes), f.a, bytes);
  }
  if ((in.mode & kNegatedA) != 0)
    for (auto& row : x.a)
      for (double& v : row) v = -v;
  const bool add = (w.predicate(in.op[3]) & 1) != 0;
  count_product(w, {16, f.n, f.k});
  for (uint32_t first = 0; first < n; first += 32) {
    const uint32_t columns = std::min(32u, n - first);
    for (uint32_t l = 0; l < k; ++l)
      for (uint32_t j = 0; j < columns; ++j) {
        const double v = element(from_b + place((in.mode & kTransposedB) != 0, first + j, l, n, k, bytes), f.b, bytes);
        x.b[l][j] = (in.mode & kNegatedB) != 0 ? -v : v;
      }
    for (uint32_t l = 0; l < k && columns < 32; ++l) std::fill(x.b[l] + columns, x.b[l] + 32, 0.0);
    // Registers 4 j ...: rows lane / 4 and that + 8, columns 8 j + 2 (lane % 4) and + 1.
    const auto each_sum = [&](auto body) {
      for (uint32_t j = 0; j < columns / 8; ++j)
        for (int r = 0; r < 4; ++r) {
          auto* v = w.lanes<float>(in.list[(first / 8 + j) * 4 + static_cast<uint32_t>(r)]);
          for (int lane = 0; lane < kLanes; ++lane)
            body(v[lane], x.c[lane / 4 + 8 * (r >> 1)][8 * j + 2 * static_cast<uint32_t>(lane & 3) + (r & 1)]);
        }
    };
    for (int i = 0; i < 16; ++i) std::fill(x.c[i], x.c[i] + 32, 0.0);
    if (add) each_sum([](float v, double& c) { c = static_cast<double>(v); });
    multiply(w, x, {16, 32, f.k}, false);
    each_sum([](float& v, double c) { v = static_cast<float>(c); });
  }
  w.products.push_back(std::move(p));
}

void begin(Warp& w, const Inst&, uint32_t) { std::fill(w.unfenced.begin(), w.unfenced.end(), uint8_t{0}); }
void commit(Warp& w, const Inst&, uint32_t) { ++w.product_groups; }
void wait(Warp& w, const Inst& in, uint32_t) {
  std::vector<AsyncProduct> left;
  std::vector<AsyncProduct> all = std::move(w.products);
  w.products.clear();
  for (AsyncProduct& p : all) {
    if (static_cast<uint64_t>(p.group) + in.target >= w.product_groups) {
      left.push_back(std::move(p));
      continue;
    }
    if (fetch_all(w, *p.inst, w.running().forms[p.inst->target], p.a, p.b) != p.saw)
      w.fault("race",
              "shared memory that the product (wgmma) at line " + std::to_string(p.inst->line) +
                  " reads has changed before it was waited for.",
              0);
  }
  w.products = std::move(left);
}

}  // namespace

void wgmma(Binder& b) {
  const std::string what = b.take_one({"fence", "commit_group", "wait_group", "mma_async"});
  if (what.empty()) b.refuse("no form that is known");
  b.want_sm_90a();
  if (b.take("sp")) b.refuse("sparse products are not supported");
  if (!b.function.entry)
    b.refuse("products of warpgroups are supported in kernels alone, not in functions that they call");
  if (!b.take("sync") || !b.take("aligned")) b.refuse(".sync.aligned is missing");
  b.code.asynchronous = true;
  b.out.flow = Flow::sync;
  b.out.op[kMembers] = b.linker.constant(4, kAll);
  if (what == "fence") return b.set(begin, Class::mma);
  if (what == "commit_group") return b.set(commit, Class::mma);
  if (what == "wait_group") {
    if (b.operand(0).kind != Operand::Kind::integer) b.refuse("the number of groups has to be a constant");
    b.out.target = static_cast<uint32_t>(b.operand(0).value);
    return b.set(wait, Class::mma);
  }
  MatrixForm f{};
  std::string shape;
  for (const std::string& m : b.in->modifiers)
    if (m.rfind("m64n", 0) == 0) shape = m;
  if (shape.empty() || !b.take(shape.c_str()) || std::sscanf(shape.c_str(), "m%dn%dk%d", &f.m, &f.n, &f.k) != 3)
    b.refuse("no shape that is supported");
  f.d = f.c = b.take_type();
  f.a = b.take_type();
  f.b = b.take_type();
  const bool sixteen = (f.a == Type::f16 || f.a == Type::bf16) && f.k == 16;
  if (f.d != Type::f32 || f.a != f.b || !(sixteen || (f.a == Type::tf32 && f.k == 8)))
    b.refuse("of the types f16, bf16 and tf32 with sums in f32 are supported");
  if (f.n % 8 != 0 || f.n < 8 || f.n > 256) b.refuse("no shape that there is");
  f.rd = f.n / 2;
  const auto list = [&](size_t i, int n, std::vector<Slot>* slots, bool results) {
    const Operand& o = b.operand(i);
    if (o.kind != Operand::Kind::vector || static_cast<int>(o.parts.size()) != n)
      b.refuse("operand " + std::to_string(i + 1) + " is no list of " + std::to_string(n) + " registers");
    for (const Operand& p : o.parts) slots->push_back(results ? b.result(p, Type::b32) : b.source(p, Type::b32));
  };
  std::vector<Slot> slots;
  list(0, f.rd, &slots, true);
  if (b.operand(1).kind == Operand::Kind::vector) {
    b.out.mode |= kRegistersA;
    f.ra = 4;
    list(1, f.ra, &slots, false);
  } else {
    b.out.op[1] = b.source(1, Type::b64);
  }
  b.out.op[2] = b.source(2, Type::b64);
  b.out.op[3] = b.source(3, Type::pred);
  const auto constant = [&](size_t i) {
    if (b.operand(i).kind != Operand::Kind::integer) b.refuse("operand " + std::to_string(i + 1) + " is no constant");
    return static_cast<int64_t>(b.operand(i).value);
  };
  const auto sign = [&](size_t i, uint16_t bit) {
    const int64_t x = constant(i);
    if (x != 1 && x != -1) b.refuse("a factor is taken 1 or -1 times");
    if (x < 0) b.out.mode |= bit;
  };
  sign(4, kNegatedA);
  sign(5, kNegatedB);
  size_t i = 6;
  const auto transpose = [&](uint16_t bit) {
    const int64_t x = constant(i++);
    if (x != 0 && x != 1) b.refuse("a factor is transposed 0 or 1 times");
    if (x != 0) b.out.mode |= bit;
  };
  if (sixteen) {
    if ((b.out.mode & kRegistersA) == 0) transpose(kTransposedA);
    transpose(kTransposedB);
  }
  if (b.operands() != i) b.refuse("operands that are not known");
  b.out.list = b.list(std::move(slots));
  b.out.target = static_cast<uint32_t>(b.code.forms.size());
  b.code.forms.push_back(f);
  b.set(issue, Class::mma);
}

void find_held(Code& code, const ptx::Function& f) {
  std::unordered_map<uint32_t, uint16_t> held;
  const auto product = [&](size_t i) { return code.inst[i].run == issue; };
  const auto registers = [](const Operand& o, auto body) {
    if (o.kind == Operand::Kind::vector)
      for (const Operand& p : o.parts)
        if (p.kind == Operand::Kind::reg) body(static_cast<uint32_t>(p.value));
  };
  for (size_t i = 0; i < f.body.size(); ++i) {
    if (!product(i)) continue;
    Code::Touches& t = code.touches[static_cast<uint32_t>(i)];
    const auto number = [&](uint32_t r) { return held.emplace(r, static_cast<uint16_t>(held.size())).first->second; };
    registers(f.body[i].operands[0], [&](uint32_t r) { t.written.push_back(number(r)); });
    registers(f.body[i].operands[1], [&](uint32_t r) { t.read.push_back(number(r)); });
  }
  code.held = static_cast<uint32_t>(held.size());
  if (held.empty()) return;
  for (size_t i = 0; i < f.body.size(); ++i) {
    if (product(i)) continue;
    const Uses u = uses_of(f.body[i]);
    Code::Touches t;
    for (uint32_t r : u.read)
      if (const auto at = held.find(r); at != held.end()) t.read.push_back(at->second);
    for (uint32_t r : u.written)
      if (const auto at = held.find(r); at != held.end()) t.written.push_back(at->second);
    if (t.read.empty() && t.written.empty()) continue;
    code.inst[i].watched = true;
    code.touches[static_cast<uint32_t>(i)] = std::move(t);
  }
}

}  // namespace sim
