// Holds the sandbox to its promise that a run's outcome, bytes and fuel do not depend on the machine: runs modules drawn
// by crates/corpus, and real programs, under every setting of the engine that could differ, and compares all of it.
//
// usage: mesh_fuel_corpus corpus GENERATOR SEED FIRST COUNT FOLDER    modules; one that differs is written to FOLDER
//        mesh_fuel_corpus plants GENERATOR SEED COUNT FOLDER          that a planted difference is found
//        mesh_fuel_corpus programs WHICH RUNTIMES EXAMPLES FOLDER     interpreters and examples; FOLDER keeps their code;
//                                                                     WHICH is `small` (no Python) or `all`
//
// Ends with 0 if there is no difference, else with 1. Where the stack runs out may differ (docs/design/architecture.md):
// a run that ends so is not compared.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <set>

#include <fmt/format.h>

#include "adapters/wasm/module_binary.h"
#include "adapters/wasm/sandbox.h"
#include "base/check.h"

namespace mesh::wasm {
namespace {

namespace fs = std::filesystem;
using task::OutcomeKind;
using Target = EngineVariant::Target;
using Optimize = EngineVariant::Optimize;

struct Setting {
  std::string_view name;
  EngineVariant variant;
  /// Answered by main below; empty: the usual one.
  std::string_view compile_verb;
};
/// The first is how the product runs. Each of the others changes one thing, the last all at once.
const std::vector<Setting> settings{
    {"as shipped", {}, {}},
    {"memory copied", {.copy_on_write = false}, {}},
    {"no pool", {.pooling = false}, {}},
    {"not optimized", {.optimize = Optimize::none}, {}},
    {"optimized for size", {.optimize = Optimize::speed_and_size}, {}},
    {"compiled on one core", {.parallel = false}, {}},
    {"basic processor", {.target = Target::basic}, {}},
    {"Pulley", {.target = Target::pulley}, {}},
    {"all of it", {Target::pulley, Optimize::none, false, false, false}, {}},
};
const std::vector<std::string_view> kinds{"tame", "trapping", "wild", "host calls"};  // As in crates/corpus.

constexpr std::size_t batch = 16;  ///< modules in flight
constexpr std::size_t batches_per_cache = 8;  ///< then the folders are emptied: they are walked at each compilation

struct Module {
  std::uint64_t index = 0;
  std::size_t kind = 0;
  std::shared_ptr<const Bytes> bytes;
};

using Results = std::vector<Result<RunResult>>;

/// A folder of its own, gone with it.
class Folder {
 public:
  Folder() : path_((fs::temp_directory_path() / "mesh-corpus-XXXXXX").string()) {
    MESH_CHECK(mkdtemp(path_.data()) != nullptr, "corpus-folder");
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// One sandbox for each setting, with caches of their own in one folder.
class Sandboxes {
 public:
  Sandboxes(const std::vector<Setting>& which, const std::string& cache_folder) {
    for (const Setting& setting : which) {
      Config config;
      config.cache_folder = fmt::format("{}/{}", cache_folder, all_.size());
      config.threads = 1;
      config.spare_instances = 1;
      config.loaded_modules = 2 * batch;
      config.compile_seconds = 600;
      config.variant = setting.variant;
      if (!setting.compile_verb.empty()) config.compile_command[1] = setting.compile_verb;
      auto made = Sandbox::create(config);
      MESH_CHECK(made.has_value(), "corpus-sandbox");
      all_.push_back(std::move(*made));
    }
  }

  /// Compiles the job's module for one setting after another: some interpreters take a gigabyte and a minute each.
  void prepare(const Job& job) {
    for (const auto& sandbox : all_) {
      const auto ready = sandbox->prepare(job);
      if (!ready) fmt::print("  {}\n", ready.error().message);  // run() meets it again, and that counts.
    }
  }

  /// The results of each job under each setting.
  std::vector<Results> run(const std::vector<Job>& jobs) {
    std::vector<Results> results(jobs.size(), Results(all_.size(), fail(ErrorCode::internal, "The job did not run.")));
    std::latch done(static_cast<std::ptrdiff_t>(jobs.size() * all_.size()));
    for (std::size_t j = 0; j < jobs.size(); ++j) {
      for (std::size_t s = 0; s < all_.size(); ++s) {
        Job job = jobs[j];
        job.id = j;
        const Status taken = all_[s]->submit(std::move(job), {}, [&, j, s](Result<RunResult> result) {
          results[j][s] = std::move(result);
          done.count_down();
        });
        if (!taken) {
          results[j][s] = std::unexpected(taken.error());
          done.count_down();
        }
      }
    }
    done.wait();
    return results;
  }

 private:
  std::vector<std::unique_ptr<Sandbox>> all_;
};

Job job_of(const Module& module) {
  static const auto files = [] {
    auto tree = std::make_shared<FileTree>();
    const Status added = tree->add_file("file", std::make_shared<const Bytes>(to_bytes("some text to read")));
    MESH_CHECK(added.has_value(), "corpus-file");
    return tree;
  }();
  Job job;
  job.module = Cid::of(Multicodec::raw, *module.bytes);
  job.load_module = [bytes = module.bytes]() -> Result<std::shared_ptr<const Bytes>> { return bytes; };
  job.args = {"corpus", std::to_string(module.index)};
  job.env = {"NAME=value"};
  job.root = files;
  if (module.index % 2 == 1) job.input = std::make_shared<const Bytes>(module.index % 300, std::uint8_t{0x5a});
  job.entropy_key = sha256(as_bytes(std::to_string(module.index)));
  job.limits.fuel = 1'000'000;
  // Some runs meet each of the bounds.
  job.limits.memory_bytes = module.index % 3 == 0 ? std::uint64_t{1} << 20 : std::uint64_t{64} << 20;
  job.limits.output_bytes = module.index % 16 == 1 ? std::uint64_t{32} << 10 : std::uint64_t{256} << 10;
  job.limits.log_bytes = module.index % 8 == 2 ? 20 : 4'096;
  return job;
}

std::string text_of(const Result<RunResult>& result) {
  if (!result) return fmt::format("an error: {}", result.error().message);
  return fmt::format("{}, fuel {}, memory {}, moved {}, output {} bytes {}, log {} bytes {}{}", result->outcome.text(),
                     result->summary.fuel, result->summary.peak_memory_bytes, result->summary.io_bytes,
                     result->output.size(), sha256(result->output).hex().substr(0, 12), result->log.size(),
                     sha256(result->log).hex().substr(0, 12), result->log_cut ? " (cut)" : "");
}

bool stack_ran_out(const Result<RunResult>& result) {
  return result && result->outcome.kind == OutcomeKind::stack_exhausted;
}

/// Everything but the time that it took.
bool equal_runs(const RunResult& a, const RunResult& b) {
  return a.outcome == b.outcome && a.output == b.output && a.log == b.log && a.log_cut == b.log_cut &&
         a.summary.fuel == b.summary.fuel && a.summary.peak_memory_bytes == b.summary.peak_memory_bytes &&
         a.summary.io_bytes == b.summary.io_bytes;
}

/// Whether all that can be compared is equal; else says what differs from what. An error is a difference: it is no outcome.
bool agree(const std::vector<Setting>& which, const Results& results, const std::function<std::string()>& what) {
  std::optional<std::size_t> first;
  bool equal = true;
  for (std::size_t s = 0; s < results.size(); ++s) {
    if (stack_ran_out(results[s])) continue;
    if (!first && results[s]) {
      first = s;
      continue;
    }
    if (results[s] && equal_runs(*results[*first], *results[s])) continue;
    if (equal) fmt::print("DIFFERENCE: {}\n", what());
    equal = false;
    if (first) fmt::print("  {:<20} {}\n", which[*first].name, text_of(results[*first]));
    fmt::print("  {:<20} {}\n", which[s].name, text_of(results[s]));
  }
  return equal;
}

fs::path module_file(const fs::path& folder, std::uint64_t seed, const Module& module) {
  return folder / fmt::format("seed-{}-module-{}.wasm", seed, module.index);
}

void write_file(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  MESH_CHECK(out.flush().good(), "corpus-write");
}

/// Reads what the generator writes. It is our own program, so that anything odd is a bug.
class Corpus {
 public:
  Corpus(const std::string& generator, std::uint64_t seed, std::uint64_t first, std::uint64_t count)
      : next_(first),
        left_(count),
        // NOLINTNEXTLINE(bugprone-command-processor): our own program, by words of our own.
        pipe_(popen(fmt::format("'{}' {} {} {}", generator, seed, first, count).c_str(), "r")) {
    MESH_CHECK(pipe_ != nullptr, "corpus-generator");
  }
  ~Corpus() { pclose(pipe_); }
  Corpus(const Corpus&) = delete;
  Corpus& operator=(const Corpus&) = delete;

  std::vector<Module> take(std::size_t count) {
    std::vector<Module> modules;
    for (; modules.size() < count && left_ > 0; --left_) {
      std::array<std::uint8_t, 5> head{};
      read(head);
      Bytes bytes(head[0] | std::size_t{head[1]} << 8U | std::size_t{head[2]} << 16U | std::size_t{head[3]} << 24U);
      read(bytes);
      MESH_CHECK(head[4] < kinds.size(), "corpus-kind");
      modules.push_back({next_++, head[4], std::make_shared<const Bytes>(std::move(bytes))});
    }
    return modules;
  }

 private:
  void read(std::span<std::uint8_t> bytes) {
    MESH_CHECK(fread(bytes.data(), 1, bytes.size(), pipe_) == bytes.size(), "corpus-cut");
  }

  std::uint64_t next_;
  std::uint64_t left_;
  FILE* pipe_;
};

/// What the corpus came to: so that it can be seen that it does something.
struct Census {
  std::map<std::size_t, std::map<std::string, std::uint64_t>> ended;  ///< by kind and outcome
  std::map<std::string, std::uint64_t> traps;
  std::vector<std::uint64_t> fuel;  ///< of each module that ran
  std::set<Digest> outputs;
  Digest corpus;  ///< over all modules in their order: the same wherever the seed is
  std::uint64_t modules = 0, refused = 0, stack = 0, start = 0, output_bytes = 0, log_bytes = 0;
  std::map<std::string, std::uint64_t> refusals;

  void add(const Module& module, const Results& results) {
    ++modules;
    Bytes both = to_bytes(corpus.view());
    append(both, sha256(*module.bytes).view());
    corpus = sha256(both);
    const Result<RunResult>& shipped = results[0];
    if (std::ranges::any_of(results, stack_ran_out)) ++stack;
    if (!shipped) return;
    const task::Outcome& outcome = shipped->outcome;
    std::string name(task::enum_names(outcome.kind)[static_cast<std::size_t>(outcome.kind)]);
    if (outcome.kind == OutcomeKind::exited) name += outcome.exit_code == 0 ? " 0" : " otherwise";
    ++ended[module.kind][name];
    if (outcome.kind == OutcomeKind::trapped) ++traps[outcome.trap];
    if (outcome.kind == OutcomeKind::refused) {
      ++refused;
      ++refusals[outcome.detail.substr(0, outcome.detail.find(" (at offset"))];
      return;
    }
    const auto prepared = prepare_module(*module.bytes);  // Without its start section, if it had one.
    if (prepared && *prepared != *module.bytes) ++start;
    fuel.push_back(shipped->summary.fuel);
    outputs.insert(sha256(shipped->output));
    output_bytes += shipped->output.size();
    log_bytes += shipped->log.size();
  }

  void print() {
    for (const auto& [kind, outcomes] : ended) {
      std::string line;
      for (const auto& [name, count] : outcomes) line += fmt::format("  {} {}", name, count);
      fmt::print("  {:<10}{}\n", kinds[kind], line);
    }
    std::string line;
    for (const auto& [name, count] : traps) line += fmt::format("  {} {}", name, count);
    fmt::print("  traps     {}\n", line);
    for (const auto& [name, count] : refusals) fmt::print("  refused     {} times: {}\n", count, name);
    std::ranges::sort(fuel);
    line.clear();
    for (const unsigned percent : {1U, 10U, 25U, 50U, 75U, 90U, 99U}) {
      if (!fuel.empty()) line += fmt::format("  {} %: {}", percent, fuel[(fuel.size() - 1) * percent / 100]);
    }
    fmt::print(
        "  fuel      {}\n  bytes       {} of output, {} different outputs; {} of log\n  start       {} have a start "
        "function\n",
        line, output_bytes, outputs.size(), log_bytes, start);
  }

  /// Half of the modules must run, and half of those use a hundred units or more; of a few modules nothing is asked.
  [[nodiscard]] bool is_real() const {
    if (modules < 100) return true;
    return !fuel.empty() && fuel.size() * 2 >= modules && fuel[fuel.size() / 2] >= 100;
  }
};

int run_corpus(const std::string& generator, std::uint64_t seed, std::uint64_t first, std::uint64_t count,
               const fs::path& folder) {
  Corpus corpus(generator, seed, first, count);
  Census census;
  std::uint64_t differences = 0;
  for (bool more = true; more;) {
    const Folder cache;
    Sandboxes sandboxes(settings, cache.path());
    for (std::size_t i = 0; i < batches_per_cache && more; ++i) {
      const auto modules = corpus.take(batch);
      more = modules.size() == batch;
      std::vector<Job> jobs;
      for (const Module& module : modules) jobs.push_back(job_of(module));
      const auto results = sandboxes.run(jobs);
      for (std::size_t m = 0; m < modules.size(); ++m) {
        census.add(modules[m], results[m]);
        const auto file = module_file(folder, seed, modules[m]);
        const bool equal = agree(settings, results[m], [&] {
          write_file(file, *modules[m].bytes);
          return fmt::format("seed {}, module {}, written to {}", seed, modules[m].index, file.string());
        });
        differences += equal ? 0 : 1;
      }
    }
    if (census.modules % 2'048 == 0) {
      fmt::print("  {} modules\n", census.modules);
    }
  }
  census.print();
  fmt::print(
      "{} modules of seed {} (corpus {}) under {} settings: {} ran, {} were refused; {} met the stack's end somewhere "
      "and are "
      "compared without that; {}.\n",
      census.modules, seed, census.corpus.hex().substr(0, 12), settings.size(), census.modules - census.refused,
      census.refused, census.stack, differences == 0 ? "no difference" : fmt::format("{} DIFFERENT", differences));
  if (!census.is_real()) fmt::print("Too few of the modules do anything: the corpus shows nothing.\n");
  return differences == 0 && census.is_real() ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- planted differences

/// The entry's first instructions in every module (crates/corpus/src/driver.rs): i64.const MARK, nop, nop, nop.
std::optional<std::size_t> find_mark(const Bytes& module) {
  Bytes mark{0x42};
  std::int64_t value = 0x4d45'5348'5741'524d;
  for (bool more = true; more;) {
    const auto low = static_cast<std::uint8_t>(value & 0x7f);
    value >>= 7;
    more = !(value == 0 && (low & 0x40U) == 0);
    mark.push_back(more ? static_cast<std::uint8_t>(low | 0x80U) : low);
  }
  mark.insert(mark.end(), 3, 0x01);
  const auto at = std::ranges::search(module, mark);
  if (at.empty()) return std::nullopt;
  return static_cast<std::size_t>(at.end() - module.begin()) - 3;
}

/// Changes the module on descriptor 0 and then compiles it as ever: the difference is in code that the real engine runs.
int planted_compile(int argc, char** argv) {
  struct stat status{};
  if (fstat(0, &status) != 0) return EXIT_FAILURE;
  Bytes module(static_cast<std::size_t>(status.st_size));
  if (pread(0, module.data(), module.size(), 0) != status.st_size) return EXIT_FAILURE;
  const auto nops = find_mark(module);
  if (!nops) return EXIT_FAILURE;
  if (std::string_view(argv[1]) == "planted-fuel") {
    module[*nops] = 0x41;  // i32.const 0, drop in place of the three: one unit more, and nothing else.
    module[*nops + 1] = 0x00;
    module[*nops + 2] = 0x1a;
  } else {
    module[*nops - 2] ^= 0x01U;  // In the number that the entry begins with: no unit more, another result.
  }
  const int changed = memfd_create("planted", MFD_CLOEXEC);
  if (changed < 0 || write(changed, module.data(), module.size()) != status.st_size || dup2(changed, 0) != 0)
    return EXIT_FAILURE;
  return compile_main(argc, argv);
}

int run_plants(const std::string& generator, std::uint64_t seed, std::uint64_t count, const fs::path& folder) {
  bool all_found = true;
  for (const std::string_view verb : {"planted-fuel", "planted-result"}) {
    const std::vector<Setting> pair{{"as shipped", {}, {}}, {"planted", {}, verb}};
    const Folder cache;
    Sandboxes sandboxes(pair, cache.path());
    Corpus corpus(generator, seed, 0, count);
    std::uint64_t shown = 0;
    std::uint64_t found = 0;
    for (auto modules = corpus.take(batch); !modules.empty(); modules = corpus.take(batch)) {
      std::vector<Job> jobs;
      for (const Module& module : modules) jobs.push_back(job_of(module));
      const auto results = sandboxes.run(jobs);
      for (std::size_t m = 0; m < modules.size(); ++m) {
        // What ended by itself and gave something out ran all of the entry, and must show the difference.
        const auto& shipped = results[m][0];
        if (!shipped || shipped->outcome.kind != OutcomeKind::exited || shipped->output.empty()) continue;
        ++shown;
        const auto file = module_file(folder, seed, modules[m]);
        const bool equal = agree(pair, results[m], [&] {
          write_file(file, *modules[m].bytes);
          return fmt::format("{}: seed {}, module {}, written to {}", verb, seed, modules[m].index, file.string());
        });
        std::ifstream in(file, std::ios::binary);
        const Bytes kept{std::istreambuf_iterator<char>(in), {}};
        const auto& planted = results[m][1];
        const std::uint64_t units = verb == "planted-fuel" ? 1 : 0;
        const bool as_planted = planted && planted->summary.fuel == shipped->summary.fuel + units;
        if (!equal && as_planted && kept == *modules[m].bytes) ++found;
        std::error_code ignored;
        fs::remove(file, ignored);
      }
    }
    fmt::print("{}: found in {} of {} modules\n", verb, found, shown);
    all_found = all_found && shown > 0 && found == shown;
  }
  return all_found ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- real programs

std::shared_ptr<const Bytes> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    fmt::print("{} is missing; run scripts/runtimes.sh.\n", path.string());
    std::exit(EXIT_FAILURE);
  }
  return std::make_shared<const Bytes>(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

/// The one file whose name begins and ends so.
std::shared_ptr<const Bytes> runtime(const fs::path& folder, std::string_view begin, std::string_view end) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end)) return read_file(entry.path());
  }
  return read_file(folder / fmt::format("{}*{}", begin, end));
}

constexpr std::string_view javascript_program = R"(
import * as std from 'qjs:std';
const text = std.in.readAsString();
const counts = new Map();
for (const word of text.match(/\w+/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
console.log(JSON.stringify([...counts]), Math.random(), Date.now(), 1 / 3, Math.sqrt(2), 2n ** 100n);
console.error([3, 1, 2].toSorted(), NaN, new Float32Array([0.1])[0]);
)";
constexpr std::string_view python_program = R"(
import json, math, random, sys, time
words = sys.stdin.read().split()
print(json.dumps({w: words.count(w) for w in words}, sort_keys=True), hash('a'), random.random(), time.time())
print(math.sin(1), 2 ** 200, sum(i * i % 7 for i in range(2000)), {'a', 'b', 'c'}, float('nan'), file=sys.stderr)
)";

Job program_job(const std::shared_ptr<const Bytes>& module, std::vector<std::string> args, std::string_view input) {
  Job job;
  job.module = Cid::of(Multicodec::raw, *module);
  job.load_module = [module]() -> Result<std::shared_ptr<const Bytes>> { return module; };
  job.args = std::move(args);
  job.input = std::make_shared<const Bytes>(to_bytes(input));
  job.entropy_key = sha256(as_bytes("programs"));
  return job;
}

Job script_job(const std::shared_ptr<const Bytes>& module, std::string_view interpreter, const std::string& file,
               const std::shared_ptr<const Bytes>& script, std::string_view input) {
  Job job = program_job(module, {std::string(interpreter), "/program/" + file}, input);
  auto program = std::make_shared<FileTree>();
  const Status added = program->add_file(file, script);
  MESH_CHECK(added.has_value(), "corpus-script");
  job.program = std::move(program);
  return job;
}

int run_programs(bool all, const fs::path& runtimes, const fs::path& examples, const std::string& cache) {
  constexpr std::string_view input = "the quick brown fox and the lazy dog and the end\n";
  const auto text = [](std::string_view script) { return std::make_shared<const Bytes>(to_bytes(script)); };
  std::vector<std::pair<std::string_view, Job>> programs;
  programs.emplace_back("examples/collatz",
                        program_job(read_file(examples / "collatz/collatz.wasm"), {"collatz"}, "1 3000\n"));
  const auto javascript = runtime(runtimes, "quickjs-", ".wasm");
  for (const auto& [name, script] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"JavaScript", javascript_program},
                                                                  {"JavaScript that throws", "null.x"},
                                                                  {"JavaScript without end", "for (;;);"}}) {
    programs.emplace_back(name, script_job(javascript, "javascript", "main.js", text(script), input));
    programs.back().second.limits.fuel = 50'000'000;
  }
  if (all) {
    const auto python = runtime(runtimes, "python-", ".wasm");
    const auto root = std::make_shared<FileTree>();
    const Status added = root->add_tar(runtime(runtimes, "python-", ".tar"));
    MESH_CHECK(added.has_value(), "corpus-python-tree");
    for (const auto& [name, script] : std::vector<std::pair<std::string_view, std::shared_ptr<const Bytes>>>{
             {"Python", text(python_program)},
             {"Python that raises", text("raise ValueError('no')")},
             {"examples/words", read_file(examples / "words/main.py")}}) {
      programs.emplace_back(name, script_job(python, "python", "main.py", script, input));
      programs.back().second.root = root;
    }
  }

  Sandboxes sandboxes(settings, cache);
  std::vector<Job> jobs;
  for (const auto& [name, job] : programs) {
    sandboxes.prepare(job);
    jobs.push_back(job);
  }
  const auto results = sandboxes.run(jobs);
  std::uint64_t differences = 0;
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    differences += agree(settings, results[j], [&] { return std::string(programs[j].first); }) ? 0U : 1U;
    fmt::print("  {:<24} {}\n", programs[j].first, text_of(results[j][0]));
  }
  fmt::print("{} programs under {} settings: {}.\n", jobs.size(), settings.size(),
             differences == 0 ? "no difference" : fmt::format("{} DIFFERENT", differences));
  return differences == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace mesh::wasm

int main(int argc, char** argv) {
  using namespace mesh::wasm;
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "internal-compile") return compile_main(argc, argv);
  if (verb.starts_with("planted-")) return planted_compile(argc, argv);
  (void)setvbuf(stdout, nullptr, _IOLBF, 0);  // A difference is told when it is found.
  std::vector<std::uint64_t> numbers;  // Those that follow the verb and one path.
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::string& word = words[i];
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) break;
    numbers.push_back(value);
  }
  if (verb == "corpus" && words.size() == 6 && numbers.size() == 3)
    return run_corpus(words[1], numbers[0], numbers[1], numbers[2], words[5]);
  if (verb == "plants" && words.size() == 5 && numbers.size() == 2)
    return run_plants(words[1], numbers[0], numbers[1], words[4]);
  if (verb == "programs" && words.size() == 5 && (words[1] == "all" || words[1] == "small")) {
    const char* runtimes = std::getenv("MESH_RUNTIMES_DIR");
    return run_programs(words[1] == "all", runtimes != nullptr ? runtimes : words[2], words[3], words[4]);
  }
  fmt::print(stderr, "The first lines of tests/corpus/fuel_corpus.cc say how to call this.\n");
  return 2;
}
