#include "adapters/wasm/engine.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <thread>

#include <fmt/format.h>
#include <wasmtime/async.h>

#include "adapters/wasm/module_binary.h"
#include "base/check.h"

namespace mesh::wasm {
namespace {

struct PoolDelete {
  void operator()(wasmtime_pooling_allocation_config_t* config) const {
    wasmtime_pooling_allocation_config_delete(config);
  }
};

constexpr std::uint64_t wasm32_bytes = std::uint64_t{1} << 32;
constexpr std::uint32_t max_core_instances = 64;  // Of one component; what is checked is in component.rs.
constexpr std::uint64_t guard_bytes = std::uint64_t{32} << 20;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool limit(int what, std::uint64_t value) {
  const rlimit both{value, value};
  return setrlimit(static_cast<__rlimit_resource_t>(what), &both) == 0;
}

std::optional<Bytes> read_input() {
  struct stat status{};
  if (fstat(0, &status) != 0 || status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) > max_module_bytes)
    return std::nullopt;
  Bytes bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(0, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count <= 0) return std::nullopt;
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// What code is made of a module. None of it changes what the code does, its fuel included.
void set_code(wasm_config_t* config, const EngineVariant& variant) {
  switch (variant.optimize) {
    case EngineVariant::Optimize::speed:
      wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_SPEED);
      break;
    case EngineVariant::Optimize::speed_and_size:
      wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_SPEED_AND_SIZE);
      break;
    case EngineVariant::Optimize::none:
      wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_NONE);
      break;
  }
  if (variant.target == EngineVariant::Target::pulley) {
    const EngineError error(wasmtime_config_target_set(config, "pulley64"));
    MESH_CHECK(!error, "wasm-pulley-missing");
  }
#ifdef __x86_64__
  if (variant.target == EngineVariant::Target::basic) {
    for (const char* feature :
         {"has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_cmpxchg16b", "has_popcnt", "has_bmi1", "has_bmi2",
          "has_lzcnt", "has_fma", "has_avx", "has_avx2", "has_avx_vnni", "has_avx512bitalg", "has_avx512dq",
          "has_avx512f", "has_avx512vbmi", "has_avx512vl", "has_avx512vnni"}) {
      wasmtime_config_cranelift_flag_set(config, feature, "false");
    }
  }
#endif
}

int answer(int exit, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(1, bytes.data(), bytes.size());
    if (count <= 0) return EXIT_FAILURE;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return exit;
}

}  // namespace

const std::string& engine_id() {
  // Cranelift's processor features are not named: with canonical NaNs and no relaxed SIMD they change no result
  // (tests/corpus).
  static const std::string id = fmt::format(
      "wasmtime-{};cranelift;fuel=1;host-fuel=1;epoch=1;nan=canonical;simd=1;relaxed-simd=0;threads=0;gc=0;exceptions="
      "0;"
      "memories=1;memory64=0;tail-call=1;components=1;stack={};table={};module={};wasi=preview1/1,0.2/1",
      WASMTIME_VERSION, stack_bytes, max_table_elements, max_module_bytes);
  return id;
}

std::uint64_t EngineVariant::number() const {
  return static_cast<std::uint64_t>(target) | static_cast<std::uint64_t>(optimize) << 2U |
         static_cast<std::uint64_t>(copy_on_write) << 4U | static_cast<std::uint64_t>(pooling) << 5U |
         static_cast<std::uint64_t>(parallel) << 6U;
}

std::optional<EngineVariant> EngineVariant::of(std::uint64_t number) {
  const std::uint64_t target = number & 3U;
  const std::uint64_t optimize = number >> 2U & 3U;
  if (number >= 128 || target > 2 || optimize > 2) return std::nullopt;
  return EngineVariant{.target = static_cast<Target>(target),
                       .optimize = static_cast<Optimize>(optimize),
                       .copy_on_write = (number >> 4U & 1U) != 0,
                       .pooling = (number >> 5U & 1U) != 0,
                       .parallel = (number >> 6U & 1U) != 0};
}

Engine make_engine(const EngineOptions& options) {
  const EngineVariant& variant = options.variant;
  wasm_config_t* config = wasm_config_new();
  wasmtime_config_strategy_set(config, WASMTIME_STRATEGY_CRANELIFT);
  set_code(config, variant);
  wasmtime_config_cranelift_nan_canonicalization_set(config, true);
  wasmtime_config_parallel_compilation_set(config, options.use == EngineUse::compile && variant.parallel);
  wasmtime_config_consume_fuel_set(config, true);
  wasmtime_config_epoch_interruption_set(config, true);
  wasmtime_config_async_stack_size_set(config, stack_bytes * 2);  // Not used, but must not be below the next.
  wasmtime_config_max_wasm_stack_set(config, stack_bytes);
  wasmtime_config_wasm_tail_call_set(config, true);
  wasmtime_config_wasm_reference_types_set(config, true);
  wasmtime_config_wasm_function_references_set(config, false);
  wasmtime_config_wasm_gc_set(config, false);
  wasmtime_config_wasm_exceptions_set(config, false);
  wasmtime_config_gc_support_set(config, false);
  wasmtime_config_wasm_simd_set(config, true);
  wasmtime_config_wasm_relaxed_simd_set(config, false);
  wasmtime_config_wasm_bulk_memory_set(config, true);
  wasmtime_config_wasm_multi_value_set(config, true);
  wasmtime_config_wasm_multi_memory_set(config, false);
  wasmtime_config_wasm_memory64_set(config, false);
  wasmtime_config_wasm_wide_arithmetic_set(config, false);
  wasmtime_config_wasm_custom_page_sizes_set(config, false);
  wasmtime_config_wasm_stack_switching_set(config, false);
  wasmtime_config_shared_memory_set(config, false);
  wasmtime_config_wasm_component_model_set(config, true);
  wasmtime_config_native_unwind_info_set(config, false);
  wasmtime_config_memory_may_move_set(config, false);
  wasmtime_config_memory_reservation_set(config, wasm32_bytes);
  wasmtime_config_memory_guard_size_set(config, guard_bytes);
  wasmtime_config_memory_init_cow_set(config, variant.copy_on_write);
  if (options.use == EngineUse::run && variant.pooling) {
    const std::unique_ptr<wasmtime_pooling_allocation_config_t, PoolDelete> pool(
        wasmtime_pooling_allocation_config_new());
    wasmtime_pooling_allocation_config_total_core_instances_set(pool.get(), options.instances * max_core_instances);
    wasmtime_pooling_allocation_config_total_memories_set(pool.get(), options.instances);
    wasmtime_pooling_allocation_config_total_tables_set(pool.get(), options.instances * 4);
    wasmtime_pooling_allocation_config_total_stacks_set(pool.get(), 0);
    wasmtime_pooling_allocation_config_total_component_instances_set(pool.get(), options.instances);
    wasmtime_pooling_allocation_config_max_component_instance_size_set(pool.get(), std::size_t{16} << 20);
    wasmtime_pooling_allocation_config_max_core_instances_per_component_set(pool.get(), max_core_instances);
    wasmtime_pooling_allocation_config_max_memories_per_component_set(pool.get(), 1);
    wasmtime_pooling_allocation_config_max_tables_per_component_set(pool.get(), 4);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(pool.get(), 4);
    wasmtime_pooling_allocation_config_max_memories_per_module_set(pool.get(), 1);
    wasmtime_pooling_allocation_config_table_elements_set(pool.get(), max_table_elements);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool.get(), wasm32_bytes);
    wasmtime_pooling_allocation_config_max_core_instance_size_set(pool.get(), std::size_t{256} << 20);
    // A page or two of what a run dirtied is zeroed rather than given back: cheaper for small functions.
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool.get(), std::size_t{64} << 10);
    wasmtime_pooling_allocation_config_table_keep_resident_set(pool.get(), std::size_t{16} << 10);
    wasmtime_pooling_allocation_strategy_set(config, pool.get());
  }
  return Engine(wasm_engine_new_with_config(config));
}

std::string one_line(std::string_view text, std::size_t bound) {
  std::string result;
  bool blank = false;
  for (const char c : text) {
    if (c == '\n' || c == '\t' || c == ' ' || c == '\r') {
      blank = !result.empty();
      continue;
    }
    if (blank) result.push_back(' ');
    blank = false;
    result.push_back(c);
  }
  if (result.size() > bound) {
    std::size_t end = bound;
    while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xc0U) == 0x80U) --end;
    result.resize(end);
  }
  return result;
}

std::string text_of(const EngineError& error) {
  wasm_name_t message;
  wasmtime_error_message(error.get(), &message);
  std::string text = one_line({message.data, message.size}, 400);
  wasm_name_delete(&message);
  return text;
}

Result<Bytes> wat_to_wasm(std::string_view text) {
  if (text.size() > (std::size_t{16} << 20)) {
    return fail(ErrorCode::exhausted,
                "A WebAssembly text of more than 16 MiB is not taken; assemble it to .wasm first.");
  }
  wasm_byte_vec_t wasm;
  if (const EngineError error(wasmtime_wat2wasm(text.data(), text.size(), &wasm)); error) {
    return fail(ErrorCode::invalid, fmt::format("The WebAssembly text does not parse: {}", text_of(error)));
  }
  Bytes bytes(wasm.data, wasm.data + wasm.size);
  wasm_byte_vec_delete(&wasm);
  return bytes;
}

bool is_component(ByteView bytes) {
  constexpr std::array<std::uint8_t, 8> header{0, 'a', 's', 'm', 0x0d, 0, 1, 0};
  return bytes.size() >= header.size() && equal(bytes.first(header.size()), header);
}

namespace {

/// The compiler's answer for a component. Its modules have no start functions: such components are refused.
int compile_component(ByteView component, const EngineVariant& variant) {
  if (const OwnedText refusal(mesh_component_check({component.data(), component.size()})); refusal)
    return answer(refused, as_bytes(std::string_view(refusal.get())));
  const Engine engine = make_engine({.use = EngineUse::compile, .variant = variant});
  mesh_slice code{};
  if (const EngineError error(mesh_component_compile(engine.get(), {component.data(), component.size()}, &code)); error)
    return answer(failed, as_bytes(text_of(error)));
  const int exit = answer(compiled, {code.data, code.size});
  mesh_bytes_delete(code);
  return exit;
}

}  // namespace

int compile_main(int argc, char** argv) {
  // argv: program, verb, seconds, address space, the engine's variant, the node's process id.
  if (argc != 6) return EXIT_FAILURE;
  const auto seconds = number(argv[2]);
  [[maybe_unused]] const auto memory_bytes = number(argv[3]);
  const auto variant = EngineVariant::of(number(argv[4]).value_or(~std::uint64_t{0}));
  const auto parent = number(argv[5]);
  if (!seconds || !memory_bytes || !variant || !parent) return EXIT_FAILURE;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (static_cast<std::uint64_t>(getppid()) != *parent) return EXIT_FAILURE;  // The node died before the line above.
  const std::uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  bool limited =
      limit(RLIMIT_CPU, *seconds * cores) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, max_artefact_bytes);
#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // Their shadow memory takes terabytes of addresses.
  limited = limited && limit(RLIMIT_AS, *memory_bytes);
#endif
  if (!limited) return EXIT_FAILURE;

  const auto module = read_input();
  if (!module) return EXIT_FAILURE;
  if (is_component(*module)) return compile_component(*module, *variant);
  {
    const Engine validator = make_engine({.use = EngineUse::validate, .variant = *variant});
    if (const EngineError error(wasmtime_module_validate(validator.get(), module->data(), module->size())); error) {
      return answer(refused, as_bytes(fmt::format("The module is not valid: {}", text_of(error))));
    }
  }
  const auto prepared = prepare_module(*module);
  if (!prepared) return answer(refused, as_bytes(prepared.error().message));
  const Engine engine = make_engine({.use = EngineUse::compile, .variant = *variant});
  wasmtime_module_t* made = nullptr;
  if (const EngineError error(wasmtime_module_new(engine.get(), prepared->data(), prepared->size(), &made)); error) {
    return answer(failed, as_bytes(text_of(error)));
  }
  const Module compiled_module(made);
  wasm_byte_vec_t artefact;
  if (const EngineError error(wasmtime_module_serialize(compiled_module.get(), &artefact)); error) {
    return answer(failed, as_bytes(text_of(error)));
  }
  const int exit = answer(compiled, {reinterpret_cast<const std::uint8_t*>(artefact.data), artefact.size});
  wasm_byte_vec_delete(&artefact);
  return exit;
}

}  // namespace mesh::wasm
