// Which instruction sets the kernels may use: what the CPU has and the operating system has enabled.
#pragma once
#include <string>
#include <vector>

#include "op.h"

namespace shakti {

bool isa_available(Isa isa);
// Products of bf16 pairs (vdpbf16ps). Goes with Isa::avx512.
bool has_avx512_bf16();
// Sums of four products of bytes (vpdpbusd). Goes with Isa::avx512.
bool has_avx512_vnni();
const char* isa_name(Isa isa);
// The widest available, or the one that SHAKTI_CPU names. False when it names one that is not to be had.
bool choose_isa(Isa* isa);
// Extensions that matter to kernels, by their name in /proc/cpuinfo.
std::vector<std::string> cpu_feature_names();
std::string cpu_model();

}  // namespace shakti
