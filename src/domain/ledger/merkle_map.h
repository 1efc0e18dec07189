// MerkleMap: an authenticated map. Its root (merkle_proof.h says how it comes about) depends on the entries alone, and every
// entry, or the lack of one, can be proven against it.
//
// A block is executed before it is final, so changes are first a Patch: the new root, and the nodes that would take the place
// of old ones. Drafting a patch touches nothing that is committed; there can be many from one base, of which one is committed
// and the others are dropped. It costs a hash for every node on the paths to what changes, each node once however many
// changes lie below it.
//
// Bounds: 2^30 - 1 entries. Nodes and values lie in arenas and are named by 32-bit indices. An entry costs its value and 104
// bytes of nodes on average (1.44 inner nodes of 72 bytes for random places). Places are hashes, so paths are about
// log2(entries) + 1 long. Who looks for keys whose places begin alike makes one path longer by what it finds: two keys of its
// own with k bits in common cost 2^(k/2) hashes, one with k bits of a given other 2^k. 2^80 hashes for the former reach 160
// steps of at most 256, a dozen microseconds for each use of those two keys, and nothing for anybody else's.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "domain/ledger/merkle_proof.h"

namespace mesh::ledger {

/// What a MerkleMap holds: values that know their key.
template <class T>
concept Entry = requires(const T& value, const typename T::Key& key) {
  { value.key() } -> std::convertible_to<const typename T::Key&>;
  { T::place_of(key) } -> std::same_as<Digest>;
  { value.digest() } -> std::same_as<Digest>;
};

/// Elements that are named by an index and never move, in chunks. Indices of removed ones are given out again.
template <class T>
class Arena {
 public:
  [[nodiscard]] const T& operator[](std::uint32_t at) const { return chunks_[at / chunk_size][at % chunk_size]; }

  std::uint32_t add(T value) {
    std::uint32_t at = used_;
    if (free_.empty()) {
      if (used_ % chunk_size == 0) chunks_.push_back(std::make_unique<T[]>(chunk_size));
      ++used_;
    } else {
      at = free_.back();
      free_.pop_back();
    }
    chunks_[at / chunk_size][at % chunk_size] = std::move(value);
    return at;
  }
  void remove(std::uint32_t at) {
    chunks_[at / chunk_size][at % chunk_size] = T{};
    free_.push_back(at);
  }
  [[nodiscard]] std::size_t bytes() const {
    return chunks_.size() * (chunk_size * sizeof(T) + sizeof(void*)) + free_.capacity() * sizeof(std::uint32_t);
  }

 private:
  static constexpr std::uint32_t chunk_size = 1024;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t used_ = 0;
};

template <Entry Value>
class MerkleMap {
 public:
  using Key = typename Value::Key;
  static constexpr std::size_t max_entries = (std::size_t{1} << 30) - 1;

  /// One entry that is to be `value`, or, with none, is to go.
  struct Change {
    Digest place;
    Key key;
    const Value* value = nullptr;
  };

  class Patch;

  [[nodiscard]] const Digest& root() const { return root_.hash; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// What is allocated, values' own allocations left out.
  [[nodiscard]] std::size_t bytes() const { return inners_.bytes() + values_.bytes(); }

  [[nodiscard]] const Value* find(const Key& key) const { return find(key, Value::place_of(key)); }
  /// `place` is that of `key`, for who has it already.
  [[nodiscard]] const Value* find(const Key& key, const Digest& place) const {
    Ref at = root_.ref;
    for (std::size_t depth = 0; is_inner(at); ++depth)
      at = inners_[index_of(at)].child[goes_right(place, depth) ? 1 : 0];
    if (at == nothing) return nullptr;
    const Value& value = values_[index_of(at)];
    return value.key() == key ? &value : nullptr;
  }

  /// What shows that `key` has the value that it has here, or has none.
  [[nodiscard]] MapProof prove(const Key& key) const {
    const Digest place = Value::place_of(key);
    MapProof proof;
    Ref at = root_.ref;
    while (is_inner(at)) {
      const Inner& inner = inners_[index_of(at)];
      const std::size_t side = goes_right(place, proof.beside.size()) ? 1 : 0;
      proof.beside.push_back(inner.hash[1 - side]);
      at = inner.child[side];
    }
    if (at != nothing) {
      const Value& value = values_[index_of(at)];
      proof.end = MapProof::End{Value::place_of(value.key()), value.digest()};
    }
    return proof;
  }

  /// `visit(value)` for every entry from the place `from` on, in the order of places, until it says false.
  template <std::predicate<const Value&> Visit>
  void visit(Visit&& visit, const Digest& from = {}) const {
    walk(root_.ref, 0, &from, visit);
  }

  /// The patch that makes these changes. `changes` are in the order of their places, each of which is there once; to take away
  /// what is not there changes nothing.
  [[nodiscard]] Patch draft(std::span<const Change> changes) const {
    Patch patch;
    patch.revision_ = revision_;
    patch.size_ = size_;
    patch.root_ = apply(patch, root_, 0, changes);
    MESH_CHECK(patch.size_ <= max_entries, "merkle-map-full");
    return patch;
  }

  /// Makes the patch's changes; it was drafted from what is committed now.
  void commit(Patch&& patch) {
    MESH_CHECK(patch.revision_ == revision_, "merkle-map-patch-of-another-base");
    for (const std::uint32_t at : patch.dropped_inners_) inners_.remove(at);
    for (const std::uint32_t at : patch.dropped_values_) values_.remove(at);
    std::vector<std::uint32_t> value_at;
    value_at.reserve(patch.values_.size());
    for (Value& value : patch.values_) value_at.push_back(values_.add(std::move(value)));
    std::vector<std::uint32_t> inner_at;
    inner_at.reserve(patch.inners_.size());
    const auto placed = [&](Ref ref) {
      if (ref == nothing || (ref & drafted_bit) == 0) return ref;
      return is_inner(ref) ? inner_at[index_of(ref)] : leaf_bit | value_at[index_of(ref)];
    };
    for (Inner& inner : patch.inners_) {  // Each comes after its children.
      for (Ref& child : inner.child) child = placed(child);
      inner_at.push_back(inners_.add(inner));
    }
    root_ = {placed(patch.root_.ref), patch.root_.hash};
    size_ = patch.size_;
    ++revision_;
  }

 private:
  /// An index and what it is of: an inner node or a value, in the arenas or in a patch.
  using Ref = std::uint32_t;
  static constexpr Ref leaf_bit = Ref{1} << 31;
  static constexpr Ref drafted_bit = Ref{1} << 30;
  static constexpr Ref nothing = ~Ref{0};
  [[nodiscard]] static bool is_inner(Ref ref) { return (ref & leaf_bit) == 0; }
  [[nodiscard]] static std::uint32_t index_of(Ref ref) { return ref & ~(leaf_bit | drafted_bit); }

  /// The children's hashes lie here and not with the children, so that a path is hashed without a look at what is beside it.
  struct Inner {
    std::array<Ref, 2> child{nothing, nothing};
    std::array<Digest, 2> hash;
  };
  struct Tree {
    Ref ref = nothing;
    Digest hash = empty_root;
  };
  /// A leaf that is to be built in, with its place.
  struct Leaf {
    Digest place;
    Tree tree;
  };

 public:
  /// What a commit would do. Knows the root that it leads to.
  class Patch {
   public:
    [[nodiscard]] const Digest& root() const { return root_.hash; }
    [[nodiscard]] std::size_t size() const { return size_; }

   private:
    friend class MerkleMap;
    std::uint64_t revision_ = 0;
    std::size_t size_ = 0;
    Tree root_;
    std::vector<Inner> inners_;
    std::vector<Value> values_;
    std::vector<std::uint32_t> dropped_inners_;
    std::vector<std::uint32_t> dropped_values_;
  };

 private:
  static std::size_t first_right(std::span<const Change> changes, std::size_t depth) {
    return static_cast<std::size_t>(
        std::ranges::partition_point(changes, [&](const Change& one) { return !goes_right(one.place, depth); }) -
        changes.begin());
  }

  /// `tree`, which lies `depth` levels below the root, with the changes made.
  Tree apply(Patch& patch, const Tree& tree, std::size_t depth, std::span<const Change> changes) const {
    if (changes.empty()) return tree;
    if (is_inner(tree.ref)) {
      const Inner& inner = inners_[index_of(tree.ref)];
      const std::size_t middle = first_right(changes, depth);
      const Tree left = apply(patch, {inner.child[0], inner.hash[0]}, depth + 1, changes.first(middle));
      const Tree right = apply(patch, {inner.child[1], inner.hash[1]}, depth + 1, changes.subspan(middle));
      if (left.ref == inner.child[0] && right.ref == inner.child[1]) return tree;
      patch.dropped_inners_.push_back(index_of(tree.ref));
      return join(patch, left, right);
    }
    const Value* old = tree.ref == nothing ? nullptr : &values_[index_of(tree.ref)];
    if (old != nullptr && changes.size() == 1 && changes[0].key == old->key()) {  // By far the most frequent.
      drop(patch, tree.ref);
      return changes[0].value == nullptr ? Tree{} : add(patch, changes[0]);
    }
    std::vector<Leaf> leaves;
    bool kept = old != nullptr;
    for (const Change& change : changes) {
      if (old != nullptr && change.key == old->key()) {
        drop(patch, tree.ref);
        kept = false;
      }
      if (change.value != nullptr) leaves.push_back({change.place, add(patch, change)});
    }
    if (kept) {
      const Digest place = Value::place_of(old->key());
      leaves.insert(std::ranges::lower_bound(leaves, place, {}, &Leaf::place), Leaf{place, tree});
    }
    return build(patch, depth, leaves);
  }

  Tree build(Patch& patch, std::size_t depth, std::span<const Leaf> leaves) const {
    if (leaves.empty()) return {};
    if (leaves.size() == 1) return leaves[0].tree;
    const auto middle =
        std::ranges::partition_point(leaves, [&](const Leaf& leaf) { return !goes_right(leaf.place, depth); });
    const auto count = static_cast<std::size_t>(middle - leaves.begin());
    const Tree left = build(patch, depth + 1, leaves.first(count));
    const Tree right = build(patch, depth + 1, leaves.subspan(count));
    return join(patch, left, right);
  }

  static Tree join(Patch& patch, const Tree& left, const Tree& right) {
    if (right.ref == nothing && !is_inner(left.ref)) return left;
    if (left.ref == nothing && !is_inner(right.ref)) return right;
    patch.inners_.push_back({{left.ref, right.ref}, {left.hash, right.hash}});
    return {drafted_bit | static_cast<Ref>(patch.inners_.size() - 1), inner_hash(left.hash, right.hash)};
  }

  static Tree add(Patch& patch, const Change& change) {
    patch.values_.push_back(*change.value);
    ++patch.size_;
    return {leaf_bit | drafted_bit | static_cast<Ref>(patch.values_.size() - 1),
            leaf_hash(change.place, change.value->digest())};
  }

  static void drop(Patch& patch, Ref ref) {
    patch.dropped_values_.push_back(index_of(ref));
    --patch.size_;
  }

  /// `from` is null where all of the tree lies behind it. False once `visit` has said false.
  template <class Visit>
  bool walk(Ref at, std::size_t depth, const Digest* from, Visit& visit) const {
    if (at == nothing) return true;
    if (!is_inner(at)) {
      const Value& value = values_[index_of(at)];
      return (from != nullptr && Value::place_of(value.key()) < *from) || visit(value);
    }
    const Inner& inner = inners_[index_of(at)];
    const bool right_alone = from != nullptr && goes_right(*from, depth);
    if (!right_alone && !walk(inner.child[0], depth + 1, from, visit)) return false;
    return walk(inner.child[1], depth + 1, right_alone ? from : nullptr, visit);
  }

  Arena<Inner> inners_;
  Arena<Value> values_;
  Tree root_;
  std::size_t size_ = 0;
  std::uint64_t revision_ = 0;
};

}  // namespace mesh::ledger
