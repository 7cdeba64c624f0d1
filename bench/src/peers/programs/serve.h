// What a peer written in C++ is made of: it says its name, then answers each line "SECONDS NAME" with one of JSON, the
// milliseconds of every run, or why it cannot. A work is set up once for all the times that it is asked for in a row.
// The same as in torch_peer.py and serve.ts.
#pragma once
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

using Run = std::function<void()>;

inline std::vector<double> sample(const Run& run, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  run();
  std::vector<double> ms;
  const auto begin = Clock::now();
  while (ms.size() < 2 || (since(begin) < seconds && ms.size() < 2000)) {
    const auto start = Clock::now();
    run();
    ms.push_back(since(start) * 1e3);
  }
  return ms;
}

// setup: what is timed, with its operands made; throws std::exception where the peer cannot do the work.
inline void serve(const std::string& peer, const std::function<Run(const std::string& name)>& setup) {
  printf("{\"peer\": \"%s\"}\n", peer.c_str());
  fflush(stdout);
  std::string line, current;
  Run run;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    double seconds = 0;
    std::string name;
    words >> seconds >> std::ws;
    std::getline(words, name);
    try {
      if (name != current) {
        run = nullptr;  // the last work's operands go first
        current.clear();
        run = setup(name);
        current = name;
        run();
      }
      const std::vector<double> samples = sample(run, seconds);
      printf("{\"ms\": [");
      for (size_t i = 0; i < samples.size(); ++i) printf("%s%.6g", i == 0 ? "" : ", ", samples[i]);
      printf("]}\n");
    } catch (const std::exception& error) {
      std::string why = error.what();
      for (char& c : why)
        if (c == '"' || c == '\\' || c < ' ') c = '\'';
      printf("{\"why\": \"%s\"}\n", why.c_str());
    }
    fflush(stdout);
  }
}

// "product bf16 1024x1024x1024 packed": x [m, k] times [k, n]; "linear ...": times the transpose of [n, k].
struct Product {
  bool linear = false, packed = false;
  std::string dtype;
  int m = 0, k = 0, n = 0;
};

inline Product parse_product(const std::string& name) {
  std::istringstream words(name);
  std::string kind, sizes, rest;
  Product p;
  words >> kind >> p.dtype >> sizes >> rest;
  if ((kind != "product" && kind != "linear") || sscanf(sizes.c_str(), "%dx%dx%d", &p.m, &p.k, &p.n) != 3)
    throw std::invalid_argument("no such work: " + name);
  p.linear = kind == "linear";
  p.packed = rest == "packed";
  return p;
}

// Numbers from -1 to 1, the same every time.
inline std::vector<float> numbers(size_t n) {
  std::vector<float> out(n);
  unsigned state = 1;
  for (float& x : out) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int>(state) / 2147483648.0);
  }
  return out;
}
