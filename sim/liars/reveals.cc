// Liars about what they committed to, and when they show it.
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
  // What others committed to, as far as the publisher has passed it on.
  const auto heard = std::make_shared<std::map<Cid, receipt::Commitment>>();
  world.behave(host, {.tamper =
                          [&world, host, heard](std::uint32_t, std::vector<node::Effect>& effects) {
                            change_records(effects, [&](const node::effect::Send& send, const std::string& type,
                                                        Envelope& envelope) {
                              if (send.channel != node::Channel::receipt || type != receipt::Commitment::type)
                                return Fate::keep;
                              auto own = record::decode<receipt::Commitment>(envelope.body);
                              if (!own || !own->worker) return Fate::keep;
                              const auto workers = heard->find(*own->worker);
                              if (workers == heard->end()) return Fate::keep;
                              own->root = workers->second.root;
                              envelope = world.signer(host).seal(*own);
                              world.faults().add(Fault::copied_commitment);
                              return Fate::keep;
                            });
                          },
                      .hear =
                          [&world, host, heard](std::uint32_t, const node::Event& event) {
                            for (const Envelope& envelope : records_of(event)) {
                              if (envelope.key == world.id(host) || heard->size() > 100'000) continue;
                              auto other = record::decode<receipt::Commitment>(envelope.body);
                              if (other) heard->insert_or_assign(envelope.cid(), std::move(*other));
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
  world.behave(host, {.lie =
                          [found](const ShardRun& run, const Output& output) {
                            if (found->size() < 100'000) found->insert_or_assign({run.intent, run.shard}, output);
                          },
                      .tamper =
                          [&world, host, found](std::uint32_t, std::vector<node::Effect>& effects) {
                            std::vector<node::effect::Send> early;
                            change_records(effects, [&](const node::effect::Send& send, const std::string& type,
                                                        Envelope& envelope) {
                              const auto own = record::decode<receipt::Commitment>(envelope.body);
                              if (type != receipt::Commitment::type || !own || envelope.key != world.id(host))
                                return Fate::keep;
                              receipt::Usage usage;
                              std::vector<receipt::Finding> findings;
                              for (const std::uint32_t shard : shards_in(own->shards)) {
                                const auto output = found->find({own->intent, shard});
                                if (output == found->end()) return Fate::keep;
                                usage.add(output->second.summary);
                                findings.push_back(output->second.finding);
                              }
                              std::vector<Envelope> receipts{world.signer(host).seal(
                                  receipt::ExecutionReceipt{.intent = own->intent,
                                                            .award = own->basis,
                                                            .commitment = envelope.cid(),
                                                            .key = receipt::salt_key(world.signer(host), *own),
                                                            .findings = receipt::columns_of(findings),
                                                            .usage = std::move(usage)})};
                              world.faults().add(Fault::early_reveal, findings.size());
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

void forge_draws(World& world, std::uint32_t host) {
  world.behave(host, {.tamper = [&world, host](std::uint32_t, std::vector<node::Effect>& effects) {
                 change_records(effects, [&](const node::effect::Send&, const std::string& type, Envelope& envelope) {
                   auto draw = record::decode<verification::Draw>(envelope.body);
                   if (type != verification::Draw::type || !draw || envelope.key != world.id(host)) return Fate::keep;
                   draw->link = tagged_hash("meshwork/sim/forged", {draw->link.view()});
                   envelope = world.signer(host).seal(*draw);
                   world.faults().add(Fault::forged_draw);
                   return Fate::keep;
                 });
               }});
}

}  // namespace mesh::sim
