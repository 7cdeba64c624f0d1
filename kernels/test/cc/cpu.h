// What kernels ask of the CPU at run time, answered so that tests can forbid a unit that is there. Level amx has a tile
// unit on any machine: see tiles.h.
#pragma once
#if defined(SHAKTI_EMULATE_AMX)
#include "tiles.h"
#endif

namespace shakti {

struct Allowed {
  bool bf16 = true, vnni = true, tiles = true;
};
inline Allowed allowed;

#if defined(SHAKTI_X86)
bool has_avx512_bf16() { return allowed.bf16 && __builtin_cpu_supports("avx512bf16"); }
bool has_avx512_vnni() { return allowed.vnni && __builtin_cpu_supports("avx512vnni"); }
#else
bool has_avx512_bf16() { return false; }
bool has_avx512_vnni() { return false; }
#endif

#if defined(SHAKTI_EMULATE_AMX)
inline bool has_tiles() {
  static const bool provided = (tiles::provide(), true);
  return allowed.tiles && provided;
}
#else
inline bool has_tiles() { return false; }
#endif
bool has_amx_bf16() { return has_avx512_bf16() && has_tiles(); }
bool has_amx_int8() { return has_tiles(); }

}  // namespace shakti
