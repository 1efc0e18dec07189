// What the calls of WASI 0.2 mean: the same clock, entropy, files and limits as preview 1, by the same functions.
#include "adapters/wasm/wasi.h"

namespace mesh::wasm {
namespace {

Run& run_of(void* run) { return *static_cast<Run*>(run); }
mesh_slice slice(ByteView bytes) { return {bytes.data(), bytes.size()}; }
Place place_of(const mesh_place* place) { return {static_cast<const FileTree::Node*>(place->node), place->in_program}; }
mesh_place given(const Place& place) { return {place.node, place.in_program}; }

/// The part of `content` that a read gets, charged for.
bool read(Run& run, ByteView content, std::uint64_t position, std::uint64_t size, mesh_slice* out) {
  const std::size_t at = position < content.size() ? static_cast<std::size_t>(position) : content.size();
  const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(size, content.size() - at));
  if (!run.charge(take / copied_bytes_per_unit)) return false;
  *out = slice(content.subspan(at, take));
  return true;
}

bool charge(void* run, std::uint64_t units) { return run_of(run).end == HostEnd::none && run_of(run).charge(units); }
std::uint64_t now(void* run) { return run_of(run).elapsed_ns(); }
void sleep(void* run, std::uint64_t ns) { run_of(run).sleep(ns); }
bool random(void* run, std::uint8_t* at, std::size_t size) { return run_of(run).fill_random({at, size}); }

bool read_input(void* run, std::uint64_t position, std::uint64_t size, mesh_slice* out) {
  if (!read(run_of(run), run_of(run).input(), position, size, out)) return false;
  run_of(run).io_bytes += out->size;
  return true;
}

bool write(void* run, bool to_log, mesh_slice bytes) {
  if (!run_of(run).charge(bytes.size / copied_bytes_per_unit)) return false;
  const ByteView view(bytes.data, bytes.size);
  if (!to_log) return run_of(run).write_output(view);
  run_of(run).write_log(view);
  return true;
}

void exit(void* run, std::uint32_t code) {
  run_of(run).end = HostEnd::exited;
  run_of(run).exit_code = code;
}

std::uint32_t open(void* run, const mesh_place* folder, mesh_slice path, mesh_place* out) {
  const auto place = run_of(run).find(place_of(folder), as_text(ByteView(path.data, path.size)));
  if (!place) return place.error();
  *out = given(*place);
  return 0;
}

void stat(void* /*run*/, const mesh_place* at, mesh_stat* out) {
  const Place place = place_of(at);
  out->is_folder = is_folder_at(place);
  out->size = out->is_folder ? 0 : place.node->content.size();
  out->device = device_of(place);
  out->inode = inode_of(place);
}

bool read_file(void* run, const mesh_place* place, std::uint64_t position, std::uint64_t size, mesh_slice* out) {
  return read(run_of(run), place_of(place).node->content, position, size, out);
}

bool list(void* run, const mesh_place* folder, void* to, void (*entry)(void*, mesh_slice, const mesh_place*)) {
  for (const auto& [name, place] : run_of(run).entries(place_of(folder))) {
    const mesh_place at = given(place);
    entry(to, slice(as_bytes(name)), &at);
  }
  return true;
}

const std::vector<std::string>& texts(void* run, bool environment) {
  return environment ? run_of(run).job->env : run_of(run).job->args;
}
std::size_t text_count(void* run, bool environment) { return texts(run, environment).size(); }
mesh_slice text(void* run, bool environment, std::size_t index) {
  return slice(as_bytes(texts(run, environment)[index]));
}

constexpr mesh_wasi_host host{charge, now,  sleep,     random, read_input, write, exit,
                              open,   stat, read_file, list,   text_count, text};

}  // namespace

const mesh_wasi_host& component_host() { return host; }

}  // namespace mesh::wasm
