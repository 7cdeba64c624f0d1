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

void basic(const std::string& arch) {
  Device d;
  if (!d.load_file("kernels/basic." + arch + ".ptx")) return;
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
    v += static_cast<float>(((i + p.a + 1) & 7) * i) + static_cast<float>(1 << (i & 7)) +
         static_cast<float>(fibonacci(i % 10));
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

std::vector<uint16_t> rounded(const std::vector<float>& x) {
  std::vector<uint16_t> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = bf16(x[i]);
  return y;
}

void products(Device& d, int m, int n, int k) {
  const auto a = rounded(numbers(static_cast<size_t>(m) * k, 11)), b = rounded(numbers(static_cast<size_t>(n) * k, 12));
  const uint64_t pa = d.put(a), pb = d.put(b), pc = d.empty(static_cast<uint64_t>(m) * n * 4);
  const sim::Dim3 grid{static_cast<uint32_t>((n + 63) / 64), static_cast<uint32_t>((m + 63) / 64)};
  EXPECT(d.run("gemm_mma", grid, {128}, 0, pa, pb, pc, m, n, k), "%s", d.fault.message.c_str());
  std::vector<double> want(static_cast<size_t>(m) * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j)
      for (int l = 0; l < k; ++l)
        want[i * n + j] += static_cast<double>(from_bf16(a[i * k + l])) * from_bf16(b[j * k + l]);
  close("gemm_mma", d.get<float>(pc, want.size()), want, 1e-5);
}

void tensor(const std::string& arch, const sim::Options& options) {
  Device d;
  d.options = options;
  if (!d.load_file("kernels/tensor." + arch + ".ptx")) return;
  products(d, 64, 64, 64);
  products(d, 100, 70, 136);
  products(d, 1, 33, 8);

  {  // numbers that f16 holds exactly
    const int m = 32, n = 48, k = 64;
    Random r(21);
    std::vector<uint16_t> a(m * k), b(n * k);
    std::vector<double> da(m * k), db(n * k), want(m * n);
    const auto half = [&](uint16_t& bits, double& value) {
      const uint32_t e = 10 + r.word() % 6, f = r.word() & 0x3FF, s = r.word() & 1;
      bits = static_cast<uint16_t>(s << 15 | e << 10 | f);
      value = (s ? -1 : 1) * std::ldexp(1024.0 + f, static_cast<int>(e) - 25);
    };
    for (int i = 0; i < m * k; ++i) half(a[i], da[i]);
    for (int i = 0; i < n * k; ++i) half(b[i], db[i]);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j)
        for (int l = 0; l < k; ++l) want[i * n + j] += 2 * da[i * k + l] * db[j * k + l];
    const uint64_t pa = d.put(a), pb = d.put(b), pc = d.empty(m * n * 4);
    EXPECT(d.run("gemm_wmma", {3, 2}, {32}, 0, pa, pb, pc, n, k), "%s", d.fault.message.c_str());
    close("gemm_wmma", d.get<float>(pc, m * n), want, 1e-5);
  }

  for (int causal = 0; causal < 2; ++causal) {
    const int length = 100, dim = 32;
    const auto q = numbers(length * dim, 31), k = numbers(length * dim, 32), v = numbers(length * dim, 33);
    const uint64_t pq = d.put(q), pk = d.put(k), pv = d.put(v), po = d.empty(length * dim * 4);
    EXPECT(d.run("flash_forward", {2}, {64}, 0, pq, pk, pv, po, length, causal), "%s", d.fault.message.c_str());
    std::vector<double> want(length * dim);
    for (int i = 0; i < length; ++i) {
      std::vector<double> p(length);
      double sum = 0;
      for (int j = 0; j < (causal ? i + 1 : length); ++j) {
        double s = 0;
        for (int e = 0; e < dim; ++e) s += static_cast<double>(q[i * dim + e]) * k[j * dim + e];
        sum += p[j] = std::exp(s / std::sqrt(32.0));
      }
      for (int j = 0; j < length; ++j)
        for (int e = 0; e < dim; ++e) want[i * dim + e] += p[j] / sum * v[j * dim + e];
    }
    close("flash_forward", d.get<float>(po, want.size()), want, 1e-5);
  }

  {
    const int rows = 9, width = 132;
    const auto x = numbers(rows * width, 41), w = numbers(width, 42), b = numbers(width, 43);
    const uint64_t px = d.put(x), pw = d.put(w), pb = d.put(b), py = d.empty(rows * width * 4);
    EXPECT(d.run("layernorm", {3}, {128}, 0, px, pw, pb, py, rows, width), "%s", d.fault.message.c_str());
    std::vector<double> want(rows * width);
    for (int i = 0; i < rows; ++i) {
      double mean = 0, var = 0;
      for (int j = 0; j < width; ++j) mean += x[i * width + j] / static_cast<double>(width);
      for (int j = 0; j < width; ++j) var += (x[i * width + j] - mean) * (x[i * width + j] - mean) / width;
      for (int j = 0; j < width; ++j)
        want[i * width + j] = (x[i * width + j] - mean) / std::sqrt(var + 1e-5) * w[j] + b[j];
    }
    close("layernorm", d.get<float>(py, want.size()), want, 1e-5);
  }

  {
    const int rows = 5, classes = 301;
    const auto x = numbers(rows * classes, 51);
    const std::vector<int> target{0, 300, 7, 32, 100};
    const uint64_t px = d.put(x), pt = d.put(target), pl = d.empty(rows * 4), pg = d.empty(rows * classes * 2);
    EXPECT(d.run("cross_entropy", {5}, {96}, 0, px, pt, pl, pg, rows, classes), "%s", d.fault.message.c_str());
    std::vector<double> loss(rows), grad(rows * classes);
    for (int i = 0; i < rows; ++i) {
      double sum = 0;
      for (int j = 0; j < classes; ++j) sum += std::exp(static_cast<double>(x[i * classes + j]));
      loss[i] = std::log(sum) - x[i * classes + target[i]];
      for (int j = 0; j < classes; ++j)
        grad[i * classes + j] = (std::exp(static_cast<double>(x[i * classes + j])) / sum - (j == target[i])) / rows;
    }
    close("cross_entropy loss", d.get<float>(pl, rows), loss, 1e-5);
    std::vector<float> got;
    for (uint16_t h : d.get<uint16_t>(pg, grad.size())) got.push_back(from_bf16(h));
    close("cross_entropy gradient", got, grad, 1e-3);
  }

  {
    const int n = 1000;
    const auto p = numbers(n, 61), m = numbers(n, 62), gf = numbers(n, 64);
    auto v = numbers(n, 63);
    for (float& x : v) x = std::fabs(x);
    const auto g = rounded(gf);
    const uint64_t pp = d.put(p), pg = d.put(g), pm = d.put(m), pv = d.put(v);
    EXPECT(d.run("adamw", {8}, {128}, 0, pp, pg, pm, pv, n, 0.01f, 0.9f, 0.95f, 1e-8f, 0.1f, 3), "%s",
           d.fault.message.c_str());
    std::vector<double> want(n);
    for (int i = 0; i < n; ++i) {
      const double gi = from_bf16(g[i]), mi = 0.9 * m[i] + 0.1 * gi, vi = 0.95 * v[i] + 0.05 * gi * gi;
      want[i] =
          p[i] - 0.01 * (mi / (1 - std::pow(0.9, 3)) / (std::sqrt(vi / (1 - std::pow(0.95, 3))) + 1e-8) + 0.1 * p[i]);
    }
    close("adamw", d.get<float>(pp, n), want, 1e-5);
  }

  {
    const int length = 40, heads = 3, half = 8;
    const auto x = rounded(numbers(length * heads * half * 2, 71));
    const uint64_t px = d.put(x);
    EXPECT(d.run("rope", {8}, {128}, 0, px, length, heads, half), "%s", d.fault.message.c_str());
    std::vector<double> want(x.size());
    for (int i = 0; i < length * heads * half; ++i) {
      const double angle = i / (heads * half) * std::pow(10000.0, -static_cast<double>(i % half) / half),
                   c = std::cos(angle), s = std::sin(angle);
      const double u = from_bf16(x[2 * i]), w = from_bf16(x[2 * i + 1]);
      want[2 * i] = u * c - w * s;
      want[2 * i + 1] = u * s + w * c;
    }
    std::vector<float> got;
    for (uint16_t h : d.get<uint16_t>(px, x.size())) got.push_back(from_bf16(h));
    close("rope", got, want, 5e-3);
  }
}

// Not written here.
void foreign(const std::string& arch, const sim::Options& options) {
  Device d;
  d.options = options;
  if (!d.load_file("kernels/foreign." + arch + ".ptx")) return;
  Random r(81);
  std::vector<int> x(512);
  std::vector<float> f(512);
  for (int& v : x) v = static_cast<int>(r.word() % 201) - 100;
  for (float& v : f) v = r.number() * 1000;
  const uint64_t px = d.put(x), pf = d.put(f), y = d.empty(5 * 512 * 4);
#define RUN(kernel, grid, block, ...) \
  EXPECT(d.run(kernel, sim::Dim3{grid}, sim::Dim3{block}, 0, __VA_ARGS__), "%s", d.fault.message.c_str())
  RUN("block_sum", 4, 128, px, y);
  for (int b = 0; b < 4; ++b) {
    int sum = 0;
    for (int i = 0; i < 128; ++i) sum += x[b * 128 + i];
    EXPECT(d.get<int>(y, 4)[b] == sum, "block_sum");
  }
  RUN("block_scan", 1, 128, px, y);
  std::vector<int> want = x;
  for (int i = 1; i < 512; ++i) want[i] += want[i - 1];
  EXPECT(d.get<int>(y, 512) == want, "block_scan");
  RUN("block_sort", 1, 128, pf, y);
  std::vector<float> sorted = f;
  std::sort(sorted.begin(), sorted.end());
  EXPECT(d.get<float>(y, 512) == sorted, "block_sort");
  // It reads one element more than it has written, and does not use it.
  EXPECT(!d.run("warp_sort", sim::Dim3{1}, sim::Dim3{32}, 0, px, y) && d.fault.kind == "uninitialised", "warp_sort: %s",
         d.fault.message.c_str());
  d.options.uninitialised = false;
  RUN("warp_sort", 1, 32, px, y);
  want.assign(x.begin(), x.begin() + 128);
  std::sort(want.begin(), want.end());
  EXPECT(d.get<int>(y, 128) == want, "warp_sort");
  RUN("tiles", 1, 64, px, y);
  const auto got = d.get<int>(y, 5 * 64);
  for (int i = 0; i < 64; ++i) {
    const int tile = i / 8 * 8, warp = i / 32 * 32;
    int sum = 0, scan = 0, ballot = 0, positive = 0, rank = 0, most = -1000;
    bool any = false;
    for (int k = tile; k < tile + 8; ++k) {
      sum += x[k];
      ballot |= (x[k] > 0) << (k - tile);
      any |= x[k] > 50;
      if ((x[k] & 1) == (x[i] & 1)) most = std::max(most, x[k]);
    }
    for (int k = warp; k < warp + 32; ++k) {
      positive += x[k] > 0;
      rank += k < i && x[k] > 0;
      scan += k <= i ? x[k] : 0;
    }
    EXPECT(got[i] == sum, "tile sum %d", i);
    EXPECT(got[64 + i] == scan, "tile scan %d", i);
    EXPECT(got[128 + i] == (ballot | any << 8 | 1 << 9), "tile votes %d", i);
    EXPECT(got[192 + i] == (x[i] > 0 ? positive * 10100 + rank : -1), "coalesced %d", i);
    EXPECT(got[256 + i] == most, "labeled %d: %d, not %d", i, got[256 + i], most);
  }
#undef RUN
  std::vector<int> ring(5 * 64);
  for (int i = 0; i < 320; ++i) ring[static_cast<size_t>(i)] = i;
  const uint64_t pr = d.put(ring);
  d.cooperative = true;
  EXPECT(d.run("whole_grid", {5}, {64}, 0, pr, 7), "%s", d.fault.message.c_str());
  const auto turned = d.get<int>(pr, 320);
  for (int i = 0; i < 320; ++i)
    EXPECT(turned[static_cast<size_t>(i)] == (i + 320 - 7) % 320 + 7, "whole_grid: [%d] is %d", i,
           turned[static_cast<size_t>(i)]);
}

}  // namespace

int main() {
  for (const std::string arch : {"sm_80", "sm_100"}) {
    basic(arch);
    sim::Options o;
    tensor(arch, o);
    foreign(arch, o);
    o.copies = sim::Options::Copies::early;
    o.schedule = sim::Options::Schedule::reversed;
    o.approximations = sim::Options::Bound::low;
    tensor(arch, o);
    foreign(arch, o);
    o.schedule = sim::Options::Schedule::random_warps;
    o.products = sim::Options::Products::truncate;
    o.approximations = sim::Options::Bound::high;
    tensor(arch, o);
    foreign(arch, o);
    o.schedule = sim::Options::Schedule::random_blocks;
    o.products = sim::Options::Products::chunked;
    tensor(arch, o);
  }
  return finish("kernels");
}
