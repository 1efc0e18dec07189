#include <fmt/format.h>

#include <fstream>

#include "adapters/store/chain_reader.h"
#include "app/api/ledger_render.h"
#include "app/cli/ledger_session.h"
#include "app/runtime/chain_verifier.h"
#include "app/runtime/founding.h"
#include "chain/archive.h"

namespace mesh::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t read_at_once = 64;
constexpr std::size_t file_piece = std::size_t{1} << 20;

struct Chain {
  identity::Charter charter;
  ledger::Genesis genesis;
  app::NextBlock next;
  chain::Audit::ReadPart snapshot = {};  ///< with which it begins; none: it begins with its first block
};

/// The blocks of a stored chain from a height on.
app::NextBlock stored_blocks(std::shared_ptr<store::ChainReader> reader, chain::Height from, chain::Height to) {
  struct Place {
    chain::Height next = 1;
    std::vector<store::ChainBlock> read;
    std::size_t taken = 0;
  };
  auto place = std::make_shared<Place>();
  place->next = from;
  return [reader = std::move(reader), place, to]() -> Result<std::optional<chain::FinalBlock>> {
    if (place->taken == place->read.size()) {
      place->read.clear();
      place->taken = 0;
      if (place->next > to) return std::nullopt;
      MESH_LET(place->read, reader->read(place->next, std::min<std::size_t>(read_at_once, to - place->next + 1),
                                         chain::max_block_bytes));
      if (place->read.empty())
        return fail(ErrorCode::storage, fmt::format("missing-block: block {} is not there", place->next));
    }
    store::ChainBlock& block = place->read[place->taken++];
    place->next = block.height + 1;
    return chain::FinalBlock{
        .height = block.height, .certificate = std::move(block.certificate), .block = std::move(block.block)};
  };
}

Result<app::Founding> founding_in(const fs::path& home) {
  MESH_LET(std::optional<app::Founding> founding, app::load_founding(home));
  if (founding) return std::move(*founding);
  return fail(
      ErrorCode::not_found,
      fmt::format("no-ledger: {} is in no federation with a ledger: found one with `mesh federation found NAME`, "
                  "or come into one with `mesh up --join TOKEN`",
                  home.string()));
}

Result<std::shared_ptr<store::ChainReader>> reader_of(const fs::path& file, const app::Founding& founding) {
  MESH_LET(std::unique_ptr<store::ChainReader> reader, store::ChainReader::open(file));
  if (reader->federation() != app::federation_of(founding)) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is the chain of {}, and the charter that is here is of {}", file.string(),
                            reader->federation().text(), app::federation_of(founding).text()));
  }
  return std::shared_ptr<store::ChainReader>(std::move(reader));
}

Result<Chain> stored_chain(const fs::path& file, app::Founding founding) {
  MESH_LET(const std::shared_ptr<store::ChainReader> reader, reader_of(file, founding));
  MESH_LET(const chain::Height height, reader->height());
  MESH_LET(const chain::Height base, reader->base());
  Chain chain{.charter = std::move(founding.charter),
              .genesis = std::move(founding.genesis),
              .next = stored_blocks(reader, base + 1, height)};
  if (base > 0) chain.snapshot = [reader, base](std::uint64_t part) { return reader->part(base, part); };
  return chain;
}

/// Archives, one after the other, each with the same beginning.
class Archives {
 public:
  explicit Archives(std::vector<std::string> files) : files_(std::move(files)) {}

  /// Opens the first, and reads what it begins with.
  Status begin() {
    MESH_TRY(open());
    charter_ = *reader_->charter();
    genesis_ = *reader_->genesis();
    return {};
  }
  [[nodiscard]] const identity::Charter& charter() const { return charter_; }
  [[nodiscard]] const ledger::Genesis& genesis() const { return genesis_; }

  Result<std::optional<chain::FinalBlock>> next() {
    while (true) {
      if (std::optional<chain::FinalBlock> block = reader_->next()) return block;
      if (!ended_) {
        feed();
        continue;
      }
      MESH_TRY(*ended_);
      if (at_ + 1 == files_.size()) return std::nullopt;
      ++at_;
      MESH_TRY(open());
      if (record::encode(*reader_->charter()) != record::encode(charter_))
        return fail(ErrorCode::invalid, fmt::format("other-federation: {} is a chain of another federation than {}",
                                                    files_[at_], files_[0]));
    }
  }

 private:
  Status open() {
    reader_.emplace();
    ended_.reset();
    stream_ = std::ifstream(files_[at_], std::ios::binary);
    if (!stream_) return fail(ErrorCode::not_found, fmt::format("{} cannot be read", files_[at_]));
    while (!reader_->genesis() && !ended_) feed();
    if (!reader_->genesis()) return wrap(files_[at_], ended_->error());
    return {};
  }
  void feed() {
    Bytes piece(file_piece);
    stream_.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
    const auto count = static_cast<std::size_t>(stream_.gcount());
    if (stream_.bad()) {
      ended_ = fail(ErrorCode::storage, fmt::format("{} cannot be read", files_[at_]));
    } else if (count == 0) {
      ended_ = reader_->finish();
    } else if (Status fed = reader_->feed(ByteView(piece).first(count)); !fed) {
      ended_ = std::move(fed);
    }
  }

  std::vector<std::string> files_;
  std::size_t at_ = 0;
  std::ifstream stream_;
  std::optional<chain::ArchiveReader> reader_;
  std::optional<Status> ended_;  ///< of the file that is read: nothing more comes, well or not
  identity::Charter charter_;
  ledger::Genesis genesis_;
};

Result<Chain> chain_of(const Session& session, const ChainSource& source) {
  if (!source.cars.empty()) {
    auto archives = std::make_shared<Archives>(source.cars);
    MESH_TRY(archives->begin());
    return Chain{.charter = archives->charter(), .genesis = archives->genesis(), .next = [archives] {
                   return archives->next();
                 }};
  }
  MESH_LET(const config::Settings settings, session.settings());
  const fs::path home = settings.paths().home;
  if (source.file.empty()) {
    MESH_LET(app::Founding founding, founding_in(home));
    return stored_chain(app::chain_file(home), std::move(founding));
  }
  // The charter lies beside a chain that was copied, else in the home.
  const fs::path file = source.file;
  MESH_LET(std::optional<app::Founding> beside, app::load_founding(fs::absolute(file).parent_path()));
  if (!beside) {
    MESH_LET(beside, founding_in(home));
  }
  return stored_chain(file, std::move(*beside));
}

}  // namespace

int ledger_head(const Session& session) {
  return with(session, "GET", "/api/v1/ledger", nullptr, [&](const Json& ledger) {
    if (!session.is_for_people()) {
      session.print(ledger);
      return exit_ok;
    }
    Json shown{{"federation", ledger["federation"]["name"]},
               {"height", ledger["height"]},
               {"durable_height", ledger["durable_height"]},
               {"head", ledger["head"]},
               {"state_root", ledger["state_root"]},
               {"time", ledger["time"]},
               {"waiting", ledger["waiting"]},
               {"validators", ledger["validators"].size()}};
    for (const auto& [name, value] : ledger["totals"].items()) shown[name] = credits(value);
    if (ledger["signs_from"].is_null()) shown["signs"] = "nothing, until it is certain what this key has signed";
    if (!ledger["stopped"].is_null()) shown["stopped"] = ledger["stopped"];
    session.print(shown);
    return exit_ok;
  });
}

int ledger_block(const Session& session, std::uint64_t height) {
  return with(session, "GET", fmt::format("/api/v1/ledger/blocks/{}", height), nullptr, [&](const Json& block) {
    if (!session.is_for_people()) {
      session.print(block);
      return exit_ok;
    }
    Json head = block;
    head.erase("transactions");
    session.print(head);
    if (block["transactions"].empty()) return exit_ok;
    session.print_list(block["transactions"],
                       {{"NUMBER", field("number")},
                        {"KIND", field("kind")},
                        {"ACCOUNT", [](const Json& row) { return short_did(row["account"]); }},
                        {"SEQUENCE", field("sequence")},
                        {"FIELDS", field("fields")},
                        {"CID", field("cid"), true}},
                       "cid");
    return exit_ok;
  });
}

int ledger_export(const Session& session, const std::string& car, std::uint64_t first, std::uint64_t to) {
  chain::Height base = 0;
  const auto exported = [&]() -> Result<fs::path> {
    MESH_LET(const config::Settings settings, session.settings());
    const fs::path home = settings.paths().home;
    MESH_LET(const app::Founding founding, founding_in(home));
    MESH_LET(const std::shared_ptr<store::ChainReader> reader, reader_of(app::chain_file(home), founding));
    MESH_LET(const chain::Height height, reader->height());
    const chain::Height last = to == 0 ? height : to;
    MESH_LET(base, reader->base());
    const chain::Height from = first == 0 ? base + 1 : first;
    if (last > height || from == 0 || (last > 0 && from > last) || (base > 0 && from <= base)) {
      return fail(ErrorCode::not_found, fmt::format("blocks {} to {} are not all here: there are blocks {} to {}", from,
                                                    last, base + 1, height));
    }
    std::optional<Cid> head;
    if (last > 0) {
      MESH_LET(const std::vector<store::ChainBlock> read, reader->read(last, 1, chain::max_block_bytes));
      if (read.empty()) return fail(ErrorCode::storage, fmt::format("missing-block: block {} is not there", last));
      MESH_LET(const consensus::Parts parts, consensus::parts_of(read.front().block));
      head = Cid(Multicodec::dag_cbor, parts.id);
    }
    fs::path target =
        car.empty() ? fs::path(fmt::format("{}-{}-{}.car", founding.charter.name, from, last)) : fs::path(car);
    const auto cannot = [&] {
      return fail(ErrorCode::storage,
                  fmt::format("{} cannot be written: is the folder there and the disk not full?", target.string()));
    };
    // What is there stays as it is until all of the new one is.
    const fs::path unfinished = target.string() + ".part";
    std::ofstream stream(unfinished, std::ios::binary | std::ios::trunc);
    const auto write = [&](ByteView bytes) -> Status {
      stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      if (!stream) return cannot();
      return {};
    };
    const auto write_all = [&]() -> Status {
      MESH_TRY(write(chain::archive_head(head, founding.charter, founding.genesis)));
      const app::NextBlock next = stored_blocks(reader, from, last);
      while (true) {
        MESH_LET(const std::optional<chain::FinalBlock> block, next());
        if (!block) break;
        MESH_LET(const Bytes bytes, chain::archive_block(*block));
        MESH_TRY(write(bytes));
      }
      stream.close();
      std::error_code error;
      fs::rename(unfinished, target, error);
      if (!stream || error) return cannot();
      return {};
    };
    if (Status written = write_all(); !written) {
      std::error_code ignored;
      fs::remove(unfinished, ignored);
      return std::unexpected(std::move(written.error()));
    }
    return target;
  }();
  if (!exported) return session.fail(exported.error());
  fmt::print("{}\n", exported->string());
  if (base > 0) {
    session.say(
        fmt::format("to be checked it takes blocks 1 to {} as well, which are not here: this chain begins with a "
                    "snapshot",
                    base));
  } else {
    session.say(fmt::format("check it anywhere, with no node: mesh ledger verify --car {}", exported->string()));
  }
  return exit_ok;
}

int ledger_verify(const Session& session, const ChainSource& source) {
  const auto began = std::chrono::steady_clock::now();
  const auto found = chain_of(session, source);
  if (!found) {
    // What is no chain at all is as good as one that does not check.
    const bool is_there = found.error().code != ErrorCode::not_found;
    return is_there ? session.fail(exit_failure, found.error().message) : session.fail(found.error());
  }
  const app::ChainReport report = app::verify_chain(found->charter, found->genesis, found->next, found->snapshot);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  const std::uint64_t per_second =
      report.transactions * 1000 / static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 1));
  const bool for_people = session.is_for_people();
  const auto amount = [&](std::uint64_t micros) {
    return for_people ? app::credits_text(micros) : std::to_string(micros);
  };
  Json answer{
      {"valid", !report.problem},
      {"federation", {{"name", found->charter.name}, {"cid", dagcbor::cid_of(record::encode(found->charter)).text()}}},
      {"height", report.height},
      {"base_height", report.base},
      {"transactions", report.transactions},
      {"head", report.head.text()},
      {"state_root", report.state_root.hex()},
      {"time", app::block_time_text(report.time_ms)},
      {"supply", amount(report.totals.supply)},
      {"granted", amount(report.totals.granted)},
      {"elapsed_ms", ms},
      {"transactions_per_second", per_second}};
  if (!report.problem) {
    session.print(answer);
    session.say(
        "every certificate, signature, transaction and state root checks, and no credits came or went but by a grant");
    if (report.base > 0) {
      session.say(
          fmt::format("this chain begins with a snapshot of height {}, which the federation's validators "
                      "certified; the blocks before it are not here and were not checked",
                      report.base));
    }
    return exit_ok;
  }
  const std::string problem = report.problem->height == 0
                                  ? report.problem->error.message
                                  : fmt::format("block {}: {}", report.problem->height, report.problem->error.message);
  answer["problem"] = {{"height", report.problem->height},
                       {"code", http::stable_name(report.problem->error.message)},
                       {"detail", report.problem->error.message}};
  if (!for_people) session.print(answer);
  return session.fail(exit_failure,
                      fmt::format("the chain does not check: {}{}", problem,
                                  report.height == 0 ? "" : fmt::format("; up to {} everything holds", report.height)));
}

}  // namespace mesh::cli
