// Offers for tests, beside domain/task/task_testing.h. For *_test.cc alone.
#pragma once

#include "domain/market/records.h"
#include "domain/task/task_testing.h"

namespace mesh::testing {

/// An offer that check_offer takes.
[[nodiscard]] inline market::ComputeOffer offer_on(const Cid& intent, const Digest& nonce_tip = digest("offer tip")) {
  return {.intent = intent,
          .cost = 0,
          .capacity = 1,
          .eta_ms = 1000,
          .valid_ms = 10'000,
          .nonce_tip = nonce_tip,
          .holds_inputs = false,
          .owner = {}};
}

}  // namespace mesh::testing
