#include "app/runtime/python_imports.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

std::vector<std::string> modules_of(std::string_view source) {
  std::vector<std::string> names;
  for (const PythonImport& statement : python_imports(source)) names.push_back(statement.module);
  return names;
}
using Names = std::vector<std::string>;

TEST(PythonImports, FindsStatementsWhereverTheyStand) {
  EXPECT_EQ(modules_of("import json"), Names{"json"});
  EXPECT_EQ(modules_of("import a.b as c, d\nimport e;import f"), (Names{"a.b", "d", "e", "f"}));
  EXPECT_EQ(modules_of("if x: import a\nelse: from b import c\n"), (Names{"a", "b"}));
  EXPECT_EQ(modules_of("def f():\n\timport a\n\treturn 1\n"), Names{"a"});
  EXPECT_EQ(modules_of("try:\r\n  import a\r\nexcept ImportError:\r\n  import b\r\n"), (Names{"a", "b"}));
  EXPECT_EQ(modules_of("import a, \\\n  b\n"), (Names{"a", "b"}));
  EXPECT_EQ(modules_of("x = {'a': 1,\n  'b': [2]}\nimport a\n"), Names{"a"});
}

TEST(PythonImports, KeepsTheNamesOfAFromImport) {
  EXPECT_EQ(python_imports("from a.b import (c as d,\n  e,  # why\n  f\n)\nimport g"),
            (std::vector<PythonImport>{{"a.b", {"c", "e", "f"}}, {"g", {}}}));
  EXPECT_EQ(python_imports("from a import *"), (std::vector<PythonImport>{{"a", {}}}));
}

TEST(PythonImports, PassesOverStringsCommentsAndRelativeImports) {
  EXPECT_EQ(
      modules_of("# import a\n'import b'\n\"\"\"\nimport c\nfrom d import e\n\"\"\"\nr'''\nimport f\\'''\nimport g"),
      Names{});
  EXPECT_EQ(modules_of("from . import a\nfrom .b import c\nfrom .. import d\nimport e"), Names{"e"});
  EXPECT_EQ(modules_of("x = yield\nraise E from e\ndef f(): yield from import_all()\nimporter = 1\nfrom_ = 2\n"),
            Names{});
  EXPECT_EQ(modules_of("'not closed\nimport a"), Names{"a"});
  EXPECT_EQ(modules_of("x = 'it''s'; import a"), Names{"a"});
}

TEST(PythonImports, TakesAnyText) {
  EXPECT_EQ(modules_of(""), Names{});
  EXPECT_EQ(modules_of("import"), Names{});
  EXPECT_EQ(modules_of("from"), Names{});
  EXPECT_EQ(modules_of("from x"), Names{});
  EXPECT_EQ(modules_of("\\"), Names{});
  EXPECT_EQ(modules_of("'''"), Names{});
  EXPECT_EQ(modules_of(")))\nimport a"), Names{"a"});
  EXPECT_EQ(modules_of(std::string_view("import \0\nimport a", 17)), Names{"a"});
}

TEST(PythonProgram, NeedsTheFullInterpreterForWhatTheOtherHasNot) {
  const PythonLibrary library{.modules = {"json", "json.decoder", "xml"}, .missing = {"sqlite3", "xml.parsers"}};
  const auto why = [&](const std::vector<std::pair<std::string, std::string>>& files) {
    PythonProgram program;
    for (const auto& [path, text] : files) program.add(path, text);
    return program.needs_full_interpreter(library);
  };
  EXPECT_EQ(why({{"main.py", "import json, json.decoder\nfrom json import loads"}}), "");
  EXPECT_EQ(why({{"main.py", "import sqlite3"}}), "it imports sqlite3");
  EXPECT_EQ(why({{"main.py", "import json.tool"}}), "it imports json.tool");
  EXPECT_EQ(why({{"main.py", "from xml import parsers"}}), "it imports xml.parsers");
  EXPECT_EQ(why({{"main.py", "import numpy"}}), "it imports numpy");
  EXPECT_EQ(why({{"main.py", "import helper, pack.part"}, {"helper.py", "import json"}, {"pack/part.py", ""}}), "");
  EXPECT_EQ(why({{"main.py", "import helper"}, {"helper.py", "import sqlite3"}}), "it imports sqlite3");
  EXPECT_EQ(why({{"main.py", ""}, {"json.py", ""}}), "its own json has the name of a standard module");
  EXPECT_EQ(why({{"main.py", "import data"}, {"data.txt", "import sqlite3"}}), "it imports data");
}

}  // namespace
}  // namespace mesh::app
