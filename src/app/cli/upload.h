// Content on its way from the command line to a node: blocks, sent as CAR files of some MiB.
//
// Bounds: 16 MiB of blocks are held, and the name of every block that was sent, so that none goes twice. What can go wrong:
// what http::Client says, and what the node answers (its disk or its quota is full).
#pragma once

#include <set>

#include "adapters/http/client.h"
#include "codec/cid.h"
#include "domain/asset/unixfs.h"

namespace mesh::cli {

class Upload {
 public:
  /// `client` outlives this.
  explicit Upload(const http::Client& client) : client_(client) {}
  /// Takes blocks; outlived by this.
  [[nodiscard]] asset::BlockSink sink();
  /// Sends what waits to be sent.
  [[nodiscard]] Status flush();
  /// Has the node serve what lies below `root`, whose blocks have all been sent.
  [[nodiscard]] Status declare(const Cid& root);
  /// Of the blocks that were given.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  [[nodiscard]] Status send(std::string_view path, ByteView car) const;

  const http::Client& client_;
  std::set<Cid> sent_;
  Bytes car_;
  std::uint64_t bytes_ = 0;
};

}  // namespace mesh::cli
