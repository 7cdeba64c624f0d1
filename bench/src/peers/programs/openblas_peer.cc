// OpenBLAS by itself: cblas_sgemm from the shared library that the loader finds, no headers needed.
#include <dlfcn.h>

#include <memory>
#include <stdexcept>

#include "serve.h"

int main() {
  void* library = dlopen("libopenblas.so.0", RTLD_NOW);
  if (library == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  using Gemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a,
                        int lda, const float* b, int ldb, float beta, float* c, int ldc);
  const auto gemm = reinterpret_cast<Gemm>(dlsym(library, "cblas_sgemm"));
  const auto config = reinterpret_cast<const char* (*)()>(dlsym(library, "openblas_get_config"));
  if (gemm == nullptr || config == nullptr) {
    fprintf(stderr, "libopenblas.so.0 lacks cblas_sgemm\n");
    return 1;
  }
  std::string peer, version;
  std::istringstream(config()) >> peer >> version;  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  serve(peer + " " + version, [&](const std::string& name) -> Run {
    const Product p = parse_product(name);
    if (p.dtype != "f32") throw std::invalid_argument("no " + p.dtype);
    struct Data {
      std::vector<float> a, b, c;
    };
    const auto d = std::make_shared<Data>(
        Data{numbers(size_t(p.m) * p.k), numbers(size_t(p.k) * p.n), std::vector<float>(size_t(p.m) * p.n)});
    constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
    return [=] {
      gemm(kRowMajor, kPlain, p.linear ? kTransposed : kPlain, p.m, p.n, p.k, 1, d->a.data(), p.k, d->b.data(),
           p.linear ? p.k : p.n, 0, d->c.data(), p.n);
    };
  });
}
