// A node that lies, for the integration tests: the product's runtime with an engine or a tongue of its own.
//
//   mesh_liar MODE --home DIR [--cache DIR] [--slots N] [--partner PEER] [--join MULTIADDR]...
//   mesh_liar formula ELIGIBLE COLLUDERS SEATS NEEDED     prints verification::escape_probability as "n d"
//
// Modes: `result` gives wrong bytes for every run, the same ones as every other liar; `fuel` gives the right bytes and one
// unit of fuel too many; `verifier` gives wrong bytes for the shards that it was not awarded; `backs` tells the lie of
// `result` for the shards that the partner has committed to, and else the truth; `copy` does honest work as a worker, but as
// a verifier commits to what the worker committed to and later repeats what the worker revealed; `asks` is honest, but asks the
// publisher and the workers for the keys of shards before it has any part in them.
//
// `verifier` and `backs` tell runs apart by their input, which must begin with the shard's number plus one (the tests' do).
// It prints one line of JSON {peer, addresses} once it listens, and ends on SIGTERM.
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
#include <set>
#include <span>
#include <string_view>

#include "app/runtime/runtime.h"
#include "domain/verification/quorum.h"
#include "domain/verification/records.h"
#include "node/parcel.h"

namespace mesh {
namespace {

enum class Mode { result, fuel, verifier, backs, copy, asks };

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

int usage() {
  fmt::print(
      stderr,
      "error: mesh_liar result|fuel|verifier|backs|copy|asks --home DIR [--cache DIR] [--slots N] [--partner PEER] "
      "[--join MULTIADDR]...\n");
  return 2;
}

int lie(Mode mode, std::span<char*> arguments) {
  app::Settings settings;
  std::string partner;
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
    } else if (name == "--partner") {
      partner = value;
    } else if (name == "--join") {
      settings.bootstrap.push_back(value);
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
  const auto federation = identity::derive_federation(settings.federation, policy::cid_of({}));
  if (!federation) return failed(federation.error());
  const auto shards = std::make_shared<Shards>();
  Tongue tongue(mode, partner, identity::Signer(seed->seed, *federation), shards);
  settings.make_sandbox = [mode, shards](wasm::Config config) -> Result<std::unique_ptr<wasm::Sandbox>> {
    MESH_LET(auto honest, wasm::Sandbox::create(std::move(config)));
    return std::make_unique<LyingSandbox>(std::move(honest), mode, shards);
  };
  settings.inspect_event = [&tongue](const node::Event& event) { tongue.hear(event); };
  settings.inspect_effects = [&tongue](node::Effects& effects) { tongue.speak(effects); };

  ::sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto runtime = app::Runtime::start(std::move(settings));
  if (!runtime) return failed(runtime.error());
  const auto [peer, addresses] = (*runtime)->call(
      [&runtime] { return std::pair{identity::peer_id_of((*runtime)->node().id()), (*runtime)->listen_addresses()}; });
  fmt::print("{}\n", nlohmann::json{{"peer", peer}, {"addresses", addresses}}.dump());
  std::fflush(stdout);
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0) {
  }
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
  return mesh::usage();
}
