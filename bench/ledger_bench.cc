// What a transfer costs a validator apart from the check of its signature: reading it, executing it, the state root of a
// block of them, making the block's changes. Blocks of 10,000 transfers among 1,000,000 accounts. And what an account costs.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "domain/ledger/ledger.h"

namespace {

using namespace mesh;
using namespace mesh::ledger;

constexpr std::uint64_t accounts = 1'000'000;
constexpr std::uint64_t transfers = 10'000;

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
    ledger_.commit(proposal.block.block().cid(), std::move(proposal.draft));
  }
  [[nodiscard]] Proposal propose(const std::vector<Opened>& block) const {
    Proposal proposal = ledger_.propose(block, {.account = steward_, .time_ms = 1}).value();
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
    return std::move(*Ledger::found(charter_of("bench", Cid::of(Multicodec::dag_cbor, {}), genesis), genesis));
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
    Execution execution(town().ledger().state(), 1);
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
    Execution execution(town().ledger().state(), 1);
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
    const Cid cid = proposal.block.block().cid();
    state.ResumeTiming();
    town().ledger().commit(cid, std::move(proposal.draft));
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
    const Cid cid = block.cid();
    const OpenedBlock whole = OpenedBlock::join(std::move(block), std::move(transactions)).value();
    Draft draft = town().ledger().execute(whole, std::nullopt).value();
    town().ledger().commit(cid, std::move(draft));
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

/// No time is measured: the counter is what an account takes of the heap, all tables and indices counted.
void ledger_account_bytes(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(town().bytes());
  state.counters["bytes_per_account"] = static_cast<double>(town().bytes()) / static_cast<double>(accounts);
}
BENCHMARK(ledger_account_bytes);

}  // namespace
