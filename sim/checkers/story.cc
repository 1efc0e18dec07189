#include "sim/checkers/story.h"

#include <array>
#include <map>
#include <set>

#include "codec/hash.h"

namespace mesh::sim {

namespace {

template <record::Typed T>
Result<T> named(const std::map<Cid, const Envelope*>& by_name, const Cid& cid) {
  const auto it = by_name.find(cid);
  if (it == by_name.end()) return fail(ErrorCode::not_found, "a " + std::string(T::type) + " is missing");
  return record::decode<T>(it->second->body);
}

/// The rows of findings in columns.
Result<std::vector<receipt::Finding>> rows(const receipt::Findings& columns, std::size_t count) {
  if (columns.results.size() != count || columns.fuel.size() != count || columns.log.size() != count ||
      columns.outcome.size() != count)
    return fail(ErrorCode::invalid, "a receipt does not speak of as many shards as its commitment");
  std::vector<receipt::Finding> rows;
  for (std::size_t i = 0; i < count; ++i) {
    if (columns.log[i] >= columns.logs.size() || columns.outcome[i] >= columns.outcomes.size())
      return fail(ErrorCode::invalid, "a receipt names a log or an outcome that it does not list");
    rows.push_back({.result = columns.results[i],
                    .log = columns.logs[columns.log[i]],
                    .outcome = columns.outcomes[columns.outcome[i]],
                    .fuel = columns.fuel[i]});
  }
  return rows;
}

using Rows = std::map<std::uint32_t, receipt::Finding>;

/// As the protocol's text has it: a Merkle root (RFC 6962) over H(domain, intent, shard, node, H(finding), H(key, shard)).
bool opens(const receipt::Commitment& commitment, const identity::NodeId& node, const Digest& key, const Rows& found) {
  std::vector<Digest> level;
  for (const auto& [shard, finding] : found) {
    const Digest what = tagged_hash("meshwork/1/finding", {finding.result.binary(), finding.log.binary(),
                                                           big_endian(finding.fuel), record::encode(finding.outcome)});
    const Digest salt = tagged_hash("meshwork/1/salt", {key.view(), big_endian(shard)});
    const Digest leaf = tagged_hash("meshwork/1/commitment", {commitment.intent.binary(), big_endian(shard),
                                                              node.view(), what.view(), salt.view()});
    level.push_back(sha256({std::array<std::uint8_t, 1>{0}, leaf.view()}));
  }
  while (level.size() > 1) {
    std::vector<Digest> next;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      next.push_back(i + 1 == level.size()
                         ? level[i]
                         : sha256({std::array<std::uint8_t, 1>{1}, level[i].view(), level[i + 1].view()}));
    }
    level = std::move(next);
  }
  return !level.empty() && level.front() == commitment.root;
}

/// The shards of ranges, each of them below `bound`, none twice.
Result<std::vector<std::uint32_t>> numbers(const std::vector<task::ShardRange>& ranges, std::uint32_t bound) {
  std::set<std::uint32_t> shards;
  for (const task::ShardRange& range : ranges) {
    for (std::uint32_t i = 0; i < range.count; ++i) {
      if (range.first >= bound || i >= bound - range.first || !shards.insert(range.first + i).second)
        return fail(ErrorCode::invalid, "a record names a shard twice, or one that the task does not have");
    }
  }
  return std::vector<std::uint32_t>(shards.begin(), shards.end());
}

/// Reads what receipts reveal, each receipt once.
class Reader {
 public:
  Reader(const std::map<Cid, const Envelope*>& by_name, std::uint32_t shards) : by_name_(by_name), shards_(shards) {}

  /// A worker's receipt.
  Result<const Rows*> worker(const Cid& cid) {
    if (const auto known = workers_.find(cid); known != workers_.end()) return &known->second;
    MESH_LET(const receipt::ExecutionReceipt done, named<receipt::ExecutionReceipt>(by_name_, cid));
    MESH_LET(const receipt::Commitment commitment, named<receipt::Commitment>(by_name_, done.commitment));
    const identity::NodeId& node = by_name_.at(cid)->key;
    if (by_name_.at(done.commitment)->key != node || commitment.worker)
      return fail(ErrorCode::invalid, "a receipt opens a commitment that is not its worker's");
    MESH_LET(const std::vector<std::uint32_t> shards, numbers(commitment.shards, shards_));
    MESH_LET(std::vector<receipt::Finding> findings, rows(done.findings, shards.size()));
    Rows found;
    for (std::size_t i = 0; i < shards.size(); ++i) found.emplace(shards[i], std::move(findings[i]));
    if (!opens(commitment, node, done.key, found))
      return fail(ErrorCode::invalid, "a worker's receipt reveals what it had not committed to, or without its salt");
    return &workers_.emplace(cid, std::move(found)).first->second;
  }

  /// What a verifier found on the shards of its seats, who judges this receipt.
  Result<const Rows*> verifier(const Cid& cid, const Cid& receipt) {
    if (const auto known = verifiers_.find(cid); known != verifiers_.end()) return &known->second;
    MESH_LET(const receipt::VerificationReceipt seat, named<receipt::VerificationReceipt>(by_name_, cid));
    MESH_LET(const receipt::Commitment commitment, named<receipt::Commitment>(by_name_, seat.commitment));
    MESH_LET(const receipt::ExecutionReceipt done, named<receipt::ExecutionReceipt>(by_name_, receipt));
    MESH_LET(const Rows* const theirs, worker(receipt));
    const identity::NodeId& node = by_name_.at(cid)->key;
    if (seat.receipt != receipt || commitment.worker != done.commitment)
      return fail(ErrorCode::invalid, "a verdict counts what was said of another receipt");
    if (by_name_.at(seat.commitment)->key != node)
      return fail(ErrorCode::invalid, "a verification opens a commitment that is not its verifier's");
    MESH_LET(const std::vector<std::uint32_t> mine, numbers(commitment.shards, shards_));
    MESH_LET(const std::vector<std::uint32_t> differing, numbers(seat.differing, shards_));
    MESH_LET(std::vector<receipt::Finding> findings, rows(seat.findings, differing.size()));
    Rows found;
    for (std::size_t i = 0; i < differing.size(); ++i) found.emplace(differing[i], std::move(findings[i]));
    for (const std::uint32_t shard : mine) {
      const auto worked = theirs->find(shard);
      if (worked == theirs->end())
        return fail(ErrorCode::invalid, "a verifier judges a shard that is not the receipt's");
      found.try_emplace(shard, worked->second);
    }
    if (found.size() != mine.size())
      return fail(ErrorCode::invalid, "a verifier differs on a shard that it had not committed to");
    if (!opens(commitment, node, seat.key, found))
      return fail(ErrorCode::invalid, "a verifier's receipt reveals what it had not committed to, or without its salt");
    return &verifiers_.emplace(cid, std::move(found)).first->second;
  }

 private:
  const std::map<Cid, const Envelope*>& by_name_;
  std::uint32_t shards_;
  std::map<Cid, Rows> workers_, verifiers_;
};

}  // namespace

Result<Story> read_story(const std::vector<Envelope>& envelopes) {
  std::map<Cid, const Envelope*> by_name;
  Story story;
  for (const Envelope& envelope : envelopes) {
    by_name.emplace(envelope.cid(), &envelope);
    MESH_LET(const std::string type, type_of(envelope.body));
    if (type != task::TaskIntent::type) continue;
    MESH_LET(const task::TaskIntent intent, record::decode<task::TaskIntent>(envelope.body));
    story.publisher = envelope.key;
    story.shards = intent.shards;
  }
  Reader reader(by_name, story.shards);
  for (const Envelope& envelope : envelopes) {
    MESH_LET(const std::string type, type_of(envelope.body));
    if (type != verification::Verdict::type) continue;
    MESH_LET(const verification::Verdict verdict, record::decode<verification::Verdict>(envelope.body));
    MESH_LET(const Rows* const worker, reader.worker(verdict.receipt));
    MESH_LET(const receipt::ExecutionReceipt done, named<receipt::ExecutionReceipt>(by_name, verdict.receipt));
    std::vector<std::pair<identity::NodeId, const Rows*>> seats;
    for (const Cid& cid : verdict.verifications) {
      MESH_LET(const Rows* const found, reader.verifier(cid, verdict.receipt));
      seats.emplace_back(by_name.at(cid)->key, found);
    }
    MESH_LET(const std::vector<std::uint32_t> shards, numbers(verdict.shards, story.shards));
    for (const std::uint32_t shard : shards) {
      const auto worked = worker->find(shard);
      if (worked == worker->end())
        return fail(ErrorCode::invalid, "a verdict on a shard that its receipt does not open");
      Ruling ruling{.shard = shard,
                    .decision = verdict.decision,
                    .worker = by_name.at(verdict.receipt)->key,
                    .award = done.award,
                    .finding = worked->second,
                    .verifiers = {}};
      for (const auto& [verifier, found] : seats) {
        if (const auto finding = found->find(shard); finding != found->end())
          ruling.verifiers.emplace_back(verifier, finding->second);
      }
      story.rulings.push_back(std::move(ruling));
    }
  }
  return story;
}

}  // namespace mesh::sim
