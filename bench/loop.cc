#include "loop.h"

#include <fmt/format.h>
#include <wasmtime.hh>

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <fstream>
#include <mutex>

#include "temporary_sandbox.h"

namespace mesh::bench {
namespace {

int fail(std::string_view words) {
  fmt::print(stderr, "error: {}\n", words);
  return 1;
}

Result<Bytes> module_at(const char* path) {
  std::ifstream in(path, std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (bytes.empty()) return mesh::fail(ErrorCode::not_found, fmt::format("there is no module {}", path));
  if (bytes.front() == 0) return bytes;
  return wasm::wat_to_wasm(as_text(bytes));
}

bool read_number(const char* text, std::size_t& number) {
  const std::string_view view = text;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), number);
  return error == std::errc() && end == view.data() + view.size() && number > 0;
}

/// Counts the runs that are done, and keeps the first output and the first thing that went wrong.
class Tally {
 public:
  void done(std::size_t number, Result<wasm::RunResult> result) {
    const std::scoped_lock lock(mutex_);
    ++done_;
    if (!result || !result->outcome.succeeded()) {
      if (wrong_.empty()) wrong_ = result ? result->outcome.text() : result.error().message;
    } else if (number == 0) {
      first_output_ = std::move(result->output);
    }
    changed_.notify_one();
  }
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= count; });
  }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] const Bytes& first_output() const { return first_output_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t done_ = 0;
  std::string wrong_;
  Bytes first_output_;
};

wasmtime::Engine unmetered() {
  wasmtime::Config config;
  config.cranelift_nan_canonicalization(true);
  return wasmtime::Engine(std::move(config));
}

}  // namespace

int loop_main(std::span<char* const> words) {
  std::size_t count = 0, threads = 0;
  if (words.size() != 4 || !read_number(words[1], count) || !read_number(words[2], threads)) {
    fmt::print(stderr, "usage: mesh_bench loop MODULE JOBS THREADS PREFIX\n");
    return 2;
  }
  auto module = module_at(words[0]);
  if (!module) return fail(module.error().message);
  const auto wasm = std::make_shared<const Bytes>(std::move(*module));
  const TemporarySandbox sandbox(static_cast<unsigned>(threads));

  const auto submit = [&](Tally& tally, std::size_t begin, std::size_t end, std::size_t id) {
    std::vector<wasm::Job> jobs(end - begin, job_of(wasm));
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      jobs[i].id = id + i;
      jobs[i].input = std::make_shared<const Bytes>(to_bytes(fmt::format("{}{}", words[3], begin + i)));
    }
    return sandbox->submit(std::move(jobs), {}, [&tally, begin](std::size_t i, Result<wasm::RunResult> result) {
      tally.done(begin + i, std::move(result));
    });
  };
  // Compiles and loads the module, and starts every thread.
  Tally warm;
  for (std::size_t i = 0; i < 2 * threads; ++i) {
    if (const Status taken = submit(warm, i, i + 1, count + 1 + i); !taken) return fail(taken.error().message);
  }
  warm.wait_for(2 * threads);
  if (!warm.wrong().empty()) return fail(warm.wrong());

  // Small enough parts that no thread is left without, few enough for the queue.
  const std::size_t part = std::clamp<std::size_t>(count / (threads * 16), 1, 64);
  Tally tally;
  const auto begun = std::chrono::steady_clock::now();
  const std::clock_t begun_cpu = std::clock();  // of all threads
  for (std::size_t at = 0; at < count; at += part) {
    if (const Status taken = submit(tally, at, std::min(count, at + part), 1 + at); !taken) {
      return fail(taken.error().message);
    }
  }
  tally.wait_for(count);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const double cpu_seconds = static_cast<double>(std::clock() - begun_cpu) / CLOCKS_PER_SEC;
  if (!tally.wrong().empty()) return fail(tally.wrong());
  std::string output;
  for (const std::uint8_t byte : tally.first_output()) output += fmt::format("{:02x}", byte);
  fmt::print(R"({{"seconds": {}, "cpu_seconds": {}, "jobs": {}, "threads": {}, "output": "{}"}})"
             "\n",
             seconds, cpu_seconds, count, threads, output);
  return 0;
}

int compile_main(std::span<char* const> words) {
  if (words.size() != 2) {
    fmt::print(stderr, "usage: mesh_bench compile MODULE FILE\n");
    return 2;
  }
  auto bytes = module_at(words[0]);
  if (!bytes) return fail(bytes.error().message);
  wasmtime::Engine engine = unmetered();
  auto module = wasmtime::Module::compile(engine, *bytes);
  if (!module) return fail(module.err().message());
  const auto code = module.unwrap().serialize().unwrap();
  std::ofstream out(words[1], std::ios::binary);
  out.write(reinterpret_cast<const char*>(code.data()), static_cast<std::streamsize>(code.size()));
  return out.flush() ? 0 : fail(fmt::format("{} cannot be written", words[1]));
}

int shard_main(std::span<char* const> words) {
  if (words.size() != 3) {
    fmt::print(stderr, "usage: mesh_bench shard FILE INPUT OUTPUT\n");
    return 2;
  }
  wasmtime::Engine engine = unmetered();
  auto module = wasmtime::Module::deserialize_file(engine, words[0]);
  if (!module) return fail(module.err().message());
  wasmtime::Store store(engine);
  auto context = store.context();
  auto instance = wasmtime::Instance::create(context, module.unwrap(), {}).unwrap();
  const auto alloc = std::get<wasmtime::Func>(*instance.get(context, "mesh_alloc"));
  const auto run = std::get<wasmtime::Func>(*instance.get(context, "mesh_run"));
  const auto memory = std::get<wasmtime::Memory>(*instance.get(context, "memory"));
  const std::string_view input = words[1];
  const auto bytes = static_cast<std::int32_t>(input.size());
  const std::int32_t at = alloc.call(context, {bytes}).unwrap()[0].i32();
  // The module is the benchmark's own: what it says of its memory is believed.
  std::ranges::copy(input, memory.data(context).data() + at);
  const auto result = static_cast<std::uint64_t>(run.call(context, {at, bytes}).unwrap()[0].i64());
  std::ofstream out(words[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(memory.data(context).data() + (result >> 32)),
            static_cast<std::streamsize>(result & UINT32_MAX));
  return out.flush() ? 0 : fail(fmt::format("{} cannot be written", words[2]));
}

}  // namespace mesh::bench
