// Kernels that nvcc made, against double-precision references.
#include <algorithm>

#include "harness.h"

namespace {

void close(const char* what, const std::vector<float>& got, const std::vector<double>& want, double tolerance) {
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::fabs(got[i] - want[i]) / std::max(1.0, std::fabs(want[i]));
    if (!(e <= worst)) worst = e, at = i;
  }
  EXPECT(worst <= tolerance, "%s: [%zu] is %.9g, not %.9g", what, at, static_cast<double>(got[at]), want[at]);
}

std::vector<float> numbers(size_t n, uint64_t seed) {
  Random r(seed);
  std::vector<float> v(n);
  for (float& x : v) x = r.number();
  return v;
}

void basic() {
  Device d;
  if (!d.load_file("kernels/basic.ptx")) return;
  const auto x = numbers(100003, 1);
  const uint64_t px = d.put(x), pout = d.empty(7 * 4);
  EXPECT(d.run("reduce_sum", {7}, {256}, 0, px, pout, 100003), "%s", d.fault.message.c_str());
  double sum = 0, got = 0;
  for (float v : x) sum += v;
  for (float v : d.get<float>(pout, 7)) got += v;
  EXPECT(std::fabs(sum - got) < 1e-3, "sum %g, not %g", got, sum);

  const int m = 70, n = 45, k = 33;
  const auto a = numbers(m * k, 2), b = numbers(k * n, 3);
  const uint64_t pa = d.put(a), pb = d.put(b), pc = d.empty(m * n * 4);
  EXPECT(d.run("gemm_tiled", {3, 5}, {16, 16}, 0, pa, pb, pc, m, n, k), "%s", d.fault.message.c_str());
  std::vector<double> want(m * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j)
      for (int l = 0; l < k; ++l) want[i * n + j] += static_cast<double>(a[i * k + l]) * b[l * n + j];
  close("gemm_tiled", d.get<float>(pc, m * n), want, 1e-5);

  std::vector<uint8_t> bytes(5000);
  Random r(4);
  std::vector<unsigned> bins(256);
  for (auto& v : bytes) ++bins[v = static_cast<uint8_t>(r.word())];
  const uint64_t pbytes = d.put(bytes), pbins = d.put(std::vector<unsigned>(256));
  EXPECT(d.run("histogram", {4}, {128}, 0, pbytes, pbins, 5000), "%s", d.fault.message.c_str());
  EXPECT(d.get<unsigned>(pbins, 256) == bins, "histogram differs");

  const int rows = 50, width = 20;
  const auto g = numbers(rows * width, 5);
  std::vector<int> index(rows);
  std::vector<double> table(10 * width);
  for (int i = 0; i < rows; ++i) {
    index[i] = static_cast<int>(r.word() % 10);
    for (int j = 0; j < width; ++j) table[index[i] * width + j] += g[i * width + j];
  }
  const uint64_t pg = d.put(g), pi = d.put(index), pt = d.put(std::vector<float>(10 * width));
  EXPECT(d.run("scatter_add", {8}, {128}, 0, pg, pi, pt, rows, width), "%s", d.fault.message.c_str());
  close("scatter_add", d.get<float>(pt, 10 * width), table, 1e-5);

  struct Pair {
    int a;
    float b[3];
  } p{4, {0.5f, 1.5f, 2.5f}};
  std::vector<float> in = numbers(300, 6);
  for (size_t i = 0; i < in.size(); ++i) in[i] *= i % 9 == 0 ? 200000 : 4;  // some take the slow path of sinf
  const uint64_t pin = d.put(in), po = d.empty(300 * 4);
  EXPECT(d.run("odds_and_ends", {3}, {128}, 0, pin, po, 300, p), "%s", d.fault.message.c_str());
  std::vector<double> odd(300);
  const auto fibonacci = [](int q) {
    int a0 = 0, a1 = 1;
    for (; q > 0; --q) a1 += a0, a0 = a1 - a0;
    return a0;
  };
  for (int i = 0; i < 300; ++i) {
    float v = in[i] * p.b[p.a % 3];
    v += static_cast<float>(((i + p.a + 1) & 7) * i) + static_cast<float>(1 << (i & 7)) + static_cast<float>(fibonacci(i % 10));
    switch (i % 7) {
      case 0: v += 1; break;
      case 1: v *= 2; break;
      case 2: v = std::sqrt(std::fabs(v)); break;
      case 3: v = -v; break;
      case 4: v = v / 3; break;
      case 5: v = std::floor(v); break;
      default: v = std::fmod(v, 5.0f);
    }
    const double x1 = in[i];
    odd[i] = v + std::sin(x1) + std::exp(-std::fabs(x1)) + std::log(1 + std::fabs(x1)) + std::erf(x1);
  }
  close("odds_and_ends", d.get<float>(po, 300), odd, 1e-5);
}

}  // namespace

int main() {
  basic();
  return finish("kernels");
}
