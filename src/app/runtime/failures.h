// What happened with each holder that was asked for content, for the error at the end. Private to app/runtime.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "domain/identity/identity.h"

namespace mesh::app {

class Failures {
 public:
  static constexpr std::size_t max_told = 16;  ///< the others are counted

  void note(const identity::NodeId& node, const Error& error) {
    std::string text = fmt::format("{}: {}", identity::short_name(node), error.message);
    if (std::ranges::find(told_, text) != told_.end()) return;
    if (told_.size() >= max_told) {
      ++untold_;
    } else {
      told_.push_back(std::move(text));
    }
  }
  [[nodiscard]] bool empty() const { return told_.empty(); }
  /// One sentence.
  [[nodiscard]] std::string text() const {
    if (told_.empty()) return "no peer is known that has it";
    std::string text = fmt::format("{}", fmt::join(told_, "; "));
    if (untold_ > 0) text += fmt::format("; and {} more failures", untold_);
    return text;
  }

 private:
  std::vector<std::string> told_;
  std::size_t untold_ = 0;
};

}  // namespace mesh::app
