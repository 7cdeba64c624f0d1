// cvt in all its forms, cvta's arithmetic aside.
#include <cfenv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "families.h"

namespace sim {
namespace {

// Bits of Inst::mode.
enum Mode : uint16_t { kRound = 7, kIntegral = 8, kFtz = 16, kSat = 32, kRelu = 64, kFinite = 128 };
Round round_of(uint16_t mode) { return static_cast<Round>(mode & kRound); }

template <class T>
struct Int {
  using Raw = T;
  static constexpr bool integer = true;
};
struct F32 {
  using Raw = uint32_t;
  static constexpr bool integer = false;
  static double widen(uint32_t x) { return bits<float>(x); }
};
struct F64 {
  using Raw = uint64_t;
  static constexpr bool integer = false;
  static double widen(uint64_t x) { return bits<double>(x); }
};
struct F16 {
  using Raw = uint16_t;
  static constexpr bool integer = false;
  static double widen(uint16_t x) { return from_f16(x); }
};
struct BF16 {
  using Raw = uint16_t;
  static constexpr bool integer = false;
  static double widen(uint16_t x) { return from_bf16(x); }
};

double integral(double x, Round r) {
  switch (r) {
    case Round::zero: return std::trunc(x);
    case Round::down: return std::floor(x);
    case Round::up: return std::ceil(x);
    default: return std::nearbyint(x);
  }
}

// Rounded by the processor in another mode than to nearest.
template <class To, class From>
[[gnu::noinline, gnu::optimize("rounding-math")]] To rounded(From x, Round r) {
  static constexpr int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD, FE_TONEAREST};
  volatile From v = x;
  std::fesetround(modes[static_cast<int>(r)]);
  volatile To y = static_cast<To>(v);
  std::fesetround(FE_TONEAREST);
  return y;
}

uint32_t finish32(float f, uint16_t mode) {
  if ((mode & kFtz) != 0) f = flush(f);
  if ((mode & kSat) != 0) f = f >= 0 ? (f > 1 ? 1.0f : f) : 0.0f;
  if ((mode & kRelu) != 0 && f < 0) f = 0;
  return f != f ? 0x7FFFFFFFu : bits<uint32_t>(f);
}
template <class H>
uint16_t narrow(double x, uint16_t mode) {
  if ((mode & kSat) != 0) x = x >= 0 ? (x > 1 ? 1.0 : x) : 0.0;
  if ((mode & kRelu) != 0 && !(x >= 0) && !std::isnan(x)) x = 0;
  return static_cast<uint16_t>(encode(x, H::format, round_of(mode), (mode & kFinite) != 0));
}

template <class D, class S>
struct Convert {
  static typename D::Raw of(typename S::Raw x, uint16_t mode) {
    using To = typename D::Raw;
    using From = typename S::Raw;
    if constexpr (D::integer && S::integer) {
      if ((mode & kSat) == 0) return static_cast<To>(x);
      __int128 v = x;
      const __int128 low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max();
      return static_cast<To>(v < low ? low : v > high ? high : v);
    } else if constexpr (D::integer) {
      double v = S::widen(x);
      if (std::is_same<S, F32>::value && (mode & kFtz) != 0) v = flush(static_cast<float>(v));
      if (v != v) return 0;
      v = integral(v, round_of(mode));
      // The largest double within the type's range, so that the cast is defined.
      constexpr double low = static_cast<double>(std::numeric_limits<To>::min());
      const double over = std::ldexp(1.0, std::numeric_limits<To>::digits);
      if (v >= over) return std::numeric_limits<To>::max();
      return v < low ? std::numeric_limits<To>::min() : static_cast<To>(v);
    } else if constexpr (S::integer) {
      if constexpr (std::is_same<D, F32>::value)
        return finish32(
            round_of(mode) == Round::nearest_even ? static_cast<float>(x) : rounded<float, From>(x, round_of(mode)),
            mode);
      else if constexpr (std::is_same<D, F64>::value)
        return bits<uint64_t>(round_of(mode) == Round::nearest_even ? static_cast<double>(x)
                                                                    : rounded<double, From>(x, round_of(mode)));
      else
        return narrow<std::conditional_t<std::is_same<D, F16>::value, Half, Bf16>>(static_cast<double>(x), mode);
    } else {
      double v = S::widen(x);
      if (std::is_same<S, F32>::value && (mode & kFtz) != 0) v = flush(static_cast<float>(v));
      if ((mode & kIntegral) != 0) v = integral(v, round_of(mode));
      if constexpr (std::is_same<D, F64>::value) {
        if ((mode & kSat) != 0) v = v >= 0 ? (v > 1 ? 1.0 : v) : 0.0;
        return bits<uint64_t>(v);
      } else if constexpr (std::is_same<D, F32>::value) {
        if (std::is_same<S, F64>::value && round_of(mode) != Round::nearest_even && (mode & kIntegral) == 0)
          return finish32(rounded<float, double>(v, round_of(mode)), mode);
        return finish32(static_cast<float>(v), mode);
      } else {
        return narrow<std::conditional_t<std::is_same<D, F16>::value, Half, Bf16>>(
            v, static_cast<uint16_t>((mode & kIntegral) != 0 ? mode & ~kRound : mode));
      }
    }
  }
};

template <class D, class S>
void convert(Warp& w, const Inst& in, uint32_t mask) {
  typename S::Raw from[kLanes];
  typename D::Raw to[kLanes];
  read_lanes(w, in.op[1], in.register_bytes, from);
  const uint16_t mode = in.mode;
  for (int i = 0; i < kLanes; ++i) to[i] = Convert<D, S>::of(from[i], mode);
  write_lanes(w, in.op[0], in.bytes, mask, to);
}

template <class D>
Run from(Type s) {
  switch (s) {
    case Type::u8: return convert<D, Int<uint8_t>>;
    case Type::s8: return convert<D, Int<int8_t>>;
    case Type::u16: return convert<D, Int<uint16_t>>;
    case Type::s16: return convert<D, Int<int16_t>>;
    case Type::u32: return convert<D, Int<uint32_t>>;
    case Type::s32: return convert<D, Int<int32_t>>;
    case Type::u64: return convert<D, Int<uint64_t>>;
    case Type::s64: return convert<D, Int<int64_t>>;
    case Type::f16: return convert<D, F16>;
    case Type::bf16: return convert<D, BF16>;
    case Type::f32: return convert<D, F32>;
    case Type::f64: return convert<D, F64>;
    default: return nullptr;
  }
}
Run pair_of(Type d, Type s) {
  switch (d) {
    case Type::u8: return from<Int<uint8_t>>(s);
    case Type::s8: return from<Int<int8_t>>(s);
    case Type::u16: return from<Int<uint16_t>>(s);
    case Type::s16: return from<Int<int16_t>>(s);
    case Type::u32: return from<Int<uint32_t>>(s);
    case Type::s32: return from<Int<int32_t>>(s);
    case Type::u64: return from<Int<uint64_t>>(s);
    case Type::s64: return from<Int<int64_t>>(s);
    case Type::f16: return from<F16>(s);
    case Type::bf16: return from<BF16>(s);
    case Type::f32: return from<F32>(s);
    case Type::f64: return from<F64>(s);
    default: return nullptr;
  }
}

// ---- the forms that inner loops are made of
template <class H>
void narrow_one(Warp& w, const Inst& in, uint32_t mask) {
  const float* a = w.lanes<float>(in.op[1]);
  write<uint16_t>(w, in.op[0], mask, [=](int i) { return H::narrow(a[i]); });
}
template <class H>
void widen_one(Warp& w, const Inst& in, uint32_t mask) {
  const uint16_t* a = w.lanes<uint16_t>(in.op[1]);
  write<float>(w, in.op[0], mask, [=](int i) { return H::widen(a[i]); });
}
template <class D, class S>
void cast(Warp& w, const Inst& in, uint32_t mask) {
  const S* a = w.lanes<S>(in.op[1]);
  write<D>(w, in.op[0], mask, [=](int i) { return static_cast<D>(a[i]); });
}

// d = {a, b}: the first operand is the upper half.
template <class H>
void pack(Warp& w, const Inst& in, uint32_t mask) {
  const float *a = w.lanes<float>(in.op[1]), *b = w.lanes<float>(in.op[2]);
  if (in.mode == 0)
    return write<uint32_t>(w, in.op[0], mask,
                           [=](int i) { return static_cast<uint32_t>(H::narrow(a[i])) << 16 | H::narrow(b[i]); });
  const uint16_t mode = in.mode;
  write<uint32_t>(w, in.op[0], mask, [=](int i) {
    return static_cast<uint32_t>(sim::narrow<H>(a[i], mode)) << 16 | sim::narrow<H>(b[i], mode);
  });
}

const Format& fp8(Type t) {
  static constexpr Format e4m3 = kE4m3, e5m2 = kE5m2;
  return t == Type::e4m3x2 ? e4m3 : e5m2;
}
void pack_fp8(Warp& w, const Inst& in, uint32_t mask) {
  const Format f = fp8(static_cast<Type>(in.count));
  const float *a = w.lanes<float>(in.op[1]), *b = w.lanes<float>(in.op[2]);
  const bool relu = (in.mode & kRelu) != 0;
  write<uint16_t>(w, in.op[0], mask, [=](int i) {
    const float x = relu && a[i] < 0 ? 0 : a[i], y = relu && b[i] < 0 ? 0 : b[i];
    return static_cast<uint16_t>(encode(x, f, Round::nearest_even, true) << 8 |
                                 encode(y, f, Round::nearest_even, true));
  });
}
template <class H>
void half_to_fp8(Warp& w, const Inst& in, uint32_t mask) {
  const Format f = fp8(static_cast<Type>(in.count));
  const uint32_t* a = w.lanes<uint32_t>(in.op[1]);
  const bool relu = (in.mode & kRelu) != 0;
  write<uint16_t>(w, in.op[0], mask, [=](int i) {
    float x = H::widen(static_cast<uint16_t>(a[i] >> 16)), y = H::widen(static_cast<uint16_t>(a[i]));
    if (relu) x = x < 0 ? 0 : x, y = y < 0 ? 0 : y;
    return static_cast<uint16_t>(encode(x, f, Round::nearest_even, true) << 8 |
                                 encode(y, f, Round::nearest_even, true));
  });
}
void fp8_to_half(Warp& w, const Inst& in, uint32_t mask) {
  const Format f = fp8(static_cast<Type>(in.count));
  const uint16_t* a = w.lanes<uint16_t>(in.op[1]);
  const bool relu = (in.mode & kRelu) != 0;
  write<uint32_t>(w, in.op[0], mask, [=](int i) {
    double x = decode(a[i] >> 8, f), y = decode(a[i] & 0xFF, f);
    if (relu) x = x < 0 ? 0 : x, y = y < 0 ? 0 : y;
    return encode(x, kF16) << 16 | encode(y, kF16);
  });
}
void to_tf32(Warp& w, const Inst& in, uint32_t mask) {
  const float* a = w.lanes<float>(in.op[1]);
  const uint16_t mode = in.mode;
  write<uint32_t>(w, in.op[0], mask, [=](int i) {
    float x = a[i];
    if ((mode & kRelu) != 0 && x < 0) x = 0;
    return encode(x, kTf32, round_of(mode), (mode & kFinite) != 0) << 13;
  });
}

template <class T>
void pack_bytes(Warp& w, const Inst& in,
                uint32_t mask) {  // cvt.pack.sat.{u8,s8}.s32.b32: two bytes, c's lower half above
  const int32_t *a = w.lanes<int32_t>(in.op[1]), *b = w.lanes<int32_t>(in.op[2]);
  const uint32_t* c = w.lanes<uint32_t>(in.op[3]);
  const bool has_c = in.mode != 0;
  write<uint32_t>(w, in.op[0], mask, [=](int i) {
    const auto clamp = [](int32_t x) {
      const int32_t low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
      return static_cast<std::make_unsigned_t<T>>(x < low ? low : x > high ? high : x);
    };
    const uint32_t both = static_cast<uint32_t>(clamp(a[i])) << sizeof(T) * 8 | clamp(b[i]);
    return has_c ? c[i] << 16 | both : both;
  });
}

void cvt_pack(Binder& b) {
  if (!b.take("sat")) b.refuse(".sat is missing");
  const Type to = b.take_type();
  b.take_type();
  const bool four = b.take("b32");
  b.set(to == Type::u8    ? pack_bytes<uint8_t>
        : to == Type::s8  ? pack_bytes<int8_t>
        : to == Type::u16 ? pack_bytes<uint16_t>
        : to == Type::s16 ? pack_bytes<int16_t>
                          : nullptr,
        Class::convert);
  b.out.op[0] = b.result(0, Type::b32);
  b.out.op[1] = b.source(1, Type::b32);
  b.out.op[2] = b.source(2, Type::b32);
  if (four) b.out.op[3] = b.source(3, Type::b32);
  b.out.mode = four;
}

void cvt(Binder& b) {
  if (b.take("pack")) return cvt_pack(b);
  const bool whole = b.has("rni") || b.has("rzi") || b.has("rmi") || b.has("rpi");
  const bool given = whole || b.has("rn") || b.has("rz") || b.has("rm") || b.has("rp") || b.has("rna");
  const Round round = b.rounding(Round::nearest_even);
  const bool ftz = b.take("ftz"), relu = b.take("relu"), finite = b.take("satfinite"), sat = b.take("sat");
  const Type d = b.take_type(), s = b.take_type();
  uint16_t mode = static_cast<uint16_t>(static_cast<int>(round) | ftz << 4 | sat << 5 | relu << 6 | finite << 7);
  b.out.mode = mode;
  b.out.kind = Class::convert;
  if (d == Type::f16x2 || d == Type::bf16x2) {
    if (s == Type::f32) {
      b.set(d == Type::f16x2 ? pack<Half> : pack<Bf16>, Class::convert);
      b.out.op[2] = b.source(2, s);
    } else if (d == Type::f16x2 && (s == Type::e4m3x2 || s == Type::e5m2x2)) {
      b.set(fp8_to_half, Class::convert);
      b.out.count = static_cast<uint8_t>(s);
    } else {
      b.refuse("no such pair of types");
    }
    b.out.op[0] = b.result(0, d);
    b.out.op[1] = b.source(1, s);
    return;
  }
  if (d == Type::e4m3x2 || d == Type::e5m2x2) {
    b.out.count = static_cast<uint8_t>(d);
    b.out.op[0] = b.result(0, Type::b16);
    b.out.op[1] = b.source(1, s);
    if (s == Type::f32) b.out.op[2] = b.source(2, s);
    b.set(s == Type::f32      ? pack_fp8
          : s == Type::f16x2  ? half_to_fp8<Half>
          : s == Type::bf16x2 ? half_to_fp8<Bf16>
                              : nullptr,
          Class::convert);
    return;
  }
  if (d == Type::tf32) {
    if (s != Type::f32) b.refuse("tf32 is made from f32");
    b.set(to_tf32, Class::convert);
    b.out.op[0] = b.result(0, Type::b32);
    b.out.op[1] = b.source(1, Type::f32);
    return;
  }
  const bool float_d = ptx::is_float(d), float_s = ptx::is_float(s);
  if (whole && float_d && float_s) mode |= kIntegral;
  if (!given && ((!float_d && float_s) || (float_d && !float_s))) b.refuse("a rounding is missing");
  const Operand &to = b.operand(0), &what = b.operand(1);
  const unsigned to_bytes = b.width(to, std::max(2u, ptx::size_of(d))),
                 from_bytes = b.width(what, std::max(2u, ptx::size_of(s)));
  if (to_bytes < ptx::size_of(d) || from_bytes < ptx::size_of(s)) b.refuse("a register is too narrow");
  const auto of_size = [](unsigned n) { return n == 2 ? Type::b16 : n == 4 ? Type::b32 : Type::b64; };
  b.out.mode = mode;
  b.out.bytes = static_cast<uint8_t>(to_bytes);
  b.out.register_bytes = static_cast<uint8_t>(from_bytes);
  b.out.op[0] = b.result(to, of_size(to_bytes));
  b.out.op[1] = b.source(what, what.kind == Operand::Kind::reg ? of_size(from_bytes) : s);
  Run run = pair_of(d, s);
  const bool natural = to_bytes == std::max(2u, ptx::size_of(d)) && from_bytes == std::max(2u, ptx::size_of(s)) &&
                       ptx::size_of(d) > 1 && ptx::size_of(s) > 1;
  if (natural && mode == 0) {
    if (s == Type::f32 && d == Type::f16) run = narrow_one<Half>;
    if (s == Type::f32 && d == Type::bf16) run = narrow_one<Bf16>;
    if (d == Type::f32 && s == Type::f16) run = widen_one<Half>;
    if (d == Type::f32 && s == Type::bf16) run = widen_one<Bf16>;
    if (d == Type::u64 && s == Type::u32) run = cast<uint64_t, uint32_t>;
    if (d == Type::s64 && s == Type::s32) run = cast<int64_t, int32_t>;
    if (ptx::size_of(d) == 4 && !float_d && (s == Type::u64 || s == Type::s64)) run = cast<uint32_t, uint64_t>;
    if (d == Type::f32 && s == Type::s32) run = cast<float, int32_t>;
    if (d == Type::f32 && s == Type::u32) run = cast<float, uint32_t>;
    if (d == Type::f64 && s == Type::f32) run = cast<double, float>;
  }
  b.set(run, Class::convert);
}

}  // namespace

const Row kConvertRows[] = {{"cvt", cvt}, {nullptr, nullptr}};

}  // namespace sim
