// Which interpreter a Python program needs: the pre-started one, whose standard library was imported when it was made, or
// the full one, which starts anew and can import the rest. Decided from the text before anything is signed.
//
// What is looked at: `import` and `from ... import` statements, wherever they stand, in every .py file of the program. What
// cannot be seen: imports by name at run time (importlib, __import__, exec). Those of modules that are missing fail in the
// guest with Python's own ModuleNotFoundError and a note that names the way out. Where in doubt, the full interpreter.
// Bounds: those of a program (import.h). Any text is taken; what is no Python is scanned as if it were.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::app {

/// One module that a statement names: `module` for `import module`, with `names` for `from module import names`.
struct PythonImport {
  std::string module;
  std::vector<std::string> names;  ///< "*" is no name
  bool operator==(const PythonImport&) const = default;
};

/// The absolute imports in a source, in order; relative ones are of the program itself and left out.
[[nodiscard]] std::vector<PythonImport> python_imports(std::string_view source);

/// What the pre-started interpreter has of the standard library: the catalogue says it.
struct PythonLibrary {
  std::set<std::string, std::less<>> modules;  ///< imported already: "json", "json.decoder"
  std::set<std::string, std::less<>> missing;  ///< of the standard library, and not imported
};

/// Collects a program's files and says whether the pre-started interpreter can run it.
class PythonProgram {
 public:
  /// A file by its path relative to the script's folder; only the text of .py files matters.
  void add(std::string_view path, std::string_view text);
  /// Empty if it can; else why not, as half a sentence: "it imports sqlite3".
  [[nodiscard]] std::string needs_full_interpreter(const PythonLibrary& library) const;

 private:
  std::set<std::string, std::less<>> own_;  ///< what can be imported of the program itself: first components
  std::vector<PythonImport> imports_;
};

}  // namespace mesh::app
