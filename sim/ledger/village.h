// Village: the model of the ledger (domain/ledger/ledger_model.h, work_model.h) beside a town's chain, and those who live by paid work
// there. It executes every final block in the model, from the chain's bytes alone, and says what a ledger that did the same does
// otherwise: an account, an escrow, a work, a reputation, a set. From the model's state it makes what is done next: tasks,
// works, answers, reveals, time-outs, disputes, most of it right and some of it wrong in one place (work_trial.h). One at a time is used, since it
// signs the records of works for who makes them.
#pragma once

#include <functional>

#include "domain/ledger/ledger_comparison.h"
#include "domain/ledger/work_trial.h"

namespace mesh::sim {

class Village {
 public:
  using Act = std::pair<ledger::AccountId, ledger::Body>;

  Village(std::uint64_t seed, const ledger::Genesis& genesis, const Cid& federation,
          std::vector<ledger::AccountId> villagers, std::map<PublicKey, Seed> keys);
  ~Village();
  Village(const Village&) = delete;
  Village& operator=(const Village&) = delete;
  Village(Village&&) = delete;
  Village& operator=(Village&&) = delete;

  /// Executes the block of the next height. Empty, or what the model makes of it otherwise than whoever found it final.
  [[nodiscard]] std::string follow(const ledger::Block& block);
  [[nodiscard]] std::uint64_t height() const { return model_.height; }
  /// At the height of the model. Empty, or the first difference.
  [[nodiscard]] std::string compare(const ledger::Ledger& ledger) { return comparison_.compare(ledger); }

  /// What somebody does next over the model's state.
  [[nodiscard]] Act next() { return maker_.next(); }
  [[nodiscard]] std::uint64_t sequence_of(const ledger::AccountId& account) const;
  /// By which the account signs now; none: by one that nobody here has.
  [[nodiscard]] std::optional<Seed> seed_of(const ledger::AccountId& account) const;
  /// What a validator puts into its next header.
  [[nodiscard]] Digest link_of(const ledger::Ledger& ledger, const ledger::AccountId& validator) const;
  [[nodiscard]] const ledger::WorkModel& model() const { return model_; }
  /// How often works came to what.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  std::mt19937_64 random_;
  ledger::WorkModel model_;
  std::map<std::string, std::uint64_t> counts_;
  ledger::Comparison comparison_;
  ledger::WorkMaker maker_;
  std::map<PublicKey, Seed> keys_;
  Cid parent_;
};

}  // namespace mesh::sim
