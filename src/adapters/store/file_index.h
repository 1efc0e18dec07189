// What is known of the files of shares: which file, as the file system tells it, had which content. HOME/shares.db.
//
// It saves reading files again that nobody changed. All of it can be found out anew, so a damaged index is set aside
// (shares.db.damaged) and begun again, and one of an older layout is emptied. Private to the store.
// One process at a time (the home's lock); one caller at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/store/sqlite.h"
#include "base/error.h"
#include "codec/cid.h"
#include "codec/hash.h"
#include "domain/asset/model_header.h"

namespace mesh::store {

/// A file and its state, as stat(2) tells them. A file whose stamp has not changed has not been written to.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

/// What a model file says of itself; nullptr: it is none, or does not read. Few files are models.
using ModelPointer = std::shared_ptr<const asset::ModelHeader>;

struct IndexedFile {
  FileStamp stamp;
  Cid cid;
  Digest sha256;
  ModelPointer model;
};

class FileIndex {
 public:
  /// A share's name and a path in it.
  using Key = std::pair<std::string, std::string>;

  /// Errors: storage (not writable, another program's), unsupported (a newer mesh's).
  [[nodiscard]] static Result<std::unique_ptr<FileIndex>> open(const std::string& home);

  [[nodiscard]] Status for_each(const std::function<void(Key, const IndexedFile&)>& each);
  /// All of it or nothing; an absent key to erase is no error. Errors: storage.
  [[nodiscard]] Status change(const std::vector<std::pair<Key, IndexedFile>>& put, const std::vector<Key>& erase);

 private:
  FileIndex() = default;
  [[nodiscard]] static Result<std::unique_ptr<FileIndex>> try_open(const std::string& file);

  sqlite::Connection connection_;
  sqlite::Statement put_, erase_;
};

}  // namespace mesh::store
