#include "adapters/consensus/consensus.h"

#include <algorithm>
#include <array>
#include <limits>

#include "rust/cxx.h"
//
#include "mesh_consensus.h"

namespace mesh::consensus {
namespace {

namespace rs = mesh::engines;
using std::chrono::milliseconds;

using Array = std::array<std::uint8_t, 32>;

constexpr std::size_t header_length_bytes = 4;

/// mesh_consensus::Code, from 1.
constexpr std::array codes = {
    ErrorCode::invalid,       // malformed
    ErrorCode::invalid,       // unknown-kind
    ErrorCode::exhausted,     // too-large
    ErrorCode::invalid,       // out-of-range
    ErrorCode::invalid,       // bad-validators
    ErrorCode::unauthorised,  // unknown-validator
    ErrorCode::unauthorised,  // not-the-proposer
    ErrorCode::unauthorised,  // bad-signature
    ErrorCode::invalid,       // bad-block
    ErrorCode::unauthorised,  // duplicate-signer
    ErrorCode::invalid,       // unsorted-signers
    ErrorCode::denied,        // too-little-power
    ErrorCode::invalid,       // wrong-height
    ErrorCode::exhausted,     // too-far-ahead
    ErrorCode::exhausted,     // too-many
    ErrorCode::unavailable,   // not-started
    ErrorCode::invalid,       // not-equivocation
    ErrorCode::denied,        // unsafe-height
    ErrorCode::storage,       // corrupt-log
    ErrorCode::denied,        // would-sign-twice
    ErrorCode::internal,      // stopped
};

Error error_of(const rs::ConsensusOutcome& outcome) {
  const std::size_t place = std::size_t{outcome.code} - 1;
  const ErrorCode code = place < codes.size() ? codes.at(place) : ErrorCode::internal;
  return {code, std::string(outcome.name) + ": " + std::string(outcome.text)};
}

template <class Fixed>
Array array_of(const Fixed& fixed) {
  Array bytes{};
  std::ranges::copy(fixed.view(), bytes.begin());
  return bytes;
}

rust::Slice<const std::uint8_t> slice_of(ByteView bytes) { return {bytes.data(), bytes.size()}; }

template <class Item>
rust::Slice<const Item> slice_of(const std::vector<Item>& items) {
  return {items.data(), items.size()};
}

Bytes bytes_of(const rust::Vec<std::uint8_t>& bytes) { return {bytes.data(), bytes.data() + bytes.size()}; }

/// As the bridge takes them, by slice_of.
std::vector<rs::ConsensusValidator> list_of(const Validators& validators) {
  std::vector<rs::ConsensusValidator> list;
  list.reserve(validators.size());
  for (const auto& validator : validators) list.push_back({array_of(validator.key), validator.power});
  return list;
}

std::uint64_t count_of(milliseconds time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count()));
}

/// Timeouts are bounded by the configuration; what would not fit is as good as for ever.
milliseconds ms_of(std::uint64_t count) {
  constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
  return milliseconds(static_cast<std::int64_t>(std::min(count, most)));
}

Effect effect_of(const rs::ConsensusOutput& raw) {
  const PublicKey key(raw.key);
  const BlockId block(raw.block);
  const Timer timer{.height = raw.height, .kind = static_cast<TimerKind>(raw.timer), .round = raw.round};
  switch (raw.kind) {
    case rs::ConsensusKind::Broadcast:
      return Broadcast{.message = bytes_of(raw.bytes)};
    case rs::ConsensusKind::Append:
      return Append{.position = raw.number, .height = raw.height, .entry = bytes_of(raw.bytes)};
    case rs::ConsensusKind::Forget:
      return Forget{.below = raw.height};
    case rs::ConsensusKind::SetTimer:
      return SetTimer{.timer = timer, .after = ms_of(raw.number)};
    case rs::ConsensusKind::CancelTimer:
      return CancelTimer{.timer = timer};
    case rs::ConsensusKind::CancelTimers:
      return CancelTimers{};
    case rs::ConsensusKind::RoundStarted:
      return RoundStarted{.height = raw.height, .round = raw.round, .proposer = key};
    case rs::ConsensusKind::GetBlock:
      return GetBlock{.height = raw.height, .round = raw.round, .within = ms_of(raw.number)};
    case rs::ConsensusKind::Validate:
      return Validate{.question = raw.number,
                      .height = raw.height,
                      .round = raw.round,
                      .block = block,
                      .bytes = bytes_of(raw.bytes),
                      .proposer = key,
                      .wanted = raw.wanted,
                      .certified = raw.certified};
    case rs::ConsensusKind::Decided:
      return Decided{.height = raw.height,
                     .round = raw.round,
                     .block = block,
                     .bytes = bytes_of(raw.bytes),
                     .certificate = bytes_of(raw.certificate)};
    case rs::ConsensusKind::Evidence:
      return Evidence{.offender = key, .height = raw.height, .evidence = bytes_of(raw.bytes)};
    case rs::ConsensusKind::WantSync:
      return WantSync{.height = raw.height};
    case rs::ConsensusKind::PeerAhead:
      return PeerAhead{.validator = key, .height = raw.height};
    case rs::ConsensusKind::PeerBehind:
      return PeerBehind{.validator = key, .height = raw.height};
    case rs::ConsensusKind::Amnesia:
      return Amnesia{.height = raw.height, .round = raw.round};
    case rs::ConsensusKind::CertifiedRefused:
      return CertifiedRefused{.height = raw.height, .block = block};
    case rs::ConsensusKind::Trouble:
      break;
  }
  return Trouble{.text = std::string(raw.text)};
}

rs::ConsensusConfig config_of(const Config& config) {
  return {.federation = config.federation.binary(),
          .has_seed = config.seed.has_value(),
          .seed = config.seed ? array_of(*config.seed) : Array{},
          .observe = config.observe,
          .propose_ms = count_of(config.timeouts.propose),
          .prevote_ms = count_of(config.timeouts.prevote),
          .precommit_ms = count_of(config.timeouts.precommit),
          .step_ms = count_of(config.timeouts.step),
          .max_ms = count_of(config.timeouts.max),
          .rebroadcast_ms = count_of(config.timeouts.rebroadcast)};
}

/// Gives the bridge each input by its own call.
struct Call {
  rs::ConsensusNode& node;
  rust::Vec<rs::ConsensusOutput>& out;

  rs::ConsensusOutcome operator()(const StartHeight& start) const {
    rust::Vec<rs::ConsensusEntry> log;
    log.reserve(start.log.size());
    for (const auto& entry : start.log) {
      rust::Vec<std::uint8_t> bytes;
      bytes.reserve(entry.size());
      std::ranges::copy(entry, std::back_inserter(bytes));
      log.push_back({std::move(bytes)});
    }
    return node.start_height(start.height, slice_of(list_of(start.validators)), std::move(log), out);
  }
  rs::ConsensusOutcome operator()(const Wake&) const { return node.wake(out); }
  rs::ConsensusOutcome operator()(const Message& message) const { return node.message(slice_of(message.bytes), out); }
  rs::ConsensusOutcome operator()(const Propose& propose) const {
    return node.propose(propose.height, propose.round, slice_of(propose.block), out);
  }
  rs::ConsensusOutcome operator()(const Verdict& verdict) const {
    return node.verdict(verdict.question, static_cast<std::uint8_t>(verdict.judgement), out);
  }
  rs::ConsensusOutcome operator()(const Elapsed& elapsed) const {
    const Timer& timer = elapsed.timer;
    return node.elapsed(timer.height, static_cast<std::uint8_t>(timer.kind), timer.round, out);
  }
  rs::ConsensusOutcome operator()(const Synced& synced) const {
    return node.synced(slice_of(synced.certificate), slice_of(synced.block), out);
  }
  rs::ConsensusOutcome operator()(const SafeFrom& safe) const { return node.safe_from(safe.height, out); }
};

}  // namespace

Bytes frame(ByteView header, ByteView rest) {
  Bytes block;
  block.reserve(header_length_bytes + header.size() + rest.size());
  for (std::size_t byte = 0; byte < header_length_bytes; ++byte) {
    const std::size_t shift = 8 * (header_length_bytes - 1 - byte);
    block.push_back(static_cast<std::uint8_t>(header.size() >> shift));
  }
  block.insert(block.end(), header.begin(), header.end());
  block.insert(block.end(), rest.begin(), rest.end());
  return block;
}

Result<Parts> parts_of(ByteView block) {
  if (block.size() > max_block_bytes) {
    return fail(ErrorCode::exhausted, "too-large: a block of " + std::to_string(block.size()) + " bytes, of at most " +
                                          std::to_string(max_block_bytes));
  }
  std::size_t length = 0;
  for (const std::uint8_t byte : block.first(std::min(block.size(), header_length_bytes))) length = length << 8U | byte;
  if (block.size() < header_length_bytes || length == 0 || length > block.size() - header_length_bytes) {
    return fail(ErrorCode::invalid,
                "bad-block: a block has its header's length in four bytes and at least that header");
  }
  const ByteView header = block.subspan(header_length_bytes, length);
  return Parts{.id = sha256(header), .header = header, .rest = block.subspan(header_length_bytes + length)};
}

Status check(const Validators& validators) {
  const auto outcome = rs::consensus_validators(slice_of(list_of(validators)));
  if (!outcome.ok) return std::unexpected(error_of(outcome));
  return {};
}

struct Consensus::Impl {
  rust::Box<rs::ConsensusNode> node;
};

Consensus::Consensus(const Config& config) : impl_(new Impl{rs::consensus_new(config_of(config))}) {}
Consensus::~Consensus() = default;
Consensus::Consensus(Consensus&&) noexcept = default;
Consensus& Consensus::operator=(Consensus&&) noexcept = default;

std::expected<std::vector<Output>, Refusal> Consensus::step(const Input& input) {
  rust::Vec<rs::ConsensusOutput> raw;
  const auto outcome = std::visit(Call{.node = *impl_->node, .out = raw}, input);
  if (!outcome.ok) return std::unexpected(Refusal{.error = error_of(outcome), .blames_sender = outcome.blames});
  std::vector<Output> outputs;
  outputs.reserve(raw.size());
  for (const auto& one : raw) outputs.push_back({.after = one.after, .effect = effect_of(one)});
  return outputs;
}

PublicKey Consensus::key() const { return PublicKey(impl_->node->key()); }

bool Consensus::is_observing() const { return impl_->node->is_observing(); }

Result<Certified> verify_certificate(const Cid& federation, const Validators& validators, ByteView certificate) {
  const auto checked =
      rs::consensus_certificate(federation.binary(), slice_of(list_of(validators)), slice_of(certificate));
  if (!checked.outcome.ok) return std::unexpected(error_of(checked.outcome));
  Certified certified{.height = checked.height, .round = checked.round, .block = BlockId(checked.block), .signers = {}};
  for (const auto& signer : checked.signers) certified.signers.emplace_back(signer.key);
  return certified;
}

Result<Offence> check_evidence(const Cid& federation, ByteView evidence) {
  const auto checked = rs::consensus_evidence(federation.binary(), slice_of(evidence));
  if (!checked.outcome.ok) return std::unexpected(error_of(checked.outcome));
  return Offence{.offender = PublicKey(checked.offender), .height = checked.height};
}

std::optional<Height> safe_height(const Validators& validators, const PublicKey& own, std::span<const Shown> shown) {
  std::vector<rs::ConsensusShown> list;
  list.reserve(shown.size());
  for (const auto& one : shown) list.push_back({array_of(one.validator), one.height});
  const Height height = rs::consensus_safe_height(slice_of(list_of(validators)), array_of(own), slice_of(list));
  return height == 0 ? std::nullopt : std::optional(height);
}

}  // namespace mesh::consensus
