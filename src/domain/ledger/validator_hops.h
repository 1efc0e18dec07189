// How the sets of validators of a chain follow on each other, for who does not execute its blocks: each change is shown by the block
// before it, which the set before certified and whose state says who takes over. The same set has another name once a stake in it is
// taken: the block that takes it shows that, too. So whoever has the founding and all hops knows by
// whom a later block has to be certified.
//
// What it rests on: that of each set those with more than two thirds of the power never sign, for as long as anybody believes them, for
// a height that was not theirs any more.
//
// Bounds: max_hops; a hop has a certificate, a summary and a set, some 20 kB where there are 64 validators.
// What can go wrong, by name: another-federation, validators-changed, certificate, wrong-certificate, wrong-state-root,
// bad-summary.
#pragma once

#include <functional>
#include <map>

#include "domain/ledger/block.h"
#include "domain/ledger/execution.h"

namespace mesh::ledger {

inline constexpr std::size_t max_hops = std::size_t{1} << 12;

/// What a certificate says that holds for a set of validators.
struct Certification {
  std::uint64_t height = 0;
  Digest block;
  std::vector<PublicKey> signers;
};
/// Checks a certificate by the set of validators of its height. Consensus knows how (chain/payment.h).
using Certify =
    std::function<Result<Certification>(const Cid& federation, const ValidatorSet& validators, ByteView certificate)>;

/// A set of validators took over: the block before was certified by the set before, and says so. Or the set in office lost stakes with
/// a block, which it certified, and which says so.
struct ValidatorHop {
  static constexpr std::string_view type = "validator-hop";
  static constexpr std::uint64_t version = 1;
  Cid header;
  Cid certificate;
  Bytes summary;  ///< the StateSummary after this block
  ValidatorSet next;  ///< decides from the next height on; or the one in office, as it is after this block
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("header", self.header);
    v("certificate", self.certificate);
    v("summary", self.summary);
    v("next", self.next);
  }
};

/// A hop with what it links to, each as its bytes.
struct ShownHop {
  Bytes hop;
  Bytes header;
  Bytes certificate;
  bool operator==(const ShownHop&) const = default;
};

/// Notes the changes while a ledger goes from block to block. It is told of all blocks from the first one on, or goes on from where another
/// one was.
class ValidatorHops {
 public:
  struct Head {
    Bytes header;
    Bytes certificate;
  };

  ValidatorHops() = default;
  ValidatorHops(std::vector<ShownHop> hops, Head head) : head_(std::move(head)), hops_(std::move(hops)) {}

  /// Before the block with this header, which comes to `draft`, changes `before`.
  void committing(const State& before, const BlockHeader& header, const Draft& draft, ByteView certificate);

  /// The last block; none yet at height 0.
  [[nodiscard]] const std::optional<Head>& head() const { return head_; }
  /// In the order of their heights.
  [[nodiscard]] const std::vector<ShownHop>& all() const { return hops_; }
  /// Whether all changes are here: there may have been more than max_hops.
  [[nodiscard]] bool are_whole() const { return are_whole_; }

 private:
  void add(const Head& head, Bytes summary, const ValidatorSet& next);

  std::optional<Head> head_;
  std::vector<ShownHop> hops_;
  bool are_whole_ = true;
};

/// The sets that hops lead to, from the founding's on.
class TrustedSets {
 public:
  TrustedSets(const Cid& federation, ValidatorSet founding, Certify certify);

  /// A header, its certificate and the summary of the state after it, held against the set that this names.
  struct Certified {
    Certification certification;
    const ValidatorSet* validators = nullptr;  ///< among the trusted ones
    StateSummary summary;
  };
  [[nodiscard]] Result<Certified> certified(const Cid& block, const BlockHeader& header, ByteView certificate,
                                            ByteView summary) const;
  /// The next change. `header` and `certificate` are what the hop links to.
  [[nodiscard]] Status take(const ValidatorHop& hop, const BlockHeader& header, ByteView certificate);
  /// How many were taken.
  [[nodiscard]] std::size_t hops() const { return hops_; }

 private:
  void trust(ValidatorSet set);

  Cid federation_;
  Certify certify_;
  std::map<Cid, ValidatorSet> sets_;
  Cid last_;  ///< of these the one that took over last
  std::size_t hops_ = 0;
};

}  // namespace mesh::ledger
