// MerkleMap: an authenticated map. Its root (merkle_proof.h says how it comes about) depends on the entries alone, and every
// entry, or the lack of one, can be proven against it.
//
// A block is executed before it is final, so changes are first a Patch: the new root, and the nodes that would take the place
// of old ones. Drafting a patch touches nothing that is committed; there can be many from one base, of which one is committed
// and the others are dropped. It costs a hash for every node on the paths to what changes, each node once however many
// changes lie below it.
//
// Bounds: 2^30 - 1 entries. Nodes and values lie in arenas and are named by 32-bit indices. An entry costs its value, 104
// bytes of nodes on average (1.44 inner nodes of 72 bytes for random places) and 8 to 16 of the index. Places are hashes, so paths are about
// log2(entries) + 1 long. Who looks for keys whose places begin alike makes one path longer by what it finds: two keys of its
// own with k bits in common cost 2^(k/2) hashes, one with k bits of a given other 2^k. 2^80 hashes for the former reach 160
// steps of at most 256, a dozen microseconds for each use of those two keys, and nothing for anybody else's.
#pragma once

#include <bit>
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

/// A hash of 32 bytes or more for tables that are thrown away or rebuilt, and never shown: of the first 32 bytes, under a seed.
[[nodiscard]] inline std::size_t mixed_hash(ByteView bytes, const std::array<std::uint64_t, 4>& seed) {
  std::array<std::uint64_t, 4> words{};
  std::memcpy(words.data(), bytes.data(), sizeof words);
  __extension__ using Wide = unsigned __int128;
  const auto folded = [](std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
  };
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // So that zeros do not meet zeros.
  return static_cast<std::size_t>(folded(words[0] ^ seed[0] ^ odd, words[1] ^ seed[1]) ^
                                  folded(words[2] ^ seed[2] ^ odd, words[3] ^ seed[3]));
}

/// The same for containers: of public keys, digests, and what is named by a digest. Nobody can choose keys that are found slowly
/// under a seed that he does not know.
class SeededHash {
 public:
  explicit SeededHash(const Digest& seed = {}) { std::memcpy(seed_.data(), seed.data(), sizeof seed_); }
  template <class Tag>
  std::size_t operator()(const FixedBytes<Tag, 32>& key) const {
    return mixed_hash(key.view(), seed_);
  }
  std::size_t operator()(const Cid& cid) const { return (*this)(cid.digest()); }

 private:
  std::array<std::uint64_t, 4> seed_{};
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
  [[nodiscard]] T& operator[](std::uint32_t at) { return chunks_[at / chunk_size][at % chunk_size]; }
  void remove(std::uint32_t at) {
    if constexpr (!std::is_trivially_destructible_v<T>) (*this)[at] = T{};
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

/// Where the values of a map lie, found by key without a walk through the tree. Only a help: a key that does not find room
/// near its place is left out, and whoever looks for it walks. So keys that were made to fall together cost their owner's
/// lookups the walk and nobody else's.
template <class Key>
class KeyIndex {
 public:
  enum class Answer : std::uint8_t { here, not_here, walk };

  /// Asks `is(at)` of those that may be `key`, until it says true.
  template <std::predicate<std::uint32_t> Is>
  [[nodiscard]] Answer find(const Key& key, const Is& is) const {
    if (slots_.empty()) return Answer::not_here;
    std::size_t at = home_of(key);
    for (std::size_t probe = 0; probe < max_probes; ++probe, at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == empty) return Answer::not_here;
      if (slots_[at] != gone && is(slots_[at])) return Answer::here;
    }
    return Answer::walk;
  }
  /// `key_at(at)` is the key of what lies there.
  template <class KeyAt>
  void add(const Key& key, std::uint32_t value, const KeyAt& key_at) {
    if ((used_ + 1) * 2 > slots_.size()) rebuild(key_at);
    put(key, value);
  }
  void remove(const Key& key, std::uint32_t value) {
    std::size_t at = home_of(key);
    for (std::size_t probe = 0; probe < max_probes; ++probe, at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] != value) continue;
      slots_[at] = gone;  // And not empty: others may lie behind it, or be left out because it was here.
      --live_;
      return;
    }
    std::erase(left_out_, value);
  }
  [[nodiscard]] std::size_t bytes() const { return (slots_.capacity() + left_out_.capacity()) * sizeof(std::uint32_t); }

 private:
  static constexpr std::uint32_t empty = ~std::uint32_t{0};
  static constexpr std::uint32_t gone = empty - 1;
  static constexpr std::size_t max_probes = 32;

  [[nodiscard]] std::size_t home_of(const Key& key) const { return mixed_hash(key.view(), {}) & (slots_.size() - 1); }

  void put(const Key& key, std::uint32_t value) {
    std::size_t at = home_of(key);
    for (std::size_t probe = 0; probe < max_probes; ++probe, at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] != empty && slots_[at] != gone) continue;
      if (slots_[at] == empty) ++used_;
      ++live_;
      slots_[at] = value;
      return;
    }
    left_out_.push_back(value);
  }
  template <class KeyAt>
  void rebuild(const KeyAt& key_at) {
    std::vector<std::uint32_t> old(std::bit_ceil(std::max<std::size_t>(64, live_ * 4)), empty);
    old.swap(slots_);
    std::erase_if(old, [](std::uint32_t value) { return value == empty || value == gone; });
    old.insert(old.end(), left_out_.begin(), left_out_.end());
    left_out_.clear();
    used_ = 0;
    live_ = 0;
    for (const std::uint32_t value : old) put(key_at(value), value);
  }

  std::vector<std::uint32_t> slots_;
  std::size_t used_ = 0;  ///< slots that are not empty
  std::size_t live_ = 0;  ///< of these, those that name a value
  std::vector<std::uint32_t> left_out_;
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
  [[nodiscard]] std::size_t bytes() const { return inners_.bytes() + values_.bytes() + index_.bytes(); }

  [[nodiscard]] const Value* find(const Key& key) const {
    const Value* found = nullptr;
    const auto is = [&](std::uint32_t at) {
      found = &values_[at];
      return found->key() == key;
    };
    switch (index_.find(key, is)) {
      case KeyIndex<Key>::Answer::here:
        return found;
      case KeyIndex<Key>::Answer::not_here:
        return nullptr;
      case KeyIndex<Key>::Answer::walk:
        break;
    }
    const Digest place = Value::place_of(key);
    Ref at = root_.ref;
    for (std::size_t depth = 0; is_inner(at); ++depth)
      at = inners_[index_of(at)].child[goes_right(place, depth) ? 1 : 0];
    if (at == nothing) return nullptr;
    found = &values_[index_of(at)];
    return found->key() == key ? found : nullptr;
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
  void visit(Visit visit, const Digest& from = {}) const {
    walk(root_.ref, 0, &from, visit);
  }

  /// The patch that makes these changes. `changes` are in the order of their places, each of which is there once; to take away
  /// what is not there changes nothing.
  [[nodiscard]] Patch draft(std::span<const Change> changes) const {
    Patch patch;
    patch.revision_ = revision_;
    patch.size_ = size_;
    if (!changes.empty()) {
      // About what random places need: all of the upper levels, and of each path what is its own.
      patch.inners_.reserve(changes.size() * (static_cast<std::size_t>(std::bit_width(size_ / changes.size())) + 2));
      patch.values_.reserve(changes.size());
    }
    patch.root_ = apply(patch, root_, 0, changes);
    MESH_CHECK(patch.size_ <= max_entries, "merkle-map-full");
    return patch;
  }

  /// Makes the patch's changes; it was drafted from what is committed now.
  void commit(Patch&& patch) {
    MESH_CHECK(patch.revision_ == revision_, "merkle-map-patch-of-another-base");
    for (const std::uint32_t at : patch.dropped_inners_) inners_.remove(at);
    for (const std::uint32_t at : patch.dropped_values_) {
      index_.remove(values_[at].key(), at);
      values_.remove(at);
    }
    std::vector<std::uint32_t> value_at;
    value_at.reserve(patch.values_.size());
    for (auto& [value, replaced] : patch.values_) {
      if (replaced != nothing) {
        values_[replaced] = std::move(value);
        value_at.push_back(replaced);
        continue;
      }
      const std::uint32_t at = values_.add(std::move(value));
      index_.add(values_[at].key(), at, [&](std::uint32_t other) -> const Key& { return values_[other].key(); });
      value_at.push_back(at);
    }
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
  static constexpr std::size_t fetched_together = 16;
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
    /// `visit(value)` for every entry that it puts in, as it will be; what it takes away is not told.
    template <class Visit>
    void for_each_put(const Visit& visit) const {
      for (const Drafted& one : values_) visit(one.value);
    }

   private:
    friend class MerkleMap;
    std::uint64_t revision_ = 0;
    std::size_t size_ = 0;
    Tree root_;
    std::vector<Inner> inners_;
    struct Drafted {
      Value value;
      std::uint32_t replaced = nothing;  ///< where the entry's value so far lies; it takes its place
    };
    std::vector<Drafted> values_;
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
  Tree apply(Patch& patch, const Tree& tree, std::size_t depth, std::span<const Change> changes,
             bool fetched = false) const {
    if (changes.empty()) return tree;
    if (is_inner(tree.ref)) {
      const Inner& inner = inners_[index_of(tree.ref)];
      const std::size_t middle = first_right(changes, depth);
      if (!fetched && changes.size() <= fetched_together) {
        fetch_ahead(tree.ref, depth, changes);
        fetched = true;
      }
      const Tree left = apply(patch, {inner.child[0], inner.hash[0]}, depth + 1, changes.first(middle), fetched);
      const Tree right = apply(patch, {inner.child[1], inner.hash[1]}, depth + 1, changes.subspan(middle), fetched);
      if (left.ref == inner.child[0] && right.ref == inner.child[1]) return tree;
      patch.dropped_inners_.push_back(index_of(tree.ref));
      return join(patch, left, right);
    }
    const Value* old = tree.ref == nothing ? nullptr : &values_[index_of(tree.ref)];
    if (old != nullptr && changes.size() == 1 && changes[0].key == old->key())  // By far the most frequent.
      return replace(patch, tree.ref, changes[0]);
    std::vector<Leaf> leaves;
    bool kept = old != nullptr;
    for (const Change& change : changes) {
      const bool is_old = old != nullptr && change.key == old->key();
      if (is_old) kept = false;
      const Tree leaf = replace(patch, is_old ? tree.ref : nothing, change);
      if (leaf.ref != nothing) leaves.push_back({change.place, leaf});
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

  /// The leaf that the change makes of the one at `old`, where there is one.
  static Tree replace(Patch& patch, Ref old, const Change& change) {
    if (change.value == nullptr) {
      if (old == nothing) return {};
      patch.dropped_values_.push_back(index_of(old));
      --patch.size_;
      return {};
    }
    if (old == nothing) ++patch.size_;
    patch.values_.push_back({*change.value, old == nothing ? nothing : index_of(old)});
    return {leaf_bit | drafted_bit | static_cast<Ref>(patch.values_.size() - 1),
            leaf_hash(change.place, change.value->digest())};
  }

  /// Asks the memory for all that apply() will look at below `ref`, level by level for a handful of changes at a time: one
  /// after the other they would each wait at every level. Inlined, since g++ takes away calls of what does nothing else.
  [[gnu::always_inline]] void fetch_ahead(Ref ref, std::size_t depth, std::span<const Change> changes) const {
    std::array<Ref, fetched_together> at;
    std::ranges::fill(at, ref);
    for (bool more = true; more; ++depth) {
      more = false;
      for (std::size_t i = 0; i < changes.size(); ++i) {
        if (!is_inner(at[i])) continue;
        at[i] = inners_[index_of(at[i])].child[goes_right(changes[i].place, depth) ? 1 : 0];
        if (is_inner(at[i])) {
          const Inner* inner = &inners_[index_of(at[i])];
          __builtin_prefetch(inner);
          __builtin_prefetch(inner->hash.data() + 1);
          more = true;
        } else if (at[i] != nothing) {
          const Value* value = &values_[index_of(at[i])];
          __builtin_prefetch(value);
          __builtin_prefetch(&value->key());
        }
      }
    }
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
  KeyIndex<Key> index_;
  Tree root_;
  std::size_t size_ = 0;
  std::uint64_t revision_ = 0;
};

}  // namespace mesh::ledger
