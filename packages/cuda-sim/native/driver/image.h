// What cuModuleLoadData is given: PTX text, or a fat binary that holds some.
#pragma once
#include <string>

#include "api.h"

namespace sim {

struct PtxTarget {
  int arch = 0;     // 80 of sm_80
  char suffix = 0;  // 'a' of sm_90a: that chip alone; 'f': its family
  int version = 0;  // 90 of .version 9.0
};
bool ptx_target(const std::string& ptx, PtxTarget*);  // false: no .version or .target in it

// The PTX that a device of this compute capability would take; otherwise a code, and a sentence in *why.
CUresult ptx_of_image(const void* image, int arch, std::string* ptx, std::string* why);

// One LZ4 block. False: it is damaged.
bool decompress_lz4(const unsigned char* from, size_t bytes, size_t decompressed, std::string* to);

}  // namespace sim
