// What this machine can do at most, on one thread and on as many as asked: multiply-adds from registers, and a copy through
// memory. Built with -march=native by limits.ts and run beside the works; prints one JSON object.
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(int threads, const std::function<void(int)>& work) {
  double best = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = Clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (auto& other : others) other.join();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

volatile float sink;
constexpr long kRounds = 20'000'000;

#if defined(__AVX512F__)
// Twelve sums in flight, each named, so that none lives in memory: latency 4 over two units needs eight.
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(i) __m512 s##i = _mm512_setzero_ps();
#define TOTAL(i) sum = _mm512_add_ps(sum, s##i);

void fma_f32(int) {
  TWELVE(DECLARE)
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (long i = 0; i < kRounds; ++i) {
#define STEP(i) asm volatile("vfmadd231ps %1, %2, %0" : "+v"(s##i) : "v"(a), "v"(b));
    TWELVE(STEP)
#undef STEP
  }
  __m512 sum = _mm512_setzero_ps();
  TWELVE(TOTAL)
  sink = _mm512_reduce_add_ps(sum);
}
constexpr double kFlopsF32 = 12.0 * 16 * 2 * kRounds;
#else
void fma_f32(int) {
  __m256 s[12] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (long i = 0; i < kRounds; ++i)
    for (auto& x : s) asm volatile("vfmadd231ps %1, %2, %0" : "+x"(x) : "x"(a), "x"(b));
  float sum = 0;
  for (auto& x : s) sum += x[0];
  sink = sum;
}
constexpr double kFlopsF32 = 12.0 * 8 * 2 * kRounds;
#endif

#if defined(__AVX512BF16__)
void dot_bf16(int) {
  TWELVE(DECLARE)
  __m512i a = _mm512_set1_epi32(0x3f003f00), b = a;
  for (long i = 0; i < kRounds; ++i) {
#define STEP(i) asm volatile("vdpbf16ps %1, %2, %0" : "+v"(s##i) : "v"(a), "v"(b));
    TWELVE(STEP)
#undef STEP
  }
  __m512 sum = _mm512_setzero_ps();
  TWELVE(TOTAL)
  sink = _mm512_reduce_add_ps(sum);
}
constexpr double kFlopsBf16 = 12.0 * 32 * 2 * kRounds;
#endif

// Bytes read and written by a copy of `bytes` a thread, as memcpy does it; written lines are read first, which the count
// leaves out, as it does for the kernels.
double copy_rate(int threads, size_t bytes) {
  std::vector<char*> from(threads), to(threads);
  for (int t = 0; t < threads; ++t) {
    from[t] = static_cast<char*>(aligned_alloc(4096, bytes));
    to[t] = static_cast<char*>(aligned_alloc(4096, bytes));
    std::fill_n(from[t], bytes, 1);
    std::fill_n(to[t], bytes, 2);
  }
  const int rounds = static_cast<int>(std::max<size_t>(1, (size_t{1} << 30) / bytes));
  const double s = seconds_of(threads, [&](int t) {
    for (int i = 0; i < rounds; ++i) {
      auto* a = reinterpret_cast<__m256i*>(from[t]);
      auto* b = reinterpret_cast<__m256i*>(to[t]);
      for (size_t k = 0; k < bytes / 32; ++k) _mm256_store_si256(b + k, _mm256_load_si256(a + k));
      asm volatile("" ::: "memory");
    }
  });
  for (int t = 0; t < threads; ++t) {
    free(from[t]);
    free(to[t]);
  }
  return 2.0 * bytes * rounds * threads / s;
}

double read_rate(int threads, size_t bytes) {
  std::vector<char*> from(threads);
  for (auto& p : from) {
    p = static_cast<char*>(aligned_alloc(4096, bytes));
    std::fill_n(p, bytes, 1);
  }
  const double s = seconds_of(threads, [&](int t) {
    __m256i sums[4] = {};
    auto* a = reinterpret_cast<__m256i*>(from[t]);
    for (size_t k = 0; k < bytes / 32; k += 4)
      for (int j = 0; j < 4; ++j) sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256(a + k + j));
    sink = static_cast<float>(_mm256_extract_epi32(sums[0] ^ sums[1] ^ sums[2] ^ sums[3], 0));
  });
  for (auto* p : from) free(p);
  return 1.0 * bytes * threads / s;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  printf("{\"f32\": %.4g", kFlopsF32 * threads / seconds_of(threads, fma_f32));
#if defined(__AVX512BF16__)
  printf(", \"bf16\": %.4g", kFlopsBf16 * threads / seconds_of(threads, dot_bf16));
#endif
  // Of 8 MiB a thread (inside a large last cache), and far outside of any.
  printf(", \"copySmall\": %.4g, \"copy\": %.4g, \"read\": %.4g}\n", copy_rate(threads, size_t{8} << 20),
         copy_rate(threads, size_t{256} << 20), read_rate(threads, size_t{512} << 20));
}
