// A sandbox whose compiled code lies in a new folder, gone with it.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "adapters/wasm/sandbox.h"
#include "base/check.h"

namespace mesh::bench {

class TemporarySandbox {
 public:
  explicit TemporarySandbox(unsigned threads = 0) {
    MESH_CHECK(mkdtemp(folder_.data()) != nullptr, "bench-folder");
    wasm::Config config;
    config.cache_folder = folder_;
    config.threads = threads;
    auto sandbox = wasm::Sandbox::create(config);
    MESH_CHECK(sandbox.has_value(), "bench-sandbox");
    sandbox_ = std::move(*sandbox);
  }
  ~TemporarySandbox() {
    sandbox_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  TemporarySandbox(const TemporarySandbox&) = delete;
  TemporarySandbox& operator=(const TemporarySandbox&) = delete;
  wasm::Sandbox* operator->() const { return sandbox_.get(); }

 private:
  std::string folder_ = (std::filesystem::temp_directory_path() / "mesh-bench-XXXXXX").string();
  std::unique_ptr<wasm::Sandbox> sandbox_;
};

/// A run of `wasm` that takes the module from memory.
inline wasm::Job job_of(const std::shared_ptr<const Bytes>& wasm) {
  wasm::Job job;
  job.module = Cid::of(Multicodec::raw, *wasm);
  job.load_module = [wasm]() -> Result<std::shared_ptr<const Bytes>> { return wasm; };
  return job;
}

}  // namespace mesh::bench
