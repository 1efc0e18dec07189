#include "domain/ledger/mempool.h"

namespace mesh::ledger {

namespace {

std::uint64_t next_of(const Account* account) { return account == nullptr ? 0 : account->sequence; }

/// The key that counts when the account's transactions before `sequence` are made; those that wait may rotate it.
template <class Queue>
PublicKey signer_before(const AccountId& id, const Account* account, const Queue* queue, std::uint64_t sequence) {
  PublicKey key = account == nullptr ? id : account->signer();
  if (queue == nullptr) return key;
  for (const auto& [number, pending] : *queue) {
    if (number >= sequence) break;
    if (const Rotate* rotate = std::get_if<Rotate>(&pending.transaction->body)) key = rotate->key;
  }
  return key;
}

}  // namespace

Result<Mempool::Added> Mempool::add(const Ledger& ledger, Opened opened) {
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
    return fail(ErrorCode::conflict, "sequence-repeated: the account's next is " + std::to_string(next) + ", not " +
                                         std::to_string(sequence));
  }
  const auto found = queues_.find(id);
  const Queue* queue = found == queues_.end() ? nullptr : &found->second;
  if (opened->signer != signer_before(id, account, queue, sequence)) {
    const bool first = opened->signer == id;
    return fail(ErrorCode::unauthorised, std::string(first ? "key-rotated" : "wrong-key") +
                                             ": the signature is not by the key that the account has then");
  }
  if (queue != nullptr) {
    if (const auto there = queue->find(sequence); there != queue->end()) {
      if (there->second.transaction->cid == opened->cid) return Added::repeated;
      keep_conflict(there->second.transaction, opened);
      return fail(ErrorCode::conflict, "pending-conflict: another transaction for this number came before");
    }
  }
  if (sequence - next >= max_pending_of_account) {
    return fail(ErrorCode::exhausted, "pending-gap: the number " + std::to_string(sequence) + " is too far from " +
                                          std::to_string(next) + ", the account's next");
  }
  const std::size_t bytes = opened->envelope.size();
  if (size_ >= max_pending || bytes_ + bytes > max_pending_bytes)
    return fail(ErrorCode::exhausted, "pending-full: too many transactions wait; try again later");
  Queue& into = queues_[id];
  into.emplace(sequence, Pending{std::move(opened), arrivals_++, ledger.height()});
  ++size_;
  bytes_ += bytes;
  const auto last =
      std::ranges::find_if(into, [expected = next](const auto& one) mutable { return one.first != expected++; });
  return last == into.end() || last->first > sequence ? Added::ready : Added::waits;
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
    for (const auto& [sequence, pending] : queue) {
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

void Mempool::settle(const Ledger& ledger) {
  for (auto each = queues_.begin(); each != queues_.end();) {
    Queue& queue = each->second;
    const Account* account = ledger.account(each->first);
    const std::uint64_t next = next_of(account);
    PublicKey key = account == nullptr ? each->first : account->signer();
    for (auto at = queue.begin(); at != queue.end();) {
      const auto one = at++;
      const Transaction& transaction = *one->second.transaction;
      const bool old = ledger.height() - one->second.height > max_pending_heights;
      if (old || one->first < next || transaction.signer != key) {
        forget(queue, one);
      } else if (const Rotate* rotate = std::get_if<Rotate>(&transaction.body)) {
        key = rotate->key;
      }
    }
    each = queue.empty() ? queues_.erase(each) : std::next(each);
  }
}

void Mempool::drop(const AccountId& account, std::uint64_t sequence) {
  const auto queue = queues_.find(account);
  if (queue == queues_.end()) return;
  if (const auto at = queue->second.find(sequence); at != queue->second.end()) forget(queue->second, at);
  if (queue->second.empty()) queues_.erase(queue);
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
  const auto at = queue->second.find(sequence);
  return at == queue->second.end() ? nullptr : &at->second.transaction;
}

void Mempool::forget(Queue& queue, Queue::iterator at) {
  --size_;
  bytes_ -= at->second.transaction->envelope.size();
  queue.erase(at);
}

void Mempool::keep_conflict(const Opened& first, const Opened& second) {
  if (conflicts_.size() >= max_pending_conflicts) return;
  conflicts_.try_emplace(first->account, std::array{first->envelope, second->envelope});
}

}  // namespace mesh::ledger
