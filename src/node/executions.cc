#include "node/executions.h"

namespace mesh::node {

bool Executions::request(effect::Execute request, Purpose purpose, Outbox& out) {
  const std::pair key{request.intent, request.shard};
  if (by_shard_.contains(key)) return true;
  if (runs_.size() >= bound_) return false;
  const std::uint64_t id = next_id_++;
  request.id = id;
  by_shard_.emplace(key, id);
  runs_.emplace(id, Run{std::move(request)});
  (purpose == Purpose::verify ? verify_queue_ : work_queue_).push_back(id);
  start(out);
  return true;
}

void Executions::start(Outbox& out) {
  while (running_ < slots_ && !(verify_queue_.empty() && work_queue_.empty())) {
    std::deque<std::uint64_t>& queue = verify_queue_.empty() ? work_queue_ : verify_queue_;
    const std::uint64_t id = queue.front();
    queue.pop_front();
    const auto it = runs_.find(id);
    it->second.started = true;
    ++running_;
    out.add({it->second.request});
  }
}

std::optional<effect::Execute> Executions::finished(std::uint64_t id, Outbox& out) {
  const auto it = runs_.find(id);
  if (it == runs_.end() || !it->second.started) return std::nullopt;
  effect::Execute request = std::move(it->second.request);
  by_shard_.erase({request.intent, request.shard});
  runs_.erase(it);
  --running_;
  start(out);
  return request;
}

const effect::Execute* Executions::find(std::uint64_t id) const {
  const auto it = runs_.find(id);
  return it == runs_.end() ? nullptr : &it->second.request;
}

void Executions::cancel(const Cid& intent, Outbox& out) {
  for (auto it = runs_.begin(); it != runs_.end();) {
    if (it->second.request.intent != intent) {
      ++it;
      continue;
    }
    if (it->second.started) {
      --running_;
      out.add({effect::CancelExecution{it->first}});
    }
    by_shard_.erase({intent, it->second.request.shard});
    it = runs_.erase(it);
  }
  for (std::deque<std::uint64_t>* queue : {&verify_queue_, &work_queue_})
    std::erase_if(*queue, [&](std::uint64_t id) { return !runs_.contains(id); });
  start(out);
}

}  // namespace mesh::node
