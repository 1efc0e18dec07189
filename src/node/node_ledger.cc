// A node over a ledger: who of its parts hears of what, and what it takes part in that is paid for.
#include <algorithm>

#include "base/checked.h"
#include "node/node_impl.h"

namespace mesh::node {

Interest Node::Impl::interest() const {
  Interest interest{.self = signer_.id(), .intents = {}};
  for (const auto& [cid, job] : jobs_) {
    if (job->is_paid()) interest.intents.insert(cid);
  }
  for (const auto& [cid, engagement] : engagements_) {
    if (engagement->intent().record.fee != 0) interest.intents.insert(cid);
  }
  for (const auto& [cid, seat] : seats_) interest.intents.insert(seat->intent());
  return interest;
}

Status Node::Impl::check_own_key() const {
  const Standing* own = ledger_.own();
  if (own == nullptr || own->key == signer_.id()) return {};
  return fail(ErrorCode::denied,
              "key-rotated: another key signs for this node's account now; a node that has it goes on with it from its "
              "next start on");
}

Status Node::Impl::check_balance(const JobSpec& spec) const {
  const Standing* own = ledger_.own();
  if (!ledger_.is_known()) return {};
  if (spec.fee != 0) MESH_TRY(check_own_key());
  const std::optional<std::uint64_t> fees = checked_multiply(spec.fee, std::uint64_t{spec.shards});
  if (!fees) return fail(ErrorCode::invalid, "overflow: the fee of all shards would be past 2^64-1");
  const std::uint64_t needed = checked_add(*fees, ledger_.parameters().transaction_fee).value_or(~std::uint64_t{0});
  const std::uint64_t balance = own == nullptr ? 0 : own->balance;
  if (balance >= needed) return {};
  return fail(ErrorCode::denied, "overdraft: the balance of " + std::to_string(balance) + " is less than the " +
                                     std::to_string(needed) + " that the fees of " + std::to_string(spec.shards) +
                                     " shards and a transaction come to");
}

Status Node::Impl::able_to_be_paid(const task::TaskIntent& intent) const {
  if (around_.ledger == nullptr)
    return fail(ErrorCode::unsupported, "fee: this version has no ledger yet, so only free tasks are taken");
  if (intent.is_sealed())
    return fail(ErrorCode::unsupported, "sealed: a task with sealed inputs cannot be paid for yet");
  if (!ledger_.is_known()) return fail(ErrorCode::unavailable, "ledger: nothing is known of it here yet");
  MESH_TRY(check_own_key());
  return ledger_.check_worker(signer_.id(), intent.fee);
}

void Node::Impl::on(Instant now, event::Transacted&& event) {
  const std::optional<LedgerDesk::Answer> answer = desk_.answered(now, std::move(event));
  if (!answer) return;
  if (Job* job = job_of(answer->wish.scope)) return job->on_transacted(now, *answer, out_);
  const auto engagement = engagements_.find(answer->wish.scope);
  if (engagement != engagements_.end()) return engagement->second->on_transacted(now, *answer, out_);
  const auto seat = seats_.find(answer->wish.scope);
  if (seat != seats_.end()) seat->second->on_transacted(now, *answer, out_);
}

void Node::Impl::on(Instant now, event::LedgerChanged&& event) {
  if (around_.ledger == nullptr) return;
  ledger_.take(now, event);
  for (const Cid& cid : std::vector<Cid>(job_order_)) jobs_.at(cid)->on_ledger(now, event, out_);
  for (auto& [cid, engagement] : engagements_) {
    if (engagement->intent().record.fee != 0) engagement->on_ledger(now, event, out_);
  }
  std::set<Cid> there;
  for (const ledger::Work& work : event.works) {
    there.insert(work.commitment);
    take_seat(now, work);
  }
  if (!event.whole) return;
  for (auto& [cid, seat] : seats_) {
    if (!there.contains(cid)) seat->on_gone();
  }
}

void Node::Impl::take_seat(Instant now, const ledger::Work& work) {
  const auto known = seats_.find(work.commitment);
  if (known != seats_.end()) return known->second->on_work(now, work, out_);
  if (work.phase == ledger::WorkPhase::ended || work.draws.empty() ||
      !std::ranges::binary_search(work.draws.back().nodes, ledger_.self()))
    return;
  if (seats_.size() >= config_.max_engagements) return;  // Another has the seat when it is passed over.
  LedgerSeat& seat = *seats_.emplace(work.commitment, std::make_unique<LedgerSeat>(around_, work)).first->second;
  out_.add({effect::Watch{work.intent}});  // When it ends, it says no more who was drawn.
  if (const Signed<task::TaskIntent>* intent = known_intent(work.intent)) seat.on_intent(now, *intent, out_);
  seat.on_work(now, work, out_);
}

const Signed<task::TaskIntent>* Node::Impl::known_intent(const Cid& cid) const {
  const auto engagement = engagements_.find(cid);
  if (engagement != engagements_.end()) return &engagement->second->intent();
  const auto heard = heard_.find(cid);
  return heard == heard_.end() ? nullptr : &heard->second.intent;
}

bool Node::Impl::give_intent(Instant now, const Signed<task::TaskIntent>& intent) {
  bool given = false;
  for (auto& [cid, seat] : seats_) {
    if (seat->intent() != intent.cid) continue;
    // Said again to whoever is waited for: then it is no invitation to bid.
    given = true;
    seat->on_intent(now, intent, out_);
  }
  return given;
}

bool Node::Impl::show_seat(Instant now, const Cid& intent, const Envelope& envelope) {
  if (std::ranges::none_of(seats_, [&](const auto& entry) { return entry.second->intent() == intent; })) return false;
  const auto receipt = open<receipt::ExecutionReceipt>(envelope, signer_.federation());
  const auto seat = receipt ? seats_.find(receipt->record.commitment) : seats_.end();
  if (seat == seats_.end()) return false;
  seat->second->on_receipt(now, *receipt, out_);
  return true;
}

}  // namespace mesh::node
