// Calls checks and kernels without the addon: operands in heap blocks of their exact size (so that AddressSanitizer
// sees a step outside), random layouts, and a serial Context. One binary an instruction set.
#pragma once
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../../src/runtime/op.h"
#include "expect.h"

#define DECLARE_OP(name)                                      \
  namespace shakti {                                          \
  Status check_##name(const Args&);                           \
  size_t workspace_##name(const Args&) __attribute__((weak)); \
  }                                                           \
  namespace SHAKTI_ISA_NS {                                   \
  void run_##name(const Args&, Context&);                     \
  }
#define OP_OF(name) \
  Called { #name, shakti::check_##name, shakti::workspace_##name, SHAKTI_ISA_NS::run_##name }

using namespace shakti;

inline std::string late;  // what a kernel reported

namespace shakti {
inline int pretend_threads = 1;
// Small, so that results are written both ways.
inline size_t pretend_cache_bytes = 4096;
inline void* scratch_of() {
  static void* p = std::aligned_alloc(64, Context::kScratchBytes);
  return p;
}
#ifdef HARNESS_MAIN
const char* dtype_name(DType t) {
  static const char* names[] = {"f32", "bf16", "f16", "f64", "i32", "i64", "u8", "bool"};
  return names[static_cast<int>(t)];
}
// Chunks run backwards: their order must not matter.
void Context::parallel_for_raw(int64_t n, int64_t grain, ChunkFn fn, void* closure) {
  if (n > 0 && grain < 1) {
    std::printf("FAIL grain %lld\n", static_cast<long long>(grain));
    std::abort();
  }
  for (int64_t i = n > 0 ? (n - 1) / grain : -1; i >= 0; --i) fn(closure, i * grain, std::min(n, (i + 1) * grain), 0);
}
int Context::threads() const { return pretend_threads; }
size_t Context::cache_bytes() const { return pretend_cache_bytes; }
void* Context::scratch(int) { return scratch_of(); }
void Context::fail(const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (late.empty()) late = text;
}
#endif
}  // namespace shakti

// A generator of test numbers; nothing to do with the library's.
inline uint64_t rng_state = 88172645463325252ull;
inline uint64_t rng() {
  rng_state ^= rng_state << 13;
  rng_state ^= rng_state >> 7;
  return rng_state ^= rng_state << 17;
}
inline int64_t pick(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}
inline double real(double low, double high) { return low + (high - low) * static_cast<double>(rng() >> 11) * 0x1p-53; }

inline float half_to_float(uint16_t h) {
  const int e = h >> 10 & 31;
  const float m = static_cast<float>(h & 1023), s = h & 0x8000 ? -1.0f : 1.0f;
  if (e == 31) return m == 0 ? s * INFINITY : NAN;
  return s * (e == 0 ? m * 0x1p-24f : std::ldexp(1024 + m, e - 25));
}
inline double get(const Operand& o, int64_t at) {
  switch (o.dtype) {
    case DType::f32: return static_cast<double>(o.ptr<float>()[at]);
    case DType::f64: return o.ptr<double>()[at];
    case DType::i32: return o.ptr<int32_t>()[at];
    case DType::i64: return static_cast<double>(o.ptr<int64_t>()[at]);
    case DType::bf16: {
      const uint32_t u = static_cast<uint32_t>(o.ptr<uint16_t>()[at]) << 16;
      float f;
      std::memcpy(&f, &u, 4);
      return static_cast<double>(f);
    }
    case DType::f16: return static_cast<double>(half_to_float(o.ptr<uint16_t>()[at]));
    default: return o.ptr<uint8_t>()[at];
  }
}
inline void put(const Operand& o, int64_t at, double v) {
  switch (o.dtype) {
    case DType::f32: o.ptr<float>()[at] = static_cast<float>(v); break;
    case DType::f64: o.ptr<double>()[at] = v; break;
    case DType::i32: o.ptr<int32_t>()[at] = static_cast<int32_t>(v); break;
    case DType::i64: o.ptr<int64_t>()[at] = static_cast<int64_t>(v); break;
    case DType::bf16: {
      const float f = static_cast<float>(v);
      uint32_t u;
      std::memcpy(&u, &f, 4);
      o.ptr<uint16_t>()[at] = static_cast<uint16_t>(v != v ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
      break;
    }
    case DType::f16: {
      // Through the integers: exact scaling, then the FPU's rounding to even.
      const double a = std::fabs(v);
      uint16_t h = 0x7e00;
      if (v == v) {
        int e = a == 0 ? -14 : std::ilogb(a);
        if (e < -14) e = -14;
        const auto m = static_cast<int64_t>(std::nearbyint(std::ldexp(a, 10 - e)));
        const int64_t bits = a >= 65520 ? 0x7c00 : e == -14 ? m : m + (static_cast<int64_t>(e + 14) << 10);
        h = static_cast<uint16_t>(bits | (std::signbit(v) ? 0x8000 : 0));
      }
      o.ptr<uint16_t>()[at] = h;
      break;
    }
    case DType::boolean: o.ptr<uint8_t>()[at] = v != 0; break;
    default: o.ptr<uint8_t>()[at] = static_cast<uint8_t>(v);
  }
}

using Shape = std::vector<int64_t>;

struct Tensor {
  Operand o{};
  std::shared_ptr<char> block;

  bool here() const { return o.data != nullptr; }
  // Element offset of the row-major place i.
  int64_t at(int64_t i) const {
    int64_t r = 0;
    for (int d = o.ndim - 1; d >= 0; --d) {
      r += i % o.shape[d] * o.strides[d];
      i /= o.shape[d];
    }
    return r;
  }
  double operator[](int64_t i) const { return get(o, at(i)); }
  void set(int64_t i, double v) const { put(o, at(i), v); }
  int64_t numel() const { return o.numel(); }
};

// Where blocks begin: on a whole cache line, or every other one an element later, as a view may.
inline bool on_whole_lines = false;

// layout 0: contiguous; 1: dimensions in another order; 2: gaps as well; 3: some dimensions expanded (inputs only).
inline Tensor tensor(const Shape& shape, DType t, int layout = 0) {
  Tensor x;
  x.o.ndim = static_cast<int32_t>(shape.size());
  x.o.dtype = t;
  std::vector<int> order;
  for (int d = 0; d < x.o.ndim; ++d) {
    x.o.shape[d] = shape[static_cast<size_t>(d)];
    order.push_back(d);
  }
  if (layout > 0) {
    for (int i = x.o.ndim - 1; i > 0; --i)
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(pick(0, i))]);
  }
  int64_t step = layout >= 2 ? pick(1, 2) : 1;
  for (int i = x.o.ndim - 1; i >= 0; --i) {
    const int d = order[static_cast<size_t>(i)];
    if (layout == 3 && pick(0, 2) == 0) continue;
    x.o.strides[d] = step;
    step *= layout == 0 ? x.o.shape[d] : std::max<int64_t>(x.o.shape[d], 1);
    if (layout >= 2) step += pick(0, 2);
  }
  int64_t last = 0;
  for (int d = 0; d < x.o.ndim; ++d) last += (x.o.shape[d] - 1) * x.o.strides[d];
  const size_t bytes = x.numel() > 0 ? static_cast<size_t>(last + 1) * dtype_size(t) : 1;
  static int blocks = 0;
  const size_t skipped = !on_whole_lines && ++blocks % 2 == 0 ? dtype_size(t) : 0;
  void* block = nullptr;
  if (posix_memalign(&block, 64, skipped + bytes) != 0) std::abort();
  x.block = std::shared_ptr<char>(static_cast<char*>(block), std::free);
  x.o.data = x.block.get() + skipped;
  std::memset(x.o.data, t == DType::boolean ? 0 : 0x3c, bytes);
  return x;
}
inline Tensor filled(const Shape& shape, DType t, int layout, double low, double high) {
  Tensor x = tensor(shape, t, layout);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.set(i, t == DType::boolean ? static_cast<double>(pick(0, 1)) : real(low, high));
  return x;
}
inline Tensor absent() { return {}; }

struct Called {
  const char* name;
  CheckFn check;
  WorkspaceFn workspace;
  RunFn run;

  Status refused(const std::vector<Tensor>& in, const std::vector<Tensor>& out,
                 const std::vector<double>& attrs) const {
    return call(in, out, attrs, false);
  }
  // False when the check refuses (which is then a failure of the test).
  bool operator()(const std::vector<Tensor>& in, const std::vector<Tensor>& out,
                  const std::vector<double>& attrs = {}) const {
    const Status s = call(in, out, attrs, true);
    EXPECT(s, "%s refused: %s", name, s.message);
    return static_cast<bool>(s);
  }

 private:
  Status call(const std::vector<Tensor>& in, const std::vector<Tensor>& out, const std::vector<double>& attrs,
              bool run_it) const {
    std::vector<Operand> i, o;
    for (const Tensor& t : in) i.push_back(t.o);
    for (const Tensor& t : out) o.push_back(t.o);
    Args args{i.data(),
              o.data(),
              attrs.data(),
              static_cast<int32_t>(i.size()),
              static_cast<int32_t>(o.size()),
              static_cast<int32_t>(attrs.size()),
              nullptr};
    Status s = check(args);
    if (!s || !run_it) return s;
    const size_t bytes = workspace ? workspace(args) : 0;
    void* memory = nullptr;
    if (bytes > 0 && posix_memalign(&memory, 64, bytes) != 0) std::abort();
    args.workspace = memory;
    Context context;
    late.clear();
    run(args, context);
    std::free(memory);
    return s;
  }
};

// How far one rounding to t may be off, relatively.
inline double eps(DType t) {
  switch (t) {
    case DType::f32: return 0x1p-23;
    case DType::bf16: return 0x1p-8;
    case DType::f16: return 0x1p-10;
    case DType::f64: return 0x1p-52;
    default: return 0;
  }
}
inline bool close(double got, double want, double rtol, double atol) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::fabs(got - want) <= atol + rtol * std::fabs(want);
}
