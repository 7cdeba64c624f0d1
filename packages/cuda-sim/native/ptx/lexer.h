// Words, numbers, strings and marks of PTX text. A word holds the dots and double colons inside of it: an opcode with
// its modifiers is one word.
#pragma once
#include <string_view>
#include <vector>

#include "module.h"

namespace sim::ptx {

struct Token {
  enum class Kind : uint8_t { word, number, string, mark, end };
  Kind kind;
  std::string_view text;
  int line;
};

std::vector<Token> lex(std::string_view text);  // the last one is `end`; throws Error

}  // namespace sim::ptx
