#include "sim/checkers/story.h"

#include <map>

namespace mesh::sim {

namespace {

template <record::Typed T>
Result<T> named(const std::map<Cid, const Envelope*>& by_name, const Cid& cid) {
  const auto it = by_name.find(cid);
  if (it == by_name.end()) return fail(ErrorCode::not_found, "a " + std::string(T::type) + " is missing");
  return record::decode<T>(it->second->body);
}

}  // namespace

Result<Story> read_story(const std::vector<Envelope>& envelopes) {
  std::map<Cid, const Envelope*> by_name;
  for (const Envelope& envelope : envelopes) by_name.emplace(envelope.cid(), &envelope);
  Story story;
  for (const Envelope& envelope : envelopes) {
    MESH_LET(const std::string type, type_of(envelope.body));
    if (type == task::TaskIntent::type) {
      MESH_LET(const task::TaskIntent intent, record::decode<task::TaskIntent>(envelope.body));
      story.publisher = envelope.key;
      story.shards = intent.shards;
    }
    if (type != verification::Verdict::type) continue;
    MESH_LET(const verification::Verdict verdict, record::decode<verification::Verdict>(envelope.body));
    MESH_LET(const receipt::ExecutionReceipt done, named<receipt::ExecutionReceipt>(by_name, verdict.receipt));
    Ruling ruling{.shard = verdict.shard,
                  .decision = verdict.decision,
                  .worker = by_name.at(verdict.receipt)->key,
                  .finding = done.finding,
                  .verifiers = {}};
    if (done.opening.shard != verdict.shard) return fail(ErrorCode::invalid, "a verdict on another shard's receipt");
    for (const Cid& cid : verdict.verifications) {
      MESH_LET(const receipt::VerificationReceipt seat, named<receipt::VerificationReceipt>(by_name, cid));
      if (seat.receipt != verdict.receipt || seat.opening.shard != verdict.shard)
        return fail(ErrorCode::invalid, "a verdict counts what was said of another receipt");
      ruling.verifiers.emplace_back(by_name.at(cid)->key, seat.finding);
    }
    story.rulings.push_back(std::move(ruling));
  }
  return story;
}

}  // namespace mesh::sim
