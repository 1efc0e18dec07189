#include "domain/asset/bitswap_message.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  const auto message = asset::decode_bitswap(input);
  if (message) {
    MESH_CHECK(message->wants.size() <= asset::max_bitswap_entries, "fuzz-bitswap-wants");
    MESH_CHECK(message->presences.size() <= asset::max_bitswap_entries, "fuzz-bitswap-presences");
    // What was read can be said, and is read as the same.
    const auto again = asset::decode_bitswap(asset::encode_bitswap(*message));
    MESH_CHECK(again && *again == *message, "fuzz-bitswap-identity");
    for (const auto& block : message->blocks) {
      const auto cid = asset::cid_of_block(block);
      MESH_CHECK(!cid || cid->matches(block.data), "fuzz-bitswap-block");
    }
  }
  if (const auto cid = asset::cid_of_want(input)) {
    const Bytes prefix = asset::prefix_of_want(input);
    MESH_CHECK(prefix.size() == 4, "fuzz-bitswap-prefix");
  }
}
