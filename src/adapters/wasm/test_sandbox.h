// For the tests of this folder: a sandbox with a cache folder of its own, and jobs from text.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "adapters/wasm/sandbox.h"
#include "base/check.h"

namespace mesh::wasm {

/// A sandbox whose cache is a new folder, gone with it.
class TestSandbox {
 public:
  explicit TestSandbox(const std::function<void(Config&)>& change = {}) {
    std::string name = (std::filesystem::temp_directory_path() / "mesh-wasm-XXXXXX").string();
    MESH_CHECK(mkdtemp(name.data()) != nullptr, "test-folder");
    own_folder_ = name;
    Config config;
    config.cache_folder = own_folder_;
    if (change) change(config);
    folder_ = config.cache_folder;
    auto made = Sandbox::create(config);
    MESH_CHECK(made.has_value(), "test-sandbox");
    sandbox_ = std::move(*made);
  }
  ~TestSandbox() {
    sandbox_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(own_folder_, ignored);
  }
  TestSandbox(const TestSandbox&) = delete;
  TestSandbox& operator=(const TestSandbox&) = delete;

  Sandbox* operator->() const { return sandbox_.get(); }
  Sandbox& operator*() const { return *sandbox_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  std::string own_folder_, folder_;
  std::unique_ptr<Sandbox> sandbox_;
};

/// One for all tests of the process that need nothing special.
inline Sandbox& shared_sandbox() {
  static const TestSandbox sandbox;
  return *sandbox;
}

inline std::shared_ptr<const Bytes> shared(std::string_view text) {
  return std::make_shared<const Bytes>(to_bytes(text));
}

inline Job job_of(Bytes module) {
  Job job;
  job.module = Cid::of(Multicodec::raw, module);
  job.load_module = [bytes = std::make_shared<const Bytes>(
                         std::move(module))]() -> Result<std::shared_ptr<const Bytes>> { return bytes; };
  job.entropy_key = sha256(as_bytes("a key"));
  job.limits.fuel = 1'000'000'000;
  return job;
}

inline Job job_of(std::string_view wat) {
  auto module = wat_to_wasm(wat);
  MESH_CHECK(module.has_value(), "test-wat");
  return job_of(std::move(*module));
}

}  // namespace mesh::wasm
