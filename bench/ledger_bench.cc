// What a transfer costs a validator apart from the check of its signature: reading it, executing it, the state root of a
// block of them, making the block's changes. Blocks of 10,000 transfers among 1,000,000 accounts. What an account costs. And what
// signatures cost in batches, with some that do not hold.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "domain/ledger/ledger.h"

namespace {

using namespace mesh;
using namespace mesh::ledger;

constexpr std::uint64_t accounts = 1'000'000;
constexpr std::uint64_t transfers = 10'000;
const Digest table_seed = sha256(as_bytes("bench"));

AccountId account_of(std::uint64_t n) {
  return *AccountId::from(sha256({as_bytes("bench account"), big_endian(n)}).view());
}

/// Taken as signed: the check of signatures is measured elsewhere.
template <record::Typed T>
Bytes envelope_of(const T& body) {
  return record::encode(Envelope{record::encode(body), body.account, {}});
}
template <record::Typed T>
Opened opened(const T& body) {
  return Opened::trusted(decode(envelope_of(body)).value());
}

class Town {
 public:
  Town() : ledger_(found()) {
    const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    std::uint64_t made = 0;
    while (made < accounts) {
      std::vector<Opened> block;
      for (; block.size() < max_block_transactions / 2 && made < accounts; ++made) {
        block.push_back(opened(
            Grant{.account = steward_, .sequence = made, .to = account_of(made), .amount = 1'000'000, .reason = ""}));
      }
      commit(block);
    }
    bytes_ = mallinfo2().uordblks + mallinfo2().hblkhd - before;
  }

  [[nodiscard]] std::vector<Bytes> envelopes() {
    std::vector<Bytes> envelopes;
    for (std::uint64_t i = 0; i < transfers; ++i) {
      const AccountId from = account_of(next_++ * 7919 % accounts);
      const AccountId to = account_of(next_ * 104'729 % accounts);
      const std::uint64_t sequence = ledger_.account(from)->sequence;
      envelopes.push_back(
          envelope_of(Transfer{.account = from, .sequence = sequence, .to = to, .amount = 1 + i % 100, .memo = ""}));
    }
    return envelopes;
  }
  [[nodiscard]] std::vector<Opened> block() {
    std::vector<Opened> block;
    for (const Bytes& envelope : envelopes()) block.push_back(Opened::trusted(decode(envelope).value()));
    return block;
  }
  void commit(const std::vector<Opened>& block) {
    Proposal proposal = propose(block);
    ledger_.commit(std::move(proposal.draft));
  }
  [[nodiscard]] BlockTerms terms() const { return {.proposer = steward_, .time_ms = 1, .link = {}}; }
  [[nodiscard]] Proposal propose(const std::vector<Opened>& block) const {
    Proposal proposal = ledger_.propose(block, {.account = steward_, .time_ms = 1, .beacon = {}}).value();
    MESH_CHECK(proposal.refused.empty() && proposal.considered == block.size(), "ledger-bench-block");
    return proposal;
  }
  [[nodiscard]] Ledger& ledger() { return ledger_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  Ledger found() {
    const Seed seed = *Seed::from(Bytes(32, 1));
    steward_ = public_key_of(seed);
    Founder founder{.account = steward_, .credits = 0, .bonded = 1'000'000, .power = 1};
    founder.roles = {Role::validator, Role::steward};
    const Genesis genesis{.founders = {founder}};
    return std::move(
        *Ledger::found(charter_of("bench", Cid::of(Multicodec::dag_cbor, {}), genesis), genesis, table_seed));
  }

  AccountId steward_;
  Ledger ledger_;
  std::uint64_t next_ = 0;
  std::size_t bytes_ = 0;
};

Town& town() {
  static Town one;
  return one;
}

void per_transfer(benchmark::State& state) {
  state.counters["per_transfer"] = benchmark::Counter(
      static_cast<double>(transfers), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void ledger_decode(benchmark::State& state) {
  const std::vector<Bytes> envelopes = town().envelopes();
  for (auto _ : state) {
    for (const Bytes& envelope : envelopes) {
      Result<Transaction> transaction = decode(envelope);
      benchmark::DoNotOptimize(transaction);
      MESH_CHECK(transaction.has_value(), "ledger-bench-decode");
    }
  }
  per_transfer(state);
}
BENCHMARK(ledger_decode)->Unit(benchmark::kMillisecond);

/// Each transaction, without the state root.
void ledger_execute(benchmark::State& state) {
  const std::vector<Opened> block = town().block();
  for (auto _ : state) {
    Execution execution(town().ledger().state(), town().terms(), table_seed);
    for (const Opened& one : block) {
      const Status done = execution.apply(one);
      MESH_CHECK(done.has_value(), "ledger-bench-execute");
    }
    benchmark::DoNotOptimize(execution);
  }
  per_transfer(state);
}
BENCHMARK(ledger_execute)->Unit(benchmark::kMillisecond);

void ledger_root(benchmark::State& state) {
  const std::vector<Opened> block = town().block();
  for (auto _ : state) {
    state.PauseTiming();
    Execution execution(town().ledger().state(), town().terms(), table_seed);
    for (const Opened& one : block) MESH_CHECK(execution.apply(one).has_value(), "ledger-bench-execute");
    state.ResumeTiming();
    Draft draft = std::move(execution).finish();
    benchmark::DoNotOptimize(draft);
  }
  per_transfer(state);
}
BENCHMARK(ledger_root)->Unit(benchmark::kMillisecond);

void ledger_commit(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Proposal proposal = town().propose(town().block());
    state.ResumeTiming();
    town().ledger().commit(std::move(proposal.draft));
  }
  per_transfer(state);
}
BENCHMARK(ledger_commit)->Unit(benchmark::kMillisecond)->Iterations(20);

/// A whole block from its bytes to the changed state, with its transactions opened before, as they are when they came in
/// one by one.
void ledger_block(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Opened> transactions = town().block();
    const Bytes bytes = encode_block(town().propose(transactions).block.block());
    state.ResumeTiming();
    Block block = decode_block(bytes).value();
    const OpenedBlock whole = OpenedBlock::join(std::move(block), std::move(transactions)).value();
    Draft draft = town().ledger().execute(whole, std::nullopt).value();
    town().ledger().commit(std::move(draft));
  }
  per_transfer(state);
}
BENCHMARK(ledger_block)->Unit(benchmark::kMillisecond)->Iterations(20);

void ledger_propose(benchmark::State& state) {
  const std::vector<Opened> block = town().block();
  for (auto _ : state) {
    Proposal proposal = town().propose(block);
    benchmark::DoNotOptimize(proposal);
  }
  per_transfer(state);
}
BENCHMARK(ledger_propose)->Unit(benchmark::kMillisecond);

/// Transactions with their signatures, 512 at once, of which so many were signed for elsewhere.
void ledger_open(benchmark::State& state) {
  constexpr std::uint64_t at_once = 512;
  const Cid federation = Cid::of(Multicodec::dag_cbor, as_bytes("bench"));
  const auto bad = static_cast<std::uint64_t>(state.range(0));
  const Seed seed = *Seed::from(Bytes(32, 2));
  std::vector<Bytes> envelopes;
  for (std::uint64_t i = 0; i < at_once; ++i) {
    const bool is_bad = i * bad / at_once != (i + 1) * bad / at_once;  // Spread evenly.
    const identity::Signer signer(seed, is_bad ? Cid::of(Multicodec::dag_cbor, as_bytes("elsewhere")) : federation);
    envelopes.push_back(record::encode(signer.seal(Bond{.account = public_key_of(seed), .sequence = i, .amount = 1})));
  }
  for (auto _ : state) {
    const std::vector<Result<Opened>> opened = open_all(envelopes, federation);
    const auto refused = std::ranges::count_if(opened, [](const auto& one) { return !one; });
    MESH_CHECK(refused == static_cast<std::ptrdiff_t>(bad), "ledger-bench-open");
  }
  state.counters["per_transaction"] = benchmark::Counter(
      static_cast<double>(at_once), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(ledger_open)->Unit(benchmark::kMillisecond)->Arg(0)->Arg(1)->Arg(4)->Arg(32)->Arg(512);

/// No time is measured: the counter is what an account takes of the heap, all tables and indices counted.
void ledger_account_bytes(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(town().bytes());
  state.counters["bytes_per_account"] = static_cast<double>(town().bytes()) / static_cast<double>(accounts);
}
BENCHMARK(ledger_account_bytes);

}  // namespace
