// What a forecast says follows from what it was asked.
#include "sim/forecast.h"

#include <gtest/gtest.h>

namespace mesh::sim {
namespace {

ForecastPlan plan_of(std::uint64_t nodes) {
  ForecastPlan plan;
  plan.world.nodes = nodes;
  plan.world.run_us_min = plan.world.run_us_max = 100'000;
  plan.duration_s = 20;
  plan.jobs = 4;
  plan.shards = 30;
  return plan;
}

TEST(Forecast, CountsTheRunsTheBytesAndTheFuel) {
  const Forecast six = forecast(plan_of(6));
  EXPECT_EQ(six.jobs, 4U);
  EXPECT_EQ(six.done, 4U);
  EXPECT_EQ(six.unverified + six.failed + six.unfinished + six.refused, 0U);
  EXPECT_EQ(six.shards_done, 120U);
  // Each by its worker and three verifiers; more only where somebody did not answer, which here nobody does.
  EXPECT_EQ(six.runs, 480U);
  EXPECT_EQ(six.fuel, std::uint64_t{480} * 100'000'000);
  EXPECT_GT(six.busy_per_mille, 0);
  EXPECT_LE(six.busy_per_mille, 1000);
  ASSERT_EQ(six.job_ms.size(), 4U);
  EXPECT_LE(six.job_ms_at(0), six.job_ms_at(500));
  EXPECT_LE(six.job_ms_at(500), six.job_ms_at(1000));
  // 30 shards, four runs of 100 ms each, over at most twelve slots.
  EXPECT_GE(six.job_ms_at(0), 1000U);
  std::uint64_t in_buckets = 0;
  for (const std::uint64_t count : six.shards_in_bucket) in_buckets += count;
  EXPECT_EQ(in_buckets, 120U);
  EXPECT_GT(six.traffic.direct_bytes, 0U);
}

TEST(Forecast, UnverifiedTakesAQuarterOfTheRuns) {
  ForecastPlan plan = plan_of(6);
  plan.verifiers = 0;
  const Forecast unverified = forecast(plan);
  EXPECT_EQ(unverified.unverified, 4U);
  EXPECT_EQ(unverified.runs, 120U);
}

TEST(Forecast, WorkIsSharedEvenlyWithFewMessages) {
  ForecastPlan plan = plan_of(6);
  plan.verifiers = 0;
  plan.jobs = 1;
  plan.shards = 1000;
  plan.world.run_us_min = 10'000;
  plan.world.run_us_max = 50'000;
  const Forecast one = forecast(plan);
  EXPECT_EQ(one.runs, 1000U) << "nobody lags, so nothing is run twice";
  // 30 ms on average over the slots of the five that work.
  const std::uint64_t ideal_ms = 1000 * 30 / (5 * plan.world.slots);
  EXPECT_LE(one.job_ms_at(500), ideal_ms * 107 / 100);
  // Of all workers together: an offer, leases and commitments with their answers.
  EXPECT_LE(one.traffic.direct_messages, 1200U);
}

TEST(Forecast, MoreNodesAreFaster) {
  EXPECT_LT(forecast(plan_of(24)).job_ms_at(500), forecast(plan_of(6)).job_ms_at(500));
}

TEST(Forecast, IsStoppedByWhoWatches) {
  ForecastPlan plan = plan_of(6);
  plan.duration_s = 600;
  plan.jobs = 100;
  const Forecast stopped = forecast(plan, [](std::uint64_t) { return false; });
  EXPECT_LT(stopped.jobs, 100U);
  EXPECT_LE(stopped.virtual_s, 61);
}

TEST(Forecast, ItsPictureHasBothCurves) {
  const Forecast six = forecast(plan_of(6));
  const std::string svg = svg_of(six, "six <nodes> & one");
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("six &lt;nodes> &amp; one"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  std::size_t curves = 0;
  for (std::size_t at = svg.find("<polyline"); at != std::string::npos; at = svg.find("<polyline", at + 1)) ++curves;
  EXPECT_EQ(curves, 2U);
  EXPECT_EQ(svg_of(Forecast{.virtual_s = 1, .shards_in_bucket = std::vector<std::uint64_t>(60)}, "none").find("nan"),
            std::string::npos);
}

}  // namespace
}  // namespace mesh::sim
