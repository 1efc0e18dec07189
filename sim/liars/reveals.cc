// Liars about what they committed to, and when they show it.
#include "codec/merkle.h"
#include "domain/verification/records.h"
#include "sim/liars/liars.h"
#include "sim/liars/parcels.h"

namespace mesh::sim {

namespace {

bool reveals(const std::string& type) {
  return type == receipt::ExecutionReceipt::type || type == receipt::VerificationReceipt::type;
}

}  // namespace

void copy_commitments(World& world, std::uint32_t host) {
  // By the task: the roots that others committed to, as far as the publisher has passed them on.
  const auto heard = std::make_shared<std::map<Cid, receipt::Commitment>>();
  world.behave(host, {.tamper =
                          [&world, host, heard](std::uint32_t, std::vector<node::Effect>& effects) {
                            change_records(effects, [&](const node::effect::Send& send, const std::string& type,
                                                        Envelope& envelope) {
                              if (send.channel != node::Channel::receipt || type != receipt::Commitment::type)
                                return Fate::keep;
                              auto own = record::decode<receipt::Commitment>(envelope.body);
                              if (!own) return Fate::keep;
                              const auto other = heard->find(own->intent);
                              if (other == heard->end()) return Fate::keep;
                              own->root = other->second.root;
                              envelope = world.signer(host).seal(*own);
                              world.faults().add(Fault::copied_commitment);
                              return Fate::keep;
                            });
                          },
                      .hear =
                          [&world, host, heard](std::uint32_t, const node::Event& event) {
                            for (const Envelope& envelope : records_of(event)) {
                              if (envelope.key == world.id(host)) continue;
                              auto other = record::decode<receipt::Commitment>(envelope.body);
                              if (!other) continue;
                              const Cid intent = other->intent;
                              heard->insert_or_assign(intent, std::move(*other));
                            }
                          }});
}

void never_reveal(World& world, std::uint32_t host, bool nonces) {
  world.behave(host, {.tamper = [&world, nonces](std::uint32_t, std::vector<node::Effect>& effects) {
                 change_records(effects, [&](const node::effect::Send&, const std::string& type, Envelope&) {
                   if (!reveals(type) && !(nonces && type == verification::NonceReveal::type)) return Fate::keep;
                   world.faults().add(Fault::no_reveal);
                   return Fate::drop;
                 });
               }});
}

void reveal_early(World& world, std::uint32_t host) {
  using Findings = std::map<std::pair<Cid, std::uint32_t>, Output>;
  const auto found = std::make_shared<Findings>();
  world.behave(
      host, {.lie =
                 [found](const ShardRun& run, const Output& output) {
                   if (found->size() < 100'000) found->insert_or_assign({run.intent, run.shard}, output);
                 },
             .tamper =
                 [&world, host, found](std::uint32_t, std::vector<node::Effect>& effects) {
                   std::vector<node::effect::Send> early;
                   change_records(
                       effects, [&](const node::effect::Send& send, const std::string& type, Envelope& envelope) {
                         const auto own = record::decode<receipt::Commitment>(envelope.body);
                         if (type != receipt::Commitment::type || !own || envelope.key != world.id(host))
                           return Fate::keep;
                         std::vector<std::uint32_t> shards;
                         for (const task::ShardRange& range : own->shards) {
                           for (std::uint32_t i = 0; i < range.count; ++i) shards.push_back(range.first + i);
                         }
                         std::vector<Digest> leaves;
                         for (const std::uint32_t shard : shards) {
                           const auto output = found->find({own->intent, shard});
                           if (output == found->end()) return Fate::keep;
                           leaves.push_back(receipt::leaf_of(own->intent, shard, world.id(host), output->second.finding,
                                                             receipt::salt_of(world.signer(host), own->intent, shard)));
                         }
                         const std::vector<std::vector<Digest>> proofs = merkle::proofs_of(leaves);
                         std::vector<Envelope> receipts;
                         for (std::size_t i = 0; i < shards.size(); ++i) {
                           const Output& output = found->at({own->intent, shards[i]});
                           receipts.push_back(world.signer(host).seal(receipt::ExecutionReceipt{
                               .intent = own->intent,
                               .award = own->basis,
                               .opening = {.commitment = envelope.cid(),
                                           .shard = shards[i],
                                           .salt = receipt::salt_of(world.signer(host), own->intent, shards[i]),
                                           .proof = proofs[i]},
                               .finding = output.finding,
                               .summary = output.summary}));
                         }
                         world.faults().add(Fault::early_reveal, receipts.size());
                         early.push_back(message_of(send.to, node::Channel::receipt, std::move(receipts)));
                         return Fate::keep;
                       });
             // Along with the commitment and right after it.
                   for (node::effect::Send& send : early) {
                     world.at_time(microseconds(1500), [&world, host, send] { world.send_as(host, send); });
                   }
                 }});
}

void reveal_late(World& world, std::uint32_t host, Duration late) {
  world.behave(host, {.tamper = [&world, host, late](std::uint32_t, std::vector<node::Effect>& effects) {
                 change_records(
                     effects, [&](const node::effect::Send& send, const std::string& type, Envelope& envelope) {
                       if (!reveals(type)) return Fate::keep;
                       world.faults().add(Fault::late_reveal);
                       world.at_time(late, [&world, host, held = message_of(send.to, send.channel, {envelope})] {
                         world.send_as(host, held);
                       });
                       return Fate::drop;
                     });
               }});
}

}  // namespace mesh::sim
