#include "cpu_features.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace shakti {
namespace {

struct Features {
  bool avx2 = false, fma = false, f16c = false, bmi2 = false;
  bool avx512 = false;  // F, BW, DQ and VL
  bool avx512_bf16 = false, avx512_vnni = false;
  bool amx_bf16 = false, amx_int8 = false;
};

#if defined(__x86_64__)
// CPUID says what the CPU can do; XCR0 says of which registers the operating system keeps the content. Without the
// second an instruction traps although CPUID lists it.
Features detect() {
  Features f;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const auto bit = [](unsigned word, int n) { return (word >> n & 1) != 0; };
  if (!bit(c, 27) || !bit(c, 28)) return f;  // OSXSAVE, AVX
  f.fma = bit(c, 12);
  f.f16c = bit(c, 29);
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6) != 0x6) return Features();  // XMM and YMM
  const bool zmm = (low & 0xe6) == 0xe6;
  const bool tiles = (low & 0x60000) == 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = bit(b, 5);
  f.bmi2 = bit(b, 8);
  f.avx512 = zmm && bit(b, 16) && bit(b, 30) && bit(b, 17) && bit(b, 31);
  f.avx512_vnni = f.avx512 && bit(c, 11);
  f.amx_bf16 = tiles && bit(d, 22);
  f.amx_int8 = tiles && bit(d, 25);
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f.avx512_bf16 = f.avx512 && bit(a, 5);
  return f;
}
#else
Features detect() { return {}; }
#endif

const Features& features() {
  static const Features f = detect();
  return f;
}

constexpr const char* kIsaNames[kIsaCount] = {"portable", "avx2", "avx512"};

}  // namespace

bool isa_available(Isa isa) {
  const Features& f = features();
  const bool avx2 = f.avx2 && f.fma && f.f16c && f.bmi2;
  switch (isa) {
    case Isa::avx512: return avx2 && f.avx512;
    case Isa::avx2: return avx2;
    default: return true;
  }
}

bool has_avx512_bf16() { return features().avx512_bf16; }
bool has_avx512_vnni() { return features().avx512_vnni; }

const char* isa_name(Isa isa) { return kIsaNames[static_cast<int>(isa)]; }

bool choose_isa(Isa* isa) {
  const char* wanted = std::getenv("SHAKTI_CPU");
  const bool any = wanted == nullptr || *wanted == 0;
  bool found = false;
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa candidate = static_cast<Isa>(i);
    if (!isa_available(candidate) || !(any || std::strcmp(wanted, isa_name(candidate)) == 0)) continue;
    *isa = candidate;
    found = true;
  }
  return found;
}

std::vector<std::string> cpu_feature_names() {
  const Features& f = features();
  std::vector<std::string> names;
  const auto add = [&](bool there, const char* name) {
    if (there) names.emplace_back(name);
  };
  add(f.avx2, "avx2");
  add(f.fma, "fma");
  add(f.f16c, "f16c");
  add(f.bmi2, "bmi2");
  add(f.avx512, "avx512");
  add(f.avx512_bf16, "avx512_bf16");
  add(f.avx512_vnni, "avx512_vnni");
  add(f.amx_bf16, "amx_bf16");
  add(f.amx_int8, "amx_int8");
  return names;
}

std::string cpu_model() {
  std::string model = "unknown";
  if (FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, f)) {
      const char* colon = std::strncmp(line, "model name", 10) == 0 ? std::strstr(line, ": ") : nullptr;
      if (colon == nullptr) continue;
      model.assign(colon + 2, std::strcspn(colon + 2, "\n"));
      break;
    }
    std::fclose(f);
  }
  return model;
}

}  // namespace shakti
