// Where a kernel's results go. One that no cache will hold until it is read is written past the caches: a line that is
// stored to is otherwise read first, a third of the traffic of a copy.
#pragma once
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

// Past the caches where the CPU can.
SHAKTI_INLINE void stream_bytes(void* to, const void* from, size_t n) {
  auto* p = static_cast<char*>(to);
  const auto* q = static_cast<const char*>(from);
#if defined(__SSE2__)
  size_t head = static_cast<size_t>(-reinterpret_cast<intptr_t>(p)) & 63;
  if (head > n) head = n;
  if (head > 0) std::memcpy(p, q, head);
  size_t i = head;
  for (; i + 64 <= n; i += 64) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(p + i), _mm512_loadu_si512(q + i));
#else
    for (size_t k = i; k < i + 64; k += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(p + k), _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + k)));
#endif
  }
  if (i < n) std::memcpy(p + i, q + i, n - i);
#else
  std::memcpy(p, q, n);
#endif
}

// A vector to a place of its own size's multiple, past the caches where the CPU can.
SHAKTI_INLINE void stream(float* p, vf v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}

// At the end of a chunk: what was written past the caches is there for whoever is told so.
SHAKTI_INLINE void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// A contiguous result, of a float type unless only `copy` is used.
class Output {
 public:
  Output(const Args& a, int i, const Context& c) : o_(a.out[i]) {
    past_ = static_cast<size_t>(o_.numel()) * dtype_size(o_.dtype) > c.cache_bytes();
    // What is written where it was read is in the caches already.
    for (int k = 0; k < a.n_in; ++k) past_ = past_ && a.in[k].data != o_.data;
  }

  // Where to compute n places from `at`: their own memory or the buffer. Then put() with the same pointer.
  SHAKTI_INLINE float* place(int64_t at, float* buffer) const {
    return o_.dtype == DType::f32 && !past_ ? o_.ptr<float>() + at : buffer;
  }
  SHAKTI_INLINE void put(int64_t at, const float* from, int64_t n) const {
    if (o_.dtype == DType::f32 && !past_) return;
    write(at, from, n);
  }
  // Calls f(write) for the row of n places from `at`, each of which it writes once, in their order, by
  // write(i, v, count, part). An f32 row of whole cache lines goes from registers to where it belongs; others that are
  // not written as they are pass through the buffer.
  template <class F>
  SHAKTI_INLINE void row(int64_t at, int64_t n, float* buffer, const F& f) const {
    float* own = o_.ptr<float>() + at;
    if (past_ && o_.dtype == DType::f32 && (reinterpret_cast<uintptr_t>(own) | static_cast<uintptr_t>(n * 4)) % 64 == 0)
      return f([own](int64_t i, vf v, int64_t, bool) __attribute__((always_inline)) { stream(own + i, v); });
    float* to = place(at, buffer);
    f([to](int64_t i, vf v, int64_t m, bool part) __attribute__((always_inline)) { store_n(to + i, v, m, part); });
    put(at, to, n);
  }
  // Whether results are written past the caches.
  bool past() const { return past_; }
  // Bytes as they are.
  SHAKTI_INLINE void copy(void* to, const void* from, size_t n) const {
    if (past_)
      stream_bytes(to, from, n);
    else
      std::memcpy(to, from, n);
  }
  SHAKTI_INLINE void finish() const {
    if (past_) finish_streams();
  }
  // n values from anywhere else. Not inlined: called once a tile or row.
  __attribute__((noinline)) void write(int64_t at, const float* from, int64_t n) const {
    if (!past_) return scatter_f32(o_, at, from, n);
    if (o_.dtype == DType::f32) return stream_bytes(o_.ptr<float>() + at, from, static_cast<size_t>(n) * 4);
    constexpr int64_t kPart = 2048;
    alignas(64) uint16_t part[kPart];
    for (int64_t i = 0; i < n; i += kPart) {
      const int64_t m = n - i < kPart ? n - i : kPart;
      if (o_.dtype == DType::bf16)
        narrow<true>(part, from + i, m);
      else
        narrow<false>(part, from + i, m);
      stream_bytes(o_.ptr<uint16_t>() + at + i, part, static_cast<size_t>(m) * 2);
    }
  }

 private:
  const Operand& o_;
  bool past_;
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
