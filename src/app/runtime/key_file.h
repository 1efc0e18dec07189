// The node's key on the disk, and those before and after it.
//
// A home whose account's key is rotated has more than one: `node.key.next` is a key that was drawn to be the next one, and is there before
// the ledger is told of it; `node.key.1`, `node.key.2`, ... are those that were given up, in their order. Which of them counts is for the
// ledger to say: so a crash at any moment leaves all that is needed to go on.
//
// Bounds: 64 former keys. What can go wrong: a key file does not read, or others can read it; the disk does not take one.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/ed25519.h"

namespace mesh::app {

/// A node's key as it was found.
struct NodeKey {
  Seed seed;
  bool was_brought = false;  ///< not drawn by a node with this home: it may be in use, or have been, elsewhere
};
/// The node's key from `file`: 64 hexadecimal digits in a regular file of this user that others cannot read; drawn from the
/// kernel and written (0600, synced) if the file is absent; `home` remembers that it was drawn here. Errors: denied (mode or
/// owner; says the chmod), invalid, storage.
[[nodiscard]] Result<NodeKey> load_or_create_key(const std::filesystem::path& file, const std::filesystem::path& home);

/// Where a home has the key, unless the settings name another file.
inline constexpr std::string_view key_file_name = "node.key";
/// The key of a node with this home, which is made where there is none yet. Errors: storage, and load_or_create_key's.
[[nodiscard]] Result<NodeKey> own_key(const std::filesystem::path& home, const std::filesystem::path& file);

inline constexpr std::size_t max_former_keys = 64;

/// What a home has beside the node's key.
struct OtherKeys {
  std::optional<Seed> next;  ///< that was drawn to be the next one
  std::vector<Seed> former;  ///< the latest first
};
/// Errors: as of load_or_create_key.
[[nodiscard]] Result<OtherKeys> load_other_keys(const std::filesystem::path& home);
/// The key that is to be the next one, which is drawn and durable where there is none yet. Errors: denied (`file`, which has the present
/// one, could not be replaced), exhausted (too many former keys), and load_or_create_key's.
[[nodiscard]] Result<Seed> next_key(const std::filesystem::path& home, const std::filesystem::path& file);
/// The next key is none: another is drawn when one is wanted.
[[nodiscard]] Status drop_next_key(const std::filesystem::path& home);
/// The next key is the node's from now on: it stands in `file`, and `old` among the former ones. What a crash left of this is completed.
[[nodiscard]] Status adopt_next_key(const std::filesystem::path& home, const std::filesystem::path& file,
                                    const Seed& old, const Seed& next);

}  // namespace mesh::app
