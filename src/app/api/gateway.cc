#include "app/api/gateway.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "codec/car.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {
namespace {

constexpr std::string_view prefix = "/ipfs/";
constexpr std::string_view probe = "bafkqaaa";  // An identity CID of no bytes.
constexpr std::string_view cache_for_ever = "public, max-age=29030400, immutable";
constexpr std::uint32_t max_depth = 64;
constexpr std::size_t max_remembered = std::size_t{1} << 20;
constexpr std::size_t enough_bytes = std::size_t{256} << 10;  // To be handed to the client at a time.
constexpr int max_walk_steps = 256;  // Of a walk at a time, so that one that sends nothing holds up nobody else.

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The parts between the separators, trimmed; no empty ones.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    if (const std::string_view part = trim(text.substr(0, end)); !part.empty()) parts.push_back(part);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

const std::string* find(const std::map<std::string, std::string>& in, const std::string& name) {
  const auto found = in.find(name);
  return found == in.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::unexpected<http::Response> refuse(unsigned status, std::string_view title, const std::string& why) {
  return std::unexpected(http::problem(status, title, why));
}
std::unexpected<http::Response> bad(const std::string& why) { return refuse(400, "Bad request", why); }

/// Takes one parameter of a CAR; false if there is no such CAR here.
bool take_car_parameter(GatewayPlan& plan, std::string_view name, std::string_view value) {
  if (name == "version") return value == "1";
  if (name == "order") return value == "dfs" || value == "unk";
  if (name == "dups") {
    plan.has_duplicates = value == "y";
    return value == "y" || value == "n";
  }
  return true;
}

/// What the header Accept prefers of what there is here; nullopt if it takes none of it.
std::optional<GatewayPlan> negotiate(std::string_view accept) {
  std::optional<GatewayPlan> best;
  double best_weight = 0;
  for (const std::string_view alternative : split(accept, ',')) {
    const std::vector<std::string_view> parts = split(alternative, ';');
    if (parts.empty()) continue;
    GatewayPlan plan{.is_car = parts[0] == car_type, .was_negotiated = true};
    if (!plan.is_car && parts[0] != raw_type) continue;
    double weight = 1;
    bool is_here = true;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const std::size_t equals = parts[i].find('=');
      const std::string_view name = trim(parts[i].substr(0, equals));
      const std::string_view value = equals == std::string_view::npos ? "" : trim(parts[i].substr(equals + 1));
      if (name == "q") {
        if (std::from_chars(value.data(), value.data() + value.size(), weight).ec != std::errc{}) weight = 0;
      } else if (plan.is_car) {
        is_here = is_here && take_car_parameter(plan, name, value);
      }
    }
    if (!is_here || weight <= best_weight) continue;
    best = plan;
    best_weight = weight;
  }
  return best;
}

/// The first and last of so many bytes that `Range` names; nullopt if it names none of them.
struct ByteRange {
  std::uint64_t first = 0, last = 0;
};
enum class RangeKind : std::uint8_t { whole, part, outside };
/// A Range of one part (RFC 9110, 14.2); what does not read, and several parts, are as if there were none.
std::pair<RangeKind, ByteRange> range_of(std::string_view text, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!text.starts_with(unit)) return {RangeKind::whole, {}};
  text = trim(text.substr(unit.size()));
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos || text.find(',') != std::string_view::npos) return {RangeKind::whole, {}};
  const std::string_view from_text = trim(text.substr(0, dash));
  const std::string_view to_text = trim(text.substr(dash + 1));
  const auto from = number_of(from_text);
  const auto to = number_of(to_text);
  if ((!from && !from_text.empty()) || (!to && !to_text.empty()) || (!from && !to) || (to && *to < 0) ||
      (from && to && *from > *to))
    return {RangeKind::whole, {}};
  if (!from) {
    const auto count = std::min(static_cast<std::uint64_t>(*to), size);
    if (count == 0) return {RangeKind::outside, {}};
    return {RangeKind::part, {size - count, size - 1}};
  }
  const auto first = static_cast<std::uint64_t>(*from);
  if (first >= size) return {RangeKind::outside, {}};
  return {RangeKind::part, {first, to ? std::min(static_cast<std::uint64_t>(*to), size - 1) : size - 1}};
}

bool names_etag(std::string_view if_none_match, std::string_view etag) {
  for (std::string_view one : split(if_none_match, ',')) {
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag || "W/" + std::string(one) == etag) return true;
  }
  return false;
}

/// The name for saving: the one that was asked for, or one made of the CID.
std::string disposition(const http::Request& request, const Cid& cid, bool is_car) {
  const std::string* wanted = find(request.query, "filename");
  const bool is_plain =
      wanted != nullptr && !wanted->empty() && wanted->size() <= 255 &&
      std::ranges::all_of(*wanted, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  if (is_plain) return fmt::format("attachment; filename=\"{}\"", *wanted);
  if (wanted != nullptr && !wanted->empty() && wanted->size() <= 255)
    return fmt::format("attachment; filename*=UTF-8''{}", http::percent_encode(*wanted));
  return fmt::format("attachment; filename=\"{}.{}\"", cid.text(), is_car ? "car" : "bin");
}

std::string_view name_of(DagScope scope) {
  return scope == DagScope::block ? "block" : scope == DagScope::entity ? "entity" : "all";
}

std::string text_of(const EntityBytes& bytes) {
  return fmt::format("{}:{}", bytes.from, bytes.to ? std::to_string(*bytes.to) : "*");
}

/// The bytes of a file of this size that are meant; nullopt if there are none.
std::optional<ByteRange> within(const EntityBytes& bytes, std::uint64_t size) {
  const auto length = static_cast<std::int64_t>(size);  // Below 2^63, as all sizes of content.
  std::int64_t from = bytes.from < 0 ? std::max<std::int64_t>(0, length + bytes.from) : bytes.from;
  std::int64_t to = !bytes.to ? length - 1 : *bytes.to < 0 ? length + *bytes.to - 1 : *bytes.to;
  to = std::min(to, length - 1);
  if (from > to || from >= length) return std::nullopt;
  return ByteRange{static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to)};
}

/// The blocks of a CAR, depth first.
class CarWalk {
 public:
  CarWalk(const store::BlockStore& blocks, bool has_duplicates) : blocks_(blocks), has_duplicates_(has_duplicates) {}

  /// Blocks that come first, in this order, without what they link to.
  void begin_with(const std::vector<Cid>& path) {
    for (auto cid = path.rbegin(); cid != path.rend(); ++cid) open_.push_back({.cid = *cid, .what = What::alone});
  }
  /// After what was given before: the block, or all below it, or what a range of the file has.
  void end_with(const Cid& cid, DagScope scope, const std::optional<ByteRange>& range, std::uint64_t size) {
    Item item{.cid = cid, .what = scope == DagScope::all ? What::all_below : What::alone, .depth_left = max_depth};
    if (range) item = {.cid = cid, .what = What::file, .depth_left = max_depth, .range = *range, .size = size};
    open_.insert(open_.begin(), item);
  }

  [[nodiscard]] bool at_end() const { return open_.empty(); }

  /// One block further; the section, or nothing if it was sent before. Errors: as the header has it.
  Result<Bytes> step() {
    const Item item = open_.back();
    open_.pop_back();
    const bool is_whole = item.what != What::file || (item.range.first == 0 && item.range.last + 1 == item.size);
    const bool was_sent = !has_duplicates_ && sent_.contains(item.cid);
    // What lies below it may not have been sent yet where only the block was, or a part of the file.
    if (was_sent && (item.what == What::alone || item.cid.codec() == Multicodec::raw ||
                     (is_whole && sent_below_.contains(item.cid))))
      return Bytes{};
    MESH_LET(const store::BlockBytes block, blocks_.get(item.cid, store::From::anywhere));
    if (!has_duplicates_) {
      if (sent_.size() >= max_remembered)
        return fail(ErrorCode::exhausted, "more blocks than a CAR without duplicates may have here");
      sent_.insert(item.cid);
      if (is_whole && item.what != What::alone) sent_below_.insert(item.cid);
    }
    if (item.what != What::alone) MESH_TRY(open_links(item, *block));
    return was_sent ? Bytes{} : car::section(item.cid, *block);
  }

 private:
  enum class What : std::uint8_t { alone, all_below, file };
  struct Item {
    Cid cid;
    What what = What::alone;
    std::uint32_t depth_left = 0;
    ByteRange range;  ///< file: of the content at and below this block
    std::uint64_t size = 0;  ///< file: of that content, as its parent has it
  };

  Status open_links(const Item& item, ByteView block) {
    if (item.what == What::file) {
      MESH_LET(const asset::Node node, asset::parse_node(item.cid, block));
      if ((node.kind != asset::NodeKind::file && node.kind != asset::NodeKind::raw) || node.content_bytes != item.size)
        return fail(ErrorCode::invalid,
                    fmt::format("{} is not the part of a file that its parent names", item.cid.text()));
      std::uint64_t end = item.size;
      for (auto link = node.links.rbegin(); link != node.links.rend(); ++link) {
        const std::uint64_t begin = end - link->bytes;
        if (link->bytes > 0 && begin <= item.range.last && end > item.range.first) {
          MESH_TRY(
              push({.cid = link->cid,
                    .what = What::file,
                    .depth_left = item.depth_left,
                    .range = {std::max(item.range.first, begin) - begin, std::min(item.range.last, end - 1) - begin},
                    .size = link->bytes}));
        }
        end = begin;
      }
      return {};
    }
    MESH_LET(std::vector<Cid> links, asset::links_of(item.cid, block));
    // What a file or folder links to twice comes twice.
    if (const auto node = asset::parse_node(item.cid, block); has_duplicates_ && node && !node->links.empty()) {
      links.clear();
      for (const asset::NodeLink& link : node->links) links.push_back(link.cid);
    }
    for (auto link = links.rbegin(); link != links.rend(); ++link)
      MESH_TRY(push({.cid = *link, .what = What::all_below, .depth_left = item.depth_left}));
    return {};
  }

  Status push(Item item) {
    if (item.depth_left-- == 0) return fail(ErrorCode::exhausted, "the content is nested too deep");
    open_.push_back(item);
    return {};
  }

  const store::BlockStore& blocks_;
  bool has_duplicates_;
  std::vector<Item> open_;  // A stack: what comes next is last.
  std::unordered_set<Cid> sent_, sent_below_;
};

}  // namespace

Result<EntityBytes> parse_entity_bytes(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto from = number_of(text.substr(0, colon));
  const std::string_view to_text = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const auto to = number_of(to_text);
  if (!from || (!to && to_text != "*"))
    return fail(ErrorCode::invalid, "entity-bytes must be FROM:TO, integers of which TO may be *");
  if (to && *from >= 0 && *to >= 0 && *to < *from)
    return fail(ErrorCode::invalid, "entity-bytes ends before it begins");
  constexpr std::int64_t lowest = -(std::int64_t{1} << 62);  // So that nothing overflows.
  if (*from < lowest || (to && *to < lowest)) return fail(ErrorCode::invalid, "entity-bytes is out of range");
  return EntityBytes{*from, to};
}

std::expected<GatewayPlan, http::Response> plan_of(const http::Request& request) {
  const std::string* format = find(request.query, "format");
  const std::string* accept = find(request.headers, "accept");
  const std::string only = "this gateway gives raw blocks and CARs alone: ask for ?format=raw or ?format=car";
  GatewayPlan plan;
  if (accept != nullptr) {
    if (const auto negotiated = negotiate(*accept)) plan = *negotiated;
  }
  if (format != nullptr) {
    if (*format != "raw" && *format != "car") return refuse(406, "Not acceptable", only);
    const bool is_car = *format == "car";
    if (!plan.was_negotiated || plan.is_car != is_car) plan = {.is_car = is_car};
    plan.was_negotiated = false;
  } else if (!plan.was_negotiated) {
    if (accept == nullptr) return bad(only);
    return refuse(406, "Not acceptable", only);
  }
  if (!plan.is_car) return plan;
  for (const auto& [name, parameter] :
       {std::pair("car-version", "version"), std::pair("car-order", "order"), std::pair("car-dups", "dups")}) {
    const std::string* value = find(request.query, name);
    if (value != nullptr && !take_car_parameter(plan, parameter, *value))
      return bad(fmt::format("there is no CAR with {}={} here; version 1, order dfs, dups y or n", name,
                             value->substr(0, 32)));
  }
  if (const std::string* scope = find(request.query, "dag-scope")) {
    if (*scope != "block" && *scope != "entity" && *scope != "all")
      return bad("dag-scope must be block, entity or all");
    plan.scope = *scope == "block" ? DagScope::block : *scope == "entity" ? DagScope::entity : DagScope::all;
  }
  if (const std::string* text = find(request.query, "entity-bytes")) {
    const auto bytes = parse_entity_bytes(*text);
    if (!bytes) return bad(bytes.error().message);
    plan.bytes = *bytes;
    plan.scope = DagScope::entity;
  }
  return plan;
}

/// Where a path leads.
struct Gateway::Found {
  std::vector<Cid> along;  ///< the blocks on the way, the first of them the root; without the last
  Cid cid;  ///< the last
  Bytes block;  ///< its bytes
};

/// A CAR on its way to a client.
class Gateway::Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<const Gateway> gateway, http::BodyStream body, CarWalk walk, const Cid& root)
      : gateway_(std::move(gateway)),
        body_(std::move(body)),
        walk_(std::move(walk)),
        pending_(as_text(car::header(std::span(&root, 1)))) {}

  void pump() {
    if (!body_.is_open()) return close();
    if (!pending_.empty()) {
      if (!body_.write(pending_)) return;  // on_ready calls again.
      pending_.clear();
    }
    if (walk_.at_end()) {
      body_.finish();
      return close();
    }
    gateway_->post_bulk_([self = shared_from_this()]() mutable {
      Status status;
      for (int i = 0; i < max_walk_steps && status && !self->walk_.at_end() && self->pending_.size() < enough_bytes;
           ++i) {
        const Result<Bytes> section = self->walk_.step();
        if (section) {
          self->pending_ += as_text(*section);
        } else {
          status = std::unexpected(section.error());
        }
      }
      const auto gateway = self->gateway_;
      gateway->post_([self = std::move(self), failed = !status.has_value()] {
        if (failed) return self->close();  // The last copy of the stream goes: the client sees a cut.
        self->pump();
      });
    });
  }
  void begin() {
    body_.on_ready([self = shared_from_this()] { self->pump(); });
    pump();
  }

 private:
  void close() {
    body_.on_ready({});
    body_.on_close({});
  }

  std::shared_ptr<const Gateway> gateway_;
  http::BodyStream body_;
  CarWalk walk_;
  std::string pending_;
};

Gateway::Gateway(store::BlockStore& blocks, Post post_bulk, Post post)
    : blocks_(blocks), post_bulk_(std::move(post_bulk)), post_(std::move(post)) {}

std::optional<Cid> Gateway::root_of(std::string_view path) {
  if (!path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  const auto cid = Cid::from_text(path.substr(0, path.find('/')));
  if (!cid) return std::nullopt;
  return *cid;
}

bool Gateway::is_probe(std::string_view path) {
  return path.starts_with(prefix) && path.substr(prefix.size()) == probe;
}

Result<Gateway::Found> Gateway::find(const std::vector<std::string>& path, const Cid& root) const {
  Found found{.along = {}, .cid = root, .block = {}};
  auto block = blocks_.get(root, store::From::anywhere);
  if (!block && block.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, fmt::format("{} is not here", root.text()));
  for (const std::string& name : path) {
    if (!block) return std::unexpected(block.error());
    MESH_LET(const asset::Node node, asset::parse_node(found.cid, **block));
    const auto link = std::ranges::find(node.links, name, &asset::NodeLink::name);
    if (node.kind != asset::NodeKind::directory || link == node.links.end())
      return fail(ErrorCode::not_found, fmt::format("there is no {} in {}", name.substr(0, 255), found.cid.text()));
    found.along.push_back(found.cid);
    found.cid = link->cid;
    block = blocks_.get(found.cid, store::From::anywhere);
  }
  if (!block) return std::unexpected(block.error());
  found.block = **block;
  return found;
}

void Gateway::serve(const http::Request& request, const http::Responder& responder) {
  const auto plan = plan_of(request);
  if (is_probe(request.path)) {
    http::Response empty;
    empty.content_type = raw_type;
    responder.answer(std::move(empty));
    return;
  }
  std::vector<std::string> path;
  for (const std::string_view part : split(std::string_view(request.path).substr(prefix.size()), '/'))
    path.emplace_back(part);
  if (path.empty()) {
    responder.answer(http::problem(400, "Bad request", "a CID is missing"));
    return;
  }
  const auto root = Cid::from_text(path.front());
  path.erase(path.begin());
  if (!root) {
    responder.answer(http::problem(400, "Bad request", root.error().message));
    return;
  }
  if (!plan) {
    responder.answer(plan.error());
    return;
  }
  if (!plan->is_car && !path.empty()) {
    responder.answer(http::problem(400, "Bad request", "a raw block is asked for by its CID, without a path"));
    return;
  }
  post_bulk_([self = shared_from_this(), request, responder, root = *root, path = std::move(path),
              plan = *plan]() mutable {
    Result<Found> found = self->find(path, root);
    // The size of the file for a range, if it is one.
    std::optional<std::uint64_t> size;
    if (found && plan.scope == DagScope::entity) {
      const auto node = asset::parse_node(found->cid, found->block);
      if (node && (node->kind == asset::NodeKind::file || node->kind == asset::NodeKind::raw))
        size = node->content_bytes;
    }
    const auto& post = self->post_;
    post([self = std::move(self), request, responder, root, plan, found = std::move(found), size]() mutable {
      if (!found) {
        const std::string* cache = mesh::app::find(request.headers, "cache-control");
        const bool is_missing = found.error().code == ErrorCode::not_found;
        if (is_missing && cache != nullptr && cache->find("only-if-cached") != std::string::npos) {
          responder.answer(http::problem(412, "Precondition failed", found.error().message));
        } else {
          responder.answer(http::problem(found.error()));
        }
        return;
      }
      std::optional<ByteRange> range;
      if (size) {
        range = within(plan.bytes.value_or(EntityBytes{}), *size);
        const bool is_outside =
            plan.bytes && plan.bytes->from >= 0 && *size > 0 && static_cast<std::uint64_t>(plan.bytes->from) >= *size;
        if (is_outside) {
          responder.answer(http::problem(400, "Bad request",
                                         fmt::format("entity-bytes lies past the end: there are {} bytes", *size)));
          return;
        }
      }

      http::Response head;
      std::vector<std::string> roots;
      for (const Cid& cid : found->along) roots.push_back(cid.text());
      roots.push_back(found->cid.text());
      const std::string target = http::percent_encode(request.path, true);
      head.headers["x-ipfs-path"] = target;
      head.headers["x-ipfs-roots"] = fmt::format("{}", fmt::join(roots, ","));
      head.headers["cache-control"] = cache_for_ever;
      head.headers["vary"] = "Accept";
      head.headers["content-disposition"] = disposition(request, root, plan.is_car);
      if (plan.was_negotiated)
        head.headers["content-location"] = fmt::format("{}?format={}", target, plan.is_car ? "car" : "raw");
      std::string etag = fmt::format("\"{}.raw\"", root.text());
      if (plan.is_car) {
        const std::string all = fmt::format("{} {}", request.path, found->cid.text());
        etag = fmt::format("W/\"{}.{}.{}.{}.car\"", name_of(plan.scope), plan.has_duplicates ? "y" : "n",
                           plan.bytes ? text_of(*plan.bytes) : "", sha256(as_bytes(all)).hex().substr(0, 32));
      }
      head.headers["etag"] = etag;
      const std::string* known = mesh::app::find(request.headers, "if-none-match");
      if (known != nullptr && names_etag(*known, etag)) {
        head.status = 304;
        head.content_type.clear();
        responder.answer(std::move(head));
        return;
      }
      if (!plan.is_car) return self->answer_block(request, responder, root, std::move(found->block), std::move(head));

      head.content_type = fmt::format("{}; version=1; order=dfs; dups={}", car_type, plan.has_duplicates ? "y" : "n");
      head.headers["accept-ranges"] = "none";
      auto body = responder.stream(std::move(head));
      if (!body) return;
      if (request.is_head) return body->finish();
      CarWalk walk(self->blocks_, plan.has_duplicates);
      walk.begin_with(found->along);
      walk.end_with(found->cid, plan.scope, range, size.value_or(0));
      std::make_shared<Stream>(self, *body, std::move(walk), found->cid)->begin();
    });
  });
}

void Gateway::answer_block(const http::Request& request, const http::Responder& responder, const Cid& cid, Bytes block,
                           http::Response head) const {
  head.content_type = raw_type;
  head.headers["accept-ranges"] = "bytes";
  const std::string* text = mesh::app::find(request.headers, "range");
  const std::string* condition = mesh::app::find(request.headers, "if-range");
  if (text != nullptr && (condition == nullptr || *condition == head.headers["etag"])) {
    const auto [kind, range] = range_of(*text, block.size());
    if (kind == RangeKind::outside) {
      http::Response refusal =
          http::problem(416, "Range not satisfiable", fmt::format("{} has {} bytes", cid.text(), block.size()));
      refusal.headers["content-range"] = fmt::format("bytes */{}", block.size());
      responder.answer(std::move(refusal));
      return;
    }
    if (kind == RangeKind::part) {
      head.status = 206;
      head.headers["content-range"] = fmt::format("bytes {}-{}/{}", range.first, range.last, block.size());
      block = Bytes(block.begin() + static_cast<std::ptrdiff_t>(range.first),
                    block.begin() + static_cast<std::ptrdiff_t>(range.last) + 1);
    }
  }
  head.body = std::move(block);
  responder.answer(std::move(head));
}

}  // namespace mesh::app
