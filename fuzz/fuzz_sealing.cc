#include "adapters/sealing/sealing.h"

#include "fuzz.h"

namespace {

using mesh::Bytes;
using mesh::ByteView;
using mesh::Seed;
using mesh::Status;
using mesh::sealing::Opener;
using mesh::sealing::Sealer;

const Seed& key() {
  static const Seed seed(std::array<std::uint8_t, Seed::size>{1, 2, 3});
  return seed;
}

/// What came out, and how it ended.
struct Opened {
  Bytes content;
  Status status;
};
Opened open_in_pieces(ByteView sealed, std::size_t piece) {
  Opened opened;
  Opener opener(key(), [&](ByteView part) -> Status {
    mesh::append(opened.content, part);
    return {};
  });
  while (opened.status && !sealed.empty()) {
    const std::size_t count = std::min(piece, sealed.size());
    opened.status = opener.feed(sealed.first(count));
    sealed = sealed.subspan(count);
  }
  const Status end = opener.finish();
  MESH_CHECK(opened.status || end == opened.status, "fuzz-sealing-stays-refused");
  opened.status = end;
  return opened;
}

Bytes seal_for_self(ByteView content) {
  Bytes sealed;
  const mesh::identity::NodeId self = mesh::public_key_of(key());
  auto sealer = Sealer::start(std::span(&self, 1), [&](ByteView part) -> Status {
    mesh::append(sealed, part);
    return {};
  });
  MESH_CHECK(sealer && sealer->feed(content) && sealer->finish(), "fuzz-sealing-seals");
  return sealed;
}

}  // namespace

/// The first byte says how: the rest is opened as it is, or sealed, altered at one place and opened.
void mesh::fuzz::check(ByteView input) {
  if (input.size() < 4) return;
  const std::size_t piece = 1 + input[1];
  if ((input[0] & 1U) == 0) {
    // Nobody can make what opens without the key that was drawn.
    const ByteView sealed = input.subspan(2);
    const Opened whole = open_in_pieces(sealed, sealed.size());
    MESH_CHECK(!whole.status && whole.content.empty(), "fuzz-sealing-forged");
    const Opened pieces = open_in_pieces(sealed, piece);
    MESH_CHECK(pieces.status == whole.status, "fuzz-sealing-pieces");
    return;
  }
  const ByteView content = input.subspan(4);
  Bytes sealed = seal_for_self(content);
  const Opened good = open_in_pieces(sealed, piece);
  MESH_CHECK(good.status && equal(good.content, content), "fuzz-sealing-opens");
  const std::size_t at = (std::size_t{input[2]} << 8U | input[3]) % sealed.size();
  sealed[at] ^= static_cast<std::uint8_t>(1 + input[0] / 2);
  const Opened bad = open_in_pieces(sealed, piece);
  MESH_CHECK(!bad.status && bad.content.empty(), "fuzz-sealing-altered");
}
