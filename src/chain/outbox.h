// What one step of a replica decides, and what of earlier steps still waits for the disk.
//
// Writes are atomic and become durable in their order. So the replica goes on in memory as soon as something is decided; what
// leaves it, or is told to its people, waits until all that was written before is durable. Then a crash at any moment leaves a
// replica that is behind its own memory, never one that has said what it does not know any more.
//
// Bounds: one write for each step; 4,096 effects wait, of which the messages are dropped first: consensus says again what
// matters, and so do the slow timers.
#pragma once

#include <deque>

#include "chain/effect.h"

namespace mesh::chain {

inline constexpr std::size_t max_waiting_effects = 4096;

class Outbox {
 public:
  /// What this step writes.
  [[nodiscard]] effect::Persist& write() { return persist_; }
  /// Carried out at once.
  void add(Effect effect) { at_once_.push_back(std::move(effect)); }
  /// Carried out when all that was written until the end of this step is durable.
  void add_durable(Effect effect) { then_.push_back(std::move(effect)); }

  /// All writes up to this one are durable.
  void on_durable(std::uint64_t write);
  /// How many writes are under way.
  [[nodiscard]] std::uint64_t under_way() const { return last_ - durable_; }
  /// Whether a block is among what is under way or is written by this step.
  [[nodiscard]] bool holds_block() const {
    return !persist_.blocks.empty() || persist_.begins_at_snapshot || last_block_ > durable_;
  }
  /// Up to where the chain is durable.
  [[nodiscard]] Height durable_height() const { return durable_height_; }
  void starts_at(Height height) { durable_height_ = height; }

  /// The step's effects.
  [[nodiscard]] Effects take();

 private:
  struct Waiting {
    std::uint64_t write;
    Effect effect;
  };
  effect::Persist persist_;
  Effects at_once_;
  Effects then_;
  std::deque<Waiting> waiting_;
  std::deque<std::pair<std::uint64_t, Height>> blocks_;  ///< the last one of each write that has any
  std::uint64_t last_ = 0;
  std::uint64_t last_block_ = 0;  ///< the last write with a block
  std::uint64_t durable_ = 0;
  Height durable_height_ = 0;
};

}  // namespace mesh::chain
