#include "adapters/store/block_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "adapters/store/file.h"
#include "adapters/store/small_blocks.h"
#include "adapters/store/sync_path.h"
#include "codec/car.h"

namespace mesh::store {
namespace {

constexpr std::string_view root_prefix = "root/";
constexpr std::size_t max_reason_bytes = 64;
constexpr std::size_t max_quarantined_files = 64;
constexpr std::size_t max_declared = 10'000'000;
constexpr std::size_t max_synced_one_by_one = 16;  // Past it one sync of the disk is quicker.
constexpr std::int64_t in_a_file = 0;              // Rows count from 1.

std::string root_key(const Cid& root, std::string_view reason) {
  return fmt::format("{}{}/{}", root_prefix, root.text(), reason);
}

bool write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  return true;
}

Error disk_error(std::string_view what, const std::string& path) {
  const int cause = errno;
  const bool full = cause == ENOSPC || cause == EDQUOT;
  return {ErrorCode::storage,
          fmt::format("{} {} failed ({}); {}", what, path, std::strerror(cause),
                      full ? "free some space and try again" : "check the disk and who may write there")};
}

}  // namespace

struct BlockStore::Impl {
  struct Entry {
    std::uint64_t size = 0;
    std::int64_t row = in_a_file;  ///< Among the small blocks.
    std::uint64_t generation = 0;  ///< Tells a block that was read from one that has replaced it since.
  };
  struct Cached {
    Cid cid;
    BlockBytes bytes;
  };

  NodeStore& node_store;
  BlockSource* elsewhere = nullptr;
  BlockStoreOptions options;
  std::string folder;
  std::unique_ptr<SmallBlocks> small;  ///< Its own lock is taken after `mutex`.
  std::atomic<std::uint64_t> next_temporary{0};

  mutable std::mutex mutex;
  mutable std::unordered_map<Cid, Entry> index;
  mutable std::uint64_t total = 0;
  std::uint64_t reserved = 0;  ///< Of puts that are writing their files.
  std::uint64_t next_generation = 1;
  mutable std::size_t quarantined = 0;
  std::map<Cid, std::set<std::string, std::less<>>> roots;
  std::unordered_set<Cid> unsynced;  ///< Files put since the last sync; meaningless while `all_unsynced`.
  bool all_unsynced = false;         ///< Too many to name, or put by a process that ended before it synced.
  bool small_unsynced = false;
  std::mutex sync_mutex;             ///< Held by the one sync() that is under way; taken before `mutex`.

  mutable std::list<Cached> recent;  ///< Most recently used first.
  mutable std::unordered_map<Cid, std::list<Cached>::iterator> cached;
  mutable std::size_t cached_bytes = 0;

  Impl(NodeStore& store, BlockStoreOptions given)
      : node_store(store), options(given), folder((store.home() / "blocks").string()) {}

  [[nodiscard]] std::string fan(const Cid& cid) const {
    return fmt::format("{}/{:02x}", folder, cid.digest().view()[0]);
  }
  [[nodiscard]] std::string path_of(const Cid& cid) const { return fmt::format("{}/{}", fan(cid), cid.text()); }

  // The functions below need the mutex held.

  void drop_cached(const Cid& cid) const {
    const auto found = cached.find(cid);
    if (found == cached.end()) return;
    cached_bytes -= found->second->bytes->size();
    recent.erase(found->second);
    cached.erase(found);
  }

  /// A block larger than an eighth of the cache would push out too much of what is hot.
  void keep(const Cid& cid, BlockBytes bytes) const {
    if (bytes->size() > options.cache_bytes / 8 || cached.contains(cid)) return;
    cached_bytes += bytes->size();
    recent.push_front({cid, std::move(bytes)});
    cached.emplace(cid, recent.begin());
    while (cached_bytes > options.cache_bytes) drop_cached(Cid(recent.back().cid));
  }

  void forget(const Cid& cid) const {
    const auto found = index.find(cid);
    if (found == index.end()) return;
    total -= found->second.size;
    index.erase(found);
    drop_cached(cid);
  }

  /// Moves a damaged block aside, so that people can look at it; past a number of them they are deleted.
  void quarantine(const Cid& cid, const Entry& entry, ByteView bytes) const {
    const std::string aside = fmt::format("{}/quarantine/{}", folder, cid.text());
    const bool room = quarantined < max_quarantined_files;
    if (entry.row == in_a_file) {
      const std::string path = path_of(cid);
      if (room && ::rename(path.c_str(), aside.c_str()) == 0) {
        ++quarantined;
      } else {
        ::unlink(path.c_str());
      }
    } else {
      if (room && write_file(cid, bytes, aside)) ++quarantined;
      // A row that cannot be erased is damaged still when the store is opened again, and found so when it is read.
      [[maybe_unused]] const Status erased = small->erase(entry.row);
    }
    forget(cid);
  }

  Status prepare_folders() const {
    const auto make = [](const std::string& path) -> Status {
      if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return std::unexpected(disk_error("making the folder", path));
      return {};
    };
    MESH_TRY(make(folder));
    MESH_TRY(make(folder + "/tmp"));
    MESH_TRY(make(folder + "/quarantine"));
    for (unsigned byte = 0; byte < 256; ++byte) MESH_TRY(make(fmt::format("{}/{:02x}", folder, byte)));
    if (!sync_path(folder, O_DIRECTORY)) return std::unexpected(disk_error("syncing", folder));
    return {};
  }

  Status scan() {
    std::error_code failed;
    const auto list = [&](const std::string& path, const auto& each) -> Status {
      std::filesystem::directory_iterator entries(path, failed);
      for (; !failed && entries != std::filesystem::directory_iterator(); entries.increment(failed)) each(*entries);
      if (failed)
        return fail(ErrorCode::storage,
                    fmt::format("the folder {} cannot be read ({}); check the disk", path, failed.message()));
      return {};
    };
    MESH_TRY(list(folder + "/tmp", [](const auto& entry) {
      std::error_code ignored;
      std::filesystem::remove(entry.path(), ignored);
    }));
    MESH_TRY(list(folder + "/quarantine", [this](const auto&) { ++quarantined; }));
    for (unsigned byte = 0; byte < 256; ++byte) {
      MESH_TRY(list(fmt::format("{}/{:02x}", folder, byte), [&](const auto& entry) {
        const std::string name = entry.path().filename().string();
        const auto cid = Cid::from_text(name);
        std::error_code odd;
        // What is not a block of ours, under its one right name, is left alone and not counted.
        if (!cid || cid->text() != name || cid->digest().view()[0] != byte || !entry.is_regular_file(odd)) return;
        const std::uint64_t size = entry.file_size(odd);
        if (odd || size > options.max_block_bytes) return;
        index.emplace(*cid, Entry{.size = size, .generation = next_generation++});
        total += size;
      }));
    }
    all_unsynced = !index.empty();
    // Of a block that is there twice the newest row counts: the older one was damaged, or is as good.
    std::vector<std::int64_t> needless;
    MESH_TRY(small->for_each([&](const SmallBlocks::Row& row) {
      if (row.size_bytes > options.max_block_bytes) return;
      const auto [known, fresh] = index.try_emplace(row.cid);
      if (!fresh) {
        total -= known->second.size;
        if (known->second.row != in_a_file) needless.push_back(known->second.row);
      }
      known->second = {.size = row.size_bytes, .row = row.number, .generation = next_generation++};
      total += row.size_bytes;
      small_unsynced = true;
    }));
    for (const std::int64_t row : needless) {
      if (!small->erase(row)) break;  // The next start finds them again.
    }
    return {};
  }

  Status load_roots() {
    MESH_LET(const auto pairs, node_store.scan(root_prefix, max_declared));
    for (const auto& [key, value] : pairs) {
      const std::string_view rest = std::string_view(key).substr(root_prefix.size());
      const std::size_t slash = rest.find('/');
      const auto root = Cid::from_text(rest.substr(0, slash));
      if (slash == std::string_view::npos || !root) {
        return fail(ErrorCode::storage,
                    fmt::format("the store's entry \"{}\" names no root; restore the home from a backup", key));
      }
      roots[*root].emplace(rest.substr(slash + 1));
    }
    return {};
  }

  Status write_file(const Cid& cid, ByteView bytes, const std::string& temporary) const {
    File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file.is_open()) return std::unexpected(disk_error("making", temporary));
    if (!write_all(file.fd(), bytes)) return std::unexpected(disk_error("writing the block", cid.text()));
    if (!file.close_now()) return std::unexpected(disk_error("writing the block", cid.text()));
    return {};
  }

  Result<BlockBytes> get_elsewhere(const Cid& cid, From from) const {
    Result<Bytes> bytes = elsewhere != nullptr ? elsewhere->read(cid, from) : fail(ErrorCode::not_found, "");
    if (bytes && cid.matches(*bytes)) return std::make_shared<const Bytes>(std::move(*bytes));
    if (bytes) elsewhere->changed(cid);
    if (!bytes && bytes.error().code != ErrorCode::not_found) return std::unexpected(std::move(bytes.error()));
    return fail(ErrorCode::not_found, fmt::format("block {} is not here", cid.text()));
  }

  /// Room for the bytes is reserved.
  Status put_row(const Cid& cid, ByteView bytes) {
    const Result<std::int64_t> row = small->add(cid, bytes);
    const std::lock_guard guard(mutex);
    reserved -= bytes.size();
    if (!row) return std::unexpected(row.error());
    // Another thread may have put the same block meanwhile: it counts once.
    if (index.contains(cid)) return small->erase(*row);
    index.emplace(cid, Entry{.size = bytes.size(), .row = *row, .generation = next_generation++});
    total += bytes.size();
    small_unsynced = true;
    keep(cid, std::make_shared<const Bytes>(to_bytes(bytes)));
    return {};
  }

  /// Room for the bytes is reserved.
  Status put_file(const Cid& cid, ByteView bytes) {
    const std::string temporary = fmt::format("{}/tmp/{}", folder, next_temporary++);
    Status done = write_file(cid, bytes, temporary);
    {
      const std::lock_guard guard(mutex);
      reserved -= bytes.size();
      if (done && ::rename(temporary.c_str(), path_of(cid).c_str()) != 0)
        done = std::unexpected(disk_error("placing the block", cid.text()));
      if (done) {
        const Entry entry{.size = bytes.size(), .generation = next_generation++};
        // Another thread may have put the same block meanwhile: it counts once.
        if (index.insert_or_assign(cid, entry).second) total += bytes.size();
        keep(cid, std::make_shared<const Bytes>(to_bytes(bytes)));
        if (unsynced.size() > max_synced_one_by_one) all_unsynced = true;
        if (!all_unsynced) unsynced.insert(cid);
      }
    }
    if (!done) ::unlink(temporary.c_str());
    return done;
  }

  Status sync_files(const std::unordered_set<Cid>& cids) const {
    std::set<std::string> fans;
    for (const Cid& cid : cids) {
      // One that was erased meanwhile has nothing left to lose.
      if (!sync_path(path_of(cid), 0) && errno != ENOENT)
        return std::unexpected(disk_error("syncing the block", cid.text()));
      fans.insert(fan(cid));
    }
    for (const std::string& path : fans) {
      if (!sync_path(path, O_DIRECTORY)) return std::unexpected(disk_error("syncing", path));
    }
    return {};
  }

  /// not_found where the file is gone; one byte more than `size` where it has grown.
  Result<Bytes> read_file(const Cid& cid, std::uint64_t size) const {
    const std::string path = path_of(cid);
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.is_open()) {
      if (errno != ENOENT && errno != ELOOP) return std::unexpected(disk_error("opening the block", path));
      return fail(ErrorCode::not_found, fmt::format("there is no file {}", path));
    }
    Bytes bytes(size + 1);
    std::size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t got = ::read(file.fd(), bytes.data() + filled, bytes.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::unexpected(disk_error("reading the block", path));
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
  }

  Status sync_disk() const {
    const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!file.is_open() || ::syncfs(file.fd()) != 0) return std::unexpected(disk_error("syncing", folder));
    return {};
  }

  Status change_root(const Cid& root, std::string_view reason, bool add, WriteBatch& batch) {
    if (reason.empty() || reason.size() > max_reason_bytes) {
      return fail(ErrorCode::invalid,
                  fmt::format("a root's reason has {} bytes; it must have 1 to {}", reason.size(), max_reason_bytes));
    }
    if (add) {
      roots[root].emplace(reason);
      batch.put.emplace_back(root_key(root, reason), Bytes{});
      return {};
    }
    if (const auto found = roots.find(root); found != roots.end()) {
      if (const auto known = found->second.find(reason); known != found->second.end()) found->second.erase(known);
      if (found->second.empty()) roots.erase(found);
    }
    batch.erase.push_back(root_key(root, reason));
    return {};
  }

  void change_root_and_commit(const Cid& root, std::string_view reason, bool add, NodeStore::Completion completion,
                              Urgency urgency) {
    // What may wait has nobody that hears of a failure.
    WriteBatch batch{.urgency = urgency, .insists = urgency == Urgency::may_wait};
    Status changed;
    {
      const std::lock_guard guard(mutex);
      changed = change_root(root, reason, add, batch);
    }
    if (!changed) {
      if (completion) completion(std::move(changed));
      return;
    }
    node_store.commit(std::move(batch), std::move(completion));
  }
};

BlockStore::BlockStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockStore::~BlockStore() = default;

Result<std::unique_ptr<BlockStore>> BlockStore::open(NodeStore& node_store, BlockStoreOptions options) {
  auto impl = std::make_unique<Impl>(node_store, options);
  MESH_TRY(impl->prepare_folders());
  MESH_LET(impl->small, SmallBlocks::open(impl->folder));
  MESH_TRY(impl->scan());
  MESH_TRY(impl->load_roots());
  return std::unique_ptr<BlockStore>(new BlockStore(std::move(impl)));
}

Status BlockStore::put(const Cid& cid, ByteView bytes) {
  if (bytes.size() > impl_->options.max_block_bytes) {
    return fail(ErrorCode::exhausted, fmt::format("block {} has {} bytes; a block has at most {}", cid.text(),
                                                  bytes.size(), impl_->options.max_block_bytes));
  }
  if (!cid.matches(bytes)) {
    return fail(
        ErrorCode::invalid,
        fmt::format("the bytes given for block {} are not what it names; fetch it from another peer", cid.text()));
  }
  {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->index.contains(cid)) return {};
    const std::uint64_t used = impl_->total + impl_->reserved;
    if (bytes.size() > impl_->options.quota_bytes || used > impl_->options.quota_bytes - bytes.size()) {
      return fail(ErrorCode::exhausted,
                  fmt::format("block {} of {} bytes is above the quota ({} of {} bytes are used); remove assets, or "
                              "raise the quota",
                              cid.text(), bytes.size(), used, impl_->options.quota_bytes));
    }
    impl_->reserved += bytes.size();
  }
  return bytes.size() <= impl_->options.max_small_bytes ? impl_->put_row(cid, bytes) : impl_->put_file(cid, bytes);
}

Status BlockStore::sync() {
  // Whoever comes while another syncs waits for it: what he put may be among what that one has taken on.
  const std::lock_guard one_at_a_time(impl_->sync_mutex);
  std::unordered_set<Cid> files;
  bool all_files = false;
  bool small = false;
  {
    const std::lock_guard guard(impl_->mutex);
    files.swap(impl_->unsynced);
    all_files = std::exchange(impl_->all_unsynced, false);
    small = std::exchange(impl_->small_unsynced, false);
  }
  Status done;
  if (small) done = impl_->small->sync();
  if (done && all_files) {
    done = impl_->sync_disk();
  } else if (done) {
    done = impl_->sync_files(files);
  }
  if (!done) {
    const std::lock_guard guard(impl_->mutex);
    impl_->all_unsynced = impl_->all_unsynced || all_files || !files.empty();
    impl_->small_unsynced = impl_->small_unsynced || small;
  }
  return done;
}

Result<BlockBytes> BlockStore::get(const Cid& cid, From from) const {
  std::optional<Impl::Entry> kept;
  {
    const std::lock_guard guard(impl_->mutex);
    if (const auto hot = impl_->cached.find(cid); hot != impl_->cached.end()) {
      impl_->recent.splice(impl_->recent.begin(), impl_->recent, hot->second);
      return hot->second->bytes;
    }
    if (const auto found = impl_->index.find(cid); found != impl_->index.end()) kept = found->second;
  }
  if (!kept) return impl_->get_elsewhere(cid, from);
  const Impl::Entry& entry = *kept;
  Result<Bytes> bytes = entry.row == in_a_file ? impl_->read_file(cid, entry.size) : impl_->small->read(entry.row);
  if (!bytes && bytes.error().code != ErrorCode::not_found) return std::unexpected(std::move(bytes.error()));
  const bool right = bytes && bytes->size() == entry.size && cid.matches(*bytes);
  const std::lock_guard guard(impl_->mutex);
  const auto found = impl_->index.find(cid);
  const bool same = found != impl_->index.end() && found->second.generation == entry.generation;
  if (!bytes || (!right && !same)) {  // Erased meanwhile, and its row perhaps another block's already.
    if (same) impl_->forget(cid);
    return fail(ErrorCode::not_found,
                fmt::format("block {} is not here any more (it is gone from the disk)", cid.text()));
  }
  if (!right) {
    impl_->quarantine(cid, entry, *bytes);
    return fail(ErrorCode::storage,
                fmt::format("block {} is damaged on the disk and was set aside; fetch it again", cid.text()));
  }
  auto shared = std::make_shared<const Bytes>(std::move(*bytes));
  if (same) impl_->keep(cid, shared);
  return shared;
}

void BlockStore::attach(BlockSource& source) { impl_->elsewhere = &source; }

bool BlockStore::has(const Cid& cid, From from) const { return size(cid, from).has_value(); }

bool BlockStore::keeps(const Cid& cid) const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->index.contains(cid);
}

Result<std::uint64_t> BlockStore::size(const Cid& cid, From from) const {
  {
    const std::lock_guard guard(impl_->mutex);
    if (const auto found = impl_->index.find(cid); found != impl_->index.end()) return found->second.size;
  }
  if (impl_->elsewhere != nullptr) {
    if (const std::optional<std::uint64_t> bytes = impl_->elsewhere->size(cid, from)) return *bytes;
  }
  return fail(ErrorCode::not_found, fmt::format("block {} is not here", cid.text()));
}

Result<std::int64_t> BlockStore::written_s(const Cid& cid) const {
  Impl::Entry entry;
  {
    const std::lock_guard guard(impl_->mutex);
    const auto found = impl_->index.find(cid);
    if (found == impl_->index.end()) return fail(ErrorCode::not_found, fmt::format("block {} is not here", cid.text()));
    entry = found->second;
  }
  if (entry.row != in_a_file) return impl_->small->written_s(entry.row);
  struct stat about{};
  const std::string path = impl_->path_of(cid);
  if (::stat(path.c_str(), &about) != 0) return std::unexpected(disk_error("looking at the block", path));
  return about.st_mtim.tv_sec;
}

Result<bool> BlockStore::erase(const Cid& cid) {
  const std::lock_guard guard(impl_->mutex);
  const auto found = impl_->index.find(cid);
  if (found == impl_->index.end()) return false;
  if (found->second.row != in_a_file) {
    MESH_TRY(impl_->small->erase(found->second.row));
  } else {
    const std::string path = impl_->path_of(cid);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(disk_error("removing the block", path));
  }
  impl_->forget(cid);
  return true;
}

Status BlockStore::shrink() { return impl_->small->shrink(); }

void BlockStore::for_each(const std::function<void(const Cid&, std::uint64_t)>& each) const {
  std::vector<std::pair<Cid, std::uint64_t>> all;
  {
    const std::lock_guard guard(impl_->mutex);
    all.reserve(impl_->index.size());
    for (const auto& [cid, entry] : impl_->index) all.emplace_back(cid, entry.size);
  }
  std::ranges::sort(all);
  for (const auto& [cid, size] : all) each(cid, size);
}

std::uint64_t BlockStore::total_bytes() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->total;
}

std::size_t BlockStore::count() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->index.size();
}

void BlockStore::declare(const Cid& root, std::string_view reason, NodeStore::Completion completion, Urgency urgency) {
  impl_->change_root_and_commit(root, reason, true, std::move(completion), urgency);
}

void BlockStore::undeclare(const Cid& root, std::string_view reason, NodeStore::Completion completion,
                           Urgency urgency) {
  impl_->change_root_and_commit(root, reason, false, std::move(completion), urgency);
}

bool BlockStore::is_declared(const Cid& root) const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->roots.contains(root);
}

std::map<Cid, std::vector<std::string>> BlockStore::declared() const {
  const std::lock_guard guard(impl_->mutex);
  std::map<Cid, std::vector<std::string>> all;
  for (const auto& [root, reasons] : impl_->roots)
    all.emplace(root, std::vector<std::string>(reasons.begin(), reasons.end()));
  return all;
}

Result<std::vector<Cid>> BlockStore::import_car(ByteView car) {
  constexpr std::size_t step = std::size_t{256} << 10;
  car::Reader reader;
  while (!car.empty()) {
    const ByteView part = car.first(std::min(step, car.size()));
    MESH_TRY(reader.feed(part));
    while (auto block = reader.next()) MESH_TRY(put(block->cid, block->bytes));
    car = car.subspan(part.size());
  }
  if (!reader.at_boundary()) return fail(ErrorCode::invalid, "the CAR file is cut short; fetch it again");
  return reader.roots();
}

Result<std::vector<Cid>> BlockStore::import_car_file(const std::filesystem::path& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::storage,
                fmt::format("{} cannot be read ({})", path.string(), std::strerror(errno)));
  }
  car::Reader reader;
  Bytes buffer(std::size_t{256} << 10);
  while (true) {
    const ssize_t got = ::read(file.fd(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(disk_error("reading", path.string()));
    if (got == 0) break;
    MESH_TRY(reader.feed(ByteView(buffer).first(static_cast<std::size_t>(got))));
    while (auto block = reader.next()) MESH_TRY(put(block->cid, block->bytes));
  }
  if (!reader.at_boundary())
    return fail(ErrorCode::invalid, fmt::format("the CAR file {} is cut short; fetch it again", path.string()));
  return reader.roots();
}

}  // namespace mesh::store
