#include "app/cli/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace mesh::cli {
namespace fs = std::filesystem;
namespace {

std::atomic<bool> interrupt_seen{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// YAML 1.2 of JSON values: texts in double quotes where they need it, which JSON's quoting is good for.
void yaml(const Json& value, std::size_t indent, std::string& out) {
  const std::string pad(indent, ' ');
  const auto scalar = [](const Json& item) {
    if (!item.is_string()) return item.dump();
    const auto& text = item.get_ref<const std::string&>();
    const bool plain = !text.empty() &&
                       std::ranges::all_of(
                           text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }) &&
                       text != "true" && text != "false" && text != "null" && text != "yes" && text != "no" &&
                       text != "on" && text != "off";
    return plain ? text : item.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const auto is_block = [](const Json& item) { return item.is_structured() && !item.empty(); };
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, item] : value.items()) {
      out += pad + scalar(Json(key)) + ":";
      if (is_block(item)) {
        out += "\n";
        yaml(item, indent + 2, out);
      } else {
        out += " " + scalar(item) + "\n";
      }
    }
  } else if (value.is_array() && !value.empty()) {
    for (const Json& item : value) {
      if (!is_block(item)) {
        out += pad + "- " + scalar(item) + "\n";
        continue;
      }
      std::string block;
      yaml(item, indent + 2, block);
      block.replace(indent, 2, "- ");
      out += block;
    }
  } else {
    out += pad + scalar(value) + "\n";
  }
}

std::string printable(std::string text) {
  // What comes from peers may hold control characters: a terminal must not obey them.
  for (char& c : text) {
    if ((c >= 0 && c < 0x20 && c != '\n') || c == 0x7f) c = '?';
  }
  return text;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

}  // namespace

std::string rtt_text(const Json& row) {
  const auto us = row["rtt_us"].get<std::int64_t>();
  return us == 0 ? "-" : fmt::format("{:.1f} ms", static_cast<double>(us) / 1000.0);
}

int print_cid(const Session& session, const Json& answer) {
  if (session.is_for_people()) {
    fmt::print("{}\n", text_of(answer["cid"]));
  } else {
    session.print(answer);
  }
  return exit_ok;
}

std::function<std::string(const Json&)> field(std::string name) {
  return [name = std::move(name)](const Json& row) { return text_of(row[name]); };
}

int exit_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid:
      return exit_usage;
    case ErrorCode::not_found:
      return exit_not_found;
    case ErrorCode::unauthorised:
    case ErrorCode::denied:
      return exit_denied;
    case ErrorCode::timeout:
      return exit_timeout;
    default:
      return exit_failure;
  }
}

int Session::fail(const Error& error) const { return fail(exit_of(error.code), error.message); }
int Session::fail(int code, const std::string& text) const {
  fmt::print(stderr, "error: {}\n", printable(text));
  return code;
}
void Session::say(const std::string& text) const {
  if (!quiet) fmt::print(stderr, "{}\n", printable(text));
}
void Session::progress(const std::string& text) const {
  if (!quiet && ::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "{}\n", printable(text));
}

Form Session::form() const {
  if (json || output == "json") return Form::json;
  if (output == "wide") return Form::wide;
  if (output == "yaml") return Form::yaml;
  if (output == "name") return Form::name;
  return Form::table;
}

bool put(ByteView bytes) { return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size(); }

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "-";
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Session::print(const Json& value) const {
  std::string text;
  switch (form()) {
    case Form::json:
      text = value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
      break;
    case Form::yaml:
      yaml(value, 0, text);
      break;
    case Form::name:
      for (const char* key : {"id", "cid", "peer"}) {
        if (value.is_object() && value.contains(key)) {
          text = text_of(value[key]) + "\n";
          break;
        }
      }
      break;
    case Form::table:
    case Form::wide:
      if (!value.is_object()) {
        text = text_of(value) + "\n";
        break;
      }
      for (const auto& [key, item] : value.items()) {
        if (item.is_structured() && !item.empty()) {
          text += key + ":\n";
          std::string block;
          yaml(item, 2, block);
          text += block;
        } else {
          text += fmt::format("{:<18} {}\n", key, printable(text_of(item)));
        }
      }
  }
  put(as_bytes(text));
}

void Session::print_list(const Json& rows, const std::vector<Column>& columns, const std::string& name_key) const {
  if (form() == Form::json || form() == Form::yaml) return print(rows);
  std::string text;
  if (form() == Form::name) {
    for (const Json& row : rows) text += text_of(row[name_key]) + "\n";
    put(as_bytes(text));
    return;
  }
  std::vector<std::vector<std::string>> cells(1);
  for (const Column& column : columns) {
    if (!column.wide || form() == Form::wide) cells.front().push_back(column.title);
  }
  for (const Json& row : rows) {
    auto& line = cells.emplace_back();
    for (const Column& column : columns) {
      if (!column.wide || form() == Form::wide) line.push_back(printable(column.text(row)));
    }
  }
  std::vector<std::size_t> widths(cells.front().size());
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text += std::string(widths[i] - width_of(line[i]) + 2, ' ');
    }
    text += '\n';
  }
  put(as_bytes(text));
}

Result<config::Settings> Session::settings() const {
  config::Sources sources;
  sources.flags = flags;
  sources.assignments = assignments;
  if (!config_file.empty()) sources.file = config_file;
  return config::Settings::load(sources);
}

Result<NodeAddress> read_address(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return mesh::fail(ErrorCode::not_found, "no address");
  std::string text(4096, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  const Json json = Json::parse(text, nullptr, false);
  NodeAddress node;
  if (!json.is_object() || !json.contains("address") || !json["address"].is_string() || !json.contains("port") ||
      !json["port"].is_number_unsigned() || json["port"].get<std::uint64_t>() > 65535 || !json.contains("token") ||
      !json["token"].is_string() || !json.contains("pid") || !json["pid"].is_number_unsigned()) {
    return mesh::fail(ErrorCode::invalid, fmt::format("{} is damaged: restart the node", file.string()));
  }
  node.address = json["address"].get<std::string>();
  node.port = json["port"].get<std::uint16_t>();
  node.token = json["token"].get<std::string>();
  node.pid = json["pid"].get<std::int64_t>();
  return node;
}

Result<NodeAddress> Session::find_node() const {
  MESH_LET(const config::Settings all, settings());
  const std::string home = all.paths().home.string();
  auto node = read_address(all.paths().api_file);
  if (!node && node.error().code == ErrorCode::invalid) return node;
  // A node that was killed leaves its address: its process is gone then.
  const bool is_alive = node && (::kill(static_cast<pid_t>(node->pid), 0) == 0 || errno == EPERM);
  if (!is_alive)
    return mesh::fail(
        ErrorCode::unavailable,
        fmt::format("no node is running with the home {}: start one with `mesh up`, or name another home with --home",
                    home));
  return node;
}

http::Client client_of(const NodeAddress& node, std::chrono::milliseconds timeout) {
  http::ClientConfig config;
  config.address = node.address;
  config.port = node.port;
  config.token = node.token;
  config.request_timeout = timeout;
  return http::Client(config);
}

Result<http::Client> Session::connect() const {
  MESH_LET(const NodeAddress node, find_node());
  return client_of(node);
}

Result<Json> ask(const http::Client& client, std::string_view method, const std::string& path, const Json* body) {
  const std::string text = body == nullptr ? std::string() : body->dump(-1, ' ', false, Json::error_handler_t::replace);
  http::Headers headers;
  if (body != nullptr) headers["content-type"] = "application/json";
  MESH_LET(const http::Response response, client.request(method, path, as_bytes(text), headers));
  if (response.status >= 300) {
    Error error = http::error_of(response);
    const Json problem = Json::parse(response.body.begin(), response.body.end(), nullptr, false);
    if (problem.is_object() && problem.contains("candidates")) {
      for (const Json& candidate : problem["candidates"]) error.message += "\n  " + text_of(candidate);
    }
    return std::unexpected(std::move(error));
  }
  Json json = Json::parse(response.body.begin(), response.body.end(), nullptr, false);
  if (json.is_discarded()) return mesh::fail(ErrorCode::invalid, "the node's answer is not JSON");
  return json;
}

Status write_private_file(const fs::path& file, std::string_view content) {
  const std::string temporary = fmt::format("{}.{}", file.string(), ::getpid());
  const auto problem = [&] {
    return mesh::fail(ErrorCode::storage, fmt::format("{} cannot be written: {}", file.string(), std::strerror(errno)));
  };
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return problem();
  bool good = true;
  while (good && !content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    good = count > 0;
    if (good) content.remove_prefix(static_cast<std::size_t>(count));
  }
  good = good && ::fsync(fd) == 0;
  good = ::close(fd) == 0 && good;
  good = good && ::rename(temporary.c_str(), file.c_str()) == 0;
  if (good) return {};
  auto status = problem();
  ::unlink(temporary.c_str());
  return status;
}

std::string short_id(const std::string& cid) { return cid.substr(0, 19); }  // "bafyrei" and 60 bits
std::string short_peer(const Json& peer) {
  if (!peer.is_string()) return "-";
  const std::string text = peer.get<std::string>();
  return text.size() > 8 ? text.substr(text.size() - 8) : text;
}
std::string duration_text(std::int64_t ms) {
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000.0);
  return fmt::format("{} min {} s", ms / 60'000, ms / 1000 % 60);
}
std::string bytes_text(double bytes) {
  for (const char* unit : {"B", "KiB", "MiB", "GiB"}) {
    if (bytes < 1024) return unit[0] == 'B' ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, unit);
    bytes /= 1024;
  }
  return fmt::format("{:.1f} TiB", bytes);
}

void watch_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupt_seen.store(true); };
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}
bool interrupted() { return interrupt_seen.load(); }

}  // namespace mesh::cli
