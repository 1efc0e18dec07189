// Notary: the ledger of a world's federation, for nodes that pay each other. It is the real one. One validator, which is no host and
// neither fails nor lies, makes its blocks, one after the other at a steady pace: what validators do to each other is tried in
// sim/ledger. What a host asks for goes into the next block, signed with the host's key in its account's next number.
//
// Everybody begins with the same credits and bond, and says at the beginning what it can run. Bounds: those of the ledger. Nothing here can
// fail but by a bug of ours.
#pragma once

#include <map>
#include <span>

#include "domain/ledger/ledger.h"
#include "node/effect.h"
#include "node/ledger_entries.h"

namespace mesh::sim {

class Notary {
 public:
  static constexpr std::uint64_t credits = 1'000'000'000;  ///< of each host, in micro-credits
  static constexpr std::uint64_t bond = 1'000'000'000;
  static constexpr std::uint64_t genesis_ms = 1'700'000'000'000;

  /// `hosts`: whose members they are, in the order by which they are named here.
  explicit Notary(std::span<const Seed> hosts);

  [[nodiscard]] const identity::Charter& charter() const { return charter_; }
  [[nodiscard]] const Cid& federation() const { return ledger_->federation(); }
  [[nodiscard]] const ledger::Ledger& ledger() const { return *ledger_; }
  /// All that a host has: what it can spend, its bond, and what is on its way out of that.
  [[nodiscard]] std::uint64_t wealth(std::uint32_t host) const;
  [[nodiscard]] std::uint64_t bonded(std::uint32_t host) const;
  [[nodiscard]] std::uint32_t score(std::uint32_t host) const;
  [[nodiscard]] const ledger::Escrow* escrow(const Cid& intent) const;
  [[nodiscard]] std::vector<ledger::Work> works() const;

  /// Something that a host asks for. `life` comes back with the answer.
  void ask(std::uint32_t host, std::uint64_t life, node::effect::Transact transact);
  struct Answer {
    std::uint32_t host = 0;
    std::uint64_t life = 0;
    node::event::Transacted transacted;
  };
  struct Made {
    std::optional<ledger::OpenedBlock> block;  ///< none: there was no reason for one
    node::Touched touched;
    std::vector<Answer> answers;
  };
  /// The next block, if there is reason for one, and what became of all that was asked for since the last.
  [[nodiscard]] Made make_block(std::uint64_t time_ms);

  /// What verifiers have shown in final blocks, by their commitments: anybody can read it there.
  [[nodiscard]] const std::map<Cid, receipt::VerificationReceipt>& shown() const { return shown_; }
  /// How often what was refused by which name.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& refusals() const { return refusals_; }

 private:
  struct Asked {
    std::uint32_t host = 0;
    std::uint64_t life = 0;
    node::effect::Transact transact;
  };

  [[nodiscard]] ledger::Opened signed_by(std::uint32_t host, ledger::Body body, std::uint64_t sequence) const;
  [[nodiscard]] ledger::Proposal propose(std::span<const ledger::Opened> offered, std::uint64_t time_ms) const;
  [[nodiscard]] const ledger::AccountId& account(std::uint32_t host) const { return accounts_.at(host); }

  Seed validator_;
  std::vector<Seed> seeds_;
  std::vector<ledger::AccountId> accounts_;
  identity::Charter charter_;
  std::optional<ledger::Ledger> ledger_;
  std::vector<Asked> asked_;
  std::map<Cid, receipt::VerificationReceipt> shown_;
  std::map<std::string, std::uint64_t> refusals_;
};

}  // namespace mesh::sim
