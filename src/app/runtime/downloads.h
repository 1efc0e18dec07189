// Files that this node fetches whole, each to a place of its own below one folder, and keeps: FOLDER/CLASS/PATH, where the class
// says to whom it is served on (`lan`, `federation`, `everybody`; `private`: to nobody).
//
// A download brings the file's inner nodes into the block store, looks which leaves an earlier attempt has left in the
// part file, and fetches the others from all holders at once, straight to their place (leaf_fetch.h). What is unfinished is
// written down: the next start goes on with it, and fetches nothing again. While nobody who has the rest is there, it waits.
// Before anything of a file comes it has its room: among what was fetched (fetched_files.h), and on the disk, where what the
// running ones will still take counts as taken.
// Threads: works on the io_context that it is given, one thread of which may run, and looks at and syncs files on a thread
// of its own. The public members may be called from any thread, unless they say so.
// Bounds: Limits. What can go wrong: as in leaf_fetch.h and store/part_file.h; a path that leads out of the folder (invalid);
// content that is a folder, or is not what it was asked for by SHA-256 (invalid, and it is not kept).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/runtime/fetched_files.h"
#include "app/runtime/leaf_fetch.h"
#include "domain/asset/catalogue.h"

namespace mesh::app {

class Downloads {
 public:
  struct Limits {
    std::size_t max_downloads = 4096;  ///< unfinished
    std::size_t max_running = 4;  ///< more wait
    std::size_t max_ended_told = 256;  ///< that are listed after their end
    Duration first_wait{std::chrono::seconds(1)};  ///< when nobody has it; doubles up to a minute
    Duration telling{std::chrono::milliseconds(250)};  ///< so long at least between two words on how far one is
    LeafFetch::Limits leaves;
  };

  struct Wanted {
    static constexpr std::string_view type = "download";
    static constexpr std::uint64_t version = 1;

    Cid root;
    std::string path;  ///< names as UnixFS has them, joined by '/'
    std::optional<asset::Visibility> visibility;  ///< absent: private
    std::optional<Digest> sha256;  ///< what the content has to be
    std::vector<NodeId> holders;  ///< that were named; those that tell of it are asked too

    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("root", self.root);
      v("path", self.path);
      v("visibility", self.visibility);
      v("sha256", self.sha256);
      v("holders", self.holders);
    }
  };

  enum class State : std::uint8_t {
    queued,
    looking,  ///< for the layout of the file, and at what is here of it
    running,
    finishing,  ///< the disk takes the rest
    waiting,  ///< for somebody who has it
    paused,
    done,
    failed,
    cancelled,
  };
  struct View {
    Cid root;
    std::string path;
    std::optional<asset::Visibility> visibility;
    std::filesystem::path file;  ///< where it lies when it is done
    State state = State::queued;
    std::uint64_t bytes = 0;  ///< of the file; 0: not known yet
    std::uint64_t bytes_here = 0;
    std::uint64_t bytes_fetched = 0;  ///< by this process, what came twice counted twice
    std::vector<LeafFetch::HolderFigures> holders;
    std::string error;  ///< of the last attempt

    /// From all holders together, lately.
    [[nodiscard]] std::uint64_t bytes_per_s() const;
  };

  using Done = std::move_only_function<void(Result<std::filesystem::path>)>;
  /// Peers that tell of this content now; from the io_context.
  using Holders = std::function<std::vector<NodeId>(const Cid&)>;
  /// A download began, is a further hundredth on its way (not more often than Limits::telling), ended, waits, or had others
  /// removed for its room (`kind`: transfer.began, transfer.progress, transfer.done, transfer.failed, transfer.waits,
  /// transfer.room); from the io_context.
  using Tell = std::function<void(std::string_view kind, const View& view, const std::string& text)>;

  Downloads(boost::asio::io_context& io, std::filesystem::path folder, store::NodeStore& store,
            store::BlockStore& blocks, ContentExchange& exchange, FetchedFiles& fetched, Holders holders, Tell tell,
            Limits limits);
  /// Ends all of them, as a stop of the node does. The io_context must not be running then, or this is called on its thread.
  ~Downloads();
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;

  /// Goes on with what an earlier process left. Errors: storage.
  [[nodiscard]] Status resume_all();
  /// `done` hears where the file lies once it is there; or the first error, after which the download may yet go on (if it was
  /// `unavailable` or `timeout`). A second call for the same content joins the first.
  void get(Wanted wanted, Done done);
  /// False: there is no such download, or it has ended.
  void pause(const Cid& root, std::move_only_function<void(bool)> done);
  void resume(const Cid& root, std::move_only_function<void(bool)> done);
  /// What came of it is removed.
  void cancel(const Cid& root, std::move_only_function<void(bool)> done);
  /// Somebody new is there, or tells something new.
  void look_again();

  /// Unfinished ones first, then those that ended last. On the io_context's thread.
  [[nodiscard]] std::vector<View> list() const;

  /// What the unfinished ones, and those that ended last, have in the block store. On the io_context's thread.
  [[nodiscard]] std::vector<Cid> roots() const;

  /// The folder of a class.
  [[nodiscard]] static std::filesystem::path folder_of(const std::filesystem::path& folder,
                                                       std::optional<asset::Visibility> visibility);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

[[nodiscard]] std::span<const std::string_view> enum_names(Downloads::State);

}  // namespace mesh::app
