#include "app/runtime/downloads.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <map>

#include "adapters/store/part_file.h"
#include "app/runtime/file_layout.h"
#include "app/runtime/stream.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view download_prefix = "download/";
constexpr std::size_t max_path_bytes = 4096;
constexpr std::size_t max_named_holders = 64;
constexpr std::size_t max_kept_open = 32;  // Part files of downloads that wait; past it they are opened again.
constexpr Duration longest_wait = std::chrono::minutes(1);
constexpr Duration look_for_holders = seconds(2);  // Those that come while it runs.
constexpr Duration layout_limit = std::chrono::minutes(2);
constexpr Duration whole_limit = std::chrono::hours(24);
constexpr std::uint64_t max_whole_bytes = std::uint64_t{4} << 30;

std::string download_key(const Cid& root) { return std::string(download_prefix) + root.text(); }

bool is_passing(ErrorCode code) { return code == ErrorCode::unavailable || code == ErrorCode::timeout; }

Status check_path(std::string_view path) {
  if (path.empty() || path.size() > max_path_bytes)
    return fail(ErrorCode::invalid, fmt::format("a path has 1 to {} bytes", max_path_bytes));
  while (true) {
    const std::size_t end = path.find('/');
    MESH_TRY(asset::check_name(path.substr(0, end)));
    if (end == std::string_view::npos) return {};
    path.remove_prefix(end + 1);
  }
}

}  // namespace

std::span<const std::string_view> enum_names(Downloads::State) {
  static constexpr std::array<std::string_view, 9> names{"queued", "looking", "running", "finishing", "waiting",
                                                         "paused", "done",    "failed",  "cancelled"};
  return names;
}

fs::path Downloads::folder_of(const fs::path& folder, std::optional<asset::Visibility> visibility) {
  return folder / (visibility ? asset::enum_names(*visibility)[static_cast<std::size_t>(*visibility)]
                              : std::string_view("private"));
}

std::uint64_t Downloads::View::bytes_per_s() const {
  std::uint64_t speed = 0;
  if (state == State::running) {
    for (const LeafFetch::HolderFigures& holder : holders) speed += holder.bytes_per_s;
  }
  return speed;
}

struct Downloads::Impl : std::enable_shared_from_this<Downloads::Impl> {
  struct Download {
    Download(asio::io_context& io, Wanted given) : wanted(std::move(given)), changed(io) {}
    Wanted wanted;
    fs::path file;
    State state = State::queued;
    std::uint64_t bytes = 0;
    std::string error;
    std::vector<Done> waiters;
    std::unique_ptr<LeafFetch> fetch;
    std::unique_ptr<store::PartFile> part;  ///< while no other thread works on it
    std::optional<std::vector<std::uint32_t>> here;  ///< leaves in `part`
    LeafFetch::Figures last;
    std::uint64_t told_hundredths = 0;  ///< when somebody was last told how far it is
    std::chrono::steady_clock::time_point told_at;
    bool pause_asked = false, cancel_asked = false;
    asio::steady_timer changed;  ///< cancelled when there is something to look at
  };
  using DownloadPointer = std::shared_ptr<Download>;

  asio::io_context& io;
  asio::thread_pool disk{1};
  fs::path folder;
  store::NodeStore& store;
  store::BlockStore& blocks;
  ContentExchange& exchange;
  FetchedFiles& fetched;
  Holders holders;
  Tell tell;
  Limits limits;
  std::map<Cid, DownloadPointer> downloads;  ///< unfinished
  std::deque<DownloadPointer> queue;
  std::deque<DownloadPointer> ended;  ///< the last first
  std::size_t running = 0;
  std::atomic<bool> closed{false};

  Impl(asio::io_context& context, fs::path place, store::NodeStore& node_store, store::BlockStore& block_store,
       ContentExchange& content, FetchedFiles& files, Holders find, Tell told, Limits given)
      : io(context),
        folder(std::move(place)),
        store(node_store),
        blocks(block_store),
        exchange(content),
        fetched(files),
        holders(std::move(find)),
        tell(std::move(told)),
        limits(std::move(given)) {}

  void close() {
    closed = true;
    disk.join();  // Whatever it does refers to a part file.
    for (auto& [root, download] : downloads) {
      if (download->fetch) download->fetch->stop();
      download->changed.cancel();
      download->waiters.clear();
    }
    downloads.clear();
    queue.clear();
  }

  // ---- What callers want.

  void get(Wanted wanted, Done done) {
    if (closed) return;
    if (const Status good = check_path(wanted.path); !good) return done(std::unexpected(good.error()));
    if (wanted.path.ends_with(".part"))
      return done(fail(ErrorCode::invalid, "a name that ends with .part is that of a file which is not finished"));
    if (wanted.holders.size() > max_named_holders) wanted.holders.resize(max_named_holders);
    if (const auto known = downloads.find(wanted.root); known != downloads.end()) {
      Download& download = *known->second;
      for (const NodeId& node : wanted.holders) {
        std::vector<NodeId>& named = download.wanted.holders;
        if (std::ranges::find(named, node) == named.end() && named.size() < max_named_holders) named.push_back(node);
      }
      if (wanted.sha256 && !download.wanted.sha256) download.wanted.sha256 = wanted.sha256;
      if (wanted.sha256 && download.wanted.sha256 != wanted.sha256)
        return done(fail(ErrorCode::conflict, "it is being fetched already, as content of another SHA-256"));
      download.waiters.push_back(std::move(done));
      download.changed.cancel();
      return;
    }
    const fs::path file = folder_of(folder, wanted.visibility) / wanted.path;
    for (const auto& [root, other] : downloads) {
      if (other->file == file)
        return done(
            fail(ErrorCode::conflict, fmt::format("{} is being fetched to {} already", root.text(), file.string())));
    }
    if (downloads.size() >= limits.max_downloads)
      return done(fail(ErrorCode::exhausted, fmt::format("{} downloads are under way already", downloads.size())));
    const DownloadPointer download = add(std::move(wanted));
    download->waiters.push_back(std::move(done));
    store::WriteBatch batch;
    batch.put.emplace_back(download_key(download->wanted.root), record::encode(download->wanted));
    // First it is written down, so that whatever was fetched is gone on with after a kill. A store that cannot write is no
    // reason not to fetch.
    store.commit(std::move(batch), [self = shared_from_this(), download](const Status&) {
      asio::dispatch(self->io, [self, download] { self->enqueue(download); });
    });
  }

  DownloadPointer add(Wanted wanted) {
    auto download = std::make_shared<Download>(io, std::move(wanted));
    download->file = folder_of(folder, download->wanted.visibility) / download->wanted.path;
    downloads.emplace(download->wanted.root, download);
    return download;
  }

  void enqueue(const DownloadPointer& download) {
    if (closed) return;
    queue.push_back(download);
    start_next();
  }

  void start_next() {
    while (!closed && running < limits.max_running && !queue.empty()) {
      const DownloadPointer download = std::move(queue.front());
      queue.pop_front();
      if (download->state != State::queued) continue;
      ++running;
      asio::co_spawn(io, run(shared_from_this(), download), asio::detached);
    }
  }

  bool ask(const Cid& root, bool Download::* what, bool value) {
    const auto known = downloads.find(root);
    if (known == downloads.end()) return false;
    Download& download = *known->second;
    download.*what = value;
    if (value && download.fetch) {
      download.last = download.fetch->figures();
      download.fetch->stop();
    }
    download.changed.cancel();
    return true;
  }

  // ---- One download.

  void tell_of(std::string_view kind, const Download& download, const std::string& text) const {
    tell(kind, view_of(download), text);
  }

  void tell_begun(Download& download) const {
    download.told_at = std::chrono::steady_clock::now();
    tell_of("transfer.began", download,
            fmt::format("{} is being fetched to {}", download.wanted.path, download.file.string()));
  }

  /// How far it is. Never of the last hundredth: that it is done is told then.
  void tell_progress(Download& download) const {
    const LeafFetch::Figures figures = download.fetch->figures();
    const std::uint64_t hundredths = figures.bytes_here / std::max<std::uint64_t>(download.bytes / 100, 1);
    const auto now = std::chrono::steady_clock::now();
    if (hundredths <= download.told_hundredths || hundredths >= 100 || now - download.told_at < limits.telling) return;
    download.told_hundredths = hundredths;
    download.told_at = now;
    tell_of("transfer.progress", download,
            fmt::format("{}: {} % of {} bytes are here", download.wanted.path, hundredths, download.bytes));
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, DownloadPointer download) {
    Duration wait = self->limits.first_wait;
    self->tell_begun(*download);
    while (true) {
      Status outcome = co_await attempt(self, download);
      download->fetch.reset();
      if (self->closed) co_return;
      if (self->has_ended(download, outcome)) break;
      if (self->downloads.size() > max_kept_open) {
        download->part.reset();
        download->here.reset();
      }
      // Another may run meanwhile.
      --self->running;
      self->start_next();
      download->state = download->pause_asked ? State::paused : State::waiting;
      do {
        download->changed.expires_after(download->pause_asked ? whole_limit : wait);
        co_await download->changed.async_wait(quiet());
        if (self->closed) co_return;
      } while (download->pause_asked && !download->cancel_asked);
      wait = std::min(wait * 2, longest_wait);
      while (self->running >= self->limits.max_running && !download->cancel_asked) {
        download->changed.expires_after(look_for_holders);
        co_await download->changed.async_wait(quiet());
        if (self->closed) co_return;
      }
      ++self->running;
    }
    --self->running;
    self->start_next();
  }

  /// Whether an attempt was the last one; whoever waits is told what it came to.
  bool has_ended(const DownloadPointer& download, const Status& outcome) {
    if (download->cancel_asked && !outcome) {
      remove_part(*download);
      end(download, State::cancelled, fail(ErrorCode::unavailable, "the download was cancelled"));
      return true;
    }
    if (outcome || (!download->pause_asked && !is_passing(outcome.error().code))) {
      download->part.reset();
      end(download, outcome ? State::done : State::failed, outcome);
      return true;
    }
    if (download->pause_asked) return false;
    download->error = outcome.error().message;
    tell_of("transfer.waits", *download,
            fmt::format("{} is not whole yet: {}", download->wanted.path, download->error));
    std::vector<Done> waiters = std::exchange(download->waiters, {});
    for (Done& done : waiters) done(std::unexpected(outcome.error()));
    return false;
  }

  static void remove_part(Download& download) {
    download.part.reset();
    download.here.reset();
    store::PartFile::remove(download.file);
  }

  void end(const DownloadPointer& download, State state, const Status& status) {
    download->state = state;
    if (!status) download->error = status.error().message;
    downloads.erase(download->wanted.root);
    ended.push_front(download);
    if (ended.size() > limits.max_ended_told) ended.pop_back();
    store::WriteBatch batch;
    batch.erase.push_back(download_key(download->wanted.root));
    if (status) {
      fetched.keep(download->wanted.root, download->file, download->bytes, batch);
    } else {
      fetched.release(download->wanted.root);
    }
    store.commit(std::move(batch), {});
    if (status) {
      tell_of("transfer.done", *download,
              fmt::format("{} is here: {}", download->wanted.path, download->file.string()));
    } else {
      tell_of("transfer.failed", *download,
              fmt::format("{} was not fetched: {}", download->wanted.path, download->error));
    }
    std::vector<Done> waiters = std::exchange(download->waiters, {});
    for (Done& done : waiters) {
      if (status) {
        done(download->file);
      } else {
        done(std::unexpected(status.error()));
      }
    }
  }

  /// Whether it is to stop where it is.
  [[nodiscard]] bool is_stopped(const Download& download) const {
    return closed || download.pause_asked || download.cancel_asked;
  }
  static Status stopped() { return fail(ErrorCode::unavailable, "it was stopped"); }

  [[nodiscard]] std::vector<NodeId> holders_of(const Wanted& wanted) const {
    std::vector<NodeId> all = holders(wanted.root);
    for (const NodeId& node : wanted.holders) {
      if (std::ranges::find(all, node) == all.end()) all.push_back(node);
    }
    return all;
  }

  static asio::awaitable<Status> run_there(std::function<Status()> work) { co_return work(); }

  /// Runs `work` on the disk's thread.
  static asio::awaitable<Status> on_disk(std::shared_ptr<Impl> self, std::function<Status()> work) {
    asio::awaitable<Status> job = run_there(std::move(work));
    Status done = co_await asio::co_spawn(self->disk, std::move(job), asio::use_awaitable);
    co_return done;
  }

  /// Room for the whole file among what was fetched.
  static asio::awaitable<Status> reserve(std::shared_ptr<Impl> self, DownloadPointer download, std::uint64_t bytes) {
    const auto removed = std::make_shared<std::vector<FetchedFiles::Entry>>();
    std::function<Status()> work = [&fetched = self->fetched, root = download->wanted.root, bytes,
                                    removed]() -> Status {
      MESH_LET(*removed, fetched.reserve(root, bytes));
      return {};
    };
    Status reserved = co_await on_disk(self, std::move(work));
    if (self->closed) co_return stopped();
    if (!removed->empty()) {
      std::uint64_t freed = 0;
      for (const FetchedFiles::Entry& entry : *removed) freed += entry.bytes;
      self->tell_of(
          "transfer.room", *download,
          fmt::format("{} fetched files ({} bytes) that were used least recently, such as {}, were removed to make "
                      "room for {}",
                      removed->size(), freed, removed->front().path, download->wanted.path));
    }
    co_return reserved;
  }

  /// What running downloads will still take of the disk.
  [[nodiscard]] std::uint64_t spoken_for() const {
    std::uint64_t bytes = 0;
    for (const auto& [root, other] : downloads) {
      const bool is_running =
          other->state == State::looking || other->state == State::running || other->state == State::finishing;
      if (is_running && other->part) bytes += other->part->unwritten();
    }
    return bytes;
  }

  static asio::awaitable<Status> attempt(std::shared_ptr<Impl> self, DownloadPointer download) {
    if (self->is_stopped(*download)) co_return stopped();
    download->state = State::looking;
    const Wanted& wanted = download->wanted;
    std::optional<std::vector<FileLeaf>> leaves;
    std::uint64_t wanted_bytes = 0;
    if (wanted.root.codec() == Multicodec::dag_pb) {
      Status fetched = co_await bring(self, download, true, layout_limit);
      if (self->is_stopped(*download)) co_return stopped();
      if (!fetched) co_return fetched;
      Result<std::optional<std::vector<FileLeaf>>> layout = file_layout(self->blocks, wanted.root);
      if (!layout) co_return std::unexpected(std::move(layout.error()));
      leaves = std::move(*layout);
      const Result<store::BlockBytes> block = self->blocks.get(wanted.root);
      const Result<asset::Node> node = block ? asset::parse_node(wanted.root, **block) : std::unexpected(block.error());
      if (node) wanted_bytes = node->content_bytes;
    }
    Status brought;
    if (leaves) {
      brought = co_await bring_leaves(self, download, std::move(*leaves));
    } else {
      brought = co_await bring_whole(self, download, wanted_bytes);
    }
    if (!brought) co_return brought;
    download->state = State::finishing;
    std::function<Status()> work = [part = download->part.get(), bytes = download->bytes, sha256 = wanted.sha256] {
      return finish(*part, bytes, sha256);
    };
    Status finished = co_await on_disk(self, std::move(work));
    if (!finished && finished.error().code == ErrorCode::invalid) remove_part(*download);
    co_return finished;
  }

  static Status finish(store::PartFile& part, std::uint64_t bytes, const std::optional<Digest>& sha256) {
    if (sha256) {
      Sha256 whole;
      Bytes buffer(asset::chunk_bytes);
      for (std::uint64_t offset = 0; offset < bytes; offset += buffer.size()) {
        const std::span<std::uint8_t> into =
            std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - offset)));
        MESH_LET(const bool is_there, part.read(offset, into));
        if (!is_there) std::ranges::fill(into, std::uint8_t{0});  // A hole reads as zeros.
        whole.update(into);
      }
      if (whole.finish() != *sha256)
        return fail(ErrorCode::invalid, "its SHA-256 is not the one that it was said to have; it was not kept");
    }
    return part.finish();
  }

  /// The DAG, or its inner nodes alone, into the block store.
  static asio::awaitable<Status> bring(std::shared_ptr<Impl> self, DownloadPointer download, bool inner_only,
                                       Duration limit) {
    const auto result = std::make_shared<std::optional<Status>>();
    const auto over = std::make_shared<asio::steady_timer>(self->io);
    over->expires_after(limit + seconds(1));
    self->exchange.fetch({.root = download->wanted.root, .below = {}, .inner_only = inner_only},
                         self->holders_of(download->wanted), limit, [result, over](Status status) {
                           *result = std::move(status);
                           over->cancel();
                         });
    if (!*result) co_await over->async_wait(quiet());
    if (!*result) co_return fail(ErrorCode::timeout, "nobody answered in time");
    co_return std::move(**result);
  }

  /// Content that does not lie in raw leaves alone, or is one: by way of the block store. `wanted_bytes`: what its root says
  /// that it has, if the root is here.
  static asio::awaitable<Status> bring_whole(std::shared_ptr<Impl> self, DownloadPointer download,
                                             std::uint64_t wanted_bytes) {
    download->state = State::running;
    if (wanted_bytes > 0) {
      Status reserved = co_await reserve(self, download, wanted_bytes);
      if (!reserved) co_return reserved;
    }
    Status fetched = co_await bring(self, download, false, whole_limit);
    if (self->is_stopped(*download)) co_return stopped();
    if (!fetched) co_return fetched;
    const Cid root = download->wanted.root;
    std::uint64_t bytes = 0;
    Status sized = self->blocks.read_dag_file(root, max_whole_bytes, [&](ByteView part) -> Status {
      bytes += part.size();
      return {};
    });
    if (!sized) co_return sized;
    Status reserved = co_await reserve(self, download, bytes);
    if (!reserved) co_return reserved;
    download->part.reset();
    Result<std::unique_ptr<store::PartFile>> part = store::PartFile::open(download->file, bytes, self->spoken_for());
    if (!part) co_return std::unexpected(std::move(part.error()));
    download->part = std::move(*part);
    download->bytes = download->last.bytes_here = bytes;
    std::uint64_t offset = 0;
    co_return self->blocks.read_dag_file(root, max_whole_bytes, [&](ByteView bytes_there) -> Status {
      MESH_TRY(download->part->write(offset, bytes_there));
      offset += bytes_there.size();
      return {};
    });
  }

  static asio::awaitable<Status> bring_leaves(std::shared_ptr<Impl> self, DownloadPointer download,
                                              std::vector<FileLeaf> leaves) {
    if (!download->here) {
      download->part.reset();
      download->bytes = leaves.empty() ? 0 : leaves.back().offset + leaves.back().bytes;
      Status reserved = co_await reserve(self, download, download->bytes);
      if (!reserved) co_return reserved;
      if (self->is_stopped(*download)) co_return stopped();
      Result<std::unique_ptr<store::PartFile>> opened =
          store::PartFile::open(download->file, download->bytes, self->spoken_for());
      if (!opened) co_return std::unexpected(std::move(opened.error()));
      download->part = std::move(*opened);
      const auto here = std::make_shared<std::vector<std::uint32_t>>();
      std::function<Status()> work = [part = download->part.get(), &leaves, here, self] {
        return look_at(*part, leaves, *here, self->closed);
      };
      Status looked = co_await on_disk(self, std::move(work));
      if (!looked) co_return looked;
      download->here = std::move(*here);
      if (self->is_stopped(*download)) co_return stopped();
    }

    download->fetch = std::make_unique<LeafFetch>(
        self->io, self->exchange, download->wanted.root, leaves,
        [impl = self.get(), download = download.get(), &leaves](std::uint32_t leaf, ByteView bytes) -> Status {
          MESH_TRY(download->part->write(leaves[leaf].offset, bytes));
          download->here->push_back(leaf);
          impl->tell_progress(*download);
          return {};
        },
        self->limits.leaves);
    LeafFetch& fetch = *download->fetch;
    for (const std::uint32_t leaf : *download->here) fetch.set_here(leaf);
    for (const NodeId& node : self->holders_of(download->wanted)) fetch.add_holder(node);
    download->state = State::running;
    const auto result = std::make_shared<std::optional<Status>>();
    fetch.start([result, download](Status status) {
      *result = std::move(status);
      download->changed.cancel();
    });
    while (!*result && !self->is_stopped(*download)) {
      download->changed.expires_after(look_for_holders);
      co_await download->changed.async_wait(quiet());
      if (self->closed) co_return stopped();
      if (*result) break;
      for (const NodeId& node : self->holders_of(download->wanted)) fetch.add_holder(node);
    }
    fetch.stop();
    download->last = fetch.figures();
    if (!*result) co_return stopped();
    co_return std::move(**result);
  }

  /// Which leaves an earlier attempt has left.
  static Status look_at(const store::PartFile& part, const std::vector<FileLeaf>& leaves,
                        std::vector<std::uint32_t>& here, const std::atomic<bool>& is_closed) {
    Bytes buffer(asset::max_block_bytes);
    for (std::uint32_t i = 0; i < leaves.size() && !is_closed; ++i) {
      const std::span<std::uint8_t> bytes = std::span(buffer).first(leaves[i].bytes);
      MESH_LET(const bool is_there, part.read(leaves[i].offset, bytes));
      if (is_there && leaves[i].cid.matches(bytes)) here.push_back(i);
    }
    return {};
  }

  [[nodiscard]] static View view_of(const Download& download) {
    const LeafFetch::Figures figures = download.fetch ? download.fetch->figures() : download.last;
    return {.root = download.wanted.root,
            .path = download.wanted.path,
            .visibility = download.wanted.visibility,
            .file = download.file,
            .state = download.state,
            .bytes = download.bytes,
            .bytes_here = download.state == State::done ? download.bytes : figures.bytes_here,
            .bytes_fetched = figures.bytes_fetched,
            .holders = figures.holders,
            .error = download.error};
  }
};

Downloads::Downloads(asio::io_context& io, fs::path folder, store::NodeStore& store, store::BlockStore& blocks,
                     ContentExchange& exchange, FetchedFiles& fetched, Holders holders, Tell tell, Limits limits)
    : impl_(std::make_shared<Impl>(io, std::move(folder), store, blocks, exchange, fetched, std::move(holders),
                                   std::move(tell), std::move(limits))) {}
Downloads::~Downloads() { impl_->close(); }

Status Downloads::resume_all() {
  MESH_LET(const auto known, impl_->store.scan(download_prefix, impl_->limits.max_downloads));
  for (const auto& [key, bytes] : known) {
    // What does not read is no reason to keep a node from starting: it can be asked for again.
    Result<Wanted> read = record::decode<Wanted>(bytes);
    if (!read || !check_path(read->path)) continue;
    asio::dispatch(impl_->io, [impl = impl_, wanted = std::move(*read)]() mutable {
      if (!impl->closed && !impl->downloads.contains(wanted.root)) impl->enqueue(impl->add(std::move(wanted)));
    });
  }
  return {};
}

void Downloads::get(Wanted wanted, Done done) {
  asio::dispatch(impl_->io, [impl = impl_, wanted = std::move(wanted), done = std::move(done)]() mutable {
    impl->get(std::move(wanted), std::move(done));
  });
}

void Downloads::pause(const Cid& root, std::move_only_function<void(bool)> done) {
  asio::dispatch(impl_->io, [impl = impl_, root, done = std::move(done)]() mutable {
    done(impl->ask(root, &Impl::Download::pause_asked, true));
  });
}
void Downloads::resume(const Cid& root, std::move_only_function<void(bool)> done) {
  asio::dispatch(impl_->io, [impl = impl_, root, done = std::move(done)]() mutable {
    done(impl->ask(root, &Impl::Download::pause_asked, false));
  });
}
void Downloads::cancel(const Cid& root, std::move_only_function<void(bool)> done) {
  asio::dispatch(impl_->io, [impl = impl_, root, done = std::move(done)]() mutable {
    done(impl->ask(root, &Impl::Download::cancel_asked, true));
  });
}

void Downloads::look_again() {
  asio::dispatch(impl_->io, [impl = impl_] {
    for (const auto& [root, download] : impl->downloads) download->changed.cancel();
  });
}

std::vector<Downloads::View> Downloads::list() const {
  std::vector<View> all;
  for (const auto& [root, download] : impl_->downloads) all.push_back(Impl::view_of(*download));
  for (const auto& download : impl_->ended) all.push_back(Impl::view_of(*download));
  return all;
}

std::vector<Cid> Downloads::roots() const {
  std::vector<Cid> all;
  for (const auto& [root, download] : impl_->downloads) all.push_back(root);
  // Until those that are served on are looked at, nothing else holds what they have.
  for (const auto& download : impl_->ended) {
    if (download->state == State::done) all.push_back(download->wanted.root);
  }
  return all;
}

}  // namespace mesh::app
