#include "domain/ledger/mempool.h"

#include "base/checked.h"

namespace mesh::ledger {

namespace {

std::uint64_t next_of(const Account* account) { return account == nullptr ? 0 : account->sequence; }

/// The key that counts when the account's transactions before `sequence` are made; those that wait may rotate it.
template <class Pendings>
PublicKey signer_before(const AccountId& id, const Account* account, const Pendings& pending, std::uint64_t sequence) {
  PublicKey key = account == nullptr ? id : account->signer();
  for (const auto& [number, one] : pending) {
    if (number >= sequence) break;
    if (const Rotate* rotate = std::get_if<Rotate>(&one.transaction->body)) key = rotate->key;
  }
  return key;
}

/// Whether an account can pay a fee, or works for nothing as a steward does.
bool can_pay(const Ledger& ledger, const AccountId& id, const Account* account) {
  if (account == nullptr) return false;
  return account->balance >= ledger.state().frame.parameters.transaction_fee ||
         check_role(ledger.member(id), Role::steward, ledger.height() + 1).has_value();
}

std::unexpected<Error> full(std::string_view share) {
  return fail(ErrorCode::exhausted, "pending-full: the room for " + std::string(share) + " is taken; try again later");
}

}  // namespace

Result<Mempool::Added> Mempool::add(const Ledger& ledger, Opened opened, std::uint64_t now_ms) {
  const AccountId id = opened->account;
  const std::uint64_t sequence = opened->sequence;
  const Account* account = ledger.account(id);
  const std::uint64_t next = next_of(account);
  const Admit* admit = std::get_if<Admit>(&opened->body);
  const bool enrols =
      admit != nullptr && admit->node == id && ledger.state().frame.parameters.enrolment == Enrolment::open;
  if (account == nullptr && !enrols)
    return fail(ErrorCode::not_found, "unknown-account: there is no such account; it begins with the first credits");
  if (sequence < next) {
    const auto other = remembered_.find({id, sequence});
    if (other != remembered_.end() && other->second->cid != opened->cid && account->knows(opened->signer))
      keep_conflict(other->second, opened);
    return fail(ErrorCode::conflict, "sequence-repeated: the account's next is " + std::to_string(next) + ", not " +
                                         std::to_string(sequence));
  }
  static const Pendings none;
  const auto found = queues_.find(id);
  const Pendings& pending = found == queues_.end() ? none : found->second.pending;
  if (opened->signer != signer_before(id, account, pending, sequence)) {
    const bool first = opened->signer == id;
    return fail(ErrorCode::unauthorised, std::string(first ? "key-rotated" : "wrong-key") +
                                             ": the signature is not by the key that the account has then");
  }
  if (const auto there = pending.find(sequence); there != pending.end()) {
    if (there->second.transaction->cid == opened->cid) return Added::repeated;
    keep_conflict(there->second.transaction, opened);
    return fail(ErrorCode::conflict, "pending-conflict: another transaction for this number came before");
  }
  if (sequence - next >= max_pending_of_account) {
    return fail(ErrorCode::exhausted, "pending-gap: the number " + std::to_string(sequence) + " is too far from " +
                                          std::to_string(next) + ", the account's next");
  }
  const bool pays = can_pay(ledger, id, account);
  if (!pays && !pending.empty())
    return fail(ErrorCode::denied,
                "pending-unpaid: the account cannot pay a fee, and one transaction of it waits already");
  bool ready = true;
  for (std::uint64_t before = next; ready && before < sequence; ++before) ready = pending.contains(before);
  if (found != queues_.end()) {
    found->second.next = next;
    found->second.pays = pays;
    sort_out(id, found->second);
  }
  MESH_TRY(make_room(opened->envelope.size(), !ready || !pays));
  // Sought again: what made room may have been all that the account had here.
  Queue& into = queues_[id];
  into.next = next;
  into.pays = pays;
  ++size_;
  bytes_ += opened->envelope.size();
  into.pending.emplace(sequence, Pending{std::move(opened), arrivals_++, ledger.height(), now_ms});
  sort_out(id, into);
  return ready ? Added::ready : Added::waits;
}

std::vector<Opened> Mempool::proposal(const Ledger& ledger, std::size_t count) const {
  struct Turn {
    std::uint64_t turn;
    std::uint64_t arrival;
    const Opened* transaction;
  };
  std::vector<Turn> turns;
  turns.reserve(size_);
  for (const auto& [id, queue] : queues_) {
    std::uint64_t turn = 0;
    std::uint64_t expected = next_of(ledger.account(id));
    for (const auto& [sequence, pending] : queue.pending) {
      if (sequence != expected++) break;
      turns.push_back({turn++, pending.arrival, &pending.transaction});
    }
  }
  const auto end = turns.begin() + static_cast<std::ptrdiff_t>(std::min(count, turns.size()));
  std::ranges::partial_sort(turns, end, [](const Turn& a, const Turn& b) {
    return a.turn != b.turn ? a.turn < b.turn : a.arrival < b.arrival;
  });
  std::vector<Opened> proposal;
  for (const Turn& one : std::span(turns.begin(), end)) proposal.push_back(*one.transaction);
  return proposal;
}

void Mempool::settle(const Ledger& ledger, std::span<const Opened> block) {
  for (const Opened& one : block) {
    const Opened* pending = find(one->account, one->sequence);
    if (pending != nullptr && (*pending)->cid != one->cid) keep_conflict(one, *pending);
    remember(one);
  }
  for (auto each = queues_.begin(); each != queues_.end();) {
    auto& [id, queue] = *each;
    const Account* account = ledger.account(id);
    queue.next = next_of(account);
    queue.pays = can_pay(ledger, id, account);
    PublicKey key = account == nullptr ? id : account->signer();
    for (auto at = queue.pending.begin(); at != queue.pending.end();) {
      const auto one = at++;
      const Transaction& transaction = *one->second.transaction;
      if (one->first < queue.next || transaction.signer != key) {
        forget(queue, one);
      } else if (const Rotate* rotate = std::get_if<Rotate>(&transaction.body)) {
        key = rotate->key;
      }
    }
    sort_out(id, queue);
    each = queue.pending.empty() ? queues_.erase(each) : std::next(each);
  }
  trim();
}

void Mempool::expire(const Ledger& ledger, std::uint64_t now_ms) {
  for (auto each = queues_.begin(); each != queues_.end();) {
    auto& [id, queue] = *each;
    for (auto at = queue.pending.begin(); at != queue.pending.end();) {
      const auto one = at++;
      const bool by_height = ledger.height() - one->second.height > max_pending_heights;
      // A clock that was set back makes nothing old.
      const bool by_time = checked_subtract(now_ms, one->second.time_ms).value_or(0) > max_pending_ms;
      if (by_height || by_time) forget(queue, one);
    }
    sort_out(id, queue);
    each = queue.pending.empty() ? queues_.erase(each) : std::next(each);
  }
  trim();
}

void Mempool::drop(const AccountId& account, std::uint64_t sequence) {
  const auto queue = queues_.find(account);
  if (queue == queues_.end()) return;
  Pendings& pending = queue->second.pending;
  if (const auto at = pending.find(sequence); at != pending.end()) forget(queue->second, at);
  sort_out(account, queue->second);
  if (pending.empty()) queues_.erase(queue);
  trim();
}

std::vector<std::array<Bytes, 2>> Mempool::take_conflicts() {
  std::vector<std::array<Bytes, 2>> taken;
  for (auto& [account, pair] : conflicts_) taken.push_back(std::move(pair));
  conflicts_.clear();
  return taken;
}

const Opened* Mempool::find(const AccountId& account, std::uint64_t sequence) const {
  const auto queue = queues_.find(account);
  if (queue == queues_.end()) return nullptr;
  const auto at = queue->second.pending.find(sequence);
  return at == queue->second.pending.end() ? nullptr : &at->second.transaction;
}

Status Mempool::make_room(std::size_t bytes, bool loose) {
  if (loose) {
    if (loose_.size() >= max_loose || loose_bytes_ + bytes > max_loose_bytes)
      return full("transactions with a gap before them and of accounts that cannot pay");
    if (size_ >= max_pending || bytes_ + bytes > max_pending_bytes) return full("all transactions");
    return {};
  }
  if (size_ - loose_.size() >= max_pending || bytes_ - loose_bytes_ + bytes > max_pending_bytes)
    return full("all transactions");
  while (size_ >= max_pending || bytes_ + bytes > max_pending_bytes) push_out_newest();
  return {};
}

void Mempool::sort_out(const AccountId& id, Queue& queue) {
  std::uint64_t expected = queue.next;
  for (auto& [sequence, pending] : queue.pending) {
    const bool ready = sequence == expected;
    if (ready) ++expected;
    const bool loose = !ready || !queue.pays;
    if (loose == pending.loose) continue;
    pending.loose = loose;
    const std::size_t bytes = pending.transaction->envelope.size();
    if (loose) {
      loose_.emplace(pending.arrival, Place{id, sequence});
      loose_bytes_ += bytes;
    } else {
      loose_.erase(pending.arrival);
      loose_bytes_ -= bytes;
    }
  }
}

void Mempool::trim() {
  while (loose_.size() > max_loose || loose_bytes_ > max_loose_bytes) push_out_newest();
}

void Mempool::push_out_newest() {
  const auto [account, sequence] = std::prev(loose_.end())->second;
  const auto queue = queues_.find(account);
  Pendings& pending = queue->second.pending;
  forget(queue->second, pending.find(sequence));
  sort_out(account, queue->second);
  if (pending.empty()) queues_.erase(queue);
}

void Mempool::forget(Queue& queue, Pendings::iterator at) {
  const std::size_t bytes = at->second.transaction->envelope.size();
  --size_;
  bytes_ -= bytes;
  if (at->second.loose) {
    loose_.erase(at->second.arrival);
    loose_bytes_ -= bytes;
  }
  queue.pending.erase(at);
}

void Mempool::remember(const Opened& transaction) {
  const Place place{transaction->account, transaction->sequence};
  if (!remembered_.emplace(place, transaction).second) return;
  remembered_order_.push_back(place);
  remembered_bytes_ += transaction->envelope.size();
  while (remembered_order_.size() > max_remembered || remembered_bytes_ > max_remembered_bytes) {
    const auto oldest = remembered_.find(remembered_order_.front());
    remembered_bytes_ -= oldest->second->envelope.size();
    remembered_.erase(oldest);
    remembered_order_.pop_front();
  }
}

void Mempool::keep_conflict(const Opened& first, const Opened& second) {
  if (conflicts_.size() >= max_pending_conflicts) return;
  if (!can_conflict(first->body) || !can_conflict(second->body)) return;
  conflicts_.try_emplace(first->account, std::array{first->envelope, second->envelope});
}

}  // namespace mesh::ledger
