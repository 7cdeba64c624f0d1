// Bytes from one device's memory to another's, in the order of both streams.
#pragma once
#include "env.h"

namespace shakti {

// The bytes are those that `from` holds when everything issued to it before has run; what is issued to `to` afterwards
// finds them there. Returns at once. False: the last_error of `from` or `to` says why, and *refused which of them.
bool transfer(Env& from, double source, double source_offset, Env& to, double target, double target_offset,
              uint64_t bytes, Env** refused);

}  // namespace shakti
