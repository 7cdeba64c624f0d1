// What the lanes of a warp do together: shuffles, votes, matches, reductions.
#include "families.h"

namespace sim {
namespace {

enum Shuffle : uint16_t { kUp, kDown, kButterfly, kIndex };

void shfl_run(Warp& w, const Inst& in, uint32_t mask) {
  const uint32_t *a = w.lanes<uint32_t>(in.op[1]), *b = w.lanes<uint32_t>(in.op[2]), *c = w.lanes<uint32_t>(in.op[3]);
  uint32_t result[kLanes], inside = 0;
  each(mask, [&](int lane) {
    const int by = static_cast<int>(b[lane] & 31), clamp = static_cast<int>(c[lane] & 31),
              segment = static_cast<int>(c[lane] >> 8 & 31);
    const int low = lane & segment, high = (lane & segment) | (clamp & ~segment);
    int from = lane;
    bool good = false;
    switch (in.mode) {
      case kUp:
        from = lane - by;
        good = from >= high;
        break;
      case kDown:
        from = lane + by;
        good = from <= high;
        break;
      case kButterfly:
        from = lane ^ by;
        good = from <= high;
        break;
      default:
        from = low | (by & ~segment);
        good = from <= high;
        break;
    }
    if (!good) from = lane;
    if ((mask >> from & 1) == 0)
      w.fault("shuffle",
              "reads lane " + std::to_string(from) +
                  (((w.exited >> from) & 1) != 0 ? ", which has ended." : ", which takes no part in it."),
              lane);
    inside |= static_cast<uint32_t>(good) << lane;
    result[lane] = a[from];
  });
  uint32_t* d = w.lanes<uint32_t>(in.op[0]);
  each(mask, [&](int lane) { d[lane] = result[lane]; });
  if (in.count == 2) set_predicate(w, in.op[4], mask, inside);
}
void shfl(Binder& b) {
  if (!b.take("sync")) b.refuse("without .sync it is no longer supported by hardware");
  const std::string how = b.take_one({"up", "down", "bfly", "idx"});
  const Type t = b.take_type();
  if (how.empty() || t != Type::b32) b.refuse("no form that is known");
  b.out.mode = how == "up" ? kUp : how == "down" ? kDown : how == "bfly" ? kButterfly : kIndex;
  b.out.flow = Flow::sync;
  b.set(shfl_run, Class::warp);
  b.out.op[0] = b.result(0, t);
  if (b.operand(0).pair != nullptr) {
    b.out.op[4] = b.result(*b.operand(0).pair, Type::pred);
    b.out.count = 2;
  }
  b.out.op[1] = b.source(1, t);
  b.out.op[2] = b.source(2, t);
  b.out.op[3] = b.source(3, t);
  b.out.op[kMembers] = b.source(4, t);
}

enum Vote : uint16_t { kAllOf, kAnyOf, kUniform, kBallot, kNegated = 16 };
void vote_run(Warp& w, const Inst& in, uint32_t mask) {
  const uint32_t p = (w.predicate(in.op[1]) ^ ((in.mode & kNegated) != 0 ? kAll : 0)) & mask;
  bool r = false;
  switch (in.mode & 15) {
    case kAllOf: r = p == mask; break;
    case kAnyOf: r = p != 0; break;
    case kUniform: r = p == mask || p == 0; break;
    default: return write<uint32_t>(w, in.op[0], mask, [=](int) { return p; });
  }
  set_predicate(w, in.op[0], mask, r ? kAll : 0);
}
void vote(Binder& b) {
  if (!b.take("sync")) b.refuse("without .sync it is no longer supported by hardware");
  const std::string how = b.take_one({"all", "any", "uni", "ballot"});
  b.take_type();
  if (how.empty()) b.refuse("no form that is known");
  bool negated;
  b.out.op[1] = b.predicate_source(b.operand(1), &negated);
  b.out.mode = static_cast<uint16_t>((how == "all"   ? kAllOf
                                      : how == "any" ? kAnyOf
                                      : how == "uni" ? kUniform
                                                     : kBallot) |
                                     (negated ? kNegated : 0));
  b.out.flow = Flow::sync;
  b.set(vote_run, Class::warp);
  b.out.op[0] = b.result(0, how == "ballot" ? Type::b32 : Type::pred);
  b.out.op[kMembers] = b.source(2, Type::b32);
}

template <class T>
void match_any(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  uint32_t r[kLanes];
  each(mask, [&](int i) {
    r[i] = 0;
    each(mask, [&](int k) { r[i] |= static_cast<uint32_t>(a[i] == a[k]) << k; });
  });
  uint32_t* d = w.lanes<uint32_t>(in.op[0]);
  each(mask, [&](int i) { d[i] = r[i]; });
}
template <class T>
void match_all(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  bool same = true;
  const T first = a[__builtin_ctz(mask)];
  each(mask, [&](int i) { same &= a[i] == first; });
  write<uint32_t>(w, in.op[0], mask, [=](int) { return same ? mask : 0; });
  if (in.count == 2) set_predicate(w, in.op[4], mask, same ? kAll : 0);
}
void match(Binder& b) {
  const bool any = b.take("any");
  if (!any && !b.take("all")) b.refuse(".any or .all is missing");
  if (!b.take("sync")) b.refuse(".sync is missing");
  const Type t = b.take_type();
  const bool wide = ptx::size_of(t) == 8;
  b.set(any ? (wide ? match_any<uint64_t> : match_any<uint32_t>) : (wide ? match_all<uint64_t> : match_all<uint32_t>),
        Class::warp);
  b.out.flow = Flow::sync;
  b.out.op[0] = b.result(0, Type::b32);
  if (b.operand(0).pair != nullptr) {
    b.out.op[4] = b.result(*b.operand(0).pair, Type::pred);
    b.out.count = 2;
  }
  b.out.op[1] = b.source(1, t);
  b.out.op[kMembers] = b.source(2, Type::b32);
}

struct Sum {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
};
struct Least {
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct Most {
  template <class T>
  static T of(T a, T b) {
    return a > b ? a : b;
  }
};
struct And {
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};
template <class Op, class T>
void redux_run(Warp& w, const Inst& in, uint32_t mask) {
  const T* a = w.lanes<T>(in.op[1]);
  const int first = __builtin_ctz(mask);
  T r = a[first];
  each(mask & (mask - 1), [&](int i) { r = Op::of(r, a[i]); });
  write<T>(w, in.op[0], mask, [=](int) { return r; });
}
void redux(Binder& b) {
  if (!b.take("sync")) b.refuse(".sync is missing");
  const std::string how = b.take_one({"add", "min", "max", "and", "or", "xor"});
  const Type t = b.take_type();
  const bool sign = t == Type::s32;
  Run run = nullptr;
  if (how == "add") run = redux_run<Sum, uint32_t>;
  if (how == "min") run = sign ? redux_run<Least, int32_t> : redux_run<Least, uint32_t>;
  if (how == "max") run = sign ? redux_run<Most, int32_t> : redux_run<Most, uint32_t>;
  if (how == "and") run = redux_run<And, uint32_t>;
  if (how == "or") run = redux_run<Or, uint32_t>;
  if (how == "xor") run = redux_run<Xor, uint32_t>;
  if (t == Type::f32) b.refuse("redux of f32 is not supported");
  b.set(run, Class::warp);
  b.out.flow = Flow::sync;
  b.out.op[0] = b.result(0, t);
  b.out.op[1] = b.source(1, t);
  b.out.op[kMembers] = b.source(2, Type::b32);
}

void activemask_run(Warp& w, const Inst& in, uint32_t mask) {
  write<uint32_t>(w, in.op[0], mask, [=](int) { return mask; });
}
void activemask(Binder& b) {
  b.take_type();
  b.set(activemask_run, Class::warp);
  b.out.op[0] = b.result(0, Type::b32);
}
void elect_run(Warp& w, const Inst& in, uint32_t mask) {
  const auto leader = static_cast<uint32_t>(__builtin_ctz(mask));
  write<uint32_t>(w, in.op[0], mask, [=](int) { return leader; });
  set_predicate(w, in.op[4], mask, 1u << leader);
}
void elect(Binder& b) {
  if (!b.take("sync")) b.refuse(".sync is missing");
  if (b.operand(0).pair == nullptr) b.refuse("a predicate is missing");
  b.set(elect_run, Class::warp);
  b.out.flow = Flow::sync;
  b.out.op[0] = b.result(0, Type::b32);
  b.out.op[4] = b.result(*b.operand(0).pair, Type::pred);
  b.out.op[kMembers] = b.source(1, Type::b32);
}

}  // namespace

const Row kWarpRows[] = {{"shfl", shfl},    {"vote", vote},   {"match", match},
                         {"redux", redux},  {"elect", elect}, {"activemask", activemask},
                         {nullptr, nullptr}};

}  // namespace sim
