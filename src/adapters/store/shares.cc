#include "adapters/store/shares.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "adapters/store/file.h"
#include "adapters/store/file_index.h"
#include "adapters/store/folder_watch.h"
#include "base/check.h"
#include "domain/asset/folder.h"
#include "domain/asset/unixfs.h"

namespace mesh::store {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_depth = 64;
constexpr std::size_t max_path_bytes = 4096;
constexpr std::size_t max_reference_bytes = 256;
constexpr std::array<std::string_view, 4> unfinished{".part", ".incomplete", ".crdownload", ".tmp"};
// What is written to within a tick of the clock after it was read keeps its stamp.
constexpr std::int64_t clock_tick_ns = 100'000'000;
// Such a file is worth a thread more, where there is one.
constexpr std::uint64_t large_bytes = std::uint64_t{8} << 20;

/// Whether a file of this name is never shared: hidden, or not finished.
bool is_left_out(std::string_view name) {
  return name.starts_with('.') ||
         std::ranges::any_of(unfinished, [&](std::string_view end) { return name.ends_with(end); });
}

/// Opens what `path` names below the folder, through no link of any kind.
File open_beneath(int folder, const std::string& path, int flags) {
  open_how how{};
  how.flags =
      static_cast<unsigned>(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);  // NONBLOCK: a FIFO is not waited for.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return File(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how)));
}

/// The owner named it: links on the way to it are his.
File open_folder(const std::string& path) { return File(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

FileStamp stamp_of(const struct stat& about) {
  return {.device = about.st_dev,
          .inode = about.st_ino,
          .bytes = static_cast<std::uint64_t>(about.st_size),
          .modified_ns = nanoseconds(about.st_mtim),
          .changed_ns = nanoseconds(about.st_ctim)};
}

std::string text_of_errno() { return std::strerror(errno); }

/// "models--org--repo" -> "org/repo", "datasets--org--repo" -> "datasets/org/repo"; empty if it is no repository's folder.
std::string repository_of(std::string_view folder) {
  for (const std::string_view kind : {"models", "datasets", "spaces"}) {
    if (!folder.starts_with(kind) || !folder.substr(kind.size()).starts_with("--")) continue;
    std::string name = kind == "models" ? "" : std::string(kind) + "/";
    std::string_view rest = folder.substr(kind.size() + 2);
    const std::size_t cut = rest.find("--");
    if (rest.empty()) return {};
    name += rest.substr(0, cut);
    if (cut != std::string_view::npos) name += "/" + std::string(rest.substr(cut + 2));
    return name;
  }
  return {};
}

Result<Bytes> read_at(int file, std::uint64_t offset, std::size_t count) {
  Bytes bytes(count);
  std::size_t filled = 0;
  while (filled < count) {
    const ssize_t got = ::pread(file, bytes.data() + filled, count - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::storage, text_of_errno());
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

struct Shares::Known {
  std::map<FileIndex::Key, IndexedFile> files;
};

/// A file of the walk.
struct Shares::Found {
  std::uint32_t share = 0;
  std::string path;  ///< by which it is known
  std::string place;  ///< where it lies: another path only in a huggingface_hub cache
  FileStamp stamp;
  std::optional<asset::HubName> hub;
  // Once its content is known:
  bool is_known = false;
  Cid cid;
  Digest sha256;
  ModelPointer model;
  std::uint64_t total_bytes = 0;  ///< of its blocks; in a snapshot
};

/// A folder of what was added.
struct Shares::Folder {
  std::uint32_t share = 0;
  std::string path;  ///< in it; "" is the share's own
};

/// What was added as one share, as it is now.
struct Shares::Whole {
  Cid root;
  std::uint64_t files = 0, bytes = 0;
};

struct Shares::Snapshot {
  struct Place {
    std::uint32_t file = 0;
    std::uint32_t bytes = 0;
    std::uint64_t offset = 0;
    bool is_open = false;  ///< anybody may have it
  };
  List shares;
  std::vector<Found> files;  ///< by share and path
  std::vector<Folder> folders;  ///< by share and path
  std::map<std::uint32_t, Whole> added;  ///< by share
  std::unordered_map<Cid, std::vector<std::uint32_t>> wholes;  ///< the shares whose folder has this root
  std::unordered_map<Cid, Place> leaves;
  std::unordered_map<Cid, std::vector<std::uint32_t>> roots;  ///< the files that have it
  std::unordered_map<Cid, std::uint32_t> inner;  ///< the first file of which it is an inner node
  std::uint64_t bytes = 0;
  std::uint64_t sequence = 0;
  // Files that were found to be changed since.
  mutable std::mutex mutex;
  mutable std::unordered_set<std::uint32_t> gone;

  [[nodiscard]] bool is_gone(std::uint32_t file) const {
    const std::lock_guard guard(mutex);
    return gone.contains(file);
  }
  [[nodiscard]] const asset::Share& share_of(const Found& file) const { return (*shares)[file.share]; }
  [[nodiscard]] const Place* find(const Cid& cid, From from) const {
    const auto found = leaves.find(cid);
    if (found == leaves.end() || (from == From::open && !found->second.is_open)) return nullptr;
    return is_gone(found->second.file) ? nullptr : &found->second;
  }
};

// ---------------------------------------------------------------------------------------------------- the walk

class Shares::Walk {
 public:
  Walk(const Shares& shares, const std::vector<asset::Share>& list, Refreshed& report)
      : shares_(shares), list_(list), report_(report) {
    for (const fs::path& path : shares.options_.withheld) {
      struct stat about{};
      if (::stat(path.c_str(), &about) == 0) withheld_.insert({about.st_dev, about.st_ino});
    }
  }

  /// Whether the share's folder could be opened.
  bool share(std::uint32_t number) {
    number_ = number;
    const asset::Share& share = list_[number];
    const File folder = open_folder(share.folder);
    if (!folder.is_open()) {
      problem("", "the folder " + share.folder + " cannot be opened: " + text_of_errno());
      return false;
    }
    if (!share.is_fetched && is_within_withheld(share.folder)) {
      problem("", "the folder " + share.folder + " is the node's own, and is not shared");
      return true;
    }
    if (share.file.empty()) {
      below(folder.fd(), "", 0);
    } else {
      one_file(folder.fd(), share.file);
    }
    return true;
  }

  std::vector<Found> found;
  std::vector<Folder> folders;  ///< of what was added
  /// Folders that could not be listed, by share: what is known of the files below them is kept.
  std::set<std::pair<std::uint32_t, std::string>> unlisted;

 private:
  [[nodiscard]] bool is_withheld(const struct stat& about) const {
    return withheld_.contains({about.st_dev, about.st_ino});
  }
  [[nodiscard]] bool is_within_withheld(const std::string& folder) const {
    std::error_code failed;
    for (fs::path path = fs::canonical(folder, failed); !failed; path = path.parent_path()) {
      struct stat about{};
      if (::stat(path.c_str(), &about) == 0 && is_withheld(about)) return true;
      if (path == path.root_path()) return false;
    }
    return true;  // It cannot be told.
  }
  void problem(const std::string& path, std::string why) const {
    ++report_.problem_count;
    if (report_.problems.size() < max_problems_told)
      report_.problems.push_back({list_[number_].name, path, std::move(why)});
  }
  [[nodiscard]] bool is_added() const { return list_[number_].is_added; }

  void one_file(int folder, const std::string& name) {
    const File file = open_beneath(folder, name, O_RDONLY);
    struct stat about{};
    if (!file.is_open() || ::fstat(file.fd(), &about) != 0) {
      problem(name, text_of_errno());
    } else if (!S_ISREG(about.st_mode)) {
      problem(name, "it is no regular file");
    } else if (is_withheld(about)) {
      problem(name, "it is the node's own, and is not shared");
    } else {
      shares_.watch_->add_file(file.fd());
      if (::fstat(file.fd(), &about) == 0) add(name, name, about, {});
    }
  }

  /// The names in an open folder, but for those that are left out.
  std::vector<std::string> names_in(int folder, const std::string& path) {
    shares_.watch_->add(folder);  // Before it is listed: what comes later is noticed.
    std::vector<std::string> names;
    const int again = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const stream = again < 0 ? nullptr : ::fdopendir(again);
    if (stream == nullptr) {
      problem(path, "it cannot be listed: " + text_of_errno());
      unlisted.insert({number_, path});
      if (again >= 0) ::close(again);
      return names;
    }
    while (const dirent* const entry = ::readdir(stream)) {
      const std::string_view name = static_cast<const char*>(entry->d_name);
      if (is_added() ? name != "." && name != ".." : !name.starts_with('.')) names.emplace_back(name);
      if (names.size() > shares_.options_.max_files) break;
    }
    ::closedir(stream);
    std::ranges::sort(names);
    return names;
  }

  void below(int folder, const std::string& prefix, std::size_t depth) {
    if (is_added()) folders.push_back({.share = number_, .path = prefix});
    for (const std::string& name : names_in(folder, prefix)) {
      if (shares_.stopped_) return;
      const std::string path = prefix.empty() ? name : prefix + "/" + name;
      if (found.size() >= shares_.options_.max_files) {
        problem(path,
                "there are more than " + std::to_string(shares_.options_.max_files) + " files; the rest is left out");
        return;
      }
      if (const Status good = asset::check_name(name); !good || path.size() > max_path_bytes) {
        problem(prefix, "a name in it is left out: " + (good ? "its path is too long" : good.error().message));
        continue;
      }
      struct stat about{};
      if (::fstatat(folder, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) problem(path, text_of_errno());
        continue;
      }
      if (is_withheld(about)) {
        if (is_added()) problem(path, "it is the node's own, and is not shared");
        continue;
      }
      if (S_ISREG(about.st_mode)) {
        add(path, path, about, {});
      } else if (!S_ISDIR(about.st_mode)) {
        if (is_added() && !S_ISLNK(about.st_mode)) problem(path, "it is neither a file nor a folder");
      } else {
        descend(folder, name, path, depth);
      }
    }
  }

  void descend(int folder, const std::string& name, const std::string& path, std::size_t depth) {
    if (depth == max_depth) return problem(path, "it is nested more than 64 folders deep");
    const File next = open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
    if (!next.is_open()) {
      problem(path, text_of_errno());
      unlisted.insert({number_, path});
    } else if (const std::string repository = repository_of(name); !repository.empty() && !is_added()) {
      hub_repository(next.fd(), path, repository);
    } else {
      below(next.fd(), path, depth + 1);
    }
  }

  void add(const std::string& path, const std::string& place, const struct stat& about,
           std::optional<asset::HubName> hub) {
    if (is_withheld(about) || path.size() > max_path_bytes) return;
    if (!is_added() && is_left_out(path.substr(path.rfind('/') + 1))) return;
    if (!asset::lets_in(list_[number_], path)) return;
    found.push_back({.share = number_,
                     .path = path,
                     .place = place,
                     .stamp = stamp_of(about),
                     .hub = std::move(hub),
                     .is_known = false,
                     .cid = {},
                     .sha256 = {},
                     .model = {}});
  }

  // ---- huggingface_hub's cache (huggingface.co/docs/huggingface_hub/guides/manage-cache): snapshots/REVISION/FILE is a
  // link to blobs/HASH; refs/NAME holds a revision.

  void hub_repository(int folder, const std::string& path, const std::string& repository) {
    std::map<std::string, std::vector<std::string>> references;
    if (const File refs = open_beneath(folder, "refs", O_RDONLY | O_DIRECTORY); refs.is_open())
      hub_references(refs.fd(), "", 0, references);
    const File snapshots = open_beneath(folder, "snapshots", O_RDONLY | O_DIRECTORY);
    if (!snapshots.is_open()) return;
    for (const std::string& revision : names_in(snapshots.fd(), path + "/snapshots")) {
      const File snapshot = open_beneath(snapshots.fd(), revision, O_RDONLY | O_DIRECTORY);
      if (!snapshot.is_open() || !asset::check_name(revision)) continue;
      const asset::HubName hub{
          .repository = repository, .revision = revision, .references = references[revision], .file = {}};
      hub_files(folder, snapshot.fd(), path, "snapshots/" + revision, hub, 0);
    }
  }

  void hub_references(int folder, const std::string& prefix, std::size_t depth,
                      std::map<std::string, std::vector<std::string>>& references) {
    for (const std::string& name : names_in(folder, prefix)) {
      const std::string reference = prefix.empty() ? name : prefix + "/" + name;
      const File file = open_beneath(folder, name, O_RDONLY);
      struct stat about{};
      if (!file.is_open() || ::fstat(file.fd(), &about) != 0) continue;
      if (S_ISDIR(about.st_mode) && depth < 8) hub_references(file.fd(), reference, depth + 1, references);
      if (!S_ISREG(about.st_mode) || reference.size() > max_reference_bytes) continue;
      const Result<Bytes> revision = read_at(file.fd(), 0, max_reference_bytes);
      if (!revision) continue;
      std::string_view commit = as_text(*revision);
      while (commit.ends_with('\n')) commit.remove_suffix(1);
      references[std::string(commit)].push_back(reference);
    }
  }

  void hub_files(int repository, int folder, const std::string& path, const std::string& inside,
                 const asset::HubName& hub, std::size_t depth) {
    for (const std::string& name : names_in(folder, path + "/" + inside)) {
      if (!asset::check_name(name) || found.size() >= shares_.options_.max_files) continue;
      asset::HubName file = hub;
      file.file += (hub.file.empty() ? "" : "/") + name;
      const std::string below_repository = inside + "/" + name;
      struct stat about{};
      if (::fstatat(folder, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (is_withheld(about)) continue;
      if (S_ISDIR(about.st_mode) && depth < max_depth) {
        const File next = open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
        if (next.is_open()) hub_files(repository, next.fd(), path, below_repository, file, depth + 1);
      } else if (S_ISREG(about.st_mode)) {
        add(path + "/" + below_repository, path + "/" + below_repository, about, std::move(file));
      } else if (S_ISLNK(about.st_mode)) {
        hub_link(repository, folder, name, path, below_repository, std::move(file));
      }
    }
  }

  void hub_link(int repository, int folder, const std::string& name, const std::string& path, const std::string& inside,
                asset::HubName hub) {
    std::array<char, max_path_bytes> target{};
    const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (size <= 0 || static_cast<std::size_t>(size) == target.size()) return;
    const fs::path resolved =
        (fs::path(inside).parent_path() / std::string(target.data(), static_cast<std::size_t>(size)))
            .lexically_normal();
    const std::string place = resolved.string();
    // Into the blobs beside it and nowhere else; open_beneath makes sure of the rest when it is read.
    if (!place.starts_with("blobs/") || place.find('/', 6) != std::string::npos ||
        !asset::check_name(place.substr(6))) {
      problem(path + "/" + inside, "it links to what is no blob of its repository");
      return;
    }
    struct stat about{};
    if (::fstatat(repository, place.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(about.st_mode)) return;
    add(path + "/" + inside, path + "/" + place, about, std::move(hub));
  }

  const Shares& shares_;
  const std::vector<asset::Share>& list_;
  Refreshed& report_;
  std::uint32_t number_ = 0;
  std::set<std::pair<dev_t, ino_t>> withheld_;
};

// ---------------------------------------------------------------------------------------------------- life

Shares::Shares(std::vector<asset::Share> shares, BlockStore& blocks, Options options)
    : blocks_(blocks),
      options_(std::move(options)),
      watch_(std::make_unique<FolderWatch>()),
      known_(std::make_unique<Known>()) {
  auto nothing = std::make_shared<Snapshot>();
  nothing->shares = std::make_shared<const std::vector<asset::Share>>(std::move(shares));
  snapshot_ = std::move(nothing);
}
Shares::~Shares() = default;

Result<std::unique_ptr<Shares>> Shares::open(const fs::path& home, std::vector<asset::Share> shares, BlockStore& blocks,
                                             Options options) {
  std::set<std::string_view> names;
  for (const asset::Share& share : shares) {
    MESH_TRY(asset::check_share(share));
    if (!names.insert(share.name).second)
      return fail(ErrorCode::invalid, fmt::format("two shares have the name {}", share.name));
  }
  options.withheld.push_back(home);
  if (options.threads == 0) options.threads = std::max(1U, std::thread::hardware_concurrency());
  std::unique_ptr<Shares> self(new Shares(std::move(shares), blocks, std::move(options)));
  MESH_LET(self->index_, FileIndex::open(home.string()));
  MESH_TRY(self->load());
  return self;
}

Status Shares::load() {
  return index_->for_each(
      [&](FileIndex::Key key, const IndexedFile& file) { known_->files.emplace(std::move(key), file); });
}

std::shared_ptr<const Shares::Snapshot> Shares::snapshot() const {
  const std::lock_guard guard(mutex_);
  return snapshot_;
}

// ---------------------------------------------------------------------------------------------------- refresh

namespace {

struct Content {
  Cid cid;
  Digest sha256;
};

/// Gives the bytes of an open file in their order, chunk by chunk; how many there were.
Result<std::uint64_t> each_chunk(int file, const std::atomic<bool>& stopped,
                                 const std::function<Status(ByteView)>& take) {
  std::uint64_t offset = 0;
  while (true) {
    if (stopped) return fail(ErrorCode::unavailable, "the node stops");
    MESH_LET(const Bytes part, read_at(file, offset, asset::chunk_bytes));
    if (part.empty()) return offset;
    MESH_TRY(take(part));
    offset += part.size();
  }
}

/// What a model file says of itself. One that does not read is a file like any other.
ModelPointer model_of(int file, std::uint64_t bytes) {
  auto header = asset::read_model_header(bytes, [&](std::uint64_t offset, std::size_t size) -> Result<Bytes> {
    MESH_LET(Bytes part, read_at(file, offset, size));
    if (part.size() != size) return fail(ErrorCode::conflict, "it was changed while it was read");
    return part;
  });
  return header && *header ? std::make_shared<const asset::ModelHeader>(std::move(**header)) : nullptr;
}

/// The content of an open file, and the error if it is not the same file afterwards. `beside`: SHA-256 is another thread's
/// work, which reads the file too; else both hashes are made of one reading.
Result<Content> read_content(int file, FileStamp& stamp, bool beside, const asset::BlockSink& sink,
                             const std::atomic<bool>& stopped) {
  asset::FileBuilder builder(sink);
  Sha256 whole;
  const auto hash = [&](ByteView part) -> Status {
    whole.update(part);
    return {};
  };
  std::future<Result<std::uint64_t>> hashed;
  if (beside) hashed = std::async(std::launch::async, [&] { return each_chunk(file, stopped, hash); });
  Result<std::uint64_t> bytes = each_chunk(file, stopped, [&](ByteView part) -> Status {
    if (!beside) whole.update(part);
    return builder.feed(part);
  });
  if (beside) {
    const Result<std::uint64_t> again = hashed.get();
    if (!again) return std::unexpected(again.error());
    if (bytes && *again != *bytes) bytes = std::uint64_t{0};  // Not the same file: the stamps tell.
  }
  if (!bytes) return std::unexpected(bytes.error());
  MESH_LET(const asset::Built built, builder.finish());
  struct stat after{};
  if (::fstat(file, &after) != 0) return fail(ErrorCode::storage, text_of_errno());
  if (stamp_of(after) != stamp || *bytes != stamp.bytes)
    return fail(ErrorCode::conflict, "it was changed while it was read; the next refresh reads it again");
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (nanoseconds(now) - stamp.changed_ns < clock_tick_ns) stamp.changed_ns = 0;  // Looked at again the next time.
  return Content{.cid = built.cid, .sha256 = whole.finish()};
}

}  // namespace

void Shares::read_new(const std::vector<asset::Share>& shares, std::vector<Found>& found, Refreshed& report) {
  std::vector<Found*> unread;
  std::map<FileIndex::Key, const Found*> by_place;  // A blob may be in several revisions.
  std::vector<std::pair<Found*, const Found*>> same_place;
  for (Found& file : found) {
    if (file.is_known) continue;
    const auto known = known_->files.find({shares[file.share].name, file.place});
    if (known != known_->files.end() && known->second.stamp == file.stamp) {
      file.cid = known->second.cid;
      file.sha256 = known->second.sha256;
      file.model = known->second.model;
      file.is_known = true;
    } else if (const auto [place, fresh] = by_place.try_emplace({shares[file.share].name, file.place}, &file); fresh) {
      unread.push_back(&file);
    } else {
      same_place.emplace_back(&file, place->second);
    }
  }
  const asset::BlockSink sink = [this](const Cid& cid, Bytes block) -> Status {
    if (cid.codec() == Multicodec::raw) return {};  // It stays where it lies.
    return blocks_.put(cid, block);
  };
  std::atomic<std::size_t> next{0};
  std::mutex told;
  const auto work = [&] {
    for (std::size_t i = next++; i < unread.size() && !stopped_; i = next++) {
      Found& file = *unread[i];
      const asset::Share& share = shares[file.share];
      const File folder = open_folder(share.folder);
      const File opened = open_beneath(folder.fd(), file.place, O_RDONLY);
      Result<Content> content = fail(ErrorCode::storage, "");
      if (!opened.is_open()) {
        content = fail(ErrorCode::storage, "it cannot be opened: " + text_of_errno());
      } else {
        const bool beside = unread.size() < options_.threads && file.stamp.bytes >= large_bytes;
        if (asset::is_model_name(file.path)) file.model = model_of(opened.fd(), file.stamp.bytes);
        content = read_content(opened.fd(), file.stamp, beside, sink, stopped_);
      }
      const std::lock_guard guard(told);
      if (content) {
        file.cid = content->cid;
        file.sha256 = content->sha256;
        file.is_known = true;
        ++report.read_files;
        report.read_bytes += file.stamp.bytes;
        continue;
      }
      ++report.problem_count;
      if (report.problems.size() < max_problems_told)
        report.problems.push_back({share.name, file.path, content.error().message});
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min<std::size_t>(options_.threads, unread.size()); ++i) helpers.emplace_back(work);
    work();
  }
  for (const auto& [file, read] : same_place) {
    file->stamp = read->stamp;
    file->cid = read->cid;
    file->sha256 = read->sha256;
    file->model = read->model;
    file->is_known = read->is_known;
  }
}

Result<Shares::Refreshed> Shares::refresh() {
  const std::lock_guard one_at_a_time(refresh_mutex_);
  (void)is_outdated();  // What was told so far is what this refresh is for.
  outdated_ = false;
  Result<Refreshed> report = refresh(snapshot()->shares, nullptr);
  if (report) refreshed_ = true;
  return report;
}

Result<Shares::Refreshed> Shares::refresh(List list, const std::string* only) {
  const std::vector<asset::Share>& shares = *list;
  Refreshed report;
  const std::shared_ptr<const Snapshot> before = snapshot();
  bool lost = false;
  {
    // They are not what they are known as, whatever their stamps say: they are read again.
    const std::lock_guard guard(before->mutex);
    lost = !before->gone.empty();
    for (const std::uint32_t number : before->gone) {
      const Found& file = before->files[number];
      known_->files.erase({before->share_of(file).name, file.place});
    }
  }
  Walk walk(*this, shares, report);
  std::set<std::string> unreachable;  // A disk that is not there now keeps what is known of it.
  for (std::uint32_t number = 0; number < shares.size(); ++number) {
    if (only != nullptr && shares[number].name != *only) continue;
    if (!walk.share(number)) unreachable.insert(shares[number].name);
  }
  if (stopped_) return fail(ErrorCode::unavailable, "the node stops");
  std::vector<Found> found = std::move(walk.found);
  std::vector<Folder> folders = std::move(walk.folders);
  if (only != nullptr) {
    // Of the other shares all is as it was.
    std::unordered_map<std::string_view, std::uint32_t> numbers;
    for (std::uint32_t number = 0; number < shares.size(); ++number) numbers.emplace(shares[number].name, number);
    const auto number_now = [&](std::uint32_t number) -> std::optional<std::uint32_t> {
      const std::string& name = (*before->shares)[number].name;
      const auto now = numbers.find(name);
      return name == *only || now == numbers.end() ? std::nullopt : std::optional(now->second);
    };
    for (std::uint32_t number = 0; number < before->files.size(); ++number) {
      const std::optional<std::uint32_t> share = number_now(before->files[number].share);
      if (!share || before->is_gone(number)) continue;
      found.push_back(before->files[number]);
      found.back().share = *share;
    }
    for (const Folder& folder : before->folders) {
      if (const std::optional<std::uint32_t> share = number_now(folder.share))
        folders.push_back({.share = *share, .path = folder.path});
    }
  }
  read_new(shares, found, report);
  if (stopped_) return fail(ErrorCode::unavailable, "the node stops");
  std::erase_if(found, [](const Found& file) { return !file.is_known; });
  const auto place = [&](const auto& one) { return std::tie(shares[one.share].name, one.path); };
  std::ranges::sort(found, {}, place);
  std::ranges::sort(folders, {}, place);

  std::vector<std::pair<FileIndex::Key, IndexedFile>> put;
  std::set<FileIndex::Key> here;
  for (const Found& file : found) {
    FileIndex::Key key{shares[file.share].name, file.place};
    const IndexedFile entry{.stamp = file.stamp, .cid = file.cid, .sha256 = file.sha256, .model = file.model};
    const auto known = known_->files.find(key);
    if (known == known_->files.end() || known->second.stamp != entry.stamp || known->second.cid != entry.cid)
      put.emplace_back(key, entry);
    here.insert(std::move(key));
  }
  for (const auto& [share, folder] : walk.unlisted) {
    if (folder.empty()) unreachable.insert(shares[share].name);
  }
  const auto is_unlisted = [&](const FileIndex::Key& key) {
    return unreachable.contains(key.first) || std::ranges::any_of(walk.unlisted, [&](const auto& folder) {
             return shares[folder.first].name == key.first && key.second.starts_with(folder.second + "/");
           });
  };
  std::vector<FileIndex::Key> erase;
  for (const auto& [key, file] : known_->files) {
    if (only != nullptr && key.first != *only) continue;
    if (!here.contains(key) && !is_unlisted(key)) erase.push_back(key);
  }
  if (!put.empty() || !erase.empty()) {
    // Not kept means read again after the next start, and no more.
    if (const Status kept = index_->change(put, erase); !kept) {
      ++report.problem_count;
      report.problems.insert(report.problems.begin(), {"", "", kept.error().message});
    }
  }
  for (auto& [key, file] : put) known_->files.insert_or_assign(key, file);
  for (const FileIndex::Key& key : erase) known_->files.erase(key);

  const auto same = [](const Found& a, const Found& b) {
    return a.share == b.share && a.path == b.path && a.place == b.place && a.cid == b.cid && a.hub == b.hub;
  };
  const auto same_stamps = [](const Found& a, const Found& b) {
    return a.stamp.bytes == b.stamp.bytes && a.stamp.modified_ns == b.stamp.modified_ns;
  };
  const auto same_folder = [](const Folder& a, const Folder& b) { return a.share == b.share && a.path == b.path; };
  report.changed = lost || list != before->shares || !std::ranges::equal(before->files, found, same) ||
                   !std::ranges::equal(before->folders, folders, same_folder);
  if (report.changed || !std::ranges::equal(before->files, found, same_stamps)) {
    const std::shared_ptr<const Snapshot> made =
        make_snapshot(std::move(list), std::move(found), std::move(folders), report.changed);
    const std::lock_guard guard(mutex_);
    snapshot_ = made;
  }
  const std::shared_ptr<const Snapshot> now = snapshot();
  report.files = now->files.size();
  report.bytes = now->bytes;
  return report;
}

std::shared_ptr<const Shares::Snapshot> Shares::make_snapshot(List list, std::vector<Found> found,
                                                              std::vector<Folder> folders, bool is_new) {
  auto made = std::make_shared<Snapshot>();
  made->shares = std::move(list);
  made->folders = std::move(folders);
  made->sequence = snapshot()->sequence + (is_new ? 1 : 0);
  bool is_open = false;
  std::uint64_t inner_bytes = 0;  // Of the file.
  const auto add_leaf = [&](const Cid& cid, std::uint64_t offset, std::uint64_t bytes) {
    const Snapshot::Place place{.file = static_cast<std::uint32_t>(made->files.size()),
                                .bytes = static_cast<std::uint32_t>(bytes),
                                .offset = offset,
                                .is_open = is_open};
    const auto [known, fresh] = made->leaves.try_emplace(cid, place);
    // Where anybody may have it from is worth more.
    if (!fresh && is_open && !known->second.is_open) known->second = place;
  };
  // The leaves below a node, in order; false if an inner node is not in the store any more.
  const auto add_leaves = [&](const auto& again, const Cid& cid, std::uint64_t bytes, std::uint64_t& offset) -> bool {
    if (cid.codec() == Multicodec::raw) {
      add_leaf(cid, offset, bytes);
      offset += bytes;
      return true;
    }
    made->inner.try_emplace(cid, static_cast<std::uint32_t>(made->files.size()));
    const Result<BlockBytes> block = blocks_.get(cid);
    if (block) inner_bytes += (*block)->size();
    const Result<asset::Node> node = block ? asset::parse_node(cid, **block) : std::unexpected(block.error());
    if (!node) return false;
    return std::ranges::all_of(node->links,
                               [&](const asset::NodeLink& link) { return again(again, link.cid, link.bytes, offset); });
  };
  for (Found& file : found) {
    std::uint64_t offset = 0;
    inner_bytes = 0;
    is_open = made->share_of(file).visibility == asset::Visibility::everybody;
    if (!add_leaves(add_leaves, file.cid, file.stamp.bytes, offset) || offset != file.stamp.bytes) {
      // Read anew by the next refresh, which is then due.
      known_->files.erase({made->share_of(file).name, file.place});
      outdated_ = true;
      continue;
    }
    file.total_bytes = offset + inner_bytes;
    made->roots[file.cid].push_back(static_cast<std::uint32_t>(made->files.size()));
    made->bytes += file.stamp.bytes;
    made->files.push_back(std::move(file));
  }
  for (std::uint32_t number = 0; number < made->shares->size(); ++number) {
    if (!(*made->shares)[number].is_added) continue;
    const Result<Whole> whole = build_added(*made, number);
    if (!whole) continue;  // The folder is not there, or the disk is full; a refresh tries again.
    made->added.emplace(number, *whole);
    if ((*made->shares)[number].file.empty()) made->wholes[whole->root].push_back(number);
  }
  return made;
}

namespace {

/// Folders of paths, bottom up.
class FolderBuilder {
 public:
  explicit FolderBuilder(const asset::BlockSink& sink) : sink_(sink) {}

  void add_folder(const std::string& path) { (void)folder(path); }
  void add_file(const std::string& path, asset::FolderEntry entry) {
    const std::size_t cut = path.rfind('/');
    entry.name = path.substr(cut + 1);  // npos + 1 is 0.
    folder(cut == std::string::npos ? "" : path.substr(0, cut)).push_back(std::move(entry));
  }
  [[nodiscard]] Result<asset::Built> finish() {
    // What lies in a folder is behind it in the order of paths.
    while (true) {
      auto last = std::prev(entries_.end());
      const std::string path = last->first;
      MESH_LET(const asset::Built built, asset::build_folder(std::move(last->second), sink_));
      if (path.empty()) return built;
      entries_.erase(last);
      add_file(path, {.name = {}, .cid = built.cid, .total_bytes = built.total_bytes});
    }
  }

 private:
  std::vector<asset::FolderEntry>& folder(const std::string& path) { return entries_[path]; }

  const asset::BlockSink& sink_;
  std::map<std::string, std::vector<asset::FolderEntry>> entries_{{"", {}}};
};

}  // namespace

Result<Shares::Whole> Shares::build_added(const Snapshot& in, std::uint32_t share) {
  Whole whole;
  const auto of_share = [&](const auto& all) {
    const std::string& name = (*in.shares)[share].name;
    return std::ranges::equal_range(all, name, {}, [&](const auto& one) { return (*in.shares)[one.share].name; });
  };
  const auto files = of_share(in.files);
  for (const Found& file : files) whole.bytes += file.stamp.bytes;
  whole.files = files.size();
  if (!(*in.shares)[share].file.empty()) {
    if (files.empty()) return fail(ErrorCode::not_found, "the file is not there");
    whole.root = files.front().cid;
    return whole;
  }
  const auto folders = of_share(in.folders);
  if (folders.empty()) return fail(ErrorCode::not_found, "the folder is not there");
  const asset::BlockSink sink = [this](const Cid& cid, const Bytes& block) -> Status {
    return blocks_.has(cid) ? Status() : blocks_.put(cid, block);
  };
  FolderBuilder builder(sink);
  for (const Folder& folder : folders) builder.add_folder(folder.path);
  for (const Found& file : files) {
    builder.add_file(file.path, {.name = {}, .cid = file.cid, .total_bytes = file.total_bytes});
  }
  MESH_LET(const asset::Built built, builder.finish());
  whole.root = built.cid;
  return whole;
}

// ---------------------------------------------------------------------------------------------------- adding

Result<Shares::Added> Shares::add(const asset::Share& share) {
  const std::lock_guard one_at_a_time(refresh_mutex_);
  MESH_TRY(asset::check_share(share));
  MESH_CHECK(share.is_added, "shares-add");
  const fs::path path = fs::path(share.folder) / share.file;
  std::error_code failed;
  const fs::file_status about = fs::symlink_status(path, failed);
  if (!fs::exists(about))
    return fail(ErrorCode::not_found, fmt::format("there is no file or folder {}", path.string()));
  if (!share.file.empty() && !fs::is_regular_file(about))
    return fail(ErrorCode::invalid, fmt::format("{} is neither a regular file nor a folder", path.string()));

  const List before = snapshot()->shares;
  auto list = std::make_shared<std::vector<asset::Share>>(*before);
  const auto same = std::ranges::find(*list, share.name, &asset::Share::name);
  if (same == list->end()) {
    if (std::ranges::count(*list, true, &asset::Share::is_added) >= std::ptrdiff_t{max_added})
      return fail(ErrorCode::exhausted, fmt::format("{} things are added already; remove some", max_added));
    list->push_back(share);
  } else if (!same->is_added) {
    return fail(ErrorCode::conflict, "a share has the name " + share.name);
  } else {
    *same = share;
  }
  Result<Refreshed> report = refresh(list, &share.name);
  Result<Added> added = report ? added_as(share.name) : std::unexpected(report.error());
  if (report) {
    const auto problem = std::ranges::find(report->problems, share.name, &Problem::share);
    if (problem != report->problems.end()) {
      const fs::path where = fs::path(share.folder) / problem->path;
      added = fail(ErrorCode::storage, fmt::format("{}: {}", where.string(), problem->why));
    } else if (snapshot()->files.size() > options_.max_files) {
      added = fail(ErrorCode::exhausted, fmt::format("these were more than {} files in all", options_.max_files));
    }
  }
  if (!added) {
    // What it finds is what there was.
    [[maybe_unused]] const Result<Refreshed> undone = refresh(before, &share.name);
  }
  return added;
}

Result<Shares::Added> Shares::added_as(std::string_view name) const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  for (const auto& [number, whole] : now->added) {
    const asset::Share& share = (*now->shares)[number];
    if (share.name == name)
      return Added{.share = share, .root = whole.root, .files = whole.files, .bytes = whole.bytes};
  }
  return fail(ErrorCode::storage, "its folders could not be written down; look at the disk");
}

bool Shares::remove(std::string_view name) {
  const std::lock_guard one_at_a_time(refresh_mutex_);
  auto list = std::make_shared<std::vector<asset::Share>>(*snapshot()->shares);
  const std::string known(name);
  if (std::erase_if(*list, [&](const asset::Share& share) { return share.is_added && share.name == name; }) == 0)
    return false;
  return refresh(list, &known).has_value();
}

std::vector<Shares::Added> Shares::added() const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  std::vector<Added> all;
  for (const auto& [number, whole] : now->added)
    all.push_back({.share = (*now->shares)[number], .root = whole.root, .files = whole.files, .bytes = whole.bytes});
  std::ranges::sort(all, {}, [](const Added& one) { return one.share.name; });
  return all;
}

// ---------------------------------------------------------------------------------------------------- looking

std::vector<asset::Asset> Shares::find(const asset::AssetQuery& query, std::size_t first, std::size_t count) const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const bool all = is_empty(query);
  std::vector<asset::Asset> assets;
  for (std::uint32_t number = 0; number < now->files.size() && assets.size() < count; ++number) {
    if (!now->share_of(now->files[number]).is_listed) continue;
    if (all && first > 0) {
      if (!now->is_gone(number)) --first;
      continue;
    }
    const Found& file = now->files[number];
    const asset::Share& share = now->share_of(file);
    asset::Asset asset{.share = share.name,
                       .path = file.path,
                       .cid = file.cid,
                       .bytes = file.stamp.bytes,
                       .sha256 = file.sha256,
                       .visibility = share.visibility,
                       .hub = file.hub,
                       .model = file.model ? std::optional(*file.model) : std::nullopt};
    if (!asset::matches(query, asset) || now->is_gone(number)) continue;
    if (first > 0) {
      --first;
      continue;
    }
    assets.push_back(std::move(asset));
  }
  return assets;
}

bool Shares::is_outdated() {
  if (watch_->has_changes([](std::string_view name) { return !is_left_out(name); })) outdated_ = true;
  return outdated_;
}

std::uint64_t Shares::files() const { return snapshot()->files.size(); }
std::uint64_t Shares::bytes() const { return snapshot()->bytes; }
std::uint64_t Shares::sequence() const { return snapshot()->sequence; }

fs::path Shares::path_of(const asset::Asset& asset) const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const auto share = std::ranges::find(*now->shares, asset.share, &asset::Share::name);
  return share == now->shares->end() ? fs::path() : fs::path(share->folder) / asset.path;
}

bool Shares::may_have(const Cid& root, const std::vector<asset::Visibility>& classes) {
  return is_for(
      root, [&](const asset::Share& share) { return std::ranges::find(classes, share.visibility) != classes.end(); });
}

bool Shares::is_public(const Cid& root) {
  return is_for(root, [](const asset::Share& share) {
    return share.is_listed && share.visibility == asset::Visibility::everybody;
  });
}

bool Shares::is_for(const Cid& root, const std::function<bool(const asset::Share&)>& whom) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  if (const auto whole = now->wholes.find(root);
      whole != now->wholes.end() &&
      std::ranges::any_of(whole->second, [&](std::uint32_t share) { return whom((*now->shares)[share]); }))
    return true;
  const auto found = now->roots.find(root);
  if (found == now->roots.end()) return false;
  return std::ranges::any_of(found->second, [&](std::uint32_t number) {
    const Found& file = now->files[number];
    if (!whom(now->share_of(file)) || now->is_gone(number)) return false;
    if (open_unchanged(now->share_of(file), file).is_open()) return true;
    set_gone(*now, number);
    return false;
  });
}

File Shares::open_unchanged(const asset::Share& share, const Found& file) {
  const File folder = open_folder(share.folder);
  File opened = open_beneath(folder.fd(), file.place, O_RDONLY);
  struct stat about{};
  const bool unchanged = opened.is_open() && ::fstat(opened.fd(), &about) == 0 && S_ISREG(about.st_mode) &&
                         static_cast<std::uint64_t>(about.st_size) == file.stamp.bytes &&
                         nanoseconds(about.st_mtim) == file.stamp.modified_ns;
  return unchanged ? std::move(opened) : File(-1);
}

void Shares::set_gone(const Snapshot& in, std::uint32_t file) {
  outdated_ = true;
  const std::lock_guard guard(in.mutex);
  in.gone.insert(file);
}

std::vector<Cid> Shares::inner_roots() const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  std::vector<Cid> roots;
  for (const auto& [root, files] : now->roots) {
    if (root.codec() != Multicodec::raw) roots.push_back(root);
  }
  for (const auto& [root, shares] : now->wholes) roots.push_back(root);
  return roots;
}

std::optional<std::uint64_t> Shares::size(const Cid& cid, From from) const {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const Snapshot::Place* const place = now->find(cid, from);
  return place == nullptr ? std::nullopt : std::optional<std::uint64_t>(place->bytes);
}

Result<Bytes> Shares::read(const Cid& cid, From from) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  if (const auto inner = now->inner.find(cid); inner != now->inner.end()) {
    set_gone(*now, inner->second);  // The store has lost it; reading the file again makes it again.
    return fail(ErrorCode::not_found, "an inner node of a shared file has to be made again");
  }
  const Snapshot::Place* const place = now->find(cid, from);
  if (place == nullptr) return fail(ErrorCode::not_found, "no shared file has this block");
  const Found& file = now->files[place->file];
  const File opened = open_unchanged(now->share_of(file), file);
  if (!opened.is_open()) {
    set_gone(*now, place->file);
    return fail(ErrorCode::not_found, "the shared file that had this block is gone or was changed");
  }
  return read_at(opened.fd(), place->offset, place->bytes);
}

void Shares::changed(const Cid& cid) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const auto found = now->leaves.find(cid);
  if (found != now->leaves.end()) set_gone(*now, found->second.file);
}

}  // namespace mesh::store
