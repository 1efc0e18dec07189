#include "domain/ledger/state.h"

#include "base/checked.h"

namespace mesh::ledger {

namespace {

/// Canonical DAG-CBOR of an account without the tree of values that record::encode makes: a block of transfers hashes two
/// accounts for each. The test compares the two.
class AccountWriter {
 public:
  void head(unsigned major, std::uint64_t argument) {
    const auto type = static_cast<std::uint8_t>(major << 5);
    if (argument < 24) {
      put(static_cast<std::uint8_t>(type | argument));
      return;
    }
    const unsigned width_log2 = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffffffff ? 2 : 3;
    put(static_cast<std::uint8_t>(type | (24 + width_log2)));
    for (unsigned i = 1U << width_log2; i-- > 0;) put(static_cast<std::uint8_t>(argument >> (8 * i)));
  }
  void number(std::string_view name, std::uint64_t value) {
    text(name);
    head(0, value);
  }
  void text(std::string_view text) {
    head(3, text.size());
    raw(as_bytes(text));
  }
  void bytes(ByteView bytes) {
    head(2, bytes.size());
    raw(bytes);
  }
  [[nodiscard]] ByteView written() const { return ByteView(buffer_).first(size_); }

 private:
  void put(std::uint8_t byte) { buffer_[size_++] = byte; }
  void raw(ByteView bytes) {
    std::ranges::copy(bytes, buffer_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += bytes.size();
  }
  // All fields at their longest: 16 withdrawals of 37 bytes each and 5 keys of 34 among them.
  std::array<std::uint8_t, 1024> buffer_;
  std::size_t size_ = 0;
};

}  // namespace

Digest place_in(std::string_view table, ByteView key) {
  static constexpr std::uint8_t end = 0;
  return sha256({as_bytes(table), ByteView(&end, 1), key});
}

template <class Use>
auto Account::with_bytes(const Use& use) const {
  AccountWriter out;
  const bool rotated = seldom_ && seldom_->key;
  const bool has_former = seldom_ && !seldom_->former.empty();
  const std::span<const Unbonding> waiting = unbonding();
  MESH_CHECK(waiting.size() <= max_unbonding_of_account, "ledger-account-unbonding-bound");
  out.head(5, 6U + (rotated ? 1 : 0) + (has_former ? 1 : 0));
  out.text("id");
  out.bytes(id_.view());
  if (rotated) {
    out.text("key");
    out.bytes(seldom_->key->view());
  }
  out.number("bonded", bonded);
  if (has_former) {
    out.text("former");
    out.head(4, seldom_->former.size());
    for (const PublicKey& key : seldom_->former) out.bytes(key.view());
  }
  out.number("balance", balance);
  out.number("at_stake", at_stake);
  out.number("sequence", sequence);
  out.text("unbonding");
  out.head(4, waiting.size());
  for (const Unbonding& one : waiting) {
    out.head(5, 2);
    out.number("amount", one.amount);
    out.number("release_ms", one.release_ms);
  }
  return use(out.written());
}

Digest Account::digest() const {
  return with_bytes([](ByteView bytes) { return sha256(bytes); });
}
Bytes Account::encoded() const {
  return with_bytes([](ByteView bytes) { return to_bytes(bytes); });
}

AccountRecord Account::record() const {
  AccountRecord record{.id = id_, .sequence = sequence, .balance = balance, .bonded = bonded, .at_stake = at_stake};
  if (seldom_) {
    record.key = seldom_->key;
    if (!seldom_->former.empty()) record.former = seldom_->former;
    record.unbonding = seldom_->unbonding;
  }
  return record;
}

Result<Account> Account::from_record(AccountRecord record) {
  if (record.unbonding.size() > max_unbonding_of_account ||
      (record.former && (record.former->empty() || record.former->size() > max_former_keys)))
    return fail(ErrorCode::invalid, "bad-account: it has more withdrawals or former keys than one may have");
  Account account(record.id);
  account.sequence = record.sequence;
  account.balance = record.balance;
  account.bonded = record.bonded;
  account.at_stake = record.at_stake;
  if (record.key || record.former || !record.unbonding.empty()) {
    Seldom& seldom = account.seldom();
    seldom.key = record.key;
    if (record.former) seldom.former = std::move(*record.former);
    seldom.unbonding = std::move(record.unbonding);
  }
  return account;
}

Account::Seldom& Account::seldom() {
  if (!seldom_) seldom_ = std::make_unique<Seldom>();
  return *seldom_;
}

void Account::rotate_to(const PublicKey& key) {
  const PublicKey before = signer();
  Seldom& now = seldom();
  std::erase(now.former, key);
  now.former.push_back(before);
  if (now.former.size() > max_former_keys) now.former.erase(now.former.begin());
  now.key = key == id_ ? std::nullopt : std::optional(key);
}

void Account::add_unbonding(const Unbonding& one) { seldom().unbonding.push_back(one); }

std::uint64_t Account::release_unbonding(std::uint64_t time_ms) {
  if (!seldom_) return 0;
  std::uint64_t released = 0;
  for (const Unbonding& one : seldom_->unbonding) {
    if (one.release_ms <= time_ms) released += one.amount;
  }
  std::erase_if(seldom_->unbonding, [&](const Unbonding& one) { return one.release_ms <= time_ms; });
  if (seldom_->unbonding.empty() && seldom_->former.empty() && !seldom_->key) seldom_ = nullptr;
  return released;
}

std::uint64_t Account::take_unbonding(std::uint64_t amount) {
  std::uint64_t taken = 0;
  if (!seldom_) return taken;
  for (auto one = seldom_->unbonding.rbegin(); one != seldom_->unbonding.rend(); ++one) {
    const std::uint64_t part = std::min(one->amount, amount - taken);
    one->amount -= part;
    taken += part;
  }
  return taken;
}

Status check_role(const Member* member, Role role, std::uint64_t height) {
  if (member == nullptr) return fail(ErrorCode::denied, "not-a-member: the account has no credential here");
  if (member->revoked) return fail(ErrorCode::denied, "revoked: the account's credential was taken back");
  if (member->expires_height && height >= *member->expires_height) {
    return fail(ErrorCode::denied, "credential-expired: the account's credential held until height " +
                                       std::to_string(*member->expires_height));
  }
  if (role != Role::member && !member->has(role)) {
    return fail(ErrorCode::denied,
                "role-missing: this needs the role " + std::string(enum_names(role)[static_cast<std::size_t>(role)]));
  }
  return {};
}

std::span<const std::string_view> enum_names(Enrolment) {
  static constexpr std::array<std::string_view, 2> names{"invitation", "open"};
  return names;
}

const Validator* ValidatorSet::find(const AccountId& account) const {
  const auto at = std::ranges::lower_bound(validators, account, {}, &Validator::account);
  return at != validators.end() && at->account == account ? &*at : nullptr;
}

bool ValidatorSet::has_distinct_keys() const {
  std::vector<PublicKey> keys;
  for (const Validator& one : validators) keys.push_back(one.key);
  std::ranges::sort(keys);
  return std::ranges::adjacent_find(keys) == keys.end();
}

bool State::derive() {
  bool is_whole = true;
  due.clear();
  unbonding_count = 0;
  frame.lasting_stewards = 0;
  frame.open_shards = 0;
  frame.locked_shards = 0;
  frame.undrawn.clear();
  tables.accounts.visit([this](const Account& account) {
    for (const Unbonding& one : account.unbonding()) due.insert(due_withdrawal(account.key(), one.release_ms));
    unbonding_count += account.unbonding().size();
    return true;
  });
  tables.members.visit([this](const Member& member) {
    if (member.is_lasting_steward()) ++frame.lasting_stewards;
    return true;
  });
  tables.works.visit([&](const Work& work) {
    is_whole = is_whole && work.phase != WorkPhase::drawing;
    const bool ended = work.phase == WorkPhase::ended;
    due.insert({work.due_ms, ended ? DueKind::work_forgotten : DueKind::work_due, work.key()});
    if (!ended) frame.open_shards += work.count();
    return true;
  });
  tables.escrows.visit([this](const Escrow& escrow) {
    if (!escrow.closed) due.insert({escrow.closes_ms, DueKind::escrow_closing, escrow.key()});
    due.insert({escrow.forget_ms, DueKind::escrow_forgotten, escrow.key()});
    if (!escrow.ended) frame.locked_shards += escrow.shards;
    return true;
  });
  tables.pairs.visit([this](const ReputationPair& pair) {
    due.insert({(pair.epoch + 1) * reputation::epoch_ms, DueKind::pair_over, pair.key()});
    return true;
  });
  tables.voters.visit([this](const Voter& voter) {
    if (voter.forget_ms) due.insert({*voter.forget_ms, DueKind::voter_forgotten, *Digest::from(voter.votes_by.view())});
    return true;
  });
  return is_whole;
}

bool Totals::are_conserved() const {
  std::optional<std::uint64_t> sum = balances;
  for (const std::uint64_t part : {bonded, unbonding, escrowed, treasury}) {
    if (sum) sum = checked_add(*sum, part);
  }
  return sum == supply;
}

}  // namespace mesh::ledger
