#include "app/runtime/fetched_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace mesh::app {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view fetched_prefix = "fetched/";
constexpr std::uint64_t written_every_ms = 3'600'000;

/// Of bounded length, whatever the path's.
std::string fetched_key(const std::string& path) { return std::string(fetched_prefix) + sha256(as_bytes(path)).hex(); }

}  // namespace

FetchedFiles::FetchedFiles(fs::path folder, store::NodeStore& store, Limits limits, IsPinned is_pinned, Clock now_ms)
    : folder_(std::move(folder)),
      store_(store),
      limits_(limits),
      is_pinned_(std::move(is_pinned)),
      now_ms_(std::move(now_ms)) {}

Result<std::shared_ptr<FetchedFiles>> FetchedFiles::open(fs::path folder, store::NodeStore& store, Limits limits,
                                                         IsPinned is_pinned, Clock now_ms) {
  std::shared_ptr<FetchedFiles> self(
      new FetchedFiles(std::move(folder), store, limits, std::move(is_pinned), std::move(now_ms)));
  // In sixteen parts: one read may return so many bytes and no more.
  for (const char digit : std::string_view("0123456789abcdef")) {
    MESH_LET(const auto known, store.scan(std::string(fetched_prefix) + digit, limits.max_files));
    for (const auto& [key, bytes] : known) {
      const Result<Entry> entry = record::decode<Entry>(bytes);
      if (!entry || self->files_.size() >= limits.max_files) continue;  // The file stays, and counts no more.
      self->paths_.emplace(entry->root, entry->path);
      self->files_.emplace(entry->path, File{.entry = *entry, .written_ms = entry->used_ms});
    }
  }
  return self;
}

std::uint64_t FetchedFiles::now() const { return static_cast<std::uint64_t>(std::max<std::int64_t>(now_ms_(), 0)); }

std::uint64_t FetchedFiles::total() const {
  std::uint64_t bytes = 0;
  for (const auto& [path, file] : files_) bytes += file.entry.bytes;
  for (const auto& [root, reserved] : reserved_) bytes += reserved;
  return bytes;
}

void FetchedFiles::drop_missing() {
  store::WriteBatch batch;
  std::erase_if(files_, [&](const auto& known) {
    std::error_code error;
    const auto status = fs::symlink_status(folder_ / known.first, error);
    if (status.type() != fs::file_type::not_found) return false;
    batch.erase.push_back(fetched_key(known.first));
    return true;
  });
  if (batch.empty()) return;
  std::erase_if(paths_, [&](const auto& known) { return !files_.contains(known.second); });
  batch.urgency = store::Urgency::may_wait;
  store_.commit(std::move(batch), {});
}

bool FetchedFiles::is_free(const File& file, std::uint64_t at_ms) const {
  const auto served_for = static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(limits_.served).count());
  return !in_use_.contains(file.entry.root) && (file.served_ms == 0 || at_ms >= file.served_ms + served_for) &&
         !is_pinned_(file.entry.root);
}

Result<std::vector<FetchedFiles::Entry>> FetchedFiles::reserve(const Cid& root, std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  std::vector<Entry> removed;
  std::uint64_t& reserved = reserved_[root];
  const auto give_up = [&](std::string text) -> Result<std::vector<Entry>> {
    if (reserved == 0) reserved_.erase(root);
    return fail(ErrorCode::exhausted, std::move(text));
  };
  const std::uint64_t quota = limits_.quota_bytes;
  if (bytes <= reserved || quota == 0) {
    reserved = std::max(reserved, bytes);
    return removed;
  }
  if (bytes > quota) {
    return give_up(
        fmt::format("it takes {} bytes, and all fetched files together may take {}: raise fetched-gib", bytes, quota));
  }
  const std::uint64_t more = bytes - reserved;
  if (total() > quota - more) drop_missing();
  const std::uint64_t before = total();
  if (before > quota - more) {
    const std::uint64_t lacking = before - (quota - more);
    const std::uint64_t at_ms = now();
    std::vector<const File*> free;
    std::uint64_t free_bytes = 0;
    for (const auto& [path, file] : files_) {
      if (!is_free(file, at_ms)) continue;
      free.push_back(&file);
      free_bytes += file.entry.bytes;
    }
    const auto no_room = [&] {
      return fmt::format(
          "it takes {} bytes; of the {} bytes that fetched files may take, {} are taken, and only {} of these can be "
          "given up, since the rest is pinned, in use or being fetched: raise fetched-gib, or unpin something",
          bytes, quota, before, free_bytes);
    };
    if (free_bytes < lacking) return give_up(no_room());
    std::ranges::sort(free, {}, [](const File* file) { return std::tie(file->entry.used_ms, file->entry.path); });
    std::uint64_t freed = 0;
    store::WriteBatch batch;
    for (const File* file : free) {
      if (freed >= lacking) break;
      std::error_code error;
      fs::remove(folder_ / file->entry.path, error);
      if (error) continue;
      freed += file->entry.bytes;
      batch.erase.push_back(fetched_key(file->entry.path));
      removed.push_back(file->entry);
    }
    for (const Entry& entry : removed) files_.erase(entry.path);
    std::erase_if(paths_, [&](const auto& known) { return !files_.contains(known.second); });
    batch.urgency = store::Urgency::may_wait;
    if (!removed.empty()) store_.commit(std::move(batch), {});
    if (freed < lacking) return give_up(no_room() + "; a file could not be removed");
  }
  reserved = bytes;
  return removed;
}

void FetchedFiles::release(const Cid& root) {
  const std::lock_guard guard(mutex_);
  reserved_.erase(root);
}

void FetchedFiles::forget_oldest(store::WriteBatch& batch) {
  const auto oldest =
      std::ranges::min_element(files_, {}, [](const auto& known) { return known.second.entry.used_ms; });
  batch.erase.push_back(fetched_key(oldest->first));
  files_.erase(oldest);
}

void FetchedFiles::keep(const Cid& root, const fs::path& file, std::uint64_t bytes, store::WriteBatch& batch) {
  const std::lock_guard guard(mutex_);
  reserved_.erase(root);
  const std::string path = file.lexically_relative(folder_).string();
  files_.erase(path);
  if (files_.size() >= limits_.max_files) forget_oldest(batch);
  std::erase_if(paths_, [&](const auto& known) { return !files_.contains(known.second); });
  const Entry entry{.root = root, .path = path, .bytes = bytes, .used_ms = now()};
  batch.put.emplace_back(fetched_key(path), record::encode(entry));
  paths_.emplace(root, path);
  files_.emplace(path, File{.entry = entry, .written_ms = entry.used_ms});
}

void FetchedFiles::touch(const Cid& root, bool is_served) {
  const std::uint64_t at_ms = now();
  const auto [first, last] = paths_.equal_range(root);
  for (auto known = first; known != last; ++known) {
    File& file = files_.at(known->second);
    file.entry.used_ms = std::max(file.entry.used_ms, at_ms);
    if (is_served) file.served_ms = at_ms;
    if (file.entry.used_ms - file.written_ms < written_every_ms) continue;
    file.written_ms = file.entry.used_ms;
    store::WriteBatch batch;
    batch.put.emplace_back(fetched_key(known->second), record::encode(file.entry));
    batch.urgency = store::Urgency::may_wait;
    store_.commit(std::move(batch), {});
  }
}

void FetchedFiles::note_used(const Cid& root) {
  const std::lock_guard guard(mutex_);
  touch(root, false);
}

void FetchedFiles::note_served(const Cid& root) {
  const std::lock_guard guard(mutex_);
  touch(root, true);
}

FetchedFiles::Use FetchedFiles::use(const Cid& root) {
  const std::lock_guard guard(mutex_);
  touch(root, false);
  ++in_use_[root];
  return {static_cast<const void*>(this), [weak = weak_from_this(), root](const void*) {
            const auto self = weak.lock();
            if (!self) return;
            const std::lock_guard ended(self->mutex_);
            if (--self->in_use_[root] == 0) self->in_use_.erase(root);
            self->touch(root, false);
          }};
}

bool FetchedFiles::knows(const Cid& root) const {
  const std::lock_guard guard(mutex_);
  return paths_.contains(root) || reserved_.contains(root);
}

std::uint64_t FetchedFiles::bytes() const {
  const std::lock_guard guard(mutex_);
  return total();
}

}  // namespace mesh::app
