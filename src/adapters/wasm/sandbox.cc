#include "adapters/wasm/sandbox.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <latch>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include "adapters/wasm/code_cache.h"
#include "adapters/wasm/engine.h"
#include "adapters/wasm/module_binary.h"
#include "adapters/wasm/wasi.h"
#include "base/check.h"

namespace mesh::wasm {
namespace {

using Clock = std::chrono::steady_clock;
using task::Outcome;
using task::OutcomeKind;

constexpr std::size_t max_backtrace = 64;
constexpr std::size_t max_frame_bytes = 256;
constexpr std::uint64_t instantiation_fuel = std::uint64_t{1} << 62;  // Never charged; no loop runs there.
constexpr std::uint64_t max_fuel = std::uint64_t{1} << 62;
constexpr std::uint64_t max_memory_bytes = std::uint64_t{1} << 32;
constexpr std::size_t thread_stack_bytes = stack_bytes + (std::size_t{4} << 20);
constexpr int guest_niceness = 10;

Outcome refusal(std::string detail) {
  Outcome outcome;
  outcome.kind = OutcomeKind::refused;
  outcome.detail = std::move(detail);
  return outcome;
}

std::unexpected<Error> stopped_error() { return fail(ErrorCode::denied, "The run was stopped."); }

/// The names of the WebAssembly specification's test suite, where it has one, and ours for components. Part of signed outcomes: never change them.
std::string trap_name(wasmtime_trap_code_t code) {
  switch (code) {
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
      return "out of bounds memory access";
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
      return "unaligned atomic";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
      return "out of bounds table access";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
      return "uninitialized element";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
      return "indirect call type mismatch";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
      return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
      return "integer divide by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
      return "invalid conversion to integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
      return "unreachable";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE:
      return "null reference";
    case WASMTIME_TRAP_CODE_CANNOT_ENTER_COMPONENT:
      return "cannot enter component instance";
    case WASMTIME_TRAP_CODE_CANNOT_LEAVE_COMPONENT:
      return "cannot leave component instance";
    case WASMTIME_TRAP_CODE_INVALID_CHAR:
      return "invalid character";
    case WASMTIME_TRAP_CODE_STRING_OUT_OF_BOUNDS:
      return "string out of bounds";
    case WASMTIME_TRAP_CODE_LIST_OUT_OF_BOUNDS:
      return "list out of bounds";
    case WASMTIME_TRAP_CODE_INVALID_DISCRIMINANT:
      return "invalid discriminant";
    case WASMTIME_TRAP_CODE_UNALIGNED_POINTER:
      return "unaligned pointer";
    default:
      return fmt::format("trap {}", code);
  }
}

/// The frames' names; frees the frames.
std::vector<std::string> backtrace_of(wasm_frame_vec_t& frames) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < frames.size && names.size() < max_backtrace; ++i) {
    const wasm_name_t* name = wasmtime_frame_func_name(frames.data[i]);
    names.push_back(name != nullptr && name->size > 0
                        ? one_line({name->data, name->size}, max_frame_bytes)
                        : fmt::format("function {}", wasm_frame_func_index(frames.data[i])));
  }
  wasm_frame_vec_delete(&frames);
  return names;
}

/// A module that is ready to run, or the reason why it never will be.
struct Loaded {
  Module module;
  InstancePre pre;
  Component component;  ///< in place of the two above
  std::string refusal;  ///< if not empty, the rest is not there
  bool has_memory = false;
  bool has_start = false;
  bool has_initialize = false;
  bool has_wasi_entry = false;  ///< exports _start, () -> ()
  bool has_call_entry = false;  ///< exports mesh_alloc, mesh_run and memory, with their types
  bool exports_run = false;  ///< exports something named mesh_run
  std::uint64_t code_bytes = 0;
};
using LoadedPtr = std::shared_ptr<const Loaded>;

bool has_type(const wasm_externtype_t* type, std::string_view parameters, std::string_view results) {
  const wasm_functype_t* function = wasm_externtype_as_functype_const(type);
  if (function == nullptr) return false;
  const auto matches = [](const wasm_valtype_vec_t* types, std::string_view letters) {
    if (types->size != letters.size()) return false;
    for (std::size_t i = 0; i < letters.size(); ++i) {
      if (wasm_valtype_kind(types->data[i]) != (letters[i] == 'I' ? WASM_I64 : WASM_I32)) return false;
    }
    return true;
  };
  return matches(wasm_functype_params(function), parameters) && matches(wasm_functype_results(function), results);
}

std::string_view view(const wasm_name_t* name) { return {name->data, name->size}; }

/// One job's switch, found by its id until it is done.
struct Control {
  std::atomic<bool> stopped = false;
};

/// Jobs of one module that run one after the other.
struct Task {
  std::vector<Job> jobs;
  Sandbox::OnEachLog on_log;
  Sandbox::OnEachDone on_done;
  std::shared_ptr<Control> control;
  LoadedPtr loaded;
};

class WasmtimeSandbox final : public Sandbox {
 public:
  WasmtimeSandbox(Config config, Engine engine, std::unique_ptr<CodeCache> cache)
      : config_(std::move(config)), engine_(std::move(engine)), cache_(std::move(cache)) {}

  Status start();
  ~WasmtimeSandbox() override;

  using Sandbox::submit;
  Status submit(std::vector<Job> jobs, OnEachLog on_log, OnEachDone on_done) override;
  void stop(std::uint64_t id) override;
  Result<RunResult> run(Job job, OnLog on_log) override;
  Result<RunResult> run_on_this_thread(Job job, const OnLog& on_log) override;
  Result<std::optional<Outcome>> prepare(const Job& job) override;
  Result<std::uint64_t> measure_fuel_per_second() override;

 private:
  struct Remembered {
    LoadedPtr loaded;
    std::list<Cid>::iterator age;
  };

  static void* worker_entry(void* self);
  static void* loader_entry(void* self);
  Status spawn(void* (*entry)(void*));
  void work();
  void load_waiting();
  void forget(const Task& task);
  void run_all(Task& task);
  /// Ends all jobs of a task that has not begun.
  void finish(Task& task, const Error& error);

  LoadedPtr remembered(const Cid& module);  // With mutex_ held.
  void remember(const Cid& module, const LoadedPtr& loaded);  // With mutex_ held.
  Result<LoadedPtr> load(const Job& job);
  Result<LoadedPtr> link(ByteView code);
  Status check(const Job& job) const;
  Result<RunResult> execute(const Job& job, const Loaded& loaded, const Control& control, const OnLog& on_log);

  const Config config_;
  const Engine engine_;
  const std::unique_ptr<CodeCache> cache_;
  Linker linker_;
  std::vector<pthread_t> threads_;

  std::mutex mutex_;
  std::condition_variable ready_;  // For workers.
  std::condition_variable load_ready_;  // For the loader.
  bool closing_ = false;
  std::size_t pending_ = 0;  // Submitted and not yet running.
  std::deque<Task> queue_;
  std::deque<Cid> to_load_;
  std::unordered_map<Cid, std::vector<Task>> waiting_;  // For their module to be loaded.
  std::unordered_map<std::uint64_t, std::shared_ptr<Control>> controls_;
  std::unordered_map<Cid, Remembered> remembered_;
  std::list<Cid> ages_;  // The most recently used first.
  std::uint64_t remembered_bytes_ = 0;
};

Status WasmtimeSandbox::spawn(void* (*entry)(void*)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // The default follows `ulimit -s`, and would make the guest's stack bound this machine's.
  pthread_attr_setstacksize(&attributes, thread_stack_bytes);
  pthread_t thread{};
  const int error = pthread_create(&thread, &attributes, entry, this);
  pthread_attr_destroy(&attributes);
  if (error != 0)
    return fail(ErrorCode::exhausted, "The sandbox could not start its threads; raise the limit of processes.");
  threads_.push_back(thread);
  return {};
}

Status WasmtimeSandbox::start() {
  linker_ = Linker(wasmtime_linker_new(engine_.get()));
  if (const EngineError error(define_wasi(linker_.get())); error) return fail(ErrorCode::internal, text_of(error));
  for (unsigned i = 0; i < config_.threads; ++i) MESH_TRY(spawn(worker_entry));
  return spawn(loader_entry);
}

WasmtimeSandbox::~WasmtimeSandbox() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (const auto& [id, control] : controls_) control->stopped = true;
  }
  cache_->cancel();
  wasmtime_engine_increment_epoch(engine_.get());
  ready_.notify_all();
  load_ready_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

namespace {
/// Guests, and what compiles them, give way to the node's own threads, which many wait for, and to what else this machine
/// is used for. On Linux a nice value is the thread's own, and its children's. It cannot fail: nobody is refused less.
void give_way() { (void)::nice(guest_niceness); }
}  // namespace

void* WasmtimeSandbox::worker_entry(void* self) {
  give_way();
  static_cast<WasmtimeSandbox*>(self)->work();
  return nullptr;
}

void* WasmtimeSandbox::loader_entry(void* self) {
  give_way();
  static_cast<WasmtimeSandbox*>(self)->load_waiting();
  return nullptr;
}

void WasmtimeSandbox::forget(const Task& task) {
  const std::lock_guard lock(mutex_);
  controls_.erase(task.jobs.front().id);
}

void WasmtimeSandbox::finish(Task& task, const Error& error) {
  forget(task);
  for (std::size_t i = 0; i < task.jobs.size(); ++i) task.on_done(i, std::unexpected(error));
}

void WasmtimeSandbox::run_all(Task& task) {
  for (std::size_t i = 0; i < task.jobs.size(); ++i) {
    OnLog on_log;
    if (task.on_log) on_log = [&task, i](ByteView more) { task.on_log(i, more); };
    auto result = task.control->stopped ? Result<RunResult>(stopped_error())
                                        : execute(task.jobs[i], *task.loaded, *task.control, on_log);
    if (i + 1 == task.jobs.size()) forget(task);
    task.on_done(i, std::move(result));
  }
}

void WasmtimeSandbox::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;  // Closing. Tasks that wait for the loader are ended by it.
    Task task = std::move(queue_.front());
    queue_.pop_front();
    --pending_;
    lock.unlock();
    if (task.control->stopped) {
      finish(task, stopped_error().error());
    } else {
      run_all(task);
    }
  }
}

void WasmtimeSandbox::load_waiting() {
  std::unique_lock lock(mutex_);
  for (;;) {
    load_ready_.wait(lock, [this] { return closing_ || !to_load_.empty(); });
    if (to_load_.empty()) return;
    const Cid module = to_load_.front();
    to_load_.pop_front();
    const auto it = waiting_.find(module);
    if (it == waiting_.end()) continue;  // All that waited were stopped.
    Job model;  // What load() needs of the first; the tasks themselves may be stopped meanwhile.
    model.module = it->second.front().jobs.front().module;
    model.load_module = it->second.front().jobs.front().load_module;
    const bool closing = closing_;
    lock.unlock();
    auto loaded = closing ? Result<LoadedPtr>(stopped_error()) : load(model);
    lock.lock();
    const auto node = waiting_.extract(module);
    if (node.empty()) continue;
    if (loaded && !closing_) {
      for (Task& task : node.mapped()) {
        task.loaded = *loaded;
        queue_.push_back(std::move(task));
      }
      ready_.notify_all();
      continue;
    }
    const Error error = loaded ? stopped_error().error() : loaded.error();
    pending_ -= node.mapped().size();
    lock.unlock();
    for (Task& task : node.mapped()) finish(task, task.control->stopped ? stopped_error().error() : error);
    lock.lock();
  }
}

Status WasmtimeSandbox::check(const Job& job) const {
  if (job.limits.memory_bytes > max_memory_bytes) {
    return fail(ErrorCode::unsupported,
                fmt::format("A run may have at most 4096 MiB of memory, not {}.", job.limits.memory_bytes >> 20U));
  }
  if (job.limits.fuel > max_fuel)
    return fail(ErrorCode::unsupported, fmt::format("A run may have at most {} units of fuel.", max_fuel));
  if (!job.load_module) return fail(ErrorCode::invalid, "The job does not say where its module is.");
  return {};
}

Status WasmtimeSandbox::submit(std::vector<Job> jobs, OnEachLog on_log, OnEachDone on_done) {
  for (const Job& job : jobs) {
    MESH_TRY(check(job));
    if (job.module != jobs.front().module) return fail(ErrorCode::invalid, "Jobs that run together have one module.");
  }
  if (jobs.empty()) return fail(ErrorCode::invalid, "There is no job to run.");
  const std::lock_guard lock(mutex_);
  if (closing_) return fail(ErrorCode::unavailable, "The sandbox is closing.");
  if (pending_ >= config_.queue_bound) {
    return fail(ErrorCode::exhausted,
                fmt::format("The sandbox already has {} jobs waiting; try again later.", pending_));
  }
  auto control = std::make_shared<Control>();
  if (!controls_.emplace(jobs.front().id, control).second)
    return fail(ErrorCode::conflict, fmt::format("Job {} is running already.", jobs.front().id));
  ++pending_;
  Task task{std::move(jobs), std::move(on_log), std::move(on_done), std::move(control), nullptr};
  task.loaded = remembered(task.jobs.front().module);
  if (task.loaded) {
    queue_.push_back(std::move(task));
    ready_.notify_one();
    return {};
  }
  const Cid module = task.jobs.front().module;
  auto& list = waiting_[module];
  list.push_back(std::move(task));
  if (list.size() == 1) {
    to_load_.push_back(module);
    load_ready_.notify_one();
  }
  return {};
}

void WasmtimeSandbox::stop(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = controls_.find(id);
    if (it == controls_.end()) return;
    it->second->stopped = true;
    // A job that waits goes to the front, so that the next free thread ends it.
    for (auto list = waiting_.begin(); list != waiting_.end(); ++list) {
      const auto task = std::ranges::find_if(list->second, [id](const Task& t) { return t.jobs.front().id == id; });
      if (task == list->second.end()) continue;
      queue_.push_front(std::move(*task));
      list->second.erase(task);
      if (list->second.empty()) waiting_.erase(list);
      ready_.notify_one();
      break;
    }
    const auto queued = std::ranges::find_if(queue_, [id](const Task& t) { return t.jobs.front().id == id; });
    if (queued != queue_.end() && queued != queue_.begin()) {
      Task task = std::move(*queued);
      queue_.erase(queued);
      queue_.push_front(std::move(task));
    }
  }
  wasmtime_engine_increment_epoch(engine_.get());
}

Result<RunResult> WasmtimeSandbox::run(Job job, OnLog on_log) {
  std::optional<Result<RunResult>> result;
  std::latch done(1);
  MESH_TRY(submit(std::move(job), std::move(on_log), [&](Result<RunResult> value) {
    result.emplace(std::move(value));
    done.count_down();
  }));
  done.wait();
  return std::move(*result);
}

Result<RunResult> WasmtimeSandbox::run_on_this_thread(Job job, const OnLog& on_log) {
  MESH_TRY(check(job));
  const auto control = std::make_shared<Control>();
  LoadedPtr loaded;
  {
    const std::lock_guard lock(mutex_);
    if (!controls_.emplace(job.id, control).second)
      return fail(ErrorCode::conflict, fmt::format("Job {} is running already.", job.id));
    loaded = remembered(job.module);
  }
  auto result = [&]() -> Result<RunResult> {
    if (!loaded) {
      MESH_LET(loaded, load(job));
    }
    return execute(job, *loaded, *control, on_log);
  }();
  const std::lock_guard lock(mutex_);
  controls_.erase(job.id);
  return result;
}

Result<std::optional<Outcome>> WasmtimeSandbox::prepare(const Job& job) {
  MESH_TRY(check(job));
  LoadedPtr loaded;
  {
    const std::lock_guard lock(mutex_);
    loaded = remembered(job.module);
  }
  if (!loaded) {
    MESH_LET(loaded, load(job));
  }
  if (!loaded->refusal.empty()) return refusal(loaded->refusal);
  return std::nullopt;
}

// ---- loading

LoadedPtr WasmtimeSandbox::remembered(const Cid& module) {
  const auto it = remembered_.find(module);
  if (it == remembered_.end()) return nullptr;
  ages_.splice(ages_.begin(), ages_, it->second.age);
  return it->second.loaded;
}

void WasmtimeSandbox::remember(const Cid& module, const LoadedPtr& loaded) {
  if (remembered_.contains(module)) return;
  ages_.push_front(module);
  remembered_.emplace(module, Remembered{loaded, ages_.begin()});
  remembered_bytes_ += loaded->code_bytes;
  while (remembered_.size() > 1 &&
         (remembered_.size() > config_.loaded_modules || remembered_bytes_ > config_.loaded_bytes)) {
    const auto oldest = remembered_.find(ages_.back());
    remembered_bytes_ -= oldest->second.loaded->code_bytes;
    remembered_.erase(oldest);  // Runs that use it keep it alive.
    ages_.pop_back();
  }
}

Result<LoadedPtr> WasmtimeSandbox::load(const Job& job) {
  Result<LoadedPtr> result = nullptr;
  if (const auto code = cache_->find(job.module)) {
    result = link(*code);
    if (!result) cache_->drop(job.module);  // Sound, and not for this processor: compiled anew below.
  }
  if (!result || !*result) {
    MESH_LET(const auto wasm, job.load_module());
    if (!wasm) return fail(ErrorCode::not_found, "The module's bytes are not here.");
    if (job.module.codec() == Multicodec::raw && !job.module.matches(*wasm)) {
      return fail(ErrorCode::invalid, fmt::format("The module's bytes are not those of {}.", job.module.text()));
    }
    std::variant<Bytes, Refusal> code;
    if (wasm->size() > max_module_bytes) {
      code = Refusal{fmt::format("The module has {} bytes; at most {} are taken.", wasm->size(), max_module_bytes)};
    } else {
      MESH_LET(code, cache_->compile(job.module, *wasm));
    }
    if (auto* refused = std::get_if<Refusal>(&code)) {
      auto loaded = std::make_shared<Loaded>();
      loaded->refusal = std::move(refused->detail);
      result = std::move(loaded);
    } else {
      result = link(std::get<Bytes>(code));
    }
  }
  if (!result) return result;
  const std::lock_guard lock(mutex_);
  remember(job.module, *result);
  return result;
}

/// Makes compiled code ready to run: imports resolved, exports checked. An Error if wasmtime does not take the code.
Result<LoadedPtr> WasmtimeSandbox::link(ByteView code) {
  auto loaded = std::make_shared<Loaded>();
  loaded->code_bytes = code.size();
  if (mesh_is_component_code({code.data(), code.size()})) {
    mesh_component_t* component = nullptr;
    char* refused = nullptr;
    const EngineError error(mesh_component_load(engine_.get(), {code.data(), code.size()}, &component, &refused));
    loaded->component = Component(component);
    if (error) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The compiled component cannot be loaded here: {}", text_of(error)));
    }
    if (const OwnedText words(refused); words) loaded->refusal = one_line(words.get(), 512);
    return loaded;
  }
  wasmtime_module_t* module = nullptr;
  if (const EngineError error(wasmtime_module_deserialize(engine_.get(), code.data(), code.size(), &module)); error) {
    return fail(ErrorCode::unsupported, fmt::format("The compiled module cannot be loaded here: {}", text_of(error)));
  }
  loaded->module = Module(module);

  bool run_type = false;
  bool alloc_type = false;
  wasm_exporttype_vec_t exports;
  wasmtime_module_exports(module, &exports);
  for (std::size_t i = 0; i < exports.size; ++i) {
    const std::string_view name = view(wasm_exporttype_name(exports.data[i]));
    const wasm_externtype_t* type = wasm_exporttype_type(exports.data[i]);
    if (name == "memory") loaded->has_memory = wasm_externtype_kind(type) == WASM_EXTERN_MEMORY;
    if (name == start_export) loaded->has_start = true;
    if (name == "_start") loaded->has_wasi_entry = has_type(type, "", "");
    if (name == "_initialize") loaded->has_initialize = has_type(type, "", "");
    if (name == "mesh_alloc") alloc_type = has_type(type, "i", "i");
    if (name == "mesh_run") {
      loaded->exports_run = true;
      run_type = has_type(type, "ii", "I");
    }
  }
  wasm_exporttype_vec_delete(&exports);
  loaded->has_call_entry = alloc_type && run_type && loaded->has_memory;

  Linker linker;  // Of its own, if the module imports a socket call in another form.
  wasm_importtype_vec_t imports;
  wasmtime_module_imports(module, &imports);
  for (std::size_t i = 0; i < imports.size && loaded->refusal.empty(); ++i) {
    const std::string_view space = view(wasm_importtype_module(imports.data[i]));
    const std::string_view name = view(wasm_importtype_name(imports.data[i]));
    const wasm_externtype_t* type = wasm_importtype_type(imports.data[i]);
    const wasm_functype_t* function = wasm_externtype_as_functype_const(type);
    const bool is_wasi = space == "wasi_snapshot_preview1";
    const auto known = std::ranges::find(wasi_functions(), name, &WasiFunction::name);
    if (is_wasi && known != wasi_functions().end() &&
        has_type(type, known->parameters, known->returns_errno ? "i" : ""))
      continue;
    const bool refusable = (is_wasi || space == "wasi_unstable") && name.starts_with("sock_") && function != nullptr &&
                           (has_type(type, "", "") || wasm_functype_results(function)->size == 0 ||
                            (wasm_functype_results(function)->size == 1 &&
                             wasm_valtype_kind(wasm_functype_results(function)->data[0]) == WASM_I32));
    if (!refusable) {
      loaded->refusal = one_line(
          fmt::format("The module imports {}.{}, which is not WASI preview 1 or not of its type.", space, name), 512);
      break;
    }
    if (!linker) {
      linker = Linker(wasmtime_linker_clone(linker_.get()));
      wasmtime_linker_allow_shadowing(linker.get(), true);
    }
    if (const EngineError error(define_refusal(linker.get(), space, name, function)); error) {
      wasm_importtype_vec_delete(&imports);
      return fail(ErrorCode::internal, text_of(error));
    }
  }
  wasm_importtype_vec_delete(&imports);
  if (!loaded->refusal.empty()) return loaded;
  wasmtime_instance_pre_t* pre = nullptr;
  if (const EngineError error(wasmtime_linker_instantiate_pre(linker ? linker.get() : linker_.get(), module, &pre));
      error) {
    return fail(ErrorCode::unsupported, fmt::format("The module cannot be linked here: {}", text_of(error)));
  }
  loaded->pre = InstancePre(pre);
  return loaded;
}

// ---- running

/// Called at loop heads and function entries once the epoch has moved: lets all but a stopped run go on.
wasmtime_error_t* on_epoch(wasmtime_context_t* /*context*/, void* data, std::uint64_t* delta,
                           wasmtime_update_deadline_kind_t* kind) {
  if (static_cast<const Control*>(data)->stopped) return wasmtime_error_new("stopped");
  *delta = 1;
  *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
  return nullptr;
}

/// The pool gives the memory of a run that ended to a later one, maybe on another thread. What orders the two is a lock in
/// Rust, which the thread sanitizer does not see; so its builds are told of it here. Elsewhere this is nothing.
class PoolOrder {
 public:
#ifdef __SANITIZE_THREAD__
  PoolOrder() = default;
  PoolOrder(const PoolOrder&) = delete;
  PoolOrder& operator=(const PoolOrder&) = delete;
  ~PoolOrder() { __tsan_release(&order); }
  static void memory_taken() { __tsan_acquire(&order); }

 private:
  static inline char order = 0;
#else
  static void memory_taken() {}
#endif
};

/// One run, from store to outcome.
class Execution {
 public:
  Execution(wasm_engine_t* engine, const Job& job, const Loaded& loaded, const Control& control,
            const Sandbox::OnLog& on_log)
      : job_(job), loaded_(loaded), control_(control) {
    run_.job = &job;
    run_.on_log = &on_log;
    run_.is_call = abi() == task::Abi::call;
    run_.limits.memory_limit_bytes = job.limits.memory_bytes;
    run_.limits.table_limit_elements = max_table_elements;
    if (loaded.component) {
      wasi_ = Wasi(mesh_wasi_new(&component_host(), &run_, job.limits.open_files, epoch_ns / 1'000'000'000));
    }
    // Host calls of preview 1 find the run there, those of 0.2 their handles, which know the run.
    void* data = wasi_ ? static_cast<void*>(wasi_.get()) : &run_;
    store_ = Store(wasmtime_store_new(engine, data, nullptr));
    run_.context = wasmtime_store_context(store_.get());
    mesh_limit_store(store_.get(), &run_.limits);
    // The callback only reads it; the C interface has no const for what it only hands back.
    wasmtime_store_epoch_deadline_callback(store_.get(), on_epoch, const_cast<Control*>(&control), nullptr);
    wasmtime_context_set_epoch_deadline(run_.context, 1);
  }

  Result<RunResult> run() {
    if (!loaded_.refusal.empty()) return refused(loaded_.refusal);
    if (loaded_.component != nullptr) {
      if (abi() != task::Abi::component) return refused("The function is a component and its node says otherwise.");
      if (control_.stopped) return stopped_error();
      if (auto ended = instantiate()) return std::move(*ended);
      return run_component();
    }
    if (abi() == task::Abi::component) return refused("The function's node says component, and it is a module.");
    if (run_.is_call && !loaded_.has_call_entry) {
      return refused("The module does not export memory, mesh_alloc(i32) -> i32 and mesh_run(i32, i32) -> i64.");
    }
    if (!run_.is_call && !loaded_.has_wasi_entry)
      return refused("The module does not export _start() and so is no WASI command.");
    if (control_.stopped) return stopped_error();
    if (auto ended = instantiate()) return std::move(*ended);
    if (loaded_.has_start) {
      if (auto ended = enter(start_export)) return std::move(*ended);
    }
    return run_.is_call ? run_call() : run_wasi();
  }

 private:
  using Ended = std::optional<Result<RunResult>>;

  [[nodiscard]] task::Abi abi() const {
    return job_.abi.value_or(loaded_.component     ? task::Abi::component
                             : loaded_.exports_run ? task::Abi::call
                                                   : task::Abi::wasi);
  }

  Result<RunResult> refused(std::string detail) {
    RunResult result;
    result.outcome = refusal(std::move(detail));
    return result;
  }

  void set_fuel(std::uint64_t units) {
    if (const EngineError error(wasmtime_context_set_fuel(run_.context, units)); error)
      MESH_CHECK(!error, "wasm-fuel-off");
  }

  Ended instantiate() {
    set_fuel(instantiation_fuel);
    wasm_trap_t* raw_trap = nullptr;
    const EngineError error(
        loaded_.component ? mesh_component_instantiate(loaded_.component.get(), store_.get())
                          : wasmtime_instance_pre_instantiate(loaded_.pre.get(), run_.context, &instance_, &raw_trap));
    const Trap trap(raw_trap);
    PoolOrder::memory_taken();
    set_fuel(job_.limits.fuel);
    if (run_.limits.host_failed) return no_memory_here();
    if (trap) return ended(outcome_of(trap.get()));
    if (error) {
      if (run_.limits.refused) return ended(of_kind(OutcomeKind::out_of_memory));
      wasmtime_trap_code_t code = 0;
      if (mesh_error_trap_code(error.get(), &code)) return ended(outcome_of(code, error.get()));
      return Result<RunResult>(
          fail(ErrorCode::exhausted, fmt::format("The module cannot be instantiated here now: {}", text_of(error))));
    }
    if (loaded_.has_memory) {
      wasmtime_extern_t item;
      if (wasmtime_instance_export_get(run_.context, &instance_, "memory", 6, &item)) {
        run_.memory = item.of.memory;
        run_.has_memory = true;
      }
    }
    return std::nullopt;
  }

  /// Calls an export whose type was checked; `values` are the arguments and then the results.
  Ended enter(std::string_view name, std::span<wasmtime_val_raw_t> values = {}) {
    wasmtime_extern_t item;
    const bool found = wasmtime_instance_export_get(run_.context, &instance_, name.data(), name.size(), &item);
    MESH_CHECK(found && item.kind == WASMTIME_EXTERN_FUNC, "wasm-export-vanished");
    wasm_trap_t* raw_trap = nullptr;
    const EngineError error(
        wasmtime_func_call_unchecked(run_.context, &item.of.func, values.data(), values.size(), &raw_trap));
    const Trap trap(raw_trap);
    if (!error && !trap) return std::nullopt;
    wasmtime_trap_code_t code = 0;
    if (auto over = ended_by_host(trap && wasmtime_trap_code(trap.get(), &code))) return over;
    if (trap) return ended(outcome_of(trap.get()));
    return Result<RunResult>(fail(ErrorCode::internal, fmt::format("The engine failed: {}", text_of(error))));
  }

  /// What a call that came back with an error means where the host ended it, or the switch did.
  Ended ended_by_host(bool is_trap) {
    // The switch shows as an error of its own; a trap or an end that came first stands.
    if (control_.stopped && run_.end == HostEnd::none && !is_trap) return Result<RunResult>(stopped_error());
    switch (run_.end) {
      case HostEnd::exited:
        return ended(exited(run_.exit_code));
      case HostEnd::output_too_large:
        return ended(of_kind(OutcomeKind::output_too_large));
      case HostEnd::out_of_fuel:
        return ended(of_kind(OutcomeKind::out_of_fuel));
      case HostEnd::none:
        break;
    }
    return std::nullopt;
  }

  Result<RunResult> run_component() {
    std::uint32_t exit_code = 0;
    const EngineError error(mesh_component_run(loaded_.component.get(), store_.get(), &exit_code));
    if (!error) return ended(exited(exit_code));
    wasmtime_trap_code_t code = 0;
    const bool is_trap = mesh_error_trap_code(error.get(), &code);
    if (auto over = ended_by_host(is_trap)) return std::move(*over);
    // What else can go wrong is the guest's: a handle that it has not, a list out of bounds, more handles than there are.
    return ended(is_trap ? outcome_of(code, error.get()) : trapped("component fault"));
  }

  Result<RunResult> run_wasi() {
    if (auto over = enter("_start")) return std::move(*over);
    return ended(exited(0));
  }

  Result<RunResult> run_call() {
    if (loaded_.has_initialize) {
      if (auto over = enter("_initialize")) return std::move(*over);
    }
    const ByteView input = run_.input();
    std::array<wasmtime_val_raw_t, 2> values{};
    if (!input.empty()) {
      if (input.size() > 0x7fff'ffffU) return ended(trapped("input too large"));
      if (!run_.charge(input.size() / copied_bytes_per_unit)) return ended(of_kind(OutcomeKind::out_of_fuel));
      values[0].i32 = static_cast<std::int32_t>(input.size());
      if (auto over = enter("mesh_alloc", std::span(values).first(1))) return std::move(*over);
      const auto at = static_cast<std::uint32_t>(values[0].i32);
      const auto memory = guest_memory();
      if (at > memory.size() || input.size() > memory.size() - at)
        return ended(trapped("mesh_alloc result out of bounds"));
      std::memcpy(memory.data() + at, input.data(), input.size());
      run_.io_bytes += input.size();
      values[0].i32 = static_cast<std::int32_t>(at);
      values[1].i32 = static_cast<std::int32_t>(input.size());
    }
    if (auto over = enter("mesh_run", values)) return std::move(*over);
    const auto packed = static_cast<std::uint64_t>(values[0].i64);
    const std::uint64_t at = packed >> 32U;
    const std::uint64_t length = packed & 0xffff'ffffU;
    const auto memory = guest_memory();
    if (at > memory.size() || length > memory.size() - at) return ended(trapped("mesh_run result out of bounds"));
    if (length > job_.limits.output_bytes) return ended(of_kind(OutcomeKind::output_too_large));
    if (!run_.charge(length / copied_bytes_per_unit)) return ended(of_kind(OutcomeKind::out_of_fuel));
    const auto output = memory.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(length));
    run_.output.assign(output.begin(), output.end());
    run_.io_bytes += length;
    return ended(exited(0));
  }

  [[nodiscard]] std::span<std::uint8_t> guest_memory() const {
    return {wasmtime_memory_data(run_.context, &run_.memory), wasmtime_memory_data_size(run_.context, &run_.memory)};
  }

  static Outcome of_kind(OutcomeKind kind) {
    Outcome outcome;
    outcome.kind = kind;
    return outcome;
  }
  static Outcome exited(std::uint32_t code) {
    Outcome outcome = of_kind(OutcomeKind::exited);
    outcome.exit_code = code;
    return outcome;
  }
  static Outcome trapped(std::string_view name) {
    Outcome outcome = of_kind(OutcomeKind::trapped);
    outcome.trap = name;
    return outcome;
  }

  static Outcome outcome_of(const wasm_trap_t* trap) {
    wasmtime_trap_code_t code = 0;
    if (!wasmtime_trap_code(trap, &code)) return trapped("host");  // No host call of ours traps so.
    wasm_frame_vec_t frames;
    wasm_trap_trace(trap, &frames);
    return outcome_of(code, frames);
  }

  static Outcome outcome_of(wasmtime_trap_code_t code, const wasmtime_error_t* error) {
    wasm_frame_vec_t frames;
    wasmtime_error_wasm_trace(error, &frames);
    return outcome_of(code, frames);
  }

  static Outcome outcome_of(wasmtime_trap_code_t code, wasm_frame_vec_t& frames) {
    const auto names = backtrace_of(frames);
    if (code == WASMTIME_TRAP_CODE_STACK_OVERFLOW) return of_kind(OutcomeKind::stack_exhausted);
    if (code == WASMTIME_TRAP_CODE_OUT_OF_FUEL) return of_kind(OutcomeKind::out_of_fuel);
    Outcome outcome = trapped(trap_name(code));
    outcome.backtrace = names;
    return outcome;
  }

  static Result<RunResult> no_memory_here() {
    return fail(ErrorCode::exhausted,
                "The system had not the memory that the run was promised; run fewer jobs or add memory.");
  }

  Result<RunResult> ended(Outcome outcome) {
    if (run_.limits.host_failed) return no_memory_here();
    const bool failed =
        outcome.kind == OutcomeKind::trapped || (outcome.kind == OutcomeKind::exited && outcome.exit_code != 0);
    if (failed && run_.limits.refused) outcome = of_kind(OutcomeKind::out_of_memory);
    RunResult result;
    result.summary.fuel = outcome.kind == OutcomeKind::out_of_fuel ? job_.limits.fuel : run_.fuel_used();
    result.summary.peak_memory_bytes = run_.limits.memory_bytes;  // A linear memory never shrinks.
    result.summary.io_bytes = run_.io_bytes;
    if (outcome.kind != OutcomeKind::output_too_large) result.output = std::move(run_.output);
    result.log = std::move(run_.log);
    result.log_cut = run_.log_cut;
    result.outcome = std::move(outcome);
    return result;
  }

  const Job& job_;
  const Loaded& loaded_;
  const Control& control_;
  Run run_;  // Before the store, which points to it.
  Wasi wasi_;  // Likewise.
  Store store_;
  [[maybe_unused, no_unique_address]] PoolOrder order_;  // After the store: it ends before that gives its memory back.
  wasmtime_instance_t instance_{};
};

Result<RunResult> WasmtimeSandbox::execute(const Job& job, const Loaded& loaded, const Control& control,
                                           const OnLog& on_log) {
  const auto begin = Clock::now();
  auto result = Execution(engine_.get(), job, loaded, control, on_log).run();
  if (result) {
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
    result->summary.wall_ms = static_cast<std::uint64_t>(took);
  }
  return result;
}

Result<std::uint64_t> WasmtimeSandbox::measure_fuel_per_second() {
  // Integer work over a few memory cells, as interpreters do.
  constexpr std::string_view kernel = R"((module (memory 1)
    (func (export "work") (param $n i32) (result i64) (local $x i64) (local $at i32)
      (local.set $x (i64.const 88172645463325252))
      (loop $again
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
        (local.set $at (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 65528)))
        (i64.store (local.get $at) (i64.add (local.get $x) (i64.load (local.get $at))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))))";
  MESH_LET(const Bytes wasm, wat_to_wasm(kernel));
  wasmtime_module_t* raw_module = nullptr;
  // Ours and tiny: compiled here rather than in the child.
  if (const EngineError error(wasmtime_module_new(engine_.get(), wasm.data(), wasm.size(), &raw_module)); error) {
    return fail(ErrorCode::internal, text_of(error));
  }
  const Module module(raw_module);
  const Store store(wasmtime_store_new(engine_.get(), nullptr, nullptr));
  wasmtime_context_t* context = wasmtime_store_context(store.get());
  wasmtime_context_set_epoch_deadline(context, max_fuel);
  if (const EngineError error(wasmtime_context_set_fuel(context, max_fuel)); error)
    return fail(ErrorCode::internal, text_of(error));
  wasmtime_instance_t instance;
  wasm_trap_t* trap = nullptr;
  if (const EngineError error(wasmtime_instance_new(context, module.get(), nullptr, 0, &instance, &trap));
      error || trap != nullptr) {
    return fail(ErrorCode::exhausted, "There is no instance left to measure with.");
  }
  wasmtime_extern_t work;
  const bool found = wasmtime_instance_export_get(context, &instance, "work", 4, &work);
  MESH_CHECK(found, "wasm-kernel-export");
  const auto begin = Clock::now();
  for (;;) {
    wasmtime_val_raw_t value{};
    value.i32 = 100'000;
    if (const EngineError error(wasmtime_func_call_unchecked(context, &work.of.func, &value, 1, &trap));
        error || trap != nullptr) {
      if (trap != nullptr) wasm_trap_delete(trap);
      return fail(ErrorCode::internal, "The kernel that measures did not run.");
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (seconds < 0.05) continue;
    std::uint64_t left = 0;
    if (const EngineError error(wasmtime_context_get_fuel(context, &left)); error)
      return fail(ErrorCode::internal, text_of(error));
    return static_cast<std::uint64_t>(static_cast<double>(max_fuel - left) / seconds);
  }
}

}  // namespace

Limits Limits::of(const task::CapabilityScope& scope) {
  constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
  const auto bytes = [](std::uint64_t mb) {
    return mb > (std::uint64_t{1} << 43) ? std::uint64_t{1} << 63 : mb * mebibyte;
  };
  Limits limits;
  limits.fuel = scope.fuel;
  limits.memory_bytes = bytes(scope.memory_mb);
  limits.output_bytes = bytes(scope.io_mb);
  limits.log_bytes = std::max(mebibyte, limits.output_bytes / 16);
  return limits;
}

Status Sandbox::submit(Job job, OnLog on_log, OnDone on_done) {
  OnEachLog each_log;
  if (on_log) each_log = [on_log = std::move(on_log)](std::size_t, ByteView more) { on_log(more); };
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  return submit(std::move(jobs), std::move(each_log),
                [on_done = std::move(on_done)](std::size_t, Result<RunResult> result) { on_done(std::move(result)); });
}

Result<std::unique_ptr<Sandbox>> Sandbox::create(Config config) {
  if (config.threads == 0) config.threads = std::max(1U, std::thread::hardware_concurrency());
  config.threads = std::min(config.threads, 1'024U);
  config.spare_instances = std::clamp(config.spare_instances, 1U, 1'024U);
  MESH_LET(auto cache, CodeCache::open(config));
  const std::uint32_t instances = config.threads + config.spare_instances;
  // wasmtime aborts where it cannot reserve its pool, so it is tried first.
  const std::size_t needed = (instances + std::size_t{1}) * (std::size_t{4} << 30) +
                             instances * (std::size_t{64} << 20) + (std::size_t{1} << 30);
  void* probe = mmap(nullptr, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe == MAP_FAILED) {
    return fail(
        ErrorCode::exhausted,
        fmt::format(
            "{} GiB of address space for {} instances are not to be had; raise `ulimit -v` or use fewer threads.",
            needed >> 30U, instances));
  }
  munmap(probe, needed);
  Engine engine = make_engine({.use = EngineUse::run, .variant = config.variant, .instances = instances});
  auto sandbox = std::make_unique<WasmtimeSandbox>(std::move(config), std::move(engine), std::move(cache));
  MESH_TRY(sandbox->start());
  return sandbox;
}

}  // namespace mesh::wasm
