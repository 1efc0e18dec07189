#include "node/ledger_view.h"

#include <algorithm>

namespace mesh::node {

namespace {
constexpr Duration again_after = seconds(2);  // Doubled by each refusal,
constexpr std::uint32_t max_doublings = 4;    // so often at most.
}  // namespace

void LedgerView::take(Instant now, const event::LedgerChanged& changed) {
  if (known_ && changed.height < height_) return;
  known_ = true;
  height_ = changed.height;
  time_ms_ = changed.time_ms;
  now_ms_ = changed.now_ms;
  at_ = now;
  parameters_ = changed.parameters;
  self_ = changed.self;
  if (changed.whole) {
    members_.clear();
    keys_.clear();
  }
  for (const Standing& one : changed.members) {
    members_.insert_or_assign(one.node, one);
    keys_.note(one.node, one.key);
  }
}

std::uint64_t LedgerView::wall_ms(Instant now) const {
  return std::max(time_ms_, now_ms_ + static_cast<std::uint64_t>((now - at_).count() / 1000));
}

const Standing* LedgerView::own() const {
  const auto found = members_.find(self_);
  return found == members_.end() ? nullptr : &found->second;
}

const Standing* LedgerView::standing(const NodeId& node) const {
  const auto found = members_.find(keys_.account_of(node));
  return found == members_.end() || found->second.key != node ? nullptr : &found->second;
}

NodeId LedgerView::node_of(const ledger::AccountId& account) const {
  const auto found = members_.find(account);
  return found == members_.end() ? account : found->second.key;
}

std::uint64_t LedgerView::shards_covered(const NodeId& node, std::uint64_t fee) const {
  const Standing* one = standing(node);
  if (one == nullptr || !one->works || fee == 0) return 0;
  return one->free_bond / fee;
}

Status LedgerView::check_worker(const NodeId& node, std::uint64_t fee) const {
  const Standing* one = standing(node);
  if (one == nullptr || !one->works)
    return fail(ErrorCode::denied, "no-worker: the federation has not given this node the role of a worker");
  if (shards_covered(node, fee) == 0) {
    return fail(ErrorCode::denied, "bond-too-small: " + std::to_string(one->free_bond) +
                                       " of the bond are free, less than the fee of " + std::to_string(fee));
  }
  return {};
}

bool LedgerDesk::is_free(Instant now, const Wish& wish) const {
  if (ids_.contains(wish)) return false;
  const auto refused = refused_.find(wish);
  return refused == refused_.end() || now >= refused->second.until;
}

void LedgerDesk::want(Instant now, const Wish& wish, ledger::Body body, Outbox& out) {
  if (!is_free(now, wish)) return;
  const std::uint64_t id = next_id_++;
  under_way_.emplace(id, wish);
  ids_.emplace(wish, id);
  out.transact({.id = id, .body = std::move(body)});
}

std::optional<LedgerDesk::Answer> LedgerDesk::answered(Instant now, event::Transacted&& transacted) {
  const auto found = under_way_.find(transacted.id);
  if (found == under_way_.end()) return std::nullopt;
  Answer answer{.wish = found->second, .height = std::move(transacted.height)};
  under_way_.erase(found);
  ids_.erase(answer.wish);
  if (answer.height) {
    refused_.erase(answer.wish);
  } else {
    Refused& refused = refused_[answer.wish];
    refused.until = now + again_after * (1U << std::min(refused.times++, max_doublings));
  }
  return answer;
}

void LedgerDesk::forget(const Cid& scope) {
  std::erase_if(refused_, [&](const auto& entry) { return entry.first.scope == scope; });
}

std::optional<Instant> LedgerDesk::deadline(Instant now) const {
  std::optional<Instant> due;
  for (const auto& [wish, refused] : refused_) {
    if (refused.until > now) due = due ? std::min(*due, refused.until) : refused.until;
  }
  return due;
}

std::string_view refusal_name(const Error& error) {
  return std::string_view(error.message).substr(0, error.message.find(':'));
}

std::vector<std::uint32_t> seats_held(const ledger::Work& work, const ledger::AccountId& node, std::uint64_t time_ms) {
  std::vector<std::uint32_t> held;
  if (work.draws.empty()) return held;
  const ledger::WorkDraw& draw = work.draws.back();
  const auto own = std::ranges::lower_bound(draw.nodes, node);
  if (own == draw.nodes.end() || *own != node) return held;
  const auto number = static_cast<std::size_t>(own - draw.nodes.begin());
  ledger::Seating seating(work, static_cast<std::uint32_t>(work.draws.size() - 1), time_ms);
  for (std::size_t row = 0; row < seating.rows(); ++row) {
    const std::span<const std::size_t> seats = seating.of(row);
    if (std::ranges::find(seats, number) != seats.end()) held.push_back(seating.shards()[row]);
  }
  return held;
}

}  // namespace mesh::node
