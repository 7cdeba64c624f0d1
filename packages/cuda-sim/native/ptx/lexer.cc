#include "lexer.h"

#include <cctype>

namespace sim::ptx {
namespace {

bool starts_word(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}
bool in_word(char c) { return starts_word(c) || std::isdigit(static_cast<unsigned char>(c)); }

}  // namespace

std::vector<Token> lex(std::string_view s) {
  std::vector<Token> tokens;
  int line = 1;
  size_t i = 0;
  const auto more = [&](size_t k) { return i + k < s.size() ? s[i + k] : '\0'; };
  while (i < s.size()) {
    const char c = s[i];
    if (c == '\n') {
      ++line;
      ++i;
    } else if (std::isspace(static_cast<unsigned char>(c)) || c == '\0') {
      ++i;
    } else if (c == '/' && more(1) == '/') {
      while (i < s.size() && s[i] != '\n') ++i;
    } else if (c == '/' && more(1) == '*') {
      const int first = line;
      for (i += 2; i < s.size() && !(s[i] == '*' && more(1) == '/'); ++i) line += s[i] == '\n';
      if (i >= s.size()) throw Error{first, "a comment without an end"};
      i += 2;
    } else if (c == '"') {
      const size_t start = ++i;
      while (i < s.size() && s[i] != '"' && s[i] != '\n') i += s[i] == '\\' ? 2 : 1;
      if (i >= s.size() || s[i] != '"') throw Error{line, "a string without an end"};
      tokens.push_back({Token::Kind::string, s.substr(start, i++ - start), line});
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      const size_t start = i;
      while (i < s.size()) {
        if ((s[i] == '+' || s[i] == '-') && (s[i - 1] == 'e' || s[i - 1] == 'E') && s[start + 1] != 'x' &&
            s[start + 1] != 'f' && s[start + 1] != 'd')
          ++i;
        else if (std::isalnum(static_cast<unsigned char>(s[i])) || s[i] == '.')
          ++i;
        else
          break;
      }
      tokens.push_back({Token::Kind::number, s.substr(start, i - start), line});
    } else if (starts_word(c)) {
      const size_t start = i++;
      while (i < s.size()) {
        if (s[i] == ':' && more(1) == ':')
          i += 2;
        else if (in_word(s[i]))
          ++i;
        else
          break;
      }
      tokens.push_back({Token::Kind::word, s.substr(start, i - start), line});
    } else {
      tokens.push_back({Token::Kind::mark, s.substr(i++, 1), line});
    }
  }
  tokens.push_back({Token::Kind::end, {}, line});
  return tokens;
}

}  // namespace sim::ptx
