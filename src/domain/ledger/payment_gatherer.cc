#include "domain/ledger/payment_gatherer.h"

namespace mesh::ledger {

namespace {

template <class Map>
EntryProof prove_in(const StateSummary& summary, const Map& table, std::string_view name, const auto& key) {
  EntryProof proof{.summary = record::encode(summary), .table = std::string(name), .proof = table.prove(key)};
  if (const auto* found = table.find(key)) proof.entry = record::encode(*found);
  return proof;
}

}  // namespace

template <class Map>
std::optional<Cid> PaymentGatherer::show(PaymentPart& part, const Head& head, const StateSummary& summary,
                                         const Map& table, const Digest& key) {
  const auto* found = table.find(key);
  if (found == nullptr) return std::nullopt;
  CertifiedEntry entry{.proof = prove_in(summary, table, std::decay_t<decltype(*found)>::table, key)};
  entry.header = *part.add(Multicodec::dag_cbor, head.header);
  entry.certificate = *part.add(Multicodec::raw, head.certificate);
  return part.add(Multicodec::dag_cbor, record::encode(entry));
}

void PaymentGatherer::show_drawing(PaymentPart& part, const State& before, const Work& work, const Escrow& escrow,
                                   std::map<Digest, std::vector<Cid>>& eligible) const {
  const Digest& digest = work.draws.back().eligible;
  const auto [pieces, is_new] = eligible.try_emplace(digest);
  const bool has_them =
      !is_new && std::ranges::all_of(pieces->second, [&](const Cid& cid) { return part.blocks.contains(cid); });
  if (!has_them) {
    pieces->second.clear();
    const Bytes list = eligible_bytes(eligible_verifiers(before, escrow));
    for (std::size_t at = 0; at < list.size(); at += max_eligible_piece_bytes) {
      const ByteView piece = ByteView(list).subspan(at, std::min(max_eligible_piece_bytes, list.size() - at));
      pieces->second.push_back(*part.add(Multicodec::raw, to_bytes(piece)));
    }
  }
  const DrawBasis basis{.header = *part.add(Multicodec::dag_cbor, hops_.head()->header),
                        .worker = prove_in(before.summary(), before.tables.members, Member::table, work.worker),
                        .eligible = pieces->second};
  WorkLinks& links = part.works.try_emplace(work.commitment, WorkLinks{.commitment = work.commitment}).first->second;
  (work.draws.size() == 1 ? links.drawn : links.drawn_again) = part.add(Multicodec::dag_cbor, record::encode(basis));
}

void PaymentGatherer::committing(const State& before, const OpenedBlock& block, const Draft& draft,
                                 ByteView certificate, const NodeId& publisher, const std::set<Cid>& intents) {
  parts_.clear();
  ended_.clear();
  paid_.clear();
  const auto part_of = [&](const Cid& intent) -> PaymentPart* {
    if (!intents.contains(intent)) return nullptr;
    const Escrow* escrow = before.tables.escrows.find(intent.digest());
    if (escrow != nullptr && escrow->publisher != publisher) return nullptr;
    return &parts_.try_emplace(intent, PaymentPart{.intent = intent}).first->second;
  };
  std::map<Digest, std::vector<Cid>> eligible;
  std::optional<StateSummary> summary;
  draft.patches.works.for_each_put([&](const Work& work) {
    PaymentPart* part = part_of(work.intent);
    if (part == nullptr || !hops_.head()) return;
    const Work* stood = before.tables.works.find(work.key());
    if (stood == nullptr || stood->phase == WorkPhase::ended) return;
    if (work.phase == WorkPhase::ended) {
      if (!summary) summary = before.summary();
      WorkLinks& links =
          part->works.try_emplace(work.commitment, WorkLinks{.commitment = work.commitment}).first->second;
      links.before = show(*part, *hops_.head(), *summary, before.tables.works, work.key());
      ended_.push_back(work.key());
    } else if (work.draws.size() > stood->draws.size()) {
      show_drawing(*part, before, work, *before.tables.escrows.find(work.intent.digest()), eligible);
    }
  });
  draft.patches.escrows.for_each_put([&](const Escrow& escrow) {
    if (escrow.ended && escrow.publisher == publisher && part_of(escrow.intent) != nullptr)
      paid_.push_back(escrow.key());
  });
  hops_.committing(before, block.block().header, draft, certificate);
}

std::vector<PaymentPart> PaymentGatherer::committed(const State& after) {
  std::vector<PaymentPart> shown;
  if (!ended_.empty() || !paid_.empty()) {
    const StateSummary summary = after.summary();
    for (const Digest& key : ended_) {
      const Work& work = *after.tables.works.find(key);
      PaymentPart& part = parts_.at(work.intent);
      part.works.at(work.commitment).now = show(part, *hops_.head(), summary, after.tables.works, key);
    }
    for (const Digest& key : paid_) {
      PaymentPart& part = parts_.at(after.tables.escrows.find(key)->intent);
      part.escrow = show(part, *hops_.head(), summary, after.tables.escrows, key);
    }
  }
  for (auto& [intent, part] : parts_) {
    if (!part.is_empty()) shown.push_back(std::move(part));
  }
  parts_.clear();
  ended_.clear();
  paid_.clear();
  return shown;
}

PaymentPart PaymentGatherer::standing(const State& state, const Cid& intent) const {
  PaymentPart part{.intent = intent};
  if (!hops_.head()) return part;
  const StateSummary summary = state.summary();
  part.escrow = show(part, *hops_.head(), summary, state.tables.escrows, intent.digest());
  state.tables.works.visit([&](const Work& work) {
    if (work.intent != intent || work.phase == WorkPhase::ended) return true;
    WorkLinks links{.commitment = work.commitment};
    links.now = show(part, *hops_.head(), summary, state.tables.works, work.key());
    part.works.emplace(work.commitment, links);
    return true;
  });
  return part;
}

void PaymentGatherer::add_hops(PaymentProof& proof, ProofBlocks& blocks) const {
  const auto add = [&](const Cid& cid, const Bytes& bytes) {
    blocks.try_emplace(cid, std::make_shared<const Bytes>(bytes));
    return cid;
  };
  for (const ShownHop& one : hops_.all()) {
    proof.hops.push_back(add(dagcbor::cid_of(one.hop), one.hop));
    add(dagcbor::cid_of(one.header), one.header);
    add(Cid::of(Multicodec::raw, one.certificate), one.certificate);
  }
}

}  // namespace mesh::ledger
