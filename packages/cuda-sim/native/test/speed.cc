// How fast the simulator is: thread instructions a second on one core, and a bf16 product of 1024 cubed. Not a test.
#include <chrono>
#include <ctime>

#include "harness.h"

int main(int argc, char** argv) {
  const int size = argc > 1 ? std::atoi(argv[1]) : 1024;
  for (int races = 0; races < 2; ++races) {
    for (int threads = 1; threads <= 2; ++threads) {
      Device d;
      d.options.races = races != 0;
      d.options.threads = threads;
      d.counting = argc > 2;
      d.load_file("kernels/tensor.sm_80.ptx");
      const auto un = static_cast<uint32_t>(size);
      std::vector<uint16_t> a(static_cast<size_t>(size) * size, 0x3F80), b = a;
      const uint64_t pa = d.put(a), pb = d.put(b), pc = d.empty(uint64_t{4} * un * un);
      const auto time = [&](const char* what, auto f) {
        const auto start = std::chrono::steady_clock::now();
        const std::clock_t used = std::clock();
        EXPECT(f(), "%s", d.fault.message.c_str());
        const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        std::printf("%-10s races %d threads %d: %.3f s, %.3f s of CPU\n", what, races, threads, s,
                    static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
      };
      time("gemm_mma", [&] { return d.run("gemm_mma", {un / 64, un / 64}, {128}, 0, pa, pb, pc, size, size, size); });
      const int length = 1024;
      const uint64_t q = d.put(std::vector<float>(length * 32, 0.5f)), o = d.empty(length * 32 * 4);
      time("flash", [&] { return d.run("flash_forward", {16}, {64}, 0, q, q, q, o, length, 0); });
      Device e;
      e.options = d.options;
      e.counting = d.counting;
      e.load_file("kernels/basic.sm_80.ptx");
      const uint64_t x = e.put(std::vector<float>(1 << 22, 1.0f)), y = e.empty(1 << 22);
      time("reduce", [&] { return e.run("reduce_sum", {64}, {256}, 0, x, y, 1 << 22); });
      time("tiled", [&] { return e.run("gemm_tiled", {16, 16}, {16, 16}, 0, x, x, y, 256, 256, 256); });
    }
  }
  return 0;
}
