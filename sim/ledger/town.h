// Town: production replicas of one federation's chain on a virtual network, with virtual disks and clocks, in virtual time. One
// thread, one queue of things to happen, one seed: the same plan gives the same trace, hashed as it happens.
//
// Simulated: delay, loss, duplication and cuts of what is sent (what one host sends another stays in order); disks that take
// time to sync, and of whose writes under way a crash leaves some; clocks that are wrong; hosts that stop and start again, or
// get an old copy of their storage; validators that lie; clients that submit, and submit again. Real: Replica, ledger,
// consensus, signatures.
//
// Checked while it runs, each finding with a stable name:
// - one block for each height (`two-blocks`), with one certified id (`two-certificates`);
// - one state root for each height (`state-roots-differ`), credits conserved (`money-not-conserved`);
// - every ledger is what the model makes of the chain's bytes (village.h), in every account, escrow, work, reputation and set
//   (`model-differs`): an escrow ends once, a shard is paid once, what ended stays as it ended;
// - who is found to have signed two things loses its bond (`unpunished`), and nobody else does (`honest-punished`);
// - no honest validator signs two things for one place (`signed-twice`), is convicted (`honest-accused`), blamed for a message
//   (`honest-blamed`), or stops (`stopped`);
// - what was told as final is there after every restart (`lost-final`) and in the chain at the end (`lost-transaction`);
// - a block without transactions was of use: it reaches a time at which something is due, or follows one that did
//   (`needless-block`);
// - once everything has healed all comes to its end, everywhere, also what happens by itself (`stuck`).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>

#include "base/time.h"
#include "chain/replica.h"
#include "sim/findings.h"
#include "sim/ledger/plan.h"
#include "sim/ledger/village.h"
#include "sim/random.h"
#include "sim/trace.h"

namespace mesh::sim {

struct LedgerReport {
  std::uint64_t trace = 0;
  std::uint64_t events = 0;
  double virtual_s = 0;
  chain::Height height = 0;
  std::uint64_t empty = 0;  ///< of the blocks, without transactions
  std::uint64_t acknowledged = 0;  ///< transactions that were told to be final
  std::uint64_t refused = 0;
  Duration healed_in{0};
  std::map<std::string, std::uint64_t> faults;  ///< how often each struck
  Findings findings;

  [[nodiscard]] bool failed() const { return findings.count() > 0; }
};

[[nodiscard]] LedgerReport run(const LedgerPlan& plan);
/// The report as lines of text.
[[nodiscard]] std::string text_of(const LedgerReport& report, const LedgerPlan& plan);

class Town {
 public:
  explicit Town(const LedgerPlan& plan);
  /// All of it: the load with its faults, the healing, the last checks.
  [[nodiscard]] LedgerReport run();

 private:
  enum class Kind : std::uint8_t { honest, twin, silent, selective, stale, forger };
  /// What a host's storage has, durable.
  struct Disk {
    std::vector<chain::FinalBlock> blocks;  ///< after the base
    chain::Height base = 0;
    std::map<chain::Height, std::shared_ptr<const ledger::Snapshot>> snapshots;  ///< the last two
    std::deque<std::pair<chain::Height, Bytes>> log;
    chain::Height signs_from = 0;
    std::vector<chain::Offence> offences;
    void apply(const chain::effect::Persist& write);
    [[nodiscard]] chain::Height height() const { return base + blocks.size(); }
  };
  struct Host {
    std::size_t identity = 0;
    Kind kind = Kind::honest;
    std::unique_ptr<chain::Replica> replica;  ///< none while it is down
    std::uint64_t life = 0;  ///< what was under way in an earlier one is void
    std::uint64_t starts = 0;
    Disk disk;
    std::optional<Disk> copy;  ///< to be restored
    std::vector<chain::effect::Persist> queued, writing;
    bool syncing = false;
    std::map<chain::Timer, std::uint64_t> timers;
    std::int64_t skew_ms = 0;
    std::map<std::size_t, Instant> last_arrival;  ///< at each other host
    chain::Height told = 0;  ///< as final
    chain::Height looked = 0;
    bool may_have_forgotten = false;
    std::deque<std::pair<std::size_t, Bytes>> heard;  ///< of who is stale: what it can say again
  };
  enum class Work : std::uint8_t { transfers, changes_sets, withdraws, rotates, reports, lives };
  struct Client {
    std::uint64_t number = 0;
    Work work = Work::transfers;
    std::size_t identity = 0;  ///< of the validator whose key it rotates
    Seed seed;
    ledger::AccountId account;
    std::uint64_t sequence = 0;
    std::uint64_t left = 0;
    std::uint64_t attempt = 0;  ///< what was answered to an earlier one is not looked at
    Bytes envelope;  ///< empty: it has nothing under way
    Cid name;
    bool may_be_refused = false;
  };
  struct Happening {
    Instant at;
    std::uint64_t order;
    std::move_only_function<void()> action;
  };
  struct Later {
    bool operator()(const Happening& a, const Happening& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  void schedule(Duration after, std::move_only_function<void()> action);
  bool run_until(const std::function<bool()>& done, Duration limit);
  void count(const std::string& fault) { ++report_.faults[fault]; }

  void start(std::size_t host);
  void crash(std::size_t host);
  void crash_for_a_while(std::size_t host);
  void link(std::size_t host);
  [[nodiscard]] std::uint64_t clock(const Host& host) const;
  void deliver(std::size_t host, chain::Event event);
  void look(std::size_t host);
  void sync(std::size_t host);
  void synced(std::size_t host);
  /// A write has become durable.
  void store(std::size_t host, const chain::effect::Persist& write);

  void carry_out(std::size_t host, chain::effect::Persist& effect);
  void carry_out(std::size_t host, chain::effect::Send& effect);
  void carry_out(std::size_t host, chain::effect::Broadcast& effect);
  void carry_out(std::size_t host, const chain::effect::SetTimer& effect);
  void carry_out(std::size_t host, const chain::effect::CancelTimer& effect);
  void carry_out(std::size_t host, const chain::effect::ReadBlocks& effect);
  void carry_out(std::size_t host, const chain::effect::ReadPart& effect);
  void carry_out(std::size_t host, const chain::effect::Blame& effect);
  void carry_out(std::size_t host, const chain::effect::Notify& effect);

  void tell(std::size_t host, const chain::notice::Submitted& notice);
  void tell(std::size_t /*host*/, const chain::notice::BatchSubmitted& /*notice*/) {}  // Nobody here submits any.
  void tell(std::size_t host, const chain::notice::BlockFinal& notice);
  void tell(std::size_t host, const chain::notice::TransactionFinal& notice);
  void tell(std::size_t host, const chain::notice::TransactionDropped& notice);
  void tell(std::size_t host, const chain::notice::EvidenceFound& notice);
  void tell(std::size_t /*host*/, const chain::notice::Skipped& /*notice*/) { count("skipped"); }
  void tell(std::size_t host, const chain::notice::SignsFrom& notice);
  void tell(std::size_t host, const chain::notice::Trouble& notice);
  void tell(std::size_t host, const chain::notice::Stalled& notice);
  void tell(std::size_t host, const chain::notice::ConflictFound& notice);

  void send(std::size_t host, std::size_t identity, Bytes message);
  void transmit(std::size_t from, std::size_t to, Bytes message);
  void check_signed(const Host& host, ByteView message);
  [[nodiscard]] bool is_cut(std::size_t a, std::size_t b) const { return cut_ && (*cut_)[a] != (*cut_)[b]; }
  /// What a liar sends in place of this; nothing: it sends nothing.
  [[nodiscard]] std::optional<Bytes> tampered(Host& host, std::size_t to, Bytes message);
  [[nodiscard]] Bytes forged(Bytes message);

  /// Whoever an honest host knows to have signed two things, and the ledger has not punished, is reported by its own client.
  void report(std::size_t host);
  /// One of those who live by paid work does something, and later the next.
  void act();
  void begin(Client& client);
  void submit(Client& client);
  void end(Client& client, bool is_final);
  [[nodiscard]] Client* client_of(std::uint64_t submission);
  template <class Body>
  [[nodiscard]] Bytes sign(const Client& client, const Body& body) const;
  [[nodiscard]] Bytes transfer(const Client& client, std::uint64_t amount) const;
  [[nodiscard]] Bytes withdrawal(const Client& client) const;
  [[nodiscard]] Bytes rotation(const Client& client) const;
  [[nodiscard]] std::optional<Bytes> set_change(const Client& client);
  [[nodiscard]] std::size_t honest_host();

  void plan_faults();
  void heal();
  [[nodiscard]] bool is_settled() const;
  void check_stuck();
  void check_chain();
  /// The model executes what has become final, and is compared with the host's ledger.
  void follow(std::size_t host);
  void check_punished();
  /// Whose key it is, or was, or will be; none: nobody's.
  [[nodiscard]] std::optional<std::size_t> identity_of(const PublicKey& key) const {
    const auto found = identities_.find(key);
    return found == identities_.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] bool honest(std::size_t host) const { return hosts_[host].kind == Kind::honest; }
  void find(std::string text) { report_.findings.add(std::move(text)); }

  LedgerPlan plan_;
  Random random_;
  Trace trace_;
  LedgerReport report_;
  Instant now_{};
  std::uint64_t orders_ = 0;
  std::priority_queue<Happening, std::vector<Happening>, Later> queue_;

  ledger::Genesis genesis_;
  identity::Charter charter_;
  std::vector<Seed> seeds_;  ///< of the identities: validators first
  std::vector<PublicKey> keys_;  ///< the first of each: the names of account and peer
  std::shared_ptr<chain::OpenedMemory> memory_ = std::make_shared<chain::OpenedMemory>();  ///< one for all of them
  std::vector<std::vector<Seed>> later_seeds_;  ///< of each, to which it is rotated one after the other
  std::map<PublicKey, std::size_t> identities_;  ///< by each of their keys
  std::vector<Host> hosts_;
  std::vector<Client> clients_;
  std::unique_ptr<Village> village_;
  std::optional<std::vector<bool>> cut_;  ///< on which side each host is
  bool is_healed_ = false;
  bool follows_ = true;  ///< until the model differs
  chain::Height compared_ = 0;  ///< up to there the model was the same

  std::map<chain::Height, Cid> blocks_;
  std::map<chain::Height, Digest> certified_;
  std::map<chain::Height, Bytes> chain_;  ///< blocks, as the first honest host stored them
  std::map<chain::Height, Digest> roots_;
  std::map<Cid, chain::Height> acknowledged_;
  std::map<Bytes, Bytes> signed_;  ///< by signer and place, what was signed
};

}  // namespace mesh::sim
