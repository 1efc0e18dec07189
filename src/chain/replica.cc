#include "chain/replica.h"

#include <algorithm>

#include "base/checked.h"
#include "base/planted.h"

namespace mesh::chain {

namespace {

using ledger::Opened;

bool is_named(const Error& error, std::string_view name) { return error.message.starts_with(std::string(name) + ":"); }

/// What nobody hands on who has read it himself. All else depends on what is final where, or on the program's version.
bool blames_sender(const Error& error) {
  constexpr std::array<std::string_view, 15> names{
      "malformed",      "transaction-too-large", "zero-amount",         "text-too-long",        "bad-roles",
      "bad-owner",      "empty-scope",           "bad-validator-count", "validators-unordered", "zero-power",
      "power-overflow", "bad-evidence",          "not-a-conflict",      "own-evidence",         "bad-signature"};
  return std::ranges::any_of(names, [&](std::string_view name) { return is_named(error, name); });
}

Timer timer_of(const consensus::Timer& timer) { return {.kind = Timer::Kind::consensus, .number = 0, .of = timer}; }
Timer timer_of(Timer::Kind kind, std::uint64_t number = 0) { return {.kind = kind, .number = number, .of = {}}; }

}  // namespace

Replica::Replica(Config config, ledger::Ledger ledger, std::optional<ledger::Restored> restored)
    : config_(std::move(config)),
      memory_(config_.memory ? config_.memory : std::make_shared<OpenedMemory>()),
      founding_(ledger.state().frame.validators),
      ledger_(std::move(ledger)),
      mempool_(ledger_.seeded_hash()),
      handed_on_(0, ledger_.seeded_hash()),
      handed_on_before_(0, ledger_.seeded_hash()) {
  for (const Seed& seed : config_.seeds) own_keys_.push_back(public_key_of(seed));
  MESH_CHECK(config_.seeds.size() <= max_own_keys, "chain-own-keys");
  MESH_CHECK(ledger_.height() == 0, "chain-ledger-at-the-beginning");
  if (restored) {
    ledger_ = ledger::Ledger::restored(std::move(restored->state), ledger_.seed());
    hops_ = std::move(restored->hops);
  }
  remember(ledger_.state().frame.last_block.digest());
}

Effects Replica::step(std::uint64_t now_ms, const Event& event) {
  now_ms_ = now_ms;
  step_bytes_ = 0;
  std::visit([this](const auto& one) { on(one); }, event);
  do {
    drain();
  } while (takes_part() && (feed() || consider()));
  made_.reset();  // What it would be made of may be more by the next step.
  if (takes_part()) {
    tell_conflicts();
    fetch();
    if (mempool_.size() > 0 && !timers_.contains(timer_of(Timer::Kind::hand_on)))
      set_timer(timer_of(Timer::Kind::hand_on), config_.hand_on);
    set_due();
  }
  return outbox_.take();
}

// ---- storage

Status Replica::replay(const FinalBlock& stored) {
  if (stored.height != ledger_.height() + 1) {
    return fail(ErrorCode::storage,
                "after height " + std::to_string(ledger_.height()) + " comes " + std::to_string(stored.height));
  }
  MESH_LET(ledger::Block block, read_block(stored.block));
  // They were checked before they were stored: that nothing has changed since is for the state root to say, and for the last
  // block's certificate.
  std::vector<Opened> transactions;
  transactions.reserve(block.list.transactions.size());
  for (const Bytes& envelope : block.list.transactions) {
    if (const Opened* before = memory_->find(sha256(envelope))) {
      transactions.push_back(*before);
      continue;
    }
    MESH_LET(ledger::Transaction transaction, ledger::decode(envelope));
    transactions.push_back(Opened::trusted(std::move(transaction)));
  }
  MESH_LET(const ledger::OpenedBlock joined, ledger::OpenedBlock::join(std::move(block), std::move(transactions)));
  MESH_LET(ledger::Draft draft, ledger_.execute(joined, std::nullopt));
  const Cid name = draft.block;
  last_ = Last{.certificate = stored.certificate, .validators = validators_of(set()), .block = name.digest()};
  hops_.committing(ledger_.state(), joined.block().header, draft, stored.certificate);
  if (config_.committing) config_.committing(joined, draft, stored.certificate);
  ledger_.commit(std::move(draft));
  remember(name.digest());
  replayed_.emplace_back(stored.height, answer_bytes(stored));
  return {};
}

void Replica::on(const event::Replayed& event) {
  if (consensus_ || is_damaged_ || stopped_) return;
  if (Status replayed = replay(event.block); !replayed) damaged(replayed.error().message);
}

void Replica::damaged(std::string text) {
  is_damaged_ = true;
  trouble("damaged-chain: what is stored after height " + std::to_string(ledger_.height()) +
          " cannot be used, and is fetched again; nothing is signed until that is safe: " + std::move(text));
}

void Replica::on(const event::Started& event) {
  if (consensus_ || stopped_) return;
  if (!is_damaged_ && ledger_.height() < event.base) damaged("the snapshot with which it begins cannot be read");
  outbox_.starts_at(ledger_.height());
  if (last_) {
    const auto certified = consensus::verify_certificate(ledger_.federation(), last_->validators, last_->certificate);
    if (!certified || certified->height != ledger_.height() || certified->block != last_->block) {
      return stop(
          {ErrorCode::storage,
           "damaged-chain: the last block that is stored has no certificate; remove the chain from the storage, "
           "so that it is fetched again"});
    }
    last_.reset();
  }
  signs_from_ = event.signs_from;
  offences_ = event.offences;
  // Where the snapshot could not be used all is fetched again.
  base_ = ledger_.height() < event.base ? 0 : event.base;
  snapshot_ = ledger_.height() < event.snapshot ? 0 : event.snapshot;
  snapshot_bytes_ = event.snapshot_bytes;
  for (const auto& [height, bytes] : std::exchange(replayed_, {})) grown_ += height > snapshot_ ? bytes : 0;
  if (is_damaged_) signs_from(never);
  start_height(is_damaged_ || planted(Bug::chain_log_forgotten) ? std::vector<Bytes>() : event.log);
  set_timer(timer_of(Timer::Kind::greet), config_.greet);
  outbox_.add_durable(effect::Broadcast{hello()});
}

void Replica::take_key() {
  const auto votes = [&](const PublicKey& key) { return seat_of(set(), key) != nullptr; };
  auto key = std::ranges::find_if(own_keys_, votes);
  const bool has_seat = key != own_keys_.end();
  // One without a seat goes on with the key that it had.
  if (consensus_ && (!has_seat || *key == key_)) return;
  if (!has_seat) key = own_keys_.begin();
  const bool follows = key == own_keys_.end();
  key_ = follows ? PublicKey{} : *key;
  const auto number = static_cast<std::size_t>(key - own_keys_.begin());
  // Another key signs at this height and no earlier one: what the last one said does not bind it.
  carry_out(consensus::CancelTimers{});
  consensus_.emplace(consensus::Config{.federation = ledger_.federation(),
                                       .seed = follows ? std::nullopt : std::optional(config_.seeds[number]),
                                       .observe = signs_from_ != 0,
                                       .timeouts = config_.timeouts});
  if (signs_from_ != 0 && signs_from_ != never) give(consensus::SafeFrom{signs_from_});
}

void Replica::start_height(std::vector<Bytes> log) {
  take_key();
  give(consensus::StartHeight{
      .height = ledger_.height() + 1, .validators = validators_of(set()), .log = std::move(log)});
}

void Replica::remember(const Digest& block) {
  names_.push_back(block);
  if (names_.size() > max_known_blocks) names_.pop_front();
}

const Digest* Replica::name_of_block(Height height) const {
  if (height > ledger_.height() || ledger_.height() - height >= names_.size()) return nullptr;
  return &names_[names_.size() - 1 - (ledger_.height() - height)];
}

const ledger::ValidatorSet& Replica::set() const {
  const ledger::Frame& frame = ledger_.state().frame;
  return frame.validators_at(frame.height + 1);
}

// ---- transactions

Error Replica::why_not_taking_part() const {
  return stopped_ ? Error{ErrorCode::unavailable, "stopped: " + stopped_->message}
                  : Error{ErrorCode::unavailable, "not-started: the chain is not replayed yet"};
}

void Replica::on(const event::Submit& event) {
  notice::Submitted answer{.id = event.id, .transaction = fail(ErrorCode::unavailable, "")};
  if (!takes_part()) {
    answer.transaction = std::unexpected(why_not_taking_part());
  } else if (followed_.size() >= max_followed) {
    answer.transaction =
        fail(ErrorCode::exhausted, "submissions-full: too many of this node's transactions wait; try again later");
  } else {
    answer.transaction = std::move(admit({event.envelope}, std::nullopt).front());
    if (answer.transaction) {
      const Result<ledger::Transaction> read = ledger::decode(event.envelope);
      if (read) followed_.insert_or_assign(Place{read->account, read->sequence}, *answer.transaction);
    }
  }
  notify(std::move(answer));
}

void Replica::on(const event::SubmitBatch& event) {
  MESH_CHECK(event.transactions.size() <= max_batch_transactions, "chain-submitted-batch");
  notice::BatchSubmitted answer{.id = event.id, .transactions = {}};
  answer.transactions.reserve(event.transactions.size());
  std::vector<Bytes> fresh;
  for (const Opened& one : event.transactions) {
    if (!takes_part()) {
      answer.transactions.emplace_back(std::unexpected(why_not_taking_part()));
    } else if (std::optional<Result<Cid>> known_already = known(*one)) {
      answer.transactions.push_back(std::move(*known_already));
    } else {
      memory_->remember(sha256(one->envelope), one);
      answer.transactions.push_back(pool(one, fresh));
    }
  }
  hand_on(fresh, std::nullopt);
  notify(std::move(answer));
}

std::optional<Result<Cid>> Replica::known(const ledger::Transaction& transaction) const {
  const ledger::Account* account = ledger_.account(transaction.account);
  if (account != nullptr && transaction.sequence < account->sequence) {
    return fail(ErrorCode::conflict, "sequence-repeated: the account's next is " + std::to_string(account->sequence) +
                                         ", not " + std::to_string(transaction.sequence));
  }
  // Another signature makes it no better.
  if (const auto refused = refused_.find(transaction.cid); refused != refused_.end())
    return fail(refused->second.code, refused->second.message);
  const Opened* waits = mempool_.find(transaction.account, transaction.sequence);
  if (waits != nullptr && (*waits)->envelope == transaction.envelope) return transaction.cid;
  return std::nullopt;
}

std::vector<Result<Cid>> Replica::admit(const std::vector<Bytes>& envelopes, const std::optional<PeerId>& from) {
  std::vector<Result<Cid>> answers(envelopes.size());
  std::vector<std::optional<Result<Opened>>> opened(envelopes.size());
  std::vector<Digest> names(envelopes.size());
  std::vector<ledger::Transaction> unknown;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < envelopes.size(); ++i) {
    names[i] = sha256(envelopes[i]);
    if (const Opened* before = memory_->find(names[i])) {
      if (std::optional<Result<Cid>> answer = known(**before)) {
        answers[i] = std::move(*answer);
      } else {
        opened[i] = *before;
      }
      continue;
    }
    Result<ledger::Transaction> read = ledger::decode(envelopes[i]);
    if (!read) {
      answers[i] = std::unexpected(std::move(read.error()));
    } else if (std::optional<Result<Cid>> answer = known(*read)) {
      answers[i] = std::move(*answer);
    } else {
      unknown.push_back(std::move(*read));
      places.push_back(i);
    }
  }
  std::vector<Result<Opened>> checked = ledger::check_all(std::move(unknown), ledger_.federation());
  for (std::size_t i = 0; i < checked.size(); ++i) {
    if (checked[i]) memory_->remember(names[places[i]], *checked[i]);
    opened[places[i]] = std::move(checked[i]);
  }
  std::vector<Bytes> fresh;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    if (opened[i]) answers[i] = pool(std::move(*opened[i]), fresh);
  }
  hand_on(fresh, from);
  return answers;
}

Result<Cid> Replica::pool(Result<Opened> opened, std::vector<Bytes>& fresh) {
  if (!opened) return std::unexpected(std::move(opened.error()));
  const Cid name = (*opened)->cid;
  Bytes envelope = (*opened)->envelope;
  MESH_LET(const ledger::Mempool::Added added, mempool_.add(ledger_, std::move(*opened), now_ms_));
  if (added != ledger::Mempool::Added::repeated) {
    pool_is_stale_ = false;
    if (is_news(name)) fresh.push_back(std::move(envelope));
  }
  return name;
}

bool Replica::is_news(const Cid& transaction) {
  if (handed_on_.contains(transaction) || handed_on_before_.contains(transaction)) return false;
  if (handed_on_.size() >= max_handed_on) {
    handed_on_before_.swap(handed_on_);
    handed_on_.clear();
  }
  handed_on_.insert(transaction);
  return true;
}

void Replica::hand_on(const std::vector<Bytes>& envelopes, const std::optional<PeerId>& but) {
  if (envelopes.empty() || planted(Bug::chain_transaction_kept)) return;
  const Bytes message = encode(message::Transactions{envelopes});
  if (!but) return outbox_.add(effect::Broadcast{message});
  fetches_.for_each_peer([&](const PeerId& peer) {
    if (peer != *but) outbox_.add(effect::Send{peer, message});
  });
}

std::vector<Bytes> Replica::front() const {
  std::vector<Bytes> envelopes;
  std::size_t bytes = 0;
  for (const Opened& one : mempool_.proposal(ledger_, max_batch_transactions)) {
    bytes += one->envelope.size() + 4;
    if (bytes > hand_on_bytes) break;
    envelopes.push_back(one->envelope);
  }
  return envelopes;
}

void Replica::drop(const Opened& transaction, Error error) {
  // Others may still hand it on: it is not looked at again before something has changed.
  if (refused_.size() >= max_refused) refused_.clear();
  refused_.emplace(transaction->cid, error);
  mempool_.drop(transaction->account, transaction->sequence);
  const auto found = followed_.find({transaction->account, transaction->sequence});
  if (found == followed_.end() || found->second != transaction->cid) return;
  notify(notice::TransactionDropped{found->second, std::move(error)});
  followed_.erase(found);
}

void Replica::follow_up(const ledger::OpenedBlock& block, Height height) {
  for (const Opened& one : block.transactions()) {
    const auto found = followed_.find({one->account, one->sequence});
    if (found == followed_.end()) continue;
    if (found->second == one->cid) {
      outbox_.add_durable(effect::Notify{notice::TransactionFinal{one->cid, height}});
    } else {
      outbox_.add_durable(effect::Notify{notice::TransactionDropped{
          found->second,
          {ErrorCode::conflict, "sequence-repeated: another transaction with this number has become final"}}});
    }
    followed_.erase(found);
  }
  let_go_of_followed();
}

void Replica::expire() {
  mempool_.expire(ledger_, now_ms_);
  let_go_of_followed();
}

void Replica::let_go_of_followed() {
  std::erase_if(followed_, [&](const auto& one) {
    const auto& [place, name] = one;
    const Opened* waits = mempool_.find(place.first, place.second);
    if (waits != nullptr && (*waits)->cid == name) return false;
    outbox_.add_durable(effect::Notify{notice::TransactionDropped{
        name,
        {ErrorCode::timeout,
         "pending-expired: it has waited too long, or made room for others, or the account has another key now"}}});
    return true;
  });
}

void Replica::tell_conflicts() {
  for (auto& [first, second] : mempool_.take_conflicts()) {
    const Result<ledger::Transaction> read = ledger::decode(first);
    if (!read || conflicted_.size() >= max_conflicted || !conflicted_.insert(read->account).second) continue;
    notify(notice::ConflictFound{std::move(first), std::move(second)});
  }
}

// ---- peers

void Replica::on(const event::PeerUp& event) {
  if (!fetches_.peer_up(event.peer))
    return trouble("peers-full: more than " + std::to_string(max_peers) + " peers of the chain are connected");
  if (!takes_part()) return;
  outbox_.add_durable(effect::Send{event.peer, hello()});
  if (std::vector<Bytes> waiting = front(); !waiting.empty())
    outbox_.add(effect::Send{event.peer, encode(message::Transactions{std::move(waiting)})});
}

void Replica::on(const event::PeerDown& event) {
  fetches_.peer_down(event.peer);
  reading_.erase(event.peer);
  reading_parts_.erase(event.peer);
  if (skip_ && skip_->offer.peer == event.peer) end_skip(false);
}

void Replica::on(const event::Received& event) {
  if (!consensus_ || !fetches_.knows(event.peer)) return;
  const Result<Message> read = decode(event.message);
  if (!read) return blame(event.peer, read.error());
  std::visit([&](const auto& message) { receive(event.peer, message); }, *read);
}

void Replica::receive(const PeerId& peer, const message::Hello& hello) {
  if (hello.federation != ledger_.federation())
    return blame(peer, {ErrorCode::denied, "other-federation: the peer is of " + hello.federation.text()});
  const Digest* own = name_of_block(hello.height);
  if (own != nullptr && *own != hello.block) {
    fetches_.shows(peer, 0);
    const std::string text =
        "other-chain: " + identity::short_name(peer) + " has another block at height " + std::to_string(hello.height);
    trouble(text);
    return blame(peer, {ErrorCode::conflict, text});
  }
  fetches_.shows(peer, hello.height, hello.base, hello.snapshot);
  const bool votes = std::ranges::any_of(set().validators, [&](const auto& one) { return one.account == peer; });
  if (shown_.size() >= consensus::max_validators) shown_.clear();  // Of sets long gone, mostly.
  if (votes) shown_.insert_or_assign(peer, Shown{hello.height, hello.block});
  become_certain();
}

void Replica::receive(const PeerId& peer, const message::Vote& vote) {
  // It is said again.
  if (!takes_part() || outbox_.under_way() >= max_writes_under_way) return;
  Bytes bytes = to_bytes(vote.bytes);
  give(consensus::Message{}, std::move(bytes), {}, peer);
}

void Replica::receive(const PeerId& peer, const message::Transactions& transactions) {
  if (!takes_part()) return;
  for (const Result<Cid>& answer : admit(transactions.envelopes, peer)) {
    if (!answer && blames_sender(answer.error())) return blame(peer, answer.error());
  }
}

void Replica::receive(const PeerId& peer, const message::Ask& ask) {
  const Height durable = outbox_.durable_height();
  if (ask.from > durable || ask.from <= base_)
    return outbox_.add(effect::Send{peer, encode(message::Blocks{ask.from, {}})});
  if (!reading_.insert(peer).second) return;  // One at a time: it asks again.
  const std::size_t count = std::min<Height>(ask.count, durable - ask.from + 1);
  outbox_.add(effect::ReadBlocks{peer, ask.from, count, max_range_bytes});
}

void Replica::on(const event::BlocksRead& event) {
  if (reading_.erase(event.peer) == 0) return;
  outbox_.add(effect::Send{event.peer, encode(message::Blocks{event.from, event.blocks})});
}

void Replica::receive(const PeerId& peer, const message::Blocks& blocks) {
  if (!takes_part()) return;
  const Result<std::uint64_t> ended = fetches_.take(peer, blocks);
  if (!ended) return blame(peer, ended.error());
  cancel_timer(timer_of(Timer::Kind::fetch, *ended));
}

Bytes Replica::hello() const {
  return encode(message::Hello{.federation = ledger_.federation(),
                               .height = ledger_.height(),
                               .block = names_.back(),
                               .base = base_,
                               .snapshot = snapshot_});
}

// ---- timers

void Replica::set_timer(Timer timer, std::chrono::milliseconds after) {
  timers_.insert(timer);
  outbox_.add(effect::SetTimer{timer, after});
}

void Replica::cancel_timer(const Timer& timer) {
  if (timers_.erase(timer) > 0) outbox_.add(effect::CancelTimer{timer});
}

void Replica::on(const event::Elapsed& event) {
  // One that was cancelled may have been on its way.
  if (timers_.erase(event.timer) == 0 || !takes_part()) return;
  switch (event.timer.kind) {
    case Timer::Kind::consensus:
      give(consensus::Elapsed{event.timer.of});
      break;
    case Timer::Kind::greet:
      outbox_.add_durable(effect::Broadcast{hello()});
      set_timer(event.timer, config_.greet);
      break;
    case Timer::Kind::hand_on:
      expire();
      // Who proposes has looked at all of it. Others would hand on, and wait for, what can never be executed.
      if (seat() == nullptr || consensus_->is_observing()) sift();
      hand_on(front(), std::nullopt);
      break;
    case Timer::Kind::lag:
      if (lag_height_ == ledger_.height()) fetches_now_ = true;
      break;
    case Timer::Kind::fetch:
      fetches_.late(event.timer.number);
      break;
    case Timer::Kind::part:
      end_skip(true);
      break;
    case Timer::Kind::alone:
      fetches_alone_ = false;
      break;
    case Timer::Kind::patience:
      is_patient_ = false;
      break;
    case Timer::Kind::go_on:
      break;
    case Timer::Kind::due:
      pool_is_stale_ = false;
      break;
    case Timer::Kind::stall:
      if (!runs_) break;
      if (seat() != nullptr && signs_from_ <= ledger_.height() + 1) heard_.insert(key_);
      notify(notice::Stalled{.height = ledger_.height() + 1,
                             .heard = heard_.size(),
                             .validators = set().validators.size(),
                             .text = "no quorum: " + std::to_string(heard_.size()) + " of " +
                                     std::to_string(set().validators.size()) + " validators heard"});
      heard_.clear();
      set_timer(event.timer, config_.stall);
      break;
  }
}

// ---- consensus

void Replica::give(consensus::Input input, Bytes bytes, Bytes certificate, std::optional<PeerId> from) {
  given_.push_back({std::move(input), std::move(bytes), std::move(certificate), from});
}

void Replica::drain() {
  while (!given_.empty() && takes_part()) {
    Given given = std::move(given_.front());
    given_.pop_front();
    give_now(given);
  }
  if (stopped_) given_.clear();
}

void Replica::give_now(Given& given) {
  if (auto* message = std::get_if<consensus::Message>(&given.input)) message->bytes = given.bytes;
  if (auto* propose = std::get_if<consensus::Propose>(&given.input)) propose->block = given.bytes;
  if (auto* synced = std::get_if<consensus::Synced>(&given.input)) {
    synced->certificate = given.certificate;
    synced->block = given.bytes;
  }
  auto outputs = consensus_->step(given.input);
  if (!outputs) return refused(given, outputs.error());
  if (std::holds_alternative<consensus::Message>(given.input)) {
    if (const std::optional<PublicKey> signer = signer_of(given.bytes); signer && seat_of(set(), *signer) != nullptr)
      heard_.insert(*signer);
  }
  giving_ = &given;
  for (consensus::Output& output : *outputs) {
    if (stopped_) break;
    std::visit([this](auto& effect) { carry_out(effect); }, output.effect);
  }
  giving_ = nullptr;
}

void Replica::blame_for(ByteView bytes, const Error& error) {
  if (giving_ == nullptr || !giving_->from || giving_->bytes.size() < bytes.size()) return;
  // A proposal ends in its block, and a fetched block is all of it. Of what came earlier nobody knows any more who sent it.
  if (!equal(ByteView(giving_->bytes).last(bytes.size()), bytes)) return;
  if (std::holds_alternative<consensus::Synced>(giving_->input)) fetches_.lied(*giving_->from);
  blame(*giving_->from, error);
}

void Replica::refused(const Given& given, const consensus::Refusal& refusal) {
  const Error& error = refusal.error;
  if (is_named(error, "would-sign-twice") || error.code == ErrorCode::internal) return stop(error);
  if (const auto* start = std::get_if<consensus::StartHeight>(&given.input)) {
    if (error.code != ErrorCode::storage || start->log.empty()) return stop(error);
    trouble(error.message + "; nothing is signed until that is safe");
    signs_from(never);
    return start_height({});
  }
  if (std::holds_alternative<consensus::SafeFrom>(given.input)) {
    trouble(error.message);
    return signs_from(never);
  }
  if (!given.from) return;
  if (std::holds_alternative<consensus::Synced>(given.input)) {
    // Others put contents behind that name first, and are found out: it is asked for again.
    if (is_named(error, "too-many")) return;
    const Height height = ledger_.height() + 1;
    fetches_.lied(*given.from);
    blame(*given.from, {error.code, "fork-refused: what was offered as the block of height " + std::to_string(height) +
                                        " is not certified: " + error.message});
  } else if (refusal.blames_sender) {
    blame(*given.from, error);
  }
}

void Replica::carry_out(consensus::Broadcast& effect) {
  outbox_.add_durable(effect::Broadcast{encode(message::Vote{effect.message})});
}

void Replica::carry_out(consensus::Append& effect) {
  outbox_.write().entries.emplace_back(effect.height, std::move(effect.entry));
}

void Replica::carry_out(const consensus::Forget& effect) {
  Height& below = outbox_.write().forget_below;
  below = std::max(below, effect.below);
}

void Replica::carry_out(const consensus::SetTimer& effect) { set_timer(timer_of(effect.timer), effect.after); }

void Replica::carry_out(const consensus::CancelTimer& effect) { cancel_timer(timer_of(effect.timer)); }

void Replica::carry_out(const consensus::CancelTimers& /*effect*/) {
  const std::set<Timer> timers = timers_;
  for (const Timer& timer : timers) {
    if (timer.kind == Timer::Kind::consensus) cancel_timer(timer);
  }
}

void Replica::carry_out(const consensus::RoundStarted& /*effect*/) {
  wanted_.reset();
  if (std::exchange(runs_, true)) return;
  set_timer(timer_of(Timer::Kind::stall), config_.stall);
}

void Replica::carry_out(const consensus::GetBlock& effect) {
  wanted_ = effect;
  pool_is_stale_ = false;
}

void Replica::carry_out(const consensus::Validate& effect) {
  if (candidate_of(effect.block, effect.bytes) != nullptr)
    return give(consensus::Verdict{.question = effect.question, .judgement = consensus::Judgement::valid});
  Judged judged = judge(effect.bytes, effect.wanted || effect.certified);
  if (judged.candidate && planted(Bug::chain_executes_before_final)) {
    give(consensus::Verdict{.question = effect.question, .judgement = judged.judgement});
    return commit(std::move(*judged.candidate), {effect.height, {}, effect.bytes});
  }
  if (judged.candidate) {
    // Should it not be decided, whoever saw it hands its transactions on: no proposer can wake the others for nothing.
    for (const Opened& one : judged.candidate->block.transactions()) {
      if (!effect.certified && mempool_.add(ledger_, one, now_ms_)) pool_is_stale_ = false;
    }
    if (candidates_.size() < max_candidates) candidates_.emplace(effect.block, std::move(*judged.candidate));
  } else if (judged.judgement == consensus::Judgement::mismatched) {
    blame_for(effect.bytes, judged.error);
  } else if (judged.judgement == consensus::Judgement::invalid) {
    trouble("block-refused: at height " + std::to_string(effect.height) + ", of " +
            identity::short_name(effect.proposer) + ": " + judged.error.message);
  }
  give(consensus::Verdict{.question = effect.question, .judgement = judged.judgement});
}

Replica::Candidate* Replica::candidate_of(const consensus::BlockId& id, ByteView bytes) {
  // Whoever passed the bytes on may have put others behind the header that names them.
  const auto found = candidates_.find(id);
  return found != candidates_.end() && equal(found->second.bytes, bytes) ? &found->second : nullptr;
}

void Replica::carry_out(consensus::Decided& effect) {
  MESH_CHECK(effect.height == ledger_.height() + 1, "chain-decided-in-order");
  Judged judged;
  if (Candidate* known = candidate_of(effect.block, effect.bytes)) {
    judged.candidate = std::move(*known);
  } else {
    judged = judge(effect.bytes, true);
  }
  if (!judged.candidate) {
    return stop({ErrorCode::denied, "certified-refused: the block of height " + std::to_string(effect.height) +
                                        " is certified, and cannot be executed here: " + judged.error.message});
  }
  commit(std::move(*judged.candidate), {effect.height, std::move(effect.certificate), std::move(effect.bytes)});
}

void Replica::commit(Candidate candidate, FinalBlock block) {
  const Cid name = candidate.draft.block;
  const Height height = block.height;
  hops_.committing(ledger_.state(), candidate.block.block().header, candidate.draft, block.certificate);
  if (config_.committing) config_.committing(candidate.block, candidate.draft, block.certificate);
  ledger_.commit(std::move(candidate.draft));
  remember(name.digest());
  step_bytes_ += block.block.size();
  grown_ += answer_bytes(block);
  outbox_.write().blocks.push_back(std::move(block));
  keep_snapshot_if_due();
  outbox_.add_durable(effect::Notify{notice::BlockFinal{.height = height,
                                                        .block = name,
                                                        .state_root = candidate.block.block().header.state_root,
                                                        .transactions = candidate.block.transactions().size()}});
  mempool_.settle(ledger_, candidate.block.transactions());
  follow_up(candidate.block, height);
  outbox_.add_durable(effect::Broadcast{hello()});
  forget_height();
  take_key();
  become_certain();
  start_height({});
}

void Replica::forget_height() {
  refused_.clear();
  candidates_.clear();
  made_.reset();
  wanted_.reset();
  runs_ = false;
  heard_.clear();
  pool_is_stale_ = false;
  cancel_timer(timer_of(Timer::Kind::stall));
  cancel_timer(timer_of(Timer::Kind::due));
}

void Replica::carry_out(consensus::Evidence& effect) {
  Offence offence{effect.offender, effect.height, std::move(effect.evidence)};
  const auto told = std::ranges::find(offences_, offence.offender, &Offence::offender);
  if (told != offences_.end()) {
    const ledger::Offence* paid = punished(offence.offender);
    if (paid == nullptr || told->height >= paid->until_height || offence.height < paid->until_height) return;
    *told = offence;
  } else {
    if (offences_.size() >= max_offences) return;
    offences_.push_back(offence);
  }
  outbox_.write().offences.push_back(offence);
  notify(notice::EvidenceFound{std::move(offence)});
}

const ledger::Offence* Replica::punished(const PublicKey& key) const {
  const ledger::Voter* voter = ledger_.state().tables.voters.find(key);
  return voter == nullptr ? nullptr : ledger_.state().tables.offences.find(voter->account);
}

std::vector<ledger::Evidence> Replica::due_evidence() const {
  std::vector<ledger::Evidence> due;
  for (const Offence& offence : offences_) {
    const ledger::Offence* paid = punished(offence.offender);
    if (paid != nullptr && offence.height < paid->until_height) continue;
    if (ledger_.state().tables.voters.find(offence.offender) == nullptr)
      continue;  // Nobody can be told by it any more.
    if (offence.height > ledger_.height() + 1) continue;
    if (std::optional<ledger::Evidence> evidence = evidence_of(offence.evidence)) due.push_back(std::move(*evidence));
  }
  return due;
}

void Replica::carry_out(const consensus::WantSync& /*effect*/) { fetches_now_ = true; }

void Replica::carry_out(const consensus::PeerAhead& effect) {
  // What a validator votes on follows on what it has.
  if (const ledger::Validator* ahead = seat_of(set(), effect.validator))
    fetches_.shows_at_least(ahead->account, effect.height - 1);
}

void Replica::carry_out(const consensus::PeerBehind& effect) {
  const ledger::Validator* behind = seat_of(set(), effect.validator);
  if (behind != nullptr && fetches_.knows(behind->account)) outbox_.add_durable(effect::Send{behind->account, hello()});
}

void Replica::carry_out(const consensus::Amnesia& effect) {
  // The log of a height in which it stopped, and was allowed again before it said anything: both were written down, and whatever
  // came after it would have been.
  const auto* start = giving_ != nullptr ? std::get_if<consensus::StartHeight>(&giving_->input) : nullptr;
  if (start != nullptr && !start->log.empty() && signs_from_ != 0 && signs_from_ != never)
    return give(consensus::SafeFrom{signs_from_});
  trouble("forgotten-signature: this key has signed at height " + std::to_string(effect.height) +
          " what the log has not: its storage is an old copy, or another node has the same key");
  shown_.clear();  // What counts is what they show from now on.
  signs_from(never);
}

void Replica::carry_out(const consensus::CertifiedRefused& effect) {
  stop({ErrorCode::denied, "certified-refused: the block of height " + std::to_string(effect.height) +
                               " is certified, and the ledger here refuses it"});
}

void Replica::stop(Error error) {
  trouble(error.message);
  carry_out(consensus::CancelTimers{});
  stopped_ = std::move(error);
}

void Replica::signs_from(Height height) {
  signs_from_ = height;
  outbox_.write().signs_from = height;
  notify(notice::SignsFrom{height});
}

void Replica::become_certain() {
  if (signs_from_ != never || seat() == nullptr || !takes_part()) return;
  std::vector<consensus::Shown> certain;
  for (const auto& [peer, shown] : shown_) {
    // That it is of this chain is known once the chain here is that far.
    const Digest* own = name_of_block(shown.height);
    const ledger::Validator* validator = set().find(peer);
    if (own != nullptr && *own == shown.block && validator != nullptr)
      certain.push_back({validator->key, shown.height});
  }
  const std::optional<Height> safe = consensus::safe_height(validators_of(set()), key_, certain);
  if (!safe) return;
  signs_from(*safe);
  give(consensus::SafeFrom{*safe});
}

void Replica::on(const event::SignFrom& event) {
  if (!takes_part()) return;
  signs_from(event.height);
  give(consensus::SafeFrom{event.height});
}

void Replica::on(const event::AddKey& event) {
  const PublicKey key = public_key_of(event.seed);
  if (has_key(key) || own_keys_.size() >= max_own_keys) return;
  config_.seeds.push_back(event.seed);
  own_keys_.push_back(key);
}

// ---- proposing

bool Replica::may_propose() const {
  return !pool_is_stale_ && (wanted_ || !runs_) && seat() != nullptr && !consensus_->is_observing() &&
         !outbox_.holds_block() && outbox_.under_way() < max_writes_under_way;
}

bool Replica::consider() {
  if (!may_propose()) return false;
  // Without a turn in round 0 there is nothing to do until something changes.
  const auto wake = [&] {
    give(consensus::Wake{});
    pool_is_stale_ = true;
    return true;
  };
  if (!wanted_ && mempool_.size() > max_tried_to_wake && own_block(max_tried_to_wake)) return wake();
  std::optional<Candidate> own = made_ ? std::exchange(made_, {}) : own_block(ledger::max_block_transactions);
  if (!own) {
    pool_is_stale_ = true;
    return false;
  }
  if (!wanted_) {
    made_ = std::move(own);
    return wake();
  }
  const consensus::GetBlock wanted = *std::exchange(wanted_, {});
  Bytes bytes = own->bytes;
  candidates_.insert_or_assign(own->draft.block.digest(), std::move(*own));
  give(consensus::Propose{.height = wanted.height, .round = wanted.round, .block = {}}, std::move(bytes));
  return true;
}

void Replica::set_due() {
  const Timer timer = timer_of(Timer::Kind::due);
  const std::optional<std::uint64_t> due = ledger_.next_due();
  if (!due || seat() == nullptr) return cancel_timer(timer);
  // One whose time came just before it elapses is left to: what came between has not looked at what is due.
  if (timers_.contains(timer) || *due <= own_time_ms()) return;
  const auto left = static_cast<std::uint64_t>(config_.due.count());
  set_timer(timer, std::chrono::milliseconds(std::min(*due - own_time_ms(), left)));
}

bool Replica::drop_refused(const std::vector<Opened>& offered, std::vector<ledger::Proposal::Refused> refused) {
  bool dropped = false;
  for (ledger::Proposal::Refused& one : refused) {
    // What follows on one that was refused waits for another in its place, and some things only for a block.
    if (is_named(one.error, "sequence-gap") || is_named(one.error, "not-drawn-yet")) continue;
    drop(offered[one.index], std::move(one.error));
    dropped = true;
  }
  return dropped;
}

void Replica::sift() {
  while (true) {
    const std::vector<Opened> offered = mempool_.proposal(ledger_, ledger::max_block_transactions);
    if (offered.empty()) return;
    std::vector<ledger::Proposal::Refused> refused = ledger_.refused_of(offered, own_time_ms());
    const bool all = refused.size() == offered.size();
    // With those dropped, others may have come to the front.
    if (!drop_refused(offered, std::move(refused)) || !all) return;
  }
}

std::optional<Replica::Candidate> Replica::own_block(std::size_t most) {
  const ledger::AccountId& account = seat()->account;
  const ledger::Proposer proposer{.account = account,
                                  .time_ms = own_time_ms(),
                                  .beacon = config_.beacon ? config_.beacon(ledger_, account) : Digest{}};
  for (;;) {
    const std::vector<Opened> offered = mempool_.proposal(ledger_, most);
    if (offered.empty() && !ledger_.wants_empty_block(proposer.time_ms)) return std::nullopt;
    Result<ledger::Proposal> proposal = ledger_.propose(offered, proposer);
    if (!proposal) {
      trouble("cannot-propose: " + proposal.error().message);
      return std::nullopt;
    }
    const bool dropped = drop_refused(offered, std::move(proposal->refused));
    // With those dropped, others may have come to the front.
    if (proposal->block.transactions().empty() && dropped) continue;
    if (!proposal->of_use) return std::nullopt;
    return Candidate{.bytes = block_bytes(proposal->block.block()),
                     .block = std::move(proposal->block),
                     .draft = std::move(proposal->draft)};
  }
}

Result<ledger::OpenedBlock> Replica::opened(ledger::Block block) const {
  const std::vector<Bytes>& envelopes = block.list.transactions;
  std::vector<std::optional<Opened>> opened(envelopes.size());
  std::vector<Digest> names(envelopes.size());
  std::vector<ledger::Transaction> unknown;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < envelopes.size(); ++i) {
    names[i] = sha256(envelopes[i]);
    if (const Opened* before = memory_->find(names[i])) {
      opened[i] = *before;
      continue;
    }
    Result<ledger::Transaction> read = ledger::decode(envelopes[i]);
    if (!read) return std::unexpected(ledger::about_transaction(i, std::move(read.error())));
    const Opened* waits = mempool_.find(read->account, read->sequence);
    if (waits != nullptr && (*waits)->envelope == envelopes[i]) {
      opened[i] = *waits;
    } else {
      unknown.push_back(std::move(*read));
      places.push_back(i);
    }
  }
  std::vector<Result<Opened>> checked = ledger::check_all(std::move(unknown), ledger_.federation());
  for (std::size_t i = 0; i < checked.size(); ++i) {
    if (!checked[i]) return std::unexpected(ledger::about_transaction(places[i], std::move(checked[i].error())));
    memory_->remember(names[places[i]], *checked[i]);
    opened[places[i]] = std::move(*checked[i]);
  }
  std::vector<Opened> transactions;
  transactions.reserve(opened.size());
  for (std::optional<Opened>& one : opened) transactions.push_back(std::move(*one));
  return ledger::OpenedBlock::join(std::move(block), std::move(transactions));
}

Replica::Judged Replica::judge(ByteView bytes, bool wanted) const {
  using consensus::Judgement;
  Result<ledger::Block> block = read_block(bytes);
  if (!block) {
    const bool other = is_named(block.error(), "wrong-transactions");
    return {other ? Judgement::mismatched : Judgement::invalid, {}, std::move(block.error())};
  }
  // Before the dear part: it is asked about again and again until its time has come.
  const std::uint64_t ahead = checked_subtract(block->header.time_ms, now_ms_).value_or(0);
  if (!wanted && ahead > ledger_.state().frame.parameters.max_time_ahead_ms)
    return {Judgement::undecided, {}, {ErrorCode::invalid, "time-ahead: the block is dated too far ahead"}};
  Result<Candidate> candidate = executed(bytes, std::move(*block));
  if (!candidate) return {Judgement::invalid, {}, std::move(candidate.error())};
  return {Judgement::valid, std::move(*candidate), {}};
}

Result<Replica::Candidate> Replica::executed(ByteView bytes, ledger::Block block) const {
  MESH_LET(ledger::OpenedBlock joined, opened(std::move(block)));
  MESH_LET(ledger::Draft draft, ledger_.execute(joined, std::nullopt));
  return Candidate{to_bytes(bytes), std::move(joined), std::move(draft)};
}

// ---- blocks of others

bool Replica::feed() {
  if (!fetches_.holds(ledger_.height() + 1) || outbox_.under_way() >= max_writes_under_way) return false;
  const Timer go_on = timer_of(Timer::Kind::go_on);
  if (step_bytes_ >= max_step_bytes) {
    if (!timers_.contains(go_on)) set_timer(go_on, std::chrono::milliseconds(0));
    return false;
  }
  std::optional<Fetches::Held> held = fetches_.next(ledger_.height() + 1);
  give(consensus::Synced{}, std::move(held->block.block), std::move(held->block.certificate), held->peer);
  return true;
}

void Replica::fetch() {
  const Height height = ledger_.height();
  const Height target = fetches_.target();
  const Timer lag = timer_of(Timer::Kind::lag);
  if (target <= height) {
    fetches_now_ = false;
    is_patient_ = true;
    was_alone_ = false;
    cancel_timer(timer_of(Timer::Kind::patience));
    return cancel_timer(lag);
  }
  // A block or two are on their way here as votes, mostly.
  constexpr Height usual_lag = 2;
  if (target - height <= usual_lag && !fetches_now_) {
    if (timers_.contains(lag)) return;
    lag_height_ = height;
    return set_timer(lag, config_.lag);
  }
  ask_for_snapshot();
  if (fetches_alone_) return;
  if (outbox_.under_way() >= max_writes_under_way) return;
  for (const Fetches::Asked& asked : fetches_.due(height)) {
    outbox_.add(effect::Send{asked.peer, encode(message::Ask{asked.from, asked.count})});
    set_timer(timer_of(Timer::Kind::fetch, asked.number), config_.fetch);
  }
}

}  // namespace mesh::chain
