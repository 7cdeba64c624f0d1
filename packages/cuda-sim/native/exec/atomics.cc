// atom and red. Lanes take their turns in order; blocks of a kernel that has any run one after another.
#include <cmath>

#include "access.h"
#include "families.h"

namespace sim {
namespace {

struct Wide {
  uint64_t low, high;
  bool operator==(const Wide& o) const { return low == o.low && high == o.high; }
};
struct AtAdd {
  template <class T>
  static T of(T a, T b, T) {
    return static_cast<T>(a + b);
  }
};
struct AtMin {
  template <class T>
  static T of(T a, T b, T) {
    return b < a ? b : a;
  }
};
struct AtMax {
  template <class T>
  static T of(T a, T b, T) {
    return a < b ? b : a;
  }
};
struct AtAnd {
  template <class T>
  static T of(T a, T b, T) {
    return a & b;
  }
};
struct AtOr {
  template <class T>
  static T of(T a, T b, T) {
    return a | b;
  }
};
struct AtXor {
  template <class T>
  static T of(T a, T b, T) {
    return a ^ b;
  }
};
struct AtExch {
  template <class T>
  static T of(T, T b, T) {
    return b;
  }
};
struct AtCas {
  template <class T>
  static T of(T a, T b, T c) {
    return a == b ? c : a;
  }
};
struct AtInc {
  static uint32_t of(uint32_t a, uint32_t b, uint32_t) { return a >= b ? 0 : a + 1; }
};
struct AtDec {
  static uint32_t of(uint32_t a, uint32_t b, uint32_t) { return a == 0 || a > b ? b : a - 1; }
};
template <class H, bool pair>
struct AtHalfAdd {
  template <class T>
  static T of(T a, T b, T) {
    const auto sum = [](uint16_t x, uint16_t y) { return H::narrow(H::widen(x) + H::widen(y)); };
    if constexpr (!pair) return sum(a, b);
    return static_cast<T>(sum(static_cast<uint16_t>(a), static_cast<uint16_t>(b)) |
                          static_cast<uint32_t>(sum(static_cast<uint16_t>(a >> 16), static_cast<uint16_t>(b >> 16)))
                              << 16);
  }
};

// op[0] result, op[1] address, op[2] b, op[3] c; vectors: `list` holds results, then operands.
template <class Op, class T>
void update(Warp& w, const Inst& in, uint32_t mask) {
  Places p;
  const unsigned n = in.count, bytes = sizeof(T) * n;
  reach(w, in, mask, Touch::atomic, bytes, &p);
  w.worker->counted.atomics += static_cast<uint64_t>(__builtin_popcount(mask));
  const bool watch = p.shared != 0 && watched(w);
  each(mask, [&](int i) {
    if (watch && (p.shared >> i & 1) != 0) {
      watch_load(w, static_cast<uint32_t>(i), static_cast<uint32_t>(p.address[i]), bytes, true);
      watch_store(w, static_cast<uint32_t>(i), static_cast<uint32_t>(p.address[i]), bytes, true, nullptr);
    }
    for (unsigned k = 0; k < n; ++k) {
      T old;
      std::memcpy(&old, p.at[i] + k * sizeof(T), sizeof(T));
      const T b = w.lanes<T>(in.list != nullptr ? in.list[n + k] : in.op[2])[i];
      const T c = in.mode != 0 ? w.lanes<T>(in.op[3])[i] : T{};
      const T now = Op::of(old, b, c);
      std::memcpy(p.at[i] + k * sizeof(T), &now, sizeof(T));
      w.lanes<T>(in.list != nullptr ? in.list[k] : in.op[0])[i] = old;
    }
  });
}

Run run_of(const std::string& op, Type t) {
  const unsigned n = ptx::size_of(t);
  if (op == "exch" || op == "cas") {
    const bool cas = op == "cas";
    switch (n) {
      case 2: return cas ? update<AtCas, uint16_t> : nullptr;
      case 4: return cas ? update<AtCas, uint32_t> : update<AtExch, uint32_t>;
      case 8: return cas ? update<AtCas, uint64_t> : update<AtExch, uint64_t>;
      default: return cas ? update<AtCas, Wide> : update<AtExch, Wide>;
    }
  }
  if (op == "and") return n == 4 ? update<AtAnd, uint32_t> : update<AtAnd, uint64_t>;
  if (op == "or") return n == 4 ? update<AtOr, uint32_t> : update<AtOr, uint64_t>;
  if (op == "xor") return n == 4 ? update<AtXor, uint32_t> : update<AtXor, uint64_t>;
  if (op == "inc") return t == Type::u32 ? update<AtInc, uint32_t> : nullptr;
  if (op == "dec") return t == Type::u32 ? update<AtDec, uint32_t> : nullptr;
  if (op == "min" || op == "max") {
    const bool low = op == "min";
    switch (t) {
      case Type::u32: return low ? update<AtMin, uint32_t> : update<AtMax, uint32_t>;
      case Type::s32: return low ? update<AtMin, int32_t> : update<AtMax, int32_t>;
      case Type::u64: return low ? update<AtMin, uint64_t> : update<AtMax, uint64_t>;
      case Type::s64: return low ? update<AtMin, int64_t> : update<AtMax, int64_t>;
      default: return nullptr;
    }
  }
  if (op != "add") return nullptr;
  switch (t) {
    case Type::u32:
    case Type::s32: return update<AtAdd, uint32_t>;
    case Type::u64:
    case Type::s64: return update<AtAdd, uint64_t>;
    case Type::f32: return update<AtAdd, float>;
    case Type::f64: return update<AtAdd, double>;
    case Type::f16: return update<AtHalfAdd<Half, false>, uint16_t>;
    case Type::bf16: return update<AtHalfAdd<Bf16, false>, uint16_t>;
    case Type::f16x2: return update<AtHalfAdd<Half, true>, uint32_t>;
    case Type::bf16x2: return update<AtHalfAdd<Bf16, true>, uint32_t>;
    default: return nullptr;
  }
}

void atomic(Binder& b) {
  const bool result = b.in->opcode == "atom";
  if (b.take("async")) b.refuse("red.async is not supported");
  b.drop({"relaxed", "acquire", "release", "acq_rel", "sys", "gpu", "cta", "cluster", "noftz"});
  const bool policy = b.take("L2::cache_hint");
  b.out.space = b.space();
  const std::string op = b.take_one({"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"});
  const std::string vector = b.take_one({"v2", "v4", "v8"});
  const Type t = b.take_type();
  const unsigned count = vector.empty() ? 1 : static_cast<unsigned>(vector[1] - '0');
  b.out.strong = true;
  b.out.bytes = static_cast<uint8_t>(ptx::size_of(t));
  b.out.count = static_cast<uint8_t>(count);
  size_t i = 0;
  const Operand* d = result ? &b.operand(i++) : nullptr;
  b.address(b.operand(i++), &b.out.op[1]);
  const Operand& value = b.operand(i++);
  if (count > 1) {
    std::vector<Slot> slots;
    for (unsigned k = 0; k < count; ++k)
      slots.push_back(d != nullptr && d->kind == Operand::Kind::vector ? b.result(d->parts.at(k), t) : kSink);
    if (value.kind != Operand::Kind::vector || value.parts.size() != count) b.refuse("a vector is missing");
    for (const Operand& o : value.parts) slots.push_back(b.source(o, t));
    b.out.list = b.list(std::move(slots));
  } else {
    b.out.op[0] = d != nullptr ? b.result(*d, t) : kSink;
    b.out.op[2] = b.source(value, t);
  }
  if (op == "cas") {
    b.out.op[3] = b.source(i++, t);
    b.out.mode = 1;
  }
  if (i + (policy ? 1 : 0) != b.operands()) b.refuse("a wrong number of operands");
  b.set(run_of(op, t), Class::atomic);
  if (b.out.space == Space::global || b.out.space == Space::generic) b.code.uses_global_atomics = true;
  if (b.out.space == Space::shared || b.out.space == Space::generic)
    b.code.granule = std::min(b.code.granule, static_cast<uint32_t>(ptx::size_of(t)));
}

}  // namespace

const Row kAtomicRows[] = {{"atom", atomic}, {"red", atomic}, {nullptr, nullptr}};

}  // namespace sim
