// Every function of WASI preview 1 against bad pointers, and the file system against bad paths.
#include "adapters/wasm/wasi.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "adapters/wasm/test_sandbox.h"

namespace mesh::wasm {
namespace {

using task::OutcomeKind;

/// Which parameters of each function point into memory: p for a pointer that is followed by a length or count (l), o for
/// a pointer to a result of fixed size, and . for what is no pointer.
struct Shape {
  std::string_view name;
  std::string_view roles;
  std::uint32_t unit = 1;  ///< bytes of one element that l counts
};
constexpr std::array<Shape, 34> shapes{{
    {"args_get", "oo"},
    {"args_sizes_get", "oo"},
    {"environ_get", "oo"},
    {"environ_sizes_get", "oo"},
    {"clock_res_get", ".o"},
    {"clock_time_get", "..o"},
    {"fd_fdstat_get", ".o"},
    {"fd_filestat_get", ".o"},
    {"fd_pread", ".pl.o", 8},
    {"fd_prestat_get", ".o"},
    {"fd_prestat_dir_name", ".pl"},
    {"fd_pwrite", ".pl.o", 8},
    {"fd_read", ".plo", 8},
    {"fd_readdir", ".pl.o"},
    {"fd_seek", "...o"},
    {"fd_tell", ".o"},
    {"fd_write", ".plo", 8},
    {"path_create_directory", ".pl"},
    {"path_filestat_get", "..plo"},
    {"path_filestat_set_times", "..pl..."},
    {"path_link", "..pl.pl"},
    {"path_open", "..pl....o"},
    {"path_readlink", ".plplo"},
    {"path_remove_directory", ".pl"},
    {"path_rename", ".pl.pl"},
    {"path_symlink", "pl.pl"},
    {"path_unlink_file", ".pl"},
    {"poll_oneoff", "oo.o"},
    {"random_get", "pl"},
    {"sock_accept", "..o"},
    {"sock_recv", ".pl.oo", 8},
    {"sock_send", ".pl.o", 8},
    {"sched_yield", ""},
    {"fd_close", "."},
}};

/// A module that makes one call with these arguments and exits with its answer. Memory is one page.
std::string one_call(const WasiFunction& function, const std::vector<std::uint64_t>& arguments,
                     std::string_view data = "") {
  std::string types;
  std::string values;
  for (std::size_t i = 0; i < function.parameters.size(); ++i) {
    const std::string_view type = function.parameters[i] == 'I' ? "i64" : "i32";
    types += fmt::format(" {}", type);
    values += fmt::format(" ({}.const {})", type, arguments[i]);
  }
  return fmt::format(R"((module (import "wasi_snapshot_preview1" "{0}" (func $call (param{1}) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) {3} (func (export "_start") (call $exit (call $call{2})))))",
                     function.name, types, values, data);
}

std::uint32_t answer_of(const std::string& wat, const std::function<void(Job&)>& change = {}) {
  Job job = job_of(wat);
  job.args = {"program", "argument"};
  job.env = {"NAME=value"};
  job.input = shared("some input");
  if (change) change(job);
  // In this process and thread: hundreds of modules, each of which is compiled once.
  const auto result = shared_sandbox().run_on_this_thread(std::move(job));
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  if (!result) return 999;
  EXPECT_EQ(result->outcome.kind, OutcomeKind::exited) << wat << result->outcome.text();
  return result->outcome.exit_code;
}

TEST(Wasi, AllFortySixFunctionsAreThere) {
  EXPECT_EQ(wasi_functions().size(), 46U);
  for (const WasiFunction& function : wasi_functions()) {
    EXPECT_EQ(std::ranges::count(wasi_functions(), function.name, &WasiFunction::name), 1);
  }
}

TEST(Wasi, BadPointersGiveFaultInEveryFunction) {
  int calls = 0;
  for (const Shape& shape : shapes) {
    const auto function = std::ranges::find(wasi_functions(), shape.name, &WasiFunction::name);
    ASSERT_NE(function, wasi_functions().end()) << shape.name;
    ASSERT_EQ(function->parameters.size(), shape.roles.size()) << shape.name;
    // Sound arguments: descriptor 3, and room at 1024 onwards; lengths of 1.
    std::vector<std::uint64_t> sound;
    for (std::size_t i = 0; i < shape.roles.size(); ++i) {
      sound.push_back(shape.roles[i] == '.'   ? (i == 0 && shape.name.starts_with("clock") ? 0 : 3)
                      : shape.roles[i] == 'l' ? 1
                                              : 1024 + 256 * i);
    }
    if (shape.name == "poll_oneoff") sound[2] = 1;
    for (std::size_t i = 0; i < shape.roles.size(); ++i) {
      if (shape.roles[i] != 'p' && shape.roles[i] != 'o') continue;
      std::vector<std::vector<std::uint64_t>> bad;
      for (const std::uint64_t pointer : {0xffff'ffffULL, 0xffff'fff8ULL, 65'537ULL, 65'536ULL, 0x8000'0000ULL}) {
        bad.push_back(sound);
        bad.back()[i] = pointer;
        if (shape.roles[i] == 'p') bad.back()[i + 1] = 1;
      }
      if (shape.roles[i] == 'p') {
        for (const std::uint64_t length : {0xffff'ffffULL, 0x2000'0000ULL, 0x8000'0000ULL, 65'536ULL}) {
          bad.push_back(sound);
          bad.back()[i + 1] = length;
        }
      }
      for (const auto& arguments : bad) {
        const std::uint32_t answer = answer_of(one_call(*function, arguments));
        ++calls;
        const std::uint32_t expected = shape.name.starts_with("sock_") ? 58 : 21;
        EXPECT_EQ(answer, expected) << fmt::format("{}({})", shape.name, fmt::join(arguments, ", "));
      }
    }
  }
  EXPECT_GT(calls, 250);
}

TEST(Wasi, BadPointersInsideListsGiveFault) {
  const auto bytes = [](std::uint32_t pointer, std::uint32_t length) {
    std::string data = "(data (i32.const 1024) \"";
    for (const std::uint32_t value : {pointer, length}) {
      for (unsigned shift = 0; shift < 32; shift += 8) data += fmt::format("\\{:02x}", (value >> shift) & 0xffU);
    }
    return data + "\")";
  };
  for (const std::string_view name : {"fd_read", "fd_write", "fd_pread", "fd_pwrite"}) {
    const auto function = std::ranges::find(wasi_functions(), name, &WasiFunction::name);
    std::vector<std::uint64_t> arguments(function->parameters.size(), 0);
    arguments[0] = name.ends_with("read") ? 0 : 1;
    arguments[1] = 1024;
    arguments[2] = 1;
    arguments.back() = 2048;
    EXPECT_EQ(answer_of(one_call(*function, arguments, bytes(0xffff'ffff, 1))), 21U) << name;
    EXPECT_EQ(answer_of(one_call(*function, arguments, bytes(65'535, 2))), 21U) << name;
    EXPECT_EQ(answer_of(one_call(*function, arguments, bytes(0, 0xffff'ffff))), 21U) << name;
    EXPECT_EQ(answer_of(one_call(*function, arguments, bytes(65'536, 0))), name == "fd_pwrite" ? 70U : 0U) << name;
  }
}

TEST(Wasi, WithoutAMemoryEveryPointerIsBad) {
  EXPECT_EQ(answer_of(R"((module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (func (export "_start") (call $exit (call $r (i32.const 0) (i32.const 1))))))"),
            21U);
}

std::uint32_t open_path(std::string_view path, std::uint32_t flags = 0, std::uint64_t rights = 2) {
  const auto root = std::make_shared<FileTree>();
  EXPECT_TRUE(root->add_file("lib/a.txt", shared("a")));
  EXPECT_TRUE(root->add_file("both", shared("the root's")));
  const auto program = std::make_shared<FileTree>();
  EXPECT_TRUE(program->add_file("main.py", shared("m")));
  EXPECT_TRUE(program->add_file("both", shared("the program's")));
  const auto function = std::ranges::find(wasi_functions(), "path_open", &WasiFunction::name);
  return answer_of(one_call(*function, {3, 0, 1024, path.size(), flags, rights, 0, 0, 512},
                            fmt::format("(data (i32.const 1024) \"{}\")", path)),
                   [&](Job& job) {
                     job.root = root;
                     job.program = program;
                   });
}

TEST(Wasi, PathsStayInTheTree) {
  for (const std::string_view good : {"lib/a.txt", "lib", "lib/", "./lib/./a.txt", "lib/../lib/a.txt",
                                      "program/main.py", "main.py", "both", "program/../lib//a.txt", "."}) {
    EXPECT_EQ(open_path(good), 0U) << good;
  }
  for (const std::string_view above :
       {"..", "../etc/passwd", "lib/../../etc/passwd", "/etc/passwd", "/", "./..", "program/../.."}) {
    EXPECT_EQ(open_path(above), 76U) << above;
  }
  EXPECT_EQ(open_path("etc/passwd"), 44U);
  EXPECT_EQ(open_path("lib/a.txt/x"), 54U);
  EXPECT_EQ(open_path("lib/a.txt/"), 54U);
  EXPECT_EQ(open_path("lib/a.txt/.."), 54U);
  EXPECT_EQ(open_path(""), 44U);
  EXPECT_EQ(open_path(std::string(300, 'n')), 37U);
  EXPECT_EQ(open_path(std::string(5'000, '/')), 37U);
}

TEST(Wasi, NothingCanBeWritten) {
  EXPECT_EQ(open_path("new", 1), 69U);  // Create.
  EXPECT_EQ(open_path("both", 8), 69U);  // Truncate.
  EXPECT_EQ(open_path("both", 0, 1U << 6U), 69U);  // With the right to write.
  EXPECT_EQ(open_path("both", 1 | 4), 20U);  // Exclusively.
  EXPECT_EQ(open_path("both", 2), 54U);  // As a folder.
  EXPECT_EQ(open_path("both", 16), 28U);
}

TEST(Wasi, OpenFilesAreBounded) {
  const auto root = std::make_shared<FileTree>();
  ASSERT_TRUE(root->add_file("f", shared("x")));
  const std::uint32_t answer = answer_of(R"((module
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 1024) "f")
    (func $try (result i32) (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 512)))
    (func (export "_start") (local $n i32)
      (loop $again (if (i32.eqz (call $try)) (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $again))))
      (if (i32.ne (call $try) (i32.const 33)) (then unreachable))
      (if (i32.ne (call $close (i32.const 5)) (i32.const 0)) (then unreachable))
      (if (i32.ne (call $try) (i32.const 0)) (then unreachable))
      (call $exit (local.get $n)))))",
                                         [&](Job& job) {
                                           job.root = root;
                                           job.limits.open_files = 12;
                                         });
  EXPECT_EQ(answer, 12U);
}

TEST(Wasi, SleepingMovesTheClockAndCostsLittle) {
  // Sleeps an hour on the monotonic clock, then exits with the seconds that have passed.
  const std::uint32_t seconds = answer_of(R"((module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
      (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
      (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))
      (if (i32.ne (i32.load (i32.const 200)) (i32.const 1)) (then unreachable))
      (drop (call $time (i32.const 1) (i64.const 0) (i32.const 208)))
      (call $exit (i32.wrap_i64 (i64.div_u (i64.load (i32.const 208)) (i64.const 1000000000)))))))");
  EXPECT_EQ(seconds, 3'600U);
}

TEST(Wasi, HostWorkIsCharged) {
  Job job = job_of(R"((module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
    (memory (export "memory") 100) (func (export "_start") (loop (drop (call $r (i32.const 0) (i32.const 6000000))) (br 0)))))");
  job.limits.fuel = 50'000'000;
  const auto result = shared_sandbox().run(std::move(job));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->outcome.kind, OutcomeKind::out_of_fuel);
  EXPECT_EQ(result->summary.fuel, 50'000'000U);
}

}  // namespace
}  // namespace mesh::wasm
