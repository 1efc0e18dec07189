// PeerInfo: what a node says of itself on the `capabilities` topic, on change and every 10 s.
#pragma once

#include "codec/record.h"

namespace mesh::node {

struct PeerInfo {
  static constexpr std::string_view type = "peer-info";
  static constexpr std::uint64_t version = 1;

  std::uint64_t sequence = 0;          ///< grows with every message of a node's run; older ones are ignored
  std::uint64_t boot = 0;              ///< grows with every start of the node
  std::string agent;
  std::string engine;
  Cid policy;
  std::uint32_t cores = 1;
  std::uint64_t memory_mb = 0;         ///< that one task may have
  std::uint64_t gpu_flops = 0;
  std::vector<std::string> gpus;       ///< detected, for people; at most 16
  std::uint64_t fuel_per_second = 0;   ///< measured, one core
  std::uint32_t running = 0;           ///< executions
  std::uint32_t queued = 0;
  bool accepts_work = true;
  std::vector<std::string> services;   ///< at most 32

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("sequence", self.sequence);
    v("boot", self.boot);
    v("agent", self.agent);
    v("engine", self.engine);
    v("policy", self.policy);
    v("cores", self.cores);
    v("memory_mb", self.memory_mb);
    v("gpu_flops", self.gpu_flops);
    v("gpus", self.gpus);
    v("fuel_per_second", self.fuel_per_second);
    v("running", self.running);
    v("queued", self.queued);
    v("accepts_work", self.accepts_work);
    v("services", self.services);
  }
};

}  // namespace mesh::node
