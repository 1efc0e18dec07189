#include "domain/ledger/reveal.h"

#include <algorithm>

namespace mesh::ledger {

namespace {

std::unexpected<Error> refuse(ErrorCode code, std::string text) { return fail(code, std::move(text)); }

}  // namespace

Status reveal_work(Work& work, const Bought& bought, const Signed<receipt::ExecutionReceipt>& receipt) {
  if (receipt.signer != work.signer)
    return refuse(ErrorCode::denied, "receipt-of-another: the receipt is not the worker's");
  Result<receipt::Opened> opened = receipt::open_execution(commitment_of(work), receipt.record, bought.shards);
  if (!opened) return wrap("bad-receipt", std::move(opened.error()));
  for (const receipt::Finding& finding : opened->findings) {
    if (finding.fuel > bought.fuel) {
      return refuse(ErrorCode::invalid, "over-fuel: the receipt has a run of " + std::to_string(finding.fuel) +
                                            " fuel, more than the " + std::to_string(bought.fuel) + " bought");
    }
  }
  work.receipt = receipt.cid;
  for (std::size_t row = 0; row < opened->findings.size(); ++row) {
    append(work.findings, opened->digests[row].view());
    work.exhausted.push_back(opened->findings[row].outcome.kind == task::OutcomeKind::stack_exhausted ? 1 : 0);
  }
  return {};
}

Result<bool> reveal_answer(Work& work, const Bought& bought, const Signed<receipt::VerificationReceipt>& verification) {
  if (!work.receipt) return refuse(ErrorCode::conflict, "not-revealed: the worker reveals first");
  const receipt::VerificationReceipt& revealed = verification.record;
  const auto answer = std::ranges::find(work.answers, revealed.commitment, &Answer::commitment);
  if (answer == work.answers.end() || answer->signer != verification.signer)
    return refuse(ErrorCode::denied, "not-committed: it opens no commitment of its signer to this work");
  if (answer->revealed) return false;
  if (revealed.intent != work.intent || revealed.receipt != *work.receipt)
    return refuse(ErrorCode::invalid, "receipt-of-another: the verification is of another receipt");
  receipt::Opened worker;
  worker.shards = work.numbers();
  for (std::size_t row = 0; row < worker.shards.size(); ++row) worker.digests.push_back(work.ballot(row).finding);
  Result<std::map<std::uint32_t, receipt::Finding>> found =
      receipt::open_verification(commitment_of(work, *answer), revealed, worker, bought.shards);
  if (!found) return wrap("bad-verification", std::move(found.error()));
  answer->revealed = true;
  for (const auto& [shard, finding] : *found) {
    const verification::Ballot ballot = verification::ballot_of(finding);
    answer->differing.push_back(shard);
    append(answer->found, ballot.finding.view());
    answer->exhausted.push_back(ballot.stack_exhausted ? 1 : 0);
  }
  return true;
}

}  // namespace mesh::ledger
