// Liars about what they are paid for: what they keep from the ledger, and what they take from others there.
#include "sim/liars/liars.h"
#include "sim/liars/parcels.h"

namespace mesh::sim {

namespace {

using Drops = std::function<bool(node::effect::Transact&)>;

/// Keeps back what a node asks of the ledger, at any depth of effects.
void sift(std::vector<node::Effect>& effects, const Drops& drops) {
  std::erase_if(effects, [&](node::Effect& effect) {
    if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) sift(persist->then, drops);
    auto* transact = std::get_if<node::effect::Transact>(&effect.value);
    return transact != nullptr && drops(*transact);
  });
}

/// Whether a verifier answers by it: a commitment of its own to what it found, or what that was.
bool is_answer(const ledger::Body& body) {
  const auto* anchor = std::get_if<ledger::Anchor>(&body);
  const auto* settle = std::get_if<ledger::Settle>(&body);
  return (anchor != nullptr && !anchor->award) || (settle != nullptr && !settle->receipt);
}

/// What one has seen of others' works, and made of it.
struct Copies {
  struct Copy {
    Cid of;
    Cid own;
    bool is_shown = false;
  };
  std::map<Cid, ledger::Work> works;  ///< as they were last seen, by the worker's commitment, as all of these
  std::map<Cid, receipt::Commitment> meant;  ///< what the node would have committed to
  std::map<Cid, Copy> copied;
  std::uint64_t next = std::uint64_t{1} << 60;  ///< the node's own count from 1
};

}  // namespace

void keep_answers(World& world, std::uint32_t host) {
  world.behave(host, {.tamper = [&world](std::uint32_t, std::vector<node::Effect>& effects) {
                 sift(effects, [&](node::effect::Transact& transact) {
                   if (!is_answer(transact.body) && !std::holds_alternative<ledger::Settle>(transact.body))
                     return false;
                   world.faults().add(Fault::no_reveal);
                   return true;
                 });
                 change_records(effects, [&](const node::effect::Send& send, const std::string& type, Envelope&) {
                   const bool shows = send.channel == node::Channel::receipt && type == receipt::ExecutionReceipt::type;
                   return shows ? Fate::drop : Fate::keep;
                 });
               }});
}

void hide_reveals(World& world, std::uint32_t host) {
  world.behave(host, {.tamper = [&world](std::uint32_t, std::vector<node::Effect>& effects) {
                 sift(effects, [&](node::effect::Transact& transact) {
                   if (std::holds_alternative<ledger::Lock>(transact.body)) return false;
                   world.faults().add(Fault::no_reveal);
                   return true;
                 });
               }});
}

void copy_answers(World& world, std::uint32_t host) {
  const auto copies = std::make_shared<Copies>();
  const auto remember = [&world, host, copies](const ledger::Body& body) {
    const auto* anchor = std::get_if<ledger::Anchor>(&body);
    if (anchor == nullptr) return;
    for (const Bytes& bytes : anchor->commitments) {
      const auto envelope = record::decode<Envelope>(bytes);
      auto own = envelope ? open<receipt::Commitment>(*envelope, world.signer(host).federation())
                          : Result<Signed<receipt::Commitment>>(fail(ErrorCode::invalid, "no envelope"));
      if (own && own->record.worker) copies->meant.insert_or_assign(*own->record.worker, std::move(own->record));
    }
  };
  const auto copy = [&world, host, copies](std::vector<node::Effect>& effects) {
    const auto tell = [&](ledger::Body body) {
      world.faults().add(Fault::copied_commitment);
      effects.push_back({node::effect::Transact{.id = copies->next++, .body = std::move(body)}});
    };
    for (const auto& [cid, work] : copies->works) {
      const auto meant = copies->meant.find(cid);
      for (const ledger::Answer& other : work.answers) {
        if (other.node == world.id(host) || meant == copies->meant.end() || copies->copied.contains(cid)) continue;
        meant->second.root = other.root;
        const Signed<receipt::Commitment> commitment = world.signer(host).sign(meant->second);
        copies->copied.emplace(cid, Copies::Copy{.of = other.commitment, .own = commitment.cid});
        ledger::Anchor anchor;
        anchor.commitments.push_back(record::encode(commitment.envelope));
        tell(std::move(anchor));
      }
      // Once others have shown theirs, it shows the same.
      const auto copied = copies->copied.find(cid);
      if (copied == copies->copied.end() || copied->second.is_shown || !work.receipt) continue;
      const auto shown = world.notary().shown().find(copied->second.of);
      if (shown == world.notary().shown().end()) continue;
      copied->second.is_shown = true;
      receipt::VerificationReceipt reveal = shown->second;
      reveal.commitment = copied->second.own;
      ledger::Settle settle{.account = {}, .sequence = 0, .commitment = cid};
      settle.verifications.push_back(record::encode(world.signer(host).seal(reveal)));
      tell(std::move(settle));
    }
  };
  world.behave(host, {.tamper =
                          [remember, copy](std::uint32_t, std::vector<node::Effect>& effects) {
                            sift(effects, [&](node::effect::Transact& transact) {
                              if (!is_answer(transact.body)) return false;
                              remember(transact.body);
                              return true;
                            });
                            copy(effects);
                          },
                      .hear =
                          [copies](std::uint32_t, const node::Event& event) {
                            const auto* changed = std::get_if<node::event::LedgerChanged>(&event);
                            if (changed == nullptr) return;
                            for (const ledger::Work& work : changed->works)
                              copies->works.insert_or_assign(work.commitment, work);
                          }});
}

}  // namespace mesh::sim
