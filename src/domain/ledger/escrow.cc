#include "domain/ledger/escrow.h"

#include <algorithm>

#include "domain/ledger/payment_proof.h"

namespace mesh::ledger {

std::span<const std::string_view> enum_names(WorkPhase) {
  static constexpr std::array<std::string_view, 5> names{"drawing", "drawn", "revealed", "disputed", "ended"};
  return names;
}

std::span<const std::string_view> enum_names(WorkEnding) {
  static constexpr std::array<std::string_view, 3> names{"settled", "silent", "by_publisher"};
  return names;
}

std::string_view state_name(const Work& work) {
  if (work.ending) return enum_names(*work.ending)[static_cast<std::size_t>(*work.ending)];
  return enum_names(work.phase)[static_cast<std::size_t>(work.phase)];
}

Digest Escrow::place_of(const Digest& intent) { return place_in(table, intent.view()); }
Digest Work::place_of(const Digest& commitment) { return place_in(table, commitment.view()); }

std::uint32_t Work::count() const {
  std::uint32_t sum = 0;
  for (const task::ShardRange& range : shards) sum += range.count;
  return sum;
}

std::vector<std::uint32_t> Work::numbers() const {
  std::vector<std::uint32_t> all;
  all.reserve(count());
  for (const task::ShardRange& range : shards) {
    for (std::uint32_t i = 0; i < range.count; ++i) all.push_back(range.first + i);
  }
  return all;
}

verification::Ballot Work::ballot(std::size_t row) const {
  return {*Digest::from(ByteView(findings).subspan(row * Digest::size, Digest::size)), exhausted[row] != 0};
}

Digest eligible_digest(const std::vector<verification::Member>& eligible) {
  return tagged_hash("meshwork/1/eligible", {eligible_bytes(eligible)});
}

Seating::Seating(const Work& work, std::uint32_t round, std::uint64_t time_ms)
    : draw_(work.draws[round]),
      shards_(work.numbers()),
      passed_over_(draw_.nodes.size()),
      committed_(draw_.nodes.size()) {
  for (std::size_t node = 0; node < draw_.nodes.size(); ++node) {
    passed_over_[node] = std::ranges::any_of(work.passed_over, [&](const Work::PassedOver& one) {
      return one.round == round && one.node == draw_.nodes[node] && one.until_ms <= time_ms;
    });
  }
  for (const Answer& answer : work.answers) {
    const auto at = std::ranges::lower_bound(draw_.nodes, answer.node);
    if (answer.round != round || at == draw_.nodes.end() || *at != answer.node) continue;
    std::vector<bool>& rows = committed_[static_cast<std::size_t>(at - draw_.nodes.begin())];
    rows.resize(shards_.size());
    for (const task::ShardRange& range : answer.shards) {
      auto row = static_cast<std::size_t>(std::ranges::lower_bound(shards_, range.first) - shards_.begin());
      for (; row < shards_.size() && shards_[row] - range.first < range.count; ++row) rows[row] = true;
    }
  }
}

std::span<const std::size_t> Seating::of(std::size_t row) {
  seats_.clear();
  for (std::size_t place = 0; place < draw_.width && seats_.size() < draw_.seats; ++place) {
    const std::size_t node = draw_.drawn_at(row, place);
    if (!passed_over_[node] || has_committed(node, row)) seats_.push_back(node);
  }
  return seats_;
}

std::set<NodeId> open_seats(const Work& work, std::uint64_t time_ms) {
  Seating seating(work, static_cast<std::uint32_t>(work.draws.size() - 1), time_ms);
  std::vector<bool> is_open(seating.draw().nodes.size());
  for (std::size_t row = 0; row < seating.rows(); ++row) {
    for (const std::size_t seat : seating.of(row)) is_open[seat] = is_open[seat] || !seating.has_committed(seat, row);
  }
  std::set<NodeId> open;
  for (std::size_t node = 0; node < is_open.size(); ++node) {
    if (is_open[node]) open.insert(seating.draw().nodes[node]);
  }
  return open;
}

Signed<receipt::Commitment> commitment_of(const Work& work) {
  return {{.intent = work.intent,
           .node = work.signer,
           .basis = work.award,
           .worker = {},
           .shards = work.shards,
           .root = work.root},
          work.signer,
          work.commitment,
          {}};
}

Signed<receipt::Commitment> commitment_of(const Work& work, const Answer& answer) {
  return {{.intent = work.intent,
           .node = answer.signer,
           .basis = work.draws[answer.round].block,
           .worker = work.commitment,
           .shards = answer.shards,
           .root = answer.root},
          answer.signer,
          answer.commitment,
          {}};
}

WorkDraw draw_verifiers(const Work& work, const std::vector<verification::Member>& eligible,
                        const verification::Member& worker, const verification::Member& publisher,
                        const std::vector<NodeId>& without, const Digest& beacon, std::uint32_t wanted,
                        std::uint32_t least) {
  WorkDraw draw{.beacon = beacon, .eligible = eligible_digest(eligible)};
  Drawing all(eligible, worker, publisher, without);
  if (wanted == 0 || all.size() < least) return draw;
  // The panel is drawn as for a shard that no task has.
  std::vector<verification::Member> panel;
  for (const verification::Member* one :
       all.order(seat_seed(beacon, work.commitment, task::max_shards), std::max<std::size_t>(max_panel, wanted)))
    panel.push_back(*one);
  std::ranges::sort(panel, {}, &verification::Member::node);
  draw.seats = static_cast<std::uint32_t>(std::min<std::size_t>(wanted, panel.size()));
  draw.width = static_cast<std::uint32_t>(std::min<std::size_t>(draw.seats + max_substitutes, panel.size()));
  for (const verification::Member& one : panel) {
    draw.nodes.push_back(one.node);
    draw.weights.push_back(one.weight);
  }
  Drawing drawing(panel, worker, publisher, without);
  for (const std::uint32_t shard : work.numbers()) {
    for (const verification::Member* one : drawing.order(seat_seed(beacon, work.commitment, shard), draw.width)) {
      const auto node = static_cast<std::size_t>(one - panel.data());
      draw.order.push_back(static_cast<std::uint8_t>(node >> 8));
      draw.order.push_back(static_cast<std::uint8_t>(node));
    }
  }
  return draw;
}

}  // namespace mesh::ledger
