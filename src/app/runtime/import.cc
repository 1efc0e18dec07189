#include "app/runtime/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "adapters/sealing/sealing.h"
#include "adapters/wasm/sandbox.h"
#include "app/runtime/files.h"
#include "codec/utf8.h"
#include "domain/asset/folder.h"
#include "domain/task/intent.h"

namespace mesh::app {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t max_program_bytes = std::uint64_t{64} << 20;
constexpr std::size_t max_program_files = 4'096;
constexpr std::size_t max_depth = 32;
using task::max_shards;
constexpr std::size_t max_list_bytes = std::size_t{2} << 20;  // What every reader of records takes.
constexpr std::size_t max_line_bytes = std::size_t{64} << 20;
constexpr std::size_t max_imported_module_bytes = std::size_t{64} << 20;
constexpr std::size_t max_wat_bytes = std::size_t{16} << 20;
constexpr std::size_t max_left_out_told = 64;
constexpr std::size_t max_library_modules = 8'192;
constexpr std::size_t max_catalogue_bytes = std::size_t{1} << 20;
constexpr std::string_view wasm_magic{"\0asm", 4};

/// A language by the extension of what is written in it.
struct Language {
  std::string_view name, extension;
};
constexpr std::string_view full_python = "python-full";
constexpr std::array<Language, 8> languages{{{"python", ".py"},
                                             {full_python, ".py"},
                                             {"javascript", ".js"},
                                             {"javascript", ".mjs"},
                                             {"ruby", ".rb"},
                                             {"php", ".php"},
                                             {"wasm", ".wasm"},
                                             {"wat", ".wat"}}};
constexpr std::string_view known_extensions = ".wasm, .wat, .py, .js, .mjs, .rb and .php";

const Language* language_of(const fs::path& file) {
  const std::string extension = file.extension().string();
  const auto found = std::ranges::find(languages, std::string_view(extension), &Language::extension);
  return found == languages.end() ? nullptr : &*found;
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024);
  return fmt::format("{}.{} MiB", bytes >> 20, (bytes % (1 << 20)) * 10 >> 20);
}

Error system_error(std::string_view what, const fs::path& path) {
  const int code = errno;
  const ErrorCode kind = code == ENOENT || code == ENOTDIR ? ErrorCode::not_found : ErrorCode::storage;
  if (kind == ErrorCode::not_found) return {kind, fmt::format("there is no {}; check the path", path.string())};
  if (code == ELOOP)
    return {ErrorCode::invalid, fmt::format("{} is a symbolic link; name what it points to", path.string())};
  return {kind, fmt::format("{} {} failed: {}", what, path.string(), std::strerror(code))};
}

/// Opens a regular file below `folder` (AT_FDCWD: anywhere). Not blocking, so that a FIFO does not hold us up.
Result<FileDescriptor> open_file(int folder, const std::string& name, const fs::path& shown, int extra_flags) {
  FileDescriptor file(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | extra_flags));
  if (!file.is_open()) return std::unexpected(system_error("opening", shown));
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return std::unexpected(system_error("reading", shown));
  if (S_ISDIR(about.st_mode))
    return fail(ErrorCode::invalid, fmt::format("{} is a folder, not a file", shown.string()));
  if (!S_ISREG(about.st_mode)) {
    return fail(ErrorCode::invalid,
                fmt::format("{} is a FIFO, socket or device, not a file; give a file, or - for the standard input",
                            shown.string()));
  }
  return file;
}

/// Reads in parts of 1 MiB.
Status read_parts(const FileDescriptor& file, const fs::path& shown, const std::function<Status(ByteView)>& sink) {
  Bytes part(asset::chunk_bytes);
  while (true) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(system_error("reading", shown));
    if (got == 0) return {};
    MESH_TRY(sink(ByteView(part).first(static_cast<std::size_t>(got))));
  }
}

Result<Bytes> read_whole(const FileDescriptor& file, const fs::path& shown, std::size_t max_bytes) {
  Bytes whole;
  MESH_TRY(read_parts(file, shown, [&](ByteView part) -> Status {
    if (whole.size() + part.size() > max_bytes) {
      return fail(ErrorCode::exhausted, fmt::format("{} is larger than {}", shown.string(), size_text(max_bytes)));
    }
    append(whole, part);
    return {};
  }));
  return whole;
}

/// A file as content: as it is, or sealed for somebody.
class ContentBuilder {
 public:
  /// Seals if `recipients` are any.
  static Result<std::unique_ptr<ContentBuilder>> start(std::span<const identity::NodeId> recipients,
                                                       const asset::BlockSink& sink) {
    std::unique_ptr<ContentBuilder> builder(new ContentBuilder(sink));
    if (!recipients.empty()) {
      MESH_LET(builder->sealer_, sealing::Sealer::start(recipients, [to = builder.get()](ByteView sealed) {
                 return to->builder_.feed(sealed);
               }));
    }
    return builder;
  }
  Status feed(ByteView part) { return sealer_ ? sealer_->feed(part) : builder_.feed(part); }
  Result<asset::Built> finish() {
    if (sealer_) MESH_TRY(sealer_->finish());
    return builder_.finish();
  }

 private:
  explicit ContentBuilder(const asset::BlockSink& sink) : builder_(sink) {}
  asset::FileBuilder builder_;
  std::optional<sealing::Sealer> sealer_;
};

Result<asset::Built> build_file(const FileDescriptor& file, const fs::path& shown, const asset::BlockSink& sink,
                                std::uint64_t max_bytes = ~std::uint64_t{0}, Bytes* keep = nullptr,
                                std::span<const identity::NodeId> recipients = {}) {
  MESH_LET(const std::unique_ptr<ContentBuilder> builder, ContentBuilder::start(recipients, sink));
  std::uint64_t total = 0;
  MESH_TRY(read_parts(file, shown, [&](ByteView part) -> Status {
    total += part.size();
    if (total > max_bytes)
      return fail(ErrorCode::exhausted, fmt::format("{} is larger than {}", shown.string(), size_text(max_bytes)));
    if (keep != nullptr) append(*keep, part);
    return builder->feed(part);
  }));
  return builder->finish();
}

Result<asset::Built> build_bytes(ByteView bytes, const asset::BlockSink& sink,
                                 std::span<const identity::NodeId> recipients = {}) {
  MESH_LET(const std::unique_ptr<ContentBuilder> builder, ContentBuilder::start(recipients, sink));
  MESH_TRY(builder->feed(bytes));
  return builder->finish();
}

/// A walk through a real folder, by descriptors, so that nothing that is renamed meanwhile leads out of it.
struct FolderReader {
  const asset::BlockSink& sink;
  bool is_program = false;  ///< with the bounds of a program, and what no program needs left out
  std::uint64_t files = 0, bytes = 0;
  std::vector<std::string> left_out;
  struct Found {
    std::string path;
    Cid cid;
    std::uint64_t bytes = 0;
    auto operator<=>(const Found&) const = default;
  };
  std::vector<Found> found;  ///< every file by its relative path
  PythonProgram* python = nullptr;  ///< if not null, is given every .py file's text
  /// If any, the files are sealed for them, and the folders, whose names would tell, go nowhere.
  std::span<const identity::NodeId> recipients = {};

  void leave_out(const std::string& path) {
    if (left_out.size() < max_left_out_told) left_out.push_back(path);
  }

  Status check_bounds(const fs::path& shown) const {
    if (!is_program) return {};
    if (files > max_program_files || bytes > max_program_bytes) {
      return fail(ErrorCode::exhausted, fmt::format("the program's folder {} holds more than {} files or {}; move the "
                                                    "program to a folder of its own, or ship it alone "
                                                    "with --only-file",
                                                    shown.string(), max_program_files, size_text(max_program_bytes)));
    }
    return {};
  }

  Result<asset::Built> read(const FileDescriptor& folder, const fs::path& top, const std::string& relative,
                            std::size_t depth) {
    const fs::path shown = relative.empty() ? top : top / relative;
    if (depth > max_depth)
      return fail(ErrorCode::exhausted,
                  fmt::format("{} is nested more than {} folders deep", shown.string(), max_depth));
    MESH_LET(const std::vector<std::string> names, names_in(folder, shown));
    std::vector<asset::FolderEntry> entries;
    for (const std::string& name : names) {
      const std::string path = relative.empty() ? name : relative + "/" + name;
      if (is_program && (name.front() == '.' || name == "__pycache__" || name == "node_modules")) {
        leave_out(path);
        continue;
      }
      struct stat about{};
      if (::fstatat(folder.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0)
        return std::unexpected(system_error("reading", top / path));
      const bool is_special = !S_ISDIR(about.st_mode) && !S_ISREG(about.st_mode);
      if (S_ISLNK(about.st_mode) || (is_program && is_special)) {
        leave_out(path);
        continue;
      }
      if (const Status good = asset::check_name(name); !good) {
        return fail(ErrorCode::invalid, fmt::format("{} has a name that content cannot have: {}", (top / path).string(),
                                                    good.error().message));
      }
      if (S_ISDIR(about.st_mode)) {
        FileDescriptor below(::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!below.is_open()) return std::unexpected(system_error("opening", top / path));
        MESH_LET(const asset::Built built, read(below, top, path, depth + 1));
        entries.push_back({.name = name, .cid = built.cid, .total_bytes = built.total_bytes});
        continue;
      }
      MESH_LET(const FileDescriptor file, open_file(folder.get(), name, top / path, O_NOFOLLOW));
      ++files;
      MESH_TRY(check_bounds(top));
      const std::uint64_t room = is_program ? max_program_bytes - bytes : ~std::uint64_t{0};
      Bytes text;
      Bytes* const kept = python != nullptr && path.ends_with(".py") ? &text : nullptr;
      Result<asset::Built> built = build_file(file, top / path, sink, room, kept, recipients);
      if (kept != nullptr) python->add(path, as_text(text));
      if (!built && built.error().code == ErrorCode::exhausted && is_program) {
        bytes = max_program_bytes + 1;
        MESH_TRY(check_bounds(top));
      }
      if (!built) return built;
      bytes += built->content_bytes;
      found.push_back({path, built->cid, built->content_bytes});
      entries.push_back({.name = name, .cid = built->cid, .total_bytes = built->total_bytes});
    }
    const asset::BlockSink nowhere = [](const Cid&, const Bytes&) { return Status{}; };
    Result<asset::Built> made = asset::build_folder(std::move(entries), recipients.empty() ? sink : nowhere);
    if (!made) return wrap(shown.string(), std::move(made.error()));
    return made;
  }
};

Result<FileDescriptor> open_folder(const fs::path& path) {
  FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return std::unexpected(system_error("opening", path));
  return folder;
}

Status check_module(ByteView bytes, std::string_view shown) {
  if (bytes.size() < 8 || as_text(bytes.first(4)) != wasm_magic) {
    return fail(ErrorCode::invalid,
                fmt::format("{} is not a WebAssembly module: it does not begin with the bytes 00 61 73 6d", shown));
  }
  const bool is_module = bytes[4] == 1 && bytes[5] == 0 && bytes[6] == 0 && bytes[7] == 0;
  if (!is_module && !wasm::is_component(bytes)) {
    return fail(
        ErrorCode::unsupported,
        fmt::format("{} is WebAssembly of another version; give a core module of version 1 or a component", shown));
  }
  return {};
}

Result<Program> module_program(ByteView module, std::string shown, const asset::BlockSink& sink) {
  MESH_TRY(check_module(module, shown));
  MESH_LET(const asset::Built built, build_bytes(module, sink));
  Program program;
  program.language = "wasm";
  program.content = built.cid;
  program.files = 1;
  program.bytes = module.size();
  program.description = fmt::format("{} ({})", shown, size_text(module.size()));
  return program;
}

Result<Program> wat_program(ByteView text, const std::string& shown, const asset::BlockSink& sink) {
  Result<Bytes> module = wasm::wat_to_wasm(as_text(text));
  if (!module) return wrap(shown, std::move(module.error()));
  return module_program(*module, shown, sink);
}

Result<fs::path> find_main(const fs::path& folder) {
  std::vector<std::string> mains;
  for (const Language& language : languages) {
    const std::string name = fmt::format("main{}", language.extension);
    if (std::ranges::find(mains, name) != mains.end()) continue;  // Two interpreters take it.
    std::error_code ignored;
    if (fs::is_regular_file(folder / name, ignored)) mains.push_back(name);
  }
  if (mains.empty()) {
    return fail(ErrorCode::not_found, fmt::format("{} is a folder without a main: put a main.py, main.js, main.rb, "
                                                  "main.php, main.wasm or main.wat into it, or name the "
                                                  "file to run",
                                                  folder.string()));
  }
  if (mains.size() > 1) {
    return fail(ErrorCode::invalid, fmt::format("{} has several mains ({}); name the file to run", folder.string(),
                                                fmt::join(mains, ", ")));
  }
  return folder / mains.front();
}

}  // namespace

asset::BlockSink block_sink(store::BlockStore& store) {
  return [&store](const Cid& cid, const Bytes& block) { return store.put(cid, block); };
}

// ---- Runtimes.

namespace {

Result<RuntimeEntry> entry_of(const nlohmann::json& json, const fs::path& folder) {
  const auto text = [&](const char* name) -> std::string {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto plain_name = [](const std::string& name) {
    return !name.empty() && name.find('/') == std::string::npos && name != "..";
  };
  RuntimeEntry entry;
  entry.name = text("name");
  entry.version = text("version");
  entry.sha256 = text("sha256");
  entry.root_sha256 = text("root_sha256");
  entry.stdin_file = text("stdin_file");
  if (entry.name.empty() || !plain_name(text("file")) || entry.sha256.size() != 64) {
    return fail(ErrorCode::invalid, "an entry lacks its name, file or sha256");
  }
  entry.file = folder / text("file");
  if (json.contains("root")) {
    if (!plain_name(text("root")) || entry.root_sha256.size() != 64)
      return fail(ErrorCode::invalid, fmt::format("{}: its root or root_sha256 does not read", entry.name));
    entry.root = folder / text("root");
  }
  const auto list = [&](const char* name, std::vector<std::string>& out) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_array() || found->size() > 64) return false;
    for (const auto& item : *found) {
      if (!item.is_string()) return false;
      out.push_back(item.get<std::string>());
    }
    return true;
  };
  if (!list("extensions", entry.extensions) || !list("argv", entry.argv)) {
    return fail(ErrorCode::invalid, fmt::format("{}: its extensions or argv are no lists of texts", entry.name));
  }
  if (const auto found = json.find("environment"); found != json.end() && found->is_object()) {
    for (const auto& [name, value] : found->items()) {
      if (!value.is_string())
        return fail(ErrorCode::invalid, fmt::format("{}: its environment is not of texts", entry.name));
      entry.environment.push_back(name + "=" + value.get<std::string>());
    }
  }
  if (const std::string abi = text("abi"); abi == "component") {
    entry.abi = task::Abi::component;
  } else if (!abi.empty() && abi != "wasi") {
    return fail(ErrorCode::invalid, fmt::format("{}: its abi is neither wasi nor component", entry.name));
  }
  if (json.contains("library")) {
    const nlohmann::json& library = json["library"];
    const auto names = [&](const char* name, std::set<std::string, std::less<>>& out) {
      const auto found = library.find(name);
      if (found == library.end() || !found->is_array() || found->size() > max_library_modules) return false;
      for (const auto& item : *found) {
        if (!item.is_string()) return false;
        out.insert(item.get<std::string>());
      }
      return true;
    };
    PythonLibrary& made = entry.library.emplace();
    if (!library.is_object() || !names("modules", made.modules) || !names("missing", made.missing))
      return fail(ErrorCode::invalid, fmt::format("{}: its library does not read", entry.name));
  }
  return entry;
}

}  // namespace

Result<RuntimeCatalogue> RuntimeCatalogue::load(const fs::path& folder) {
  const fs::path file = folder / "catalogue.json";
  MESH_LET(const FileDescriptor open, open_file(AT_FDCWD, file.string(), file, 0));
  MESH_LET(const Bytes bytes, read_whole(open, file, max_catalogue_bytes));
  const nlohmann::json json = nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  const auto damaged = [&](std::string_view what) {
    return fail(ErrorCode::invalid,
                fmt::format("{}: {}; install the runtimes again with scripts/runtimes.sh", file.string(), what));
  };
  if (!json.is_object() || !json.contains("runtimes") || !json["runtimes"].is_array() || json["runtimes"].size() > 64) {
    return damaged("no list of runtimes");
  }
  RuntimeCatalogue catalogue;
  catalogue.folder_ = folder;
  for (const auto& item : json["runtimes"]) {
    if (!item.is_object()) return damaged("an entry is no object");
    Result<RuntimeEntry> entry = entry_of(item, folder);
    if (!entry) return damaged(entry.error().message);
    catalogue.entries_.push_back(std::move(*entry));
  }
  return catalogue;
}

Result<RuntimeCatalogue> RuntimeCatalogue::find() {
  std::vector<fs::path> places;
  if (const char* given = std::getenv("MESH_RUNTIMES_DIR"); given != nullptr && *given != '\0') {
    places.emplace_back(given);
  } else {
    std::error_code ignored;
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
    if (!program.empty()) {
      places.push_back(program.parent_path() / "runtimes");
      places.push_back(program.parent_path().parent_path() / "share" / "meshwork" / "runtimes");
    }
    fs::path cache;
    const auto from = [&](const char* variable, std::string_view below) {
      const char* value = std::getenv(variable);
      if (cache.empty() && value != nullptr && *value != '\0') cache = fs::path(value) / below;
    };
    from("MESH_CACHE", "");
    from("XDG_CACHE_HOME", "meshwork");
    from("HOME", ".cache/meshwork");
    if (!cache.empty()) places.push_back(cache / "runtimes" / "current");
  }
  std::string looked;
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::exists(place / "catalogue.json", ignored)) return load(place);
    looked += (looked.empty() ? "" : ", ") + place.string();
  }
  return fail(
      ErrorCode::not_found,
      fmt::format(
          "no language runtimes are installed (looked in {}); run scripts/runtimes.sh, or set MESH_RUNTIMES_DIR",
          looked));
}

const RuntimeEntry* RuntimeCatalogue::find(std::string_view name_or_extension) const {
  for (const RuntimeEntry& entry : entries_) {
    if (entry.name == name_or_extension ||
        std::ranges::find(entry.extensions, name_or_extension) != entry.extensions.end())
      return &entry;
  }
  return nullptr;
}

namespace {

/// The file as content; checked against the pin, remembered under it.
Result<Cid> import_pinned(const fs::path& path, const std::string& sha256, store::NodeStore& store,
                          store::BlockStore& blocks) {
  const std::string key = "runtime/" + sha256;
  MESH_LET(const std::optional<Bytes> known, store.get(key));
  if (known) {
    const Result<Cid> cid = Cid::from_bytes(*known);
    // Every leaf has to be there still; a missing one is found by name alone.
    if (cid && blocks.has(*cid)) {
      const auto root = blocks.get(*cid);
      const auto links = root ? asset::links_of(*cid, **root) : std::unexpected(root.error());
      if (links && std::ranges::all_of(*links, [&](const Cid& link) { return blocks.has(link); })) return *cid;
    }
  }
  MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, path.string(), path, 0));
  Sha256 hash;
  asset::FileBuilder builder(block_sink(blocks));
  MESH_TRY(read_parts(file, path, [&](ByteView part) {
    hash.update(part);
    return builder.feed(part);
  }));
  MESH_LET(const asset::Built built, builder.finish());
  if (hash.finish().hex() != sha256) {
    return fail(
        ErrorCode::invalid,
        fmt::format("{} is not the file that the catalogue pins; install the runtimes again with scripts/runtimes.sh",
                    path.string()));
  }
  MESH_TRY(blocks.sync());
  store::WriteBatch batch;
  batch.put.emplace_back(key, built.cid.bytes());
  MESH_TRY(store.commit_and_wait(std::move(batch)));
  return built.cid;
}

}  // namespace

Result<ImportedRuntime> import_runtime(const RuntimeEntry& entry, store::NodeStore& store, store::BlockStore& blocks) {
  ImportedRuntime runtime;
  MESH_LET(runtime.module, import_pinned(entry.file, entry.sha256, store, blocks));
  if (entry.root) {
    MESH_LET(runtime.root, import_pinned(*entry.root, entry.root_sha256, store, blocks));
  }
  return runtime;
}

// ---- Programs.

namespace {

/// The interpreter of a Python program, by what it imports, and a note where that is the full one.
void choose_python(const PythonProgram& source, Program& program) {
  const Result<RuntimeCatalogue> catalogue = RuntimeCatalogue::find();
  const RuntimeEntry* usual = catalogue ? catalogue->find("python") : nullptr;
  if (usual != nullptr && !usual->library) return;  // A catalogue with one Python.
  std::string why = "no runtimes are installed here to look at";
  if (usual != nullptr) why = source.needs_full_interpreter(*usual->library);
  if (why.empty()) return;
  program.language = full_python;
  program.runtime_note = fmt::format(
      "{} runs in the full Python interpreter, which starts slower: {} (--runtime python insists on the other)",
      program.script, why);
}

Status check_runtime(std::string_view language, std::string_view runtime) {
  if (runtime.empty() || (language == "python" && (runtime == "python" || runtime == full_python))) return {};
  return fail(ErrorCode::invalid, fmt::format("--runtime {}: there are python and {}, for programs in Python",
                                              runtime.substr(0, 32), full_python));
}

}  // namespace

Result<Program> import_program(const fs::path& path, const ProgramOptions& options, const asset::BlockSink& sink) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return std::unexpected(system_error("reading", path));
  fs::path script = path;
  if (S_ISDIR(about.st_mode)) {
    MESH_LET(script, find_main(path));
  }
  const Language* language = language_of(script);
  if (language == nullptr) {
    return fail(ErrorCode::invalid, fmt::format("{} is of no language that is known here; known are {}",
                                                script.string(), known_extensions));
  }
  MESH_TRY(check_runtime(language->name, options.runtime));
  MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, script.string(), script, 0));
  if (language->name == "wasm" || language->name == "wat") {
    const bool is_text = language->name == "wat";
    MESH_LET(const Bytes bytes, read_whole(file, script, is_text ? max_wat_bytes : max_imported_module_bytes));
    return is_text ? wat_program(bytes, script.filename().string(), sink)
                   : module_program(bytes, script.filename().string(), sink);
  }

  Program program;
  program.language = options.runtime.empty() ? language->name : options.runtime;
  PythonProgram python;
  const bool chooses = language->name == "python" && options.runtime.empty();
  program.script = script.filename().string();
  MESH_TRY(asset::check_name(program.script));
  const fs::path parent = script.parent_path().empty() ? fs::path(".") : script.parent_path();
  if (options.only_file) {
    Bytes text;
    MESH_LET(const asset::Built built, build_file(file, script, sink, max_program_bytes, chooses ? &text : nullptr));
    python.add(program.script, as_text(text));
    if (chooses) choose_python(python, program);
    MESH_LET(asset::BuiltFolder folder,
             asset::build_directory({{.name = program.script, .cid = built.cid, .total_bytes = built.total_bytes}}));
    MESH_TRY(sink(folder.built.cid, std::move(folder.block)));
    program.content = folder.built.cid;
    program.files = 1;
    program.bytes = built.content_bytes;
    program.description = fmt::format("{} ({})", program.script, size_text(program.bytes));
    return program;
  }
  FolderReader reader{
      .sink = sink, .is_program = true, .left_out = {}, .found = {}, .python = chooses ? &python : nullptr};
  MESH_LET(const FileDescriptor folder, open_folder(parent));
  MESH_LET(const asset::Built built, reader.read(folder, parent, "", 0));
  if (chooses) choose_python(python, program);
  if (std::ranges::none_of(reader.found, [&](const auto& entry) { return entry.path == program.script; })) {
    return fail(
        ErrorCode::invalid,
        fmt::format(
            "{} is a hidden file or a symbolic link, which are not shipped; name the file itself, or use --only-file",
            script.string()));
  }
  program.content = built.cid;
  program.files = reader.files;
  program.bytes = reader.bytes;
  program.left_out = std::move(reader.left_out);
  program.description = program.files == 1 ? fmt::format("{} ({})", program.script, size_text(program.bytes))
                                           : fmt::format("{} and {} more {} of {} ({})", program.script,
                                                         program.files - 1, program.files == 2 ? "file" : "files",
                                                         parent.string(), size_text(program.bytes));
  return program;
}

Result<Program> import_source(std::string_view language, ByteView source, const asset::BlockSink& sink) {
  if (source.size() > max_program_bytes) {
    return fail(ErrorCode::exhausted, fmt::format("the source has {}; at most {} are taken", size_text(source.size()),
                                                  size_text(max_program_bytes)));
  }
  const auto known = std::ranges::find(languages, language, &Language::name);
  if (known == languages.end()) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is no language that is known here; known are python, "
                                                "python-full, javascript, ruby, php, wasm and wat",
                                                language.substr(0, 32)));
  }
  if (language == "wasm") return module_program(source, "the module", sink);
  if (language == "wat") return wat_program(source, "the text", sink);
  Program program;
  program.language = language;
  program.script = fmt::format("main{}", known->extension);
  if (language == "python") {
    PythonProgram python;
    python.add(program.script, as_text(source));
    choose_python(python, program);
  }
  MESH_LET(const asset::Built built, build_bytes(source, sink));
  MESH_LET(asset::BuiltFolder folder,
           asset::build_directory({{.name = program.script, .cid = built.cid, .total_bytes = built.total_bytes}}));
  MESH_TRY(sink(folder.built.cid, std::move(folder.block)));
  program.content = folder.built.cid;
  program.files = 1;
  program.bytes = source.size();
  program.description = fmt::format("{} ({})", program.script, size_text(program.bytes));
  return program;
}

Result<ImportedFunction> make_function(const Program& program, const std::vector<std::string>& args,
                                       store::NodeStore& store, store::BlockStore& blocks) {
  ImportedFunction function;
  function.description = program.description;
  task::FunctionNode node;
  if (program.language == "wasm") {
    if (args.empty()) {
      function.function = program.content;
      return function;
    }
    node.runtime = program.content;
    node.args.emplace_back("main");
    node.args.insert(node.args.end(), args.begin(), args.end());
    MESH_LET(const Bytes module, blocks.read_dag_file(program.content, max_imported_module_bytes));
    node.abi = wasm::is_component(module)                   ? task::Abi::component
               : wasm::exports_function(module, "mesh_run") ? task::Abi::call
                                                            : task::Abi::wasi;
  } else {
    MESH_LET(const RuntimeCatalogue catalogue, RuntimeCatalogue::find());
    const RuntimeEntry* entry = catalogue.find(program.language);
    if (entry == nullptr) {
      return fail(ErrorCode::not_found,
                  fmt::format("there is no runtime for {} in {}; install the runtimes again with scripts/runtimes.sh",
                              program.language, catalogue.folder().string()));
    }
    MESH_LET(const ImportedRuntime runtime, import_runtime(*entry, store, blocks));
    node.runtime = runtime.module;
    node.root = runtime.root;
    node.program = program.content;
    node.abi = entry->abi;
    node.env = entry->environment;
    if (!entry->stdin_file.empty()) node.env.push_back(fmt::format("{}={}", stdin_file_variable, entry->stdin_file));
    for (const std::string& argument : entry->argv) {
      if (argument == "{args}") {
        node.args.insert(node.args.end(), args.begin(), args.end());
      } else if (argument == "{script}") {
        node.args.push_back("/program/" + program.script);
      } else {
        node.args.push_back(argument);
      }
    }
    function.description += " with " + entry->version;
  }
  for (const std::string& argument : node.args) {
    // The node is DAG-CBOR, whose text is UTF-8.
    if (!is_utf8(argument))
      return fail(ErrorCode::invalid, "an argument is not UTF-8 text; pass bytes as an input instead");
  }
  MESH_TRY(task::validate(node));
  const Bytes block = record::encode(node);
  function.function = dagcbor::cid_of(block);
  MESH_TRY(blocks.put(function.function, block));
  return function;
}

Result<ImportedFunction> import_function(const fs::path& path, const std::vector<std::string>& args,
                                         const ProgramOptions& options, store::NodeStore& store,
                                         store::BlockStore& blocks) {
  MESH_LET(const Program program, import_program(path, options, block_sink(blocks)));
  MESH_LET(ImportedFunction function, make_function(program, args, store, blocks));
  MESH_TRY(blocks.sync());
  return function;
}

// ---- Inputs.

namespace {

struct InputCollector {
  const asset::BlockSink& sink;
  std::span<const identity::NodeId> recipients;
  ImportedInputs result;

  Status add(ListedInput input, std::string name) {
    if (result.inputs.size() >= max_shards) {
      return fail(ErrorCode::exhausted,
                  fmt::format("there are more than {} inputs; put several into one, or make several jobs", max_shards));
    }
    result.inputs.push_back(input);
    result.names.push_back(std::move(name));
    return {};
  }

  Status add_bytes(ByteView bytes, std::string name) {
    MESH_LET(const asset::Built built, build_bytes(bytes, sink, recipients));
    result.bytes += bytes.size();
    return add({built.cid, built.content_bytes}, std::move(name));
  }

  Status add_lines(const fs::path& path) {
    MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, path.string(), path, 0));
    Bytes line;
    std::uint64_t number = 0;
    const auto end_line = [&]() -> Status {
      ++number;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      const bool blank = std::ranges::all_of(line, [](std::uint8_t c) { return c == ' ' || c == '\t'; });
      if (!blank) MESH_TRY(add_bytes(line, fmt::format("{} line {}", path.filename().string(), number)));
      line.clear();
      return {};
    };
    const Status read = read_parts(file, path, [&](ByteView part) -> Status {
      while (!part.empty()) {
        const auto newline = std::ranges::find(part, std::uint8_t{'\n'});
        const auto count = static_cast<std::size_t>(newline - part.begin());
        if (line.size() + count > max_line_bytes) {
          return fail(ErrorCode::exhausted, fmt::format("line {} of {} is longer than {}", number + 1, path.string(),
                                                        size_text(max_line_bytes)));
        }
        append(line, part.first(count));
        if (newline == part.end()) return {};
        MESH_TRY(end_line());
        part = part.subspan(count + 1);
      }
      return {};
    });
    MESH_TRY(read);
    return line.empty() ? Status() : end_line();
  }

  Status add_path(const fs::path& path, bool map) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return std::unexpected(system_error("reading", path));
    if (S_ISDIR(about.st_mode)) {
      if (!map)
        return fail(
            ErrorCode::invalid,
            fmt::format("the input {} is a folder; add --map to make each of its files a shard", path.string()));
      FolderReader reader{.sink = sink, .is_program = false, .left_out = {}, .found = {}, .recipients = recipients};
      MESH_LET(const FileDescriptor folder, open_folder(path));
      MESH_TRY(reader.read(folder, path, "", 0));
      std::ranges::sort(reader.found);
      for (const auto& [name, cid, bytes] : reader.found) MESH_TRY(add({cid, bytes}, name));
      result.bytes += reader.bytes;
      return {};
    }
    const std::string extension = path.extension().string();
    if (map && (extension == ".jsonl" || extension == ".ndjson" || extension == ".txt")) return add_lines(path);
    MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, path.string(), path, 0));
    MESH_LET(const asset::Built built, build_file(file, path, sink, ~std::uint64_t{0}, nullptr, recipients));
    result.bytes += built.content_bytes;
    return add({built.cid, built.content_bytes}, path.filename().string());
  }
};

}  // namespace

Result<ImportedInputs> list_inputs(std::vector<ListedInput> inputs, const asset::BlockSink& sink) {
  if (inputs.empty() || inputs.size() > max_shards) {
    return fail(inputs.empty() ? ErrorCode::invalid : ErrorCode::exhausted,
                fmt::format("a task has 1 to {} inputs, not {}", max_shards, inputs.size()));
  }
  const auto keep = [&](const task::ShardList& list) -> Result<Cid> {
    Bytes block = record::encode(list);
    if (block.size() > max_list_bytes) {
      return fail(ErrorCode::exhausted,
                  "these inputs are too many and too large for one task; make several jobs of them");
    }
    const Cid cid = dagcbor::cid_of(block);
    MESH_TRY(sink(cid, std::move(block)));
    return cid;
  };
  task::ShardList list;
  task::ShardList part;
  std::uint64_t part_bytes = 0;
  const auto end_part = [&]() -> Status {
    if (part.inputs.empty()) return {};
    MESH_LET(const Cid cid, keep(part));
    list.parts.push_back({cid, static_cast<std::uint32_t>(part.inputs.size())});
    part.inputs.clear();
    part_bytes = 0;
    return {};
  };
  if (inputs.size() == 1) {
    list.inputs.push_back(inputs.front().cid);
  } else {
    for (const ListedInput& input : inputs) {
      const std::uint64_t bytes = input.bytes.value_or(task::ShardList::max_part_bytes);
      if (part.inputs.size() >= task::ShardList::max_part_shards ||
          bytes > task::ShardList::max_part_bytes - std::min(part_bytes, task::ShardList::max_part_bytes)) {
        MESH_TRY(end_part());
      }
      part.inputs.push_back(input.cid);
      part_bytes += bytes;
    }
    MESH_TRY(end_part());
  }
  ImportedInputs result;
  MESH_LET(result.shard_list, keep(list));
  for (const ListedInput& input : inputs) result.names.push_back(input.cid.text());
  result.inputs = std::move(inputs);
  return result;
}

Result<asset::Built> import_bytes(ByteView bytes, const asset::BlockSink& sink,
                                  std::span<const identity::NodeId> recipients) {
  return build_bytes(bytes, sink, recipients);
}

Result<ImportedInputs> import_inputs(const std::vector<InputSpec>& specs, bool map, const asset::BlockSink& sink,
                                     std::span<const identity::NodeId> recipients) {
  if (!map && specs.size() > 1) {
    return fail(ErrorCode::invalid,
                fmt::format("{} inputs are given; add --map to make each of them a shard", specs.size()));
  }
  InputCollector collector{.sink = sink, .recipients = recipients, .result = {}};
  for (const InputSpec& spec : specs) {
    switch (spec.kind) {
      case InputSpec::Kind::path:
        MESH_TRY(collector.add_path(spec.path, map));
        break;
      case InputSpec::Kind::bytes:
        MESH_TRY(collector.add_bytes(spec.bytes, "stdin"));
        break;
      case InputSpec::Kind::cid:
        MESH_TRY(collector.add({spec.cid, {}}, spec.cid.text()));
        break;
    }
  }
  if (specs.empty() && !map) MESH_TRY(collector.add_bytes({}, "nothing"));
  if (collector.result.inputs.empty()) {
    return fail(ErrorCode::invalid,
                "with --map there must be at least one input: a file, a line of a .jsonl file, or -i");
  }
  MESH_LET(ImportedInputs listed, list_inputs(collector.result.inputs, sink));
  collector.result.shard_list = listed.shard_list;
  return std::move(collector.result);
}

Result<asset::Built> import_file(const fs::path& path, const asset::BlockSink& sink) {
  MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, path.string(), path, O_NOFOLLOW));
  return build_file(file, path, sink);
}

Result<asset::Built> import_path(const fs::path& path, const asset::BlockSink& sink) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0) return std::unexpected(system_error("reading", path));
  if (!S_ISDIR(about.st_mode)) return import_file(path, sink);
  FolderReader reader{.sink = sink, .is_program = false, .left_out = {}, .found = {}};
  MESH_LET(const FileDescriptor folder, open_folder(path));
  return reader.read(folder, path, "", 0);
}

Result<asset::Built> import_sealed(const fs::path& path, std::span<const identity::NodeId> recipients,
                                   const asset::BlockSink& sink) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0) return std::unexpected(system_error("reading", path));
  if (S_ISDIR(about.st_mode))
    return fail(ErrorCode::unsupported,
                fmt::format("{} is a folder, and sealing one is not built: seal its files, or an archive of it",
                            path.string()));
  MESH_LET(const FileDescriptor file, open_file(AT_FDCWD, path.string(), path, O_NOFOLLOW));
  if (recipients.empty()) return fail(ErrorCode::invalid, "nobody is named for whom the content is to be sealed");
  return build_file(file, path, sink, ~std::uint64_t{0}, nullptr, recipients);
}

// ---- Export.

namespace {

struct Exporter {
  const store::BlockReader& blocks;
  std::size_t entries = 0;  ///< written or begun, in all folders

  /// Writes below `folder`, which is open: names are components without '/', so nothing leads out.
  Status write(const Cid& cid, int folder, const std::string& name, const fs::path& shown, std::size_t depth) {
    if (depth > 64) return fail(ErrorCode::exhausted, fmt::format("{} would be nested too deep", shown.string()));
    MESH_LET(const asset::Node node, parse(cid));
    if (node.kind == asset::NodeKind::record)
      return fail(ErrorCode::invalid, fmt::format("{} is a record, neither file nor folder", cid.text()));
    if (!asset::is_folder(node.kind)) return write_file(cid, folder, name, shown);
    if (::mkdirat(folder, name.c_str(), 0755) != 0) return std::unexpected(system_error("making", shown));
    const FileDescriptor below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below.is_open()) return std::unexpected(system_error("opening", shown));
    const auto visit = [&](const asset::NodeLink& entry) -> Status {
      if (++entries > asset::max_folder_entries) {
        return fail(ErrorCode::exhausted,
                    fmt::format("{} holds more than {} files and folders", cid.text(), asset::max_folder_entries));
      }
      return write(entry.cid, below.get(), entry.name, shown / entry.name, depth + 1);
    };
    return asset::visit_folder(node, [this](const Cid& shard) { return parse(shard); }, visit);
  }

  [[nodiscard]] Result<asset::Node> parse(const Cid& cid) const {
    MESH_LET(const store::BlockBytes block, blocks(cid));
    return asset::parse_node(cid, *block);
  }

  Status write_file(const Cid& cid, int folder, const std::string& name, const fs::path& shown) {
    FileDescriptor file(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file.is_open()) return std::unexpected(system_error("making", shown));
    MESH_TRY(store::read_dag_file(blocks, cid, ~std::uint64_t{0}, [&](ByteView part) -> Status {
      while (!part.empty()) {
        const ssize_t wrote = ::write(file.get(), part.data(), part.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return std::unexpected(system_error("writing", shown));
        part = part.subspan(static_cast<std::size_t>(wrote));
      }
      return {};
    }));
    return {};
  }
};

}  // namespace

Status export_dag(const store::BlockReader& blocks, const Cid& root, const fs::path& path, bool overwrite) {
  fs::path target = path;
  if (target.filename().empty()) target = target.parent_path();  // "folder/" names the folder.
  const std::string name = target.filename().string();
  if (name.empty() || name == "." || name == "..")
    return fail(ErrorCode::invalid, fmt::format("{} names no file or folder to write", path.string()));
  const fs::path parent = target.parent_path().empty() ? fs::path(".") : target.parent_path();
  MESH_LET(const FileDescriptor folder, open_folder(parent));
  struct stat about{};
  const bool there = ::fstatat(folder.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && (!overwrite || !S_ISREG(about.st_mode))) {
    return fail(ErrorCode::conflict, fmt::format("{} is there already{}; name another", target.string(),
                                                 overwrite ? " and is no plain file" : ""));
  }
  // Of this process and call, so that two exports at once do not meet.
  static std::atomic<std::uint64_t> calls{0};
  const std::string temporary = fmt::format(".{}.mesh-{}-{}", name.substr(0, 100), ::getpid(), calls++);
  Exporter exporter{.blocks = blocks};
  Status done = exporter.write(root, folder.get(), temporary, target, 0);
  if (done) {
    // Never over something that appeared meanwhile, unless it is a file that may be replaced.
    const unsigned flags = there ? 0 : RENAME_NOREPLACE;
    if (::renameat2(folder.get(), temporary.c_str(), folder.get(), name.c_str(), flags) != 0) {
      done = errno == EEXIST
                 ? fail(ErrorCode::conflict, fmt::format("{} appeared meanwhile; name another", target.string()))
                 : std::unexpected(system_error("placing", target));
    }
  }
  if (!done) {
    std::error_code ignored;
    fs::remove_all(parent / temporary, ignored);
  }
  return done;
}

}  // namespace mesh::app
