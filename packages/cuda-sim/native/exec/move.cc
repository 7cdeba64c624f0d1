// mov, comparisons and selections, addresses between spaces.
#include <cmath>

#include "families.h"

namespace sim {
namespace {

template <class T>
void copy(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  write<T>(w, in.op[0], mask, [=](int i) { return a[i]; });
}
struct Wide {
  uint64_t low, high;
};
Run copy_of(unsigned bytes) {
  switch (bytes) {
    case 2: return copy<uint16_t>;
    case 4: return copy<uint32_t>;
    case 8: return copy<uint64_t>;
    default: return copy<Wide>;
  }
}
void copy_predicate(Warp& w, const Inst& in, uint32_t mask) {
  set_predicate(w, in.op[0], mask, w.predicate(in.op[1]) ^ (in.mode != 0 ? kAll : 0));
}
// Time is the number of instructions that the block has executed: it grows, and is the same in every run.
template <class T>
void clock(Warp& w, const Inst& in, uint32_t mask) {
  const T now = static_cast<T>(w.block->executed / kLanes + ++w.ticks);
  write<T>(w, in.op[0], mask, [=](int) { return now; });
}
template <class T>
void local_address(Warp& w, const Inst& in, uint32_t mask) {
  const T at = static_cast<T>(w.local_base + static_cast<uint64_t>(in.offset));
  write<T>(w, in.op[0], mask, [=](int) { return at; });
}

// {a, b, ...} = d and d = {a, b, ...}: elements one after another in a wider register.
void pack(Warp& w, const Inst& in, uint32_t mask) {
  const unsigned n = in.count, bytes = in.bytes;
  char t[kLanes * 16];
  for (unsigned k = 0; k < n; ++k) {
    const char* from = w.lanes<char>(in.list[k]);
    for (unsigned i = 0; i < kLanes; ++i) std::memcpy(t + (i * n + k) * bytes, from + i * in.register_bytes, bytes);
  }
  char* to = w.lanes<char>(in.op[0]);
  const unsigned whole = n * bytes;
  each(mask,
       [&](int i) { std::memcpy(to + static_cast<unsigned>(i) * whole, t + static_cast<unsigned>(i) * whole, whole); });
}
void unpack(Warp& w, const Inst& in, uint32_t mask) {
  const unsigned n = in.count, bytes = in.bytes, whole = n * bytes;
  char t[kLanes * 16];
  std::memcpy(t, w.lanes<char>(in.op[1]), kLanes * whole);
  for (unsigned k = 0; k < n; ++k) {
    char* to = w.lanes<char>(in.list[k]);
    each(mask, [&](int i) {
      std::memset(to + static_cast<unsigned>(i) * in.register_bytes, 0, in.register_bytes);
      std::memcpy(to + static_cast<unsigned>(i) * in.register_bytes, t + static_cast<unsigned>(i) * whole + k * bytes,
                  bytes);
    });
  }
}
template <class Whole, class Part>
void pack_two(Warp& w, const Inst& in, uint32_t mask) {
  const Part *a = w.lanes<Part>(in.list[0]), *b = w.lanes<Part>(in.list[1]);
  write<Whole>(w, in.op[0], mask,
               [=](int i) { return static_cast<Whole>(static_cast<Whole>(b[i]) << sizeof(Part) * 8 | a[i]); });
}
template <class Whole, class Part>
void unpack_two(Warp& w, const Inst& in, uint32_t mask) {
  Whole t[kLanes];
  std::memcpy(t, w.lanes<Whole>(in.op[1]), sizeof t);
  write<Part>(w, in.list[0], mask, [&](int i) { return static_cast<Part>(t[i]); });
  write<Part>(w, in.list[1], mask, [&](int i) { return static_cast<Part>(t[i] >> sizeof(Part) * 8); });
}

Type plain_type(unsigned bytes) {
  switch (bytes) {
    case 1:
    case 2: return Type::b16;
    case 4: return Type::b32;
    case 8: return Type::b64;
    default: return Type::b128;
  }
}

void mov(Binder& b) {
  const Type t = b.take_type();
  const Operand &to = b.operand(0), &from = b.operand(1);
  const unsigned bytes = ptx::size_of(t);
  if (to.kind == Operand::Kind::vector || from.kind == Operand::Kind::vector) {
    const bool packs = from.kind == Operand::Kind::vector;
    const auto& parts = packs ? from.parts : to.parts;
    const unsigned n = static_cast<unsigned>(parts.size());
    if (n == 0 || bytes % n != 0) b.refuse("a vector that does not fill the register");
    const unsigned part = bytes / n;
    std::vector<Slot> slots;
    for (const Operand& o : parts)
      slots.push_back(packs ? b.source(o, plain_type(part)) : b.result(o, plain_type(part)));
    b.out.list = b.list(std::move(slots));
    b.out.count = static_cast<uint8_t>(n);
    b.out.bytes = static_cast<uint8_t>(part);
    b.out.register_bytes = static_cast<uint8_t>(std::max(2u, part));
    Run run = packs ? pack : unpack;
    if (n == 2 && bytes == 4) run = packs ? pack_two<uint32_t, uint16_t> : unpack_two<uint32_t, uint16_t>;
    if (n == 2 && bytes == 8) run = packs ? pack_two<uint64_t, uint32_t> : unpack_two<uint64_t, uint32_t>;
    b.set(run, Class::move);
    if (packs)
      b.out.op[0] = b.result(to, t);
    else
      b.out.op[1] = b.source(from, t);
    return;
  }
  b.out.op[0] = b.result(to, t);
  if (t == Type::pred) {
    bool negated;
    b.out.op[1] = b.predicate_source(from, &negated);
    b.out.mode = negated;
    b.set(copy_predicate, Class::move);
    return;
  }
  if (from.kind == Operand::Kind::special &&
      (from.text == "%clock" || from.text == "%clock_hi" || from.text == "%globaltimer_lo"))
    return b.set(from.text == "%clock_hi" ? copy<uint32_t> : clock<uint32_t>, Class::move);
  if (from.kind == Operand::Kind::special && (from.text == "%clock64" || from.text == "%globaltimer"))
    return b.set(clock<uint64_t>, Class::move);
  if (from.kind == Operand::Kind::variable) {
    const auto local = b.code.locals.find(from.variable);
    if (local != b.code.locals.end()) {
      b.out.offset = static_cast<int64_t>(local->second + from.value);
      return b.set(bytes == 8 ? local_address<uint64_t> : local_address<uint32_t>, Class::move);
    }
  }
  if (from.kind == Operand::Kind::function) b.refuse("addresses of functions are not supported");
  b.out.op[1] = b.source(from, t);
  b.set(copy_of(std::max(2u, bytes)), Class::move);
}

// ---- comparisons
enum class Order : uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
constexpr const char* kOrders[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                   "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

template <Order order, class T>
inline bool holds(T a, T b) {
  switch (order) {
    case Order::eq: return a == b;
    case Order::ne: return std::is_floating_point<T>::value ? a < b || a > b : a != b;
    case Order::lt: return a < b;
    case Order::le: return a <= b;
    case Order::gt: return a > b;
    case Order::ge: return a >= b;
    case Order::equ: return !(a < b || a > b);
    case Order::neu: return a != b;
    case Order::ltu: return !(a >= b);
    case Order::leu: return !(a > b);
    case Order::gtu: return !(a <= b);
    case Order::geu: return !(a < b);
    case Order::num: return a == a && b == b;
    default: return a != a || b != b;
  }
}

struct Plain {
  template <class T>
  static T of(T x) {
    return x;
  }
};
struct Flushed {
  static float of(float x) { return flush(x); }
};

// What follows a comparison: combined with a predicate, and its complement in a second one.
enum Combine : uint16_t { kNone = 0, kAnd = 1, kOr = 2, kXor = 3, kNegated = 4, kPair = 8 };
void store_comparison(Warp& w, const Inst& in, uint32_t mask, uint32_t r) {
  uint32_t not_r = ~r;
  if ((in.mode & 3) != 0) {
    const uint32_t c = w.predicate(in.op[3]) ^ ((in.mode & kNegated) != 0 ? kAll : 0);
    switch (in.mode & 3) {
      case kAnd: r &= c, not_r &= c; break;
      case kOr: r |= c, not_r |= c; break;
      default: r ^= c, not_r ^= c; break;
    }
  }
  set_predicate(w, in.op[0], mask, r);
  if ((in.mode & kPair) != 0) set_predicate(w, in.op[4], mask, not_r);
}

template <Order order, class T, class In>
inline uint32_t compare(const T* a, const T* b) {
  uint32_t r = 0;
  for (int i = 0; i < kLanes; ++i) r |= static_cast<uint32_t>(holds<order>(In::of(a[i]), In::of(b[i]))) << i;
  return r;
}
template <Order order, class T, class In>
void setp_run(Warp& w, const Inst& in, uint32_t mask) {
  store_comparison(w, in, mask, compare<order, T, In>(w.lanes<T>(in.op[1]), w.lanes<T>(in.op[2])));
}
template <class T, class In, template <Order, class, class> class Use>
Run ordered(int order) {
  switch (static_cast<Order>(order)) {
    case Order::eq: return Use<Order::eq, T, In>::run();
    case Order::ne: return Use<Order::ne, T, In>::run();
    case Order::lt: return Use<Order::lt, T, In>::run();
    case Order::le: return Use<Order::le, T, In>::run();
    case Order::gt: return Use<Order::gt, T, In>::run();
    case Order::ge: return Use<Order::ge, T, In>::run();
    case Order::equ: return Use<Order::equ, T, In>::run();
    case Order::neu: return Use<Order::neu, T, In>::run();
    case Order::ltu: return Use<Order::ltu, T, In>::run();
    case Order::leu: return Use<Order::leu, T, In>::run();
    case Order::gtu: return Use<Order::gtu, T, In>::run();
    case Order::geu: return Use<Order::geu, T, In>::run();
    case Order::num: return Use<Order::num, T, In>::run();
    default: return Use<Order::nan, T, In>::run();
  }
}
template <Order order, class T, class In>
struct Setp {
  static Run run() { return setp_run<order, T, In>; }
};

// Halves are compared in f32.
template <class H, bool pair>
void setp_half(Warp& w, const Inst& in, uint32_t mask) {
  float a[2][kLanes], b[2][kLanes];
  for (int i = 0; i < kLanes; ++i) {
    if constexpr (pair) {
      const uint32_t x = w.lanes<uint32_t>(in.op[1])[i], y = w.lanes<uint32_t>(in.op[2])[i];
      for (int k = 0; k < 2; ++k) {
        a[k][i] = H::widen(static_cast<uint16_t>(x >> 16 * k));
        b[k][i] = H::widen(static_cast<uint16_t>(y >> 16 * k));
      }
    } else {
      a[0][i] = H::widen(w.lanes<uint16_t>(in.op[1])[i]);
      b[0][i] = H::widen(w.lanes<uint16_t>(in.op[2])[i]);
    }
  }
  const auto one = [&](int k) {
    uint32_t r = 0;
    for (int i = 0; i < kLanes; ++i) {
      const float x = a[k][i], y = b[k][i];
      bool h = false;
      switch (static_cast<Order>(in.count)) {
        case Order::eq: h = holds<Order::eq>(x, y); break;
        case Order::ne: h = holds<Order::ne>(x, y); break;
        case Order::lt: h = holds<Order::lt>(x, y); break;
        case Order::le: h = holds<Order::le>(x, y); break;
        case Order::gt: h = holds<Order::gt>(x, y); break;
        case Order::ge: h = holds<Order::ge>(x, y); break;
        case Order::equ: h = holds<Order::equ>(x, y); break;
        case Order::neu: h = holds<Order::neu>(x, y); break;
        case Order::ltu: h = holds<Order::ltu>(x, y); break;
        case Order::leu: h = holds<Order::leu>(x, y); break;
        case Order::gtu: h = holds<Order::gtu>(x, y); break;
        case Order::geu: h = holds<Order::geu>(x, y); break;
        case Order::num: h = holds<Order::num>(x, y); break;
        default: h = holds<Order::nan>(x, y); break;
      }
      r |= static_cast<uint32_t>(h) << i;
    }
    return r;
  };
  if constexpr (pair) {  // d|q are the two halves' results
    set_predicate(w, in.op[0], mask, one(0));
    set_predicate(w, in.op[4], mask, one(1));
  } else {
    store_comparison(w, in, mask, one(0));
  }
}

int order_of(Binder& b, Type t) {
  for (int i = 0; i < 14; ++i)
    if (b.take(kOrders[i])) return i;
  // lo, ls, hi, hs: unsigned ones under names of their own.
  static constexpr struct {
    const char* name;
    Order order;
  } names[] = {{"lo", Order::lt}, {"ls", Order::le}, {"hi", Order::gt}, {"hs", Order::ge}};
  (void)t;
  for (const auto& n : names)
    if (b.take(n.name)) return static_cast<int>(n.order);
  b.refuse("no comparison that is known");
}

template <template <Order, class, class> class Use>
Run compare_run(Type t, bool ftz, int order) {
  switch (t) {
    case Type::b16:
    case Type::u16: return ordered<uint16_t, Plain, Use>(order);
    case Type::s16: return ordered<int16_t, Plain, Use>(order);
    case Type::b32:
    case Type::u32: return ordered<uint32_t, Plain, Use>(order);
    case Type::s32: return ordered<int32_t, Plain, Use>(order);
    case Type::b64:
    case Type::u64: return ordered<uint64_t, Plain, Use>(order);
    case Type::s64: return ordered<int64_t, Plain, Use>(order);
    case Type::f32: return ftz ? ordered<float, Flushed, Use>(order) : ordered<float, Plain, Use>(order);
    case Type::f64: return ordered<double, Plain, Use>(order);
    default: return nullptr;
  }
}

void setp(Binder& b) {
  const std::string combine = b.take_one({"and", "or", "xor"});
  const bool ftz = b.take("ftz");
  // The order comes first among the words left; .lo and .hi are orders here.
  const Type t = b.take_type();
  const int order = order_of(b, t);
  b.out.mode = combine == "and" ? kAnd : combine == "or" ? kOr : combine == "xor" ? kXor : kNone;
  Run run = is_half(t) ? (t == Type::f16     ? setp_half<Half, false>
                          : t == Type::f16x2 ? setp_half<Half, true>
                          : t == Type::bf16  ? setp_half<Bf16, false>
                                             : setp_half<Bf16, true>)
                       : compare_run<Setp>(t, ftz, order);
  if (is_half(t)) b.out.count = static_cast<uint8_t>(order);
  if ((t == Type::f16x2 || t == Type::bf16x2) && (b.out.mode != 0 || b.operand(0).pair == nullptr))
    b.refuse("a pair needs two results and no third operand");
  b.set(run, Class::compare);
  b.out.op[0] = b.result(0, Type::pred);
  if (b.operand(0).pair != nullptr) {
    b.out.op[4] = b.result(*b.operand(0).pair, Type::pred);
    b.out.mode |= kPair;
  }
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  if ((b.out.mode & 3) != 0) {
    bool negated;
    b.out.op[3] = b.predicate_source(b.operand(3), &negated);
    if (negated) b.out.mode |= kNegated;
  }
}

// set: the comparison as a number: all bits, or 1.0.
template <Order order, class T, class In>
void set_run(Warp& w, const Inst& in, uint32_t mask) {
  uint32_t r = compare<order, T, In>(w.lanes<T>(in.op[1]), w.lanes<T>(in.op[2]));
  if ((in.mode & 3) != 0) {
    const uint32_t c = w.predicate(in.op[3]) ^ ((in.mode & kNegated) != 0 ? kAll : 0);
    r = (in.mode & 3) == kAnd ? r & c : (in.mode & 3) == kOr ? r | c : r ^ c;
  }
  const uint32_t yes = in.count != 0 ? 0x3F800000u : kAll;
  write<uint32_t>(w, in.op[0], mask, [=](int i) { return (r >> i & 1) != 0 ? yes : 0; });
}
template <Order order, class T, class In>
struct Set {
  static Run run() { return set_run<order, T, In>; }
};
template <class H, bool pair, bool bits_result>
void set_half(Warp& w, const Inst& in, uint32_t mask) {
  const auto f = [&](uint16_t x, uint16_t y) -> uint16_t {
    const float a = H::widen(x), b = H::widen(y);
    bool h = false;
    switch (static_cast<Order>(in.count)) {
      case Order::eq: h = a == b; break;
      case Order::ne: h = a < b || a > b; break;
      case Order::lt: h = a < b; break;
      case Order::le: h = a <= b; break;
      case Order::gt: h = a > b; break;
      case Order::ge: h = a >= b; break;
      case Order::equ: h = !(a < b || a > b); break;
      case Order::neu: h = a != b; break;
      case Order::ltu: h = !(a >= b); break;
      case Order::leu: h = !(a > b); break;
      case Order::gtu: h = !(a <= b); break;
      case Order::geu: h = !(a < b); break;
      case Order::num: h = a == a && b == b; break;
      default: h = a != a || b != b; break;
    }
    return !h ? 0 : bits_result ? 0xFFFF : H::narrow(1);
  };
  if constexpr (pair) {
    const uint32_t *a = w.lanes<uint32_t>(in.op[1]), *b = w.lanes<uint32_t>(in.op[2]);
    write<uint32_t>(w, in.op[0], mask, [&](int i) {
      return f(static_cast<uint16_t>(a[i]), static_cast<uint16_t>(b[i])) |
             static_cast<uint32_t>(f(static_cast<uint16_t>(a[i] >> 16), static_cast<uint16_t>(b[i] >> 16))) << 16;
    });
  } else {
    const uint16_t *a = w.lanes<uint16_t>(in.op[1]), *b = w.lanes<uint16_t>(in.op[2]);
    write<uint16_t>(w, in.op[0], mask, [&](int i) { return f(a[i], b[i]); });
  }
}

void bind_set(Binder& b) {
  const std::string combine = b.take_one({"and", "or", "xor"});
  const bool ftz = b.take("ftz");
  const Type d = b.take_type(), t = b.take_type();
  const int order = order_of(b, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  if (is_half(t)) {
    if (!combine.empty()) b.refuse("halves take no third operand here");
    b.out.count = static_cast<uint8_t>(order);
    const bool pair = ptx::size_of(t) == 4, numbers = is_half(d), half = t == Type::f16 || t == Type::f16x2;
    const unsigned bytes = pair ? 4 : 2;
    if (ptx::size_of(d) != bytes) b.refuse("no such pair of types");
    b.out.op[0] = b.result(0, plain_type(bytes));
    const Run run = half ? (pair ? (numbers ? set_half<Half, true, false> : set_half<Half, true, true>)
                                 : (numbers ? set_half<Half, false, false> : set_half<Half, false, true>))
                         : (pair ? (numbers ? set_half<Bf16, true, false> : set_half<Bf16, true, true>)
                                 : (numbers ? set_half<Bf16, false, false> : set_half<Bf16, false, true>));
    return b.set(run, Class::compare);
  }
  if (d != Type::u32 && d != Type::s32 && d != Type::f32) b.refuse("no such type of result");
  b.out.mode = combine == "and" ? kAnd : combine == "or" ? kOr : combine == "xor" ? kXor : kNone;
  b.out.count = d == Type::f32;
  b.out.op[0] = b.result(0, d);
  if (b.out.mode != 0) {
    bool negated;
    b.out.op[3] = b.predicate_source(b.operand(3), &negated);
    if (negated) b.out.mode |= kNegated;
  }
  b.set(compare_run<Set>(t, ftz, order), Class::compare);
}

template <class T>
void selp_run(Warp& w, const Inst& in, uint32_t mask) {
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[2]);
  const uint32_t p = w.predicate(in.op[3]) ^ (in.mode != 0 ? kAll : 0);
  write<T>(w, in.op[0], mask, [=](int i) { return (p >> i & 1) != 0 ? a[i] : b[i]; });
}
Run selp_of(unsigned bytes) {
  return bytes == 2 ? selp_run<uint16_t> : bytes == 4 ? selp_run<uint32_t> : selp_run<uint64_t>;
}
void selp_predicate(Warp& w, const Inst& in, uint32_t mask) {
  const uint32_t p = w.predicate(in.op[3]) ^ (in.mode != 0 ? kAll : 0);
  set_predicate(w, in.op[0], mask, (w.predicate(in.op[1]) & p) | (w.predicate(in.op[2]) & ~p));
}
void selp(Binder& b) {
  const Type t = b.take_type();
  b.set(t == Type::pred ? selp_predicate : selp_of(ptx::size_of(t)), Class::compare);
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  bool negated;
  b.out.op[3] = b.predicate_source(b.operand(3), &negated);
  b.out.mode = negated;
}
template <class T, class C>
void slct_run(Warp& w, const Inst& in, uint32_t mask) {
  const T *a = w.lanes<T>(in.op[1]), *b = w.lanes<T>(in.op[2]);
  const C* c = w.lanes<C>(in.op[3]);
  write<T>(w, in.op[0], mask, [=](int i) { return c[i] >= 0 ? a[i] : b[i]; });
}
void slct(Binder& b) {
  b.take("ftz");
  const Type t = b.take_type(), c = b.take_type();
  if (c != Type::s32 && c != Type::f32) b.refuse("needs .s32 or .f32");
  const unsigned n = ptx::size_of(t);
  b.set(c == Type::s32 ? (n == 2   ? slct_run<uint16_t, int32_t>
                          : n == 4 ? slct_run<uint32_t, int32_t>
                                   : slct_run<uint64_t, int32_t>)
                       : (n == 2   ? slct_run<uint16_t, float>
                          : n == 4 ? slct_run<uint32_t, float>
                                   : slct_run<uint64_t, float>),
        Class::compare);
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  b.out.op[3] = b.source(3, c);
}

// ---- cvta: global and constant addresses are generic ones; the other spaces lie in windows.
uint64_t window(Space s) {
  return s == Space::shared ? kSharedWindow : s == Space::local ? kLocalWindow : s == Space::param ? kParamWindow : 0;
}
template <class T, bool framed>
void add_offset(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  const T add = static_cast<T>(in.offset + (framed ? w.local_base : 0));
  write<T>(w, in.op[0], mask, [=](int i) { return static_cast<T>(a[i] + add); });
}
void cvta(Binder& b) {
  const bool to = b.take("to");
  const Space s = b.space();
  if (s == Space::generic) b.refuse("a space is missing");
  const Type t = b.take_type();
  if (ptx::size_of(t) != 8) b.refuse("addresses have 64 bits");
  Space space = s;
  if (s == Space::param && !b.function.entry) space = Space::local;
  const int64_t w = static_cast<int64_t>(window(space));
  b.out.op[0] = b.result(0, t);
  const Operand& from = b.operand(1);
  b.out.offset = to ? -w : w;
  if (from.kind == Operand::Kind::variable && b.code.locals.count(from.variable) != 0) {
    b.out.op[1] = b.linker.constant(8, b.code.locals.at(from.variable) + from.value);
    return b.set(add_offset<uint64_t, true>, Class::move);
  }
  b.out.op[1] = b.source(from, t);
  b.set(w == 0 ? copy<uint64_t> : add_offset<uint64_t, false>, Class::move);
}

void isspacep_run(Warp& w, const Inst& in, uint32_t mask) {
  const uint64_t* a = w.lanes<uint64_t>(in.op[1]);
  const uint64_t start = window(in.space);
  write_predicate(w, in.op[0], mask, [&](int i) {
    const bool windowed = a[i] >= kSharedWindow && a[i] < kParamWindow + kWindow;
    return in.space == Space::global || in.space == Space::constant ? !windowed
                                                                    : a[i] >= start && a[i] < start + kWindow;
  });
}
void isspacep(Binder& b) {
  b.out.space = b.space();
  b.set(isspacep_run, Class::compare);
  b.out.op[0] = b.result(0, Type::pred);
  b.out.op[1] = b.source(1, Type::b64);
}

}  // namespace

const Row kMoveRows[] = {{"mov", mov},   {"setp", setp}, {"set", bind_set},      {"selp", selp},
                         {"slct", slct}, {"cvta", cvta}, {"isspacep", isspacep}, {nullptr, nullptr}};

}  // namespace sim
