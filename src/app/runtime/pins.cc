#include "app/runtime/pins.h"

namespace mesh::app {

namespace {

constexpr std::string_view pin_prefix = "pin/";

std::string pin_key(const Cid& root) { return std::string(pin_prefix) + root.text(); }

}  // namespace

Result<std::unique_ptr<Pins>> Pins::open(store::NodeStore& store) {
  std::unique_ptr<Pins> pins(new Pins(store));
  MESH_LET(const auto known, store.scan(pin_prefix, max_pins));
  for (const auto& [key, bytes] : known) {
    MESH_LET(Pin pin, record::decode<Pin>(bytes));
    const Cid root = pin.root;
    pins->pins_.emplace(root, std::move(pin));
  }
  return pins;
}

void Pins::pin(Pin pin, store::NodeStore::Completion done) {
  if (pin.path.size() > max_path_bytes) pin.path.clear();
  store::WriteBatch batch;
  {
    const std::lock_guard guard(mutex_);
    if (!pins_.contains(pin.root) && pins_.size() >= max_pins) {
      return done(
          fail(ErrorCode::exhausted, "there are " + std::to_string(max_pins) + " pins already: unpin something"));
    }
    const Pin& kept = pins_.emplace(pin.root, pin).first->second;
    batch.put.emplace_back(pin_key(kept.root), record::encode(kept));
  }
  store_.commit(std::move(batch), std::move(done));
}

void Pins::unpin(const Cid& root, store::NodeStore::Completion done) {
  {
    const std::lock_guard guard(mutex_);
    if (pins_.erase(root) == 0) return done(fail(ErrorCode::not_found, root.text() + " is not pinned"));
  }
  store::WriteBatch batch;
  batch.erase.push_back(pin_key(root));
  store_.commit(std::move(batch), std::move(done));
}

bool Pins::is_pinned(const Cid& root) const {
  const std::lock_guard guard(mutex_);
  return pins_.contains(root);
}

std::vector<Pins::Pin> Pins::list() const {
  const std::lock_guard guard(mutex_);
  std::vector<Pin> all;
  all.reserve(pins_.size());
  for (const auto& [root, pin] : pins_) all.push_back(pin);
  return all;
}

}  // namespace mesh::app
