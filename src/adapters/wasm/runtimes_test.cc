// The interpreters of the catalogue in the sandbox: equal in every run, with input, arguments, siblings and errors.
#include <gtest/gtest.h>

#include <fstream>

#include <fmt/format.h>

#include "adapters/wasm/test_sandbox.h"

namespace mesh::wasm {
namespace {

namespace fs = std::filesystem;

/// Where scripts/runtimes.sh puts the interpreters; MESH_RUNTIMES_DIR says otherwise.
fs::path runtimes_folder() {
  if (const char* folder = std::getenv("MESH_RUNTIMES_DIR")) return folder;
  if (const char* cache = std::getenv("MESH_CACHE")) return fs::path(cache) / "runtimes/current";
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) return fs::path(cache) / "meshwork/runtimes/current";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/") / ".cache/meshwork/runtimes/current";
}

/// The one file whose name begins and ends so; null, and a failure, if it is missing.
std::shared_ptr<const Bytes> runtime_file(std::string_view begin, std::string_view end) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(runtimes_folder(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin) || !name.ends_with(end)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    return std::make_shared<const Bytes>(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  ADD_FAILURE() << "No " << begin << "*" << end << " in " << runtimes_folder()
                << "; run scripts/runtimes.sh or set MESH_RUNTIMES_DIR.";
  return nullptr;
}

struct Language {
  std::string_view wasm;
  std::string_view tar;
  std::vector<std::string> before;  ///< argv before the script
  std::string script;
  bool stdin_file = false;
  task::Abi abi = task::Abi::wasi;
};
const Language started_python{"cpython-", "", {"python"}, "main.py", false, task::Abi::component};
const Language python{"python-", "python-", {"python"}, "main.py"};
const Language javascript{"quickjs-", "", {"javascript"}, "main.js"};
const Language ruby{"ruby-", "ruby-", {"ruby", "-r", "/ruby-3.2.0/.rubyopts.rb"}, "main.rb"};
const Language php{"php-cgi-",
                   "php-8",
                   {"php", "-q", "-d", "html_errors=0", "-d", "display_errors=stderr", "-d", "log_errors=0", "-d",
                    "auto_prepend_file=/php/prelude.php"},
                   "main.php",
                   true};

/// One cache for all runs of these tests: an interpreter takes seconds to compile, and each test is a process.
Sandbox& sandbox() {
  static const TestSandbox made([](Config& config) {
    config.cache_folder = MESH_BINARY_DIR "/runtimes-code";
    config.compile_seconds = 600;
  });
  return *made;
}

using Files = std::vector<std::pair<std::string, std::string>>;

RunResult run_script(const Language& language, const std::string& script, std::string_view input = "",
                     const Files& siblings = {}, const std::vector<std::string>& args = {},
                     const std::function<void(Job&)>& change = {}) {
  const auto wasm = runtime_file(language.wasm, ".wasm");
  if (!wasm) return {};
  Job job;
  job.module = Cid::of(Multicodec::raw, *wasm);
  job.abi = language.abi;
  job.load_module = [wasm]() -> Result<std::shared_ptr<const Bytes>> { return wasm; };
  job.args = language.before;
  job.args.push_back("/program/" + language.script);
  job.args.insert(job.args.end(), args.begin(), args.end());
  if (!language.tar.empty()) {
    const auto tar = runtime_file(language.tar, ".tar");
    if (!tar) return {};
    const auto root = std::make_shared<FileTree>();
    const Status added = root->add_tar(tar);
    EXPECT_TRUE(added) << added.error().message;
    job.root = root;
  }
  const auto program = std::make_shared<FileTree>();
  EXPECT_TRUE(program->add_file(language.script, shared(script)));
  for (const auto& [path, content] : siblings) EXPECT_TRUE(program->add_file(path, shared(content)));
  if (language.stdin_file) {
    EXPECT_TRUE(program->add_file("dev/stdin", shared(input)));
  }
  job.program = program;
  job.input = shared(input);
  job.entropy_key = sha256(as_bytes(script));
  if (change) change(job);
  auto result = sandbox().run(std::move(job));
  EXPECT_TRUE(result) << result.error().message;
  return result ? std::move(*result) : RunResult{};
}

TEST(Python, SeesNothingThatDiffersBetweenRuns) {
  const std::string script = R"(
import os, random, time, sys, uuid
print(hash('a'), random.random(), time.time(), time.monotonic(), os.urandom(8).hex(), uuid.uuid4())
print({str(i) for i in range(20)}, {str(i): hash(str(i)) for i in range(5)}, id(object()) % 7)
print(sys.argv, sorted(os.environ), os.listdir('/program'))
)";
  const auto first = run_script(python, script, "", {}, {"one", "two"});
  EXPECT_TRUE(first.outcome.succeeded()) << first.outcome.text() << as_text(first.log);
  EXPECT_NE(as_text(first.output).find("['/program/main.py', 'one', 'two']"), std::string_view::npos)
      << as_text(first.output);
  const auto second = run_script(python, script, "", {}, {"one", "two"});
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.log, second.log);
  EXPECT_EQ(first.summary.fuel, second.summary.fuel);
  EXPECT_EQ(first.summary.peak_memory_bytes, second.summary.peak_memory_bytes);
}

TEST(Python, ReadsInputSiblingsAndFiles) {
  const auto result = run_script(python,
                                 "import sys, helper\nprint(helper.double(sys.stdin.read()), open('data.txt').read(), "
                                 "open('/program/data.txt').read())",
                                 "in", {{"helper.py", "def double(x): return x + x\n"}, {"data.txt", "file"}});
  EXPECT_TRUE(result.outcome.succeeded()) << as_text(result.log);
  EXPECT_EQ(as_text(result.output), "inin file file\n");
}

TEST(Python, ErrorsAndExitCodes) {
  auto result = run_script(python, "raise ValueError('told you')");
  EXPECT_EQ(result.outcome.exit_code, 1U);
  EXPECT_NE(as_text(result.log).find("ValueError: told you"), std::string_view::npos) << as_text(result.log);
  result = run_script(python, "import sys\nsys.exit(3)");
  EXPECT_EQ(result.outcome.exit_code, 3U);
  result = run_script(python, "try:\n  open('/new', 'w')\nexcept OSError as e:\n  print(e.errno)");
  EXPECT_TRUE(result.outcome.succeeded()) << as_text(result.log);
}

// ---- the pre-started Python

TEST(StartedPython, SeesNothingThatDiffersBetweenRuns) {
  const std::string script = R"(
import os, random, time, sys, uuid, secrets, tempfile
print(hash('a'), random.random(), time.time(), time.monotonic(), os.urandom(8).hex(), uuid.uuid4(), secrets.token_hex(4))
print({str(i) for i in range(20)}, {str(i): hash(str(i)) for i in range(5)}, id(object()) % 7)
print(sys.argv, sorted(os.environ.items()), os.listdir('/program'), os.getcwd(), sorted(os.listdir('/')))
)";
  const auto with_key = [&](std::string_view key) {
    return run_script(started_python, script, "", {}, {"one", "two"}, [&](Job& job) {
      job.entropy_key = sha256(as_bytes(key));
      job.env = {"A=b"};
    });
  };
  const auto first = with_key("k");
  EXPECT_TRUE(first.outcome.succeeded()) << first.outcome.text() << as_text(first.log);
  EXPECT_NE(as_text(first.output).find("['/program/main.py', 'one', 'two'] [('A', 'b')] ['main.py'] / "),
            std::string_view::npos)
      << as_text(first.output);
  const auto other = with_key("k");
  EXPECT_EQ(first.output, other.output);
  EXPECT_EQ(first.log, other.log);
  EXPECT_EQ(first.summary.fuel, other.summary.fuel);
  EXPECT_EQ(first.summary.peak_memory_bytes, other.summary.peak_memory_bytes);
  EXPECT_NE(with_key("another").output, first.output);
}

TEST(StartedPython, IsTheFullInterpreterToAProgram) {
  struct Case {
    std::string script, input;
    std::vector<std::string> args;
  };
  const std::vector<Case> cases{
      {"import sys\nprint(sys.stdin.read().upper(), end='')", "two\nlines", {}},
      {"print(input() + input('prompt'))\ninput()", "a\nb\n", {}},
      {"import sys\nfor line in sys.stdin: print(repr(line))", "x\n\ny", {}},
      {"import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])", std::string("\x00\xff\xfe", 3), {}},
      {"import sys\nprint(sys.argv[1:], len(sys.argv), __name__, __file__)", "", {"-v", "two words", "ü"}},
      {"import sys\nprint(ascii(sys.stdin.read()), sys.stdin.encoding, sys.stdin.errors, sys.stdout.errors, "
       "sys.stderr.errors, sys.stdout.line_buffering, sys.stderr.line_buffering)",
       "\xff",
       {}},
      {"import sys\nprint('out'); print('err', file=sys.stderr); sys.exit(3)", "", {}},
      {"import sys\nsys.exit('words')", "", {}},
      {"raise SystemExit", "", {}},
      {"exit(5)", "", {}},
      {"import atexit\natexit.register(print, 'bye')\nclass A:\n  def __del__(self): print('gone')\na = A()", "", {}},
      {"print('no newline', end='')", "", {}},
      {"try:\n  open('/new', 'w')\nexcept OSError as e:\n  print(e.errno, type(e).__name__)", "", {}},
      {"try:\n  open('nothing')\nexcept OSError as e:\n  print(e.errno, e)", "", {}},
      {"import os\nos.mkdir('/x')", "", {}},
      {"import math, json\nprint(json.dumps({'pi': math.pi, 'e': [1e100, float('inf')]}), 2**200, 0.1 + 0.2)", "", {}},
      {"def f(n): return f(n + 1)\ntry:\n  f(0)\nexcept RecursionError: print('deep')", "", {}},
      {"import subprocess\ntry:\n  subprocess.run(['ls'])\nexcept OSError as e: print(type(e).__name__)", "", {}},
      {"import threading\ntry:\n  threading.Thread(target=print).start()\nexcept RuntimeError: print('none')", "", {}},
      {"import json\njson.loads('{')", "", {}},
      {"import datetime\nprint(datetime.datetime.strptime('2024-02-03', '%Y-%m-%d'), str(7**3000)[:9])", "", {}},
      {"print('x'.encode('utf-16-le'), 'a\u00e9'.encode('cp437'))", "", {}},
      {"x = [i for i in range(3)]\nassert x == [], 'told you'", "", {}},
  };
  for (const Case& one : cases) {
    const auto full = run_script(python, one.script, one.input, {}, one.args);
    const auto started = run_script(started_python, one.script, one.input, {}, one.args);
    EXPECT_EQ(started.outcome.text(), full.outcome.text()) << one.script << "\n" << as_text(started.log);
    EXPECT_EQ(as_text(started.output), as_text(full.output)) << one.script;
    // Tracebacks differ in wording between versions; the last line says what went wrong.
    const auto last_line = [](ByteView log) {
      const std::string_view text = as_text(log).substr(0, as_text(log).find_last_not_of('\n') + 1);
      return std::string(text.substr(text.rfind('\n') + 1));
    };
    EXPECT_EQ(last_line(started.log), last_line(full.log)) << one.script << "\n" << as_text(started.log);
  }
}

TEST(StartedPython, SleepsInVirtualTime) {  // Where the full interpreter has no clock_nanosleep.
  const auto started =
      run_script(started_python, "import time\na = time.time(); time.sleep(5000); print(time.time() - a >= 5000)");
  EXPECT_EQ(as_text(started.output), "True\n") << as_text(started.log);
}

TEST(StartedPython, TracebacksNameTheProgramsFileAndLine) {
  const auto result = run_script(started_python, "import helper\n\nhelper.fail(1)\n", "",
                                 {{"helper.py", "def fail(x):\n  raise ValueError(f'told {x}')\n"}});
  EXPECT_EQ(result.outcome.exit_code, 1U);
  EXPECT_EQ(as_text(result.log),
            "Traceback (most recent call last):\n"
            "  File \"/program/main.py\", line 3, in <module>\n    helper.fail(1)\n    ~~~~~~~~~~~^^^\n"
            "  File \"/program/helper.py\", line 2, in fail\n    raise ValueError(f'told {x}')\n"
            "ValueError: told 1\n");
  const auto syntax = run_script(started_python, "x = 1\nx = = 2\n");
  EXPECT_EQ(syntax.outcome.exit_code, 1U);
  EXPECT_NE(as_text(syntax.log).find("File \"/program/main.py\", line 2\n"), std::string_view::npos)
      << as_text(syntax.log);
}

TEST(StartedPython, ReadsSiblingsAndFiles) {
  const auto result = run_script(started_python,
                                 "import sys, helper, pack.part\nprint(helper.double(sys.stdin.read()), "
                                 "open('data.txt').read(), open('/program/data.txt').read(), pack.part.x)",
                                 "in",
                                 {{"helper.py", "def double(x): return x + x\n"},
                                  {"data.txt", "file"},
                                  {"pack/part.py", "x = 5"},
                                  {"pack/__init__.py", ""}});
  EXPECT_TRUE(result.outcome.succeeded()) << as_text(result.log);
  EXPECT_EQ(as_text(result.output), "inin file file 5\n");
}

TEST(StartedPython, AMissingModuleNamesTheWayOut) {
  const auto result = run_script(started_python, "import importlib\nimportlib.import_module('ctypes')");
  EXPECT_EQ(result.outcome.exit_code, 1U);
  EXPECT_NE(as_text(result.log).find("ModuleNotFoundError"), std::string_view::npos) << as_text(result.log);
  EXPECT_NE(as_text(result.log).find("--runtime python-full"), std::string_view::npos) << as_text(result.log);
}

TEST(StartedPython, LimitsAreOutcomes) {
  EXPECT_EQ(run_script(started_python, "while True: pass", "", {}, {}, [](Job& job) { job.limits.fuel = 500'000'000; })
                .outcome.kind,
            task::OutcomeKind::out_of_fuel);
  EXPECT_EQ(run_script(started_python, "x = bytearray(400 << 20)\nprint(len(x))", "", {}, {},
                       [](Job& job) { job.limits.memory_bytes = std::uint64_t{128} << 20; })
                .outcome.kind,
            task::OutcomeKind::out_of_memory);
  const auto large = run_script(started_python, "print('x' * 100_000)", "", {}, {},
                                [](Job& job) { job.limits.output_bytes = 50'000; });
  EXPECT_EQ(large.outcome.kind, task::OutcomeKind::output_too_large);
  const auto log = run_script(started_python, "import sys\nprint('x' * 100_000, file=sys.stderr)", "", {}, {},
                              [](Job& job) { job.limits.log_bytes = 50'000; });
  EXPECT_TRUE(log.outcome.succeeded());
  EXPECT_TRUE(log.log_cut);
  EXPECT_EQ(log.log.size(), 50'000U);
}

/// What the tools choose by is what is there.
TEST(StartedPython, TheCatalogueListsItsLibrary) {
  std::ifstream in(runtimes_folder() / "catalogue.json", std::ios::binary);
  const std::string catalogue{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto result = run_script(started_python,
                                 "import json, sys\n"
                                 "listed = json.load(sys.stdin)['runtimes'][0]\n"
                                 "assert listed['name'] == 'python'\n"
                                 "library = listed['library']\n"
                                 "for name in library['modules']: assert name in sys.modules, name\n"
                                 "for name in library['missing']: assert name not in sys.modules, name\n"
                                 "print(len(library['modules']) > 300, 'ctypes' in library['missing'])",
                                 catalogue);
  EXPECT_TRUE(result.outcome.succeeded()) << as_text(result.log);
  EXPECT_EQ(as_text(result.output), "True True\n");
}

TEST(JavaScript, InputOutputAndExitCodes) {
  auto result = run_script(
      javascript,
      "import * as std from 'qjs:std'; console.log('hello ' + std.in.readAsString()); console.error('log');", "input");
  EXPECT_TRUE(result.outcome.succeeded()) << as_text(result.log);
  EXPECT_EQ(as_text(result.output), "hello input\n");
  EXPECT_EQ(as_text(result.log), "log\n");
  result = run_script(javascript, "throw new Error('told you')");
  EXPECT_EQ(result.outcome.exit_code, 1U);
  const auto a = run_script(javascript, "console.log(Math.random(), Date.now())");
  const auto b = run_script(javascript, "console.log(Math.random(), Date.now())");
  EXPECT_EQ(a.output, b.output);
  EXPECT_EQ(a.summary.fuel, b.summary.fuel);
  EXPECT_FALSE(a.output.empty());
  result = run_script(javascript, "function f() { return 1 + f(); } try { f(); } catch (e) { console.log(e.name); }");
  EXPECT_EQ(as_text(result.output), "RangeError\n") << result.outcome.text();
}

TEST(Ruby, InputOutputAndExitCodes) {
  auto result = run_script(ruby, "puts \"hello #{STDIN.read}\"; warn 'log'", "input");
  EXPECT_TRUE(result.outcome.succeeded()) << result.outcome.text() << as_text(result.log);
  EXPECT_EQ(as_text(result.output), "hello input\n");
  EXPECT_NE(as_text(result.log).find("log"), std::string_view::npos);
  result = run_script(ruby, "exit 3");
  EXPECT_EQ(result.outcome.exit_code, 3U);
  const auto a = run_script(ruby, "puts rand, Time.now.to_f, 'a'.hash");
  const auto b = run_script(ruby, "puts rand, Time.now.to_f, 'a'.hash");
  EXPECT_EQ(a.output, b.output);
  EXPECT_EQ(a.summary.fuel, b.summary.fuel);
}

TEST(Php, InputOutputAndExitCodes) {
  auto result =
      run_script(php, "<?php echo 'hello ', stream_get_contents(STDIN), \"\\n\"; fwrite(STDERR, \"log\\n\");", "input");
  EXPECT_TRUE(result.outcome.succeeded()) << result.outcome.text() << as_text(result.log) << as_text(result.output);
  EXPECT_EQ(as_text(result.output), "hello input\n");
  EXPECT_EQ(as_text(result.log), "log\n");
  result = run_script(php, "<?php exit(3);");
  EXPECT_EQ(result.outcome.exit_code, 3U);
  const auto a = run_script(php, "<?php echo mt_rand(), microtime(true), bin2hex(random_bytes(4));");
  const auto b = run_script(php, "<?php echo mt_rand(), microtime(true), bin2hex(random_bytes(4));");
  EXPECT_EQ(a.output, b.output);
  EXPECT_EQ(a.summary.fuel, b.summary.fuel);
}

}  // namespace
}  // namespace mesh::wasm
