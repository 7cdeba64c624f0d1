// ld, st, and the hints to caches.
#include "access.h"
#include "families.h"

namespace sim {
namespace {

struct Wide {
  uint64_t low, high;
};

// T: the element in memory, with the sign it is extended with; R: the register.
template <class T, class R>
void load(Warp& w, const Inst& in, uint32_t mask) {
  Places p;
  const unsigned bytes = sizeof(T) * in.count;
  reach(w, in, mask, Touch::load, bytes, &p);
  if (p.shared != 0 && watched(w)) watch_loads(w, p.shared, p, bytes, in.strong);
  for (unsigned k = 0; k < in.count; ++k) {
    R* d = w.lanes<R>(in.list != nullptr ? in.list[k] : in.op[0]);
    const auto element = [&](int i) {
      T x;
      std::memcpy(&x, p.at[i] + k * sizeof(T), sizeof(T));
      return static_cast<R>(x);
    };
    if (mask == kAll) {
      for (int i = 0; i < kLanes; ++i) d[i] = element(i);
    } else {
      each(mask, [&](int i) { d[i] = element(i); });
    }
  }
}

template <class T, class R>
void store(Warp& w, const Inst& in, uint32_t mask) {
  Places p;
  const unsigned bytes = sizeof(T) * in.count;
  reach(w, in, mask, Touch::store, bytes, &p);
  const R* from[8];
  for (unsigned k = 0; k < in.count; ++k) from[k] = w.lanes<R>(in.list != nullptr ? in.list[k] : in.op[0]);
  if ((p.shared != 0 && watched(w)) || p.global != 0) {
    each(mask, [&](int i) {
      T v[8];
      for (unsigned k = 0; k < in.count; ++k) v[k] = static_cast<T>(from[k][i]);
      if ((p.global >> i & 1) != 0) watch_global_store(w, static_cast<uint32_t>(i), p.address[i], bytes, v);
      if ((p.shared >> i & 1) != 0 && watched(w))
        watch_store(w, static_cast<uint32_t>(i), static_cast<uint32_t>(p.address[i]), bytes, in.strong, v);
      std::memcpy(p.at[i], v, bytes);
    });
    return;
  }
  for (unsigned k = 0; k < in.count; ++k) {
    const R* s = from[k];
    const auto element = [&](int i) {
      const T x = static_cast<T>(s[i]);
      std::memcpy(p.at[i] + k * sizeof(T), &x, sizeof(T));
    };
    if (mask == kAll) {
      for (int i = 0; i < kLanes; ++i) element(i);
    } else {
      each(mask, element);
    }
  }
}

template <class T>
Run load_to(unsigned bytes) {
  switch (bytes) {
    case 2: return sizeof(T) <= 2 ? load<T, uint16_t> : nullptr;
    case 4: return sizeof(T) <= 4 ? load<T, uint32_t> : nullptr;
    default: return load<T, uint64_t>;
  }
}
Run load_of(Type t, unsigned to) {
  if (ptx::size_of(t) == 16) return to == 16 ? load<Wide, Wide> : nullptr;
  switch (t) {
    case Type::s8: return load_to<int8_t>(to);
    case Type::s16: return load_to<int16_t>(to);
    case Type::s32: return load_to<int32_t>(to);
    default: break;
  }
  switch (ptx::size_of(t)) {
    case 1: return load_to<uint8_t>(to);
    case 2: return load_to<uint16_t>(to);
    case 4: return load_to<uint32_t>(to);
    default: return load_to<uint64_t>(to);
  }
}
template <class T>
Run store_from(unsigned bytes) {
  switch (bytes) {
    case 2: return store<T, uint16_t>;
    case 4: return store<T, uint32_t>;
    default: return store<T, uint64_t>;
  }
}
Run store_of(unsigned bytes, unsigned from) {
  switch (bytes) {
    case 1: return store_from<uint8_t>(from);
    case 2: return store_from<uint16_t>(from);
    case 4: return from < 4 ? nullptr : store_from<uint32_t>(from);
    case 8: return from == 8 ? store<uint64_t, uint64_t> : nullptr;
    default: return from == 16 ? store<Wide, Wide> : nullptr;
  }
}

Type register_type(unsigned bytes) {
  return bytes == 2 ? Type::b16 : bytes == 4 ? Type::b32 : bytes == 8 ? Type::b64 : Type::b128;
}

Class class_of(Space s) {
  switch (s) {
    case Space::shared: return Class::shared;
    case Space::local: return Class::local;
    case Space::constant:
    case Space::param: return Class::constant;
    default: return Class::memory;
  }
}

// Everything up to the type is common to loads and stores. Order and scope make an access strong; the order itself is
// what the simulator has anyway.
void transfer(Binder& b, bool loads) {
  b.out.strong = b.take("volatile") || b.has("relaxed") || b.has("acquire") || b.has("release") || b.has("mmio");
  b.drop({"weak", "relaxed", "acquire", "release", "mmio", "sys", "gpu", "cta", "cluster"});
  b.drop({"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "unified"});
  const bool policy = b.take("L2::cache_hint");
  b.drop({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate",
          "L2::evict_normal", "L2::evict_first", "L2::evict_last", "L2::64B", "L2::128B", "L2::256B"});
  b.out.space = b.space();
  const std::string vector = b.take_one({"v2", "v4", "v8"});
  const Type t = b.take_type();
  const unsigned count = vector.empty() ? 1 : static_cast<unsigned>(vector[1] - '0');
  const unsigned bytes = ptx::size_of(t);
  if (t == Type::pred || bytes * count > 32) b.refuse("no such type");
  if (b.operands() != (policy ? 3u : 2u)) b.refuse("a wrong number of operands");
  const Operand &data = b.operand(loads ? 0 : 1), &place = b.operand(loads ? 1 : 0);
  b.address(place, &b.out.op[1]);
  if (!loads && (b.out.space == Space::constant || b.out.space == Space::param))
    b.refuse("this space cannot be written");
  b.out.bytes = static_cast<uint8_t>(bytes);
  b.out.count = static_cast<uint8_t>(count);
  unsigned width = 0;
  if (count > 1) {
    if (data.kind != Operand::Kind::vector || data.parts.size() != count)
      b.refuse("a vector of that many elements is missing");
    for (const Operand& o : data.parts) width = std::max(width, b.width(o, 0));
    if (width == 0) width = std::max(2u, bytes);
    std::vector<Slot> slots;
    for (const Operand& o : data.parts)
      slots.push_back(loads ? b.result(o, register_type(width))
                            : b.source(o, o.kind == Operand::Kind::reg ? register_type(width) : t));
    b.out.list = b.list(std::move(slots));
  } else {
    const Operand& o = data.kind == Operand::Kind::vector && data.parts.size() == 1 ? data.parts[0] : data;
    width = b.width(o, std::max(2u, bytes));
    b.out.op[0] = loads ? b.result(o, register_type(width))
                        : b.source(o, o.kind == Operand::Kind::reg ? register_type(width) : t);
  }
  b.out.register_bytes = static_cast<uint8_t>(width);
  if (loads && b.out.space == Space::param && b.out.wide_address && place.parts.size() == 1 &&
      place.parts[0].kind == Operand::Kind::variable)
    b.out.kind = Class::constant;
  b.set(loads ? load_of(t, width) : store_of(bytes, width), class_of(b.out.space));
  // Blocks that look at each other's writes: the order counts.
  if (b.out.strong && loads && (b.out.space == Space::global || b.out.space == Space::generic))
    b.code.uses_global_atomics = true;
  if (b.out.space == Space::global || b.out.space == Space::generic)
    b.code.global_granule = std::min(b.code.global_granule, bytes);
  if (b.out.space == Space::shared || b.out.space == Space::generic) b.code.granule = std::min(b.code.granule, bytes);
}
void ld(Binder& b) { transfer(b, true); }
void st(Binder& b) { transfer(b, false); }

void nothing(Warp&, const Inst&, uint32_t) {}

// Hints: no cache is modelled.
void hint(Binder& b) {
  b.drop({"global", "local", "const", "param", "L1", "L2", "L2::evict_last", "L2::evict_normal", "tensormap", "generic",
          "shared"});
  b.set(nothing, Class::control);
}
void createpolicy_run(Warp& w, const Inst& in, uint32_t mask) {
  write<uint64_t>(w, in.op[0], mask, [](int) { return uint64_t{0}; });
}
void createpolicy(Binder& b) {
  b.drop({"fractional", "range", "cvt", "L2", "global", "L2::evict_last", "L2::evict_normal", "L2::evict_first",
          "L2::evict_unchanged"});
  b.take_type();
  b.set(createpolicy_run, Class::control);
  b.out.op[0] = b.result(0, Type::b64);
}

}  // namespace

const Row kMemoryRows[] = {{"ld", ld},          {"ldu", ld},
                           {"st", st},          {"prefetch", hint},
                           {"prefetchu", hint}, {"applypriority", hint},
                           {"discard", hint},   {"createpolicy", createpolicy},
                           {nullptr, nullptr}};

}  // namespace sim
