// What this machine can do at most: multiply-adds from registers, and bytes through memory. Built with -march=native by
// limits.ts, and asked right beside a work: it reads lines "f32 | bf16 | int8" or "copy | read | update BYTES" (of the
// whole traffic, read and written) and answers each with one of JSON: the most per second and what reached it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/mman.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

struct Rate {
  double per_second = 0;
  std::string by;
};

Rate best(const std::vector<Rate>& rates) {
  return *std::max_element(rates.begin(), rates.end(),
                           [](const Rate& a, const Rate& b) { return a.per_second < b.per_second; });
}

// Threads that start together to within a cache line's way, so that even 100 microseconds of work are timed well.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait() {
    const int phase = phase_.load();
    if (waiting_.fetch_add(1) + 1 == threads_) {
      waiting_.store(0);
      phase_.store(phase + 1);
    } else {
      while (phase_.load() == phase) {
      }
    }
  }

 private:
  const int threads_;
  std::atomic<int> waiting_{0}, phase_{0};
};

// Seconds that all threads took for one `work`, as often as fits into a tenth of a second and five times at least; the
// least first.
std::vector<double> seconds_of(int threads, const std::function<void(int)>& work) {
  Barrier barrier(threads);
  std::atomic<bool> more{true};
  std::vector<double> seconds;
  const auto loop = [&](int t) {
    double spent = 0;
    while (more.load()) {
      barrier.wait();
      const auto start = Clock::now();
      work(t);
      barrier.wait();
      if (t == 0) {
        seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
        spent += seconds.back();
        more.store(seconds.size() < 5 || spent < 0.1);
      }
      barrier.wait();
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(loop, t);
  loop(0);
  for (auto& other : others) other.join();
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

// --- multiply-adds
// -----------------------------------------------------------------------------------------------------

#if defined(__x86_64__) && defined(__AVX2__)

#if defined(__AVX512F__)
typedef float Lanes __attribute__((vector_size(64)));
constexpr const char* kSet = "AVX-512";
#else
typedef float Lanes __attribute__((vector_size(32)));
constexpr const char* kSet = "AVX2";
#endif
constexpr int kLanes = sizeof(Lanes) / sizeof(float);
constexpr long kRounds = 2'000'000;
volatile float sink;

// Twelve sums in flight, each named, so that none lives in memory: latency 4 over two units needs eight.
#define TWELVE(X, instruction) \
  X(0, instruction)            \
  X(1, instruction)            \
  X(2, instruction)            \
  X(3, instruction)            \
  X(4, instruction)            \
  X(5, instruction)            \
  X(6, instruction) X(7, instruction) X(8, instruction) X(9, instruction) X(10, instruction) X(11, instruction)
#define DECLARE(i, instruction) Lanes s##i = {};
#define STEP(i, instruction) asm volatile(instruction " %1, %2, %0" : "+x"(s##i) : "x"(a), "x"(a));
#define TOTAL(i, instruction) sum += s##i;
#define FROM_REGISTERS(name, instruction) \
  void name(int) {                        \
    Lanes a = {}, sum = {};               \
    TWELVE(DECLARE, instruction)          \
    for (long i = 0; i < kRounds; ++i) {  \
      TWELVE(STEP, instruction)           \
    }                                     \
    TWELVE(TOTAL, instruction)            \
    sink = sum[0];                        \
  }

// Operations of one call on one thread, where a lane of 32 bits holds `width` factors.
constexpr double operations(int width) { return 12.0 * kLanes * width * 2 * kRounds; }

FROM_REGISTERS(fma_f32, "vfmadd231ps")
#if defined(__AVX512BF16__)
FROM_REGISTERS(dot_bf16, "vdpbf16ps")
#endif
#if defined(__AVX512VNNI__)
FROM_REGISTERS(dot_int8, "vpdpbusd")
#elif defined(__AVXVNNI__)
FROM_REGISTERS(dot_int8, "%{vex%} vpdpbusd")
#endif

// AMX: asked of the CPU, then of the kernel, which must agree to keep the tiles (arch_prctl, Linux 5.16).
constexpr int kAmxBf16 = 22, kAmxInt8 = 25;

bool amx_allowed(int feature) {
  unsigned a, b, c, d;
  constexpr unsigned tiles = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tiles) || !(d >> feature & 1)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#define AMX __attribute__((target("amx-tile,amx-bf16,amx-int8")))

struct TileConfig {
  alignas(64) uint8_t palette = 1;
  uint8_t start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64, "what the instruction reads");

AMX void load_tiles() {
  const TileConfig config;
  // GCC 12 declares only 8 of the 64 bytes as read; without this the stores to the others may vanish.
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

constexpr long kTileRounds = 100'000;
constexpr double kTileOperationsBf16 = 6.0 * 16 * 16 * 32 * 2 * kTileRounds;
constexpr double kTileOperationsInt8 = 2 * kTileOperationsBf16;

#define FROM_TILES(name, product)            \
  AMX void name(int) {                       \
    load_tiles();                            \
    for (long i = 0; i < kTileRounds; ++i) { \
      product(0, 6, 7);                      \
      product(1, 6, 7);                      \
      product(2, 6, 7);                      \
      product(3, 6, 7);                      \
      product(4, 6, 7);                      \
      product(5, 6, 7);                      \
    }                                        \
    _tile_release();                         \
  }
FROM_TILES(tiles_bf16, _tile_dpbf16ps)
FROM_TILES(tiles_int8, _tile_dpbssd)

Rate multiply_adds(int threads, const std::string& kind) {
  std::vector<Rate> rates(1);
  const auto add = [&](const char* by, double operations, void (*loop)(int)) {
    rates.push_back({operations * threads / seconds_of(threads, loop).front(), by});
  };
  const std::string set = kSet;
  if (kind == "f32") add((set + " FMA").c_str(), operations(1), fma_f32);
#if defined(__AVX512BF16__)
  if (kind == "bf16") add("AVX-512 vdpbf16ps", operations(2), dot_bf16);
#endif
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  if (kind == "int8") add((set + " vpdpbusd").c_str(), operations(4), dot_int8);
#endif
  if (kind == "bf16" && amx_allowed(kAmxBf16)) add("AMX", kTileOperationsBf16, tiles_bf16);
  if (kind == "int8" && amx_allowed(kAmxInt8)) add("AMX", kTileOperationsInt8, tiles_int8);
  return best(rates);
}

#else

Rate multiply_adds(int, const std::string&) { return {}; }

#endif

// --- memory
// ------------------------------------------------------------------------------------------------------------

typedef uint64_t Line __attribute__((vector_size(64), may_alias));

// Memory in huge pages where the kernel has them: else the limit would be that of the page tables.
class Block {
 public:
  explicit Block(size_t bytes) : bytes_((bytes + kHuge - 1) / kHuge * kHuge) {
    data_ = static_cast<Line*>(aligned_alloc(kHuge, bytes_));
    if (data_ == nullptr) return;
#if defined(MADV_HUGEPAGE)
    madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
    std::fill_n(reinterpret_cast<char*>(data_), bytes_, 1);
  }
  ~Block() { free(data_); }
  Block(const Block&) = delete;
  Line* data() const { return data_; }

 private:
  static constexpr size_t kHuge = size_t{2} << 20;
  size_t bytes_;
  Line* data_;
};

inline void copy_past_caches(const Line* from, Line* to) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_load_si512(from));
#elif defined(__x86_64__)
  const auto* a = reinterpret_cast<const __m128i*>(from);
  for (int i = 0; i < 4; ++i) _mm_stream_si128(reinterpret_cast<__m128i*>(to) + i, _mm_load_si128(a + i));
#else
  *to = *from;
#endif
}

// `lines` of 64 bytes as kStreams runs side by side, since one alone may not keep all of a core's fills in flight.
template <int kStreams, bool kPastCaches>
void copy_lines(const Line* from, Line* to, size_t lines) {
  const size_t run = lines / kStreams;
  for (size_t i = 0; i < run; ++i) {
    for (int s = 0; s < kStreams; ++s) {
      const size_t at = s * run + i;
      if (kPastCaches) {
        copy_past_caches(&from[at], &to[at]);
      } else {
        to[at] = from[at];
      }
    }
  }
#if defined(__x86_64__)
  if (kPastCaches) _mm_sfence();
#endif
}

// kAhead lines are asked for ahead of time, which helps in the last cache.
template <int kStreams, int kAhead>
uint64_t read_lines(const Line* from, size_t lines) {
  const size_t run = lines / kStreams;
  Line sums[kStreams] = {};
  for (size_t i = 0; i < run; ++i) {
    for (int s = 0; s < kStreams; ++s) {
      if (kAhead > 0) __builtin_prefetch(from + std::min(s * run + i + kAhead, lines - 1));
      sums[s] ^= from[s * run + i];
    }
  }
  for (int s = 1; s < kStreams; ++s) sums[0] ^= sums[s];
  return sums[0][0];
}

// What AdamW does to memory: a gradient is read, a parameter and its two moments are read and written back.
void update_lines(const Line* from, Line* a, Line* b, Line* c, size_t lines) {
  for (size_t i = 0; i < lines; ++i) {
    a[i] ^= from[i];
    b[i] ^= from[i];
    c[i] ^= from[i];
  }
}

volatile uint64_t read_sink;

Rate memory(int threads, const std::string& kind, size_t traffic) {
  constexpr int kMostStreams = 4;
  // How many blocks a pass goes through, and how often it crosses one, to read or to write.
  const size_t count = kind == "update" ? 4 : kind == "copy" ? 2 : 1;
  const size_t crossings = kind == "update" ? 7 : count;
  traffic = std::min(traffic, size_t{1} << 30);  // many times any cache: more is the same
  const size_t share = traffic / crossings / sizeof(Line) / threads;
  const size_t lines = std::max<size_t>(1, share / kMostStreams) * kMostStreams;  // of one thread in one block
  const size_t bytes = lines * sizeof(Line) * threads;
  std::vector<std::unique_ptr<Block>> blocks;
  for (size_t i = 0; i < count; ++i) {
    blocks.push_back(std::make_unique<Block>(bytes));
    if (blocks.back()->data() == nullptr) return {};
  }
  const size_t moved = bytes * crossings;
  // What fits in the caches is gone through many times, or starting would be timed.
  const int passes = static_cast<int>(std::max<size_t>(1, (size_t{64} << 20) / moved));
  std::vector<Rate> rates;
  const auto add = [&](const char* by, const auto& pass) {
    const auto seconds = seconds_of(threads, [&](int t) {
      const auto block = [&](size_t i) { return blocks[i]->data() + t * lines; };
      for (int i = 0; i < passes; ++i) {
        pass(block);
        asm volatile("" ::: "memory");
      }
    });
    // The median: neighbours on the machine share its memory, with this loop as with the works beside it.
    rates.push_back({1.0 * moved * passes / seconds[seconds.size() / 2], by});
  };
  if (kind == "copy") {
    add("copy", [&](auto block) { copy_lines<1, false>(block(0), block(1), lines); });
    add("copy, 4 streams", [&](auto block) { copy_lines<4, false>(block(0), block(1), lines); });
    add("copy past caches", [&](auto block) { copy_lines<1, true>(block(0), block(1), lines); });
    add("copy past caches, 4 streams", [&](auto block) { copy_lines<4, true>(block(0), block(1), lines); });
  } else if (kind == "update") {
    add("update in place", [&](auto block) { update_lines(block(0), block(1), block(2), block(3), lines); });
  } else {
    add("read", [&](auto block) { read_sink = read_lines<1, 32>(block(0), lines); });
    add("read, 2 streams", [&](auto block) { read_sink = read_lines<2, 0>(block(0), lines); });
    add("read, 4 streams", [&](auto block) { read_sink = read_lines<4, 0>(block(0), lines); });
  }
  return best(rates);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, atoi(argv[1])) : 1;
  std::string question;
  while (std::getline(std::cin, question)) {
    std::istringstream words(question);
    std::string kind;
    size_t bytes = 0;
    words >> kind >> bytes;
    const bool moves = kind == "copy" || kind == "read" || kind == "update";
    const Rate rate = moves ? memory(threads, kind, bytes) : multiply_adds(threads, kind);
    if (rate.per_second > 0) {
      printf("{\"perSecond\": %.4g, \"by\": \"%s\"}\n", rate.per_second, rate.by.c_str());
    } else {
      printf("{\"why\": \"no loop for '%s' on this machine\"}\n", kind.c_str());
    }
    fflush(stdout);
  }
}
