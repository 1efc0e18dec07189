// Where the ledger and consensus meet: what each calls a validator and a block, in terms of the other. Nothing else in this
// folder knows both forms.
//
// A block travels as consensus frames it: the bytes of its header, which name it, and those of its list of transactions, to
// which the header links. Both names are one digest.
//
// Bounds: those of the ledger; every block that it allows fits into what consensus carries.
#pragma once

#include <optional>
#include <vector>

#include "adapters/consensus/consensus.h"
#include "domain/ledger/ledger.h"

namespace mesh::chain {

/// A ledger's set as consensus takes it.
[[nodiscard]] consensus::Validators validators_of(const ledger::ValidatorSet& set);
/// The validator that votes with this key; null if none does.
[[nodiscard]] const ledger::Validator* seat_of(const ledger::ValidatorSet& set, const PublicKey& key);

/// A block as consensus carries it.
[[nodiscard]] Bytes block_bytes(const ledger::Block& block);
/// Errors: wrong-transactions where the header links to another list, which says nothing about the block that the header names;
/// malformed, too-many-transactions, block-too-large (of the block itself), and bad-block or too-large where there is no frame.
[[nodiscard]] Result<ledger::Block> read_block(ByteView bytes);

/// What a certificate says, for who shows one that was checked before: nothing is checked here but its form.
[[nodiscard]] std::optional<consensus::Certified> read_certificate(ByteView certificate);

/// By whom a vote or a proposal is signed. Nothing is checked here; none for other messages.
[[nodiscard]] std::optional<PublicKey> signer_of(ByteView message);

/// What consensus found of a validator that contradicted itself, as the ledger takes it; account and number are left out. Nothing
/// is checked here but the form. None: it is none.
[[nodiscard]] std::optional<ledger::Evidence> evidence_of(ByteView shown);

}  // namespace mesh::chain
