#include "cpu_features.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
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
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = bit(b, 5);
  f.bmi2 = bit(b, 8);
  f.avx512 = zmm && bit(b, 16) && bit(b, 30) && bit(b, 17) && bit(b, 31);
  f.avx512_vnni = f.avx512 && bit(c, 11);
  const bool tiles = (low & 0x60000) == 0x60000 && bit(d, 24);
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

// What SHAKTI_CPU may name: the instruction sets that kernels are compiled for, and above them the tile unit with both
// of its products.
constexpr const char* kLevels[] = {"portable", "avx2", "avx512", "amx"};
constexpr int kAmx = kIsaCount;

const char* wanted_level() {
  const char* wanted = std::getenv("SHAKTI_CPU");
  return wanted == nullptr ? "" : wanted;
}

// A lower level keeps the tile unit out.
bool tiles_wanted() {
  static const bool wanted = *wanted_level() == 0 || std::strcmp(wanted_level(), kLevels[kAmx]) == 0;
  return wanted;
}

// Linux keeps the tile registers of a process only when it was asked to.
bool tiles_permitted() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

bool level_available(int level) {
  const Features& f = features();
  const bool avx2 = f.avx2 && f.fma && f.f16c && f.bmi2;
  switch (level) {
    case kAmx: return avx2 && f.avx512_bf16 && f.amx_bf16 && f.amx_int8 && tiles_permitted();
    case static_cast<int>(Isa::avx512): return avx2 && f.avx512;
    case static_cast<int>(Isa::avx2): return avx2;
    default: return true;
  }
}

}  // namespace

bool isa_available(Isa isa) { return level_available(static_cast<int>(isa)); }

bool has_avx512_bf16() { return features().avx512_bf16; }
bool has_avx512_vnni() { return features().avx512_vnni; }
// Operands come to the tiles by the vectors' conversions, so these must be there too.
bool has_amx_bf16() { return features().amx_bf16 && has_avx512_bf16() && tiles_wanted() && tiles_permitted(); }
bool has_amx_int8() { return features().amx_int8 && tiles_wanted() && tiles_permitted(); }

const char* isa_name(Isa isa) { return kLevels[static_cast<int>(isa)]; }

bool choose_isa(Isa* isa, std::string* why) {
  const std::string wanted = wanted_level();
  std::string known, there;
  bool found = false, exists = false;
  for (int i = 0; i <= kAmx; ++i) {
    const bool named = wanted == kLevels[i];
    exists = exists || named;
    known += (i > 0 ? ", " : "") + std::string(kLevels[i]);
    if (!level_available(i)) continue;
    there += (i > 0 ? ", " : "") + std::string(kLevels[i]);
    if (!wanted.empty() && !named) continue;
    *isa = static_cast<Isa>(i < kIsaCount ? i : kIsaCount - 1);
    found = true;
  }
  if (found) return true;
  if (why == nullptr) return false;
  *why = "SHAKTI_CPU=" + wanted +
         (exists ? ": this machine, or its operating system, has no " + wanted + "; it has " + there
                 : " is not one of " + known + "; this machine has " + there);
  return false;
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
