// Liars who misuse the network: replays, floods, and one who is many.
#include <deque>

#include "node/engagement.h"
#include "sim/liars/liars.h"
#include "sim/liars/parcels.h"

namespace mesh::sim {

namespace {

/// The intent that a node hears of by gossip or is sent directly.
std::optional<Signed<task::TaskIntent>> intent_in(const World& world, const node::Event& event) {
  const Cid& federation = world.signer(0).federation();
  if (const auto* gossip = std::get_if<node::event::Gossip>(&event); gossip && gossip->topic == node::Topic::intents) {
    const Result<Envelope> envelope = record::decode<Envelope>(gossip->bytes);
    if (!envelope) return std::nullopt;
    Result<Signed<task::TaskIntent>> intent = open<task::TaskIntent>(*envelope, federation);
    return intent ? std::optional(std::move(*intent)) : std::nullopt;
  }
  for (const Envelope& envelope : records_of(event)) {
    Result<Signed<task::TaskIntent>> intent = open<task::TaskIntent>(envelope, federation);
    if (intent) return std::move(*intent);
  }
  return std::nullopt;
}

market::ComputeOffer best_offer(const Signed<task::TaskIntent>& intent, const identity::Signer& signer) {
  return {.intent = intent.cid,
          .cost = 0,
          .capacity = 4096,
          .eta_ms = 1,
          .valid_ms = 60'000,
          .nonce_tip = node::Engagement::nonce_tip(signer, intent),
          .holds_inputs = true,
          .owner = {}};
}

std::uint32_t somebody(World& world) { return static_cast<std::uint32_t>(world.random().below(world.size())); }

}  // namespace

void replay(World& world, std::uint32_t host, std::uint32_t per_mille) {
  const auto heard = std::make_shared<std::deque<node::event::Message>>();
  world.behave(host, {.hear = [&world, host, per_mille, heard](std::uint32_t, const node::Event& event) {
                 if (const auto* message = std::get_if<node::event::Message>(&event)) {
                   heard->push_back(*message);
                   if (heard->size() > 256) heard->pop_front();
                 }
                 if (heard->empty() || !world.random().chance(per_mille)) return;
                 const node::event::Message& old = (*heard)[world.random().below(heard->size())];
                 world.faults().add(Fault::replay);
                 const NodeId to = world.random().chance(500) ? old.from : world.id(somebody(world));
                 const auto channel = static_cast<node::Channel>(world.random().below(3));
                 world.send_as(host, {to, channel, old.bytes});
               }});
}

void flood(World& world, std::uint32_t host, std::uint32_t per_second) {
  const auto latest = std::make_shared<std::optional<Signed<task::TaskIntent>>>();
  const auto next = std::make_shared<Instant>();
  world.behave(host, {.hear = [&world, host, per_second, latest, next](std::uint32_t self, const node::Event& event) {
                 if (auto intent = intent_in(world, event)) *latest = std::move(intent);
                 // Its victims answer, so a message for each that comes would never end.
                 if (world.now() < *next) return;
                 *next = world.now() + seconds(1);
                 for (std::uint32_t i = 0; i < per_second; ++i) {
                   const std::uint32_t to = somebody(world);
                   if (to == self) continue;
                   world.faults().add(Fault::flood);
                   const std::uint64_t kind = world.random().below(4);
                   const Cid nothing = Cid::of(Multicodec::dag_cbor, big_endian(world.random().next()));
                   if (kind == 0) {
                     Bytes noise(world.random().below(2000));
                     for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(world.random().next());
                     world.send_as(host, {world.id(to), node::Channel::receipt, std::move(noise)});
                   } else if (kind == 1) {
                     world.send_as(host, message_of(world.id(to), node::Channel::offer,
                                                    {world.signer(host).seal(market::Refusal{
                                                        .intent = nothing, .about = nothing, .reason = "unknown-"})}));
                   } else if (kind == 2 && *latest) {
                     market::ComputeOffer offer = best_offer(**latest, world.signer(host));
                     offer.eta_ms = world.random().between(1, 1000);
                     world.send_as(
                         host, message_of((*latest)->signer, node::Channel::offer, {world.signer(host).seal(offer)}));
                   } else {
                     std::vector<Envelope> many(
                         32, world.signer(host).seal(receipt::Commitment{.intent = *latest ? (*latest)->cid : nothing,
                                                                         .node = world.id(host),
                                                                         .basis = nothing,
                                                                         .worker = {},
                                                                         .shards = {{0, 1}},
                                                                         .root = {}}));
                     world.send_as(host, message_of(world.id(to), node::Channel::receipt, std::move(many)));
                   }
                 }
               }});
}

void offer_as_many(World& world, std::uint32_t host, std::uint32_t identities) {
  const auto nobodies = std::make_shared<std::vector<identity::Signer>>();
  for (std::uint32_t i = 0; i < identities; ++i) {
    const Digest secret =
        tagged_hash("meshwork/sim/sybil", {big_endian(world.options().seed), big_endian(host), big_endian(i)});
    nobodies->emplace_back(*Seed::from(secret.view()), world.signer(host).federation());
  }
  const auto offered = std::make_shared<std::set<Cid>>();
  world.behave(host, {.hear = [&world, host, nobodies, offered](std::uint32_t, const node::Event& event) {
                 const std::optional<Signed<task::TaskIntent>> intent = intent_in(world, event);
                 if (!intent || !offered->insert(intent->cid).second) return;
                 std::vector<Envelope> offers;
                 for (const identity::Signer& nobody : *nobodies)
                   offers.push_back(nobody.seal(best_offer(*intent, nobody)));
                 world.faults().add(Fault::sybil_offer, offers.size());
                 world.send_as(host, message_of(intent->signer, node::Channel::offer, std::move(offers)));
               }});
}

}  // namespace mesh::sim
