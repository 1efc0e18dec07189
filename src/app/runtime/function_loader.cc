#include "app/runtime/function_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/runtime/import.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace {

/// Missing and damaged blocks are this host's trouble; the rest is what the content is, on every host.
bool is_ours(const Error& error) { return error.code == ErrorCode::not_found || error.code == ErrorCode::storage; }

constexpr std::uint64_t max_module_bytes = std::uint64_t{256} << 20;  // Far above what the sandbox takes.

Refusal refusal(std::string_view what, const Error& error) { return {fmt::format("{}: {}", what, error.message)}; }

}  // namespace

Result<std::variant<FunctionParts, Refusal>> FunctionLoader::parts(const Cid& function) {
  using Answer = std::variant<FunctionParts, Refusal>;
  if (function.codec() != Multicodec::dag_cbor)
    return Answer(FunctionParts{.module = function, .node = {}, .linked = {}});
  MESH_LET(const store::BlockBytes block, blocks_.get(function));
  Result<task::FunctionNode> node = record::decode<task::FunctionNode>(*block);
  if (!node) return Answer(refusal("the function node does not read", node.error()));
  if (const Status valid = task::validate(*node); !valid)
    return Answer(refusal("the function node is not valid", valid.error()));
  if (node->runtime.codec() == Multicodec::dag_cbor)
    return Answer(Refusal{"the function's runtime is no module: it is a record"});
  FunctionParts parts{.module = node->runtime, .node = std::move(*node), .linked = {}};
  parts.linked.push_back(parts.module);
  if (parts.node->root) parts.linked.push_back(*parts.node->root);
  if (parts.node->program) parts.linked.push_back(*parts.node->program);
  return Answer(std::move(parts));
}

Result<std::variant<FunctionLoader::Tree, Refusal>> FunctionLoader::build(const Cid& cid, bool archive,
                                                                          const Extra* extra) {
  using Answer = std::variant<Tree, Refusal>;
  const std::string_view what = archive ? "the function's root" : "the function's program";
  if (cid.codec() == Multicodec::dag_cbor) return Answer(Refusal{fmt::format("{} is a record, not files", what)});
  auto tree = std::make_shared<wasm::FileTree>();
  std::uint64_t bytes = 0;
  Result<std::map<std::string, Cid>> files = blocks_.collect_tree(cid, store::From::open, wasm::FileTree::max_entries);
  if (!files) {
    if (is_ours(files.error())) return std::unexpected(std::move(files.error()));
    return Answer(refusal(what, files.error()));
  }
  for (const auto& [path, file] : *files) {
    Result<Bytes> content = blocks_.read_dag_file(file, max_tree_bytes_ - bytes);
    if (!content) {
      if (is_ours(content.error())) return std::unexpected(std::move(content.error()));
      return Answer(refusal(what, content.error()));
    }
    bytes += content->size();
    auto shared = std::make_shared<const Bytes>(std::move(*content));
    // A root that is one file is an archive; a program that is one file is called "main".
    const Status added = !path.empty() ? tree->add_file(path, std::move(shared))
                         : archive     ? tree->add_tar(shared)
                                       : tree->add_file("main", std::move(shared));
    if (!added) return Answer(refusal(what, added.error()));
  }
  if (extra != nullptr) {
    if (const Status added = tree->add_file(extra->path, extra->content); !added) {
      return Answer(refusal(fmt::format("{} in the function's environment", stdin_file_variable), added.error()));
    }
  }
  return Answer(Tree{.cid = cid, .archive = archive, .tree = std::move(tree), .bytes = bytes});
}

Result<std::variant<std::shared_ptr<const wasm::FileTree>, Refusal>> FunctionLoader::tree(const Cid& cid, bool archive,
                                                                                          const Extra* extra) {
  using Answer = std::variant<std::shared_ptr<const wasm::FileTree>, Refusal>;
  if (extra == nullptr) {
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
      if (it->cid != cid || it->archive != archive) continue;
      recent_.splice(recent_.begin(), recent_, it);
      return Answer(recent_.front().tree);
    }
  }
  MESH_LET(auto built, build(cid, archive, extra));
  if (auto* refused = std::get_if<Refusal>(&built)) return Answer(std::move(*refused));
  Tree& made = std::get<Tree>(built);
  std::shared_ptr<const wasm::FileTree> result = made.tree;
  if (extra == nullptr && made.bytes <= max_cached_bytes_ / 2) {
    cached_bytes_ += made.bytes;
    recent_.push_front(std::move(made));
    while (cached_bytes_ > max_cached_bytes_ || recent_.size() > 256) {
      cached_bytes_ -= recent_.back().bytes;
      recent_.pop_back();
    }
  }
  return Answer(std::move(result));
}

Result<std::variant<wasm::Job, Refusal>> FunctionLoader::load(const FunctionParts& parts,
                                                              const std::shared_ptr<const Bytes>& input) {
  using Answer = std::variant<wasm::Job, Refusal>;
  if (parts.module.codec() == Multicodec::dag_pb) {
    MESH_LET(const store::BlockBytes block, blocks_.get(parts.module));
    const Result<asset::Node> node = asset::parse_node(parts.module, *block);
    if (!node) return Answer(refusal("the function's module", node.error()));
    if (node->kind != asset::NodeKind::file) return Answer(Refusal{"the function's module is a folder"});
    if (node->content_bytes > max_module_bytes) {
      return Answer(Refusal{fmt::format("the function's module has {} bytes; a module has at most {}",
                                        node->content_bytes, max_module_bytes)});
    }
  }
  wasm::Job job;
  job.module = parts.module;
  job.load_module = [&blocks = blocks_, module = parts.module]() -> Result<std::shared_ptr<const Bytes>> {
    MESH_LET(Bytes bytes, blocks.read_dag_file(module, max_module_bytes));
    return std::make_shared<const Bytes>(std::move(bytes));
  };
  if (!parts.node) {
    job.args = {"main"};
    return Answer(std::move(job));
  }
  job.abi = parts.node->abi;
  job.args = parts.node->args;
  std::optional<Extra> extra;
  for (const std::string& variable : parts.node->env) {
    const std::size_t equals = variable.find('=');
    if (std::string_view(variable).substr(0, equals) == stdin_file_variable) {
      extra = Extra{.path = variable.substr(equals + 1), .content = input};
    } else {
      job.env.push_back(variable);
    }
  }
  if (parts.node->root) {
    MESH_LET(auto root, tree(*parts.node->root, true, extra ? &*extra : nullptr));
    if (auto* refused = std::get_if<Refusal>(&root)) return Answer(std::move(*refused));
    job.root = std::move(std::get<0>(root));
  } else if (extra) {
    auto root = std::make_shared<wasm::FileTree>();
    if (const Status added = root->add_file(extra->path, extra->content); !added) {
      return Answer(refusal(fmt::format("{} in the function's environment", stdin_file_variable), added.error()));
    }
    job.root = std::move(root);
  }
  if (parts.node->program) {
    MESH_LET(auto program, tree(*parts.node->program, false, nullptr));
    if (auto* refused = std::get_if<Refusal>(&program)) return Answer(std::move(*refused));
    job.program = std::move(std::get<0>(program));
  }
  return Answer(std::move(job));
}

}  // namespace mesh::app
