#include "adapters/store/chain_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <utility>

#include "adapters/store/chain_rows.h"

namespace mesh::store {
namespace {

using Mode = sqlite::Connection::Mode;

/// Even to read takes an index of the write-ahead log beside the file. Where that cannot be made the file can be read as it is,
/// unless there is such a log, in which the last of it would be.
Mode mode_for(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::error_code ignored;
  const bool has_log = std::filesystem::exists(file.string() + "-wal", ignored);
  const bool can_write = ::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) == 0;
  return can_write || has_log ? Mode::read_only : Mode::immutable;
}

std::unexpected<Error> corrupt_log(const std::string& file, std::string_view what) {
  return fail(ErrorCode::storage,
              fmt::format("corrupt-log: {} in {}; what this replica has signed is not known any more", what, file));
}

Result<std::vector<ChainOffence>> read_offences(sqlite::Connection& connection) {
  MESH_LET(sqlite::Statement rows,
           connection.prepare("SELECT offender, height, checksum, evidence FROM offence ORDER BY number"));
  std::vector<ChainOffence> offences;
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return offences;
    const std::uint64_t height = as_read(rows.integer(1));
    const auto offender = PublicKey::from(rows.blob(0));
    if (!offender || !equal(rows.blob(2), offence_checksum(offender->view(), height, rows.blob(3)).view())) continue;
    offences.push_back({.offender = *offender, .height = height, .evidence = to_bytes(rows.blob(3))});
  }
}

}  // namespace

struct ChainReader::Impl {
  std::string file;
  Mode mode = Mode::read_only;
  Cid federation;

  mutable std::mutex mutex;
  sqlite::Connection connection;
  sqlite::Statement find_state, find_block, find_part;

  Status prepare() {
    MESH_LET(connection, sqlite::Connection::open(file, mode));
    MESH_LET(const std::int64_t version, connection.query_integer("PRAGMA user_version"));
    MESH_LET(const std::int64_t application, connection.query_integer("PRAGMA application_id"));
    MESH_TRY(check_version(
        file, chain_schema,
        {.schema = static_cast<std::uint32_t>(version), .application = static_cast<std::uint32_t>(application)}));
    if (std::cmp_not_equal(version, chain_schema.version())) {
      return fail(ErrorCode::storage, fmt::format("{} has no chain in it that this version can read; let a node open "
                                                  "it first",
                                                  file));
    }
    MESH_LET(const std::string name, connection.query_text(find_federation_sql));
    auto named = Cid::from_text(name);
    if (!named) {
      return fail(ErrorCode::storage,
                  fmt::format("{} is damaged (it does not say whose chain it is); move it away", file));
    }
    federation = *named;
    MESH_LET(find_state, connection.prepare(find_state_sql));
    MESH_LET(find_block, connection.prepare("SELECT checksum, certificate, bytes FROM block WHERE height = ?1"));
    MESH_LET(find_part, connection.prepare("SELECT checksum, bytes FROM part WHERE height = ?1 AND number = ?2"));
    return {};
  }

  std::unexpected<Error> damaged_block(std::uint64_t height, std::string_view what) const {
    return fail(
        ErrorCode::storage,
        fmt::format("damaged-block: the block of height {} {} in {}; it has to be fetched again", height, what, file));
  }

  /// nullopt: it is damaged.
  Result<std::optional<ChainState>> state() {
    const std::lock_guard guard(mutex);
    auto state = load_state(find_state);
    if (!state && found_damage(connection)) return std::nullopt;
    return state;
  }

  /// nullopt: it is not there.
  Result<std::optional<ChainBlock>> block(std::uint64_t height) {
    const std::lock_guard guard(mutex);
    find_block.bind(1, as_stored(height));
    const Result<bool> step = find_block.step();
    if (!step && found_damage(connection)) return damaged_block(height, "cannot be read");
    MESH_LET(const bool found, step);
    if (!found) return std::nullopt;
    const ByteView certificate = find_block.blob(1);
    const ByteView bytes = find_block.blob(2);
    std::optional<ChainBlock> block;
    if (equal(find_block.blob(0), block_checksum(height, certificate, bytes).view())) {
      block = {.height = height, .certificate = to_bytes(certificate), .block = to_bytes(bytes)};
    }
    find_block.reset();
    if (!block) return damaged_block(height, "is not what was written");
    return block;
  }

  /// The state and, of the same moment, every entry.
  Result<ChainState> walk_log(sqlite::Connection& entries, const std::function<Status(ChainEntry)>& each) const {
    sqlite::Statement read_state;
    MESH_LET(read_state, entries.prepare(find_state_sql));
    auto state = load_state(read_state);
    if (!state && !found_damage(entries)) return std::unexpected(std::move(state.error()));
    if (!state || !*state) return corrupt_log(file, "the state is not what was written");
    MESH_LET(sqlite::Statement rows,
             entries.prepare("SELECT number, height, checksum, bytes FROM entry ORDER BY number"));
    std::uint64_t last = 0;
    std::uint64_t count = 0;
    while (true) {
      const Result<bool> step = rows.step();
      if (!step && found_damage(entries)) {
        return corrupt_log(file, fmt::format("an entry behind number {} cannot be read", last));
      }
      MESH_LET(const bool row, step);
      if (!row) break;
      const std::uint64_t number = as_read(rows.integer(0));
      const std::uint64_t height = as_read(rows.integer(1));
      const ByteView bytes = rows.blob(3);
      if (number <= last || !equal(rows.blob(2), entry_checksum(number, height, bytes).view())) {
        return corrupt_log(file, fmt::format("entry number {} is not what was written", number));
      }
      last = number;
      ++count;
      MESH_TRY(each({.height = height, .bytes = to_bytes(bytes)}));
    }
    if (count != (*state)->entries) {
      return corrupt_log(file, fmt::format("{} entries are there and {} were written", count, (*state)->entries));
    }
    return **state;
  }

  /// A connection of its own with a transaction open: `each` may read through the shared one meanwhile, and what is read is of
  /// one moment.
  Result<sqlite::Connection> at_one_moment() const {
    MESH_LET(sqlite::Connection own, sqlite::Connection::open(file, mode));
    MESH_TRY(own.run("BEGIN"));
    return own;
  }
};

ChainReader::ChainReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChainReader::~ChainReader() = default;

Result<std::unique_ptr<ChainReader>> ChainReader::open(const std::filesystem::path& file) {
  std::error_code failed;
  if (!std::filesystem::exists(file, failed)) {
    return fail(ErrorCode::not_found, fmt::format("there is no chain at {}{}{}", file.string(), failed ? ": " : "",
                                                  failed ? failed.message() : ""));
  }
  auto impl = std::make_unique<Impl>();
  impl->file = file.string();
  impl->mode = mode_for(file);
  MESH_TRY(impl->prepare());
  return std::unique_ptr<ChainReader>(new ChainReader(std::move(impl)));
}

const Cid& ChainReader::federation() const { return impl_->federation; }

Result<std::uint64_t> ChainReader::base() const {
  MESH_LET(const std::optional<ChainState> state, impl_->state());
  return state ? state->base : 0;
}

Result<std::uint64_t> ChainReader::height() const {
  MESH_LET(const std::optional<ChainState> state, impl_->state());
  if (!state) {
    return fail(ErrorCode::storage,
                fmt::format("damaged-block: {} does not say any more how far the chain goes", impl_->file));
  }
  return state->height;
}

Result<std::vector<ChainBlock>> ChainReader::read(std::uint64_t from, std::size_t count, std::size_t bytes) const {
  constexpr std::size_t framing = 8;  // Two lengths, as blocks travel.
  std::vector<ChainBlock> blocks;
  if (from == 0 || from > max_chain_height) return blocks;
  MESH_LET(const std::uint64_t base, this->base());
  if (from <= base) {
    return fail(ErrorCode::not_found,
                fmt::format("not-kept: the block of height {} is not here, since this chain begins with a snapshot of "
                            "height {}; ask a node that has been there from the beginning",
                            from, base));
  }
  std::size_t left = bytes;
  for (std::uint64_t height = from; blocks.size() < count && height <= max_chain_height; ++height) {
    auto block = impl_->block(height);
    if (!blocks.empty() && (!block || !*block)) break;
    if (!block) return std::unexpected(std::move(block.error()));
    if (!*block) {
      MESH_LET(const std::optional<ChainState> state, impl_->state());
      if (!state || height <= state->height) return impl_->damaged_block(height, "is missing");
      break;
    }
    const std::size_t size = framing + (*block)->certificate.size() + (*block)->block.size();
    if (!blocks.empty() && size > left) break;
    left -= std::min(size, left);
    blocks.push_back(std::move(**block));
  }
  return blocks;
}

Status ChainReader::each_block(const std::function<Status(ChainBlock)>& each, std::uint64_t after) const {
  // Each in a transaction of its own: one over all of them would keep the node from beginning its log anew meanwhile.
  MESH_LET(const std::optional<ChainState> state, impl_->state());
  std::uint64_t height = std::max(after, state ? state->base : 0) + 1;
  for (; !state || height <= state->height; ++height) {
    MESH_LET(std::optional<ChainBlock> block, impl_->block(height));
    if (!block && state) return impl_->damaged_block(height, "is missing");
    if (!block) break;
    MESH_TRY(each(std::move(*block)));
  }
  if (!state) return impl_->damaged_block(height, "may be missing: the state is not what was written");
  return {};
}

Result<std::vector<ChainSnapshot>> ChainReader::snapshots() const {
  const std::lock_guard guard(impl_->mutex);
  MESH_LET(sqlite::Statement rows,
           impl_->connection.prepare("SELECT height, (SELECT sum(length(bytes)) FROM part AS piece WHERE "
                                     "piece.height = part.height AND piece.number > 0) "
                                     "FROM part WHERE number = 0 ORDER BY height DESC"));
  std::vector<ChainSnapshot> snapshots;
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return snapshots;
    snapshots.push_back({.height = as_read(rows.integer(0)), .bytes = as_read(rows.integer(1))});
  }
}

Result<Bytes> ChainReader::part(std::uint64_t height, std::uint64_t number) const {
  const std::lock_guard guard(impl_->mutex);
  if (height > max_chain_height || number > max_chain_height) return fail(ErrorCode::not_found, "no such snapshot");
  sqlite::Statement& find = impl_->find_part;
  const auto damaged = [&](std::string_view what) {
    return fail(ErrorCode::storage, fmt::format("damaged-snapshot: part {} of the snapshot of height {} {} in {}",
                                                number, height, what, impl_->file));
  };
  find.bind(1, as_stored(height));
  find.bind(2, as_stored(number));
  const Result<bool> step = find.step();
  if (!step && found_damage(impl_->connection)) return damaged("cannot be read");
  MESH_LET(const bool found, step);
  if (!found) {
    return fail(ErrorCode::not_found,
                fmt::format("there is no part {} of a snapshot of height {} here", number, height));
  }
  const bool sound = equal(find.blob(0), part_checksum(height, number, find.blob(1)).view());
  Bytes bytes = to_bytes(find.blob(1));
  find.reset();
  if (!sound) return damaged("is not what was written");
  return bytes;
}

Status ChainReader::each_entry(const std::function<Status(ChainEntry)>& each) const {
  MESH_LET(sqlite::Connection own, impl_->at_one_moment());
  MESH_TRY(impl_->walk_log(own, each));
  return {};
}

Result<ChainLog> ChainReader::log() const {
  MESH_LET(sqlite::Connection own, impl_->at_one_moment());
  ChainLog log;
  std::size_t total = 0;
  const auto add = [&](ChainEntry entry) -> Status {
    total += entry.bytes.size() + sizeof(Bytes);
    if (total > max_log_bytes) {
      return fail(ErrorCode::exhausted, fmt::format("the log in {} has more than {} bytes; read it entry by entry",
                                                    impl_->file, max_log_bytes));
    }
    log.entries.push_back(std::move(entry.bytes));
    return {};
  };
  MESH_LET(const ChainState state, impl_->walk_log(own, add));
  log.signs_from = state.signs_from;
  MESH_LET(log.offences, read_offences(own));
  return log;
}

Result<std::vector<ChainOffence>> ChainReader::offences() const {
  const std::lock_guard guard(impl_->mutex);
  return read_offences(impl_->connection);
}

}  // namespace mesh::store
