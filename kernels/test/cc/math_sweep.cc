// Every function of simd/math.h, or those named, at every one of the 2^32 floats, on all instruction sets at once and
// on two threads: prints the largest distance from the truth, and fails where one is above its bound. run.sh sweep
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "math_functions.h"

// The instruction sets of this machine; run.sh names them.
#ifdef SWEEP_avx2
#define IF_AVX2(F, ...) F(avx2, __VA_ARGS__)
#else
#define IF_AVX2(F, ...)
#endif
#ifdef SWEEP_avx512
#define IF_AVX512(F, ...) F(avx512, __VA_ARGS__)
#else
#define IF_AVX512(F, ...)
#endif
#define LEVELS(F, ...) F(portable, __VA_ARGS__) IF_AVX2(F, __VA_ARGS__) IF_AVX512(F, __VA_ARGS__)

#define DECLARE_AT(isa, name)                             \
  namespace shakti::isa {                                 \
  void sweep_##name(const float* x, float* y, int64_t n); \
  }
#define DECLARE(name, bound, distance) LEVELS(DECLARE_AT, name)
MATH_FUNCTIONS(DECLARE)

namespace {

struct Level {
  const char* isa;
  void (*run)(const float* x, float* y, int64_t n);
};
struct Function {
  const char* name;
  double bound;
  double (*distance)(float, double);
  double (*exact)(double);
  std::vector<Level> levels;
};
#define ROW_AT(isa, name) {#isa, shakti::isa::sweep_##name},
#define ROW(name, bound, distance) {#name, bound, distance, exact::name, {LEVELS(ROW_AT, name)}},
const Function kFunctions[] = {MATH_FUNCTIONS(ROW)};

struct Worst {
  double distance = 0;
  float at = 0;
  void see(double d, float x) {
    if (!(d <= distance)) *this = {d, x};
  }
};

bool sweep(const Function& f) {
  constexpr int64_t kBlock = 4096;
  constexpr int kThreads = 2;
  const auto start = std::chrono::steady_clock::now();
  std::atomic<int64_t> next{0};
  const size_t levels = f.levels.size();
  std::vector<Worst> worst[kThreads];
  const auto work = [&](int thread) {
    std::vector<Worst> here(levels);
    float x[kBlock], y[kBlock];
    double want[kBlock];
    for (int64_t first; (first = next.fetch_add(kBlock)) < int64_t{1} << 32;) {
      for (int64_t i = 0; i < kBlock; ++i) {
        const auto bits = static_cast<uint32_t>(first + i);
        std::memcpy(&x[i], &bits, 4);
        want[i] = f.exact(static_cast<double>(x[i]));
      }
      for (size_t l = 0; l < levels; ++l) {
        f.levels[l].run(x, y, kBlock);
        for (int64_t i = 0; i < kBlock; ++i) here[l].see(f.distance(y[i], want[i]), x[i]);
      }
    }
    worst[thread] = here;
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  bool good = true;
  for (size_t l = 0; l < levels; ++l) {
    Worst& w = worst[0][l];
    w.see(worst[1][l].distance, worst[1][l].at);
    const bool within = w.distance <= f.bound;
    good = good && within;
    std::printf("%s %-10s %-8s %.3g at %.9g (bound %g)\n", within ? "ok  " : "FAIL", f.name, f.levels[l].isa,
                w.distance, static_cast<double>(w.at), f.bound);
  }
  std::printf("     %.0f s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  std::fflush(stdout);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  bool good = true;
  int done = 0;
  for (const Function& f : kFunctions) {
    if (argc > 1 && std::none_of(argv + 1, argv + argc, [&](const char* name) { return std::string(f.name) == name; }))
      continue;
    good = sweep(f) && good;
    ++done;
  }
  if (done == 0) std::printf("no such function\n");
  return good && done > 0 ? 0 : 1;
}
