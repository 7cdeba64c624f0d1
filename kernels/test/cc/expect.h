// A check that counts and says what it saw, from any thread, and goes on.
#pragma once
#include <atomic>
#include <cstdio>

inline std::atomic<int> failures{0};

#define EXPECT(condition, ...)                         \
  do {                                                 \
    if (!(condition)) {                                \
      std::printf("FAIL %s:%d: ", __FILE__, __LINE__); \
      std::printf(__VA_ARGS__);                        \
      std::printf("\n");                               \
      ++failures;                                      \
    }                                                  \
  } while (0)

inline int finish(const char* name) {
  std::printf(failures != 0 ? "%s: %d failures\n" : "%s: good\n", name, failures.load());
  return failures != 0 ? 1 : 0;
}
