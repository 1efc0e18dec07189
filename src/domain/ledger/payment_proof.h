// What shows to somebody without a network, who trusts nobody but a federation's founding, what a task paid: its escrow and its
// works as entries of the ledger's state at final blocks, with the certificates of these; and who was drawn, so that it can be
// drawn again.
//
// A payment proof is a handful of blocks that link to each other, part of a task's proof bundle (verification/proof.h):
//
//   PaymentProof      -> hops, the escrow, works: for each its entry, the one before it ended, and what it was drawn from
//   CertifiedEntry    -> header, certificate; an entry with its path to that header's state root
//   DrawBasis         -> the header of the block before the draw, whoever was eligible then; the worker's own entry as a member
//   ValidatorHop      -> header, certificate; the set of validators that takes over with the block after it
//
// beside the charter, which is the bundle's federation, and the genesis, to which that links. The ledger forgets draws and answers
// when a work ends, so a publisher keeps these blocks as they come (payment_gatherer.h). payment_check.h checks them.
//
// Bounds: a block of a proof has at most 2 MiB; a list of who is eligible is cut into pieces of 1 MiB; 8,192 works and 4,096
// changes of the set of validators. Where an entry is larger than that, nothing shows it.
#pragma once

#include <map>
#include <memory>

#include "domain/ledger/ledger.h"
#include "domain/ledger/validator_hops.h"

namespace mesh::ledger {

inline constexpr std::size_t max_proof_block_bytes = std::size_t{2} << 20;
inline constexpr std::size_t max_eligible_piece_bytes = std::size_t{1} << 20;
inline constexpr std::size_t max_proven_works = std::size_t{1} << 13;

/// An entry of the state after a block that is final, or that there is none.
struct CertifiedEntry {
  static constexpr std::string_view type = "certified-entry";
  static constexpr std::uint64_t version = 1;
  Cid header;  ///< names the block
  Cid certificate;
  EntryProof proof;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("header", self.header);
    v("certificate", self.certificate);
    v("proof", self.proof);
  }
};

/// What a drawing of a work was made from, beside the work's entry.
struct DrawBasis {
  static constexpr std::string_view type = "draw-basis";
  static constexpr std::uint64_t version = 1;
  Cid header;  ///< of the block before the draw, which the work's entry names
  EntryProof worker;  ///< in its state, of the table `members`: says whose the worker is
  std::vector<Cid> eligible;  ///< pieces of the list of which the work's entry has the digest
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("header", self.header);
    v("worker", self.worker);
    v("eligible", self.eligible);
  }
};

/// What is shown of a work: links to CertifiedEntries and DrawBases.
struct WorkLinks {
  Cid commitment;
  std::optional<Cid> now;  ///< as it ended, or as it stands
  std::optional<Cid> before;  ///< of one that ended: as it stood in the block before
  std::optional<Cid> drawn;  ///< what the first drawing was made from
  std::optional<Cid> drawn_again;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("commitment", self.commitment);
    v("now", self.now);
    v("before", self.before);
    v("drawn", self.drawn);
    v("drawn_again", self.drawn_again);
  }
  bool operator==(const WorkLinks&) const = default;
};

/// The root of a proof.
struct PaymentProof {
  static constexpr std::string_view type = "payment-proof";
  static constexpr std::uint64_t version = 1;
  std::vector<Cid> hops;  ///< in the order of their heights
  std::optional<Cid> escrow;
  std::vector<WorkLinks> works;  ///< ascending by commitment
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("hops", self.hops);
    v("escrow", self.escrow);
    v("works", self.works);
  }
  bool operator==(const PaymentProof&) const = default;
};

/// Blocks of a proof, shared by all who hold them: what many works rest on is there once.
using ProofBlocks = std::map<Cid, std::shared_ptr<const Bytes>>;

/// What a block showed of a task's payment, or what is kept of all that was shown.
struct PaymentPart {
  Cid intent;
  std::optional<Cid> escrow;  ///< as it ended, or as it stands
  std::map<Cid, WorkLinks> works;  ///< by commitment
  ProofBlocks blocks;

  /// Takes over what `news` says; of what both have the news count.
  void take(const PaymentPart& news);
  [[nodiscard]] bool is_empty() const { return !escrow && works.empty(); }
  /// The links without the blocks: the root of a proof, but for the hops.
  [[nodiscard]] PaymentProof links() const;
  void take_links(PaymentProof links);
  /// What of `links` is shown of these works alone, and the escrow.
  void keep_only(const std::set<Cid>& commitments);
  /// Puts a block among the others, unless it is larger than one may be. Answers with its name.
  std::optional<Cid> add(Multicodec codec, Bytes bytes);
};

/// A member as it stands in the list of the eligible, and back. The error is of a list that does not read, is not ascending or has
/// a weight of none.
[[nodiscard]] Bytes eligible_bytes(const std::vector<verification::Member>& eligible);
[[nodiscard]] Result<std::vector<verification::Member>> read_eligible(ByteView list);

}  // namespace mesh::ledger
