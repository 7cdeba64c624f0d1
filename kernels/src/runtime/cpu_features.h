// Which instruction sets the kernels may use: what the CPU has and the operating system has enabled.
#pragma once
#include <string>
#include <vector>

#include "op.h"

namespace shakti {

bool isa_available(Isa isa);
// Products of bf16 pairs (vdpbf16ps). Goes with Isa::avx512.
bool has_avx512_bf16();
// The tile unit's products of bf16, and of bytes. The operating system is asked for the tiles at the first call.
bool has_amx_bf16();
bool has_amx_int8();
// Sums of four products of bytes (vpdpbusd). Goes with Isa::avx512.
bool has_avx512_vnni();
const char* isa_name(Isa isa);
// The widest available, or the one that SHAKTI_CPU names. False, with a sentence, when that one is not to be had.
bool choose_isa(Isa* isa, std::string* why = nullptr);
// Extensions that matter to kernels, by their name in /proc/cpuinfo.
std::vector<std::string> cpu_feature_names();
std::string cpu_model();

}  // namespace shakti
