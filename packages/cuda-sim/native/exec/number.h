// Numbers that C++ has no type for: f16, bf16, tf32, the two fp8, and rounding to them.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace sim {

template <class To, class From>
inline To bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}

enum class Round : uint8_t { nearest_even, zero, down, up, nearest_away };

// A binary format by its widths. `finite`: no infinities, one NaN with all bits set (e4m3).
struct Format {
  int exponent, mantissa;
  bool finite = false;
  constexpr int bias() const { return (1 << (exponent - 1)) - 1; }
  constexpr int width() const { return 1 + exponent + mantissa; }
};
constexpr Format kF16{5, 10}, kBf16{8, 7}, kTf32{8, 10}, kF32{8, 23}, kE4m3{4, 3, true}, kE5m2{5, 2};

// The bits of x in a format. `saturate`: what is too large becomes the largest finite number.
inline uint32_t encode(double x, Format f, Round round = Round::nearest_even, bool saturate = false) {
  const uint64_t b = bits<uint64_t>(x);
  const uint32_t sign = static_cast<uint32_t>(b >> 63) << (f.width() - 1);
  const uint32_t infinity = ((1u << f.exponent) - 1) << f.mantissa;
  if (std::isnan(x))
    return f.finite ? (1u << (f.width() - 1)) - 1
                    : (f.width() == 8 ? infinity | 3u : (infinity | ((1u << f.mantissa) - 1)));
  const uint32_t largest = f.finite ? infinity | ((1u << f.mantissa) - 2) : infinity - 1;
  if (std::isinf(x)) return sign | (saturate ? largest : f.finite ? infinity | ((1u << f.mantissa) - 1) : infinity);
  int e = static_cast<int>(b >> 52 & 0x7FF) - 1023;
  uint64_t m = b & ((uint64_t{1} << 52) - 1);
  if (e == -1023) {
    if (m == 0) return sign;
    e = -1022;  // a subnormal double: far below every format here
  } else {
    m |= uint64_t{1} << 52;
  }
  // Keep mantissa+1 bits, fewer when the result is subnormal.
  int shift = 52 - f.mantissa;
  int biased = e + f.bias();
  if (biased < 1) {
    shift += 1 - biased;
    biased = 0;
  }
  uint64_t kept, rest, half;
  if (shift > 63) {
    kept = 0;
    rest = 1;
    half = 2;
  } else {
    kept = m >> shift;
    rest = m & ((uint64_t{1} << shift) - 1);
    half = uint64_t{1} << (shift - 1);
  }
  bool up = false;
  switch (round) {
    case Round::nearest_even: up = rest > half || (rest == half && (kept & 1) != 0); break;
    case Round::nearest_away: up = rest >= half; break;
    case Round::zero: break;
    case Round::down: up = rest != 0 && sign != 0; break;
    case Round::up: up = rest != 0 && sign == 0; break;
  }
  kept += up;
  // kept holds the hidden bit: adding it to the exponent below carries where rounding did.
  const uint64_t magnitude = biased == 0 ? kept : (static_cast<uint64_t>(biased - 1) << f.mantissa) + kept;
  const uint32_t limit = f.finite ? largest + 1 : infinity;
  if (magnitude >= limit) {
    const bool towards_zero =
        round == Round::zero || (round == Round::down && sign == 0) || (round == Round::up && sign != 0);
    if (saturate || towards_zero) return sign | largest;
    return sign | (f.finite ? infinity | ((1u << f.mantissa) - 1) : infinity);
  }
  return sign | static_cast<uint32_t>(magnitude);
}

inline double decode(uint32_t x, Format f) {
  const double sign = (x >> (f.width() - 1) & 1) != 0 ? -1 : 1;
  const uint32_t e = x >> f.mantissa & ((1u << f.exponent) - 1), m = x & ((1u << f.mantissa) - 1);
  const uint32_t top = (1u << f.exponent) - 1;
  if (e == top && (f.finite ? m == (1u << f.mantissa) - 1 : true)) {
    if (f.finite || m != 0) return std::nan("");
    return sign * INFINITY;
  }
  if (e == 0) return sign * std::ldexp(static_cast<double>(m), 1 - f.bias() - f.mantissa);
  return sign * std::ldexp(static_cast<double>(m | 1u << f.mantissa), static_cast<int>(e) - f.bias() - f.mantissa);
}

// ---- f32 <-> 16 bits, in a form that compilers turn into vector code.
inline float from_bf16(uint16_t x) { return bits<float>(static_cast<uint32_t>(x) << 16); }
inline uint16_t to_bf16(float x) {
  const uint32_t u = bits<uint32_t>(x);
  const uint32_t rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
  return static_cast<uint16_t>((u & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFF : rounded);
}
inline float from_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, rest = h & 0x7FFF;
  // Exponents move by a product with 2^112, which also makes subnormals right; infinities and NaNs keep theirs.
  const float f = bits<float>(rest << 13) * bits<float>(0x77800000u);
  const uint32_t u = rest >= 0x7C00 ? (rest << 13 | 0x7F800000) : bits<uint32_t>(f);
  return bits<float>(u | sign);
}
inline uint16_t to_f16(float x) {
  const uint32_t u = bits<uint32_t>(x), sign = u >> 16 & 0x8000, a = u & 0x7FFFFFFF;
  // Subnormal results: adding 0.5 leaves the bits wanted at the end of the sum, rounded by the addition.
  const uint32_t small = bits<uint32_t>(bits<float>(a) + 0.5f) - 0x3F000000;
  const uint32_t normal = (a + 0xC8000FFF + (a >> 13 & 1)) >> 13;
  const uint32_t r = a > 0x7F800000 ? 0x7FFF : a >= 0x47800000 ? 0x7C00 : a < 0x38800000 ? small : normal;
  return static_cast<uint16_t>((a > 0x7F800000 ? 0 : sign) | r);
}

struct Half {
  using Float = float;
  static float widen(uint16_t x) { return from_f16(x); }
  static uint16_t narrow(float x) { return to_f16(x); }
  static constexpr Format format = kF16;
  static constexpr uint16_t nan = 0x7FFF;
};
struct Bf16 {
  static float widen(uint16_t x) { return from_bf16(x); }
  static uint16_t narrow(float x) { return to_bf16(x); }
  static constexpr Format format = kBf16;
  static constexpr uint16_t nan = 0x7FFF;
};

// a * b + c rounded to odd, so that a second rounding to a narrower format is the only one that counts.
inline double fused_to_odd(float a, float b, float c) {
  const double p = static_cast<double>(a) * b, d = c;  // exact: 48 bits
  const double s = p + d;
  const double t = s - p;
  const double error = (p - (s - t)) + (d - t);
  const uint64_t u = bits<uint64_t>(s);
  if (error == 0 || (u & 1) != 0 || !std::isfinite(s)) return s;
  // The exact value lies beside s, on the side of the error: step there when that is towards zero, else set the bit.
  return bits<double>((error > 0) == (s > 0) ? u | 1 : u - 1);
}

inline float flush(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }

}  // namespace sim
