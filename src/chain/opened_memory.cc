#include "chain/opened_memory.h"

#include <algorithm>

namespace mesh::chain {

const ledger::Opened* OpenedMemory::find(const Digest& envelope) const {
  if (sets_.empty()) return nullptr;
  for (const Place& place : sets_[set_of(envelope)]) {
    if (place.opened && place.envelope == envelope) return &*place.opened;
  }
  return nullptr;
}

void OpenedMemory::remember(const Digest& envelope, const ledger::Opened& opened) {
  if (find(envelope) != nullptr) return;
  if (bytes_ + opened->envelope.size() > max_bytes) {
    sets_.clear();
    bytes_ = 0;
  }
  if (sets_.empty()) sets_.resize(sets);
  Set& set = sets_[set_of(envelope)];
  Place& oldest = set.back();
  if (oldest.opened) bytes_ -= (*oldest.opened)->envelope.size();
  oldest = {envelope, opened};
  std::ranges::rotate(set, std::prev(set.end()));
  bytes_ += opened->envelope.size();
}

}  // namespace mesh::chain
