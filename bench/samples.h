// Times of single iterations, for cases whose slow ones matter: median and 99th percentile as counters, in microseconds.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace mesh::bench {

class Samples {
 public:
  void add(std::chrono::steady_clock::duration time) {
    us_.push_back(std::chrono::duration<double, std::micro>(time).count());
  }
  void report(benchmark::State& state) {
    if (us_.empty()) return;
    std::ranges::sort(us_);
    state.counters["median_us"] = us_[us_.size() / 2];
    state.counters["p99_us"] = us_[(us_.size() * 99) / 100];
  }

 private:
  std::vector<double> us_;
};

}  // namespace mesh::bench
