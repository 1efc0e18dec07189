// Node::step against hostile messages: what is no record, not signed for this, or not this sender's to say changes
// nothing and is answered as documented.
#include "node/node.h"

#include <gtest/gtest.h>

#include "codec/utf8.h"
#include "domain/market/market_testing.h"
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
        carry_out(std::move(persist->then));
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
      } else if (std::holds_alternative<effect::Execute>(effect.value)) {
        ++executions;
      }
    }
  }
  void step(Event event) {
    now += milliseconds(1);
    carry_out(node->step(now, std::move(event)));
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
    for (const effect::Send& send : sends) {
      if (send.to != testing::node(to)) continue;
      const Result<Parcel> parcel = record::decode<Parcel>(send.bytes);
      EXPECT_TRUE(parcel.has_value()) << "what leaves a node can be read";
      if (!parcel) continue;
      for (const Envelope& envelope : parcel->envelopes) {
        const Result<Signed<T>> opened = open<T>(envelope, testing::federation());
        if (opened) {
          records.push_back(opened->record);
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

  explicit Task(std::string_view label = "a task") {
    task::TaskIntent wanted = testing::intent();
    wanted.label = label;
    intent = testing::signer(1).sign(std::move(wanted));
    market::Roster list{.intent = intent.cid, .offers = {}};
    for (std::uint8_t number = 2; number <= 6; ++number) {
      offers.push_back(testing::signer(number).sign(
          testing::offer_on(intent.cid, Engagement::nonce_tip(testing::signer(number), intent))));
      list.offers.push_back(offers.back().cid);
    }
    roster = testing::signer(1).sign(std::move(list));
  }
  [[nodiscard]] std::vector<Envelope> roster_parcel() const {
    std::vector<Envelope> envelopes;
    for (const auto& offer : offers) envelopes.push_back(offer.envelope);
    envelopes.push_back(roster.envelope);
    return envelopes;
  }
  [[nodiscard]] Signed<market::Award> award() const {
    return testing::signer(1).sign(market::Award{
        .intent = intent.cid, .roster = roster.cid, .offer = offers[0].cid, .lease = 0, .shards = {{0, 2}}});
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

std::vector<Envelope> every_kind_of_record(const Task& task) {
  const identity::Signer publisher = testing::signer(1);
  const Cid cid = task.intent.cid;
  return {task.intent.envelope,
          task.offers[1].envelope,
          task.roster.envelope,
          task.award().envelope,
          publisher.seal(receipt::Commitment{.intent = cid, .basis = {}, .shards = {{0, 1}}, .root = {}}),
          publisher.seal(verification::RoundOpen{
              .intent = cid, .roster = task.roster.cid, .round = 1, .commitments = {}, .barred = {}}),
          publisher.seal(verification::NonceReveal{.intent = cid, .open = {}, .round = 1, .link = {}}),
          publisher.seal(verification::Draw{.intent = cid, .open = {}, .round = 1, .link = {}, .reveals = {}}),
          publisher.seal(verification::Substitution{
              .intent = cid, .draw = {}, .failed = testing::node(3), .shards = {{0, 1}}, .reason = "x"}),
          publisher.seal(verification::Extension{.intent = cid, .draw = {}, .shards = {{0, 1}}, .seats = 5}),
          publisher.seal(verification::RevealRequest{
              .intent = cid, .commitment = {}, .draw = {}, .shards = {{0, 1}}, .commitments = {}}),
          publisher.seal(
              receipt::ExecutionReceipt{.intent = cid, .award = {}, .opening = {}, .finding = {}, .summary = {}}),
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
  step(event::ExecutionDone{*run, output});
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
    if (type == task::TaskIntent::type) continue;
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
  const auto open = [&](std::uint32_t round, std::vector<Cid> commitments) {
    return publisher.seal(verification::RoundOpen{
        .intent = cid, .roster = task.roster.cid, .round = round, .commitments = std::move(commitments), .barred = {}});
  };
  EXPECT_EQ(refusal(open(0, {cid})), "bad-round: rounds count from 1 to 32");
  EXPECT_EQ(refusal(open(UINT32_MAX, {cid})), "bad-round: rounds count from 1 to 32");
  EXPECT_EQ(
      refusal(publisher.seal(verification::Draw{.intent = cid, .open = {}, .round = 1, .link = {}, .reveals = {}})),
      "unknown-round: the draw came without its round");
  EXPECT_EQ(refusal(publisher.seal(
                verification::Extension{.intent = cid, .draw = {}, .shards = {{0, 1}}, .seats = UINT32_MAX})),
            "too-many-seats: the policy allows fewer verifiers");
  EXPECT_EQ(refusal(publisher.seal(verification::RevealRequest{
                .intent = cid, .commitment = cid, .draw = {}, .shards = {{0, 1}}, .commitments = {}})),
            "unknown-commitment: this node has no such commitment");
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
  ASSERT_GE(subject.journal.size(), 4U);
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

}  // namespace
}  // namespace mesh::node
