// What device code calls without defining it: vprintf and __assertfail.
#pragma once
#include "warp.h"

namespace sim {

enum class Builtin : int { print, assertion };
int builtin_named(const std::string& name);  // -1: there is none of that name
void run_builtin(Warp&, const Call&, uint32_t mask);

}  // namespace sim
