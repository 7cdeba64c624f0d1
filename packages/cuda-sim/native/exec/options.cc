// Options from the environment, and the limits of chips.
#include <cstdlib>
#include <cstring>

#include "machine.h"

namespace sim {

// Table "technical specifications per compute capability" of the CUDA programming guide; multiprocessors of A100, RTX
// 3090, RTX 4090, H100 SXM, B200 and RTX 5090.
const Limits* limits_of(int arch) {
  static constexpr uint32_t x31 = 0x7FFFFFFF, k = 1024;
  static constexpr Limits chips[] = {
      {80,    108, 1024, 2048, 32, 48 * k, 163 * k, 164 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,   65535,   65536, 4096},
      {86,    82,  1024, 1536, 16, 48 * k, 99 * k, 100 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,  65535,   65536, 4096},
      {89,    128, 1024, 1536, 24, 48 * k, 99 * k, 100 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,  65535,   65536, 4096},
      {90,    132, 1024, 2048, 32, 48 * k, 227 * k, 228 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,   65535,   65536, 32764},
      {100,   148, 1024, 2048, 32, 48 * k, 227 * k, 228 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,   65535,   65536, 32764},
      {120,   170, 1024, 1536, 24, 48 * k, 99 * k, 100 * k, k,     65536,
       65536, 255, 1024, 1024, 64, x31,    65535,  65535,   65536, 32764},
  };
  for (const Limits& c : chips)
    if (c.arch == arch) return &c;
  return nullptr;
}

namespace {

struct Choice {
  const char* word;
  int value;
};

class Reader {
 public:
  explicit Reader(std::string* error) : error_(error) {}
  bool good = true;

  template <class T, size_t n>
  void choose(const char* name, T* to, const Choice (&choices)[n]) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return;
    std::string words;
    for (const Choice& c : choices) {
      if (std::strcmp(text, c.word) == 0) {
        *to = static_cast<T>(c.value);
        return;
      }
      words += words.empty() ? c.word : std::string(", ") + c.word;
    }
    fail(name, text, "one of " + words);
  }
  template <class T>
  void number(const char* name, T* to, unsigned long long least) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return;
    char* end;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (*end != '\0' || value < least || *text == '-')
      return fail(name, text, "a number of at least " + std::to_string(least));
    *to = static_cast<T>(value);
  }

 private:
  std::string* error_;
  void fail(const char* name, const char* text, const std::string& wanted) {
    good = false;
    if (error_ != nullptr && error_->empty()) *error_ = std::string(name) + "=" + text + " is not " + wanted + ".";
  }
};

}  // namespace

bool Options::from_environment(Options* o, std::string* error) {
  Reader r(error);
  r.choose("SHAKTI_SIM_SCHEDULE", &o->schedule,
           {{"in-order", 0}, {"reversed", 1}, {"random-warps", 2}, {"random-blocks", 3}});
  r.choose("SHAKTI_SIM_COPIES", &o->copies, {{"late", 0}, {"early", 1}});
  r.choose("SHAKTI_SIM_PRODUCTS", &o->products, {{"exact", 0}, {"truncate", 1}, {"chunked", 2}});
  r.choose("SHAKTI_SIM_APPROXIMATIONS", &o->approximations, {{"nearest", 0}, {"low", 1}, {"high", 2}});
  r.choose("SHAKTI_SIM_RACES", &o->races, {{"0", 0}, {"1", 1}});
  r.choose("SHAKTI_SIM_UNINITIALISED", &o->uninitialised, {{"0", 0}, {"1", 1}});
  r.choose("SHAKTI_SIM_STRICT_BARRIERS", &o->strict_barriers, {{"0", 0}, {"1", 1}});
  r.choose("SHAKTI_SIM_ARCH", &o->arch, {{"80", 80}, {"86", 86}, {"89", 89}, {"90", 90}, {"100", 100}, {"120", 120}});
  r.number("SHAKTI_SIM_SEED", &o->seed, 0);
  r.number("SHAKTI_SIM_MAX_INSTRUCTIONS", &o->max_instructions, 1);
  r.number("SHAKTI_SIM_THREADS", &o->threads, 1);
  return r.good;
}

}  // namespace sim
