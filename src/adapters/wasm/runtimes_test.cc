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
};
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
  static const TestSandbox made([](Config& config) { config.cache_folder = MESH_BINARY_DIR "/runtimes-code"; });
  return *made;
}

using Files = std::vector<std::pair<std::string, std::string>>;

RunResult run_script(const Language& language, const std::string& script, std::string_view input = "",
                     const Files& siblings = {}, const std::vector<std::string>& args = {}) {
  const auto wasm = runtime_file(language.wasm, ".wasm");
  if (!wasm) return {};
  Job job;
  job.module = Cid::of(Multicodec::raw, *wasm);
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
