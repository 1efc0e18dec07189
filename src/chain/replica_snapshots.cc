// Snapshots of a replica: those of its own state that it keeps, and that of another by which it gets ahead of the blocks that it would fetch.
//
// A peer's snapshot is fetched from one peer, part by part, for a while instead of blocks and then beside them; what it leads to is taken where it
// is still ahead by then. So who offers one and gives nothing, or something else, holds nobody up for longer than that.
#include "chain/payment.h"
#include "chain/replica.h"

namespace mesh::chain {

namespace {

constexpr Timer part_timer{.kind = Timer::Kind::part, .number = 0, .of = {}};
constexpr Timer alone_timer{.kind = Timer::Kind::alone, .number = 0, .of = {}};
constexpr Timer patience_timer{.kind = Timer::Kind::patience, .number = 0, .of = {}};

}  // namespace

// ---- its own

std::shared_ptr<const ledger::Snapshot> Replica::kept_snapshot() {
  grown_ = 0;
  std::optional<ledger::Snapshot> taken = ledger::take_snapshot(ledger_.state(), hops_);
  if (!taken) return nullptr;
  snapshot_ = taken->height;
  snapshot_bytes_ = taken->bytes;
  return std::make_shared<const ledger::Snapshot>(std::move(*taken));
}

void Replica::keep_snapshot_if_due() {
  if (!hops_.are_whole() && !std::exchange(told_of_hops_, true)) {
    trouble("no-snapshots: the validators have changed more than " + std::to_string(ledger::max_hops) +
            " times, and no more snapshots are kept: starts take ever longer");
  }
  // Each validator after another number of bytes, so that they do not stand still together.
  std::uint64_t enough = std::max<std::uint64_t>(config_.snapshot_after, 2 * snapshot_bytes_);
  enough += enough / 16 * (key_.data()[0] % 8);
  if (config_.snapshot_after == 0 || grown_ < enough || !ledger_.state().frame.undrawn.empty()) return;
  if (ledger_.height() - snapshot_ < config_.apart) return;
  if (outbox_.write().begins_at_snapshot) return;
  if (std::shared_ptr<const ledger::Snapshot> kept = kept_snapshot()) outbox_.write().snapshot = std::move(kept);
}

void Replica::receive(const PeerId& peer, const message::AskPart& ask) {
  if (!reading_parts_.insert(peer).second) return;  // One at a time: it asks again.
  outbox_.add(effect::ReadPart{peer, ask.height, ask.part});
}

void Replica::on(const event::PartRead& event) {
  if (reading_parts_.erase(event.peer) == 0) return;
  outbox_.add(effect::Send{event.peer, encode(message::Part{event.height, event.part, event.bytes})});
}

// ---- another's

void Replica::ask_for_snapshot() {
  if (skip_) return;
  // Who has the blocks may only be about to connect.
  if (is_patient_ && config_.patience.count() > 0) {
    if (!timers_.contains(patience_timer)) set_timer(patience_timer, config_.patience);
    return;
  }
  const std::optional<Fetches::Offer> offer = fetches_.offer(ledger_.height(), config_.skip);
  if (!offer) return;
  skip_.emplace(*offer, std::nullopt);
  if (!std::exchange(was_alone_, true)) {
    fetches_alone_ = true;
    set_timer(alone_timer, config_.alone);
  }
  ask_for_part();
}

void Replica::ask_for_part() {
  const auto part = static_cast<std::uint32_t>(skip_->reader ? skip_->reader->next() + 1 : 0);
  outbox_.add(effect::Send{skip_->offer.peer, encode(message::AskPart{skip_->offer.height, part})});
  set_timer(part_timer, config_.part);
}

void Replica::end_skip(bool offers_no_more) {
  cancel_timer(part_timer);
  cancel_timer(alone_timer);
  fetches_alone_ = false;
  if (skip_ && offers_no_more) fetches_.failed_to_offer(skip_->offer.peer);
  skip_.reset();
}

void Replica::receive(const PeerId& peer, const message::Part& part) {
  // What comes late is of one that was given up.
  if (!takes_part() || !skip_ || skip_->offer.peer != peer || part.height != skip_->offer.height) return;
  if (part.part != (skip_->reader ? skip_->reader->next() + 1 : 0)) return;
  if (part.bytes.empty()) return end_skip(true);
  if (Status taken = take_part(part); !taken) {
    end_skip(true);
    fetches_.lied(peer);
    return blame(peer, taken.error());
  }
  if (!skip_) return;
  // The blocks were faster.
  if (skip_->offer.height <= ledger_.height()) return end_skip(false);
  ask_for_part();
}

Status Replica::take_part(const message::Part& part) {
  if (!skip_->reader) {
    MESH_LET(ledger::SnapshotReader reader,
             ledger::SnapshotReader::begin(ledger_.federation(), founding_, certifier(), part.bytes));
    if (reader.height() != part.height)
      return fail(ErrorCode::invalid, "bad-snapshot: it is of another height than was asked for");
    skip_->reader.emplace(std::move(reader));
    return {};
  }
  MESH_TRY(skip_->reader->feed(part.bytes));
  if (skip_->reader->next() < skip_->reader->pieces()) return {};
  MESH_LET(ledger::Restored restored, skip_->reader->finish());
  end_skip(false);
  // Blocks that can be had are not given up for little.
  const Height height = restored.state.frame.height;
  const Height skip = fetches_.has_next(ledger_.height()) ? config_.skip : 0;
  if (height > ledger_.height() && height - ledger_.height() > skip) adopt(std::move(restored));
  return {};
}

void Replica::adopt(ledger::Restored restored) {
  if (config_.skipping) config_.skipping();
  ledger_ = ledger::Ledger::restored(std::move(restored.state), ledger_.seed());
  hops_ = std::move(restored.hops);
  const Height height = ledger_.height();
  names_.clear();
  remember(ledger_.state().frame.last_block.digest());
  base_ = height;
  if (config_.skipped) config_.skipped();
  effect::Persist& write = outbox_.write();
  write.snapshot = kept_snapshot();
  write.begins_at_snapshot = true;
  write.forget_below = height + 1;
  outbox_.add_durable(effect::Notify{notice::Skipped{height}});
  // What waited may have become final meanwhile, or can never be: whoever has it hands it on again. What was submitted here and can still be
  // final goes on waiting: nothing else may be signed under its number.
  const ledger::Mempool before = std::exchange(mempool_, ledger::Mempool(ledger_.seeded_hash()));
  std::erase_if(followed_, [&](const auto& one) {
    const auto& [place, name] = one;
    const ledger::Account* account = ledger_.account(place.first);
    const ledger::Opened* waits = before.find(place.first, place.second);
    const bool is_open = account == nullptr || account->sequence <= place.second;
    if (is_open && waits != nullptr && mempool_.add(ledger_, *waits, now_ms_)) return false;
    notify(notice::TransactionDropped{
        name,
        {ErrorCode::unavailable, "skipped: this node went on from a snapshot of height " + std::to_string(height) +
                                     ", and does not know whether the transaction is in a block before: look at the "
                                     "account, and send it again"}});
    return true;
  });
  outbox_.add_durable(effect::Broadcast{hello()});
  carry_out(consensus::CancelTimers{});
  forget_height();
  take_key();
  become_certain();
  start_height({});
}

}  // namespace mesh::chain
