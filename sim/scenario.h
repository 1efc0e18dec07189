// Scenario: one run of a plan: work and faults at random moments, then everything heals, and then all that has to hold is
// checked.
#pragma once

#include "sim/checkers/checkers.h"
#include "sim/plan.h"

namespace mesh::sim {

struct Report {
  std::uint64_t trace = 0;
  std::uint64_t events = 0;
  double virtual_hours = 0;
  Traffic traffic;
  FaultCounts faults;
  std::uint64_t jobs = 0, dropped_jobs = 0, refused_jobs = 0;
  std::map<std::string, std::uint64_t> ends;  ///< how many jobs ended how
  Tally tally;
  std::vector<Duration> times;  ///< of the jobs, sorted
  Duration healed_in{0};  ///< from the healing until the last job had ended
  std::uint64_t most_runs = 0, most_foreign_tasks = 0, most_journal_records = 0, most_intents = 0;
  std::uint64_t foreign_after_minute = 0;  ///< others' tasks that nodes kept a minute after the last job had ended
  std::uint64_t nonces = 0;
  Findings findings;

  [[nodiscard]] bool failed() const { return findings.count() > 0; }
};

/// `progress` is called about once a simulated minute, with the seconds that have passed.
[[nodiscard]] Report run(const Plan& plan, const std::function<void(std::uint64_t)>& progress = {});

/// The report as lines of text, but for what depends on the machine.
[[nodiscard]] std::string text_of(const Report& report, const Plan& plan);

}  // namespace mesh::sim
