#include <fmt/format.h>

#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>

#include "adapters/sealing/sealing.h"
#include "app/cli/session.h"
#include "app/runtime/import.h"
#include "codec/car.h"

namespace mesh::cli {
namespace fs = std::filesystem;
namespace {

/// A shared file that a name or a CID stands for. Errors: not_found, conflict (several files have the name: says which).
Result<Json> shared_file(const http::Client& client, const std::string& name) {
  MESH_LET(const Json answer, find_assets(client, name));
  std::map<std::string, Json> files;
  for (const Json& holding : answer["holdings"]) {
    // Of some only the CID is known, by the DHT: that is no file yet.
    if (!holding["asset"]["full_path"].is_null()) files.emplace(text_of(holding["asset"]["cid"]), holding["asset"]);
  }
  if (files.empty())
    return fail(ErrorCode::not_found,
                fmt::format("{} is no CID, and nobody who is connected shares a file of that name", name));
  if (files.size() == 1) return files.begin()->second;
  std::string all;
  for (const auto& [cid, asset] : files) all += fmt::format("\n  {}  {}", cid, text_of(asset["path"]));
  return fail(ErrorCode::conflict,
              fmt::format("{} different files are called {}; name one by its CID:{}", files.size(), name, all));
}

/// One line for a transfer: a bar, how much, how fast, from how many, how long yet.
std::string transfer_line(const Json& transfer) {
  constexpr int width = 24;
  const double bytes = transfer["bytes"].get<double>();
  const double here = transfer["bytes_here"].get<double>();
  const double speed = transfer["bytes_per_s"].get<double>();
  const double part = bytes > 0 ? here / bytes : 0;
  const int filled = static_cast<int>(part * width);
  std::string line = fmt::format("{:#<{}}{:.<{}} {:3.0f} %  {} of {}", "", filled, "", width - filled, part * 100,
                                 bytes_text(here), bytes_text(bytes));
  if (text_of(transfer["state"]) != "running") return line + "  " + text_of(transfer["state"]);
  line += fmt::format("  {}/s from {}", bytes_text(speed), transfer["holders"].size());
  if (speed > 0) line += fmt::format("  {:.0f} s left", (bytes - here) / speed);
  return line;
}

/// Shows how far a transfer is, on a terminal's stderr, until it is destroyed.
class TransferBar {
 public:
  TransferBar(const Session& session, const http::Client& client, std::string cid) {
    if (::isatty(STDERR_FILENO) == 0 || session.quiet) return;
    thread_ = std::jthread([&client, cid = std::move(cid)](const std::stop_token& stop) {
      bool shown = false;
      while (!stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        const auto answer = ask(client, "GET", "/api/v1/transfers");
        if (!answer) continue;
        for (const Json& transfer : (*answer)["transfers"]) {
          if (text_of(transfer["cid"]) != cid || stop.stop_requested()) continue;
          fmt::print(stderr, "\r\x1b[K{}", transfer_line(transfer));
          shown = true;
          break;
        }
      }
      if (shown) fmt::print(stderr, "\r\x1b[K");
    });
  }

 private:
  std::jthread thread_;
};

/// Whether this content, which the node has, is a folder.
Result<bool> is_folder_there(const http::Client& client, const Cid& root) {
  MESH_LET(const http::Response block, client.get(fmt::format("/ipfs/{}?format=raw", root.text())));
  if (block.status >= 300) return std::unexpected(http::error_of(block));
  if (!root.matches(block.body)) return fail(ErrorCode::invalid, "the node sent another block than it was asked for");
  MESH_LET(const asset::Node node, asset::parse_node(root, block.body));
  return asset::is_folder(node.kind);
}

/// Blocks of a CAR that comes depth first, for somebody who asks for them in that order.
class CarSource {
 public:
  CarSource(const NodeAddress& node, const Cid& root)
      : client_(client_of(node, std::chrono::hours(24))), thread_([this, root] { receive(root); }) {}
  ~CarSource() {
    {
      const std::lock_guard guard(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }
  CarSource(const CarSource&) = delete;
  CarSource& operator=(const CarSource&) = delete;

  Result<store::BlockBytes> next(const Cid& cid) {
    if (last_ && last_->first == cid) return last_->second;
    std::unique_lock guard(mutex_);
    while (true) {
      changed_.wait(guard, [this] { return !blocks_.empty() || ended_; });
      if (blocks_.empty())
        return end_ ? fail(ErrorCode::unavailable, fmt::format("the node ended before it sent {}", cid.text()))
                    : Result<store::BlockBytes>(std::unexpected(end_.error()));
      car::Block block = std::move(blocks_.front());
      blocks_.pop_front();
      changed_.notify_all();
      if (block.cid != cid) continue;  // An empty part of a file, which nobody asks for.
      last_ = {cid, std::make_shared<const Bytes>(std::move(block.bytes))};
      return last_->second;
    }
  }

 private:
  static constexpr std::size_t max_ahead = 64;

  void receive(const Cid& root) {
    car::Reader reader;
    const auto done = client_.download(
        "GET", fmt::format("/ipfs/{}?format=car&car-dups=y", root.text()), [&](ByteView bytes) -> Status {
          MESH_TRY(reader.feed(bytes));
          while (std::optional<car::Block> block = reader.next()) {
            std::unique_lock guard(mutex_);
            changed_.wait(guard, [this] { return blocks_.size() < max_ahead || closed_; });
            if (closed_) return fail(ErrorCode::unavailable, "nobody takes it");
            blocks_.push_back(std::move(*block));
            changed_.notify_all();
          }
          return {};
        });
    const std::lock_guard guard(mutex_);
    if (!done) {
      end_ = std::unexpected(done.error());
    } else if (done->status >= 300) {
      end_ = std::unexpected(http::error_of(*done));
    }
    ended_ = true;
    changed_.notify_all();
  }

  http::Client client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<car::Block> blocks_;
  std::optional<std::pair<Cid, store::BlockBytes>> last_;
  bool ended_ = false, closed_ = false;
  Status end_;
  std::jthread thread_;
};

/// Writes a folder that the node has.
Status save_folder(const NodeAddress& node, const Cid& root, const fs::path& target) {
  CarSource source(node, root);
  return app::export_dag([&](const Cid& cid) { return source.next(cid); }, root, target);
}

/// Copies what the node keeps to where the user wants it.
Status copy_out(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) return fail(ErrorCode::storage, fmt::format("{} cannot be written: {}", to.string(), error.message()));
  return {};
}

/// Whether a file that the node keeps is sealed; not, if it cannot be read.
bool is_sealed_file(const fs::path& file) {
  std::array<char, sealing::magic.size()> beginning{};
  std::ifstream stream(file, std::ios::binary);
  stream.read(beginning.data(), beginning.size());
  return stream && sealing::is_sealed(as_bytes(std::string_view(beginning.data(), beginning.size())));
}

/// Where the node has a file's content: as `mesh assets get` hands it out, sealed or opened.
std::string content_path(const std::string& cid, bool as_sealed) {
  return "/api/v1/assets/" + http::percent_encode(cid) + (as_sealed ? "" : "?open=1");
}

/// A shared file: fetched, kept and served on by the node.
int get_shared(Session& session, const http::Client& client, const Json& asset, Json request, const std::string& file,
               bool where_only, bool as_sealed) {
  const std::string cid = text_of(asset["cid"]);
  request["path"] = asset["full_path"];
  request["visibility"] = asset["visibility"];
  const http::Client patient = client_of(*session.find_node(), std::chrono::hours(24));
  Result<Json> fetched = [&] {
    const TransferBar bar(session, client, cid);
    return ask(patient, "POST", "/api/v1/assets/" + http::percent_encode(cid) + "/fetch", &request);
  }();
  if (interrupted()) {
    session.say("the node goes on fetching it: GET /api/v1/transfers tells how far it is");
    return exit_interrupted;
  }
  if (!fetched) return session.fail(fetched.error());
  const fs::path here = text_of((*fetched)["file"]);
  if (where_only) {
    fmt::print("{}\n", here.string());
    return exit_ok;
  }
  std::error_code error;
  if (!file.empty() && fs::is_regular_file(here, error) && (as_sealed || !is_sealed_file(here))) {
    const Status copied = copy_out(here, file);
    return copied ? static_cast<int>(exit_ok) : session.fail(copied.error());
  }
  // The share that the file was fetched into may not have looked at it yet.
  if (const auto looked = ask(patient, "POST", "/api/v1/manifest/refresh"); !looked)
    return session.fail(looked.error());
  const std::string path = content_path(cid, as_sealed);
  const Status status = file.empty() ? print_result(client, path, false) : save(client, path, file);
  return status ? static_cast<int>(exit_ok) : session.fail(status.error());
}

}  // namespace

int assets_get(Session& session, const std::string& name, const std::vector<std::string>& from, const std::string& file,
               bool where_only, bool as_sealed) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Json request = Json::object();
  for (const std::string& peer : from) {
    std::string id = peer;
    if (peer.starts_with('/')) {
      const Json address{{"address", peer}};
      const auto dialed = ask(*client, "POST", "/api/v1/dial", &address);
      if (!dialed) return session.fail(dialed.error());
      id = text_of((*dialed)["peer"]);
    }
    request["from"].push_back(id);
  }
  const auto shared = shared_file(*client, name);
  if (shared) return get_shared(session, *client, *shared, std::move(request), file, where_only, as_sealed);
  // What is content without being shared under a name has to be asked for by its hash.
  if (!Cid::from_text(name)) return session.fail(shared.error());
  if (where_only) return session.fail(exit_not_found, fmt::format("nobody who is connected shares {} as a file", name));
  const std::string& cid = name;
  const std::string path = "/api/v1/assets/" + http::percent_encode(cid);
  if (const auto fetched = ask(*client, "POST", path + "/fetch", &request); !fetched)
    return session.fail(fetched.error());
  const auto parsed = Cid::from_text(cid);
  if (!parsed) return session.fail(parsed.error());
  if (parsed->codec() == Multicodec::dag_pb) {
    const auto is_folder = is_folder_there(*client, *parsed);
    if (!is_folder) return session.fail(is_folder.error());
    if (*is_folder) {
      if (file.empty())
        return session.fail(exit_usage, fmt::format("{} is a folder: name where it shall go with -o", cid));
      const Status written = save_folder(*session.find_node(), *parsed, file);
      return written ? static_cast<int>(exit_ok) : session.fail(written.error());
    }
  }
  const std::string content = content_path(cid, as_sealed);
  const Status status = file.empty() ? print_result(*client, content, false) : save(*client, content, file);
  return status ? static_cast<int>(exit_ok) : session.fail(status.error());
}

}  // namespace mesh::cli
