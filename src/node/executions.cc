#include "node/executions.h"

#include <algorithm>

#include "base/planted.h"

namespace mesh::node {

bool Executions::trim(effect::Execute& request, const Task& task) const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < request.shards.size(); ++i) {
    if (task.shards.contains(request.shards[i])) continue;
    request.shards[count] = request.shards[i];
    if (!request.keys.empty()) request.keys[count] = request.keys[i];
    ++count;
  }
  const std::size_t room = planted(Bug::queue_unbounded) ? count : bound_ - std::min<std::size_t>(held_, bound_);
  request.shards.resize(std::min(count, room));
  if (!request.keys.empty()) request.keys.resize(request.shards.size());
  return count <= room;
}

bool Executions::request(Instant now, effect::Execute request, Purpose purpose, Outbox& out) {
  Task& task = tasks_[request.intent];
  const bool all = trim(request, task);
  if (!request.shards.empty()) {
    task.shards.insert(request.shards.begin(), request.shards.end());
    held_ += request.shards.size();
    queued_ += request.shards.size();
    (purpose == Purpose::verify ? verify_queue_ : work_queue_).push_back({std::move(request)});
    start(now, out);
  } else if (task.shards.empty()) {
    tasks_.erase(request.intent);
  }
  return all;
}

std::size_t Executions::run_size(const Waiting& waiting) const {
  const std::optional<Duration> per_shard = tasks_.at(waiting.request.intent).per_shard;
  if (!per_shard) return 1;  // Nothing is known of it: a first one tells.
  const std::size_t left = waiting.request.shards.size() - waiting.next;
  const std::size_t share = (left + slots_ - 1) / slots_;
  const auto wanted = static_cast<std::size_t>(run_target / std::max(*per_shard, Duration(1)));
  return std::clamp<std::size_t>(std::min(wanted, share), 1, max_run_shards);
}

void Executions::start(Instant now, Outbox& out) {
  while (runs_.size() < slots_ && !(verify_queue_.empty() && work_queue_.empty())) {
    std::deque<Waiting>& queue = verify_queue_.empty() ? work_queue_ : verify_queue_;
    Waiting& waiting = queue.front();
    const std::size_t count = std::min(run_size(waiting), waiting.request.shards.size() - waiting.next);
    const auto part = [&](const auto& all) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(waiting.next);
      return std::vector(first, first + static_cast<std::ptrdiff_t>(count));
    };
    effect::Execute request{.id = 0,
                            .intent = waiting.request.intent,
                            .function = waiting.request.function,
                            .inputs = waiting.request.inputs,
                            .shards = part(waiting.request.shards),
                            .scope = waiting.request.scope,
                            .fetch_ms = waiting.request.fetch_ms,
                            .holders = waiting.request.holders,
                            .sealed = waiting.request.sealed,
                            .keys = {}};
    if (!waiting.request.keys.empty()) request.keys = part(waiting.request.keys);
    request.id = next_id_++;
    waiting.next += count;
    queued_ -= count;
    if (waiting.next == waiting.request.shards.size()) queue.pop_front();
    // What a run is asked about later: its shards and its task. The keys go to the executor alone.
    const auto run = runs_.emplace(request.id, Run{request, now}).first;
    run->second.request.keys.clear();
    out.add({std::move(request)});
  }
}

std::optional<effect::Execute> Executions::progressed(Instant now, const event::ExecutionDone& done, Outbox& out) {
  const auto it = runs_.find(done.id);
  if (it == runs_.end()) return std::nullopt;
  Run& run = it->second;
  const auto task = tasks_.find(run.request.intent);
  std::size_t ended = 0;
  for (const event::ExecutionDone::Shard& shard : done.shards) {
    if (std::erase(run.request.shards, shard.shard) == 0) continue;
    task->second.shards.erase(shard.shard);
    ++ended;
  }
  held_ -= ended;
  if (ended > 0) {
    const Duration each = (now - run.since) / static_cast<std::int64_t>(ended);
    std::optional<Duration>& per_shard = task->second.per_shard;
    per_shard = smoothed(per_shard, each);
  }
  run.since = now;
  effect::Execute request = run.request;
  if (done.last) {
    for (const std::uint32_t shard : run.request.shards) task->second.shards.erase(shard);
    held_ -= run.request.shards.size();
    runs_.erase(it);
    start(now, out);
  }
  return request;
}

const effect::Execute* Executions::find(std::uint64_t id) const {
  const auto it = runs_.find(id);
  return it == runs_.end() ? nullptr : &it->second.request;
}

bool Executions::has(const Cid& intent, std::uint32_t shard) const {
  const auto task = tasks_.find(intent);
  return task != tasks_.end() && task->second.shards.contains(shard);
}

void Executions::cancel(Instant now, const Cid& intent, Outbox& out) {
  const auto task = tasks_.find(intent);
  if (task == tasks_.end()) return;
  held_ -= task->second.shards.size();
  tasks_.erase(task);
  std::erase_if(runs_, [&](const auto& entry) {
    if (entry.second.request.intent != intent) return false;
    out.add({effect::CancelExecution{entry.first}});
    return true;
  });
  for (std::deque<Waiting>* queue : {&verify_queue_, &work_queue_}) {
    std::erase_if(*queue, [&](const Waiting& waiting) {
      if (waiting.request.intent != intent) return false;
      queued_ -= waiting.request.shards.size() - waiting.next;
      return true;
    });
  }
  start(now, out);
}

}  // namespace mesh::node
