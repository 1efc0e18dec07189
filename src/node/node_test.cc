// Node::step against hostile messages: what is no record, not signed for this, or not this sender's to say changes
// nothing and is answered as documented.
#include "node/node.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "codec/utf8.h"
#include "domain/market/market_testing.h"
#include "domain/verification/nonce_chain.h"
#include "domain/verification/proof.h"
#include "domain/verification/round.h"
#include "node/engagement.h"
#include "node/parcel.h"

namespace mesh::node {
namespace {

constexpr std::string_view engine = "engine;1";

/// Node 2 with a clock of its own; node 1 and others speak to it.
struct Subject {
  std::unique_ptr<Node> node;
  Instant now{};
  std::vector<JournalRecord> journal;
  std::vector<Notice> notices;
  std::vector<effect::Send> sends;
  std::vector<effect::Publish> published;
  std::vector<effect::GossipVerdict> verdicts;
  std::size_t kept_blocks = 0;
  std::size_t executions = 0;
  std::vector<effect::Execute> runs;  ///< that did not end
  std::vector<effect::WrapKeys> wraps;
  bool disk_waits = false;
  Effects waiting;  ///< for the disk

  static Config config() {
    Config config;
    config.seed = testing::seed_of(2);
    config.engine = engine;
    config.agent = "meshwork-test";
    config.slots = 4;
    config.resources.memory_mb = 4096;
    config.resources.fuel_per_second = 1'000'000'000;
    return config;
  }
  explicit Subject(Config with = config()) {
    Result<std::unique_ptr<Node>> made = Node::create(std::move(with), now, {});
    EXPECT_TRUE(made.has_value());
    node = std::move(*made);
    step(event::PeerUp{testing::node(1)});
    forget();
  }
  void forget() {
    notices.clear();
    sends.clear();
    published.clear();
    verdicts.clear();
    kept_blocks = executions = 0;
  }
  void carry_out(Effects effects) {
    for (Effect& effect : effects) {
      if (auto* persist = std::get_if<effect::Persist>(&effect.value)) {
        journal.insert(journal.end(), persist->append.begin(), persist->append.end());
        if (disk_waits) {
          waiting.insert(waiting.end(), persist->then.begin(), persist->then.end());
        } else {
          carry_out(std::move(persist->then));
        }
      } else if (auto* told = std::get_if<effect::Confirm>(&effect.value)) {
        node->confirm(*told);
      } else if (auto* notify = std::get_if<effect::Notify>(&effect.value)) {
        notices.push_back(std::move(notify->notice));
      } else if (auto* send = std::get_if<effect::Send>(&effect.value)) {
        sends.push_back(std::move(*send));
      } else if (auto* publish = std::get_if<effect::Publish>(&effect.value)) {
        published.push_back(std::move(*publish));
      } else if (auto* judge = std::get_if<effect::JudgeGossip>(&effect.value)) {
        verdicts.push_back(judge->verdict);
      } else if (auto* keep = std::get_if<effect::KeepBlocks>(&effect.value)) {
        kept_blocks += keep->raw.size();
      } else if (auto* execute = std::get_if<effect::Execute>(&effect.value)) {
        ++executions;
        runs.push_back(std::move(*execute));
      } else if (auto* wrap = std::get_if<effect::WrapKeys>(&effect.value)) {
        wraps.push_back(std::move(*wrap));
      }
    }
  }
  void step(Event event) {
    now += milliseconds(1);
    carry_out(node->step(now, std::move(event)));
  }
  /// Ends the runs under way, and those that they make room for, until none is left. A shard is left running where `finds`
  /// gives nothing.
  void run_all(const std::function<std::optional<receipt::Finding>(std::uint32_t)>& finds) {
    std::vector<effect::Execute> kept;
    while (!runs.empty()) {
      effect::Execute run = std::move(runs.front());
      runs.erase(runs.begin());
      event::ExecutionDone done{.id = run.id, .shards = {}, .last = false};
      std::vector<std::uint32_t> left;
      for (const std::uint32_t shard : run.shards) {
        const std::optional<receipt::Finding> found = finds(shard);
        if (!found) {
          left.push_back(shard);
          continue;
        }
        event::ExecutionDone::Output output;
        output.finding = *found;
        output.summary.fuel = found->fuel;
        done.shards.push_back({shard, std::move(output)});
      }
      done.last = left.empty();
      if (!left.empty()) {
        run.shards = std::move(left);
        kept.push_back(std::move(run));
      }
      if (!done.shards.empty()) step(std::move(done));
    }
    runs = std::move(kept);
  }
  void message(std::uint8_t from, Bytes bytes) {
    step(event::Message{testing::node(from), Channel::award, std::move(bytes)});
  }
  void parcel(std::uint8_t from, std::vector<Envelope> envelopes) {
    message(from, record::encode(Parcel{.envelopes = std::move(envelopes), .blocks = {}, .logs = {}}));
  }
  void gossip(Topic topic, Bytes bytes) { step(event::Gossip{topic, 1, testing::node(1), std::move(bytes)}); }

  /// All records of type T that went to node `to`.
  template <class T>
  [[nodiscard]] std::vector<T> sent_to(std::uint8_t to) const {
    std::vector<T> records;
    for (Signed<T>& record : signed_to<T>(to)) records.push_back(std::move(record.record));
    return records;
  }
  template <class T>
  [[nodiscard]] std::vector<Signed<T>> signed_to(std::uint8_t to) const {
    std::vector<Signed<T>> records;
    for (const effect::Send& send : sends) {
      if (send.to != testing::node(to)) continue;
      const Result<Parcel> parcel = record::decode<Parcel>(send.bytes);
      EXPECT_TRUE(parcel.has_value()) << "what leaves a node can be read";
      if (!parcel) continue;
      for (const Envelope& envelope : parcel->envelopes) {
        const Result<Signed<T>> opened = open<T>(envelope, testing::federation());
        if (opened) {
          records.push_back(*opened);
        } else {
          EXPECT_EQ(opened.error().message.find("UTF-8"), std::string::npos) << opened.error().message;
        }
      }
    }
    return records;
  }
  [[nodiscard]] std::string last_refusal() const {
    for (auto it = notices.rbegin(); it != notices.rend(); ++it) {
      if (it->kind == "node.refused") return it->text;
    }
    return "";
  }
};

/// A task of node 1 with nodes 2 to 6 on its roster, in which the subject takes part.
struct Task {
  Signed<task::TaskIntent> intent;
  std::vector<Signed<market::ComputeOffer>> offers;
  Signed<market::Roster> roster;

  explicit Task(std::string_view label = "a task", bool is_sealed = false) {
    task::TaskIntent wanted = testing::intent();
    wanted.label = label;
    wanted.engine = task::engine_of(engine, is_sealed);
    wanted.nonce_tip = publisher_link(0);
    intent = testing::signer(1).sign(std::move(wanted));
    market::Roster list{.intent = intent.cid, .offers = {}};
    for (std::uint8_t number = 2; number <= 6; ++number) {
      offers.push_back(testing::signer(number).sign(
          testing::offer_on(intent.cid, Engagement::nonce_tip(testing::signer(number), intent))));
      list.offers.push_back(offers.back().cid);
    }
    roster = testing::signer(1).sign(std::move(list));
  }
  [[nodiscard]] static Digest publisher_link(std::uint32_t round) {
    return verification::chain_link(testing::digest("the publisher's chain"), task::max_rounds(4), round);
  }
  [[nodiscard]] std::vector<Envelope> roster_parcel() const {
    std::vector<Envelope> envelopes;
    for (const auto& offer : offers) envelopes.push_back(offer.envelope);
    envelopes.push_back(roster.envelope);
    return envelopes;
  }
  [[nodiscard]] Signed<market::Award> award(std::vector<task::ShardRange> shards = {{0, 2}}) const {
    return testing::signer(1).sign(market::Award{
        .intent = intent.cid, .roster = roster.cid, .offer = offers[0].cid, .lease = 0, .shards = std::move(shards)});
  }
  [[nodiscard]] Signed<verification::Verdict> verdict(std::vector<task::ShardRange> shards,
                                                      verification::Decision decision) const {
    return testing::signer(1).sign(verification::Verdict{.intent = intent.cid,
                                                         .shards = std::move(shards),
                                                         .decision = decision,
                                                         .receipt = testing::record("receipt"),
                                                         .draw = {},
                                                         .verifications = {},
                                                         .timeliness = 1000,
                                                         .contribution = 0});
  }
  /// The subject has offered and knows the roster.
  void begin(Subject& subject) const {
    subject.parcel(1, {intent.envelope});
    EXPECT_EQ(subject.sent_to<market::ComputeOffer>(1).size(), 1U);
    subject.parcel(1, roster_parcel());
    EXPECT_EQ(subject.last_refusal(), "");
    subject.forget();
  }
};

receipt::Finding truth(std::uint32_t shard) {
  return {.result = testing::content("result " + std::to_string(shard)),
          .log = testing::content("log"),
          .outcome = {},
          .fuel = 1000 + shard};
}
receipt::Finding lie(std::uint32_t shard) {
  receipt::Finding found = truth(shard);
  found.result = testing::content("lie " + std::to_string(shard));
  return found;
}

using Finds = std::function<receipt::Finding(std::uint32_t)>;

/// What node `number` commits to under an award, or under a draw on the worker's commitment `worker`.
Signed<receipt::Commitment> commitment_of(std::uint8_t number, const Cid& intent, const Cid& basis,
                                          const std::optional<Cid>& worker, const std::vector<std::uint32_t>& shards,
                                          const Finds& finds = truth) {
  const identity::Signer signer = testing::signer(number);
  receipt::Commitment commitment{.intent = intent,
                                 .node = signer.id(),
                                 .basis = basis,
                                 .worker = worker,
                                 .shards = task::ranges_of(shards),
                                 .root = {}};
  std::vector<Digest> digests;
  for (const std::uint32_t shard : shards) digests.push_back(receipt::digest_of(finds(shard)));
  commitment.root = receipt::root_of(intent, signer.id(), receipt::salt_key(signer, commitment), shards, digests);
  return signer.sign(std::move(commitment));
}

/// What opens a worker's commitment.
Signed<receipt::ExecutionReceipt> receipt_of(std::uint8_t number, const Signed<receipt::Commitment>& commitment,
                                             const Finds& finds = truth) {
  const identity::Signer signer = testing::signer(number);
  receipt::ExecutionReceipt receipt{.intent = commitment.record.intent,
                                    .award = commitment.record.basis,
                                    .commitment = commitment.cid,
                                    .key = receipt::salt_key(signer, commitment.record),
                                    .findings = {},
                                    .usage = {}};
  std::vector<receipt::Finding> rows;
  for (const task::ShardRange& range : commitment.record.shards) {
    for (std::uint32_t i = 0; i < range.count; ++i) {
      rows.push_back(finds(range.first + i));
      receipt.usage.add({.fuel = rows.back().fuel, .wall_ms = 1, .peak_memory_bytes = 2, .io_bytes = 3});
    }
  }
  receipt.findings = receipt::columns_of(rows);
  return signer.sign(std::move(receipt));
}

std::vector<Envelope> every_kind_of_record(const Task& task) {
  const identity::Signer publisher = testing::signer(1);
  const Cid cid = task.intent.cid;
  return {
      task.intent.envelope,
      task.offers[1].envelope,
      task.roster.envelope,
      task.award().envelope,
      publisher.seal(receipt::Commitment{
          .intent = cid, .node = testing::node(1), .basis = {}, .worker = {}, .shards = {{0, 1}}, .root = {}}),
      publisher.seal(verification::RoundOpen{
          .intent = cid, .roster = task.roster.cid, .round = 1, .commitments = {}, .seats = {}, .barred = {}}),
      publisher.seal(verification::NonceReveal{.intent = cid, .open = {}, .round = 1, .link = {}}),
      publisher.seal(verification::Draw{.intent = cid, .open = {}, .round = 1, .link = {}, .reveals = {}}),
      publisher.seal(verification::Substitution{
          .intent = cid, .draw = {}, .commitment = {}, .failed = testing::node(3), .shards = {{0, 1}}, .reason = "x"}),
      publisher.seal(
          verification::Extension{.intent = cid, .draw = {}, .commitment = {}, .shards = {{0, 1}}, .seats = 5}),
      publisher.seal(verification::ShardKeys{
          .intent = cid, .to = testing::node(2), .shards = {{0, 1}}, .point = {}, .keys = {{}}}),
      publisher.seal(verification::RevealRequest{.intent = cid, .commitment = {}, .draw = {}, .commitments = {}}),
      publisher.seal(receipt::ExecutionReceipt{
          .intent = cid, .award = {}, .commitment = {}, .key = {}, .findings = {}, .usage = {}}),
      task.verdict({{0, 1}}, verification::Decision::accepted).envelope,
      publisher.seal(market::Close{.intent = cid, .reason = "done"})};
}

TEST(NodeStep, OffersOnWhatItHears) {
  Subject subject;
  const Task task;
  subject.gossip(Topic::intents, record::encode(task.intent.envelope));
  EXPECT_EQ(subject.verdicts, std::vector{effect::GossipVerdict::accept});
  const auto offers = subject.sent_to<market::ComputeOffer>(1);
  ASSERT_EQ(offers.size(), 1U);
  EXPECT_EQ(offers[0].intent, task.intent.cid);
  EXPECT_EQ(subject.node->intents().at(0).state, "offered");
}

TEST(NodeStep, AParcelCutOffAnywhereIsRefusedAndChangesNothing) {
  Subject subject;
  const Task task;
  task.begin(subject);
  const std::size_t journal = subject.journal.size();
  const Bytes good = record::encode(Parcel{.envelopes = {task.award().envelope},
                                           .blocks = {},
                                           .logs = {{.intent = task.intent.cid, .shard = 0, .bytes = {1}}}});
  for (std::size_t size = 0; size < good.size(); ++size) {
    subject.forget();
    subject.message(1, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_TRUE(subject.last_refusal().starts_with("a message was refused: ")) << size;
    EXPECT_EQ(subject.kept_blocks + subject.executions, 0U);
  }
  EXPECT_EQ(subject.journal.size(), journal);
  subject.message(1, good);
  EXPECT_EQ(subject.executions, 2U) << "the whole one is taken";
}

TEST(NodeStep, EveryRecordCutOffAnywhereIsRefusedAndChangesNothing) {
  Subject subject;
  const Task task;
  task.begin(subject);
  const std::size_t journal = subject.journal.size();
  for (const Envelope& whole : every_kind_of_record(task)) {
    for (std::size_t size = 0; size < whole.body.size(); ++size) {
      Envelope cut = whole;
      cut.body.resize(size);
      subject.forget();
      subject.parcel(1, {cut});
      EXPECT_NE(subject.last_refusal(), "") << *type_of(whole.body) << " cut at " << size;
      EXPECT_EQ(subject.executions, 0U);
    }
  }
  EXPECT_EQ(subject.journal.size(), journal);
}

TEST(NodeStep, ASignatureForAnotherTypeOrFederationIsNone) {
  const Task task;
  for (const Envelope& good : every_kind_of_record(task)) {
    const std::string type = *type_of(good.body);
    if (type == task::TaskIntent::type) continue;  // Known already: below.
    Subject subject;
    task.begin(subject);
    const std::size_t journal = subject.journal.size();
    const auto refused = [&](const Envelope& bad) {
      subject.forget();
      subject.parcel(1, {bad});
      EXPECT_EQ(subject.journal.size(), journal) << type;
      EXPECT_EQ(subject.executions, 0U) << type;
      // Offers and nonces that come after their time are dropped unread.
      if (type != market::ComputeOffer::type) {
        EXPECT_NE(subject.last_refusal().find("signature"), std::string::npos)
            << type << ": " << subject.last_refusal();
      }
    };
    refused(seal_bytes(type, good.body, testing::other_federation(), testing::seed_of(1), testing::node(1)));
    refused(seal_bytes("another-type", good.body, testing::federation(), testing::seed_of(1), testing::node(1)));
    Envelope stolen = good;
    stolen.key = testing::node(3);
    refused(stolen);
  }
}

TEST(NodeStep, AnIntentThatIsNotSignedForThisIsNotConsidered) {
  const Task task;
  Subject subject;
  for (const Envelope& bad :
       {seal_bytes("task-intent", task.intent.envelope.body, testing::other_federation(), testing::seed_of(1),
                   testing::node(1)),
        seal_bytes("award", task.intent.envelope.body, testing::federation(), testing::seed_of(1), testing::node(1))}) {
    subject.forget();
    subject.parcel(1, {bad});
    EXPECT_NE(subject.last_refusal().find("signature"), std::string::npos);
    subject.gossip(Topic::intents, record::encode(bad));
    EXPECT_EQ(subject.verdicts, std::vector{effect::GossipVerdict::reject});
    EXPECT_TRUE(subject.node->intents().empty());
    EXPECT_TRUE(subject.sent_to<market::ComputeOffer>(1).empty());
  }
}

TEST(NodeStep, GossipThatIsNoneIsRejected) {
  Subject subject;
  const Task task;
  const auto verdict = [&](Topic topic, Bytes bytes) {
    subject.forget();
    subject.gossip(topic, std::move(bytes));
    EXPECT_EQ(subject.verdicts.size(), 1U) << "every message is judged once";
    return subject.verdicts.front();
  };
  const Bytes intent = record::encode(task.intent.envelope);
  for (const Topic topic : {Topic::intents, Topic::events, Topic::capabilities}) {
    EXPECT_EQ(verdict(topic, {}), effect::GossipVerdict::reject);
    EXPECT_EQ(verdict(topic, Bytes(2 << 20, 0x80)), effect::GossipVerdict::reject);
    for (std::size_t size = 0; size < intent.size(); size += 3)
      EXPECT_EQ(verdict(topic, Bytes(intent.begin(), intent.begin() + static_cast<std::ptrdiff_t>(size))),
                effect::GossipVerdict::reject);
  }
  EXPECT_EQ(verdict(Topic::events, intent), effect::GossipVerdict::reject) << "a record of another topic";
  EXPECT_EQ(verdict(Topic::capabilities, intent), effect::GossipVerdict::reject);
  task::TaskIntent endless = testing::intent();
  endless.shards = UINT32_MAX;
  EXPECT_EQ(verdict(Topic::intents, record::encode(testing::signer(1).seal(endless))), effect::GossipVerdict::reject);
  PeerInfo info;
  info.sequence = 1;
  const Bytes capabilities = record::encode(testing::signer(1).seal(info));
  EXPECT_EQ(verdict(Topic::capabilities, capabilities), effect::GossipVerdict::accept);
  EXPECT_EQ(verdict(Topic::capabilities, capabilities), effect::GossipVerdict::ignore) << "a replay";
  EXPECT_EQ(verdict(Topic::intents, intent), effect::GossipVerdict::accept);
}

TEST(NodeStep, SaysWhichPeersCouldTakeATask) {
  Subject subject;
  const PeerInfo own = subject.node->own_info();
  const auto says = [&](std::uint8_t number, const std::function<void(PeerInfo&)>& change) {
    PeerInfo info = own;
    info.sequence = 1;
    info.memory_mb = 512;
    info.accepts_work = true;
    change(info);
    subject.step(event::PeerUp{testing::node(number)});
    subject.gossip(Topic::capabilities, record::encode(testing::signer(number).seal(info)));
  };
  says(1, [](PeerInfo&) {});
  says(3, [](PeerInfo& info) { info.accepts_work = false; });
  says(4, [](PeerInfo& info) { info.memory_mb = 511; });
  says(5, [](PeerInfo& info) { info.engine = "another"; });
  says(6, [](PeerInfo& info) { info.policy = testing::record("another"); });
  says(7, [](PeerInfo& info) { info.queued = UINT32_MAX; });
  subject.step(event::PeerUp{testing::node(8)});
  says(9, [](PeerInfo&) {});
  subject.step(event::PeerDown{testing::node(9)});
  JobSpec spec;
  spec.scope.memory_mb = 512;
  std::map<NodeId, std::string> lacks;
  for (const Prospect& one : subject.node->prospects(spec)) lacks.emplace(one.node, one.lacks);
  EXPECT_EQ(lacks, (std::map<NodeId, std::string>{
                       {testing::node(1), ""},
                       {testing::node(3), "takes no work"},
                       {testing::node(4), "memory: 512 MiB wanted, 511 there"},
                       {testing::node(5), "engine: it has \"another\""},
                       {testing::node(6), "policy: it is under another one"},
                       {testing::node(7), "busy: the queue is full"},
                       {testing::node(8), "unknown: it has not said yet what it is"},
                   }));
}

TEST(NodeStep, OnlyThePublisherTakesATaskBack) {
  Subject subject;
  Config idle = Subject::config();
  idle.accepts_work = false;
  Subject watching(std::move(idle));
  const Task task;
  watching.gossip(Topic::intents, record::encode(task.intent.envelope));
  ASSERT_EQ(watching.node->intents().size(), 1U);
  const market::Close close{.intent = task.intent.cid, .reason = "done"};
  watching.gossip(Topic::events, record::encode(testing::signer(3).seal(close)));
  EXPECT_EQ(watching.node->intents().size(), 1U) << "another's word counts nothing";
  watching.gossip(Topic::events, record::encode(testing::signer(1).seal(close)));
  EXPECT_TRUE(watching.node->intents().empty());
}

TEST(NodeStep, ParcelsPastTheirBoundsAreRefused) {
  Subject subject;
  subject.message(1, Bytes(max_parcel_bytes + 1, 0));
  EXPECT_EQ(subject.last_refusal(), "a message was refused: larger than 1048576 bytes");
  subject.forget();
  Parcel many;
  many.envelopes.resize(max_parcel_envelopes + 1);
  const Bytes bytes = record::encode(many);
  ASSERT_LE(bytes.size(), max_parcel_bytes);
  subject.message(1, bytes);
  EXPECT_EQ(subject.last_refusal(), "a message was refused: more than 4096 records");
  EXPECT_TRUE(subject.sends.empty()) << "and not answered one by one";
}

TEST(NodeStep, OnlyWhoWorksForThisNodeLeavesBlocksOnItsDisk) {
  Subject subject;
  const Bytes blocks = record::encode(Parcel{.envelopes = {}, .blocks = {to_bytes("a"), to_bytes("b")}, .logs = {}});
  subject.message(1, blocks);
  EXPECT_EQ(subject.kept_blocks, 0U);
  subject.step(event::Submit{.spec = {.function = testing::content("function"),
                                      .inputs = testing::record("inputs"),
                                      .shards = 1,
                                      .reduce = {},
                                      .scope = {},
                                      .fee = 0,
                                      .verifiers = 0,
                                      .bid_window_ms = 1000,
                                      .limits = {},
                                      .label = "a task",
                                      .created_ms = 0},
                             .entropy = testing::digest("entropy")});
  const Cid job = subject.node->jobs().at(0);
  subject.parcel(1, {testing::signer(1).seal(testing::offer_on(job))});
  ASSERT_EQ(subject.node->job(job)->phase, JobPhase::running);
  subject.message(3, blocks);
  EXPECT_EQ(subject.kept_blocks, 0U) << "a stranger to the task";
  subject.message(1, blocks);
  EXPECT_EQ(subject.kept_blocks, 2U);
  subject.message(1, record::encode(Parcel{.envelopes = {}, .blocks = std::vector<Bytes>(1025), .logs = {}}));
  EXPECT_EQ(subject.last_refusal(), "a message was refused: more than 1024 blocks");
  EXPECT_EQ(subject.kept_blocks, 2U);
  subject.step(event::StopJob{job});
  subject.message(1, blocks);
  EXPECT_EQ(subject.kept_blocks, 2U) << "the task is over";
}

TEST(NodeStep, RecordsThatNameNoTaskOrNoType) {
  Subject subject;
  const auto refusal = [&](const dagcbor::Value& body) {
    subject.forget();
    subject.parcel(1, {Envelope{.body = dagcbor::encode(body), .key = testing::node(1), .sig = {}}});
    EXPECT_TRUE(subject.sends.empty());
    return subject.last_refusal();
  };
  EXPECT_EQ(refusal(dagcbor::Map{}), "a record was refused: a record without a type");
  EXPECT_EQ(refusal(dagcbor::Map{{"type", 1}}), "a record was refused: a record without a type");
  EXPECT_EQ(refusal(dagcbor::List{}), "a record was refused: a record without a type");
  EXPECT_EQ(refusal(dagcbor::Map{{"type", "award"}}), "a record was refused: a \"award\" that names no task");
  EXPECT_EQ(refusal(dagcbor::Map{{"type", "award"}, {"intent", 7}}), "a record was refused: expected a link");
}

TEST(NodeStep, WhatAPeerSaysIsQuotedBetweenCharacters) {
  // A text that a cut at any byte would leave inside a character.
  std::string euros;
  while (euros.size() < 600) euros += "\xe2\x82\xac";
  Subject subject;
  const auto all_is_utf8 = [&] {
    for (const Notice& notice : subject.notices) EXPECT_TRUE(is_utf8(notice.text)) << notice.kind;
    const auto refusals = subject.sent_to<market::Refusal>(1);
    const auto declines = subject.sent_to<market::Decline>(1);
    for (const market::Refusal& refusal : refusals) EXPECT_LE(refusal.reason.size(), 256U);
    for (const market::Decline& decline : declines) EXPECT_LE(decline.reason.size(), 256U);
    return refusals.size() + declines.size();
  };
  for (std::size_t shift = 0; shift < 3; ++shift) {
    subject.forget();
    task::TaskIntent foreign = testing::intent();
    foreign.engine = std::string(shift, 'e') + euros.substr(0, 240);
    subject.parcel(1, {testing::signer(1).seal(foreign)});
    EXPECT_EQ(all_is_utf8(), 1U) << "a decline that its reader can read";
    subject.forget();
    const dagcbor::Map body{{"type", std::string(shift, 't') + euros},
                            {"intent", dagcbor::Value(testing::record("i"))}};
    subject.parcel(1, {Envelope{.body = dagcbor::encode(body), .key = testing::node(1), .sig = {}}});
    EXPECT_EQ(all_is_utf8(), 1U);
    subject.forget();
    subject.parcel(1, {testing::signer(1).seal(market::Refusal{
                          .intent = testing::record("i"), .about = {}, .reason = std::string(shift, 'r') + euros})});
    (void)all_is_utf8();
  }
}

TEST(NodeStep, AReductionsLabelIsCutBetweenCharacters) {
  // A label of 102 bytes whose byte 100 is inside a character: the folding job's intent must still be readable.
  const std::string label = std::string(98, 'l') + "\xf0\x9f\x98\x80";
  event::Submit submit{.spec = {.function = testing::content("function"),
                                .inputs = testing::record("inputs"),
                                .shards = 1,
                                .reduce = testing::content("reduce"),
                                .scope = {},
                                .fee = 0,
                                .verifiers = 0,
                                .bid_window_ms = 1,
                                .limits = {},
                                .label = label,
                                .created_ms = 0},
                       .entropy = testing::digest("entropy")};
  Subject alone;
  alone.step(event::PeerDown{testing::node(1)});
  alone.now += seconds(10);
  alone.step(event::Tick{});
  std::optional<std::uint64_t> run;
  std::optional<std::uint64_t> fetch;
  std::optional<std::uint64_t> build;
  const std::function<void(Effects)> look = [&](Effects list) {
    for (Effect& effect : list) {
      if (auto* persist = std::get_if<effect::Persist>(&effect.value)) {
        alone.journal.insert(alone.journal.end(), persist->append.begin(), persist->append.end());
        look(std::move(persist->then));
      } else if (auto* execute = std::get_if<effect::Execute>(&effect.value)) {
        run = execute->id;
      } else if (auto* results = std::get_if<effect::FetchResults>(&effect.value)) {
        fetch = results->id;
      } else if (auto* reduce = std::get_if<effect::BuildReduceInput>(&effect.value)) {
        build = reduce->id;
      }
    }
  };
  const auto step = [&](Event event) {
    alone.now += milliseconds(300);
    look(alone.node->step(alone.now, std::move(event)));
  };
  step(submit);
  step(event::Tick{});
  ASSERT_TRUE(run.has_value());
  event::ExecutionDone::Output output;
  output.finding = {.result = testing::content("result"), .log = testing::content(""), .outcome = {}, .fuel = 5};
  output.summary.fuel = 5;
  step(event::ExecutionDone{.id = *run, .shards = {{0, output}}});
  step(event::Tick{});
  ASSERT_TRUE(fetch.has_value());
  step(event::ResultsFetched{*fetch, {}});
  ASSERT_TRUE(build.has_value());
  step(event::ReduceInputBuilt{*build, testing::record("reduce inputs")});
  ASSERT_EQ(alone.node->jobs().size(), 2U) << "the folding job is there";
  const JobView child = *alone.node->job(alone.node->jobs()[1]);
  EXPECT_TRUE(is_utf8(child.spec.label));
  EXPECT_TRUE(child.spec.label.starts_with("reduce of lll"));
  const Result<std::unique_ptr<Node>> again = Node::create(Subject::config(), alone.now, alone.journal);
  ASSERT_TRUE(again.has_value()) << "a restart reads what was journaled: " << again.error().message;
  EXPECT_EQ((*again)->jobs().size(), 2U);
}

// ---------------------------------------------------------------------------------------------------- engagements

TEST(NodeEngagement, NobodyButThePublisherTellsItsMembers) {
  const Task task;
  for (const Envelope& envelope : every_kind_of_record(task)) {
    const std::string type = *type_of(envelope.body);
    if (type == task::TaskIntent::type || type == verification::ShardKeys::type) continue;  // Keys members give, too.
    Subject subject;
    task.begin(subject);
    const std::size_t journal = subject.journal.size();
    // The very records of the publisher, replayed by another: it cannot keep this node busy with them.
    subject.parcel(3, {envelope});
    EXPECT_EQ(subject.last_refusal(), "not-the-publisher: only the task's publisher tells its members anything")
        << type;
    EXPECT_EQ(subject.journal.size(), journal) << type;
    EXPECT_EQ(subject.executions, 0U) << type;
  }
}

TEST(NodeEngagement, StrangersOffersDoNotKeepTheRosterOut) {
  const Task task;
  Subject subject;
  subject.parcel(1, {task.intent.envelope});
  std::vector<Envelope> flood;
  for (std::uint8_t number = 100; number < 100 + market::max_roster; ++number)
    flood.push_back(
        testing::signer(number).seal(testing::offer_on(task.intent.cid, testing::digest(std::to_string(number)))));
  subject.parcel(9, flood);
  subject.forget();
  subject.parcel(1, task.roster_parcel());
  EXPECT_EQ(subject.last_refusal(), "");
  subject.parcel(1, {task.award().envelope});
  EXPECT_EQ(subject.executions, 2U);
}

TEST(NodeEngagement, RefusesWhatDoesNotFitByName) {
  const Task task;
  Subject subject;
  task.begin(subject);
  const identity::Signer publisher = testing::signer(1);
  const Cid cid = task.intent.cid;
  const auto refusal = [&](const Envelope& envelope) {
    subject.forget();
    subject.parcel(1, {envelope});
    const auto refusals = subject.sent_to<market::Refusal>(1);
    EXPECT_EQ(refusals.size(), 1U);
    if (refusals.empty()) return std::string();
    EXPECT_EQ(refusals[0].about, envelope.cid());
    EXPECT_EQ(refusals[0].reason, subject.last_refusal());
    return refusals[0].reason;
  };
  const auto award = [&](const std::function<void(market::Award&)>& change) {
    market::Award record = task.award().record;
    change(record);
    return refusal(publisher.seal(record));
  };
  EXPECT_EQ(award([](market::Award& a) { a.roster = testing::record("other"); }),
            "unknown-roster: the award is under another roster");
  EXPECT_EQ(award([&](market::Award& a) { a.offer = task.offers[1].cid; }), "not-mine: the award is for another offer");
  EXPECT_EQ(award([](market::Award& a) { a.shards = {{0, UINT32_MAX}}; }),
            "shard ranges must be ascending, not empty, apart, and below 4");
  EXPECT_EQ(refusal(testing::signer(3).seal(task.award().record)),
            "not-the-publisher: only the task's publisher can say this");
  EXPECT_EQ(refusal(publisher.seal(market::Roster{.intent = cid, .offers = {task.offers[0].cid}})),
            "second-roster: this task has another roster already");
  const auto open = [&](std::uint32_t round, std::vector<Cid> commitments, std::uint32_t seats = 3) {
    std::vector<std::uint32_t> on_each(commitments.size(), seats);
    return publisher.seal(verification::RoundOpen{.intent = cid,
                                                  .roster = task.roster.cid,
                                                  .round = round,
                                                  .commitments = std::move(commitments),
                                                  .seats = std::move(on_each),
                                                  .barred = {}});
  };
  EXPECT_EQ(refusal(open(1, {cid}, 8)), "too-many-seats: the policy allows fewer verifiers");
  EXPECT_EQ(refusal(open(0, {cid})), "bad-round: rounds count from 1 to 32");
  EXPECT_EQ(refusal(open(UINT32_MAX, {cid})), "bad-round: rounds count from 1 to 32");
  EXPECT_EQ(
      refusal(publisher.seal(verification::Draw{.intent = cid, .open = {}, .round = 1, .link = {}, .reveals = {}})),
      "unknown-round: the draw came without its round");
  EXPECT_EQ(refusal(publisher.seal(verification::Extension{
                .intent = cid, .draw = {}, .commitment = {}, .shards = {{0, 1}}, .seats = UINT32_MAX})),
            "too-many-seats: the policy allows fewer verifiers");
  EXPECT_EQ(refusal(publisher.seal(
                verification::RevealRequest{.intent = cid, .commitment = cid, .draw = {}, .commitments = {}})),
            "unknown-commitment: this node has no such commitment");
  const auto commitment = [&](const std::function<void(receipt::Commitment&)>& change) {
    receipt::Commitment record{.intent = cid,
                               .node = testing::node(3),
                               .basis = task.award().cid,
                               .worker = {},
                               .shards = {{0, 1}},
                               .root = {}};
    change(record);
    return refusal(testing::signer(3).seal(record));
  };
  EXPECT_EQ(commitment([](receipt::Commitment& c) { c.node = testing::node(4); }),
            "not-the-signers: the commitment is in another node's name");
  EXPECT_EQ(commitment([](receipt::Commitment& c) { c.shards = {}; }), "a commitment covers 1 to 1024 shards, not 0");
  EXPECT_EQ(commitment([](receipt::Commitment& c) { c.shards = {{0, 5}}; }),
            "shard ranges must be ascending, not empty, apart, and below 4");
  const auto receipt = [&](const Cid& opens) {
    return refusal(testing::signer(3).seal(receipt::ExecutionReceipt{
        .intent = cid, .award = {}, .commitment = opens, .key = {}, .findings = {}, .usage = {}}));
  };
  EXPECT_EQ(receipt(cid), "unknown-commitment: the receipt opens nothing that is known here");
  EXPECT_EQ(refusal(publisher.seal(receipt::VerificationReceipt{
                .intent = cid, .receipt = cid, .commitment = cid, .key = {}, .differing = {}, .findings = {}})),
            "unexpected: a \"verification-receipt\" has no place here");
  EXPECT_EQ(refusal(publisher.seal(verification::Substitution{.intent = cid,
                                                              .draw = cid,
                                                              .commitment = cid,
                                                              .failed = testing::node(3),
                                                              .shards = {{0, 1}},
                                                              .reason = "x"})),
            "unknown-draw: the draw that this changes is not known here");
  using verification::Decision;
  EXPECT_EQ(refusal(task.verdict({{0, UINT32_MAX}}, Decision::accepted).envelope),
            "shard ranges must be ascending, not empty, apart, and below 4");
  EXPECT_EQ(refusal(testing::signer(3).seal(task.verdict({{0, 1}}, Decision::accepted).record)),
            "not-the-publisher: only the task's publisher can say this");
  EXPECT_EQ(refusal(publisher.seal(market::Decline{.intent = cid, .reason = "x"})),
            "unexpected: a \"decline\" has no place here");
  EXPECT_EQ(subject.executions, 0U);
}

TEST(NodeEngagement, RevealsItsNonceForOneOpeningOfARoundAlone) {
  const Task task;
  Subject subject;
  task.begin(subject);
  const auto open = [&](std::string_view commitment) {
    return testing::signer(1).seal(verification::RoundOpen{.intent = task.intent.cid,
                                                           .roster = task.roster.cid,
                                                           .round = 1,
                                                           .commitments = {testing::record(commitment)},
                                                           .seats = {3},
                                                           .barred = {}});
  };
  subject.parcel(1, {open("one")});
  EXPECT_EQ(subject.sent_to<verification::NonceReveal>(1).size(), 1U);
  subject.parcel(1, {open("one")});
  EXPECT_EQ(subject.sent_to<verification::NonceReveal>(1).size(), 2U) << "asked again, answered again";
  subject.forget();
  subject.parcel(1, {open("another")});
  EXPECT_TRUE(subject.sent_to<verification::NonceReveal>(1).empty());
  EXPECT_EQ(subject.last_refusal(),
            "second-opening: this node revealed its nonce of the round for another set of commitments");
  // Also across a restart.
  Result<std::unique_ptr<Node>> again = Node::create(Subject::config(), subject.now, subject.journal);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  subject.node = std::move(*again);
  subject.forget();
  subject.parcel(1, {open("another")});
  EXPECT_TRUE(subject.sent_to<verification::NonceReveal>(1).empty());
}

TEST(NodeEngagement, ADamagedJournalIsAnErrorAndNoCrash) {
  const Task task;
  Subject subject;
  task.begin(subject);
  subject.parcel(1, {task.award().envelope});
  subject.run_all(truth);
  std::set<std::string> kinds;
  for (const JournalRecord& record : subject.journal) kinds.insert(record.kind);
  EXPECT_EQ(kinds,
            (std::set<std::string>{"intent", "own-offer", "roster-offer", "roster", "award", "found", "committed"}));
  for (std::size_t i = 0; i < subject.journal.size(); ++i) {
    std::vector<JournalRecord> damaged = subject.journal;
    damaged[i].bytes.resize(damaged[i].bytes.size() / 2);
    const auto node = Node::create(Subject::config(), subject.now, damaged);
    ASSERT_FALSE(node.has_value()) << damaged[i].kind;
    EXPECT_NE(node.error().message.find("\"" + damaged[i].kind + "\" record of task " + task.intent.cid.text()),
              std::string::npos)
        << node.error().message;
  }
}

TEST(NodeEngagement, ReportsTogetherWhatItRanAndRevealsOnlyWhenAllSeatsHaveCommitted) {
  const Task task;
  Subject subject;
  task.begin(subject);
  const Signed<market::Award> award = task.award({{0, 3}});
  subject.parcel(1, {award.envelope});
  subject.run_all([](std::uint32_t shard) { return truth(shard); });
  const auto commitments = subject.signed_to<receipt::Commitment>(1);
  ASSERT_EQ(commitments.size(), 1U) << "of all that came to an end within a moment";
  const Signed<receipt::Commitment>& own = commitments[0];
  EXPECT_EQ(receipt::covered(own, 4), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(own.record.node, testing::node(2));
  EXPECT_EQ(own.record.basis, award.cid);
  EXPECT_FALSE(own.record.worker);
  // Sent again: answered with the same.
  subject.forget();
  subject.parcel(1, {award.envelope});
  ASSERT_EQ(subject.signed_to<receipt::Commitment>(1).size(), 1U);
  EXPECT_EQ(subject.signed_to<receipt::Commitment>(1)[0].cid, own.cid);
  EXPECT_EQ(subject.executions, 0U);

  const Cid draw = testing::record("draw");
  const auto ask = [&](const std::optional<Cid>& under, const std::vector<Signed<receipt::Commitment>>& with,
                       const std::vector<Cid>& named) {
    subject.forget();
    std::vector<Envelope> envelopes;
    for (const auto& commitment : with) envelopes.push_back(commitment.envelope);
    envelopes.push_back(testing::signer(1).seal(verification::RevealRequest{
        .intent = task.intent.cid, .commitment = own.cid, .draw = under, .commitments = named}));
    subject.parcel(1, envelopes);
    return subject.last_refusal();
  };
  EXPECT_EQ(ask({}, {}, {}), "early: this task is verified, and no draw is named");
  EXPECT_EQ(ask(draw, {}, {}), "early: not all verifiers have committed yet");
  const auto seat = [&](std::uint8_t number, const std::vector<std::uint32_t>& shards, std::string_view basis = "draw",
                        std::optional<Cid> worker = {}) {
    return commitment_of(number, task.intent.cid, testing::record(basis), worker.value_or(own.cid), shards);
  };
  const auto third = seat(3, {0, 1, 2});
  const auto fourth = seat(4, {0, 1, 2});
  const auto fifth = seat(5, {0, 2});
  EXPECT_EQ(ask(draw, {third, fourth}, {third.cid, fourth.cid, fifth.cid}),
            "early: a verifier's commitment is named but did not come along");
  EXPECT_EQ(ask(draw, {fifth}, {third.cid, fourth.cid, fifth.cid}), "early: not all verifiers have committed yet")
      << "on shard 1 there are two";
  EXPECT_EQ(ask(draw, {}, {third.cid, fourth.cid, fifth.cid, third.cid}), "early: not all verifiers have committed yet")
      << "naming one twice makes it no two";
  const auto under_another = seat(6, {1}, "another draw");
  EXPECT_EQ(ask(draw, {under_another}, {third.cid, fourth.cid, fifth.cid, under_another.cid}),
            "early: a verifier's commitment is named but did not come along");
  const auto of_another = seat(6, {1}, "draw", testing::record("another's commitment"));
  EXPECT_EQ(ask(draw, {of_another}, {third.cid, fourth.cid, fifth.cid, of_another.cid}),
            "early: a verifier's commitment is named but did not come along");
  EXPECT_TRUE(subject.sent_to<receipt::ExecutionReceipt>(1).empty());
  const auto sixth = seat(6, {1});
  EXPECT_EQ(ask(draw, {sixth}, {third.cid, fourth.cid, fifth.cid, sixth.cid}), "");
  const auto receipts = subject.sent_to<receipt::ExecutionReceipt>(1);
  ASSERT_EQ(receipts.size(), 1U);
  const Result<receipt::Opened> opened = receipt::open_execution(own, receipts[0], 4);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  for (std::uint32_t shard = 0; shard < 3; ++shard) EXPECT_EQ(*opened->find(shard), truth(shard));
}

TEST(NodeEngagement, GathersForLongerTheLongerTheTaskRuns) {
  const Task task;
  const auto runs = [](const std::vector<std::uint32_t>& done) {
    return [done](std::uint32_t shard) {
      return std::ranges::find(done, shard) == done.end() ? std::nullopt : std::optional(truth(shard));
    };
  };
  const auto commitments_after = [](Subject& subject, Duration wait) {
    subject.now += wait;
    subject.step(event::Tick{});
    return subject.signed_to<receipt::Commitment>(1).size();
  };
  struct Case {
    Duration running;  ///< before anything is found
    std::vector<std::uint32_t> done;
    Duration wait;
  };
  const std::vector<Case> cases{{milliseconds(100), {1}, milliseconds(50)},
                                {milliseconds(1600), {1}, milliseconds(100)},
                                {seconds(60), {1}, milliseconds(250)},
                                {seconds(60), {1, 2}, milliseconds(50)}};  // Half the lease: it is to be topped up.
  for (const auto& [running, done, wait] : cases) {
    Subject subject;
    task.begin(subject);
    subject.parcel(1, {task.award({{0, 4}}).envelope});
    subject.now += running;
    subject.run_all(runs(done));
    EXPECT_EQ(commitments_after(subject, wait - milliseconds(10)), 0U) << wait;
    EXPECT_EQ(commitments_after(subject, milliseconds(15)), 1U) << wait;
  }
}

TEST(NodeEngagement, AVerdictTakesADecidedShardOutOfItsLease) {
  using verification::Decision;
  const Task task;
  for (const Decision decision : {Decision::rejected, Decision::disputed, Decision::accepted, Decision::undetermined}) {
    Subject subject;
    task.begin(subject);
    subject.parcel(1, {task.award({{0, 4}}).envelope});
    // Shard 1 ends; 0, 2 and 3 take long.
    subject.run_all([](std::uint32_t shard) { return shard == 1 ? std::optional(truth(shard)) : std::nullopt; });
    EXPECT_TRUE(subject.sent_to<receipt::Commitment>(1).empty()) << "it waits a moment for the others";
    subject.parcel(1, {task.verdict({{2, 2}}, decision).envelope});
    EXPECT_TRUE(subject.sent_to<receipt::Commitment>(1).empty());
    EXPECT_EQ(subject.last_refusal(), "");
    subject.parcel(1, {task.verdict({{0, 1}}, decision).envelope});
    const auto commitments = subject.signed_to<receipt::Commitment>(1);
    if (decision == Decision::rejected || decision == Decision::disputed) {
      EXPECT_TRUE(commitments.empty()) << "somebody has to do them again, perhaps this node";
      subject.run_all([](std::uint32_t shard) { return truth(shard); });
      ASSERT_EQ(subject.signed_to<receipt::Commitment>(1).size(), 1U);
      EXPECT_EQ(receipt::covered(subject.signed_to<receipt::Commitment>(1)[0], 4)->size(), 4U);
      continue;
    }
    ASSERT_EQ(commitments.size(), 1U) << "there is nothing left to wait for";
    EXPECT_EQ(receipt::covered(commitments[0], 4), (std::vector<std::uint32_t>{1}));
    // What runs still comes to nothing: nobody waits for it.
    subject.forget();
    subject.run_all([](std::uint32_t shard) { return truth(shard); });
    subject.now += seconds(1);
    subject.step(event::Tick{});
    EXPECT_TRUE(subject.sent_to<receipt::Commitment>(1).empty());
  }
}

/// A task of node 1 in which node 3 has committed to shards 0 to 2 and the seats are drawn; the subject is a verifier.
struct Drawn {
  Task task;
  Subject subject;
  Signed<receipt::Commitment> worker;
  Signed<verification::Draw> draw;
  std::vector<std::uint32_t> seats;  ///< the subject's

  explicit Drawn(const Finds& finds = truth, bool is_sealed = false) : task("a task", is_sealed) {
    task.begin(subject);
    const Cid& cid = task.intent.cid;
    worker = commitment_of(3, cid, testing::record("award of node 3"), {}, {0, 1, 2}, finds);
    const auto open = testing::signer(1).sign(verification::RoundOpen{
        .intent = cid, .roster = task.roster.cid, .round = 1, .commitments = {worker.cid}, .seats = {3}, .barred = {}});
    subject.parcel(1, {worker.envelope, open.envelope});
    const auto own = subject.signed_to<verification::NonceReveal>(1);
    EXPECT_EQ(own.size(), 1U);
    std::vector<Signed<verification::NonceReveal>> reveals{own.at(0)};
    for (std::uint8_t number = 3; number <= 6; ++number) {
      const Digest secret = testing::signer(number).secret("meshwork/1/verifier-chain", {cid.binary()});
      reveals.push_back(testing::signer(number).sign(
          verification::NonceReveal{.intent = cid,
                                    .open = open.cid,
                                    .round = 1,
                                    .link = verification::chain_link(secret, task::max_rounds(4), 1)}));
    }
    verification::Draw record{
        .intent = cid, .open = open.cid, .round = 1, .link = Task::publisher_link(1), .reveals = {}};
    std::vector<Envelope> envelopes;
    for (const auto& reveal : reveals) {
      record.reveals.push_back(reveal.cid);
      envelopes.push_back(reveal.envelope);
    }
    draw = testing::signer(1).sign(std::move(record));
    envelopes.push_back(draw.envelope);
    const auto field = verification::make_field(task.intent, task.roster, task.offers);
    const auto round = verification::make_round(*field, open, reveals, draw);
    EXPECT_TRUE(round.has_value()) << round.error().message;
    for (std::uint32_t shard = 0; round && shard < 3; ++shard) {
      const verification::Seats of_shard{
          .order = round->order(worker.cid, shard, testing::node(3)), .wanted = 3, .lost = {}};
      if (of_shard.holds(testing::node(2))) seats.push_back(shard);
    }
    subject.forget();
    subject.parcel(1, envelopes);
    EXPECT_EQ(subject.last_refusal(), "");
  }
  [[nodiscard]] std::vector<std::uint32_t> wanted() const {
    std::vector<std::uint32_t> shards;
    for (const effect::Execute& run : subject.runs) shards.insert(shards.end(), run.shards.begin(), run.shards.end());
    std::ranges::sort(shards);
    return shards;
  }
};

TEST(NodeEngagement, AVerifierRunsItsSeatsAndAnswersForThemTogether) {
  const Finds finds = [](std::uint32_t shard) { return shard == 1 ? lie(shard) : truth(shard); };
  Drawn drawn(finds);
  Subject& subject = drawn.subject;
  ASSERT_FALSE(drawn.seats.empty()) << "the seeds, which are fixed, seat it";
  EXPECT_EQ(drawn.wanted(), drawn.seats);
  const Signed<receipt::ExecutionReceipt> receipt = receipt_of(3, drawn.worker, finds);
  // The worker's receipt before this node has committed is no help to it.
  subject.parcel(1, {receipt.envelope});
  EXPECT_TRUE(subject.sent_to<receipt::Commitment>(1).empty());
  subject.run_all([](std::uint32_t shard) { return truth(shard); });
  const auto commitments = subject.signed_to<receipt::Commitment>(1);
  ASSERT_EQ(commitments.size(), 1U);
  const Signed<receipt::Commitment>& own = commitments[0];
  EXPECT_EQ(receipt::covered(own, 4), drawn.seats);
  EXPECT_EQ(own.record.basis, drawn.draw.cid);
  EXPECT_EQ(own.record.worker, drawn.worker.cid);
  EXPECT_EQ(own.record.root,
            commitment_of(2, drawn.task.intent.cid, drawn.draw.cid, drawn.worker.cid, drawn.seats).record.root)
      << "what it found itself";
  subject.forget();
  subject.parcel(1, {receipt.envelope});
  const auto answers = subject.sent_to<receipt::VerificationReceipt>(1);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].receipt, receipt.cid);
  const Result<receipt::Opened> opened = receipt::open_execution(drawn.worker, receipt.record, 4);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  const auto differing = receipt::open_verification(own, answers[0], *opened, 4);
  ASSERT_TRUE(differing.has_value()) << differing.error().message;
  const bool sits_on_the_lie = std::ranges::find(drawn.seats, 1U) != drawn.seats.end();
  ASSERT_EQ(differing->size(), sits_on_the_lie ? 1U : 0U);
  if (sits_on_the_lie) {
    EXPECT_EQ(differing->at(1), truth(1));
  }
}

TEST(NodeEngagement, AReceiptThatDoesNotOpenTheWorkersCommitmentIsRefused) {
  Drawn drawn;
  Subject& subject = drawn.subject;
  subject.run_all([](std::uint32_t shard) { return truth(shard); });
  const auto refusal = [&](const Envelope& envelope) {
    subject.forget();
    subject.parcel(1, {envelope});
    EXPECT_TRUE(subject.sent_to<receipt::VerificationReceipt>(1).empty());
    return subject.last_refusal();
  };
  EXPECT_EQ(refusal(receipt_of(3, drawn.worker, lie).envelope), "what is revealed is not what was committed to");
  EXPECT_EQ(refusal(testing::signer(4).seal(receipt_of(3, drawn.worker).record)),
            "not-the-worker: the receipt is not by whom committed to it");
}

// ---------------------------------------------------------------------------------------------------- the publisher

/// The subject publishes a task of ten shards that nodes 1, 3, 4, 5 and 6 work on; what they say is the test's.
struct Publisher {
  static constexpr std::uint32_t shards = 10;
  static constexpr std::array<std::uint8_t, 5> members{1, 3, 4, 5, 6};
  Subject subject;
  Cid job;

  explicit Publisher(std::string label = "a task", std::optional<bool> sealed = {}) {
    for (const std::uint8_t number : members) subject.step(event::PeerUp{testing::node(number)});
    subject.step(event::Submit{.spec = {.function = testing::content("function"),
                                        .inputs = testing::record("inputs"),
                                        .shards = shards,
                                        .reduce = {},
                                        .scope = {},
                                        .fee = 0,
                                        .verifiers = 3,
                                        .bid_window_ms = 1000,
                                        .limits = {},
                                        .label = std::move(label),
                                        .created_ms = 0,
                                        .sealed = sealed},
                               .entropy = testing::digest("entropy")});
    job = subject.node->jobs().at(0);
    const auto intent = story<task::TaskIntent>().at(0);
    for (const std::uint8_t number : members) {
      const Digest tip = Engagement::nonce_tip(testing::signer(number), intent);
      say(number, testing::offer_on(job, tip));
    }
    EXPECT_EQ(view().phase, JobPhase::running) << view().failure;
    for (const std::uint8_t number : members) EXPECT_EQ(awarded(number).size(), 2U);
  }
  [[nodiscard]] JobView view() const { return *subject.node->job(job); }
  [[nodiscard]] ShardView shard(std::uint32_t number) const { return subject.node->shards(job, number, 1).at(0); }
  [[nodiscard]] std::string state(std::uint32_t number) const { return shard(number).state; }
  template <class T>
  void say(std::uint8_t number, const T& record) {
    subject.parcel(number, {testing::signer(number).seal(record)});
  }
  template <class T>
  void say(std::uint8_t number, const Signed<T>& record) {
    subject.parcel(number, {record.envelope});
  }
  /// All records of a type in the job's story.
  template <class T>
  [[nodiscard]] std::vector<Signed<T>> story() const {
    std::vector<Signed<T>> records;
    for (const Envelope& envelope : subject.node->story(job)) {
      if (type_of(envelope.body) == T::type) records.push_back(*open<T>(envelope, testing::federation()));
    }
    return records;
  }
  [[nodiscard]] Signed<market::Award> latest_award(std::uint8_t number) const {
    std::optional<Signed<market::Award>> latest;
    const auto offers = story<market::ComputeOffer>();
    for (Signed<market::Award>& award : story<market::Award>()) {
      const auto offer = std::ranges::find(offers, award.record.offer, &Signed<market::ComputeOffer>::cid);
      if (offer != offers.end() && offer->signer == testing::node(number)) latest = std::move(award);
    }
    EXPECT_TRUE(latest.has_value());
    return latest.value();
  }
  /// Shards of its latest award.
  [[nodiscard]] std::vector<std::uint32_t> awarded(std::uint8_t number) const {
    return *task::expand(latest_award(number).record.shards, shards);
  }
  /// A worker commits to shards of its latest award.
  Signed<receipt::Commitment> work(std::uint8_t number, const std::vector<std::uint32_t>& done,
                                   const Finds& finds = truth) {
    Signed<receipt::Commitment> commitment = commitment_of(number, job, latest_award(number).cid, {}, done, finds);
    say(number, commitment);
    return commitment;
  }
  /// Everybody reveals its nonce of the round that is open; it is drawn.
  void draw() {
    const auto opened = story<verification::RoundOpen>();
    ASSERT_FALSE(opened.empty());
    const Signed<verification::RoundOpen>& round = opened.back();
    const std::size_t before = story<verification::Draw>().size();
    for (const std::uint8_t number : members) {
      const Digest secret = testing::signer(number).secret("meshwork/1/verifier-chain", {job.binary()});
      say(number, verification::NonceReveal{
                      .intent = job,
                      .open = round.cid,
                      .round = round.record.round,
                      .link = verification::chain_link(secret, task::max_rounds(shards), round.record.round)});
    }
    ASSERT_EQ(story<verification::Draw>().size(), before + 1);
  }
  [[nodiscard]] Cid latest_draw() const { return story<verification::Draw>().back().cid; }
  /// Who verifies a shard now, as the job tells.
  [[nodiscard]] std::vector<std::uint8_t> seats(std::uint32_t number) const {
    std::vector<std::uint8_t> numbers;
    for (const SeatView& seat : shard(number).seats) {
      for (const std::uint8_t member : members) {
        if (testing::node(member) == seat.node) numbers.push_back(member);
      }
    }
    return numbers;
  }
  [[nodiscard]] bool seated(std::uint8_t number, std::uint32_t on) const {
    const auto all = seats(on);
    return std::ranges::find(all, number) != all.end();
  }
  /// A verifier commits, under the latest draw.
  Signed<receipt::Commitment> verify(std::uint8_t number, const Signed<receipt::Commitment>& worker,
                                     const std::vector<std::uint32_t>& on, const Finds& finds = truth) {
    Signed<receipt::Commitment> commitment = commitment_of(number, job, latest_draw(), worker.cid, on, finds);
    say(number, commitment);
    return commitment;
  }
  /// A verifier that agrees with the worker on all of it opens its commitment.
  void agree(std::uint8_t number, const Signed<receipt::Commitment>& own, const Cid& receipt) {
    say(number, receipt::VerificationReceipt{.intent = job,
                                             .receipt = receipt,
                                             .commitment = own.cid,
                                             .key = receipt::salt_key(testing::signer(number), own.record),
                                             .differing = {},
                                             .findings = {}});
  }
  /// Every seat of the worker's commitment commits, the worker reveals, every seat agrees.
  void verify_all(std::uint8_t worker, const Signed<receipt::Commitment>& commitment) {
    const std::vector<std::uint32_t> covered = *receipt::covered(commitment, shards);
    std::vector<std::pair<std::uint8_t, Signed<receipt::Commitment>>> own;
    for (const std::uint8_t member : members) {
      std::vector<std::uint32_t> on;
      std::ranges::copy_if(covered, std::back_inserter(on), [&](std::uint32_t s) { return seated(member, s); });
      if (!on.empty()) own.emplace_back(member, commitment_of(member, job, latest_draw(), commitment.cid, on));
    }
    for (const auto& [member, verification] : own) say(member, verification);
    const Signed<receipt::ExecutionReceipt> receipt = receipt_of(worker, commitment);
    say(worker, receipt);
    for (const auto& [member, verification] : own) agree(member, verification, receipt.cid);
  }
  /// Why the last record of a member was refused; empty if it was not.
  [[nodiscard]] std::string refusal(std::uint8_t number) const {
    const auto refusals = subject.sent_to<market::Refusal>(number);
    return refusals.empty() ? "" : refusals.back().reason;
  }
  [[nodiscard]] std::size_t blamed() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(subject.notices, [](const Notice& notice) { return notice.kind == "job.blame"; }));
  }
};

TEST(NodeJob, ABatchIsVerifiedAsAWhole) {
  Publisher p;
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  EXPECT_EQ(p.refusal(3), "");
  EXPECT_EQ(p.state(shards[0]), "committed");
  p.draw();
  EXPECT_EQ(p.state(shards[0]), "verifying");
  EXPECT_FALSE(p.seated(3, shards[0])) << "nobody verifies itself";
  p.verify_all(3, commitment);
  for (const std::uint32_t shard : shards) {
    EXPECT_EQ(p.state(shard), "accepted");
    EXPECT_EQ(p.shard(shard).finding, truth(shard));
    EXPECT_EQ(p.shard(shard).worker, testing::node(3));
  }
  // Decided as soon as its seats have answered, each shard once, and the worker is told.
  std::vector<std::uint32_t> decided;
  for (const verification::Verdict& verdict : p.subject.sent_to<verification::Verdict>(3)) {
    EXPECT_EQ(verdict.decision, verification::Decision::accepted);
    const auto told = task::expand(verdict.shards, Publisher::shards);
    decided.insert(decided.end(), told->begin(), told->end());
  }
  std::ranges::sort(decided);
  EXPECT_EQ(decided, shards);
  EXPECT_EQ(p.story<receipt::ExecutionReceipt>().size(), 1U);
  EXPECT_EQ(p.blamed(), 0U);
  EXPECT_EQ(p.view().finished, 2U);
}

TEST(NodeJob, WhatIsDecidedIsShownOnceItIsDurable) {
  Publisher p;
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  p.draw();
  p.subject.disk_waits = true;
  p.verify_all(3, commitment);
  p.subject.step(event::StopJob{p.job});
  EXPECT_EQ(p.subject.journal.back().kind, "end");
  EXPECT_EQ(p.state(shards[0]), "verifying");
  EXPECT_FALSE(p.shard(shards[0]).finding.has_value());
  EXPECT_EQ(p.view().finished, 0U);
  EXPECT_EQ(p.view().phase, JobPhase::running);
  EXPECT_EQ(p.view().failure, "");
  EXPECT_TRUE(p.story<verification::Verdict>().empty());
  p.subject.disk_waits = false;
  p.subject.carry_out(std::exchange(p.subject.waiting, {}));
  for (const std::uint32_t shard : shards) EXPECT_EQ(p.shard(shard).finding, truth(shard));
  EXPECT_EQ(p.view().finished, 2U);
  EXPECT_EQ(p.view().phase, JobPhase::stopped);
  EXPECT_EQ(p.view().failure, "stopped: by its owner");
  EXPECT_FALSE(p.story<verification::Verdict>().empty());
}

TEST(NodeJob, AReceiptBeforeItWasAskedForIsEarly) {
  Publisher p;
  const auto commitment = p.work(3, p.awarded(3));
  const std::string early = "early: nobody has asked for this receipt yet";
  p.say(3, receipt_of(3, commitment));
  EXPECT_EQ(p.refusal(3), early);
  p.draw();
  p.subject.forget();
  p.say(3, receipt_of(3, commitment));
  EXPECT_EQ(p.refusal(3), early) << "the verifiers have not committed";
  EXPECT_TRUE(p.story<receipt::ExecutionReceipt>().empty());
  for (const std::uint8_t member : Publisher::members)
    EXPECT_TRUE(p.subject.sent_to<receipt::ExecutionReceipt>(member).empty()) << "nobody is helped by it";
  EXPECT_EQ(p.blamed(), 0U);
  p.subject.forget();
  p.verify_all(3, commitment);
  EXPECT_EQ(p.refusal(3), "");
  EXPECT_EQ(p.view().finished, 2U) << "and taken in its time";
}

TEST(NodeJob, AnothersReceiptOrAnswerIsRefused) {
  Publisher p;
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  p.draw();
  std::map<std::uint8_t, Signed<receipt::Commitment>> own;
  for (const std::uint8_t member : Publisher::members) {
    std::vector<std::uint32_t> on;
    std::ranges::copy_if(shards, std::back_inserter(on), [&](std::uint32_t s) { return p.seated(member, s); });
    if (!on.empty()) own.emplace(member, p.verify(member, commitment, on));
  }
  const auto receipt = receipt_of(3, commitment);
  p.say(4, receipt.record);
  EXPECT_EQ(p.refusal(4), "not-the-worker: another node committed to these shards");
  const std::uint8_t first = own.begin()->first;
  const std::uint8_t second = std::next(own.begin())->first;
  p.agree(first, own.at(first), receipt.cid);
  EXPECT_EQ(p.refusal(first), "early: a verification before the worker's receipt");
  EXPECT_TRUE(p.story<receipt::VerificationReceipt>().empty());
  p.say(3, receipt);
  p.subject.forget();
  p.agree(second, own.at(first), receipt.cid);
  EXPECT_EQ(p.refusal(second), "uncommitted: another node made the commitment that this opens");
  EXPECT_EQ(p.blamed(), 0U) << "and it keeps its seat";
  EXPECT_TRUE(p.seated(second, own.at(second).record.shards[0].first));
}

TEST(NodeJob, AVerifierCommitsToShardsThatItHasASeatOn) {
  Publisher p;
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  p.draw();
  const std::string not_drawn = "not-drawn: this node has no seat on all of these shards";
  p.verify(3, commitment, shards);
  EXPECT_EQ(p.refusal(3), not_drawn) << "the worker itself";
  std::size_t without = 0;
  for (const std::uint8_t member : Publisher::members) {
    if (member == 3 || (p.seated(member, shards[0]) && p.seated(member, shards[1]))) continue;
    ++without;
    p.verify(member, commitment, shards);
    EXPECT_EQ(p.refusal(member), not_drawn) << int{member} << " has no seat on one of them";
    for (const std::uint32_t shard : shards) {
      for (const SeatView& seat : p.shard(shard).seats) EXPECT_EQ(seat.state, "asked") << "nothing of it is taken";
    }
  }
  EXPECT_GT(without, 0U) << "three seats for four";
  const std::uint8_t seated = p.seats(shards[0])[0];
  p.subject.forget();
  p.verify(seated, commitment, shards[0] == 0 ? std::vector{0U, 9U} : std::vector{0U, shards[0]});
  EXPECT_EQ(p.refusal(seated), not_drawn) << "a shard of another worker";
  p.say(seated, commitment_of(seated, p.job, testing::record("no draw"), commitment.cid, {shards[0]}));
  EXPECT_EQ(p.refusal(seated), "unknown-basis: the commitment answers no award and no open draw of this task");
  p.say(seated, commitment_of(seated, p.job, p.latest_draw(), testing::record("no worker"), {shards[0]}));
  EXPECT_EQ(p.refusal(seated), "stale-draw: the shards of this commitment are decided or drawn anew");
  receipt::Commitment stolen = commitment_of(seated, p.job, p.latest_draw(), commitment.cid, {shards[0]}).record;
  stolen.node = testing::node(99);
  p.say(seated, stolen);
  EXPECT_EQ(p.refusal(seated), "not-the-signers: the commitment is in another node's name");
  EXPECT_TRUE(p.subject.sent_to<verification::RevealRequest>(3).empty());
  EXPECT_EQ(p.blamed(), 0U);
  p.verify_all(3, commitment);
  EXPECT_EQ(p.view().finished, 2U) << "it harmed nobody";
}

TEST(NodeJob, ASeatMayCommitToItsShardsBitByBit) {
  Publisher p;
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  p.draw();
  std::uint8_t split = 0;
  for (const std::uint8_t member : Publisher::members) {
    if (p.seated(member, shards[0]) && p.seated(member, shards[1])) split = member;
  }
  ASSERT_NE(split, 0) << "of four, two have seats on both";
  std::vector<std::pair<std::uint8_t, Signed<receipt::Commitment>>> own;
  own.emplace_back(split, p.verify(split, commitment, {shards[0]}));
  EXPECT_EQ(p.refusal(split), "");
  for (const std::uint8_t member : Publisher::members) {
    std::vector<std::uint32_t> on;
    std::ranges::copy_if(shards, std::back_inserter(on), [&](std::uint32_t s) { return p.seated(member, s); });
    if (member != split && !on.empty()) own.emplace_back(member, p.verify(member, commitment, on));
  }
  EXPECT_TRUE(p.subject.sent_to<verification::RevealRequest>(3).empty()) << "a seat of one shard has not committed";
  const std::string replayed = "replayed: this node has committed to shard " + std::to_string(shards[0]) + " already";
  p.verify(split, commitment, {shards[0]}, lie);
  EXPECT_EQ(p.refusal(split), replayed);
  p.verify(split, commitment, shards);
  EXPECT_EQ(p.refusal(split), replayed) << "not with another beside it either";
  p.subject.forget();
  p.say(split, own[0].second);
  EXPECT_EQ(p.refusal(split), "") << "the same again is no offence";
  own.emplace_back(split, p.verify(split, commitment, {shards[1]}));
  const auto requests = p.subject.sent_to<verification::RevealRequest>(3);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].commitments.size(), own.size());
  const auto receipt = receipt_of(3, commitment);
  p.say(3, receipt);
  for (const auto& [member, verification] : own) p.agree(member, verification, receipt.cid);
  for (const std::uint32_t shard : shards) {
    EXPECT_EQ(p.state(shard), "accepted");
    EXPECT_EQ(p.shard(shard).seats.size(), 3U);
  }
  EXPECT_EQ(p.blamed(), 0U);
}

TEST(NodeJob, ARestThatIsDrawnAnewTakesCommitmentsToTheWholeBatch) {
  // Of the four that may verify, one has no seat on each shard: wanted is a task in which it is each time another.
  std::optional<Publisher> drawn;
  std::vector<std::uint32_t> shards;
  std::optional<Signed<receipt::Commitment>> committed;
  const auto spare_of = [&](std::uint32_t shard) {
    return *std::ranges::find_if(Publisher::members,
                                 [&](std::uint8_t m) { return m != 3 && !drawn->seated(m, shard); });
  };
  for (int number = 0; !drawn || spare_of(shards[0]) == spare_of(shards[1]); ++number) {
    ASSERT_LT(number, 32);
    drawn.emplace("task " + std::to_string(number));
    shards = drawn->awarded(3);
    committed = drawn->work(3, shards);
    drawn->draw();
  }
  Publisher& p = *drawn;
  const Signed<receipt::Commitment>& commitment = *committed;
  const std::uint8_t of_rest = spare_of(shards[0]);
  const std::uint8_t spare = spare_of(shards[1]);
  std::map<std::uint8_t, Signed<receipt::Commitment>> own;
  for (const std::uint8_t member : Publisher::members) {
    std::vector<std::uint32_t> on;
    std::ranges::copy_if(shards, std::back_inserter(on), [&](std::uint32_t s) { return p.seated(member, s); });
    if (!on.empty()) own.emplace(member, p.verify(member, commitment, on));
  }
  const auto receipt = receipt_of(3, commitment);
  p.say(3, receipt);
  for (const auto& [member, verification] : own) {
    if (member != of_rest) p.agree(member, verification, receipt.cid);
  }
  EXPECT_EQ(p.state(shards[0]), "accepted");
  EXPECT_EQ(p.state(shards[1]), "verifying") << "one of its seats has not revealed";
  // Neither that one nor the only one that could take its place is there any more: the rest is drawn anew.
  for (const std::uint8_t gone : {of_rest, spare}) p.subject.step(event::PeerDown{testing::node(gone)});
  for (int i = 0; i < 60 && p.story<verification::RoundOpen>().size() < 2; ++i) {
    p.subject.now += milliseconds(200);
    p.subject.step(event::Tick{});
  }
  for (const std::uint8_t back : {of_rest, spare}) p.subject.step(event::PeerUp{testing::node(back)});
  p.draw();
  ASSERT_EQ(p.story<verification::Draw>().size(), 2U);
  // Whoever is drawn commits to all that its draw gives it of the worker's commitment, decided or not.
  p.subject.forget();
  const std::string not_drawn = "not-drawn: this node has no seat on all of these shards";
  p.verify(3, commitment, shards);
  EXPECT_EQ(p.refusal(3), not_drawn);
  const std::vector<std::uint8_t> seats = p.seats(shards[1]);
  ASSERT_EQ(seats.size(), 3U);
  p.verify(seats[0], commitment, {std::min(shards[0], shards[1]) + 5});
  EXPECT_NE(p.refusal(seats[0]), "") << "a shard of another worker is still none of its";
  p.subject.forget();
  own.clear();
  for (const std::uint8_t member : seats) {
    own.emplace(member, p.verify(member, commitment, shards));
    EXPECT_EQ(p.refusal(member), "") << int{member};
  }
  for (const auto& [member, verification] : own) p.agree(member, verification, receipt.cid);
  EXPECT_EQ(p.state(shards[1]), "accepted");
  EXPECT_EQ(p.view().finished, 2U);
  const auto verdicts = p.story<verification::Verdict>();
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(verdicts[1].record.shards, task::ranges_of({shards[1]})) << "decided once";
  const Result<verification::ProofReport> report = verification::verify_bundle(
      verification::build_bundle(testing::federation(), {}, p.job, p.subject.node->story(p.job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(verification::Decision::accepted), 2U);
}

TEST(NodeJob, OfALaggingWorkersShardsTheFirstCommitmentCounts) {
  Publisher p;
  const std::vector<std::uint32_t> lagging = p.awarded(6);
  const Cid first_award = p.latest_award(6).cid;
  for (const std::uint8_t member : Publisher::members) {
    if (member != 6) p.work(member, p.awarded(member));
  }
  const std::size_t awards = p.story<market::Award>().size();
  p.subject.now += seconds(20);
  p.subject.step(event::Tick{});
  // Those that have nothing to do get them, the one that it would come to last first.
  ASSERT_EQ(p.story<market::Award>().size(), awards + 2);
  std::uint8_t second = 0;
  std::uint8_t third = 0;
  for (const std::uint8_t member : Publisher::members) {
    if (member == 6) continue;
    if (p.awarded(member) == std::vector{lagging[1]}) second = member;
    if (p.awarded(member) == std::vector{lagging[0]}) third = member;
  }
  ASSERT_NE(second, 0);
  ASSERT_NE(third, 0);
  p.subject.forget();
  EXPECT_EQ(p.shard(lagging[1]).worker, testing::node(6)) << "still";
  const auto taken = p.work(second, {lagging[1]});
  EXPECT_EQ(p.refusal(second), "");
  EXPECT_EQ(p.shard(lagging[1]).worker, testing::node(second));
  EXPECT_EQ(p.state(lagging[1]), "committed");
  // Too late, and no offence.
  const std::string stale = "stale-award: none of these shards is leased to this node under this award (any more)";
  p.say(6, commitment_of(6, p.job, first_award, {}, {lagging[1]}));
  EXPECT_EQ(p.refusal(6), stale);
  EXPECT_EQ(p.shard(lagging[1]).worker, testing::node(second));
  p.subject.forget();
  // What is its own still it commits to together with what is not.
  p.say(6, commitment_of(6, p.job, first_award, {}, lagging));
  EXPECT_EQ(p.refusal(6), "");
  EXPECT_EQ(p.state(lagging[0]), "committed");
  EXPECT_EQ(p.shard(lagging[0]).worker, testing::node(6));
  EXPECT_EQ(p.shard(lagging[1]).worker, testing::node(second)) << "that one is the other's";
  p.work(third, {lagging[0]});
  EXPECT_EQ(p.refusal(third), stale) << "the lagging one was first";
  EXPECT_EQ(p.shard(lagging[0]).worker, testing::node(6));
  EXPECT_EQ(p.blamed(), 0U);
  // Both are verified: the shard that both ran is decided once.
  p.draw();  // The first round, of whoever committed first.
  p.draw();  // All others.
  std::map<Cid, std::uint8_t> workers;
  for (const auto& commitment : p.story<receipt::Commitment>()) {
    if (commitment.record.worker) continue;
    for (const std::uint8_t member : Publisher::members) {
      if (testing::node(member) == commitment.signer) workers[commitment.cid] = member;
    }
  }
  const auto verify = [&](const Signed<receipt::Commitment>& commitment) {
    for (const auto& draw : p.story<verification::Draw>()) {
      const auto rounds = p.story<verification::RoundOpen>();
      const auto round = std::ranges::find(rounds, draw.record.open, &Signed<verification::RoundOpen>::cid);
      if (std::ranges::find(round->record.commitments, commitment.cid) == round->record.commitments.end()) continue;
      EXPECT_EQ(draw.cid, p.latest_draw());
    }
    p.verify_all(workers.at(commitment.cid), commitment);
  };
  verify(taken);
  EXPECT_EQ(p.state(lagging[1]), "accepted");
  EXPECT_EQ(p.state(lagging[0]), "verifying");
  std::size_t decided = 0;
  for (const auto& verdict : p.story<verification::Verdict>()) {
    const auto shards = task::expand(verdict.record.shards, Publisher::shards);
    if (std::ranges::find(*shards, lagging[1]) != shards->end()) ++decided;
  }
  EXPECT_EQ(decided, 1U);
  EXPECT_EQ(p.blamed(), 0U);
}

// ---------------------------------------------------------------------------------------------------- sealed inputs

using verification::KeyRequest;
using verification::ShardKeys;

verification::WrappedKeyBytes key_of(std::uint32_t shard) {
  std::array<std::uint8_t, verification::WrappedKeyBytes::size> bytes{};
  bytes.fill(static_cast<std::uint8_t>(shard + 1));
  return verification::WrappedKeyBytes(bytes);
}
ShardKeys keys_of(const Cid& intent, std::uint8_t to, const std::vector<std::uint32_t>& shards) {
  ShardKeys keys{.intent = intent, .to = testing::node(to), .shards = task::ranges_of(shards), .point = {}, .keys = {}};
  for (const std::uint32_t shard : shards) keys.keys.push_back(key_of(shard));
  return keys;
}
/// Runs with keys, by shard.
std::map<std::uint32_t, verification::WrappedKeyBytes> keyed(const Subject& subject) {
  std::map<std::uint32_t, verification::WrappedKeyBytes> keys;
  for (const effect::Execute& run : subject.runs) {
    EXPECT_TRUE(run.sealed);
    EXPECT_EQ(run.keys.size(), run.shards.size());
    for (std::size_t i = 0; i < run.keys.size(); ++i) keys.emplace(run.shards[i], run.keys[i].key);
  }
  return keys;
}
void wait(Subject& subject, Duration time) {
  subject.now += time;
  subject.step(event::Tick{});
}

TEST(NodeSealed, AnEngineThatIsNotKnownHereIsDeclinedByName) {
  // What a node of before says of a sealed task, and this one of a later kind of sealing.
  EXPECT_NE(task::engine_of(engine, true), engine);
  for (const std::string& other : {std::string("sealed-inputs/2;engine;1"), std::string("sealed-inputs/1;engine;2")}) {
    Subject subject;
    task::TaskIntent intent = testing::intent();
    intent.engine = other;
    const auto sealed = testing::signer(1).sign(intent);
    subject.gossip(Topic::intents, record::encode(sealed.envelope));
    EXPECT_EQ(subject.verdicts, std::vector{effect::GossipVerdict::accept}) << "nothing wrong with passing it on";
    const auto declines = subject.sent_to<market::Decline>(1);
    ASSERT_EQ(declines.size(), 1U);
    EXPECT_EQ(declines[0].reason, "engine: the task wants \"" + other + "\"");
    EXPECT_TRUE(subject.sent_to<market::ComputeOffer>(1).empty());
  }
}

TEST(NodeSealed, AWorkerRunsNothingBeforeItsKeysCome) {
  Subject subject;
  const Task task("sealed", true);
  task.begin(subject);
  subject.parcel(1, {task.award().envelope});
  EXPECT_EQ(subject.executions, 0U);
  const Cid& cid = task.intent.cid;
  const auto refused = [&](std::uint8_t from, const ShardKeys& keys, std::uint8_t signer = 1) {
    subject.notices.clear();
    subject.parcel(from, {testing::signer(signer).seal(keys)});
    EXPECT_EQ(subject.executions, 0U);
    return subject.last_refusal();
  };
  EXPECT_EQ(refused(1, keys_of(cid, 3, {0, 1})), "not-mine: the keys are for another node");
  ShardKeys few = keys_of(cid, 2, {0, 1});
  few.keys.pop_back();
  EXPECT_EQ(refused(1, few), "bad-keys: 1 keys for 2 shards");
  ShardKeys none = keys_of(cid, 2, {});
  EXPECT_TRUE(refused(1, none).starts_with("too-many: ")) << refused(1, none);
  none.shards = {{0, UINT32_MAX}};
  EXPECT_TRUE(refused(1, none).starts_with("too-many: "));
  EXPECT_TRUE(refused(7, keys_of(cid, 2, {0, 1}), 7).starts_with("not-the-publisher: "));
  EXPECT_TRUE(refused(1, keys_of(cid, 2, {0, 1}), 3).starts_with("not-the-giver: "));
  EXPECT_EQ(refused(3, keys_of(cid, 2, {0, 1}), 3), "") << "a member that did no work of which this node has a seat";
  EXPECT_EQ(refused(1, keys_of(cid, 2, {2, 3})), "") << "no shards of this node's";
  subject.parcel(1, {testing::signer(1).seal(keys_of(cid, 2, {0}))});
  EXPECT_EQ(keyed(subject), (std::map<std::uint32_t, verification::WrappedKeyBytes>{{0, key_of(0)}}));
  subject.parcel(1, {testing::signer(1).seal(keys_of(cid, 2, {0, 1}))});
  EXPECT_EQ(keyed(subject).size(), 2U) << "one of them is new";
  EXPECT_EQ(subject.executions, 2U);
}

TEST(NodeSealed, WhoLacksKeysAsksAndGivesUpInTheEnd) {
  Subject subject;
  const Task task("sealed", true);
  task.begin(subject);
  subject.parcel(1, {task.award().envelope});
  wait(subject, seconds(1));
  EXPECT_TRUE(subject.sent_to<KeyRequest>(1).empty()) << "they come by themselves";
  wait(subject, seconds(2));
  ASSERT_EQ(subject.sent_to<KeyRequest>(1).size(), 1U);
  EXPECT_EQ(subject.sent_to<KeyRequest>(1)[0].shards, (std::vector<task::ShardRange>{{0, 2}}));
  // That it is not this node's any more ends the asking.
  const auto asked = subject.signed_to<KeyRequest>(1)[0];
  Subject patient;
  task.begin(patient);
  patient.parcel(1, {task.award().envelope});
  subject.parcel(1, {testing::signer(1).seal(market::Refusal{
                        .intent = task.intent.cid, .about = asked.cid, .reason = "not-yours: any more"})});
  subject.forget();
  for (int i = 0; i < 30; ++i) {
    wait(subject, seconds(20));
    wait(patient, seconds(20));
  }
  EXPECT_TRUE(subject.sent_to<KeyRequest>(1).empty());
  EXPECT_TRUE(subject.sent_to<market::Decline>(1).empty());
  EXPECT_EQ(patient.sent_to<KeyRequest>(1).size(), 20U);
  ASSERT_EQ(patient.sent_to<market::Decline>(1).size(), 1U);
  EXPECT_TRUE(patient.sent_to<market::Decline>(1)[0].reason.starts_with("no-keys: "));
}

TEST(NodeSealed, AWrongKeyIsRefusedToItsGiverAndAskedForAgain) {
  Subject subject;
  const Task task("sealed", true);
  task.begin(subject);
  subject.parcel(1, {task.award({{0, 1}}).envelope, testing::signer(1).seal(keys_of(task.intent.cid, 2, {0}))});
  const auto fails = [&] {
    ASSERT_EQ(subject.runs.size(), 1U);
    event::ExecutionDone done{.id = subject.runs[0].id, .shards = {}, .last = true};
    done.shards.push_back({0, fail(ErrorCode::denied, "no"), true});
    subject.runs.clear();
    subject.step(std::move(done));
  };
  for (int i = 0; i < 3; ++i) {
    subject.forget();
    fails();
    const auto refusals = subject.sent_to<market::Refusal>(1);
    ASSERT_EQ(refusals.size(), 1U);
    EXPECT_EQ(refusals[0].reason, "wrong-key: the key of shard 0 does not open its input");
    wait(subject, seconds(20));
    EXPECT_EQ(subject.sent_to<KeyRequest>(1).size(), 1U);
    subject.parcel(1, {testing::signer(1).seal(keys_of(task.intent.cid, 2, {0}))});
  }
  EXPECT_TRUE(subject.runs.empty()) << "three wrong keys of one node are enough";
}

TEST(NodeSealed, ARestartedWorkerHasTheKeysThatItWasGiven) {
  Subject before;
  const Task task("sealed", true);
  task.begin(before);
  before.parcel(1, {task.award().envelope, testing::signer(1).seal(keys_of(task.intent.cid, 2, {0, 1}))});
  auto node = Node::create(Subject::config(), before.now, before.journal);
  ASSERT_TRUE(node.has_value()) << node.error().message;
  Subject after;
  after.now = before.now;
  after.node = std::move(*node);
  after.step(event::PeerUp{testing::node(1)});
  EXPECT_EQ(keyed(after).size(), 2U);
}

TEST(NodeSealed, AVerifierGetsOfTheWorkerWhatThePublisherWithholds) {
  Drawn drawn(truth, true);
  Subject& subject = drawn.subject;
  ASSERT_FALSE(drawn.seats.empty());
  EXPECT_TRUE(subject.runs.empty());
  wait(subject, seconds(3));
  EXPECT_EQ(subject.sent_to<KeyRequest>(1).size(), 1U);
  EXPECT_TRUE(subject.sent_to<KeyRequest>(3).empty()) << "the publisher first";
  // The publisher lies about the draw: that is for the signed records to say.
  subject.parcel(1, {testing::signer(1).seal(market::Refusal{.intent = drawn.task.intent.cid,
                                                             .about = subject.signed_to<KeyRequest>(1)[0].cid,
                                                             .reason = "not-yours: says the publisher"})});
  wait(subject, seconds(20));
  EXPECT_EQ(subject.sent_to<KeyRequest>(1).size(), 1U) << "no use in asking it again";
  const auto requests = subject.signed_to<KeyRequest>(3);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].record.commitment, drawn.worker.cid);
  EXPECT_EQ(requests[0].record.shards, task::ranges_of(drawn.seats));
  const auto field = verification::make_field(drawn.task.intent, drawn.task.roster, drawn.task.offers);
  EXPECT_EQ(verification::check_drawn(*field, requests[0], drawn.worker, drawn.seats, testing::federation()), Status());
  // Another member gives none that counts, the worker does.
  subject.parcel(4, {testing::signer(4).seal(keys_of(drawn.task.intent.cid, 2, drawn.seats))});
  EXPECT_TRUE(subject.runs.empty());
  subject.parcel(3, {testing::signer(3).seal(keys_of(drawn.task.intent.cid, 2, drawn.seats))});
  EXPECT_EQ(drawn.wanted(), drawn.seats);
  EXPECT_EQ(keyed(subject).size(), drawn.seats.size());
}

TEST(NodeSealed, ThePublisherHasKeysMadeForWorkersAndSeats) {
  Publisher p("sealed", true);
  std::map<NodeId, std::vector<std::uint32_t>> wrapped;
  const auto collect = [&] {
    wrapped.clear();
    for (const effect::WrapKeys& wrap : std::exchange(p.subject.wraps, {})) {
      EXPECT_TRUE(wrap.keys.empty()) << "its own, of the files' headers";
      EXPECT_TRUE(wrapped.emplace(wrap.to, wrap.shards).second) << "one at a time for each";
      p.subject.step(event::KeysWrapped{.id = wrap.id,
                                        .to = wrap.to,
                                        .shards = wrap.shards,
                                        .keys = verification::KeyParcel{{}, {wrap.shards.size(), key_of(0)}}});
    }
  };
  collect();
  for (const std::uint8_t number : Publisher::members) {
    EXPECT_EQ(wrapped[testing::node(number)], p.awarded(number));
    ASSERT_EQ(p.subject.sent_to<ShardKeys>(number).size(), 1U);
    EXPECT_EQ(p.subject.sent_to<ShardKeys>(number)[0].to, testing::node(number));
  }
  const std::vector<std::uint32_t> shards = p.awarded(3);
  const auto commitment = p.work(3, shards);
  p.draw();
  collect();
  for (const std::uint8_t number : Publisher::members) {
    std::vector<std::uint32_t> seats;
    std::ranges::copy_if(shards, std::back_inserter(seats), [&](std::uint32_t s) { return p.seated(number, s); });
    EXPECT_EQ(wrapped[testing::node(number)], seats) << int{number};
  }
  // Who asks gets what it has a part in, and no more.
  const auto ask = [&](std::uint8_t number, const std::vector<std::uint32_t>& wanted) {
    p.subject.now += seconds(1);
    p.say(number, KeyRequest{.intent = p.job, .shards = task::ranges_of(wanted), .commitment = {}, .proof = {}});
    collect();
    return wrapped[testing::node(number)];
  };
  EXPECT_EQ(ask(3, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), shards);
  EXPECT_EQ(ask(7, shards), std::vector<std::uint32_t>());
  EXPECT_EQ(p.refusal(7), "not-yours: this node has no part in the task");
  EXPECT_EQ(ask(4, p.awarded(5)), std::vector<std::uint32_t>());
  EXPECT_TRUE(p.refusal(4).starts_with("not-yours: ")) << p.refusal(4);
  p.verify_all(3, commitment);
  ASSERT_EQ(p.state(shards[0]), "accepted");
  EXPECT_EQ(ask(3, shards), std::vector<std::uint32_t>()) << "it is decided";
  EXPECT_EQ(p.blamed(), 0U);
}

TEST(NodeSealed, AnInputThatItsPublisherCannotOpenEndsTheJob) {
  for (const ErrorCode code : {ErrorCode::storage, ErrorCode::invalid}) {
    Publisher p("sealed", true);
    ASSERT_FALSE(p.subject.wraps.empty());
    const effect::WrapKeys wrap = p.subject.wraps.front();
    p.subject.step(
        event::KeysWrapped{.id = wrap.id, .to = wrap.to, .shards = wrap.shards, .keys = fail(code, "broken")});
    if (code == ErrorCode::invalid) {
      EXPECT_EQ(p.view().phase, JobPhase::failed);
      EXPECT_EQ(p.view().failure, "bad-seal: broken");
    } else {
      EXPECT_EQ(p.view().phase, JobPhase::running);
      EXPECT_EQ(p.view().notes.back(), "keys could not be made yet: broken");
    }
  }
}

TEST(NodeSealed, APlainTaskIsAskedForNoKeys) {
  Publisher p;
  EXPECT_TRUE(p.subject.wraps.empty());
  p.say(3, KeyRequest{.intent = p.job, .shards = {{0, 1}}, .commitment = {}, .proof = {}});
  EXPECT_EQ(p.refusal(3), "not-sealed: the inputs of this task have no keys");
}

TEST(NodeSealed, AJournalOfBeforeReadsBack) {
  JobSpec spec;
  dagcbor::Value old = record::to_value(spec);
  EXPECT_EQ(old.find("sealed"), nullptr);
  JobSpec back;
  EXPECT_EQ(record::from_value(old, back), Status());
  spec.sealed = true;
  EXPECT_EQ(record::from_value(record::to_value(spec), back), Status());
  EXPECT_EQ(back.sealed, true);
}

// ---------------------------------------------------------------------------------------------------- prices, and offers by hand

/// A task of node 1 that the subject could run, but for what `change` makes of it.
Signed<task::TaskIntent> wanted(const std::function<void(task::TaskIntent&)>& change = {}) {
  task::TaskIntent intent = testing::intent();
  intent.engine = engine;
  if (change) change(intent);
  return testing::signer(1).sign(std::move(intent));
}
/// What the subject answers to the intent: "offers COST", or the reason for its decline.
std::string answer(Subject& subject, const Signed<task::TaskIntent>& intent) {
  subject.forget();
  subject.gossip(Topic::intents, record::encode(intent.envelope));
  const auto offers = subject.sent_to<market::ComputeOffer>(1);
  const auto declines = subject.sent_to<market::Decline>(1);
  EXPECT_EQ(offers.size() + declines.size(), 1U);
  if (!offers.empty()) return "offers " + std::to_string(offers.front().cost);
  return declines.empty() ? "" : declines.front().reason;
}

TEST(NodePricing, FreeTasksAreFreeWhateverThePrice) {
  Subject without;
  EXPECT_EQ(answer(without, wanted()), "offers 0");
  Config config = Subject::config();
  config.pricing = {.price = 1'000'000, .minimum = 1'000'000};
  Subject with(config);
  EXPECT_EQ(answer(with, wanted()), "offers 0");
}

TEST(NodePricing, AFeeBelowThePriceIsDeclinedByTheNumbers) {
  const auto with_fee = [](std::uint64_t fee) {
    return wanted([&](task::TaskIntent& intent) {
      intent.fee = fee;
      intent.scope.fuel = market::fuel_unit;
    });
  };
  Config config = Subject::config();
  config.pricing = {.price = 1000, .minimum = 0, .idle_discount = 10};
  Subject subject(config);
  EXPECT_EQ(answer(subject, with_fee(999)), "price: of the fee of 999 a worker gets 899, and a shard costs 900 here");
  // Whoever pays enough is told that nothing can be paid yet.
  EXPECT_EQ(answer(subject, with_fee(1000)), "fee: this version has no ledger yet, so only free tasks are taken");
  Subject unset;
  EXPECT_EQ(answer(unset, with_fee(1)), "fee: this version has no ledger yet, so only free tasks are taken");
  config.accepts_work = false;
  Subject resting(config);
  EXPECT_EQ(answer(resting, with_fee(1)), "takes no work");
}

TEST(NodePricing, ThePriceFollowsWhatRunsHere) {
  Config config = Subject::config();
  config.slots = 1;
  config.pricing = {.price = 1000};
  Subject subject(config);
  const Task task;
  subject.gossip(Topic::intents, record::encode(task.intent.envelope));
  subject.parcel(1, task.roster_parcel());
  subject.parcel(1, {task.award({{0, 4}}).envelope});
  ASSERT_EQ(subject.runs.size(), 1U);
  subject.now += seconds(20);
  subject.step(event::Tick{});
  std::uint64_t fee = 1300;
  const auto intent = wanted([&](task::TaskIntent& one) {
    one.fee = fee;
    one.scope.fuel = market::fuel_unit;
  });
  EXPECT_EQ(answer(subject, intent), "price: of the fee of 1300 a worker gets 1170, and a shard costs 1200 here");
}

TEST(NodePricing, SettingsOutOfBoundsAreRefused) {
  Config config = Subject::config();
  config.pricing.ceiling = 99;
  EXPECT_FALSE(Node::create(std::move(config), Instant{}, {}).has_value());
}

std::string by_hand(Subject& subject, const Cid& intent, std::uint64_t cost) {
  subject.forget();
  const event::OfferByHand offer{.intent = intent, .cost = cost};
  const Status status = subject.node->check_offer_by_hand(subject.now + milliseconds(1), offer);
  subject.step(offer);
  const auto offers = subject.sent_to<market::ComputeOffer>(1);
  EXPECT_EQ(offers.size(), status ? 1U : 0U) << "the event does what the check says";
  EXPECT_TRUE(subject.sent_to<market::Decline>(1).empty()) << "what the owner tried is nobody's business";
  if (!status) return status.error().message.substr(0, status.error().message.find(':'));
  return offers.empty() ? "" : "offers " + std::to_string(offers.front().cost);
}

TEST(NodeByHand, OffersWhereTheQuotaHadItDecline) {
  Config config = Subject::config();
  config.policy.free_quota.fuel_per_hour = 0;
  Subject subject(config);
  const auto intent = wanted([&](task::TaskIntent& one) { one.policy = policy::cid_of(config.policy); });
  // The charter follows from the policy, so node 1 is of this node's federation only if it signs for that.
  const identity::Signer publisher(testing::seed_of(1), subject.node->federation());
  const Signed<task::TaskIntent> own = publisher.sign(task::TaskIntent(intent.record));
  subject.gossip(Topic::intents, record::encode(own.envelope));
  ASSERT_EQ(subject.node->intents().size(), 1U);
  EXPECT_TRUE(subject.node->intents().front().state.starts_with("declined: free quota used up"));
  subject.step(event::OfferByHand{.intent = own.cid, .cost = 0});
  EXPECT_EQ(subject.node->intents().front().state, "offered");
}

TEST(NodeByHand, IsRefusedByName) {
  Config config = Subject::config();
  config.resources.memory_mb = 1024;
  Subject subject(config);
  EXPECT_EQ(by_hand(subject, testing::record("nothing"), 0), "unknown-intent");
  const auto offered = wanted();
  EXPECT_EQ(answer(subject, offered), "offers 0");
  EXPECT_EQ(by_hand(subject, offered.cid, 0), "already-offered");
  EXPECT_EQ(subject.node->intents().front().fee, 0U);

  const auto large = wanted([](task::TaskIntent& intent) { intent.scope.memory_mb = 1025; });
  EXPECT_EQ(answer(subject, large), "memory: 1025 MiB wanted, 1024 here");
  EXPECT_EQ(by_hand(subject, large.cid, 80), "over-fee");
  EXPECT_EQ(by_hand(subject, large.cid, 0), "memory");
  const auto gpu = wanted([](task::TaskIntent& intent) { intent.scope.gpu_flops = 1; });
  answer(subject, gpu);
  EXPECT_EQ(by_hand(subject, gpu.cid, 0), "gpu");
  const auto paid = wanted([](task::TaskIntent& intent) { intent.fee = 100; });
  answer(subject, paid);
  EXPECT_EQ(by_hand(subject, paid.cid, 101), "over-fee");
  EXPECT_EQ(by_hand(subject, paid.cid, 80), "fee");
  const auto other_engine = wanted([](task::TaskIntent& intent) { intent.engine = "another"; });
  answer(subject, other_engine);
  EXPECT_EQ(by_hand(subject, other_engine.cid, 0), "engine");

  subject.now += milliseconds(2000);
  EXPECT_EQ(by_hand(subject, large.cid, 0), "window-closed");
  // It comes once more, directly: then it is open for as long again.
  subject.parcel(1, {large.envelope});
  EXPECT_EQ(by_hand(subject, large.cid, 0), "memory");
  subject.gossip(Topic::events,
                 record::encode(testing::signer(1).seal(market::Close{.intent = large.cid, .reason = "x"})));
  EXPECT_EQ(by_hand(subject, large.cid, 0), "unknown-intent");
}

TEST(NodeByHand, AnOwnTaskOrANodeThatRestsOffersNothing) {
  Publisher p;
  EXPECT_EQ(by_hand(p.subject, p.job, 0), "own-task");
  Config config = Subject::config();
  config.accepts_work = false;
  Subject resting(config);
  const auto intent = wanted();
  EXPECT_EQ(answer(resting, intent), "takes no work");
  EXPECT_EQ(by_hand(resting, intent.cid, 0), "takes no work");
}

}  // namespace
}  // namespace mesh::node
