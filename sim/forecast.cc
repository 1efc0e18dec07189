#include "sim/forecast.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mesh::sim {

namespace {

Duration millis(std::uint64_t ms) { return milliseconds(static_cast<std::int64_t>(ms)); }

/// Notes when what ended.
class Ends : public Observer {
 public:
  explicit Ends(World& world) : world_(world) {}
  void submitted(const Cid& job) { begun_.emplace(job, world_.now()); }

  void on_notice(std::uint32_t host, const node::Notice& notice) override {
    if (notice.kind != "job.done" || !notice.job) return;
    const auto begun = begun_.find(*notice.job);
    if (begun == begun_.end()) return;
    const Duration took = world_.now() - begun->second;
    begun_.erase(begun);
    ended_.push_back({host, *notice.job, world_.now(), took});
  }
  struct End {
    std::uint32_t host;
    Cid job;
    Instant at;
    Duration took;
  };
  [[nodiscard]] const std::vector<End>& ended() const { return ended_; }
  [[nodiscard]] std::size_t open() const { return begun_.size(); }

 private:
  World& world_;
  std::map<Cid, Instant> begun_;
  std::vector<End> ended_;
};

}  // namespace

std::uint64_t Forecast::job_ms_at(std::uint64_t per_mille) const {
  if (job_ms.empty()) return 0;
  return job_ms[(job_ms.size() - 1) * per_mille / 1000];
}

Forecast forecast(const ForecastPlan& plan, const std::function<bool(std::uint64_t)>& progress) {
  Options options = plan.world;
  options.keep_notices = 0;
  World world(options);
  Ends ends(world);
  world.watch(ends);
  world.start();
  world.run_for(seconds(2));
  const Instant begin = world.now();
  Random random(options.seed ^ 0x666f726563617374ULL);
  Forecast result;
  for (std::uint64_t i = 0; i < plan.jobs; ++i) {
    const Duration at = millis(random.below(plan.duration_s * 1000));
    const auto host = static_cast<std::uint32_t>(random.below(world.size()));
    world.at_time(at, [&, host] {
      node::JobSpec spec = world.spec(static_cast<std::uint32_t>(plan.shards));
      spec.verifiers = plan.verifiers;
      // A scope that fits the runs, so that the offers' promises do.
      spec.scope.fuel = std::max<std::uint64_t>(1'000'000, options.run_us_max * 1000);
      spec.limits.total_ms = 24 * 3'600'000;
      const Result<Cid> job = world.try_submit(host, spec);
      if (!job) {
        ++result.refused;
        return;
      }
      ++result.jobs;
      ends.submitted(*job);
    });
  }
  for (std::uint64_t passed = 1; passed <= plan.duration_s + plan.grace_s; ++passed) {
    world.run_for(seconds(1));
    if (progress && passed % 60 == 0 && !progress(passed)) break;
    if (passed >= plan.duration_s && ends.open() == 0) break;
  }
  Instant last = begin;
  for (const Ends::End& end : ends.ended()) last = std::max(last, end.at);
  if (ends.open() > 0) last = world.now();
  const Duration span = std::max<Duration>(last - begin, seconds(1));
  result.virtual_s = static_cast<double>(span.count()) / 1e6;
  result.shards_in_bucket.assign(Forecast::buckets, 0);
  for (const Ends::End& end : ends.ended()) {
    const std::optional<node::JobView> view = world.at(end.host).job(end.job);
    if (!view) continue;
    result.shards_done += view->finished;
    const auto part = static_cast<std::size_t>((end.at - begin).count() * static_cast<std::int64_t>(Forecast::buckets) /
                                               span.count());
    result.shards_in_bucket[std::min(part, Forecast::buckets - 1)] += view->finished;
    if (view->phase != node::JobPhase::done) {
      ++result.failed;
      continue;
    }
    ++(view->unverified ? result.unverified : result.done);
    result.job_ms.push_back(static_cast<std::uint64_t>(end.took.count() / 1000));
  }
  std::ranges::sort(result.job_ms);
  result.unfinished = ends.open();
  result.shards_per_s = static_cast<double>(result.shards_done) / result.virtual_s;
  result.runs = world.work().runs;
  result.fuel = world.work().fuel;
  const double slots = static_cast<double>(options.nodes * options.slots);
  result.busy_per_mille = 1000 * static_cast<double>(world.work().busy.count()) / 1e6 / slots / result.virtual_s;
  result.traffic = world.traffic();
  return result;
}

namespace {

constexpr double width = 420, height = 240, left = 56, top = 40, gap = 90;

struct Frame {
  double x0;
  double most_x;
  double most_y;
  [[nodiscard]] double x(double value) const { return x0 + width * value / most_x; }
  [[nodiscard]] double y(double value) const { return top + height - height * value / most_y; }
};

/// A round number at or above `value`: 1, 2 or 5 times a power of ten.
double round_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0, 10.0}) {
    if (step * power >= value) return step * power;
  }
  return 10 * power;
}

std::string frame_of(const Frame& frame, std::string_view title, std::string_view below) {
  std::string svg = fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"none\" stroke=\"#888\"/>\n"
      "<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
      frame.x0, top, width, height, frame.x0, top - 8, title, frame.x0 + width / 2, top + height + 34, below);
  for (int i = 0; i <= 4; ++i) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.4g}</text>\n",
                       frame.x(frame.most_x * i / 4), top + height + 16, frame.most_x * i / 4);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", frame.x0 - 6,
                       frame.y(frame.most_y * i / 4) + 4, frame.most_y * i / 4);
    if (i > 0 && i < 4)
      svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", frame.x0,
                         frame.x0 + width, frame.y(frame.most_y * i / 4), frame.y(frame.most_y * i / 4));
  }
  return svg;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string svg_of(const Forecast& forecast, std::string_view title) {
  const double part = forecast.virtual_s / static_cast<double>(Forecast::buckets);
  double most = 0;
  for (const std::uint64_t count : forecast.shards_in_bucket) most = std::max(most, static_cast<double>(count) / part);
  const Frame rate{left, forecast.virtual_s, round_up(most)};
  const double slowest = forecast.job_ms.empty() ? 1 : static_cast<double>(forecast.job_ms.back()) / 1000;
  const Frame share{left + width + gap, round_up(slowest), 100};
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{:.1f}\" y=\"16\" "
      "font-weight=\"bold\">{}</text>\n",
      share.x0 + width + 30, top + height + 50, left, escaped(title));
  svg += frame_of(rate, "finished shards per second", "seconds");
  svg += frame_of(share, "jobs with their result, per cent", "seconds after the submission");
  std::string points;
  for (std::size_t i = 0; i < forecast.shards_in_bucket.size(); ++i) {
    const double y = rate.y(static_cast<double>(forecast.shards_in_bucket[i]) / part);
    points += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", rate.x(part * static_cast<double>(i)), y,
                          rate.x(part * static_cast<double>(i + 1)), y);
  }
  svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6fb2\" stroke-width=\"1.5\"/>\n", points);
  points = fmt::format("{:.1f},{:.1f} ", share.x(0), share.y(0));
  const std::size_t jobs = forecast.job_ms.size();
  const std::size_t step = std::max<std::size_t>(1, jobs / 500);
  for (std::size_t i = 0; i < jobs; i += step)
    points += fmt::format("{:.1f},{:.1f} ", share.x(static_cast<double>(forecast.job_ms[i]) / 1000),
                          share.y(100 * static_cast<double>(i + 1) / static_cast<double>(jobs)));
  if (jobs > 0) points += fmt::format("{:.1f},{:.1f}", share.x(slowest), share.y(100));
  svg +=
      fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#b2431f\" stroke-width=\"1.5\"/>\n</svg>\n", points);
  return svg;
}

}  // namespace mesh::sim
