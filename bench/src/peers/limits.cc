// What this machine can do at most on as many threads as asked: multiply-adds from registers, a copy and a read through
// memory. Built with -march=native by index.ts and run beside the works; prints one JSON object.
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
typedef float Lanes __attribute__((vector_size(64)));
#else
typedef float Lanes __attribute__((vector_size(32)));
#endif
constexpr int kLanes = sizeof(Lanes) / sizeof(float);

// Twelve sums in flight, each named, so that none lives in memory: latency 4 over two units needs eight.
#define TWELVE(X, instruction)                                                                                   \
  X(0, instruction) X(1, instruction) X(2, instruction) X(3, instruction) X(4, instruction) X(5, instruction)    \
  X(6, instruction) X(7, instruction) X(8, instruction) X(9, instruction) X(10, instruction) X(11, instruction)
#define DECLARE(i, instruction) Lanes s##i = {};
#define STEP(i, instruction) asm volatile(instruction " %1, %2, %0" : "+x"(s##i) : "x"(a), "x"(a));
#define TOTAL(i, instruction) sum += s##i;
#define FROM_REGISTERS(name, instruction)                                        \
  void name(int) {                                                               \
    Lanes a, sum = {};                                                           \
    for (int i = 0; i < kLanes; ++i) a[i] = 0.5f;                                \
    TWELVE(DECLARE, instruction)                                                 \
    for (long i = 0; i < kRounds; ++i) TWELVE_IN(instruction)                    \
    TWELVE(TOTAL, instruction)                                                   \
    sink = sum[0];                                                               \
  }
#define TWELVE_IN(instruction) { TWELVE(STEP, instruction) }

FROM_REGISTERS(fma_f32, "vfmadd231ps")
constexpr double kFlopsF32 = 12.0 * kLanes * 2 * kRounds;
#if defined(__AVX512BF16__)
FROM_REGISTERS(dot_bf16, "vdpbf16ps")
constexpr double kFlopsBf16 = 2 * kFlopsF32;
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
  // Far outside of any cache.
  printf(", \"copy\": %.4g, \"read\": %.4g}\n", copy_rate(threads, size_t{256} << 20),
         read_rate(threads, size_t{512} << 20));
}
