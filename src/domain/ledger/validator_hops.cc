#include "domain/ledger/validator_hops.h"

namespace mesh::ledger {

namespace {

std::unexpected<Error> refuse(std::string text) { return fail(ErrorCode::invalid, std::move(text)); }

/// Whether the same decide by the same power from the same height on, whatever they have at stake.
bool decide_alike(const ValidatorSet& a, const ValidatorSet& b) {
  const auto alike = [](const Validator& one, const Validator& other) {
    return one.account == other.account && one.key == other.key && one.power == other.power;
  };
  return a.from_height == b.from_height && std::ranges::equal(a.validators, b.validators, alike);
}

}  // namespace

void ValidatorHops::add(const Head& head, Bytes summary, const ValidatorSet& next) {
  are_whole_ = are_whole_ && hops_.size() < max_hops;
  if (!are_whole_) return;
  const ValidatorHop hop{.header = dagcbor::cid_of(head.header),
                         .certificate = Cid::of(Multicodec::raw, head.certificate),
                         .summary = std::move(summary),
                         .next = next};
  hops_.push_back({record::encode(hop), head.header, head.certificate});
}

void ValidatorHops::committing(const State& before, const BlockHeader& header, const Draft& draft,
                               ByteView certificate) {
  const ValidatorSet& in_office = before.frame.validators_at(header.height);
  if (head_ && in_office.from_height == header.height) add(*head_, record::encode(before.summary()), in_office);
  head_ = Head{.header = record::encode(header), .certificate = to_bytes(certificate)};
  if (draft.frame.validators != in_office)
    add(*head_, record::encode(summary_of(draft.frame, draft.patches)), draft.frame.validators);
}

TrustedSets::TrustedSets(const Cid& federation, ValidatorSet founding, Certify certify)
    : federation_(federation), certify_(std::move(certify)) {
  trust(std::move(founding));
}

void TrustedSets::trust(ValidatorSet set) {
  last_ = dagcbor::cid_of(record::encode(set));
  sets_.insert_or_assign(last_, std::move(set));
}

Result<TrustedSets::Certified> TrustedSets::certified(const Cid& block, const BlockHeader& header, ByteView certificate,
                                                      ByteView summary_bytes) const {
  const std::string at = "of height " + std::to_string(header.height);
  if (sha256(summary_bytes) != header.state_root)
    return refuse("wrong-state-root: the state that is shown is not that of the block " + at);
  Result<StateSummary> summary = record::decode<StateSummary>(summary_bytes);
  if (!summary) return refuse("bad-summary: the summary of a state does not read: " + summary.error().message);
  if (summary->federation != federation_)
    return refuse("another-federation: the block " + at + " is of the federation " + summary->federation.text());
  if (summary->height != header.height)
    return refuse("wrong-state-root: the state of the block " + at + " says that it is of height " +
                  std::to_string(summary->height));
  const auto set = sets_.find(summary->validators);
  if (set == sets_.end())
    return refuse("validators-changed: the block " + at +
                  " was decided by another set of validators than those that the proof leads to");
  Result<Certification> holds = certify_(federation_, set->second, certificate);
  if (!holds) return wrap("certificate", std::move(holds.error()));
  if (holds->height != header.height || holds->block != block.digest())
    return refuse("wrong-certificate: the certificate is of another block than that " + at);
  return Certified{.certification = std::move(*holds), .validators = &set->second, .summary = std::move(*summary)};
}

Status TrustedSets::take(const ValidatorHop& hop, const BlockHeader& header, ByteView certificate) {
  const Cid next = dagcbor::cid_of(record::encode(hop.next));
  const bool has_other_stakes = next != last_ && decide_alike(hop.next, sets_.at(last_));
  if (has_other_stakes) trust(hop.next);
  MESH_LET(const Certified shown, certified(hop.header, header, certificate, hop.summary));
  if (has_other_stakes && shown.summary.validators == next) {
    ++hops_;
    return {};
  }
  // By the set that is in office at this height, so that no earlier one can name another. What takes over next is told.
  if (shown.summary.validators != last_ || hop.next.from_height != header.height + 1 ||
      std::ranges::find(shown.summary.scheduled, next) == shown.summary.scheduled.end())
    return refuse("validators-changed: the block of height " + std::to_string(header.height) +
                  " does not say that this set of validators takes over after it");
  trust(hop.next);
  ++hops_;
  return {};
}

}  // namespace mesh::ledger
