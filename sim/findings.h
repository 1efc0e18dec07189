// Findings: what a run broke, each one a sentence that begins with a stable name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mesh::sim {

class Findings {
 public:
  /// Keeps the first hundred; counts all.
  void add(std::string text) {
    ++count_;
    if (texts_.size() < 100) texts_.push_back(std::move(text));
  }
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::vector<std::string> texts_;
  std::uint64_t count_ = 0;
};

}  // namespace mesh::sim
