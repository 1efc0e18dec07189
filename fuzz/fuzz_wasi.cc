// What a guest can ask of WASI: any of its functions, in any order, with any arguments, over any memory.
//
// A host that reads or writes past the guest's memory dies at once: nothing is mapped beside it. Besides, an answer is an
// errno of preview 1, EFAULT has changed nothing, every call costs fuel, what is bounded stays within its bounds, and the
// same calls give the same bytes, answers and fuel again.
#include "adapters/wasm/wasi.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <string>

#include "adapters/wasm/engine.h"
#include "fuzz.h"

namespace mesh::wasm {
namespace {

constexpr std::size_t page_bytes = 65'536;
constexpr std::uint32_t errno_fault = 21;
constexpr std::uint32_t errno_last = 76;
constexpr std::size_t max_calls = 64;
/// Paths, then two vectors, so that the first calls of a young corpus already mean something.
constexpr std::string_view guest_data =
    R"((data (i32.const 0) "folder/../folder/deep/file\00program/main\00empty\00none"))"
    R"((data (i32.const 64) "\80\00\00\00\10\00\00\00\90\00\00\00\00\10\00\00"))";

std::shared_ptr<const Bytes> shared(std::string_view text) { return std::make_shared<const Bytes>(to_bytes(text)); }

template <class Start>
std::shared_ptr<const FileTree> tree(const Start& start) {
  FileTree made;
  start(made);
  return std::make_shared<const FileTree>(std::move(made));
}

/// A module that does nothing but hand each call on to the host.
std::string guest() {
  std::string imports;
  std::string calls;
  for (const WasiFunction& function : wasi_functions()) {
    const std::string name(function.name);
    std::string type;
    std::string values;
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
      type += function.parameters[i] == 'I' ? " (param i64)" : " (param i32)";
      values += " (local.get " + std::to_string(i) + ")";
    }
    if (function.returns_errno) type += " (result i32)";
    imports += R"((import "wasi_snapshot_preview1" ")" + name + "\" (func $" + name + type + "))";
    calls += R"((func (export ")" + name + "\")" + type + " (call $" + name + values + "))";
  }
  return "(module " + imports + R"((memory (export "memory") 1))" + std::string(guest_data) + calls + ")";
}

/// Made once: the engine as the sandbox runs it, and the guest linked to the host.
struct Host {
  Engine engine;
  InstancePre pre;
  Job job;

  Host() {
    engine = make_engine({.use = EngineUse::run, .instances = 2});
    MESH_CHECK(engine != nullptr, "fuzz-engine");
    const auto binary = wat_to_wasm(guest());
    MESH_CHECK(binary.has_value(), "fuzz-guest");
    wasmtime_module_t* raw_module = nullptr;
    const EngineError bad(wasmtime_module_new(engine.get(), binary->data(), binary->size(), &raw_module));
    MESH_CHECK(!bad, "fuzz-compile");
    const Module module(raw_module);
    const Linker linker(wasmtime_linker_new(engine.get()));
    MESH_CHECK(define_wasi(linker.get()) == nullptr, "fuzz-define");
    wasmtime_instance_pre_t* raw_pre = nullptr;
    const EngineError unlinked(wasmtime_linker_instantiate_pre(linker.get(), module.get(), &raw_pre));
    MESH_CHECK(!unlinked, "fuzz-link");
    pre = InstancePre(raw_pre);

    job.args = {"program", "argument"};
    job.env = {"NAME=value"};
    job.input = shared("some input that is read");
    job.entropy_key = sha256(as_bytes("a key"));
    job.limits = {
        .fuel = 1'000'000, .memory_bytes = page_bytes, .output_bytes = 2'048, .log_bytes = 256, .open_files = 6};
    job.root = tree([](FileTree& t) {
      MESH_CHECK(t.add_file("folder/deep/file", shared("content of a file")), "fuzz-tree");
      MESH_CHECK(t.add_file("empty", shared("")), "fuzz-tree");
    });
    job.program = tree([](FileTree& t) {
      MESH_CHECK(t.add_file("main", shared("text of a program")), "fuzz-tree");
      MESH_CHECK(t.add_file("folder", shared("hidden by the root's folder")), "fuzz-tree");
    });
  }
};

/// All that a guest or its publisher could see of a run.
struct Trace {
  std::vector<std::uint32_t> answers;
  Bytes memory, output, log;
  std::uint64_t fuel = 0, io_bytes = 0;
  HostEnd end = HostEnd::none;
  std::uint32_t exit_code = 0;
  bool operator==(const Trace&) const = default;
};

/// Small, a place in memory, a place at its end, or anything.
std::uint64_t argument(FuzzedDataProvider& data) {
  switch (data.ConsumeIntegralInRange<int>(0, 3)) {
    case 0:
      return data.ConsumeIntegralInRange<std::uint64_t>(0, 20);
    case 1:
      return data.ConsumeIntegral<std::uint16_t>();
    case 2:
      return page_bytes + 16 - data.ConsumeIntegralInRange<std::uint64_t>(0, 80);
    default:
      return data.ConsumeIntegral<std::uint64_t>();
  }
}

Trace trace_of(const Host& host, ByteView input) {
  FuzzedDataProvider data(input.data(), input.size());
  Run run;
  run.job = &host.job;
  run.is_call = data.ConsumeBool();
  run.limits.memory_limit_bytes = host.job.limits.memory_bytes;
  run.limits.table_limit_elements = max_table_elements;
  const Store store(wasmtime_store_new(host.engine.get(), &run, nullptr));
  run.context = wasmtime_store_context(store.get());
  mesh_limit_store(store.get(), &run.limits);
  wasmtime_context_set_epoch_deadline(run.context, 1);
  MESH_CHECK(wasmtime_context_set_fuel(run.context, host.job.limits.fuel) == nullptr, "fuzz-fuel");
  wasmtime_instance_t instance;
  wasm_trap_t* no_trap = nullptr;
  MESH_CHECK(wasmtime_instance_pre_instantiate(host.pre.get(), run.context, &instance, &no_trap) == nullptr &&
                 no_trap == nullptr,
             "fuzz-instantiate");
  wasmtime_extern_t item;
  MESH_CHECK(wasmtime_instance_export_get(run.context, &instance, "memory", 6, &item), "fuzz-memory");
  run.memory = item.of.memory;
  run.has_memory = true;
  const std::span memory(wasmtime_memory_data(run.context, &run.memory), page_bytes);

  Trace trace;
  for (std::size_t calls = 0; calls < max_calls && data.remaining_bytes() > 0 && run.end == HostEnd::none; ++calls) {
    // What the guest itself would write between two calls.
    if (const auto bytes = data.ConsumeBytes<std::uint8_t>(data.ConsumeIntegralInRange<std::size_t>(0, 64));
        !bytes.empty()) {
      const auto at = data.ConsumeIntegralInRange<std::size_t>(0, page_bytes - bytes.size());
      std::ranges::copy(bytes, memory.subspan(at).begin());
    }
    const WasiFunction& function =
        wasi_functions()[data.ConsumeIntegralInRange<std::size_t>(0, wasi_functions().size() - 1)];
    std::array<wasmtime_val_raw_t, 9> values{};
    MESH_CHECK(function.parameters.size() <= values.size(), "fuzz-parameters");
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
      const std::uint64_t value = argument(data);
      if (function.parameters[i] == 'I') {
        values[i].i64 = static_cast<std::int64_t>(value);
      } else {
        values[i].i32 = static_cast<std::int32_t>(static_cast<std::uint32_t>(value));
      }
    }
    const Bytes before(memory.begin(), memory.end());
    const std::uint64_t fuel_before = run.fuel_used();
    MESH_CHECK(wasmtime_instance_export_get(run.context, &instance, function.name.data(), function.name.size(), &item),
               "fuzz-export");
    wasm_trap_t* raw_trap = nullptr;
    const EngineError error(
        wasmtime_func_call_unchecked(run.context, &item.of.func, values.data(), values.size(), &raw_trap));
    const Trap trap(raw_trap);
    if (error || trap) {
      // What the host ends shows in run.end, as an error or a trap. Otherwise the few units of fuel that the guest's own
      // instructions take were the last.
      wasmtime_trap_code_t code = 0;
      const bool no_fuel = trap && wasmtime_trap_code(trap.get(), &code) && code == WASMTIME_TRAP_CODE_OUT_OF_FUEL;
      MESH_CHECK(run.end != HostEnd::none || no_fuel, "fuzz-end-unsaid");
      break;
    }
    MESH_CHECK(function.returns_errno && run.end == HostEnd::none, "fuzz-end-unseen");
    const auto answer = static_cast<std::uint32_t>(values[0].i32);
    MESH_CHECK(answer <= errno_last, "fuzz-errno");
    MESH_CHECK(answer != errno_fault || equal(before, memory), "fuzz-fault-wrote");
    MESH_CHECK(run.fuel_used() > fuel_before, "fuzz-free-call");
    trace.answers.push_back(answer);
  }
  MESH_CHECK(run.output.size() <= host.job.limits.output_bytes, "fuzz-output-bound");
  MESH_CHECK(run.log.size() <= host.job.limits.log_bytes, "fuzz-log-bound");
  // The four of the start may have moved up by fd_renumber.
  MESH_CHECK(run.descriptors.size() <= host.job.limits.open_files + 8U, "fuzz-descriptor-bound");
  trace.memory.assign(memory.begin(), memory.end());
  trace.output = run.output;
  trace.log = run.log;
  trace.fuel = run.fuel_used();
  trace.io_bytes = run.io_bytes;
  trace.end = run.end;
  trace.exit_code = run.exit_code;
  return trace;
}

}  // namespace
}  // namespace mesh::wasm

void mesh::fuzz::check(ByteView input) {
  static const wasm::Host host;
  const wasm::Trace first = wasm::trace_of(host, input);
  MESH_CHECK(first == wasm::trace_of(host, input), "fuzz-not-deterministic");
}
