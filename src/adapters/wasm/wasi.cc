#include "adapters/wasm/wasi.h"

#include <bit>
#include <limits>

namespace mesh::wasm {
namespace {

static_assert(std::endian::native == std::endian::little, "guest memory is little-endian and is copied as it is");

using Raw = wasmtime_val_raw_t;
using Kind = Descriptor::Kind;

enum Errno : std::uint32_t {
  success = 0,
  too_big = 1,
  bad_descriptor = 8,
  exists = 20,
  fault = 21,
  invalid = 28,
  is_folder = 31,
  too_many_open = 33,
  name_too_long = 37,
  no_entry = 44,
  not_folder = 54,
  not_supported = 58,
  read_only = 69,
  not_seekable = 70,
  not_capable = 76,
};

constexpr std::uint64_t call_cost = 100;         // Every host call.
constexpr std::uint64_t vector_cost = 10;        // Every element of a list that the guest passes.
constexpr std::uint64_t random_byte_cost = 4;    // Hashing.
constexpr std::uint64_t entry_cost = 20;  // Every entry of a folder that is listed, every component of a path.
constexpr std::uint32_t max_vectors = 1'024;
constexpr std::uint32_t max_subscriptions = 4'096;

enum FileType : std::uint8_t { type_unknown = 0, type_folder = 3, type_file = 4 };

constexpr std::uint64_t right_write = std::uint64_t{1} << 6U;
constexpr std::uint64_t all_rights = (std::uint64_t{1} << 30U) - 1;
constexpr std::uint64_t write_rights = (1U << 0U) | (1U << 6U) | (1U << 8U) | (1U << 9U) | (1U << 10U) | (1U << 11U) |
                                       (1U << 12U) | (1U << 16U) | (1U << 17U) | (1U << 19U) | (1U << 20U) |
                                       (1U << 22U) | (1U << 23U) | (1U << 24U) | (1U << 25U) | (1U << 26U);
constexpr std::uint64_t read_rights = all_rights & ~write_rights & ~(std::uint64_t{3} << 28U);

std::uint32_t u32(const Raw& raw) { return static_cast<std::uint32_t>(raw.i32); }
std::uint64_t u64(const Raw& raw) { return static_cast<std::uint64_t>(raw.i64); }

/// The guest's memory during one host call, in which it neither moves nor grows.
class Memory {
 public:
  explicit Memory(const Run& run) {
    if (!run.has_memory) return;
    bytes_ = wasmtime_memory_data(run.context, &run.memory);
    size_ = wasmtime_memory_data_size(run.context, &run.memory);
  }

  [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t length) const { return at <= size_ && length <= size_ - at; }
  [[nodiscard]] std::span<std::uint8_t> span(std::uint32_t at, std::uint64_t length) const {
    return {bytes_ + at, static_cast<std::size_t>(length)};  // After holds().
  }
  template <class T>
  [[nodiscard]] T load(std::uint64_t at) const {  // After holds().
    T value;
    std::memcpy(&value, bytes_ + at, sizeof value);
    return value;
  }
  template <class T>
  void store(std::uint64_t at, T value) const {  // After holds().
    std::memcpy(bytes_ + at, &value, sizeof value);
  }
  void copy_in(std::uint64_t at, ByteView from) const {  // After holds().
    if (!from.empty()) std::memcpy(bytes_ + at, from.data(), from.size());
  }

 private:
  std::uint8_t* bytes_ = nullptr;
  std::size_t size_ = 0;
};

// ---- descriptors

std::vector<Descriptor>& descriptors(Run& run) {
  if (run.descriptors.empty()) {
    run.descriptors.resize(4);
    run.descriptors[0].kind = Kind::input;
    run.descriptors[1].kind = run.is_call ? Kind::log : Kind::output;
    run.descriptors[2].kind = Kind::log;
    run.descriptors[3].kind = Kind::folder;
    run.descriptors[3].preopened = true;
  }
  return run.descriptors;
}

Descriptor* descriptor(Run& run, std::uint32_t fd) {
  auto& all = descriptors(run);
  if (fd >= all.size() || all[fd].kind == Kind::closed) return nullptr;
  return &all[fd];
}

ByteView content_of(const Run& run, const Descriptor& d) {
  return d.kind == Kind::input ? run.input() : d.place.node->content;
}

bool is_top(const Place& place) { return place.node == nullptr; }

const FileTree::Node* child(const FileTree* tree, std::string_view name) {
  if (tree == nullptr) return nullptr;
  const auto it = tree->root().children.find(name);
  return it == tree->root().children.end() ? nullptr : it->second;
}

/// The entry `name` of a folder; at the top, the program's mount, then the root tree, then the program's own entries.
std::optional<Place> enter(const Run& run, const Place& folder, std::string_view name) {
  if (!is_top(folder)) {
    const auto it = folder.node->children.find(name);
    if (it == folder.node->children.end()) return std::nullopt;
    return Place{it->second, folder.in_program};
  }
  if (name == "program" && run.job->program) return Place{&run.job->program->root(), true};
  if (const auto* node = child(run.job->root.get(), name)) return Place{node, false};
  if (const auto* node = child(run.job->program.get(), name)) return Place{node, true};
  return std::nullopt;
}

/// Follows a path from a folder. `..` stays inside the folder that the path starts from; there are no links to follow.
std::expected<Place, Errno> resolve(Run& run, const Place& start, std::string_view path) {
  if (path.empty()) return std::unexpected(no_entry);
  if (path.size() > FileTree::max_path_bytes) return std::unexpected(name_too_long);
  if (path.find('\0') != std::string_view::npos) return std::unexpected(invalid);
  if (path.front() == '/') return std::unexpected(not_capable);
  std::vector<Place> way{start};
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    const bool more = end < path.size();
    path.remove_prefix(more ? end + 1 : end);
    if (!run.charge(entry_cost)) return std::unexpected(invalid);
    if (!is_folder_at(way.back())) return std::unexpected(not_folder);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (way.size() == 1) return std::unexpected(not_capable);
      way.pop_back();
      continue;
    }
    if (part.size() > FileTree::max_name_bytes) return std::unexpected(name_too_long);
    const auto next = enter(run, way.back(), part);
    if (!next) return std::unexpected(no_entry);
    way.push_back(*next);
    if (more && !is_folder_at(way.back())) return std::unexpected(not_folder);
  }
  return way.back();
}

struct PathArgument {
  Errno error = success;
  Descriptor* folder = nullptr;
  std::string_view path;
};

/// A folder descriptor and a path that a call names; the pointer is checked before the descriptor.
PathArgument path_argument(Run& run, const Memory& memory, std::uint32_t fd, std::uint32_t at, std::uint32_t length) {
  PathArgument result;
  if (!memory.holds(at, length)) {
    result.error = fault;
    return result;
  }
  if (length > FileTree::max_path_bytes) {
    result.error = name_too_long;
    return result;
  }
  result.path = as_text(memory.span(at, length));
  result.folder = descriptor(run, fd);
  if (result.folder == nullptr) {
    result.error = bad_descriptor;
  } else if (result.folder->kind != Kind::folder) {
    result.error = not_folder;
  }
  return result;
}

void store_filestat(const Memory& memory, std::uint32_t at, FileType type, std::uint64_t device, std::uint64_t inode,
                    std::uint64_t size) {
  memory.store<std::uint64_t>(at + std::uint64_t{0}, device);
  memory.store<std::uint64_t>(at + std::uint64_t{8}, inode);
  memory.store<std::uint64_t>(at + std::uint64_t{16}, type);
  memory.store<std::uint64_t>(at + std::uint64_t{24}, 1);
  memory.store<std::uint64_t>(at + std::uint64_t{32}, size);
  for (const std::uint64_t offset : {40U, 48U, 56U}) memory.store<std::uint64_t>(at + offset, epoch_ns);
}
constexpr std::uint64_t filestat_size = 64;

void store_place(const Memory& memory, std::uint32_t at, const Place& place) {
  const bool folder = is_folder_at(place);
  store_filestat(memory, at, folder ? type_folder : type_file, device_of(place), inode_of(place),
                 folder ? 0 : place.node->content.size());
}

// ---- arguments and environment

std::uint32_t sizes_get(Run& run, const std::vector<std::string>& list, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t count_at = u32(a[0]);
  const std::uint32_t bytes_at = u32(a[1]);
  if (!memory.holds(count_at, 4) || !memory.holds(bytes_at, 4)) return fault;
  std::uint64_t bytes = 0;
  for (const auto& text : list) bytes += text.size() + 1;
  if (list.size() > std::numeric_limits<std::uint32_t>::max() || bytes > std::numeric_limits<std::uint32_t>::max())
    return too_big;
  memory.store(count_at, static_cast<std::uint32_t>(list.size()));
  memory.store(bytes_at, static_cast<std::uint32_t>(bytes));
  return success;
}

std::uint32_t strings_get(Run& run, const std::vector<std::string>& list, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t pointers_at = u32(a[0]);
  const std::uint32_t bytes_at = u32(a[1]);
  std::uint64_t bytes = 0;
  for (const auto& text : list) bytes += text.size() + 1;
  if (!memory.holds(pointers_at, std::uint64_t{4} * list.size()) || !memory.holds(bytes_at, bytes)) return fault;
  if (!run.charge(bytes / copied_bytes_per_unit + list.size() * vector_cost)) return invalid;
  std::uint64_t at = bytes_at;
  for (std::size_t i = 0; i < list.size(); ++i) {
    memory.store(pointers_at + std::uint64_t{4} * i, static_cast<std::uint32_t>(at));
    memory.copy_in(at, as_bytes(list[i]));
    memory.store(at + list[i].size(), std::uint8_t{0});
    at += list[i].size() + 1;
  }
  return success;
}

std::uint32_t args_get(Run& run, const Raw* a) { return strings_get(run, run.job->args, a); }
std::uint32_t args_sizes_get(Run& run, const Raw* a) { return sizes_get(run, run.job->args, a); }
std::uint32_t environ_get(Run& run, const Raw* a) { return strings_get(run, run.job->env, a); }
std::uint32_t environ_sizes_get(Run& run, const Raw* a) { return sizes_get(run, run.job->env, a); }

// ---- clocks and randomness

std::uint64_t add_saturating(std::uint64_t a, std::uint64_t b) {
  return b > std::numeric_limits<std::uint64_t>::max() - a ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

/// The time of clock `id`: wall time, time since the start, or processor time (twice); nullopt for another.
std::optional<std::uint64_t> clock_now(const Run& run, std::uint32_t id) {
  switch (id) {
    case 0:
      return add_saturating(epoch_ns, run.elapsed_ns());
    case 1:
      return run.elapsed_ns();
    case 2:
    case 3:
      return run.fuel_used();
    default:
      return std::nullopt;
  }
}

std::uint32_t clock_res_get(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[1]), 8)) return fault;
  if (u32(a[0]) > 3) return invalid;
  memory.store<std::uint64_t>(u32(a[1]), 1);
  return success;
}

std::uint32_t clock_time_get(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[2]), 8)) return fault;
  const auto now = clock_now(run, u32(a[0]));
  if (!now) return invalid;
  memory.store<std::uint64_t>(u32(a[2]), *now);
  return success;
}

std::uint32_t random_get(Run& run, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t at = u32(a[0]);
  const std::uint32_t length = u32(a[1]);
  if (!memory.holds(at, length)) return fault;
  if (!run.fill_random(memory.span(at, length))) return invalid;
  return success;
}

// ---- descriptors

std::uint32_t fd_valid(Run& run, const Raw* a) {
  return descriptor(run, u32(a[0])) != nullptr ? success : bad_descriptor;
}

/// What would change a file.
std::uint32_t fd_change(Run& run, const Raw* a) {
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  return d->kind == Kind::file || d->kind == Kind::folder ? read_only : invalid;
}

std::uint32_t fd_close(Run& run, const Raw* a) {
  Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (u32(a[0]) >= 4 && run.opened > 0) --run.opened;
  *d = Descriptor{};
  return success;
}

std::uint32_t fd_fdstat_get(Run& run, const Raw* a) {
  const Memory memory(run);
  const std::uint64_t at = u32(a[1]);
  if (!memory.holds(at, 24)) return fault;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  FileType type = type_unknown;
  std::uint64_t rights = read_rights;
  std::uint64_t inheriting = 0;
  switch (d->kind) {
    case Kind::folder:
      type = type_folder;
      // With the rights to write, so that opening for writing is asked for, and is refused as read-only.
      inheriting = all_rights;
      break;
    case Kind::file:
    case Kind::input:
      type = type_file;
      break;
    case Kind::output:
    case Kind::log:
      rights = right_write | (1U << 21U) | (1U << 27U);
      break;
    case Kind::closed:
      break;
  }
  memory.store<std::uint64_t>(at, 0);
  memory.store<std::uint8_t>(at, type);
  memory.store<std::uint16_t>(at + 2, d->flags);
  memory.store<std::uint64_t>(at + 8, rights);
  memory.store<std::uint64_t>(at + 16, inheriting);
  return success;
}

std::uint32_t fd_fdstat_set_flags(Run& run, const Raw* a) {
  Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (u32(a[1]) > 0x1f) return invalid;
  d->flags = static_cast<std::uint16_t>(u32(a[1]));
  return success;
}

std::uint32_t fd_fdstat_set_rights(Run& run, const Raw* a) {
  return descriptor(run, u32(a[0])) != nullptr ? not_supported : bad_descriptor;
}

std::uint32_t fd_filestat_get(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[1]), filestat_size)) return fault;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind == Kind::folder || d->kind == Kind::file) {
    store_place(memory, u32(a[1]), d->place);
  } else if (d->kind == Kind::input) {
    store_filestat(memory, u32(a[1]), type_file, 0, 1, run.input().size());
  } else {
    store_filestat(memory, u32(a[1]), type_unknown, 0, d->kind == Kind::output ? 2 : 3, 0);
  }
  return success;
}

struct Vectors {
  Errno error = success;
  std::uint64_t bytes = 0;
};

/// Checks a list of (pointer, length) pairs, all of it before any is used, and charges for it.
Vectors check_vectors(Run& run, const Memory& memory, std::uint32_t at, std::uint32_t count) {
  Vectors result;
  if (!memory.holds(at, std::uint64_t{8} * count)) {
    result.error = fault;
    return result;
  }
  if (count > max_vectors) {
    result.error = invalid;
    return result;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto pointer = memory.load<std::uint32_t>(at + 8 * i);
    const auto length = memory.load<std::uint32_t>(at + 8 * i + 4);
    if (!memory.holds(pointer, length)) {
      result.error = fault;
      return result;
    }
    result.bytes += length;
  }
  if (!run.charge(count * vector_cost)) result.error = invalid;
  return result;
}

/// Reads from `content` at `position` into the vectors; the number of bytes read. The list is read before it can be
/// overwritten by what it points to.
std::uint64_t read_into(const Memory& memory, std::uint32_t vectors_at, std::uint32_t count, ByteView content,
                        std::uint64_t position) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> list(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    list[i] = {memory.load<std::uint32_t>(vectors_at + 8 * i), memory.load<std::uint32_t>(vectors_at + 8 * i + 4)};
  }
  std::uint64_t done = 0;
  for (const auto& [pointer, length] : list) {
    if (position + done >= content.size()) break;
    const std::uint64_t take = std::min<std::uint64_t>(length, content.size() - position - done);
    memory.copy_in(pointer, content.subspan(static_cast<std::size_t>(position + done), static_cast<std::size_t>(take)));
    done += take;
  }
  return done;
}

std::uint32_t read_at(Run& run, const Raw* a, std::optional<std::uint64_t> given, std::uint32_t count_at) {
  const Memory memory(run);
  if (!memory.holds(count_at, 4)) return fault;
  const Vectors vectors = check_vectors(run, memory, u32(a[1]), u32(a[2]));
  if (vectors.error != success) return vectors.error;
  Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind == Kind::folder) return is_folder;
  if (d->kind != Kind::file && d->kind != Kind::input) return bad_descriptor;
  const ByteView content = content_of(run, *d);
  const std::uint64_t position = given.value_or(d->position);
  const std::uint64_t expected =
      position >= content.size() ? 0 : std::min<std::uint64_t>(vectors.bytes, content.size() - position);
  if (!run.charge(expected / copied_bytes_per_unit)) return invalid;
  const std::uint64_t done = read_into(memory, u32(a[1]), u32(a[2]), content, position);
  if (!given) d->position = position + done;
  if (d->kind == Kind::input) run.io_bytes += done;
  memory.store(count_at, static_cast<std::uint32_t>(done));
  return success;
}

std::uint32_t fd_read(Run& run, const Raw* a) { return read_at(run, a, std::nullopt, u32(a[3])); }
std::uint32_t fd_pread(Run& run, const Raw* a) { return read_at(run, a, u64(a[3]), u32(a[4])); }

std::uint32_t write_at(Run& run, const Raw* a, bool positioned, std::uint32_t count_at) {
  const Memory memory(run);
  if (!memory.holds(count_at, 4)) return fault;
  const Vectors vectors = check_vectors(run, memory, u32(a[1]), u32(a[2]));
  if (vectors.error != success) return vectors.error;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind == Kind::file || d->kind == Kind::folder) return read_only;
  if (d->kind == Kind::input) return bad_descriptor;
  if (positioned) return not_seekable;
  if (vectors.bytes > std::numeric_limits<std::uint32_t>::max()) return invalid;
  if (!run.charge(vectors.bytes / copied_bytes_per_unit)) return invalid;
  for (std::uint64_t i = 0; i < u32(a[2]); ++i) {
    const auto pointer = memory.load<std::uint32_t>(u32(a[1]) + 8 * i);
    const auto length = memory.load<std::uint32_t>(u32(a[1]) + 8 * i + 4);
    const ByteView bytes = memory.span(pointer, length);
    if (d->kind == Kind::output) {
      if (!run.write_output(bytes)) return invalid;
    } else {
      run.write_log(bytes);
    }
  }
  memory.store(count_at, static_cast<std::uint32_t>(vectors.bytes));
  return success;
}

std::uint32_t fd_write(Run& run, const Raw* a) { return write_at(run, a, false, u32(a[3])); }
std::uint32_t fd_pwrite(Run& run, const Raw* a) { return write_at(run, a, true, u32(a[4])); }

std::uint32_t fd_prestat_get(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[1]), 8)) return fault;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr || !d->preopened) return bad_descriptor;
  memory.store<std::uint32_t>(u32(a[1]), 0);  // A folder.
  memory.store<std::uint32_t>(u32(a[1]) + std::uint64_t{4}, 1);
  return success;
}

std::uint32_t fd_prestat_dir_name(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[1]), u32(a[2]))) return fault;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr || !d->preopened) return bad_descriptor;
  if (u32(a[2]) < 1) return name_too_long;
  memory.store<std::uint8_t>(u32(a[1]), '/');
  return success;
}

void take_listing(Run& run, const Place& place) {
  run.listing.clear();
  run.listed = place;
  run.listing.emplace_back(".", place);
  run.listing.emplace_back("..", place);
  const auto entries = run.entries(place);
  run.listing.insert(run.listing.end(), entries.begin(), entries.end());
}

std::uint32_t fd_readdir(Run& run, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t at = u32(a[1]);
  const std::uint64_t room = u32(a[2]);
  const std::uint64_t cookie = u64(a[3]);
  if (!memory.holds(at, room) || !memory.holds(u32(a[4]), 4)) return fault;
  Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind != Kind::folder) return not_folder;
  if (run.listing.empty() || run.listed != d->place) {
    take_listing(run, d->place);
    if (!run.charge(run.listing.size() * entry_cost)) return invalid;
  }
  std::uint64_t used = 0;
  for (std::uint64_t i = cookie; i < run.listing.size() && used < room; ++i) {
    const auto& [name, place] = run.listing[static_cast<std::size_t>(i)];
    std::array<std::uint8_t, 24> head{};
    const std::uint64_t next = i + 1;
    const std::uint64_t inode = inode_of(place);
    const auto name_bytes = static_cast<std::uint32_t>(name.size());
    std::memcpy(head.data(), &next, 8);
    std::memcpy(head.data() + 8, &inode, 8);
    std::memcpy(head.data() + 16, &name_bytes, 4);
    head[20] = is_folder_at(place) ? type_folder : type_file;
    const std::uint64_t head_take = std::min<std::uint64_t>(head.size(), room - used);
    memory.copy_in(at + used, ByteView(head).first(static_cast<std::size_t>(head_take)));
    used += head_take;
    const std::uint64_t name_take = std::min<std::uint64_t>(name.size(), room - used);
    memory.copy_in(at + used, as_bytes(name).first(static_cast<std::size_t>(name_take)));
    used += name_take;
  }
  if (!run.charge(used)) return invalid;
  memory.store(u32(a[4]), static_cast<std::uint32_t>(used));
  return success;
}

std::uint32_t fd_renumber(Run& run, const Raw* a) {
  Descriptor* from = descriptor(run, u32(a[0]));
  Descriptor* to = descriptor(run, u32(a[1]));
  if (from == nullptr || to == nullptr) return bad_descriptor;
  if (from == to) return success;
  *to = *from;
  *from = Descriptor{};
  // One fewer is open; a standard descriptor that was replaced still counts as one of the first four.
  if (run.opened > 0) --run.opened;
  return success;
}

std::uint32_t fd_seek(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[3]), 8)) return fault;
  Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind == Kind::folder) return is_folder;
  if (d->kind != Kind::file && d->kind != Kind::input) return not_seekable;
  std::int64_t base = 0;
  switch (u32(a[2])) {
    case 0:
      break;
    case 1:
      base = static_cast<std::int64_t>(d->position);
      break;
    case 2:
      base = static_cast<std::int64_t>(content_of(run, *d).size());
      break;
    default:
      return invalid;
  }
  std::int64_t target = 0;
  if (__builtin_add_overflow(base, a[1].i64, &target) || target < 0) return invalid;
  d->position = static_cast<std::uint64_t>(target);
  memory.store<std::uint64_t>(u32(a[3]), d->position);
  return success;
}

std::uint32_t fd_tell(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[1]), 8)) return fault;
  const Descriptor* d = descriptor(run, u32(a[0]));
  if (d == nullptr) return bad_descriptor;
  if (d->kind == Kind::folder) return is_folder;
  if (d->kind != Kind::file && d->kind != Kind::input) return not_seekable;
  memory.store<std::uint64_t>(u32(a[1]), d->position);
  return success;
}

// ---- paths

/// What would change the folder that a path is in.
std::uint32_t path_change(Run& run, std::uint32_t fd, std::uint32_t at, std::uint32_t length) {
  const PathArgument argument = path_argument(run, Memory(run), fd, at, length);
  return argument.error != success ? argument.error : read_only;
}

std::uint32_t path_create_directory(Run& run, const Raw* a) {
  const PathArgument argument = path_argument(run, Memory(run), u32(a[0]), u32(a[1]), u32(a[2]));
  if (argument.error != success) return argument.error;
  // Programs that make a folder "unless it is there" go by this.
  return resolve(run, argument.folder->place, argument.path) ? exists : read_only;
}

std::uint32_t path_remove(Run& run, const Raw* a) { return path_change(run, u32(a[0]), u32(a[1]), u32(a[2])); }

std::uint32_t path_filestat_get(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[4]), filestat_size)) return fault;
  const PathArgument argument = path_argument(run, memory, u32(a[0]), u32(a[2]), u32(a[3]));
  if (argument.error != success) return argument.error;
  const auto place = resolve(run, argument.folder->place, argument.path);
  if (!place) return place.error();
  store_place(memory, u32(a[4]), *place);
  return success;
}

std::uint32_t path_filestat_set_times(Run& run, const Raw* a) {
  return path_change(run, u32(a[0]), u32(a[2]), u32(a[3]));
}

std::uint32_t path_link(Run& run, const Raw* a) {
  const std::uint32_t from = path_change(run, u32(a[0]), u32(a[2]), u32(a[3]));
  return from != read_only ? from : path_change(run, u32(a[4]), u32(a[5]), u32(a[6]));
}

std::uint32_t path_rename(Run& run, const Raw* a) {
  const std::uint32_t from = path_change(run, u32(a[0]), u32(a[1]), u32(a[2]));
  return from != read_only ? from : path_change(run, u32(a[3]), u32(a[4]), u32(a[5]));
}

std::uint32_t path_symlink(Run& run, const Raw* a) {
  if (!Memory(run).holds(u32(a[0]), u32(a[1]))) return fault;
  return path_change(run, u32(a[2]), u32(a[3]), u32(a[4]));
}

std::uint32_t path_readlink(Run& run, const Raw* a) {
  const Memory memory(run);
  if (!memory.holds(u32(a[3]), u32(a[4])) || !memory.holds(u32(a[5]), 4)) return fault;
  const PathArgument argument = path_argument(run, memory, u32(a[0]), u32(a[1]), u32(a[2]));
  if (argument.error != success) return argument.error;
  const auto place = resolve(run, argument.folder->place, argument.path);
  return place ? invalid : place.error();  // There are no links.
}

std::uint32_t path_open(Run& run, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t result_at = u32(a[8]);
  const std::uint32_t open_flags = u32(a[4]);
  if (!memory.holds(result_at, 4)) return fault;
  const PathArgument argument = path_argument(run, memory, u32(a[0]), u32(a[2]), u32(a[3]));
  if (argument.error != success) return argument.error;
  const bool create = (open_flags & 1U) != 0;
  const bool folder_only = (open_flags & 2U) != 0;
  const bool exclusive = (open_flags & 4U) != 0;
  const bool truncate = (open_flags & 8U) != 0;
  if (open_flags > 15 || u32(a[7]) > 0x1f) return invalid;
  const auto place = resolve(run, argument.folder->place, argument.path);
  if (!place) return create && place.error() == no_entry ? read_only : place.error();
  if (create && exclusive) return exists;
  const bool folder = is_folder_at(*place);
  if (folder_only && !folder) return not_folder;
  if (truncate) return folder ? is_folder : read_only;
  if (!folder && (u64(a[5]) & right_write) != 0) return read_only;
  if (run.opened >= run.job->limits.open_files) return too_many_open;
  auto& all = descriptors(run);
  std::size_t fd = 4;
  while (fd < all.size() && all[fd].kind != Kind::closed) ++fd;
  if (fd == all.size()) all.emplace_back();
  if (!run.charge(fd)) return invalid;  // The search above.
  all[fd].kind = folder ? Kind::folder : Kind::file;
  all[fd].place = *place;
  all[fd].flags = static_cast<std::uint16_t>(u32(a[7]));
  ++run.opened;
  memory.store(result_at, static_cast<std::uint32_t>(fd));
  return success;
}

// ---- waiting

std::uint32_t poll_oneoff(Run& run, const Raw* a) {
  const Memory memory(run);
  const std::uint32_t count = u32(a[2]);
  if (!memory.holds(u32(a[0]), std::uint64_t{48} * count) || !memory.holds(u32(a[1]), std::uint64_t{32} * count) ||
      !memory.holds(u32(a[3]), 4)) {
    return fault;
  }
  if (count == 0 || count > max_subscriptions) return invalid;
  if (!run.charge(count * vector_cost)) return invalid;
  struct Subscription {
    std::uint64_t user;
    std::uint8_t tag;
    std::uint16_t error = success;
    bool ready = false;
    std::uint64_t wait_ns = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Subscription> list;
  bool any_ready = false;
  std::uint64_t shortest = std::numeric_limits<std::uint64_t>::max();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = u32(a[0]) + 48 * i;
    Subscription& s = list.emplace_back();
    s.user = memory.load<std::uint64_t>(at);
    s.tag = memory.load<std::uint8_t>(at + 8);
    const auto subject = memory.load<std::uint32_t>(at + 16);
    if (s.tag == 0) {
      const auto timeout = memory.load<std::uint64_t>(at + 24);
      const bool absolute = (memory.load<std::uint16_t>(at + 40) & 1U) != 0;
      const auto now = subject <= 1 ? clock_now(run, subject) : std::nullopt;
      if (!now) {
        s.error = invalid;
        s.ready = true;
      } else {
        s.wait_ns = !absolute ? timeout : timeout > *now ? timeout - *now : 0;
        shortest = std::min(shortest, s.wait_ns);
      }
    } else if (s.tag <= 2) {
      const Descriptor* d = descriptor(run, subject);
      s.ready = true;  // A file, the input and the outputs never wait.
      const bool reads = s.tag == 1;
      if (d == nullptr || d->kind == Kind::folder || (reads && d->kind != Kind::file && d->kind != Kind::input) ||
          (!reads && d->kind != Kind::output && d->kind != Kind::log)) {
        s.error = bad_descriptor;
      } else if (reads) {
        const ByteView content = content_of(run, *d);
        s.bytes = content.size() - std::min<std::uint64_t>(content.size(), d->position);
      }
    } else {
      return invalid;
    }
    any_ready = any_ready || s.ready;
  }
  // Nothing else can happen meanwhile, so waiting is moving the clock.
  const std::uint64_t waited = any_ready ? 0 : shortest;
  run.sleep(waited);
  std::uint32_t events = 0;
  for (const Subscription& s : list) {
    if (s.tag == 0 && s.error == success && s.wait_ns > waited) continue;
    const std::uint64_t at = u32(a[1]) + std::uint64_t{32} * events++;
    memory.store<std::uint64_t>(at, s.user);
    memory.store<std::uint64_t>(at + 8, 0);
    memory.store<std::uint16_t>(at + 8, s.error);
    memory.store<std::uint8_t>(at + 10, s.tag);
    memory.store<std::uint64_t>(at + 16, s.bytes);
    memory.store<std::uint64_t>(at + 24, 0);
  }
  memory.store(u32(a[3]), events);
  return success;
}

std::uint32_t proc_exit(Run& run, const Raw* a) {
  run.end = HostEnd::exited;
  run.exit_code = u32(a[0]);
  return success;
}

std::uint32_t nothing(Run& /*run*/, const Raw* /*a*/) { return success; }
std::uint32_t refuse(Run& /*run*/, const Raw* /*a*/) { return not_supported; }

constexpr std::array<WasiFunction, 46> functions{{
    {"args_get", "ii", true, args_get},
    {"args_sizes_get", "ii", true, args_sizes_get},
    {"environ_get", "ii", true, environ_get},
    {"environ_sizes_get", "ii", true, environ_sizes_get},
    {"clock_res_get", "ii", true, clock_res_get},
    {"clock_time_get", "iIi", true, clock_time_get},
    {"fd_advise", "iIIi", true, fd_valid},
    {"fd_allocate", "iII", true, fd_change},
    {"fd_close", "i", true, fd_close},
    {"fd_datasync", "i", true, fd_valid},
    {"fd_fdstat_get", "ii", true, fd_fdstat_get},
    {"fd_fdstat_set_flags", "ii", true, fd_fdstat_set_flags},
    {"fd_fdstat_set_rights", "iII", true, fd_fdstat_set_rights},
    {"fd_filestat_get", "ii", true, fd_filestat_get},
    {"fd_filestat_set_size", "iI", true, fd_change},
    {"fd_filestat_set_times", "iIIi", true, fd_change},
    {"fd_pread", "iiiIi", true, fd_pread},
    {"fd_prestat_get", "ii", true, fd_prestat_get},
    {"fd_prestat_dir_name", "iii", true, fd_prestat_dir_name},
    {"fd_pwrite", "iiiIi", true, fd_pwrite},
    {"fd_read", "iiii", true, fd_read},
    {"fd_readdir", "iiiIi", true, fd_readdir},
    {"fd_renumber", "ii", true, fd_renumber},
    {"fd_seek", "iIii", true, fd_seek},
    {"fd_sync", "i", true, fd_valid},
    {"fd_tell", "ii", true, fd_tell},
    {"fd_write", "iiii", true, fd_write},
    {"path_create_directory", "iii", true, path_create_directory},
    {"path_filestat_get", "iiiii", true, path_filestat_get},
    {"path_filestat_set_times", "iiiiIIi", true, path_filestat_set_times},
    {"path_link", "iiiiiii", true, path_link},
    {"path_open", "iiiiiIIii", true, path_open},
    {"path_readlink", "iiiiii", true, path_readlink},
    {"path_remove_directory", "iii", true, path_remove},
    {"path_rename", "iiiiii", true, path_rename},
    {"path_symlink", "iiiii", true, path_symlink},
    {"path_unlink_file", "iii", true, path_remove},
    {"poll_oneoff", "iiii", true, poll_oneoff},
    {"proc_exit", "i", false, proc_exit},
    {"proc_raise", "i", true, refuse},
    {"random_get", "ii", true, random_get},
    {"sched_yield", "", true, nothing},
    {"sock_accept", "iii", true, refuse},
    {"sock_recv", "iiiiii", true, refuse},
    {"sock_send", "iiiii", true, refuse},
    {"sock_shutdown", "ii", true, refuse},
}};

/// What ends the run; what it means is in run.end, the text is never shown.
wasm_trap_t* end_of_run(const Run& run) {
  if (run.end == HostEnd::out_of_fuel) return wasmtime_trap_new_code(WASMTIME_TRAP_CODE_OUT_OF_FUEL);
  constexpr std::string_view text = "the host ended the run";
  return wasmtime_trap_new(text.data(), text.size());
}

wasm_trap_t* on_call(void* env, wasmtime_caller_t* caller, Raw* values, std::size_t /*count*/) {
  const auto& function = *static_cast<const WasiFunction*>(env);
  auto& run = *static_cast<Run*>(wasmtime_context_get_data(wasmtime_caller_context(caller)));
  if (!run.charge(call_cost)) return end_of_run(run);
  const std::uint32_t result = function.call(run, values);
  if (run.end != HostEnd::none) return end_of_run(run);
  if (function.returns_errno) values[0].i32 = static_cast<std::int32_t>(result);
  return nullptr;
}

/// env holds 1 for a function that answers an i32, else 0.
wasm_trap_t* on_refused_call(void* env, wasmtime_caller_t* caller, Raw* values, std::size_t /*count*/) {
  auto& run = *static_cast<Run*>(wasmtime_context_get_data(wasmtime_caller_context(caller)));
  if (!run.charge(call_cost)) return end_of_run(run);
  if (env != nullptr) values[0].i32 = not_supported;
  return nullptr;
}

}  // namespace

std::uint64_t Run::fuel_left() const {
  std::uint64_t left = 0;
  if (wasmtime_error_t* error = wasmtime_context_get_fuel(context, &left)) wasmtime_error_delete(error);  // Fuel is on.
  return left;
}

bool Run::charge(std::uint64_t units) {
  const std::uint64_t left = fuel_left();
  const bool enough = units <= left;
  if (wasmtime_error_t* error = wasmtime_context_set_fuel(context, enough ? left - units : 0))
    wasmtime_error_delete(error);
  if (!enough) end = HostEnd::out_of_fuel;
  return enough;
}

void Run::write_log(ByteView bytes) {
  const std::uint64_t room = job->limits.log_bytes - std::min<std::uint64_t>(job->limits.log_bytes, log.size());
  if (bytes.size() > room) {
    log_cut = true;
    bytes = bytes.first(static_cast<std::size_t>(room));
  }
  if (bytes.empty()) return;
  append(log, bytes);
  io_bytes += bytes.size();
  if (on_log != nullptr && *on_log) (*on_log)(bytes);
}

bool Run::write_output(ByteView bytes) {
  if (bytes.size() > job->limits.output_bytes - std::min<std::uint64_t>(job->limits.output_bytes, output.size())) {
    end = HostEnd::output_too_large;
    return false;
  }
  append(output, bytes);
  io_bytes += bytes.size();
  return true;
}

std::uint64_t Run::elapsed_ns() const { return add_saturating(fuel_used(), slept_ns); }

void Run::sleep(std::uint64_t ns) { slept_ns = add_saturating(slept_ns, ns); }

bool Run::fill_random(std::span<std::uint8_t> to) {
  if (!charge(to.size() * random_byte_cost)) return false;
  while (!to.empty()) {
    if (random_left == 0) {
      random_bytes = tagged_hash("meshwork/guest-random/1", {job->entropy_key.view(), big_endian(random_block++)});
      random_left = Digest::size;
    }
    const std::size_t take = std::min(random_left, to.size());
    std::memcpy(to.data(), random_bytes.view().last(random_left).data(), take);
    random_left -= take;
    to = to.subspan(take);
  }
  return true;
}

std::expected<Place, std::uint32_t> Run::find(const Place& folder, std::string_view path) {
  const auto place = resolve(*this, folder, path);
  if (!place) return std::unexpected(static_cast<std::uint32_t>(place.error()));
  return *place;
}

std::vector<std::pair<std::string_view, Place>> Run::entries(const Place& folder) const {
  std::vector<std::pair<std::string_view, Place>> result;
  if (!is_top(folder)) {
    for (const auto& [name, node] : folder.node->children) result.emplace_back(name, Place{node, folder.in_program});
    return result;
  }
  std::map<std::string_view, Place> merged;
  if (job->program) merged.emplace("program", Place{&job->program->root(), true});
  if (job->root) {
    for (const auto& [name, node] : job->root->root().children) merged.emplace(name, Place{node, false});
  }
  if (job->program) {
    for (const auto& [name, node] : job->program->root().children) merged.emplace(name, Place{node, true});
  }
  result.assign(merged.begin(), merged.end());
  return result;
}

bool is_folder_at(const Place& place) { return is_top(place) || place.node->is_folder; }
std::uint64_t device_of(const Place& place) { return is_top(place) ? 1 : place.in_program ? 3 : 2; }
std::uint64_t inode_of(const Place& place) { return is_top(place) ? 1 : place.node->inode; }

std::span<const WasiFunction> wasi_functions() { return functions; }

wasmtime_error_t* define_wasi(wasmtime_linker_t* linker) {
  constexpr std::string_view space = "wasi_snapshot_preview1";
  for (const WasiFunction& function : functions) {
    wasm_valtype_vec_t parameters;
    wasm_valtype_vec_t results;
    wasm_valtype_vec_new_uninitialized(&parameters, function.parameters.size());
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
      parameters.data[i] = wasm_valtype_new(function.parameters[i] == 'I' ? WASM_I64 : WASM_I32);
    }
    wasm_valtype_vec_new_uninitialized(&results, function.returns_errno ? 1 : 0);
    if (function.returns_errno) results.data[0] = wasm_valtype_new(WASM_I32);
    wasm_functype_t* type = wasm_functype_new(&parameters, &results);
    // The table is constant; the C interface has no const for what it only hands back.
    void* env = const_cast<WasiFunction*>(&function);
    wasmtime_error_t* error = wasmtime_linker_define_func_unchecked(
        linker, space.data(), space.size(), function.name.data(), function.name.size(), type, on_call, env, nullptr);
    wasm_functype_delete(type);
    if (error != nullptr) return error;
  }
  return nullptr;
}

wasmtime_error_t* define_refusal(wasmtime_linker_t* linker, std::string_view module, std::string_view name,
                                 const wasm_functype_t* type) {
  static char answers = 1;
  const bool has_result = wasm_functype_results(type)->size == 1;
  return wasmtime_linker_define_func_unchecked(linker, module.data(), module.size(), name.data(), name.size(), type,
                                               on_refused_call, has_result ? &answers : nullptr, nullptr);
}

}  // namespace mesh::wasm
