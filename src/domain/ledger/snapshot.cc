#include "domain/ledger/snapshot.h"

namespace mesh::ledger {

namespace {

constexpr std::size_t length_bytes = 4;
constexpr std::size_t items_of_hop = 3;
/// Entries that are put into a table together: each commit touches the path to the last ones again.
constexpr std::size_t batch_entries = std::size_t{1} << 14;
constexpr std::size_t max_batch_bytes = std::size_t{4} << 20;
/// The hops, and a list for each table.
constexpr std::size_t all_lists = 1 + sizeof(StateSummary::Roots) / sizeof(Digest);
std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::invalid, "bad-snapshot: " + std::string(what));
}

template <Entry Value>
Bytes entry_bytes(const Value& value) {
  return record::encode(value);
}
Bytes entry_bytes(const Account& account) { return account.encoded(); }

/// Whether no list of it is longer than what stands beside it: numbers of one byte become eight.
template <Entry Value>
bool takes_what_it_says(const Value& value) {
  if constexpr (std::same_as<Value, Work>) {
    return std::ranges::all_of(value.draws,
                               [](const WorkDraw& draw) { return draw.weights.size() == draw.nodes.size(); }) &&
           std::ranges::all_of(value.answers, [](const Answer& answer) {
             return answer.found.size() == answer.differing.size() * Digest::size;
           });
  } else {
    return true;
  }
}

template <Entry Value>
Result<Value> read_entry(ByteView bytes) {
  if constexpr (std::same_as<Value, Account>) {
    MESH_LET(AccountRecord record, record::decode<AccountRecord>(bytes));
    return Account::from_record(std::move(record));
  } else {
    return record::decode<Value>(bytes);
  }
}

/// Cuts a stream into pieces.
class PieceWriter {
 public:
  void item(ByteView bytes) {
    raw(ByteView(big_endian(std::uint64_t{bytes.size()})).last(length_bytes));
    raw(bytes);
  }
  void end_list() { raw(ByteView(big_endian(std::uint64_t{0})).last(length_bytes)); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::vector<Bytes> take() { return std::move(pieces_); }

 private:
  void raw(ByteView bytes) {
    bytes_ += bytes.size();
    while (!bytes.empty()) {
      if (pieces_.empty() || pieces_.back().size() == snapshot_piece_bytes)
        pieces_.emplace_back().reserve(snapshot_piece_bytes);
      Bytes& piece = pieces_.back();
      const std::size_t part = std::min(bytes.size(), snapshot_piece_bytes - piece.size());
      append(piece, bytes.first(part));
      bytes = bytes.subspan(part);
    }
  }

  std::vector<Bytes> pieces_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::optional<Snapshot> take_snapshot(const State& state, const ValidatorHops& hops) {
  if (!state.frame.undrawn.empty() || !hops.are_whole() || !hops.head()) return std::nullopt;
  PieceWriter out;
  for (const ShownHop& one : hops.all()) {
    out.item(one.hop);
    out.item(one.header);
    out.item(one.certificate);
  }
  out.end_list();
  bool fits = true;
  for_each_table(state.tables, state.tables, [&](const auto& table, const auto& /*same*/) {
    table.visit([&](const auto& value) {
      const Bytes bytes = entry_bytes(value);
      fits = fits && bytes.size() <= max_snapshot_item_bytes && out.bytes() + bytes.size() <= max_snapshot_bytes;
      if (fits) out.item(bytes);
      return fits;
    });
    out.end_list();
  });
  if (!fits || out.bytes() > max_snapshot_bytes) return std::nullopt;
  SnapshotHead head{.header = hops.head()->header,
                    .certificate = hops.head()->certificate,
                    .summary = record::encode(state.summary()),
                    .validators = state.frame.validators,
                    .scheduled = state.frame.scheduled,
                    .bytes = out.bytes(),
                    .pieces = {}};
  std::vector<Bytes> pieces = out.take();
  for (const Bytes& piece : pieces) head.pieces.push_back(sha256(piece));
  return Snapshot{
      .height = state.frame.height, .head = record::encode(head), .pieces = std::move(pieces), .bytes = head.bytes};
}

Result<SnapshotReader> SnapshotReader::begin(const Cid& federation, ValidatorSet founding, Certify certify,
                                             ByteView head) {
  SnapshotReader reader(federation, std::move(founding), std::move(certify));
  Result<SnapshotHead> read = record::decode<SnapshotHead>(head);
  if (!read) return bad("its head does not read: " + read.error().message);
  reader.head_ = std::move(*read);
  const SnapshotHead& of = reader.head_;
  Result<BlockHeader> header = record::decode<BlockHeader>(of.header);
  if (!header) return bad("its header does not read: " + header.error().message);
  reader.header_ = std::move(*header);
  if (of.bytes > max_snapshot_bytes || of.bytes == 0 ||
      of.pieces.size() != (of.bytes + snapshot_piece_bytes - 1) / snapshot_piece_bytes)
    return bad("it says that it has another size than its pieces");
  if (reader.header_.height == 0 || reader.header_.parents.size() != 1) return bad("its header is not that of a block");
  if (sha256(of.summary) != reader.header_.state_root)
    return fail(ErrorCode::invalid, "wrong-state-root: the state that is shown is not that of the block");
  Result<StateSummary> summary = record::decode<StateSummary>(of.summary);
  if (!summary) return bad("its summary does not read: " + summary.error().message);
  reader.summary_ = std::move(*summary);
  const StateSummary& says = reader.summary_;
  if (says.federation != federation)
    return fail(ErrorCode::denied, "another-federation: the snapshot is of " + says.federation.text());
  bool has_sets = says.validators == dagcbor::cid_of(record::encode(of.validators)) &&
                  says.scheduled.size() == of.scheduled.size() && of.scheduled.size() <= max_scheduled_sets;
  for (std::size_t i = 0; has_sets && i < of.scheduled.size(); ++i)
    has_sets = says.scheduled[i] == dagcbor::cid_of(record::encode(of.scheduled[i]));
  if (!has_sets || says.height != reader.header_.height || says.time_ms != reader.header_.time_ms)
    return bad("its sets of validators, height or time are not those of its state");
  return reader;
}

Status SnapshotReader::feed(ByteView piece) {
  if (next_ >= head_.pieces.size()) return bad("there are more pieces than its head says");
  const std::uint64_t left = head_.bytes - read_;
  if (piece.size() != std::min<std::uint64_t>(left, snapshot_piece_bytes) || sha256(piece) != head_.pieces[next_])
    return bad("piece " + std::to_string(next_) + " is not what its head says");
  read_ += piece.size();
  ++next_;
  append(held_, piece);
  ByteView rest = held_;
  while (rest.size() >= length_bytes) {
    std::size_t length = 0;
    for (const std::uint8_t byte : rest.first(length_bytes)) length = length << 8 | byte;
    if (length > max_snapshot_item_bytes) return bad("an item of " + std::to_string(length) + " bytes");
    if (rest.size() - length_bytes < length) break;
    if (lists_ == all_lists) return bad("it goes on behind its last table");
    const ByteView item = rest.subspan(length_bytes, length);
    MESH_TRY(length == 0 ? end_list() : take_item(item));
    rest = rest.subspan(length_bytes + length);
  }
  held_.erase(held_.begin(), held_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  return {};
}

Status SnapshotReader::take_item(ByteView item) {
  if (lists_ > 0) return into_table(lists_ - 1, item);
  hop_items_.push_back(to_bytes(item));
  if (hop_items_.size() < items_of_hop) return {};
  return take_hop();
}

Status SnapshotReader::take_hop() {
  ShownHop shown{std::move(hop_items_[0]), std::move(hop_items_[1]), std::move(hop_items_[2])};
  hop_items_.clear();
  if (hops_.size() >= max_hops) return bad("it has more changes of the set of validators than can be noted");
  const Result<ValidatorHop> hop = record::decode<ValidatorHop>(shown.hop);
  const Result<BlockHeader> header = record::decode<BlockHeader>(shown.header);
  if (!hop || !header || hop->header != dagcbor::cid_of(shown.header) ||
      hop->certificate != Cid::of(Multicodec::raw, shown.certificate))
    return bad("a change of the set of validators does not read");
  MESH_TRY(trusted_.take(*hop, *header, shown.certificate));
  hops_.push_back(std::move(shown));
  return {};
}

Status SnapshotReader::end_list() {
  if (lists_ == 0) {
    if (!hop_items_.empty()) return bad("a change of the set of validators is cut off");
    // Before an entry is looked at.
    const Result<TrustedSets::Certified> certified =
        trusted_.certified(dagcbor::cid_of(head_.header), header_, head_.certificate, head_.summary);
    if (!certified) return std::unexpected(certified.error());
  } else {
    MESH_TRY(into_table(lists_ - 1, std::nullopt));
    last_place_.reset();
    bool is_it = false;
    std::size_t at = 0;
    for_each_table(state_.tables, summary_.roots, [&](const auto& table, const Digest& root) {
      if (at++ == lists_ - 1) is_it = table.root() == root;
    });
    if (!is_it)
      return fail(ErrorCode::invalid, "wrong-state-root: the entries of the snapshot are not those of the state");
  }
  ++lists_;
  return {};
}

template <Entry Value>
Status SnapshotReader::add(MerkleMap<Value>& table, std::vector<Value>& batch, std::optional<ByteView> entry) {
  if (entry) {
    Result<Value> value = read_entry<Value>(*entry);
    if (!value) return bad("an entry of " + std::string(Value::table) + " does not read: " + value.error().message);
    const Digest place = Value::place_of(value->key());
    if (last_place_ && *last_place_ >= place)
      return bad("the entries of " + std::string(Value::table) + " are not in the order of their places");
    last_place_ = place;
    if (!takes_what_it_says(*value))
      return bad("an entry of " + std::string(Value::table) + " has lists that do not fit");
    batch.push_back(std::move(*value));
    batch_bytes_ += entry->size();
    if (batch.size() < batch_entries && batch_bytes_ < max_batch_bytes) return {};
  }
  std::vector<typename MerkleMap<Value>::Change> changes;
  changes.reserve(batch.size());
  for (const Value& value : batch) changes.push_back({Value::place_of(value.key()), value.key(), &value});
  table.commit(table.draft(changes));
  batch.clear();
  batch_bytes_ = 0;
  return {};
}

Status SnapshotReader::into_table(std::size_t number, std::optional<ByteView> entry) {
  Status status;
  std::size_t at = 0;
  for_each_table(state_.tables, batches_, [&](auto& table, auto& batch) {
    if (at++ == number) status = add(table, batch, entry);
  });
  return status;
}

Result<Restored> SnapshotReader::finish() {
  if (next_ != head_.pieces.size() || lists_ != all_lists || !held_.empty()) return bad("it is cut off");
  Frame& frame = state_.frame;
  frame.federation = summary_.federation;
  frame.height = summary_.height;
  frame.time_ms = summary_.time_ms;
  frame.last_block = dagcbor::cid_of(head_.header);
  frame.totals = summary_.totals;
  frame.parameters = summary_.parameters;
  frame.validators = head_.validators;
  frame.scheduled = head_.scheduled;
  frame.beacon = summary_.beacon;
  if (state_.summary() != summary_)
    return fail(ErrorCode::invalid, "wrong-state-root: the entries of the snapshot are not those of the state");
  if (!state_.derive()) return bad("works wait to be drawn for, and in which order is not known");
  return Restored{.state = std::move(state_),
                  .hops = ValidatorHops(std::move(hops_), {std::move(head_.header), std::move(head_.certificate)})};
}

}  // namespace mesh::ledger
