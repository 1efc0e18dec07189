// What a publisher keeps of the ledger's proofs of one job's payment, for the bundle that it hands out: as they come, each block of
// them once, written down.
//
// Bounds: max_proof_bytes of one job; what comes after that is not kept, and the job says so.
#include "node/job.h"

namespace mesh::node {

namespace {

constexpr std::size_t max_proof_bytes = std::size_t{128} << 20;

constexpr std::string_view record_kind = "proof-record";
constexpr std::string_view bytes_kind = "proof-bytes";
constexpr std::string_view links_kind = "proof-links";

}  // namespace

void Job::keep_proofs(const event::LedgerChanged& changed, Outbox& out) {
  for (const ledger::PaymentPart& news : changed.payments) {
    if (news.intent != id()) continue;
    ledger::PaymentPart& known = payment_->proof;
    ledger::PaymentPart after;
    after.take_links(known.links());
    after.take_links(news.links());
    if (after.links() == known.links()) continue;  // It was shown before a crash.
    std::size_t bytes = payment_->proof_bytes;
    for (const auto& [cid, block] : news.blocks) bytes += known.blocks.contains(cid) ? 0 : block->size();
    if (bytes > max_proof_bytes) {
      out.notify({.kind = "job.note",
                  .job = id(),
                  .text = "payment-proof-full: not all of what this task pays can be proven by its bundle"});
      continue;
    }
    for (const auto& [cid, block] : news.blocks) {
      if (known.blocks.contains(cid)) continue;
      out.journal(id(), std::string(cid.codec() == Multicodec::raw ? bytes_kind : record_kind), *block);
    }
    out.journal(id(), std::string(links_kind), record::encode(news.links()));
    payment_->proof_bytes = bytes;
    known.take(news);
  }
}

bool Job::is_proof(std::string_view kind) { return kind == record_kind || kind == bytes_kind || kind == links_kind; }

Status Job::restore_proof(std::string_view kind, ByteView bytes) {
  if (!payment_) return fail(ErrorCode::storage, "a proof of a payment for a task that is free");
  if (kind == links_kind) {
    MESH_LET(ledger::PaymentProof links, record::decode<ledger::PaymentProof>(bytes));
    payment_->proof.take_links(std::move(links));
    return {};
  }
  payment_->proof_bytes += bytes.size();
  payment_->proof.add(kind == bytes_kind ? Multicodec::raw : Multicodec::dag_cbor, to_bytes(bytes));
  return {};
}

ledger::PaymentPart Job::payment_part() const {
  if (!payment_) return {};
  ledger::PaymentPart part = payment_->proof;
  part.intent = id();
  return part;
}

}  // namespace mesh::node
