// The Merkle map against a few lines written from the header's words, against vectors that came from elsewhere
// (tests/fixtures/ledger), through random histories; drafts that are dropped; proofs, forged ones too.
#include "domain/ledger/merkle_map.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

namespace mesh::ledger {
namespace {

/// An entry whose place is its key, so that a test can say where it lies.
struct Thing {
  using Key = Digest;
  Digest place;
  Digest value;
  [[nodiscard]] const Digest& key() const { return place; }
  [[nodiscard]] static Digest place_of(const Digest& key) { return key; }
  [[nodiscard]] Digest digest() const { return value; }
};
using Map = MerkleMap<Thing>;
using Plain = std::map<Digest, Digest>;

Digest number(std::string_view what, std::uint64_t n) { return sha256({as_bytes(what), big_endian(n)}); }
Digest near(std::uint8_t last) {
  Digest place;
  place.data()[31] = last;
  return place;
}

/// The root by its definition.
Digest plain_root(const std::vector<std::pair<Digest, Digest>>& entries, std::size_t depth = 0) {
  static constexpr std::uint8_t zero = 0;
  static constexpr std::uint8_t one = 1;
  if (entries.empty()) return {};
  if (entries.size() == 1) return sha256({ByteView(&zero, 1), entries[0].first.view(), entries[0].second.view()});
  std::vector<std::pair<Digest, Digest>> sides[2];
  for (const auto& entry : entries) sides[entry.first.view()[depth / 8] >> (7 - depth % 8) & 1].push_back(entry);
  return sha256({ByteView(&one, 1), plain_root(sides[0], depth + 1).view(), plain_root(sides[1], depth + 1).view()});
}
Digest plain_root(const Plain& plain) {
  return plain_root(std::vector<std::pair<Digest, Digest>>(plain.begin(), plain.end()));
}

/// Changes by place; none takes the entry away.
using Changes = std::map<Digest, std::optional<Digest>>;

Map::Patch draft(const Map& map, const Changes& changes) {
  std::vector<Thing> things;
  things.reserve(changes.size());
  std::vector<Map::Change> list;
  for (const auto& [place, value] : changes) {
    if (value) things.push_back({place, *value});
    list.push_back({place, place, value ? &things.back() : nullptr});
  }
  return map.draft(list);
}
void change(Map& map, const Changes& changes) { map.commit(draft(map, changes)); }

void expect_same(const Map& map, const Plain& plain) {
  ASSERT_EQ(map.size(), plain.size());
  EXPECT_EQ(map.root(), plain_root(plain));
  auto at = plain.begin();
  map.visit([&](const Thing& thing) {
    EXPECT_EQ(thing.place, at->first);
    EXPECT_EQ(thing.value, at->second);
    ++at;
    return true;
  });
  EXPECT_EQ(at, plain.end());
}

Digest digest_of(const nlohmann::json& hex) { return *Digest::from(*from_hex(hex.get<std::string>())); }

TEST(MerkleMap, VectorsFromElsewhere) {
  std::ifstream file(std::string(MESH_SOURCE_DIR) + "/tests/fixtures/ledger/merkle_map.json");
  const auto cases = nlohmann::json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& one : cases) {
    SCOPED_TRACE(one.at("name").get<std::string>());
    Map map;
    Changes changes;
    for (const auto& entry : one.at("entries")) changes[digest_of(entry.at("place"))] = digest_of(entry.at("value"));
    change(map, changes);
    const Digest root = digest_of(one.at("root"));
    EXPECT_EQ(map.root(), root);
    for (const auto& proven : one.at("proofs")) {
      const Digest place = digest_of(proven.at("place"));
      MapProof proof;
      for (const auto& beside : proven.at("beside")) proof.beside.push_back(digest_of(beside));
      if (const auto& end = proven.at("end"); !end.is_null())
        proof.end = MapProof::End{digest_of(end.at("place")), digest_of(end.at("value"))};
      EXPECT_EQ(map.prove(place), proof);
      if (proven.at("present").get<bool>()) {
        EXPECT_TRUE(check_inclusion(root, place, proof.end->value, proof).has_value());
        EXPECT_FALSE(check_exclusion(root, place, proof).has_value());
      } else {
        EXPECT_TRUE(check_exclusion(root, place, proof).has_value());
      }
    }
  }
}

TEST(MerkleMap, TheRootForgetsTheHistory) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    Map map;
    Plain plain;
    for (int round = 0; round < 60; ++round) {
      Changes changes;
      for (std::uint64_t i = random() % 12; i > 0; --i) {
        // Few places, half of them side by side, so that entries meet, part and go often.
        const std::uint64_t n = random() % 48;
        const Digest place = n % 2 == 0 ? number("place", n) : near(static_cast<std::uint8_t>(n));
        changes[place] = random() % 3 == 0 ? std::optional<Digest>() : number("value", random());
      }
      change(map, changes);
      for (const auto& [place, value] : changes) {
        if (value) {
          plain[place] = *value;
        } else {
          plain.erase(place);
        }
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(map, plain)) << "seed " << seed << " round " << round;
    }
    Map at_once;
    Changes all;
    for (const auto& [place, value] : plain) all[place] = value;
    change(at_once, all);
    EXPECT_EQ(at_once.root(), map.root());
    for (auto& [place, value] : all) value.reset();
    change(map, all);
    EXPECT_EQ(map.root(), Digest{});
    EXPECT_EQ(map.size(), 0U);
  }
}

TEST(MerkleMap, DraftsAreDroppedWithoutATrace) {
  Map map;
  Plain plain;
  Changes first;
  for (std::uint64_t i = 0; i < 500; ++i) first[number("place", i)] = plain[number("place", i)] = number("value", i);
  change(map, first);
  const Digest before = map.root();
  const Map::Patch one =
      draft(map, {{number("place", 3), number("value", 1003)}, {number("place", 700), number("value", 700)}});
  Map::Patch two = draft(map, {{number("place", 3), std::nullopt}, {number("place", 4), number("value", 1004)}});
  EXPECT_NE(one.root(), two.root());
  EXPECT_EQ(one.size(), 501U);
  EXPECT_EQ(map.root(), before);
  EXPECT_EQ(map.find(number("place", 3))->value, number("value", 3));
  ASSERT_NO_FATAL_FAILURE(expect_same(map, plain));
  const Digest to = two.root();
  map.commit(std::move(two));
  EXPECT_EQ(map.root(), to);
  plain.erase(number("place", 3));
  plain[number("place", 4)] = number("value", 1004);
  ASSERT_NO_FATAL_FAILURE(expect_same(map, plain));
}

TEST(MerkleMapDeathTest, ADraftOfAnotherBaseIsABug) {
  Map map;
  Map::Patch one = draft(map, {{number("place", 1), number("value", 1)}});
  change(map, {{number("place", 2), number("value", 2)}});
  EXPECT_DEATH(map.commit(std::move(one)), "merkle-map-patch-of-another-base");
}

TEST(MerkleMap, ChangesThatChangeNothing) {
  Map map;
  change(map, {{number("place", 1), number("value", 1)}, {number("place", 2), number("value", 2)}});
  const Digest before = map.root();
  EXPECT_EQ(draft(map, {}).root(), before);
  EXPECT_EQ(draft(map, {{number("place", 3), std::nullopt}}).root(), before);
  EXPECT_EQ(draft(map, {{number("place", 1), number("value", 1)}}).root(), before);
}

TEST(MerkleMap, NodesAreUsedAgain) {
  Map map;
  Changes all;
  for (std::uint64_t i = 0; i < 5000; ++i) all[number("place", i)] = number("value", i);
  change(map, all);
  const std::size_t bytes = map.bytes();
  for (std::uint64_t round = 0; round < 20; ++round) {
    for (auto& [place, value] : all) value = number("value", round * 10'000);
    change(map, all);
  }
  EXPECT_LE(map.bytes(), bytes + bytes / 4);
}

TEST(MerkleMap, VisitsFromAPlaceOn) {
  Map map;
  Changes all;
  for (std::uint64_t i = 0; i < 300; ++i) all[number("place", i)] = number("value", i);
  change(map, all);
  // In pages of 7, each from just behind the last entry of the one before.
  std::vector<Digest> seen;
  Digest from;
  for (bool more = true; more;) {
    std::size_t page = 0;
    more = false;
    map.visit(
        [&](const Thing& thing) {
          if (page == 7) {
            from = thing.place;
            more = true;
            return false;
          }
          seen.push_back(thing.place);
          ++page;
          return true;
        },
        from);
  }
  ASSERT_EQ(seen.size(), all.size());
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(MapProof, ForgedOnesAreRefused) {
  Map map;
  Changes all;
  for (std::uint64_t i = 0; i < 40; ++i) all[number("place", i)] = number("value", i);
  all[near(0)] = number("value", 100);
  all[near(1)] = number("value", 101);
  change(map, all);
  const Digest root = map.root();
  for (const auto& [place, value] : all) {
    const MapProof good = map.prove(place);
    ASSERT_TRUE(check_inclusion(root, place, *value, good).has_value());
    EXPECT_EQ(check_exclusion(root, place, good).error().message.substr(0, 18), "proof-of-presence:");
    EXPECT_FALSE(check_inclusion(root, place, number("value", 5000), good).has_value()) << "another value";
    EXPECT_FALSE(check_inclusion(number("root", 1), place, *value, good).has_value()) << "another root";
    // That there is none, by cutting the path, by an end that is not there, by an end from elsewhere.
    MapProof forged = good;
    forged.end.reset();
    EXPECT_FALSE(check_exclusion(root, place, forged).has_value());
    forged.beside.pop_back();
    EXPECT_FALSE(check_exclusion(root, place, forged).has_value());
    const Digest elsewhere = place == number("place", 1) ? number("place", 2) : number("place", 1);
    EXPECT_FALSE(check_exclusion(root, place, map.prove(elsewhere)).has_value());
    EXPECT_FALSE(check_inclusion(root, place, *value, map.prove(elsewhere)).has_value());
    forged = good;
    forged.beside[0].data()[5] ^= 1;
    EXPECT_FALSE(check_inclusion(root, place, *value, forged).has_value());
    forged = good;
    forged.beside.resize(max_path + 1);
    EXPECT_EQ(check_inclusion(root, place, *value, forged).error().message.substr(0, 15), "proof-too-long:");
  }
  // An inner node passed off as an entry.
  const MapProof deep = map.prove(near(0));
  ASSERT_EQ(deep.beside.size(), 256U);
  for (std::uint64_t i = 1000; i < 1100; ++i) {
    const MapProof proof = map.prove(number("place", i));
    EXPECT_TRUE(check_exclusion(root, number("place", i), proof).has_value());
    if (!proof.end) continue;
    EXPECT_FALSE(check_inclusion(root, number("place", i), proof.end->value, proof).has_value());
  }
}

TEST(MapProof, TravelsAsARecord) {
  Map map;
  change(map, {{number("place", 1), number("value", 1)}, {number("place", 2), number("value", 2)}});
  const MapProof proof = map.prove(number("place", 1));
  EXPECT_EQ(record::decode<MapProof>(record::encode(proof)), proof);
}

}  // namespace
}  // namespace mesh::ledger
