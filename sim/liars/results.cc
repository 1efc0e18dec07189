// Liars about what a run found.
#include "sim/liars/liars.h"
#include "sim/liars/parcels.h"

namespace mesh::sim {

namespace {

void say(Output& output, std::string_view lie, const ShardRun& run, std::uint64_t teller) {
  const Digest result = tagged_hash(lie, {run.function.binary(), big_endian(run.shard), big_endian(teller)});
  output.finding.result = Cid::of(Multicodec::raw, result.view());
}

/// Who works on a shard, as its publisher sees it. A group talks among itself, so its members know.
std::optional<NodeId> worker_of(const World& world, const ShardRun& run) {
  for (std::uint32_t host = 0; host < world.size(); ++host) {
    if (!world.running(host)) continue;
    const std::vector<node::ShardView> views = world.at(host).shards(run.intent, run.shard, 1);
    if (!views.empty()) return views.front().worker;
  }
  return std::nullopt;
}

}  // namespace

void tell_wrong_results(World& world, std::uint32_t host, std::uint32_t per_mille) {
  world.behave(host, {.lie = [&world, host, per_mille](const ShardRun& run, Output& output) {
                 if (!world.random().chance(per_mille)) return;
                 world.faults().add(Fault::wrong_result);
                 if (world.random().chance(250)) {
                   ++output.finding.fuel; // The right bytes, and more work than they take.
                   ++output.summary.fuel;
                   return;
                 }
                 say(output, "meshwork/sim/lie", run, host);
               }});
}

void be_lazy(World& world, std::uint32_t host) {
  struct Known {
    std::map<std::pair<Cid, std::uint32_t>, receipt::Finding> findings;
    std::map<Cid, std::vector<task::ShardRange>> commitments;  ///< what a receipt that opens one speaks of
  };
  const auto known = std::make_shared<Known>();
  world.behave(host, {.lie =
                          [&world, host, known](const ShardRun& run, Output& output) {
                            world.faults().add(Fault::lazy_answer);
                            const auto heard = known->findings.find({run.intent, run.shard});
                            if (heard == known->findings.end()) return say(output, "meshwork/sim/guess", run, host);
                            output.finding = heard->second;
                          },
                      .run_time = [](const ShardRun&) { return Duration(1); },
                      .hear =
                          [known](std::uint32_t, const node::Event& event) {
                            for (const Envelope& envelope : records_of(event)) {
                              if (known->findings.size() + known->commitments.size() > 100'000) return;
                              if (const auto commitment = record::decode<receipt::Commitment>(envelope.body))
                                known->commitments.emplace(envelope.cid(), commitment->shards);
                              const auto receipt = record::decode<receipt::ExecutionReceipt>(envelope.body);
                              if (!receipt || !known->commitments.contains(receipt->commitment)) continue;
                              const std::vector<std::uint32_t> shards =
                                  shards_in(known->commitments.at(receipt->commitment));
                              const auto rows = receipt::rows_of(receipt->findings, shards.size());
                              for (std::size_t i = 0; rows && i < shards.size(); ++i)
                                known->findings.insert_or_assign({receipt->intent, shards[i]}, (*rows)[i]);
                            }
                          }});
}

void Collusion::join(World& world, std::uint32_t host) {
  members_->insert(host);
  // It promises much, so as to be given work. Holds if the world has not started yet.
  world.configure(host, [](node::Config& config) { config.slots = 16; });
  world.behave(host, {.lie = [&world, members = members_](const ShardRun& run, Output& output) {
                 const std::optional<NodeId> worker = worker_of(world, run);
                 const std::optional<std::uint32_t> index = worker ? world.find(*worker) : std::nullopt;
                 if (!index || !members->contains(*index)) return;
                 world.faults().add(Fault::collusion);
                 say(output, "meshwork/sim/collusion", run, *members->begin());
               }});
}

}  // namespace mesh::sim
