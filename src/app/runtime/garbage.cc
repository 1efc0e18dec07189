#include "app/runtime/garbage.h"

#include <algorithm>
#include <ctime>
#include <unordered_set>

#include "domain/asset/unixfs.h"

namespace mesh::app {

GarbageReport collect_garbage(store::BlockStore& blocks, const std::vector<Cid>& roots, const GarbagePolicy& policy) {
  GarbageReport report;
  if (blocks.total_bytes() <= policy.keep_bytes) return report;

  std::unordered_set<Cid> needed;
  std::vector<Cid> open = roots;
  while (!open.empty()) {
    const Cid cid = open.back();
    open.pop_back();
    if (!needed.insert(cid).second || cid.codec() == Multicodec::raw) continue;
    const auto block = blocks.get(cid);
    if (!block) continue;  // Not here (a worker has few inputs of a list), or damaged: nothing below it is known.
    const auto links = asset::links_of(cid, **block);
    if (links) open.insert(open.end(), links->begin(), links->end());
  }

  struct Candidate {
    std::int64_t written_s = 0;
    Cid cid;
    std::uint64_t bytes = 0;
  };
  std::vector<Candidate> candidates;
  blocks.for_each([&](const Cid& cid, std::uint64_t bytes) {
    if (needed.contains(cid)) return;
    const Result<std::int64_t> written_s = blocks.written_s(cid);
    if (!written_s) return;
    report.unneeded_bytes += bytes;
    candidates.push_back({.written_s = *written_s, .cid = cid, .bytes = bytes});
  });
  if (report.unneeded_bytes <= policy.keep_bytes) return report;
  std::ranges::sort(candidates, {},
                    [](const Candidate& candidate) { return std::pair(candidate.written_s, candidate.cid); });
  const std::int64_t young = std::time(nullptr) - std::chrono::duration_cast<seconds>(policy.youngest).count();
  const std::uint64_t target = policy.keep_bytes - policy.keep_bytes / 10;
  for (const Candidate& candidate : candidates) {
    if (report.unneeded_bytes - report.freed_bytes <= target || candidate.written_s > young) break;
    Result<bool> there = blocks.erase(candidate.cid);
    if (!there && !report.failure) report.failure = std::move(there.error());
    if (!there.value_or(false)) continue;
    ++report.freed_blocks;
    report.freed_bytes += candidate.bytes;
  }
  if (report.freed_blocks > 0) {
    Status shrunk = blocks.shrink();
    if (!shrunk && !report.failure) report.failure = std::move(shrunk.error());
  }
  return report;
}

}  // namespace mesh::app
