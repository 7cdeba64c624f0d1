// The outcome of a check. No exception crosses the native border; a message is built once, where it is known.
#pragma once
#include <cstdarg>
#include <cstdio>

namespace shakti {

struct Status {
  enum Code : int {
    ok = 0,
    shape = 1,
    dtype = 2,
    disposed = 3,
    out_of_memory = 4,
    value = 5,
    internal = 6,
    capture = 7
  };
  Code code = ok;
  char message[400] = {0};

  explicit operator bool() const { return code == ok; }

  __attribute__((format(printf, 2, 3))) static Status error(Code code, const char* format, ...) {
    Status s;
    s.code = code;
    va_list args;
    va_start(args, format);
    std::vsnprintf(s.message, sizeof s.message, format, args);
    va_end(args);
    return s;
  }
};

}  // namespace shakti

// In a check: SHAKTI_CHECK(a.ndim == 2, shape, "a must be 2-D, has %d dimensions", a.ndim)
#define SHAKTI_CHECK(condition, code, ...)                                                 \
  do {                                                                                     \
    if (!(condition)) return ::shakti::Status::error(::shakti::Status::code, __VA_ARGS__); \
  } while (0)
