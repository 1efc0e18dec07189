// TableDraft: a table as it would be after the transactions so far, over the committed one, which it leaves alone.
//
// Bounds: it holds what one block asked for. Keys are chosen by anyone, so the hash by which they are found is keyed with the
// node's own secret, and entries stand in the order in which they were asked for.
#pragma once

#include <deque>

#include "domain/ledger/merkle_map.h"

namespace mesh::ledger {

template <Entry Value>
class TableDraft {
 public:
  using Key = typename Value::Key;
  using Map = MerkleMap<Value>;

  TableDraft(const Map& base, const Digest& seed) : base_(base), size_(base.size()), hash_(seed), index_(64, empty) {}

  [[nodiscard]] std::size_t size() const { return size_; }

  /// Null if there is none. Good until the entry is changed.
  [[nodiscard]] const Value* find(const Key& key) { return slot(key).now(); }

  /// The entry, to be changed; it is there.
  [[nodiscard]] Value& edit(const Key& key) {
    Slot& found = slot(key);
    MESH_CHECK(found.now() != nullptr, "ledger-edit-of-nothing");
    if (!found.changed) {
      found.value.emplace(*found.base);
      found.changed = true;
    }
    return *found.value;
  }

  /// Puts an entry in, in the place of the one that is there, if any.
  Value& put(Value value) {
    Slot& found = slot(value.key());
    if (found.now() == nullptr) ++size_;
    found.value.emplace(std::move(value));
    found.changed = true;
    return *found.value;
  }

  /// Takes out the entry, which is there.
  void erase(const Key& key) {
    Slot& found = slot(key);
    MESH_CHECK(found.now() != nullptr, "ledger-erase-of-nothing");
    --size_;
    found.value.reset();
    found.changed = true;
  }

  /// `visit(before, after)` for each entry that was changed, either of which is null where there is none.
  template <class Visit>
  void for_each_change(const Visit& visit) const {
    for (const Slot& one : slots_) {
      if (one.changed) visit(one.base, one.now());
    }
  }

  [[nodiscard]] typename Map::Patch finish() const {
    std::vector<typename Map::Change> changes;
    for (const Slot& one : slots_) {
      if (one.changed) changes.push_back({Value::place_of(one.key), one.key, one.now()});
    }
    // Sorted by the first eight bytes: a comparison of numbers decides nearly always.
    struct Sorted {
      std::uint64_t prefix;
      std::uint32_t at;
    };
    std::vector<Sorted> order;
    order.reserve(changes.size());
    for (std::uint32_t i = 0; i < changes.size(); ++i) order.push_back({prefix_of(changes[i].place), i});
    std::ranges::sort(order, [&](const Sorted& a, const Sorted& b) {
      return a.prefix != b.prefix ? a.prefix < b.prefix : changes[a.at].place < changes[b.at].place;
    });
    std::vector<typename Map::Change> sorted;
    sorted.reserve(changes.size());
    for (const Sorted& one : order) sorted.push_back(changes[one.at]);
    return base_.draft(sorted);
  }

 private:
  struct Slot {
    Key key;
    const Value* base = nullptr;  ///< as committed
    std::optional<Value> value;
    bool changed = false;
    [[nodiscard]] const Value* now() const {
      if (!changed) return base;
      return value ? &*value : nullptr;
    }
  };
  static constexpr std::uint32_t empty = ~std::uint32_t{0};

  static std::uint64_t prefix_of(const Digest& place) {
    std::uint64_t prefix = 0;
    for (std::size_t i = 0; i < sizeof prefix; ++i) prefix = prefix << 8 | place.data()[i];
    return prefix;
  }

  [[nodiscard]] std::size_t home_of(const Key& key) const { return hash_(key) & (index_.size() - 1); }

  /// What is known of `key`; asked of the base if it was not asked for before.
  Slot& slot(const Key& key) {
    std::size_t at = home_of(key);
    for (; index_[at] != empty; at = (at + 1) & (index_.size() - 1)) {
      if (slots_[index_[at]].key == key) return slots_[index_[at]];
    }
    index_[at] = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back({key, base_.find(key), std::nullopt, false});
    if (slots_.size() * 2 > index_.size()) grow();
    return slots_.back();
  }

  void grow() {
    index_.assign(index_.size() * 4, empty);
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      std::size_t at = home_of(slots_[i].key);
      while (index_[at] != empty) at = (at + 1) & (index_.size() - 1);
      index_[at] = i;
    }
  }

  const Map& base_;
  std::size_t size_;
  SeededHash hash_;
  std::deque<Slot> slots_;  // References to its elements hold.
  std::vector<std::uint32_t> index_;
};

}  // namespace mesh::ledger
