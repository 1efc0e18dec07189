#include "app/runtime/python_imports.h"

#include <fmt/format.h>

#include <algorithm>

namespace mesh::app {

namespace {

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// Words and marks of a Python source, without comments and strings. A statement begins after what `at_start` says.
class Tokens {
 public:
  explicit Tokens(std::string_view source) : rest_(source) {}

  /// The next word or single mark; empty at the end. "\n" ends a logical line, "\"" stands for a string.
  std::string_view next() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || (c == '\n' && depth_ > 0)) {
        rest_.remove_prefix(1);
      } else if (c == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (c == '\\' && rest_.size() > 1 && (rest_[1] == '\n' || rest_[1] == '\r')) {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size() - 1) + 1);
      } else {
        break;
      }
    }
    if (rest_.empty()) return {};
    const char c = rest_.front();
    if (c == '"' || c == '\'') {
      skip_string(c);
      return "\"";
    }
    std::size_t size = 1;
    if (is_name(c)) {
      while (size < rest_.size() && is_name(rest_[size])) ++size;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth_;
    } else if ((c == ')' || c == ']' || c == '}') && depth_ > 0) {
      --depth_;
    }
    const std::string_view token = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return token;
  }

  [[nodiscard]] bool inside_brackets() const { return depth_ > 0; }

 private:
  void skip_string(char quote) {
    const bool is_long = rest_.size() >= 3 && rest_[1] == quote && rest_[2] == quote;
    rest_.remove_prefix(is_long ? 3 : 1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '\\') {
        rest_.remove_prefix(std::min<std::size_t>(2, rest_.size()));
      } else if (c == '\n' && !is_long) {
        return;  // Not closed: the line's end closes it.
      } else if (c == quote && (!is_long || rest_.substr(0, 3) == std::string(3, quote))) {
        rest_.remove_prefix(is_long ? 3 : 1);
        return;
      } else {
        rest_.remove_prefix(1);
      }
    }
  }

  std::string_view rest_;
  std::size_t depth_ = 0;
};

struct Scanner {
  Tokens tokens;
  std::string_view token;
  std::vector<PythonImport> found;

  void advance() { token = tokens.next(); }
  [[nodiscard]] bool is_word() const { return !token.empty() && is_name(token.front()); }

  /// a.b.c, with the token after it as the next; dots in front are counted as part of it.
  std::string dotted() {
    std::string name;
    while (token == "." || is_word()) {
      if (is_word() && !name.empty() && name.back() != '.') break;
      name += token;
      advance();
    }
    return name;
  }

  void skip_alias() {
    if (token != "as") return;
    advance();
    if (is_word()) advance();
  }

  void import_statement() {
    while (is_word()) {
      std::string name = dotted();
      skip_alias();
      found.push_back({std::move(name), {}});
      if (token != ",") return;
      advance();
    }
  }

  void from_statement() {
    PythonImport statement{dotted(), {}};
    if (token != "import") return;  // `yield from`, `raise ... from`: no import, and nothing is lost by having looked.
    advance();
    if (token == "(") advance();
    while (is_word()) {
      statement.names.emplace_back(token);
      advance();
      skip_alias();
      if (token != ",") break;
      advance();
    }
    if (!statement.module.empty() && statement.module.front() != '.') found.push_back(std::move(statement));
  }

  void run() {
    bool at_start = true;
    for (advance(); !token.empty();) {
      if (at_start && (token == "import" || token == "from")) {
        const bool is_from = token == "from";
        advance();
        if (is_from) {
          from_statement();
        } else {
          import_statement();
        }
        at_start = false;
        continue;
      }
      at_start = token == "\n" || token == ";" || (token == ":" && !tokens.inside_brackets());
      advance();
    }
  }
};

std::string_view first_component(std::string_view dotted) { return dotted.substr(0, dotted.find('.')); }

}  // namespace

std::vector<PythonImport> python_imports(std::string_view source) {
  Scanner scanner{.tokens = Tokens(source), .token = {}, .found = {}};
  scanner.run();
  return std::move(scanner.found);
}

void PythonProgram::add(std::string_view path, std::string_view text) {
  if (!path.ends_with(".py")) return;
  const std::size_t slash = path.find('/');
  own_.emplace(slash == std::string_view::npos ? path.substr(0, path.size() - 3) : path.substr(0, slash));
  for (PythonImport& statement : python_imports(text)) imports_.push_back(std::move(statement));
}

std::string PythonProgram::needs_full_interpreter(const PythonLibrary& library) const {
  for (const std::string& name : own_) {
    // What is imported already would hide it.
    if (library.modules.contains(name)) return fmt::format("its own {} has the name of a standard module", name);
  }
  for (const PythonImport& statement : imports_) {
    if (own_.contains(first_component(statement.module))) continue;
    if (!library.modules.contains(statement.module))
      return fmt::format("it imports {}", statement.module.substr(0, 64));
    for (const std::string& name : statement.names) {
      const std::string part = statement.module + "." + name;
      if (library.missing.contains(part)) return fmt::format("it imports {}", part.substr(0, 64));
    }
  }
  return {};
}

}  // namespace mesh::app
