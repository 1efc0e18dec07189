#include "domain/ledger/payment_proof.h"

namespace mesh::ledger {

namespace {

std::uint64_t number_at(ByteView bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes.subspan(at, sizeof value)) value = value << 8 | byte;
  return value;
}

/// The later word where there is one.
template <class T>
void take_over(std::optional<T>& known, const std::optional<T>& news) {
  if (news) known = news;
}

}  // namespace

void PaymentPart::take(const PaymentPart& news) {
  take_over(escrow, news.escrow);
  for (const auto& [commitment, links] : news.works) {
    WorkLinks& known = works.try_emplace(commitment, WorkLinks{.commitment = commitment}).first->second;
    take_over(known.now, links.now);
    take_over(known.before, links.before);
    take_over(known.drawn, links.drawn);
    take_over(known.drawn_again, links.drawn_again);
  }
  blocks.insert(news.blocks.begin(), news.blocks.end());
}

PaymentProof PaymentPart::links() const {
  PaymentProof proof;
  proof.escrow = escrow;
  for (const auto& [commitment, links] : works) proof.works.push_back(links);
  return proof;
}

void PaymentPart::take_links(PaymentProof links) {
  PaymentPart news;
  news.escrow = links.escrow;
  for (WorkLinks& work : links.works) {
    const Cid commitment = work.commitment;
    news.works.emplace(commitment, work);
  }
  take(news);
}

void PaymentPart::keep_only(const std::set<Cid>& commitments) {
  std::erase_if(works, [&](const auto& work) { return !commitments.contains(work.first); });
}

std::optional<Cid> PaymentPart::add(Multicodec codec, Bytes bytes) {
  if (bytes.size() > max_proof_block_bytes) return std::nullopt;
  const Cid cid = Cid::of(codec, bytes);
  blocks.try_emplace(cid, std::make_shared<const Bytes>(std::move(bytes)));
  return cid;
}

Bytes eligible_bytes(const std::vector<verification::Member>& eligible) {
  Bytes list;
  for (const verification::Member& member : eligible) {
    append(list, member.node.view());
    append(list, big_endian(std::uint64_t{member.weight}));
    append(list, big_endian(std::uint64_t{member.owner.size()}));
    append(list, as_bytes(member.owner));
  }
  return list;
}

Result<std::vector<verification::Member>> read_eligible(ByteView list) {
  constexpr std::size_t head = NodeId::size + 2 * sizeof(std::uint64_t);
  const auto bad = [](std::string_view what) {
    return fail(ErrorCode::invalid, "the list of who was eligible " + std::string(what));
  };
  std::vector<verification::Member> members;
  while (!list.empty()) {
    if (list.size() < head) return bad("is cut");
    const std::uint64_t weight = number_at(list, NodeId::size);
    const std::uint64_t owner = number_at(list, NodeId::size + sizeof weight);
    if (owner > list.size() - head) return bad("is cut");
    if (weight == 0 || weight > UINT32_MAX) return bad("has a weight that none can have");
    const NodeId node = *NodeId::from(list.first(NodeId::size));
    if (!members.empty() && members.back().node >= node) return bad("is not in the order of the nodes");
    if (members.size() == max_members) return bad("has more nodes than there are members");
    const ByteView name = list.subspan(head, owner);
    members.push_back(
        {.node = node, .owner = std::string(name.begin(), name.end()), .weight = static_cast<std::uint32_t>(weight)});
    list = list.subspan(head + owner);
  }
  return members;
}

}  // namespace mesh::ledger
