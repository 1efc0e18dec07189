// The files that were fetched (downloads.h), and the room that they may take: past the quota those that were used least
// recently go before another one comes. What is pinned, what peers are just being sent, what somebody reads (Use) and what is
// still being fetched never goes.
//
// A download reserves the whole of its file before it begins and holds that until it has ended, so that downloads at a time
// do not take the same room. When a file was used is remembered to the hour; a file that this process has not used since
// counts as used when it was written down last.
// Bounds: Limits. What can go wrong: no room even without all that may go (exhausted: nothing is removed then); a file that
// cannot be removed stays and counts. Files that its owner removes or adds by hand are not looked for: what is gone counts no
// more once room is needed, what is added never.
// Thread-safe. reserve() works on the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/store/node_store.h"
#include "base/time.h"
#include "codec/record.h"

namespace mesh::app {

class FetchedFiles : public std::enable_shared_from_this<FetchedFiles> {
 public:
  struct Limits {
    std::uint64_t quota_bytes = 0;  ///< of all files and reservations together; 0 = none
    Duration served{std::chrono::minutes(1)};  ///< for so long after a peer asked for a file it is in use
    std::size_t max_files = 65'536;  ///< past it the ones used least recently are kept, and count no more
  };
  using IsPinned = std::function<bool(const Cid&)>;
  /// Milliseconds since 1970.
  using Clock = std::function<std::int64_t()>;

  /// A file that is there.
  struct Entry {
    static constexpr std::string_view type = "fetched-file";
    static constexpr std::uint64_t version = 1;

    Cid root;
    std::string path;  ///< below the folder
    std::uint64_t bytes = 0;
    std::uint64_t used_ms = 0;

    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("root", self.root);
      v("path", self.path);
      v("bytes", self.bytes);
      v("used", self.used_ms);
    }
  };

  /// `store` must outlive this object. Errors: storage.
  [[nodiscard]] static Result<std::shared_ptr<FetchedFiles>> open(std::filesystem::path folder, store::NodeStore& store,
                                                                  Limits limits, IsPinned is_pinned, Clock now_ms);

  /// Keeps room for a file of `bytes` until keep() or release(); once more for the same content holds the larger of the two.
  /// What had to go for it. Errors: exhausted.
  [[nodiscard]] Result<std::vector<Entry>> reserve(const Cid& root, std::uint64_t bytes);
  void release(const Cid& root);
  /// What was reserved is a file now, in place of one that had its path; `batch` gets what is to be written down.
  void keep(const Cid& root, const std::filesystem::path& file, std::uint64_t bytes, store::WriteBatch& batch);

  /// Somebody had it, or a peer is being sent it. Of what was not fetched nothing is remembered.
  void note_used(const Cid& root);
  void note_served(const Cid& root);
  /// Holds the file for as long as it lives.
  using Use = std::shared_ptr<const void>;
  [[nodiscard]] Use use(const Cid& root);

  [[nodiscard]] bool knows(const Cid& root) const;
  /// Of files and reservations.
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct File {
    Entry entry;
    std::uint64_t written_ms = 0;  ///< what is written down as the last use
    std::uint64_t served_ms = 0;
  };
  using Files = std::map<std::string, File>;  ///< by path

  FetchedFiles(std::filesystem::path folder, store::NodeStore& store, Limits limits, IsPinned is_pinned, Clock now_ms);
  [[nodiscard]] std::uint64_t now() const;
  void touch(const Cid& root, bool is_served);
  [[nodiscard]] std::uint64_t total() const;
  void drop_missing();
  [[nodiscard]] bool is_free(const File& file, std::uint64_t at_ms) const;
  void forget_oldest(store::WriteBatch& batch);

  std::filesystem::path folder_;
  store::NodeStore& store_;
  Limits limits_;
  IsPinned is_pinned_;
  Clock now_ms_;
  mutable std::mutex mutex_;
  Files files_;
  std::multimap<Cid, std::string> paths_;
  std::map<Cid, std::uint64_t> reserved_;
  std::map<Cid, std::size_t> in_use_;
};

}  // namespace mesh::app
