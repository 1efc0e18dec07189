#include "codec/car.h"
#include "fuzz.h"

namespace {

using mesh::Bytes;
using mesh::ByteView;

bool same(const mesh::Result<mesh::car::Archive>& left, const mesh::Result<mesh::car::Archive>& right) {
  if (!left || !right) return left.has_value() == right.has_value();
  return left->roots == right->roots &&
         std::ranges::equal(left->blocks, right->blocks,
                            [](const auto& a, const auto& b) { return a.cid == b.cid && a.bytes == b.bytes; });
}

/// The archive by two feeds.
mesh::Result<mesh::car::Archive> read_cut(ByteView input, std::size_t at) {
  mesh::car::Reader reader;
  MESH_TRY(reader.feed(input.first(at)));
  MESH_TRY(reader.feed(input.subspan(at)));
  if (!reader.at_boundary()) return mesh::fail(mesh::ErrorCode::invalid, "cut");
  mesh::car::Archive archive{.roots = reader.roots(), .blocks = {}};
  while (auto block = reader.next()) archive.blocks.push_back(std::move(*block));
  return archive;
}

void check_bytes(ByteView bytes, std::size_t at) {
  const auto archive = mesh::car::read(bytes);
  MESH_CHECK(same(archive, read_cut(bytes, at)), "fuzz-car-cut");
  if (archive) MESH_CHECK(same(mesh::car::read(mesh::car::write(*archive)), archive), "fuzz-car-identity");
}

}  // namespace

void mesh::fuzz::check(ByteView input) {
  const std::size_t at = input.empty() ? 0 : input[0] % (input.size() + 1);
  check_bytes(input, at);
  if (input.size() < 4) return;
  // Hashes cannot be guessed by mutation, so a good archive is made of the input, with one byte of it changed.
  const ByteView content = input.subspan(4);
  const ByteView first = content.first(std::min<std::size_t>(input[1], content.size()));
  car::Archive archive{.roots = {Cid::of(Multicodec::raw, first)}, .blocks = {}};
  archive.blocks.push_back({archive.roots[0], to_bytes(first)});
  archive.blocks.push_back({Cid::of(Multicodec::dag_pb, content), to_bytes(content)});
  Bytes bytes = car::write(archive);
  MESH_CHECK(same(car::read(bytes), archive), "fuzz-car-written");
  bytes[(std::size_t{input[2]} << 2) % bytes.size()] ^= input[3];
  check_bytes(bytes, at);
}
