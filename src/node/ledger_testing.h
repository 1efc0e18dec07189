// For tests of nodes over a ledger: some nodes, a network that delivers at once, and a real Ledger that makes a block when there
// is reason for one, all in virtual time. A node can be ended and started again, at any of its writes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "domain/ledger/ledger_testing.h"
#include "domain/ledger/payment_gatherer.h"
#include "domain/task/task_testing.h"
#include "node/node.h"
#include "node/parcel.h"

namespace mesh::node {

inline receipt::Finding true_finding(std::uint32_t shard) {
  return {.result = testing::content("result " + std::to_string(shard)),
          .log = testing::content("log"),
          .outcome = {},
          .fuel = 1000 + shard};
}
inline receipt::Finding false_finding(std::uint32_t shard) {
  receipt::Finding found = true_finding(shard);
  found.result = testing::content("lie " + std::to_string(shard));
  return found;
}

/// Node 1 publishes; the others work and verify as they are told. Node 0 is the validator, which is no node here.
class LedgerTown {
 public:
  static constexpr std::uint64_t credits = 1'000'000;
  static constexpr std::uint64_t bond = 100'000;
  static constexpr std::uint64_t genesis_ms = 1'000'000'000;

  enum class Does : std::uint8_t { both, works, verifies };
  struct Options {
    std::uint8_t nodes = 6;
    std::map<std::uint8_t, Does> does;  ///< both, else
    ledger::Parameters parameters{.minimum_bond = 1'000, .transaction_fee = 0, .minimum_balance = 1};
    std::map<std::uint8_t, std::uint64_t> credits;  ///< other than all have
    std::uint64_t validators = 1;  ///< persons 0, 1, ..., of one vote each; the first one proposes all blocks
    std::function<Bytes(const Cid& federation, const ledger::BlockHeader& header)> certifies;  ///< with nothing, else
  };

  LedgerTown() : LedgerTown(Options()) {}
  explicit LedgerTown(Options options) : options_(std::move(options)) {
    const ledger::Person validator = ledger::person(0);
    validator_ = validator.id;
    std::vector<ledger::Founder> founders;
    for (std::uint64_t n = 0; n < options_.validators; ++n) {
      founders.push_back({.account = ledger::person(n).id,
                          .credits = credits,
                          .bonded = bond,
                          .power = 1,
                          .roles = {ledger::Role::member, ledger::Role::validator, ledger::Role::steward}});
    }
    for (std::uint8_t n = 1; n <= options_.nodes; ++n) {
      const auto other = options_.credits.find(n);
      founders.push_back({.account = testing::node(n),
                          .credits = other == options_.credits.end() ? credits : other->second,
                          .bonded = bond,
                          .roles = {ledger::Role::member, ledger::Role::worker, ledger::Role::verifier}});
    }
    ledger::Genesis genesis = ledger::genesis_of(std::move(founders), options_.parameters);
    genesis.time_ms = genesis_ms;
    charter_ = ledger::charter_of("town", policy::cid_of({}), genesis);
    genesis_ = genesis;
    Result<ledger::Ledger> made = ledger::Ledger::found(charter_, genesis, {});
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    ledger_.emplace(std::move(*made));
    for (std::uint8_t n = 2; n <= options_.nodes; ++n) {
      if (does(n) == Does::works) continue;
      sign(n, ledger::Attest{
                  .account = {}, .memory_mb = 4096, .fuel_per_second = 1'000'000'000'000'000, .verifies = true});
    }
    make_block();
    for (std::uint8_t n = 1; n <= options_.nodes; ++n) start(n);
  }

  // ---- what a test tells
  std::function<std::optional<receipt::Finding>(std::uint8_t node, std::uint32_t shard)> finds =
      [](std::uint8_t, std::uint32_t shard) { return std::optional(true_finding(shard)); };
  /// Whether a node's transaction is lost on the way: it is answered as unavailable.
  std::function<bool(std::uint8_t node, const ledger::Body& body)> loses = [](auto, const auto&) { return false; };
  /// Whether a parcel never arrives.
  std::function<bool(std::uint8_t from, std::uint8_t to, const Parcel& parcel)> drops = [](auto, auto, const auto&) {
    return false;
  };
  /// Whether a node ends at a write, and whether that was durable then. What waits for it is never carried out.
  enum class Death : std::uint8_t { none, before, after };
  std::function<Death(std::uint8_t node, const effect::Persist& persist)> dies = [](auto, const auto&) {
    return Death::none;
  };

  [[nodiscard]] Cid submit(std::uint32_t shards = 1, std::uint64_t fee = 1'000,
                           const std::function<void(JobSpec&)>& change = {}) {
    JobSpec spec{.function = testing::content("function"),
                 .inputs = testing::record("inputs"),
                 .shards = shards,
                 .reduce = {},
                 .scope = {.fuel = 1'000'000'000},
                 .fee = fee,
                 .verifiers = 3,
                 .bid_window_ms = 1000,
                 .limits = {.fetch_ms = 5'000, .run_ms = 15'000, .total_ms = 3'600'000},
                 .label = "paid",
                 .created_ms = static_cast<std::int64_t>(wall())};
    if (change) change(spec);
    const event::Submit submit{.spec = std::move(spec), .entropy = testing::digest("entropy")};
    const Result<Cid> job = host(1).node->check_submit(submit);
    EXPECT_TRUE(job.has_value()) << (job ? "" : job.error().message);
    step(1, submit);
    return job.value_or(Cid{});
  }
  /// Goes on until `done` holds; whether it did within so much virtual time.
  bool run_until(const std::function<bool()>& done, Duration limit = seconds(3000)) {
    const Instant end = now_ + limit;
    while (!done()) {
      if (now_ >= end) return false;
      go_on();
    }
    return true;
  }
  void pass(Duration time) {
    const Instant end = now_ + time;
    while (now_ < end) go_on();
  }
  void stop(std::uint8_t n) {
    host(n).node.reset();
    ++host(n).life;
    for (auto& [other, one] : hosts_) {
      if (one.node) step(other, event::PeerDown{node_id(n)});
    }
  }
  /// From the next block on another key signs for a node's account; the node itself has it from its next start on.
  void rotate(std::uint8_t n) {
    Host& one = host(n);
    const auto next = testing::seed_of(static_cast<std::uint8_t>(100 + 10 * one.seeds.size() + n));
    offered_.push_back(ledger::sign(ledger::rotation(testing::node(n), one.sequence++, next, ledger_->federation()),
                                    identity::Signer(one.seeds.back(), ledger_->federation())));
    one.seeds.push_back(next);
  }
  void start_again(std::uint8_t n) {
    stop(n);
    start(n);
  }
  /// Its key, by which others know it; its account is testing::node(n) for good.
  [[nodiscard]] NodeId node_id(std::uint8_t n) const { return public_key_of(hosts_.at(n).key); }
  void start(std::uint8_t n) {
    Host& one = host_made(n);
    one.key = one.seeds.back();
    Result<std::unique_ptr<Node>> made = Node::create(config(n), now_, one.journal);
    ASSERT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    one.node = std::move(*made);
    ++one.life;
    one.interest = one.node->interest();
    one.interest.self = keys_.account_of(node_id(n));
    step(n, whole_of(ledger_->state(), one.interest, wall()));
    for (auto& [other, there] : hosts_) {
      if (other == n || !there.node) continue;
      step(n, event::PeerUp{node_id(other)});
      step(other, event::PeerUp{node_id(n)});
    }
  }
  [[nodiscard]] bool is_up(std::uint8_t n) { return host(n).node != nullptr; }
  void step(std::uint8_t n, Event event) {
    Host& one = host(n);
    if (!one.node) return;
    const std::uint64_t life = one.life;
    carry_out(n, life, one.node->step(now_, std::move(event)));
  }

  /// Something that a node's owner has the ledger told, in the next block.
  void transact(std::uint8_t n, ledger::Body body) { waiting_.push_back({n, host(n).life, 0, std::move(body)}); }

  /// A parcel of `from`, by whom it may be made up.
  void tell(std::uint8_t to, std::uint8_t from, std::vector<Envelope> envelopes) {
    step(to, event::Message{node_id(from), Channel::award,
                            record::encode(Parcel{.envelopes = std::move(envelopes), .blocks = {}, .logs = {}})});
  }

  /// What a person signs goes into the next block.
  template <class T>
  void offer(std::uint64_t person, T body) {
    const ledger::Person by = ledger::person(person);
    body.account = by.id;
    body.sequence = persons_[person]++;
    offered_.push_back(ledger::sign(body, identity::Signer(by.seed, ledger_->federation())));
  }

  // ---- what it sees
  [[nodiscard]] const identity::Charter& charter() const { return charter_; }
  [[nodiscard]] const ledger::Genesis& genesis() const { return genesis_; }
  [[nodiscard]] const ledger::PaymentGatherer& gatherer() const { return gatherer_; }
  /// All that one node sent to another.
  [[nodiscard]] std::vector<Envelope> said(std::uint8_t from, std::uint8_t to) const {
    const auto found = sent_.find({from, to});
    return found == sent_.end() ? std::vector<Envelope>() : found->second;
  }
  [[nodiscard]] JobView job(const Cid& id, std::uint8_t n = 1) { return *host(n).node->job(id); }
  [[nodiscard]] const Node& node(std::uint8_t n) { return *host(n).node; }
  [[nodiscard]] const ledger::Ledger& ledger() const { return *ledger_; }
  [[nodiscard]] std::uint64_t balance(std::uint8_t n) const { return ledger_->account(testing::node(n))->balance; }
  [[nodiscard]] std::uint64_t bonded(std::uint8_t n) const { return ledger_->account(testing::node(n))->bonded; }
  [[nodiscard]] const ledger::Escrow* escrow(const Cid& id) const {
    return ledger_->state().tables.escrows.find(id.digest());
  }
  [[nodiscard]] std::vector<ledger::Work> works() const {
    std::vector<ledger::Work> all;
    ledger_->state().tables.works.visit([&](const ledger::Work& one) {
      all.push_back(one);
      return true;
    });
    return all;
  }
  [[nodiscard]] std::uint64_t wall() const {
    return genesis_ms + static_cast<std::uint64_t>(now_.time_since_epoch().count() / 1000);
  }
  [[nodiscard]] std::string story() const {
    std::string all;
    for (const std::string& line : notices_) all += line + "\n";
    return all;
  }
  std::vector<std::string> refusals;  ///< of the ledger, by name
  std::size_t blocks = 0;

 private:
  struct Host {
    std::vector<Seed> seeds;  ///< the last one signs for the account
    Seed key;  ///< of the node that runs
    std::unique_ptr<Node> node;
    std::uint64_t life = 0;
    std::vector<JournalRecord> journal;
    std::uint64_t sequence = 0;
    Interest interest;  ///< as it was at the start, and what it has asked to watch since
  };
  struct Mail {
    std::uint8_t to = 0;
    Event event;
  };
  struct Waiting {
    std::uint8_t from = 0;
    std::uint64_t life = 0;
    std::uint64_t id = 0;
    ledger::Body body;
  };

  [[nodiscard]] Does does(std::uint8_t n) const {
    const auto found = options_.does.find(n);
    return found == options_.does.end() ? Does::both : found->second;
  }
  [[nodiscard]] Host& host(std::uint8_t n) { return hosts_.at(n); }
  [[nodiscard]] Host& host_made(std::uint8_t n) {
    Host& one = hosts_[n];
    if (one.seeds.empty()) one.seeds.push_back(testing::seed_of(n));
    return one;
  }
  [[nodiscard]] Config config(std::uint8_t n) const {
    Config config;
    const Host& one = hosts_.at(n);
    config.seed = one.key;
    config.former.assign(one.seeds.begin(), one.seeds.end() - 1);
    config.charter = charter_;
    config.engine = "engine;1";
    config.slots = 4;
    config.accepts_work = n != 1 && does(n) != Does::verifies;
    config.resources.memory_mb = 4096;
    config.resources.fuel_per_second = 1'000'000'000;
    config.resources.accepts_work = config.accepts_work;
    return config;
  }

  void carry_out(std::uint8_t n, std::uint64_t life, Effects effects, bool is_durable = false) {
    for (Effect& effect : effects) {
      Host& one = host(n);
      if (one.life != life || !one.node) return;
      if (auto* persist = std::get_if<effect::Persist>(&effect.value)) {
        const Death death = dies(n, *persist);
        if (death == Death::before) return stop(n);
        one.journal.insert(one.journal.end(), persist->append.begin(), persist->append.end());
        for (const Cid& scope : persist->drop)
          std::erase_if(one.journal, [&](const JournalRecord& record) { return record.scope == scope; });
        if (death == Death::after) return stop(n);
        carry_out(n, life, std::move(persist->then), true);
      } else if (auto* told = std::get_if<effect::Confirm>(&effect.value)) {
        one.node->confirm(*told);
      } else if (auto* notify = std::get_if<effect::Notify>(&effect.value)) {
        notices_.push_back(std::to_string(n) + " " + notify->notice.kind + ": " + notify->notice.text);
      } else if (auto* send = std::get_if<effect::Send>(&effect.value)) {
        for (const auto& [to, there] : hosts_) {
          if (node_id(to) != send->to) continue;
          const Result<Parcel> parcel = record::decode<Parcel>(send->bytes);
          EXPECT_TRUE(parcel.has_value()) << "what leaves a node can be read";
          std::vector<Envelope>& all = sent_[{n, to}];
          if (parcel && drops(n, to, *parcel)) continue;
          if (parcel) all.insert(all.end(), parcel->envelopes.begin(), parcel->envelopes.end());
          mail_.push_back({to, event::Message{node_id(n), send->channel, std::move(send->bytes)}});
        }
      } else if (auto* publish = std::get_if<effect::Publish>(&effect.value)) {
        for (const auto& [to, there] : hosts_) {
          if (to != n) mail_.push_back({to, event::Gossip{publish->topic, 1, node_id(n), publish->bytes}});
        }
      } else if (auto* execute = std::get_if<effect::Execute>(&effect.value)) {
        event::ExecutionDone done{.id = execute->id, .shards = {}, .last = true};
        for (const std::uint32_t shard : execute->shards) {
          const std::optional<receipt::Finding> found = finds(n, shard);
          if (!found) continue;
          event::ExecutionDone::Output output;
          output.finding = *found;
          output.summary.fuel = found->fuel;
          done.shards.push_back({shard, std::move(output)});
        }
        if (!done.shards.empty()) later(n, life, std::move(done));
      } else if (auto* fetch = std::get_if<effect::FetchResults>(&effect.value)) {
        later(n, life, event::ResultsFetched{fetch->id, {}});
      } else if (auto* transact = std::get_if<effect::Transact>(&effect.value)) {
        EXPECT_TRUE(is_durable) << "a transaction that nothing was written down before";
        if (loses(n, transact->body)) {
          later(n, life, event::Transacted{transact->id, fail(ErrorCode::unavailable, "lost: on the way")});
        } else {
          waiting_.push_back({n, life, transact->id, std::move(transact->body)});
        }
      } else if (auto* watch = std::get_if<effect::Watch>(&effect.value)) {
        host(n).interest.intents.insert(watch->intent);
        later(n, life, part_of(ledger_->state(), watch->intent, host(n).interest, wall()));
      }
    }
  }
  void later(std::uint8_t n, std::uint64_t life, Event event) {
    if (host(n).life == life) mail_.push_back({n, std::move(event)});
  }

  /// A block of one second if there is reason for one, after all mail; ticks that are due.
  void go_on() {
    std::size_t delivered = 0;
    while (!mail_.empty() && ++delivered < 100'000) {
      Mail next = std::move(mail_.front());
      mail_.pop_front();
      step(next.to, std::move(next.event));
    }
    now_ += milliseconds(250);
    if (now_ >= next_block_) {
      next_block_ = now_ + seconds(1);
      if (!waiting_.empty() || !offered_.empty() || ledger_->wants_empty_block(wall())) make_block();
    }
    for (const auto& [n, one] : hosts_) {
      if (!one.node) continue;
      const std::optional<Instant> due = one.node->next_deadline();
      if (due && *due <= now_) step(n, event::Tick{});
    }
  }

  template <class T>
  void sign(std::uint8_t n, T body) {
    Host& one = host_made(n);
    const identity::Signer signer(one.seeds.back(), ledger_->federation());
    body.account = testing::node(n);
    body.sequence = one.sequence++;
    offered_.push_back(ledger::sign(body, signer));
  }

  void make_block() {
    // One after the other, so that one that is refused leaves no gap in its account's numbers.
    std::vector<std::pair<Waiting, Result<std::uint64_t>>> answers;
    std::deque<Waiting> waiting;
    waiting.swap(waiting_);
    const std::uint64_t height = ledger_->height() + 1;
    for (Waiting& one : waiting) {
      std::visit([&](const auto& body) { sign(one.from, body); }, one.body);
      const Result<ledger::Proposal> proposal = propose();
      ASSERT_TRUE(proposal.has_value());
      Result<std::uint64_t> answer = height;
      if (!proposal->refused.empty()) {
        answer = std::unexpected(proposal->refused.front().error);
        refusals.push_back(std::to_string(one.from) + " " + answer.error().message);
        offered_.pop_back();
        --hosts_[one.from].sequence;
      }
      answers.emplace_back(std::move(one), std::move(answer));
    }
    Result<ledger::Proposal> proposal = propose();
    ASSERT_TRUE(proposal.has_value());
    if (proposal->of_use) {
      const Touched touched = touched_by(proposal->draft);
      const ledger::OpenedBlock block = std::move(proposal->block);
      const ledger::BlockHeader& header = block.block().header;
      const auto publisher = hosts_.find(1);
      gatherer_.committing(ledger_->state(), block, proposal->draft,
                           options_.certifies ? options_.certifies(ledger_->federation(), header) : Bytes(),
                           testing::node(1),
                           publisher == hosts_.end() ? std::set<Cid>() : publisher->second.interest.intents);
      proposal->draft.patches.accounts.for_each_put(
          [&](const ledger::Account& one) { keys_.note(one.key(), one.signer()); });
      ledger_->commit(std::move(proposal->draft));
      const std::vector<ledger::PaymentPart> payments = gatherer_.committed(ledger_->state());
      ++blocks;
      ASSERT_EQ(ledger::broken_invariant(ledger_->state()), "");
      for (const auto& [n, one] : hosts_) {
        if (!one.node) continue;
        event::LedgerChanged changed = changes_of(ledger_->state(), touched, block, one.interest, wall());
        if (n == 1) changed.payments = payments;
        step(n, std::move(changed));
      }
    }
    offered_.clear();
    for (auto& [one, answer] : answers) {
      if (host(one.from).life == one.life) step(one.from, event::Transacted{one.id, std::move(answer)});
    }
  }
  [[nodiscard]] Result<ledger::Proposal> propose() const {
    return ledger_->propose(offered_, {.account = validator_, .time_ms = wall(), .beacon = {}});
  }

  Options options_;
  identity::Charter charter_;
  ledger::Genesis genesis_;
  ledger::PaymentGatherer gatherer_;
  std::map<std::uint64_t, std::uint64_t> persons_;  ///< their next numbers
  std::optional<ledger::Ledger> ledger_;
  AccountKeys keys_;
  NodeId validator_;
  std::map<std::uint8_t, Host> hosts_;
  std::deque<Mail> mail_;
  std::map<std::pair<std::uint8_t, std::uint8_t>, std::vector<Envelope>> sent_;
  std::deque<Waiting> waiting_;
  std::vector<ledger::Opened> offered_;
  std::vector<std::string> notices_;
  Instant now_{};
  Instant next_block_{};
};

}  // namespace mesh::node
