#include "adapters/consensus/consensus.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "domain/ledger/block.h"

namespace mesh::consensus {
namespace {

static_assert(ledger::max_full_block_bytes <= max_block_bytes, "every block of the ledger can be proposed");

Seed seed(std::uint8_t number) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(number);
  return Seed(bytes);
}

Cid federation() { return Cid::of(Multicodec::dag_cbor, as_bytes("a federation")); }

/// A block with this text as its header.
Bytes framed(std::string_view text) { return frame(as_bytes(text), as_bytes("rest")); }

Validators validators_of(std::uint8_t count) {
  Validators validators;
  for (std::uint8_t number = 1; number <= count; ++number) validators.push_back({public_key_of(seed(number)), 1});
  std::ranges::sort(validators, {}, &Validator::key);
  return validators;
}

Consensus consensus(std::uint8_t number, bool observe = false) {
  return Consensus({.federation = federation(), .seed = seed(number), .observe = observe, .timeouts = {}});
}

StartHeight start(Height height, std::uint8_t count, std::vector<Bytes> log = {}) {
  return {.height = height, .validators = validators_of(count), .log = std::move(log)};
}

Elapsed proposal_is_late(Height height) { return {{.height = height, .kind = TimerKind::propose, .round = 0}}; }

std::vector<Output> taken(Consensus& node, const Input& input) {
  auto outputs = node.step(input);
  EXPECT_TRUE(outputs) << outputs.error().error.message;
  return outputs ? std::move(*outputs) : std::vector<Output>{};
}

void expect_refused(Consensus& node, const Input& input, ErrorCode code, std::string_view name, bool blames = false) {
  const auto outputs = node.step(input);
  ASSERT_FALSE(outputs) << name;
  EXPECT_EQ(outputs.error().error.code, code) << outputs.error().error.message;
  EXPECT_TRUE(outputs.error().error.message.starts_with(std::string(name) + ": ")) << outputs.error().error.message;
  EXPECT_EQ(outputs.error().blames_sender, blames) << outputs.error().error.message;
}

template <class Kind>
std::vector<Kind> all(const std::vector<Output>& outputs) {
  std::vector<Kind> found;
  for (const auto& output : outputs) {
    if (const auto* effect = std::get_if<Kind>(&output.effect)) found.push_back(*effect);
  }
  return found;
}

/// Validators in one process, messages in the order in which they were sent; whoever is asked proposes "block HEIGHT", and all
/// is valid. No time passes but where a test says so.
struct Mesh {
  explicit Mesh(std::uint8_t count) : size(count) {
    for (std::uint8_t number = 1; number <= count; ++number) nodes.push_back(consensus(number));
    chains.resize(count);
    logs.resize(count);
    timers.resize(count);
  }

  void begin(std::size_t node) {
    give(node, start(chains[node].size() + 1, size));
    if (chains[node].size() < heights) give(node, Wake{});
  }

  void give(std::size_t node, const Input& input) {
    for (auto& output : taken(nodes[node], input)) {
      std::visit([&](auto& effect) { carry_out(node, effect); }, output.effect);
    }
  }

  void carry_out(std::size_t node, Broadcast& effect) {
    for (std::size_t other = 0; other < nodes.size(); ++other) {
      if (other != node && !down.contains(node) && !down.contains(other)) waiting.emplace_back(other, effect.message);
    }
  }
  void carry_out(std::size_t node, Append& effect) { logs[node].push_back(std::move(effect.entry)); }
  void carry_out(std::size_t node, const SetTimer& effect) { timers[node].insert(effect.timer); }
  void carry_out(std::size_t node, const CancelTimer& effect) { timers[node].erase(effect.timer); }
  void carry_out(std::size_t node, const CancelTimers&) { timers[node].clear(); }
  void carry_out(std::size_t node, const GetBlock& effect) {
    const Bytes block = framed("block " + std::to_string(effect.height));
    give(node, Propose{.height = effect.height, .round = effect.round, .block = block});
  }
  void carry_out(std::size_t node, const Validate& effect) {
    const auto parts = parts_of(effect.bytes);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->id, effect.block);
    give(node, Verdict{.question = effect.question, .judgement = Judgement::valid});
  }
  void carry_out(std::size_t node, Decided& effect) {
    EXPECT_EQ(effect.height, chains[node].size() + 1);
    chains[node].push_back(std::move(effect));
    ended.push_back(node);
  }
  template <class Other>
  void carry_out(std::size_t, const Other&) {}

  /// Delivers what was sent; of those that decided, each begins its next height.
  void run() {
    while (!waiting.empty() || !ended.empty()) {
      for (const std::size_t node : std::exchange(ended, {})) begin(node);
      if (waiting.empty()) continue;
      const auto [to, message] = std::move(waiting.front());
      waiting.pop_front();
      give(to, Message{message});
    }
  }

  void decide(std::size_t count) {
    heights = count;
    for (std::size_t node = 0; node < nodes.size(); ++node) begin(node);
    run();
  }

  /// As if all the time in the world had passed: whatever waits for a timer goes on.
  void elapse() {
    for (std::size_t node = 0; node < nodes.size(); ++node) {
      for (const Timer& timer : std::exchange(timers[node], {})) {
        if (timer.kind != TimerKind::rebroadcast) give(node, Elapsed{timer});
      }
    }
    run();
  }

  std::uint8_t size;
  std::size_t heights = 0;
  std::vector<Consensus> nodes;
  std::vector<std::vector<Decided>> chains;
  std::vector<std::vector<Bytes>> logs;
  std::vector<std::set<Timer>> timers;
  std::deque<std::pair<std::size_t, Bytes>> waiting;
  std::vector<std::size_t> ended;
  std::set<std::size_t> down;
};

TEST(Consensus, a_block_is_named_by_its_header) {
  const Bytes block = frame(as_bytes("header"), as_bytes("rest"));
  const auto parts = parts_of(block);
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->id, sha256(as_bytes("header")));
  EXPECT_EQ(as_text(parts->header), "header");
  EXPECT_EQ(as_text(parts->rest), "rest");
  EXPECT_TRUE(parts_of(frame(as_bytes("header"), {})));
  const Bytes full = frame(as_bytes("h"), Bytes(max_block_bytes - 5, 1));
  EXPECT_TRUE(parts_of(full));
  const auto refused = [](const Bytes& bytes) {
    const auto read = parts_of(bytes);
    return read ? std::string() : read.error().message.substr(0, read.error().message.find(':'));
  };
  EXPECT_EQ(refused({}), "bad-block");
  EXPECT_EQ(refused({0, 0, 1}), "bad-block");
  EXPECT_EQ(refused({0, 0, 0, 0, 7}), "bad-block");
  EXPECT_EQ(refused({0, 0, 0, 2, 7}), "bad-block");
  EXPECT_EQ(refused({255, 255, 255, 255, 7}), "bad-block");
  EXPECT_EQ(refused(frame(as_bytes("h"), Bytes(max_block_bytes - 4, 1))), "too-large");
}

/// What a proposer broadcasts of a block, and to whom that is new.
struct Offer {
  Bytes proposal;
  std::uint8_t other = 0;
};
Offer offer_of(std::string_view text) {
  Offer offer;
  for (std::uint8_t number = 1; number <= 4; ++number) {
    Consensus node = consensus(number);
    std::ignore = taken(node, start(1, 4));
    for (const auto& wanted : all<GetBlock>(taken(node, Wake{}))) {
      const Bytes block = framed(text);
      for (auto& broadcast : all<Broadcast>(taken(node, Propose{.height = 1, .round = wanted.round, .block = block}))) {
        if (broadcast.message[0] == 2) offer.proposal = std::move(broadcast.message);
      }
      offer.other = static_cast<std::uint8_t>(number % 4 + 1);
    }
  }
  return offer;
}

Validate asked(const std::vector<Output>& outputs) {
  const auto found = all<Validate>(outputs);
  EXPECT_EQ(found.size(), 1U);
  return found.empty() ? Validate{} : found[0];
}

/// Whoever passes a proposal on can put another rest behind the header.
TEST(Consensus, a_wrong_rest_keeps_nobody_from_the_right_one) {
  const auto [proposal, other] = offer_of("block");
  ASSERT_FALSE(proposal.empty());
  Bytes wrong = proposal;
  wrong.back() ^= 1U;
  Consensus node = consensus(other);
  std::ignore = taken(node, start(1, 4));
  std::ignore = taken(node, Wake{});
  const Validate first = asked(taken(node, Message{wrong}));
  EXPECT_TRUE(taken(node, Message{wrong}).empty());
  const Validate second = asked(taken(node, Message{proposal}));
  EXPECT_EQ(first.block, second.block);
  EXPECT_NE(first.question, second.question);
  EXPECT_NE(first.bytes, second.bytes);
  EXPECT_EQ(second.bytes, framed("block"));
  EXPECT_TRUE(taken(node, Verdict{.question = first.question, .judgement = Judgement::mismatched}).empty());
  const auto outputs = taken(node, Verdict{.question = second.question, .judgement = Judgement::valid});
  EXPECT_EQ(all<Broadcast>(outputs).size(), 1U);
}

TEST(Consensus, what_is_undecided_is_asked_again) {
  const auto [proposal, other] = offer_of("block");
  Consensus node = consensus(other);
  std::ignore = taken(node, start(1, 4));
  std::ignore = taken(node, Wake{});
  const Validate first = asked(taken(node, Message{proposal}));
  EXPECT_FALSE(first.wanted);
  EXPECT_FALSE(first.certified);
  const auto waits = all<SetTimer>(taken(node, Verdict{.question = first.question, .judgement = Judgement::undecided}));
  ASSERT_EQ(waits.size(), 1U);
  EXPECT_EQ(waits[0].timer.kind, TimerKind::remind);
  const Validate again = asked(taken(node, Elapsed{waits[0].timer}));
  EXPECT_EQ(again.block, first.block);
  const auto outputs = taken(node, Verdict{.question = again.question, .judgement = Judgement::valid});
  EXPECT_EQ(all<Broadcast>(outputs).size(), 1U);
}

TEST(Consensus, one_validator_decides_alone) {
  Mesh mesh(1);
  mesh.decide(3);
  ASSERT_EQ(mesh.chains[0].size(), 3U);
  const auto& last = mesh.chains[0][2];
  EXPECT_EQ(last.bytes, framed("block 3"));
  const auto certified = verify_certificate(federation(), validators_of(1), last.certificate);
  ASSERT_TRUE(certified) << certified.error().message;
  EXPECT_EQ(certified->height, 3U);
  EXPECT_EQ(certified->block, last.block);
  EXPECT_EQ(certified->signers, std::vector{public_key_of(seed(1))});
}

TEST(Consensus, four_validators_agree_and_rest) {
  Mesh mesh(4);
  mesh.decide(5);
  for (const auto& chain : mesh.chains) {
    ASSERT_EQ(chain.size(), 5U);
    for (std::size_t place = 0; place < chain.size(); ++place) {
      EXPECT_EQ(chain[place].block, mesh.chains[0][place].block);
      EXPECT_TRUE(verify_certificate(federation(), validators_of(4), chain[place].certificate));
    }
  }
  // Nobody has anything to propose: nobody waits for anything.
  for (const auto& timers : mesh.timers) EXPECT_TRUE(timers.empty());
}

TEST(Consensus, the_same_inputs_give_the_same_entries) {
  Mesh one(4);
  Mesh other(4);
  one.decide(2);
  other.decide(2);
  for (std::size_t node = 0; node < 4; ++node) {
    EXPECT_FALSE(one.logs[node].empty());
    EXPECT_EQ(one.logs[node], other.logs[node]);
  }
}

TEST(Consensus, three_of_four_go_on_and_the_fourth_catches_up) {
  for (std::size_t missing = 0; missing < 4; ++missing) {
    Mesh mesh(4);
    mesh.down.insert(missing);
    mesh.decide(1);
    const std::size_t other = (missing + 1) % 4;
    // Where it is the missing one's turn, the rounds pass until it is another's.
    for (int times = 0; times < 20 && mesh.chains[other].empty(); ++times) mesh.elapse();
    ASSERT_EQ(mesh.chains[other].size(), 1U) << missing;
    ASSERT_TRUE(mesh.chains[missing].empty()) << missing;
    const Decided& decided = mesh.chains[other][0];
    mesh.give(missing, Synced{.certificate = decided.certificate, .block = decided.bytes});
    ASSERT_EQ(mesh.chains[missing].size(), 1U) << missing;
    EXPECT_EQ(mesh.chains[missing][0].block, decided.block);
    EXPECT_EQ(mesh.chains[missing][0].certificate, decided.certificate);
  }
}

TEST(Consensus, effects_wait_for_the_log) {
  Consensus node = consensus(1);
  std::ignore = taken(node, start(1, 1));
  std::ignore = taken(node, Wake{});
  const Bytes block = framed("block");
  std::uint64_t appended = 0;
  std::size_t sent = 0;
  for (const auto& output : taken(node, Propose{.height = 1, .round = 0, .block = block})) {
    EXPECT_EQ(output.after, appended);
    if (const auto* append = std::get_if<Append>(&output.effect)) {
      EXPECT_EQ(append->position, ++appended);
      EXPECT_EQ(append->height, 1U);
    }
    if (std::holds_alternative<Broadcast>(output.effect)) ++sent;
  }
  EXPECT_EQ(appended, 4U);  // the block, its proposal, two votes
  EXPECT_EQ(sent, 3U);
}

/// A validator that starts again says what it said before, whatever it is offered now.
TEST(Consensus, a_restart_by_the_log_signs_nothing_otherwise) {
  Consensus node = consensus(1);
  std::vector<Bytes> log;
  std::vector<Bytes> said;
  std::ignore = taken(node, start(1, 4));
  const auto asked = all<GetBlock>(taken(node, Wake{}));
  for (const auto& output : taken(node, proposal_is_late(1))) {
    if (const auto* append = std::get_if<Append>(&output.effect)) log.push_back(append->entry);
    if (const auto* broadcast = std::get_if<Broadcast>(&output.effect)) said.push_back(broadcast->message);
  }
  ASSERT_EQ(said.size(), 1U);

  Consensus again = consensus(1);
  const auto outputs = taken(again, start(1, 4, log));
  const auto repeated = all<Broadcast>(outputs);
  ASSERT_EQ(repeated.size(), 1U);
  EXPECT_EQ(repeated[0].message, said[0]);
  EXPECT_TRUE(all<Append>(outputs).empty());
  for (const auto& one : asked) {
    const auto late = taken(again, Propose{.height = 1, .round = one.round, .block = framed("late")});
    for (const auto& broadcast : all<Broadcast>(late)) EXPECT_NE(broadcast.message[0], said[0][0]);
  }
  // Its own words, told by a peer, are nothing new; to one that has lost its log they are.
  EXPECT_TRUE(taken(again, Message{said[0]}).empty());
  Consensus blank = consensus(1);
  std::ignore = taken(blank, start(1, 4));
  const auto amnesia = all<Amnesia>(taken(blank, Message{said[0]}));
  ASSERT_EQ(amnesia.size(), 1U);
  EXPECT_EQ(amnesia[0].height, 1U);
  EXPECT_TRUE(blank.is_observing());
  expect_refused(blank, SafeFrom{.height = 1}, ErrorCode::denied, "unsafe-height");
  std::ignore = taken(blank, SafeFrom{.height = 2});
  std::ignore = taken(blank, start(2, 4));
  EXPECT_FALSE(blank.is_observing());
}

TEST(Consensus, observers_and_followers_sign_nothing) {
  for (const bool follows : {false, true}) {
    Consensus node = follows ? Consensus({.federation = federation(), .seed = {}, .observe = false, .timeouts = {}})
                             : consensus(1, true);
    EXPECT_TRUE(node.is_observing());
    EXPECT_EQ(node.key() == PublicKey{}, follows);
    std::ignore = taken(node, start(1, 4));
    std::ignore = taken(node, Wake{});
    EXPECT_TRUE(all<Broadcast>(taken(node, proposal_is_late(1))).empty());
  }
  Consensus signs = consensus(1);
  std::ignore = taken(signs, start(1, 4));
  std::ignore = taken(signs, Wake{});
  EXPECT_EQ(all<Broadcast>(taken(signs, proposal_is_late(1))).size(), 1U);
}

TEST(Consensus, a_log_that_cannot_be_read_is_refused) {
  Consensus node = consensus(1);
  EXPECT_FALSE(node.is_observing());
  expect_refused(node, start(1, 4, {to_bytes("no entry")}), ErrorCode::storage, "corrupt-log");
  EXPECT_TRUE(node.is_observing());
}

TEST(Consensus, bad_inputs_are_refused_by_name) {
  Consensus node = consensus(1);
  const Bytes noise(40, 7);
  expect_refused(node, Wake{}, ErrorCode::unavailable, "not-started");
  expect_refused(node, start(0, 4), ErrorCode::invalid, "wrong-height");
  expect_refused(node, start(1, 0), ErrorCode::invalid, "bad-validators");
  StartHeight twice = start(1, 2);
  twice.validators[1] = twice.validators[0];
  expect_refused(node, twice, ErrorCode::invalid, "bad-validators");
  std::ignore = taken(node, start(1, 4));
  expect_refused(node, start(1, 4), ErrorCode::invalid, "wrong-height");
  expect_refused(node, Message{{}}, ErrorCode::invalid, "malformed", true);
  expect_refused(node, Message{noise}, ErrorCode::invalid, "unknown-kind", true);
  const Bytes huge(max_message_bytes + 1, 2);
  expect_refused(node, Message{huge}, ErrorCode::exhausted, "too-large", true);
  expect_refused(node, Propose{.height = 1, .round = 0, .block = huge}, ErrorCode::exhausted, "too-large", true);
  expect_refused(node, Propose{.height = 1, .round = 0, .block = {}}, ErrorCode::invalid, "bad-block", true);
  expect_refused(node, Synced{.certificate = noise, .block = noise}, ErrorCode::invalid, "unknown-kind", true);
  EXPECT_TRUE(taken(node, Elapsed{{.height = 9, .kind = TimerKind::prevote, .round = 3}}).empty());
  expect_refused(node, Elapsed{{.height = 1, .kind = static_cast<TimerKind>(9), .round = 0}}, ErrorCode::invalid,
                 "unknown-kind", true);
  EXPECT_TRUE(taken(node, Verdict{.question = 1, .judgement = Judgement::valid}).empty());
  expect_refused(node, Verdict{.question = 1, .judgement = static_cast<Judgement>(5)}, ErrorCode::invalid,
                 "unknown-kind", true);
}

/// Every byte of what validators say, changed: never taken for what somebody signed.
TEST(Consensus, hostile_bytes_change_nothing) {
  Mesh mesh(4);
  mesh.heights = 1;
  for (std::size_t node = 0; node < 4; ++node) mesh.begin(node);
  ASSERT_FALSE(mesh.waiting.empty());
  const auto [to, message] = mesh.waiting.front();
  for (std::size_t place = 0; place < message.size(); ++place) {
    Bytes other = message;
    other[place] ^= 0x41U;
    const auto outputs = mesh.nodes[to].step(Message{other});
    EXPECT_TRUE(!outputs || outputs->empty()) << "byte " << place;
    EXPECT_FALSE(mesh.nodes[to].step(Message{ByteView(message).first(place)})) << "cut to " << place;
  }
  mesh.run();
  for (const auto& chain : mesh.chains) EXPECT_EQ(chain.size(), 1U);
}

TEST(Consensus, certificates_prove_one_block_of_one_federation) {
  Mesh mesh(4);
  mesh.decide(1);
  const Bytes good = mesh.chains[0][0].certificate;
  const auto refused = [](const Bytes& bytes, const Cid& where, const Validators& by, ErrorCode code,
                          std::string_view name) {
    const auto checked = verify_certificate(where, by, bytes);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, code) << checked.error().message;
    EXPECT_TRUE(checked.error().message.starts_with(name)) << checked.error().message;
  };
  const Validators four = validators_of(4);
  ASSERT_TRUE(verify_certificate(federation(), four, good));
  refused(good, Cid::of(Multicodec::dag_cbor, as_bytes("elsewhere")), four, ErrorCode::unauthorised, "bad-signature");
  refused(good, federation(), validators_of(1), ErrorCode::unauthorised, "unknown-validator");
  refused(good, federation(), {}, ErrorCode::invalid, "bad-validators");
  Validators heavy = four;
  heavy.push_back({public_key_of(seed(5)), 100});
  std::ranges::sort(heavy, {}, &Validator::key);
  refused(good, federation(), heavy, ErrorCode::denied, "too-little-power");
  refused({}, federation(), four, ErrorCode::invalid, "malformed");
  // Its head has 47 bytes, each signer 96.
  constexpr std::ptrdiff_t head = 47;
  constexpr std::ptrdiff_t each = 96;
  ASSERT_GE(good.size(), static_cast<std::size_t>(head + 3 * each));
  Bytes twice = good;
  std::copy_n(good.begin() + head, each, twice.begin() + head + each);
  refused(twice, federation(), four, ErrorCode::unauthorised, "duplicate-signer");
  Bytes swapped = good;
  std::swap_ranges(swapped.begin() + head, swapped.begin() + head + each, swapped.begin() + head + each);
  refused(swapped, federation(), four, ErrorCode::invalid, "unsorted-signers");
  Bytes trailing = good;
  trailing.push_back(0);
  refused(trailing, federation(), four, ErrorCode::invalid, "malformed");
  for (std::size_t place = 0; place < good.size(); ++place) {
    Bytes other = good;
    other[place] ^= 1U;
    EXPECT_FALSE(verify_certificate(federation(), four, other)) << "byte " << place;
  }
}

/// Two lives of one validator: what they say of the same round, put together, convicts it.
TEST(Consensus, a_validator_that_says_two_things_is_convicted) {
  std::vector<Bytes> said;
  for (const std::string_view text : {"one", "other"}) {
    for (std::uint8_t number = 1; number <= 4; ++number) {
      Consensus node = consensus(number);
      std::ignore = taken(node, start(1, 4));
      for (const auto& wanted : all<GetBlock>(taken(node, Wake{}))) {
        const auto outputs =
            taken(node, Propose{.height = wanted.height, .round = wanted.round, .block = framed(text)});
        for (const auto& broadcast : all<Broadcast>(outputs)) said.push_back(broadcast.message);
      }
    }
  }
  ASSERT_EQ(said.size(), 4U);  // a proposal and a vote of each life
  std::size_t judges = 0;
  for (std::uint8_t number = 1; number <= 4; ++number) {
    Consensus judge = consensus(number);
    std::ignore = taken(judge, start(1, 4));
    std::vector<Evidence> found;
    for (const auto& message : said) {
      const auto outputs = judge.step(Message{message});
      if (outputs) std::ranges::copy(all<Evidence>(*outputs), std::back_inserter(found));
    }
    ASSERT_EQ(found.size(), 1U);
    if (judge.key() == found[0].offender) {
      EXPECT_TRUE(judge.is_observing());
      continue;
    }
    ++judges;
    const auto offence = check_evidence(federation(), found[0].evidence);
    ASSERT_TRUE(offence) << offence.error().message;
    EXPECT_EQ(offence->offender, found[0].offender);
    EXPECT_EQ(offence->height, 1U);
    Bytes forged = found[0].evidence;
    forged.back() ^= 1U;
    EXPECT_FALSE(check_evidence(federation(), forged));
    EXPECT_FALSE(check_evidence(Cid{}, found[0].evidence));
  }
  EXPECT_EQ(judges, 3U);
  EXPECT_FALSE(check_evidence(federation(), {}));
}

TEST(Consensus, the_safe_height_takes_a_quorum_of_the_others) {
  const Validators validators = validators_of(4);
  const auto key = [](std::uint8_t number) { return public_key_of(seed(number)); };
  const std::vector<Shown> two = {{key(2), 5}, {key(3), 9}};
  EXPECT_EQ(safe_height(validators, key(1), two), std::nullopt);
  const std::vector<Shown> three = {{key(2), 5}, {key(3), 9}, {key(4), 7}};
  EXPECT_EQ(safe_height(validators, key(1), three), 12U);
  EXPECT_EQ(safe_height(validators, key(2), three), std::nullopt);
}

TEST(Consensus, validators_are_checked) {
  EXPECT_TRUE(check(validators_of(4)));
  EXPECT_FALSE(check({}));
  Validators unsorted = validators_of(2);
  std::swap(unsorted[0], unsorted[1]);
  EXPECT_FALSE(check(unsorted));
  EXPECT_FALSE(check({{PublicKey{}, 1}}));
  EXPECT_FALSE(check({{public_key_of(seed(1)), 0}}));
}

}  // namespace
}  // namespace mesh::consensus
