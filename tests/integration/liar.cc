// A node that lies, for the integration tests: the product's runtime with an engine or a tongue of its own.
//
//   mesh_liar MODE --home DIR [--cache DIR] [--slots N] [--memory MIB] [--partner PEER] [--join MULTIADDR|TOKEN]...
//   mesh_liar formula ELIGIBLE COLLUDERS SEATS NEEDED     prints verification::escape_probability as "n d"
//
// Modes: `result` gives wrong bytes for every run, the same ones as every other liar; `fuel` gives the right bytes and one
// unit of fuel too many; `verifier` gives wrong bytes for the shards that it was not awarded; `backs` tells the lie of
// `result` for the shards that the partner has committed to, and else the truth; `copy` does honest work as a worker, but as
// a verifier commits to what the worker committed to and later repeats what the worker revealed; `asks` is honest, but asks the
// publisher and the workers for the keys of shards before it has any part in them.
//
// On a ledger `copy` waits, when it is drawn, until another verifier has committed, and commits to the same root; once that one
// has revealed it shows the same as a reveal of its own. `silent` does what it is awarded and commits to it, but never reveals, and
// never answers when it is drawn; `hides` is a publisher that says nothing to anybody once it has awarded: not to who was drawn what
// the task is, not to the ledger who is late, not to the worker what came of it, and asks for nothing back.
//
// `verifier` and `backs` tell runs apart by their input, which must begin with the shard's number plus one (the tests' do).
// It prints one line of JSON {peer, addresses, api} once it listens, and ends on SIGTERM. What became of transactions that are not the
// node's own goes to stderr.
#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <span>
#include <string_view>

#include "app/api/api.h"
#include "app/api/runtime_backend.h"
#include "app/runtime/chain_host.h"
#include "app/runtime/runtime.h"
#include "chain/join.h"
#include "domain/verification/quorum.h"
#include "domain/verification/records.h"
#include "node/parcel.h"

namespace mesh {
namespace {

enum class Mode { result, fuel, verifier, backs, copy, asks, silent, hides };

constexpr std::string_view wrong_bytes = "666 666\n";

std::optional<std::uint64_t> number_at_start(ByteView input) {
  const std::string_view text = as_text(input);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && value > 0 ? std::optional(value) : std::nullopt;
}

/// Shards that the network's side learns of and the engine's side asks for: those that this node was awarded, or (mode
/// `backs`) those that its partner worked on.
class Shards {
 public:
  void add(const std::vector<std::uint32_t>& shards) {
    const std::lock_guard guard(mutex_);
    shards_.insert(shards.begin(), shards.end());
  }
  bool contains(std::uint64_t shard) {
    const std::lock_guard guard(mutex_);
    return shards_.contains(shard);
  }

 private:
  std::mutex mutex_;
  std::set<std::uint64_t> shards_;
};

class LyingSandbox final : public wasm::Sandbox {
 public:
  LyingSandbox(std::unique_ptr<wasm::Sandbox> honest, Mode mode, std::shared_ptr<Shards> shards)
      : honest_(std::move(honest)), mode_(mode), shards_(std::move(shards)) {}

  using Sandbox::submit;
  Status submit(std::vector<wasm::Job> jobs, OnEachLog on_log, OnEachDone on_done) override {
    std::vector<std::shared_ptr<const Bytes>> inputs;
    for (const wasm::Job& job : jobs) inputs.push_back(job.input);
    return honest_->submit(std::move(jobs), std::move(on_log),
                           [mode = mode_, shards = shards_, inputs = std::move(inputs), on_done = std::move(on_done)](
                               std::size_t job, Result<wasm::RunResult> result) {
                             if (result) lie(mode, *shards, inputs[job] ? ByteView(*inputs[job]) : ByteView{}, *result);
                             on_done(job, std::move(result));
                           });
  }
  void stop(std::uint64_t id) override { honest_->stop(id); }
  Result<wasm::RunResult> run(wasm::Job job, OnLog on_log) override {
    return honest_->run(std::move(job), std::move(on_log));
  }
  Result<wasm::RunResult> run_on_this_thread(wasm::Job job, const OnLog& on_log) override {
    return honest_->run_on_this_thread(std::move(job), on_log);
  }
  Result<std::optional<task::Outcome>> prepare(const wasm::Job& job) override { return honest_->prepare(job); }
  Result<std::uint64_t> measure_fuel_per_second() override { return honest_->measure_fuel_per_second(); }

 private:
  static void lie(Mode mode, Shards& shards, ByteView input, wasm::RunResult& result) {
    const auto number = number_at_start(input);
    switch (mode) {
      case Mode::copy:
      case Mode::asks:
      case Mode::silent:
      case Mode::hides:
        return;
      case Mode::fuel:
        result.summary.fuel += 1;
        return;
      case Mode::verifier:
        if (!number || shards.contains(*number - 1)) return;
        break;
      case Mode::backs:
        if (!number || !shards.contains(*number - 1)) return;
        break;
      case Mode::result:
        break;
    }
    result.output = to_bytes(wrong_bytes);
  }

  std::unique_ptr<wasm::Sandbox> honest_;
  Mode mode_;
  std::shared_ptr<Shards> shards_;
};

/// Listens to what arrives, and in mode `copy` rewrites what this node says as a verifier.
class Tongue {
 public:
  Tongue(Mode mode, std::string partner, const identity::Signer& signer, std::shared_ptr<Shards> shards)
      : mode_(mode), partner_(std::move(partner)), signer_(signer), shards_(std::move(shards)) {}

  void hear(const node::Event& event) {
    const auto* message = std::get_if<node::event::Message>(&event);
    if (message == nullptr) return;
    const auto parcel = record::decode<node::Parcel>(message->bytes);
    if (!parcel) return;
    for (const Envelope& envelope : parcel->envelopes) {
      if (const auto award = open<market::Award>(envelope, signer_.federation())) {
        const auto shards = task::expand(award->record.shards, task_shards_at_most);
        if (shards && mode_ != Mode::backs) shards_->add(*shards);
      } else if (const auto draw = open<verification::Draw>(envelope, signer_.federation())) {
        draws_.insert(draw->cid);
      } else if (auto commitment = open<receipt::Commitment>(envelope, signer_.federation())) {
        const auto shards = task::expand(commitment->record.shards, task_shards_at_most);
        if (mode_ == Mode::backs && shards && !draws_.contains(commitment->record.basis) &&
            identity::peer_id_of(commitment->signer) == partner_)
          shards_->add(*shards);
        if (mode_ == Mode::asks && commitment->signer != signer_.id() && !commitment->record.worker)
          ask(message->from, commitment->record, commitment->cid, commitment->signer);
        if (commitment->signer != signer_.id()) heard_.insert_or_assign(commitment->cid, std::move(*commitment));
      } else if (auto said = open<receipt::ExecutionReceipt>(envelope, signer_.federation())) {
        revealed_.insert_or_assign(said->cid, std::move(said->record));
      }
    }
  }

  void speak(node::Effects& effects) {
    for (node::effect::Send& request : std::exchange(requests_, {})) effects.push_back({std::move(request)});
    if (mode_ != Mode::copy) return;
    for (node::Effect& effect : effects) {
      if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) speak(persist->then);
      auto* send = std::get_if<node::effect::Send>(&effect.value);
      if (send == nullptr || send->channel != node::Channel::receipt) continue;
      auto parcel = record::decode<node::Parcel>(send->bytes);
      if (!parcel) continue;
      bool changed = false;
      for (Envelope& envelope : parcel->envelopes) changed |= copy(envelope);
      if (changed) send->bytes = record::encode(*parcel);
    }
  }

 private:
  static constexpr std::uint32_t task_shards_at_most = task::max_shards;

  /// Another's work, before anybody is drawn to verify it.
  void ask(const identity::NodeId& publisher, const receipt::Commitment& work, const Cid& cid,
           const identity::NodeId& worker) {
    const verification::KeyRequest request{
        .intent = work.intent, .shards = work.shards, .commitment = cid, .proof = {}};
    const Bytes parcel = record::encode(node::Parcel{.envelopes = {signer_.seal(request)}, .blocks = {}, .logs = {}});
    requests_.push_back({publisher, node::Channel::receipt, parcel});
    requests_.push_back({worker, node::Channel::receipt, parcel});
  }

  bool copy(Envelope& envelope) {
    if (auto own = open<receipt::Commitment>(envelope, signer_.federation())) {
      if (own->signer != signer_.id() || !draws_.contains(own->record.basis)) return false;
      auto copied = copies_.find(own->cid);
      if (copied == copies_.end()) {
        const receipt::Commitment* workers = of_the_worker(own->record);
        if (workers == nullptr) return false;
        own->record.root = workers->root;
        const Envelope sealed = signer_.seal(own->record);
        copied = copies_.emplace(own->cid, sealed).first;
      }
      envelope = copied->second;
      return true;
    }
    if (auto own = open<receipt::VerificationReceipt>(envelope, signer_.federation())) {
      const auto copied = copies_.find(own->record.commitment);
      const auto said = revealed_.find(own->record.receipt);
      if (copied == copies_.end() || said == revealed_.end()) return false;
      own->record.commitment = copied->second.cid();
      own->record.key = said->second.key;
      own->record.differing.clear();
      own->record.findings = {};
      envelope = signer_.seal(own->record);
      return true;
    }
    return false;
  }

  /// What a worker committed to for the first of these shards.
  const receipt::Commitment* of_the_worker(const receipt::Commitment& own) const {
    const auto mine = task::expand(own.shards, task_shards_at_most);
    if (!mine || mine->empty()) return nullptr;
    for (const auto& [cid, other] : heard_) {
      if (other.record.intent != own.intent || draws_.contains(other.record.basis)) continue;
      const auto theirs = task::expand(other.record.shards, task_shards_at_most);
      if (theirs && std::ranges::binary_search(*theirs, mine->front())) return &other.record;
    }
    return nullptr;
  }

  Mode mode_;
  std::string partner_;
  identity::Signer signer_;
  std::shared_ptr<Shards> shards_;
  std::set<Cid> draws_;
  std::map<Cid, Signed<receipt::Commitment>> heard_;
  std::map<Cid, receipt::ExecutionReceipt> revealed_;
  std::vector<node::effect::Send> requests_;  ///< to be sent
  std::map<Cid, Envelope> copies_;  ///< by the commitment that the node meant to send
};

/// Keeps back what the node would tell the ledger, or tells it something else.
class Pen {
 public:
  Pen(Mode mode, const identity::Signer& signer) : mode_(mode), signer_(signer) {}

  /// From where the blocks are read that show what others revealed.
  void follow(app::ChainHost* chain) { chain_ = chain; }

  void hear(const node::Event& event) {
    if (const auto* answer = std::get_if<node::event::Transacted>(&event); answer && answer->id >= first_id)
      fmt::print(stderr, "a lie was {}\n", answer->height ? "taken" : "refused: " + answer->height.error().message);
    const auto* changed = std::get_if<node::event::LedgerChanged>(&event);
    if (mode_ != Mode::copy || changed == nullptr) return;
    for (const ledger::Work& work : changed->works) works_.insert_or_assign(work.commitment, work);
    if (chain_ == nullptr) return;
    chain_->read(changed->height, 1, [shown = shown_](Result<std::vector<store::ChainBlock>> blocks) {
      if (!blocks) return;
      for (const store::ChainBlock& one : *blocks) shown->add(one.block);
    });
  }

  void write(node::Effects& effects) {
    sift(effects);
    if (mode_ == Mode::copy) copy(effects);
  }

 private:
  static constexpr std::uint64_t first_id = std::uint64_t{1} << 60;  // The node's own count from 1.

  /// What verifiers revealed in final blocks; filled by the chain's thread.
  class Shown {
   public:
    void add(ByteView bytes) {
      const Result<ledger::Block> block = chain::read_block(bytes);
      if (!block) return;
      for (const Bytes& envelope : block->list.transactions) {
        const Result<ledger::Transaction> transaction = ledger::decode(envelope);
        if (!transaction || !transaction->attachments) continue;
        const std::lock_guard guard(mutex_);
        for (const auto& one : transaction->attachments->verifications)
          by_commitment_.insert_or_assign(one.record.commitment, one.record);
      }
    }
    std::optional<receipt::VerificationReceipt> of(const Cid& commitment) {
      const std::lock_guard guard(mutex_);
      const auto found = by_commitment_.find(commitment);
      return found == by_commitment_.end() ? std::nullopt : std::optional(found->second);
    }

   private:
    std::mutex mutex_;
    std::map<Cid, receipt::VerificationReceipt> by_commitment_;
  };

  void sift(node::Effects& effects) {
    std::erase_if(effects, [this](node::Effect& effect) {
      if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) {
        sift(persist->then);
        return false;
      }
      if (const auto* transact = std::get_if<node::effect::Transact>(&effect.value)) return keeps_back(transact->body);
      const auto* send = std::get_if<node::effect::Send>(&effect.value);
      return send != nullptr && keeps_back(*send);
    });
  }

  bool keeps_back(const ledger::Body& body) {
    const auto* anchor = std::get_if<ledger::Anchor>(&body);
    const auto* settle = std::get_if<ledger::Settle>(&body);
    const bool answers = anchor != nullptr && !anchor->award;
    switch (mode_) {
      case Mode::silent:
        return answers || settle != nullptr;
      case Mode::hides:
        return !std::holds_alternative<ledger::Lock>(body);
      case Mode::copy:
        if (answers) remember(*anchor);
        return answers || (settle != nullptr && !settle->receipt);
      default:
        return false;
    }
  }

  bool keeps_back(const node::effect::Send& send) const {
    const bool reveals = mode_ == Mode::silent && send.channel == node::Channel::receipt;
    const bool tells = mode_ == Mode::hides && send.channel == node::Channel::award;
    const auto parcel = reveals || tells ? record::decode<node::Parcel>(send.bytes) : Result<node::Parcel>();
    if ((!reveals && !tells) || !parcel) return false;
    const auto has = [&](std::string_view type) {
      return std::ranges::any_of(parcel->envelopes, [&](const Envelope& one) { return type_of(one.body) == type; });
    };
    return reveals ? has(receipt::ExecutionReceipt::type) : !has(market::Roster::type) && !has(market::Award::type);
  }

  /// What the node would have committed to as a verifier.
  void remember(const ledger::Anchor& anchor) {
    for (const Bytes& bytes : anchor.commitments) {
      const auto envelope = record::decode<Envelope>(bytes);
      if (!envelope) continue;
      auto own = open<receipt::Commitment>(*envelope, signer_.federation());
      if (own && own->record.worker) meant_.insert_or_assign(*own->record.worker, std::move(own->record));
    }
  }

  void copy(node::Effects& effects) {
    for (const auto& [cid, work] : works_) {
      for (const ledger::Answer& other : work.answers) {
        if (other.signer == signer_.id()) continue;
        if (const auto meant = meant_.find(cid); meant != meant_.end() && !copied_.contains(cid)) {
          meant->second.root = other.root;
          const Signed<receipt::Commitment> commitment = signer_.sign(meant->second);
          copied_.emplace(cid, Copy{.of = other.commitment, .own = commitment.cid});
          ledger::Anchor anchor;
          anchor.commitments.push_back(record::encode(commitment.envelope));
          tell(std::move(anchor), effects);
        }
      }
      const auto copied = copied_.find(cid);
      if (copied == copied_.end() || copied->second.revealed || !work.receipt) continue;
      std::optional<receipt::VerificationReceipt> reveal = shown_->of(copied->second.of);
      if (!reveal) continue;
      copied->second.revealed = true;
      reveal->commitment = copied->second.own;
      ledger::Settle settle{.account = {}, .sequence = 0, .commitment = cid};
      settle.verifications.push_back(record::encode(signer_.seal(*reveal)));
      tell(std::move(settle), effects);
    }
  }

  void tell(ledger::Body body, node::Effects& effects) {
    effects.push_back({node::effect::Transact{.id = next_id_++, .body = std::move(body)}});
  }

  struct Copy {
    Cid of;
    Cid own;
    bool revealed = false;
  };

  Mode mode_;
  identity::Signer signer_;
  app::ChainHost* chain_ = nullptr;
  std::uint64_t next_id_ = first_id;
  std::map<Cid, ledger::Work> works_;  ///< as they were last seen, by the worker's commitment, as all of these
  std::map<Cid, receipt::Commitment> meant_;
  std::map<Cid, Copy> copied_;
  std::shared_ptr<Shown> shown_ = std::make_shared<Shown>();
};

/// Serves the product's API, for the tests to ask.
class Ears {
 public:
  static Result<std::unique_ptr<Ears>> open(app::Runtime& runtime) {
    std::random_device random;
    std::string token;
    for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", random());
    std::unique_ptr<Ears> ears(new Ears(runtime, std::move(token)));
    MESH_TRY(runtime.call([&]() -> Status {
      MESH_LET(ears->api_, app::Api::start(*ears->backend_, {.token = ears->token_}));
      return {};
    }));
    return ears;
  }
  ~Ears() {
    runtime_.call([this] { api_.reset(); });
  }
  Ears(const Ears&) = delete;
  Ears& operator=(const Ears&) = delete;
  [[nodiscard]] std::string address() const {
    return fmt::format("http://127.0.0.1:{}/#token={}", api_->port(), token_);
  }

 private:
  Ears(app::Runtime& runtime, std::string token)
      : runtime_(runtime), token_(std::move(token)), backend_(app::make_runtime_backend(runtime)) {}

  app::Runtime& runtime_;
  std::string token_;
  std::unique_ptr<app::Backend> backend_;
  std::unique_ptr<app::Api> api_;
};

/// Takes an invitation, unless this home has taken it before; the addresses that it names.
Result<std::vector<std::string>> come_in(const std::filesystem::path& home, const Seed& seed,
                                         const std::string& token) {
  MESH_LET(const app::Invitation invitation, app::read_token(token));
  MESH_LET(const auto known, app::load_founding(home));
  if (!known) {
    MESH_LET(const app::Enrolled enrolled, app::enrol(seed, invitation, seconds(30)));
    MESH_TRY(app::save_founding(home, enrolled.founding));
  }
  return invitation.addresses;
}

int usage() {
  fmt::print(stderr,
             "error: mesh_liar result|fuel|verifier|backs|copy|asks|silent|hides --home DIR [--cache DIR] [--slots N] "
             "[--memory MIB] [--partner PEER] [--join MULTIADDR|TOKEN]...\n");
  return 2;
}

int lie(Mode mode, std::span<char*> arguments) {
  app::Settings settings;
  std::string partner;
  std::vector<std::string> joins;
  settings.mdns = false;
  settings.listen = {"/ip4/127.0.0.1/tcp/0"};
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    const std::string value = arguments[i + 1];
    if (name == "--home") {
      settings.home = value;
    } else if (name == "--cache") {
      settings.compile_cache = std::filesystem::path(value) / "compiled";
    } else if (name == "--slots") {
      settings.slots = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    } else if (name == "--memory") {
      settings.memory_mb = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "--partner") {
      partner = value;
    } else if (name == "--join") {
      joins.push_back(value);
    } else {
      return usage();
    }
  }
  if (settings.home.empty() || arguments.size() % 2 != 0 || (mode == Mode::backs) == partner.empty()) return usage();

  const auto failed = [](const Error& error) {
    fmt::print(stderr, "error: {}\n", error.message);
    return 1;
  };
  std::error_code error;
  std::filesystem::create_directories(settings.home, error);
  const auto seed = app::load_or_create_key(settings.home / "node.key", settings.home);
  if (!seed) return failed(seed.error());
  for (const std::string& join : joins) {
    const auto addresses =
        app::is_token(join) ? come_in(settings.home, seed->seed, join) : Result<std::vector<std::string>>({join});
    if (!addresses) return failed(addresses.error());
    settings.bootstrap.insert(settings.bootstrap.end(), addresses->begin(), addresses->end());
  }
  const auto founding = app::load_founding(settings.home);
  if (!founding) return failed(founding.error());
  const auto federation = *founding ? Result<Cid>(app::federation_of(**founding))
                                    : identity::derive_federation(settings.federation, policy::cid_of({}));
  if (!federation) return failed(federation.error());
  const identity::Signer signer(seed->seed, *federation);
  const auto shards = std::make_shared<Shards>();
  Tongue tongue(mode, partner, signer, shards);
  Pen pen(mode, signer);
  settings.make_sandbox = [mode, shards](wasm::Config config) -> Result<std::unique_ptr<wasm::Sandbox>> {
    MESH_LET(auto honest, wasm::Sandbox::create(std::move(config)));
    return std::make_unique<LyingSandbox>(std::move(honest), mode, shards);
  };
  settings.inspect_event = [&](const node::Event& event) {
    tongue.hear(event);
    pen.hear(event);
  };
  settings.inspect_effects = [&](node::Effects& effects) {
    tongue.speak(effects);
    pen.write(effects);
  };

  ::sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto runtime = app::Runtime::start(std::move(settings));
  if (!runtime) return failed(runtime.error());
  const auto [peer, addresses] = (*runtime)->call([&] {
    pen.follow((*runtime)->ledger());
    return std::pair{identity::peer_id_of((*runtime)->node().id()), (*runtime)->listen_addresses()};
  });
  auto ears = Ears::open(**runtime);
  if (!ears) return failed(ears.error());
  fmt::print("{}\n", nlohmann::json{{"peer", peer}, {"addresses", addresses}, {"api", (*ears)->address()}}.dump());
  std::fflush(stdout);
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0) {
  }
  ears->reset();
  (*runtime)->stop();
  return 0;
}

int formula(std::span<char*> arguments) {
  std::array<std::uint32_t, 4> numbers{};
  if (arguments.size() != numbers.size()) return usage();
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<std::uint32_t>(std::strtoul(arguments[i], nullptr, 10));
  const auto chance = verification::escape_probability(numbers[0], numbers[1], numbers[2], numbers[3]);
  fmt::print("{} {}\n", chance.numerator, chance.denominator);
  return 0;
}

}  // namespace
}  // namespace mesh

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  if (argc < 2) return mesh::usage();
  const std::string_view mode = argv[1];
  const std::span<char*> rest(argv + 2, static_cast<std::size_t>(argc - 2));
  if (mode == "formula") return mesh::formula(rest);
  if (mode == "result") return mesh::lie(mesh::Mode::result, rest);
  if (mode == "fuel") return mesh::lie(mesh::Mode::fuel, rest);
  if (mode == "verifier") return mesh::lie(mesh::Mode::verifier, rest);
  if (mode == "backs") return mesh::lie(mesh::Mode::backs, rest);
  if (mode == "copy") return mesh::lie(mesh::Mode::copy, rest);
  if (mode == "asks") return mesh::lie(mesh::Mode::asks, rest);
  if (mode == "silent") return mesh::lie(mesh::Mode::silent, rest);
  if (mode == "hides") return mesh::lie(mesh::Mode::hides, rest);
  return mesh::usage();
}
