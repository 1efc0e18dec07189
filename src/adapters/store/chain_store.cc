#include "adapters/store/chain_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <string>

#include "adapters/store/chain_rows.h"
#include "adapters/store/database.h"
#include "adapters/store/group_commit.h"
#include "adapters/store/sync_path.h"
#include "base/check.h"

namespace mesh::store {
namespace {

std::size_t size_of(const ChainWrite& write) {
  std::size_t total = sizeof write;
  for (const ChainBlock& block : write.blocks) total += sizeof block + block.certificate.size() + block.block.size();
  for (const auto& entry : write.entries) total += sizeof entry + entry.second.size();
  for (const ChainOffence& offence : write.offences) total += sizeof offence + offence.evidence.size();
  for (const ChainPart& part : write.parts) total += sizeof part + part.bytes.size();
  return total;
}

Status check_height(std::uint64_t height, std::uint64_t lowest, std::string_view of) {
  if (height >= lowest && height <= max_chain_height) return {};
  return fail(ErrorCode::invalid,
              fmt::format("the height of {} is {}; it must be {} to {}", of, height, lowest, max_chain_height));
}

Status check_write(const ChainWrite& write) {
  for (const ChainBlock& block : write.blocks) MESH_TRY(check_height(block.height, 1, "a block"));
  for (const auto& [height, bytes] : write.entries) MESH_TRY(check_height(height, 0, "an entry of the log"));
  for (const ChainOffence& offence : write.offences) MESH_TRY(check_height(offence.height, 0, "an offence"));
  for (const ChainPart& part : write.parts) MESH_TRY(check_height(part.height, 1, "a snapshot"));
  if (write.begins_at) MESH_TRY(check_height(*write.begins_at, 1, "a beginning"));
  return check_height(write.forget_below, 0, "what is not forgotten");
}

}  // namespace

struct ChainStore::Impl {
  std::string file;
  ChainStoreOptions options;
  Database database;  // Declared before what uses it: its lock is let go last.
  sqlite::Statement find_state, put_state, has_block, put_block, put_entry, forget_entries, clear_log, put_offence,
      put_part, forget_parts, forget_other_parts, forget_blocks;
  std::unique_ptr<ChainReader> reader;
  std::optional<GroupCommit> commits;

  sqlite::Connection& connection() { return database.connection; }

  Status prepare() {
    const auto make = [this](sqlite::Statement& statement, std::string_view sql) -> Status {
      MESH_LET(statement, connection().prepare(sql));
      return {};
    };
    MESH_TRY(make(find_state, find_state_sql));
    MESH_TRY(make(put_state,
                  "INSERT OR REPLACE INTO state(id, height, next_entry, entries, signs_from, checksum, base) "
                  "VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6)"));
    MESH_TRY(make(has_block, "SELECT 1 FROM block WHERE height = ?1"));
    MESH_TRY(
        make(put_block, "INSERT OR REPLACE INTO block(height, checksum, certificate, bytes) VALUES (?1, ?2, ?3, ?4)"));
    // One that is damaged may have the number of another: then it is replaced, and missed by its count.
    MESH_TRY(make(put_entry, "INSERT OR REPLACE INTO entry(number, height, checksum, bytes) VALUES (?1, ?2, ?3, ?4)"));
    MESH_TRY(make(forget_entries, "DELETE FROM entry WHERE height < ?1"));
    MESH_TRY(make(clear_log, "DELETE FROM entry"));
    MESH_TRY(make(put_part, "INSERT OR REPLACE INTO part(height, number, checksum, bytes) VALUES (?1, ?2, ?3, ?4)"));
    MESH_TRY(make(
        forget_parts,
        "DELETE FROM part WHERE height NOT IN (?1, ?2, coalesce((SELECT max(height) FROM part WHERE number = 0 AND "
        "height <> ?1), 0))"));
    MESH_TRY(make(forget_other_parts, "DELETE FROM part WHERE height <> ?1"));
    MESH_TRY(make(forget_blocks, "DELETE FROM block WHERE height <= ?1"));
    return make(put_offence,
                "INSERT INTO offence(offender, height, checksum, evidence) VALUES (?1, ?2, ?3, ?4) "
                "ON CONFLICT(offender) DO UPDATE SET height = ?2, checksum = ?3, evidence = ?4");
  }

  void finish() {
    for (sqlite::Statement* statement :
         {&find_state, &put_state, &has_block, &put_block, &put_entry, &forget_entries, &clear_log, &put_offence,
          &put_part, &forget_parts, &forget_other_parts, &forget_blocks}) {
      *statement = {};
    }
  }

  Status save(const ChainState& state) {
    const Digest checksum = checksum_of(state);
    put_state.bind(1, as_stored(state.height));
    put_state.bind(2, as_stored(state.next_entry));
    put_state.bind(3, as_stored(state.entries));
    if (state.signs_from) {
      put_state.bind(4, as_stored(*state.signs_from));
    } else {
      put_state.bind_null(4);
    }
    put_state.bind(5, checksum.view());
    put_state.bind(6, as_stored(state.base));
    return put_state.run();
  }

  /// A file that was never used becomes this federation's.
  Status bind(const Cid& federation) {
    MESH_LET(const std::string found, connection().query_text(find_federation_sql));
    const std::string wanted = federation.text();
    if (found == wanted) return {};
    if (!found.empty()) {
      return fail(ErrorCode::conflict, fmt::format("{} has the chain of the federation {}, and this node is in {}; use "
                                                   "another home",
                                                   file, found, wanted));
    }
    MESH_LET(const std::int64_t rows,
             connection().query_integer("SELECT (SELECT count(*) FROM state) + (SELECT count(*) FROM block) + "
                                        "(SELECT count(*) FROM entry)"));
    if (rows != 0) {
      return fail(ErrorCode::storage,
                  fmt::format("{} is damaged (it does not say whose chain it is); move it away", file));
    }
    const auto all = [&]() -> Status {
      MESH_TRY(connection().run("BEGIN IMMEDIATE"));
      MESH_LET(sqlite::Statement name, connection().prepare("INSERT INTO meta(name, value) VALUES ('federation', ?1)"));
      name.bind(1, std::string_view(wanted));
      MESH_TRY(name.run());
      MESH_TRY(save({}));
      return connection().run("COMMIT");
    };
    Status done = all();
    if (!done) connection().roll_back();
    return done;
  }

  Result<bool> has(std::uint64_t height) {
    has_block.bind(1, as_stored(height));
    MESH_LET(const bool found, has_block.step());
    has_block.reset();
    return found;
  }

  Status climb(ChainState& state) {
    while (state.height < max_chain_height) {
      MESH_LET(const bool there, has(state.height + 1));
      if (!there) break;
      ++state.height;
    }
    return {};
  }

  /// From what is there. What was signed is not known any more where it is damaged: so it signs nothing, until a write says
  /// from which height it may.
  Result<ChainState> state() {
    MESH_LET(const std::optional<ChainState> found, load_state(find_state));
    if (found) return *found;
    ChainState state{.signs_from = signs_never};
    MESH_LET(const std::int64_t last, connection().query_integer("SELECT max(number) FROM entry"));
    MESH_LET(const std::int64_t entries, connection().query_integer("SELECT count(*) FROM entry"));
    state.next_entry = as_read(last) + 1;
    state.entries = as_read(entries);
    MESH_LET(const std::int64_t first, connection().query_integer("SELECT coalesce(min(height), 1) FROM block"));
    MESH_LET(const std::int64_t begins, connection().query_integer(fmt::format(
                                            "SELECT count(*) FROM part WHERE number = 0 AND height = {}", first - 1)));
    if (begins > 0) state.base = as_read(first - 1);
    state.height = state.base;
    MESH_TRY(climb(state));
    return state;
  }

  Status forget(sqlite::Statement& statement, ChainState& state) {
    MESH_TRY(statement.run());
    const auto gone = static_cast<std::uint64_t>(sqlite3_changes64(connection().handle()));
    state.entries -= std::min(gone, state.entries);
    return {};
  }

  Status keep(const ChainPart& part, std::uint64_t base) {
    const Digest checksum = part_checksum(part.height, part.number, part.bytes);
    put_part.bind(1, as_stored(part.height));
    put_part.bind(2, as_stored(part.number));
    put_part.bind(3, checksum.view());
    put_part.bind(4, ByteView(part.bytes));
    MESH_TRY(put_part.run());
    if (part.number != 0) return {};
    forget_parts.bind(1, as_stored(part.height));
    forget_parts.bind(2, as_stored(base));
    return forget_parts.run();
  }

  Status begin_at(std::uint64_t height, ChainState& state) {
    forget_blocks.bind(1, as_stored(height));
    MESH_TRY(forget_blocks.run());
    forget_other_parts.bind(1, as_stored(height));
    MESH_TRY(forget_other_parts.run());
    state.base = height;
    state.height = height;
    return climb(state);
  }

  Status apply(const ChainWrite& write) {
    MESH_LET(ChainState state, this->state());
    if (write.forget_log) {
      MESH_TRY(forget(clear_log, state));
      state.entries = 0;
    }
    if (write.forget_below != 0) {
      forget_entries.bind(1, as_stored(write.forget_below));
      MESH_TRY(forget(forget_entries, state));
    }
    for (const auto& [height, bytes] : write.entries) {
      const Digest checksum = entry_checksum(state.next_entry, height, bytes);
      put_entry.bind(1, as_stored(state.next_entry));
      put_entry.bind(2, as_stored(height));
      put_entry.bind(3, checksum.view());
      put_entry.bind(4, ByteView(bytes));
      MESH_TRY(put_entry.run());
      ++state.next_entry;
      ++state.entries;
    }
    for (const ChainPart& part : write.parts) MESH_TRY(keep(part, state.base));
    if (write.begins_at) MESH_TRY(begin_at(*write.begins_at, state));
    for (const ChainBlock& block : write.blocks) {
      if (block.height <= state.base) {  // All of it is fetched again, and snapshots are kept anew.
        state.base = 0;
        state.height = 0;
        forget_other_parts.bind(1, std::int64_t{0});
        MESH_TRY(forget_other_parts.run());
      }
      const Digest checksum = block_checksum(block.height, block.certificate, block.block);
      put_block.bind(1, as_stored(block.height));
      put_block.bind(2, checksum.view());
      put_block.bind(3, ByteView(block.certificate));
      put_block.bind(4, ByteView(block.block));
      MESH_TRY(put_block.run());
    }
    if (!write.blocks.empty()) MESH_TRY(climb(state));
    for (const ChainOffence& offence : write.offences) {
      const Digest checksum = offence_checksum(offence.offender.view(), offence.height, offence.evidence);
      put_offence.bind(1, offence.offender.view());
      put_offence.bind(2, as_stored(offence.height));
      put_offence.bind(3, checksum.view());
      put_offence.bind(4, ByteView(offence.evidence));
      MESH_TRY(put_offence.run());
    }
    if (write.signs_from) state.signs_from = write.signs_from;
    return save(state);
  }
};

ChainStore::ChainStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ChainStore::~ChainStore() {
  impl_->commits.reset();
  // The last connection to close folds the WAL into the file, and only one that may write can. Statements first: they
  // keep a connection open.
  impl_->reader.reset();
  impl_->finish();
  impl_->database.connection.close();
}

Result<std::unique_ptr<ChainStore>> ChainStore::open(const std::filesystem::path& file, const Cid& federation,
                                                     ChainStoreOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  std::error_code failed;
  impl->file = std::filesystem::absolute(file, failed).string();
  if (failed) {
    return fail(ErrorCode::storage, fmt::format("the chain {} cannot be found ({})", file.string(), failed.message()));
  }
  MESH_LET(impl->database, open_database({.file = impl->file,
                                          .schema = chain_schema,
                                          .lock_file = impl->file + "-lock",
                                          .what = fmt::format("the chain {}", impl->file),
                                          .way_out = "stop that node, or use another home",
                                          .repair = "move it away and let the node fetch the chain again, signing "
                                                    "nothing at first",
                                          .max_bytes = impl->options.max_database_bytes}));
  MESH_TRY(impl->prepare());
  MESH_TRY(impl->bind(federation));
  MESH_LET(impl->reader, ChainReader::open(impl->file));
  impl->commits.emplace(impl->connection(), GroupCommit::Options{.max_jobs = impl->options.max_queued_writes,
                                                                 .max_bytes = impl->options.max_queued_bytes,
                                                                 .refuses_for_good = true,
                                                                 .on_trouble = impl->options.on_trouble});
  return std::unique_ptr<ChainStore>(new ChainStore(std::move(impl)));
}

Status ChainStore::remove_unused(const std::filesystem::path& file, const Cid& federation) {
  std::error_code failed;
  const bool is_there = std::filesystem::exists(file, failed);
  if (failed)
    return fail(ErrorCode::storage, fmt::format("the chain {} cannot be seen ({})", file.string(), failed.message()));
  if (!is_there) return {};
  MESH_LET(std::unique_ptr<ChainStore> store, open(file, federation));
  MESH_TRY(store->check_unused());
  const std::string path = store->impl_->file;
  // Held until the end. Closed before, so that what SQLite keeps beside the file is folded into it.
  const ProcessLock lock = std::move(store->impl_->database.lock);
  store.reset();
  for (const std::string_view suffix : {"-wal", "-shm", ""}) {
    const std::string part = path + std::string(suffix);
    if (::unlink(part.c_str()) != 0 && errno != ENOENT)
      return fail(ErrorCode::storage, fmt::format("{} cannot be removed ({})", part, std::strerror(errno)));
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (sync_path(folder, O_DIRECTORY)) return {};
  return fail(ErrorCode::storage, fmt::format("the folder {} cannot be synced to the disk ({}); check the disk", folder,
                                              std::strerror(errno)));
}

void ChainStore::commit(ChainWrite write, Completion completion) {
  Status refusal = check_write(write);
  const std::size_t bytes = size_of(write);
  if (refusal && bytes > impl_->options.max_write_bytes) {
    refusal = fail(ErrorCode::exhausted, fmt::format("a write of {} bytes is above the store's bound of {}", bytes,
                                                     impl_->options.max_write_bytes));
  }
  GroupCommit::Job job{.completion = std::move(completion), .bytes = bytes, .insists = true};
  job.write = [impl = impl_.get(), write = std::move(write)] { return impl->apply(write); };
  impl_->commits->commit(std::move(job), std::move(refusal));
}

Status ChainStore::commit_and_wait(ChainWrite write) {
  MESH_CHECK(!impl_->commits->is_this_thread(), "store-waits-for-itself");
  std::promise<Status> promise;
  std::future<Status> done = promise.get_future();
  commit(std::move(write), [&promise](Status status) { promise.set_value(std::move(status)); });
  return done.get();
}

ChainStore::Queued ChainStore::queued() const {
  const GroupCommit::Waiting waiting = impl_->commits->waiting();
  return {.writes = waiting.jobs, .bytes = waiting.bytes};
}

const Cid& ChainStore::federation() const { return impl_->reader->federation(); }
Result<std::uint64_t> ChainStore::base() const { return impl_->reader->base(); }
Result<std::uint64_t> ChainStore::height() const { return impl_->reader->height(); }
Result<std::vector<ChainBlock>> ChainStore::read(std::uint64_t from, std::size_t count, std::size_t bytes) const {
  return impl_->reader->read(from, count, bytes);
}
Status ChainStore::each_block(const std::function<Status(ChainBlock)>& each, std::uint64_t after) const {
  return impl_->reader->each_block(each, after);
}
Result<std::vector<ChainSnapshot>> ChainStore::snapshots() const { return impl_->reader->snapshots(); }
Result<Bytes> ChainStore::part(std::uint64_t height, std::uint64_t number) const {
  return impl_->reader->part(height, number);
}
Result<ChainLog> ChainStore::log() const { return impl_->reader->log(); }
Status ChainStore::each_entry(const std::function<Status(ChainEntry)>& each) const {
  return impl_->reader->each_entry(each);
}
Result<std::vector<ChainOffence>> ChainStore::offences() const { return impl_->reader->offences(); }

Status ChainStore::check_unused() const {
  MESH_LET(const std::uint64_t height, this->height());
  if (height > 0) return fail(ErrorCode::conflict, fmt::format("its chain is at height {}", height));
  MESH_LET(const ChainLog log, this->log());
  if (!log.entries.empty())
    return fail(ErrorCode::conflict, "its chain is at height 0, but this node has signed for the first block");
  return {};
}

}  // namespace mesh::store
