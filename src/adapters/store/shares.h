// Shares: folders whose files are content where they lie. A refresh walks them, reads what is new or was changed, and
// remembers of each file its CID (UnixFS, unixfs.h), its SHA-256, what a model says of itself (model_header.h), and how the
// file system knows it. Leaves are not copied: a
// block of a file is read from its place, and handed out only if it still is what its CID names. A file's inner nodes are
// kept in the block store. A file or folder that its owner adds while the node runs (`mesh assets add`) is a share of its own,
// whose folder has a root, too: the UnixFS folder of all that is in it.
//
// Left out: the node's own files (Options::withheld), hidden files and folders (names that begin with '.') and unfinished
// downloads (*.part, *.incomplete, *.crdownload, *.tmp) but for those in what was added, what the patterns do not let in, symbolic links (but for those of a huggingface_hub cache from snapshots into the
// blobs beside them), and what is no regular file. Nothing is followed or opened that lies outside the share: each path is
// resolved beneath the share's folder by the kernel (openat2, Linux 5.6), when it is read, too.
// Bounds: Options; folders 64 deep, paths of 4,096 bytes, max_added things added. What can go wrong: a folder or file that cannot be read, that is
// changed while it is read, or whose name content cannot have: it is left out and told as a problem.
// What changes in a folder is noticed where the file system tells of it (folder_watch.h); elsewhere the next refresh finds it.
// Thread-safe; one refresh at a time, and reading goes on meanwhile.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/store/block_store.h"
#include "domain/asset/catalogue.h"

namespace mesh::store {

class File;
class FileIndex;
class FolderWatch;

class Shares final : public BlockSource {
 public:
  struct Options {
    unsigned threads = 0;  ///< that read files; 0 = one per core
    std::size_t max_files = 1'000'000;  ///< of all shares together; past it the rest is left out, and told
    /// Files and folders that are never shared, whatever share they lie in: the node's own. The home is one of them.
    std::vector<std::filesystem::path> withheld;
  };
  struct Problem {
    std::string share;
    std::string path;  ///< empty: the share's folder
    std::string why;
  };
  static constexpr std::size_t max_problems_told = 64;
  struct Refreshed {
    std::uint64_t files = 0, bytes = 0;  ///< shared now
    std::uint64_t read_files = 0, read_bytes = 0;  ///< of which these had to be read
    bool changed = false;  ///< what is shared is not what it was
    std::vector<Problem> problems;  ///< the first of them
    std::uint64_t problem_count = 0;
  };

  static constexpr std::size_t max_added = 10'000;
  /// What was added, as it is now.
  struct Added {
    asset::Share share;
    Cid root;  ///< of the file, or of the folder
    std::uint64_t files = 0, bytes = 0;
  };

  /// Opens the index in `home`. Nothing is shared before the first refresh. `blocks` must outlive this object.
  /// Errors: invalid (a share out of bounds, two of one name), storage, unsupported (a newer index).
  [[nodiscard]] static Result<std::unique_ptr<Shares>> open(const std::filesystem::path& home,
                                                            std::vector<asset::Share> shares, BlockStore& blocks,
                                                            Options options);
  ~Shares() override;
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  /// Looks at every file again. Blocks the caller for as long as it takes. Errors: unavailable (stopped), storage.
  [[nodiscard]] Result<Refreshed> refresh();
  /// Adds a share (is_added) and reads what is in it; the other shares stay as they are. One of the same name is replaced.
  /// Errors: invalid (out of bounds; the node's own), not_found, exhausted (max_added, max_files), conflict (the name is
  /// another share's; something is changed while it is read), storage (something in it cannot be read: names it);
  /// then nothing was added.
  [[nodiscard]] Result<Added> add(const asset::Share& share);
  /// Stops sharing what was added under this name; false if there is nothing.
  bool remove(std::string_view name);
  /// What was added and is there, by name.
  [[nodiscard]] std::vector<Added> added() const;
  /// Makes a refresh that is under way, and any later one, end soon.
  void stop() { stopped_ = true; }
  /// Whether something was changed since the last refresh began: a file that was read, or what the file system tells of.
  [[nodiscard]] bool is_outdated();

  /// Listed files that match, by share and path, from the `first` on.
  [[nodiscard]] std::vector<asset::Asset> find(const asset::AssetQuery& query, std::size_t first,
                                               std::size_t count) const;
  [[nodiscard]] std::uint64_t files() const;
  [[nodiscard]] std::uint64_t bytes() const;
  /// Grows with every change of what is shared; 0 is nothing.
  [[nodiscard]] std::uint64_t sequence() const;
  /// Where a file lies.
  [[nodiscard]] std::filesystem::path path_of(const asset::Asset& asset) const;
  /// Whether a file or an added folder with this root is for one of these classes, and is still there (as the file system
  /// tells it now: of a folder, that it was at the last refresh).
  [[nodiscard]] bool may_have(const Cid& root, const std::vector<asset::Visibility>& classes);
  /// The same for everybody, but only for what is listed.
  [[nodiscard]] bool is_public(const Cid& root);
  /// Whether a refresh has ended.
  [[nodiscard]] bool is_ready() const { return refreshed_; }
  /// Roots of files and folders that have inner nodes in the block store.
  [[nodiscard]] std::vector<Cid> inner_roots() const;

  [[nodiscard]] std::optional<std::uint64_t> size(const Cid& cid, From from) const override;
  [[nodiscard]] Result<Bytes> read(const Cid& cid, From from) override;
  void changed(const Cid& cid) override;

 private:
  struct Known;
  struct Found;
  struct Folder;
  struct Whole;
  struct Snapshot;
  class Walk;
  using List = std::shared_ptr<const std::vector<asset::Share>>;

  Shares(std::vector<asset::Share> shares, BlockStore& blocks, Options options);
  [[nodiscard]] Status load();
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const;
  /// Looks at every file of `list` again; with `only`, at those of that share alone. Under refresh_mutex_.
  [[nodiscard]] Result<Refreshed> refresh(List list, const std::string* only);
  /// What is shared now: every found file whose content is known.
  [[nodiscard]] std::shared_ptr<const Snapshot> make_snapshot(List list, std::vector<Found> found,
                                                              std::vector<Folder> folders, bool is_new);
  [[nodiscard]] Result<Added> added_as(std::string_view name) const;
  /// The root of everything that was added as this share.
  [[nodiscard]] Result<Whole> build_added(const Snapshot& in, std::uint32_t share);
  [[nodiscard]] bool is_for(const Cid& root, const std::function<bool(const asset::Share&)>& whom);
  /// The file, if it is as it was when it was looked at; else one that is not open.
  [[nodiscard]] static File open_unchanged(const asset::Share& share, const Found& file);
  void set_gone(const Snapshot& in, std::uint32_t file);
  void read_new(const std::vector<asset::Share>& shares, std::vector<Found>& found, Refreshed& report);

  BlockStore& blocks_;
  Options options_;
  std::unique_ptr<FolderWatch> watch_;
  std::unique_ptr<FileIndex> index_;  ///< under refresh_mutex_
  std::unique_ptr<Known> known_;  ///< what the index holds; under refresh_mutex_
  std::mutex refresh_mutex_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;  ///< names its shares
  std::atomic<bool> outdated_{false};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> refreshed_{false};
};

}  // namespace mesh::store
