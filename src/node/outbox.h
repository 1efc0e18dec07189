// Outbox: gathers what one step decides. Records for the journal become one Persist; messages to one peer on one channel
// become few parcels; and if anything in the step has to be durable first, all that leaves the node waits for that. Notices
// are told in the order of the steps: those of later steps wait for those that wait.
#pragma once

#include <algorithm>
#include <map>

#include "domain/identity/identity.h"
#include "node/effect.h"
#include "node/parcel.h"

namespace mesh::node {

class Outbox {
 public:
  /// Adds a record to the journal.
  void journal(const Cid& scope, std::string kind, Bytes bytes);
  void drop_scope(const Cid& scope) { dropped_.push_back(scope); }
  /// Nothing of this step leaves the node before the journal is durable: what this step writes, and, since writes become
  /// durable in their order, what earlier ones wrote. Whoever tells again what had to be durable asks for it again: the
  /// first write may still be under way.
  void require_durable() { durable_ = true; }
  /// Once what was written until now is durable, the node is told (effect::Confirm) that so many records of this job are,
  /// before anybody else.
  void confirm(const Cid& job, std::uint64_t records) { to_confirm_.insert_or_assign(job, records); }
  /// A Persist of this number is durable.
  void on_confirmed(std::uint64_t persist) { confirmed_ = std::max(confirmed_, persist); }

  void send(const NodeId& to, Channel channel, const Envelope& envelope);
  void send_block(const NodeId& to, Channel channel, Bytes block);
  void send_log(const NodeId& to, LogPiece piece);
  void publish(Topic topic, const Envelope& envelope);
  void notify(Notice notice);
  /// Leaves once all that this step and those before wrote is durable.
  void transact(effect::Transact transact);
  /// Anything else, carried out at once and in order.
  void add(Effect effect) { immediate_.push_back(std::move(effect)); }

  /// The step's effects; the outbox is empty afterwards.
  [[nodiscard]] Effects take();

 private:
  struct Pending {
    Parcel parcel;
    std::size_t bytes = 0;
  };
  Pending& pending(const NodeId& to, Channel channel, std::size_t more);
  void flush(const NodeId& to, Channel channel, Pending& pending);

  std::vector<JournalRecord> records_;
  std::vector<Cid> dropped_;
  std::map<Cid, std::uint64_t> to_confirm_;
  bool durable_ = false;
  std::map<std::pair<NodeId, Channel>, Pending> pending_;
  Effects immediate_;
  Effects outgoing_;

  std::uint64_t persists_ = 0;  ///< so many there were; the number of the last
  std::uint64_t confirmed_ = 0;  ///< the last that is known to be durable
  std::uint64_t notices_wait_for_ = 0;  ///< the last that notices wait for
};

}  // namespace mesh::node
