// Folders of any size, as UnixFS of the profile unixfs-v1-2025 has them (https://specs.ipfs.tech/unixfs/,
// https://specs.ipfs.tech/ipips/ipip-0499/): one block while that is at most 256 KiB, else a tree of shards (HAMT), in
// which each level takes eight further bits of murmur3-x64-64 of the name and a slot with one name holds its entry. So the
// same entries have the same CID here and in Kubo, in whatever order they come.
//
// Bounds: 1,000,000 entries; 64 bits of hash, so at most 8 levels of 256 slots (21 of the narrowest that are read); a
// shard at least below the root holds something, so that what is visited is bounded by the entries. What comes from peers
// is checked: every name lies where its hash says, so that none is there twice.
// What can go wrong: a block is missing (the source's error), a shard that contradicts itself or its place (invalid), two
// names of one hash, which no sharded folder can hold (invalid).
#pragma once

#include "domain/asset/unixfs.h"

namespace mesh::asset {

inline constexpr std::size_t max_folder_entries = 1'000'000;
inline constexpr std::uint32_t shard_fanout = 256;  ///< when building

/// Builds a folder, plain or sharded, and gives all its blocks to `sink`, the root last. Errors: invalid (a bad or repeated
/// name, two names of one hash, sizes past 2^63), exhausted (too many entries); the sink's.
[[nodiscard]] Result<Built> build_folder(std::vector<FolderEntry> entries, const BlockSink& sink);

/// Gives the node of a block: normally parse_node of what a store has. Its errors are handed on.
using NodeSource = std::function<Result<Node>(const Cid&)>;
/// Takes an entry: its name, root and "Tsize". Its error ends the visit and is handed on.
using EntryVisitor = std::function<Status(const NodeLink&)>;

/// Visits every entry of `folder` once: of a plain one by name, of a sharded one by the names' hashes. Errors: invalid (no
/// folder, or a malformed one), exhausted (more than `max_entries`); the source's and the visitor's.
[[nodiscard]] Status visit_folder(const Node& folder, const NodeSource& source, const EntryVisitor& visit,
                                  std::size_t max_entries = max_folder_entries);

/// The entry `name`; reads only the shards on its way. Errors as visit_folder, and not_found.
[[nodiscard]] Result<NodeLink> find_entry(const Node& folder, const NodeSource& source, std::string_view name);

}  // namespace mesh::asset
