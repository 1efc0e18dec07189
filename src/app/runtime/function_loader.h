// From the CID of a function to what the sandbox needs to run it. Reads the store; blocks the caller.
//
// Two kinds of failure, kept apart: Refusal is the function's own fault, a deterministic sentence that is signed; an Error
// is this host's (a block is missing or damaged).
// Bounds: trees of max_tree_bytes each; the cache holds the most recently used ones.
#pragma once

#include <list>
#include <memory>
#include <variant>

#include "adapters/store/block_store.h"
#include "adapters/wasm/sandbox.h"

namespace mesh::app {

struct Refusal {
  std::string detail;
};

/// What has to be here before a function can run: its module and trees, each a link of the function's node.
struct FunctionParts {
  Cid module;
  std::optional<task::FunctionNode> node;  ///< absent: the function is a module itself
  std::vector<Cid> linked;  ///< module, root, program, where the function is a node
};

class FunctionLoader {
 public:
  FunctionLoader(store::BlockStore& blocks, std::uint64_t max_tree_bytes, std::uint64_t max_cached_bytes)
      : blocks_(blocks), max_tree_bytes_(max_tree_bytes), max_cached_bytes_(max_cached_bytes) {}

  /// The function's own block has to be here.
  [[nodiscard]] Result<std::variant<FunctionParts, Refusal>> parts(const Cid& function);
  /// Module, abi, arguments, environment and trees of the job; everything has to be here. `input` is given a place in
  /// the root where the environment asks for it. Id, limits, input and entropy are the caller's to fill in.
  [[nodiscard]] Result<std::variant<wasm::Job, Refusal>> load(const FunctionParts& parts,
                                                              const std::shared_ptr<const Bytes>& input);

 private:
  struct Tree {
    Cid cid;
    bool archive = false;  ///< read as a root: one file is a tar
    std::shared_ptr<const wasm::FileTree> tree;
    std::uint64_t bytes = 0;
  };
  /// Where a file is added on top of a tree that others share, the tree is built anew for the run.
  struct Extra {
    std::string path;
    std::shared_ptr<const Bytes> content;
  };
  Result<std::variant<std::shared_ptr<const wasm::FileTree>, Refusal>> tree(const Cid& cid, bool archive,
                                                                            const Extra* extra);
  Result<std::variant<Tree, Refusal>> build(const Cid& cid, bool archive, const Extra* extra);

  store::BlockStore& blocks_;
  std::uint64_t max_tree_bytes_, max_cached_bytes_;
  std::list<Tree> recent_;  // Most recently used first.
  std::uint64_t cached_bytes_ = 0;
};

}  // namespace mesh::app
