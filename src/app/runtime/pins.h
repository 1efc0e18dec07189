// Content that its owner wants to keep: neither the collection of garbage nor the quota of what was fetched takes it. A pin
// shows nothing to anybody: what is served is what is declared or shared.
//
// Bounds: max_pins. What can go wrong: the disk; a pin holds from the call on, and the completion says when it is written.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "adapters/store/node_store.h"
#include "codec/record.h"

namespace mesh::app {

class Pins {
 public:
  static constexpr std::size_t max_pins = 16'384;
  static constexpr std::size_t max_path_bytes = 1024;

  struct Pin {
    static constexpr std::string_view type = "pin";
    static constexpr std::uint64_t version = 1;

    Cid root;
    std::string path;  ///< that it had when it was pinned, for people; empty if it had none, or one past max_path_bytes
    std::uint64_t since_ms = 0;  ///< since 1970

    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("root", self.root);
      v("path", self.path);
      v("since", self.since_ms);
    }
  };

  /// `store` must outlive this object. Errors: storage.
  [[nodiscard]] static Result<std::unique_ptr<Pins>> open(store::NodeStore& store);

  /// One that is there already is no error. Errors: exhausted (max_pins), storage. The completion comes on the caller's thread or
  /// on the store's.
  void pin(Pin pin, store::NodeStore::Completion done);
  /// Errors: not_found, storage.
  void unpin(const Cid& root, store::NodeStore::Completion done);
  [[nodiscard]] bool is_pinned(const Cid& root) const;
  /// By CID.
  [[nodiscard]] std::vector<Pin> list() const;

 private:
  explicit Pins(store::NodeStore& store) : store_(store) {}

  store::NodeStore& store_;
  mutable std::mutex mutex_;
  std::map<Cid, Pin> pins_;
};

}  // namespace mesh::app
