#include "app/runtime/executor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <mutex>
#include <set>

#include "app/runtime/function_loader.h"
#include "app/runtime/sealed_inputs.h"
#include "base/check.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {
constexpr auto tell_every = std::chrono::milliseconds(20);
}

struct Executor::Impl : std::enable_shared_from_this<Executor::Impl> {
  /// A shard list that was read, and where its parts end.
  struct KnownList {
    Cid cid;
    task::ShardList list;
    std::vector<std::uint64_t> ends;  ///< of the parts: the number of the first shard after each
    [[nodiscard]] std::uint64_t shards() const { return ends.empty() ? list.inputs.size() : ends.back(); }
    [[nodiscard]] std::size_t part_of(std::uint32_t shard) const {
      return static_cast<std::size_t>(std::ranges::upper_bound(ends, std::uint64_t{shard}) - ends.begin());
    }
    [[nodiscard]] std::set<Cid> parts_of(const std::vector<std::uint32_t>& wanted) const {
      std::set<Cid> parts;
      for (const std::uint32_t shard : wanted) {
        if (shard < shards()) parts.insert(list.parts[part_of(shard)].list);
      }
      return parts;
    }
  };

  struct Run {
    node::effect::Execute effect;
    Clock::time_point fetch_until;
    std::uint64_t job = 0;  ///< the sandbox's id, once submitted
    bool ended = false;
    bool again = false;     ///< content that was thought to be here was fetched a second time
    std::optional<FunctionParts> parts;
    /// The shards that have an input, and these; why the others have none.
    std::vector<std::uint32_t> shards;
    std::vector<Cid> inputs;
    std::vector<std::pair<std::uint32_t, std::string>> without_input;
    std::map<std::uint32_t, verification::WrappedKey> keys;  ///< by shard, where they came with the run
    std::set<std::uint32_t> wrong_keys;
    std::size_t left = 0;     ///< shards that are not told yet

    std::mutex mutex;  ///< over what the sandbox's threads add to
    std::vector<std::pair<std::uint32_t, Bytes>> logs;  ///< by shard
    std::uint64_t log_bytes = 0, log_left_out = 0;
    bool log_posted = false;
    std::vector<std::pair<std::uint32_t, Result<wasm::RunResult>>> results;
    bool results_posted = false;
    std::size_t running = 0;  ///< shards that the sandbox has
  };
  using RunPointer = std::shared_ptr<Run>;

  asio::io_context& io;
  store::BlockStore& blocks;
  ContentExchange& content;
  wasm::Sandbox& sandbox;
  Limits limits;
  Emit emit_event;
  FunctionLoader loader;
  SealedInputs sealed;
  bool closed = false;
  std::uint64_t next_job = 1;
  std::map<std::uint64_t, RunPointer> runs;
  std::shared_ptr<const KnownList> latest_list;  ///< runs of one task follow one another
  std::atomic<std::uint64_t> started{0}, failed{0}, fuel{0}, running{0};

  Impl(asio::io_context& context, store::BlockStore& store, ContentExchange& exchange, wasm::Sandbox& engine,
       Limits given, const Seed& own, Emit emit)
      : io(context),
        blocks(store),
        content(exchange),
        sandbox(engine),
        limits(given),
        emit_event(std::move(emit)),
        loader(store, given.max_tree_bytes, given.max_cached_tree_bytes),
        sealed(store, own) {}

  void emit(node::Event event) {
    if (!closed) emit_event(std::move(event));
  }

  // ---- A run.

  void execute(node::effect::Execute effect) {
    if (closed) return;
    MESH_CHECK(!runs.contains(effect.id), "execution-id-used-twice");
    const RunPointer run = std::make_shared<Run>();
    run->effect = std::move(effect);
    run->left = run->effect.shards.size();
    for (std::size_t i = 0; i < run->effect.keys.size(); ++i)
      run->keys.emplace(run->effect.shards[i], run->effect.keys[i]);
    run->fetch_until = Clock::now() + milliseconds(run->effect.fetch_ms);
    runs.emplace(run->effect.id, run);
    running = runs.size();
    begin(run);
  }

  void begin(const RunPointer& run) {
    // The two blocks that say what else is needed.
    std::vector<ContentExchange::Want> wants;
    const bool is_node = run->effect.function.codec() == Multicodec::dag_cbor;
    if (is_node) wants.push_back({.root = run->effect.function, .below = {}, .depth = 0});
    wants.push_back({.root = run->effect.inputs, .below = {}, .depth = 0});
    content.fetch_all(std::move(wants), run->effect.holders, time_left(*run),
                      [weak = weak_from_this(), run](Status status) {
                        if (const auto self = weak.lock(); self && !self->closed && !run->ended)
                          self->found_parts(run, std::move(status));
                      });
  }

  static Duration time_left(const Run& run) {
    return std::max(Duration(0), std::chrono::duration_cast<Duration>(run.fetch_until - Clock::now()));
  }

  void found_parts(const RunPointer& run, Status status) {
    if (!status) return end_with_error(run, std::move(status.error()));
    auto parts = loader.parts(run->effect.function);
    if (!parts) return retry_or_end(run, std::move(parts.error()));
    if (const auto* refused = std::get_if<Refusal>(&*parts)) return end_refused(run, refused->detail);
    run->parts = std::move(std::get<FunctionParts>(*parts));

    auto list = list_of(run->effect.inputs);
    if (!list) return retry_or_end(run, std::move(list.error()));
    if (!*list) return end_refused(run, "the shard list does not read");
    std::vector<ContentExchange::Want> wants;
    if (run->parts->node) {
      for (const Cid& part : run->parts->linked) wants.push_back({.root = part, .below = run->effect.function});
    } else {
      wants.push_back({.root = run->effect.function, .below = {}});
    }
    if ((*list)->list.parts.empty()) {
      wants.push_back({.root = (*list)->list.inputs.front(), .below = run->effect.inputs});
    } else {
      // With their inputs: a part is small, or has one alone.
      for (const Cid& part : (*list)->parts_of(run->effect.shards))
        wants.push_back({.root = part, .below = run->effect.inputs});
    }
    content.fetch_all(std::move(wants), run->effect.holders, time_left(*run),
                      [weak = weak_from_this(), run](Status fetched) {
                        if (const auto self = weak.lock(); self && !self->closed && !run->ended)
                          self->found_content(run, std::move(fetched));
                      });
  }

  /// The list of a task's inputs; null for a block that is none.
  Result<std::shared_ptr<const KnownList>> list_of(const Cid& cid) {
    if (latest_list && latest_list->cid == cid) return latest_list;
    MESH_LET(const std::shared_ptr<const task::ShardList> list, read_list(cid));
    if (!list || list->parts.empty() == list->inputs.empty() || list->inputs.size() > 1) return nullptr;
    auto known = std::make_shared<KnownList>();
    known->cid = cid;
    known->list = *list;
    std::uint64_t end = 0;
    for (const task::ShardList::Part& part : list->parts) known->ends.push_back(end += part.shards);
    latest_list = known;
    return known;
  }

  /// Null for a block that is none.
  Result<std::shared_ptr<const task::ShardList>> read_list(const Cid& cid) {
    MESH_LET(const store::BlockBytes block, blocks.get(cid));
    auto list = record::decode<task::ShardList>(*block);
    if (!list) return nullptr;
    return std::make_shared<const task::ShardList>(std::move(*list));
  }

  /// Finds the inputs of the run's shards in the list and its parts, which are here: of each by itself, since what a shard
  /// comes to may not depend on those that run with it.
  Status find_inputs(Run& run) {
    MESH_LET(const std::shared_ptr<const KnownList> known, list_of(run.effect.inputs));
    if (!known) return fail(ErrorCode::invalid, "the shard list does not read");
    run.shards.clear();
    run.inputs.clear();
    run.without_input.clear();
    std::map<std::size_t, std::shared_ptr<const task::ShardList>> parts;
    for (const std::uint32_t shard : run.effect.shards) {
      if (shard >= known->shards()) {
        run.without_input.emplace_back(
            shard, fmt::format("there is no shard {} in a shard list of {}", shard, known->shards()));
        continue;
      }
      Cid input;
      if (known->list.parts.empty()) {
        input = known->list.inputs.front();
      } else {
        const std::size_t number = known->part_of(shard);
        const task::ShardList::Part& wanted = known->list.parts[number];
        auto part = parts.find(number);
        if (part == parts.end()) {
          MESH_LET(auto read, read_list(wanted.list));
          part = parts.emplace(number, std::move(read)).first;
        }
        if (!part->second || !part->second->parts.empty() || part->second->inputs.size() != wanted.shards) {
          run.without_input.emplace_back(shard, "its part of the shard list is not what the list says");
          continue;
        }
        input = part->second->inputs[shard - (number == 0 ? 0 : known->ends[number - 1])];
      }
      if (input.codec() == Multicodec::dag_cbor) {
        run.without_input.emplace_back(shard, fmt::format("the input of shard {} is a record, not a file", shard));
        continue;
      }
      run.shards.push_back(shard);
      run.inputs.push_back(input);
    }
    return {};
  }

  /// The content of a sealed input. What is wrong with the file itself is so on every node, and a refusal; that its key does
  /// not fit, or is none, is an Error, and whoever gave it is told.
  Result<std::variant<Bytes, Refusal>> open_input(Run& run, std::size_t number) {
    using Answer = std::variant<Bytes, Refusal>;
    const std::uint32_t shard = run.shards[number];
    const auto given = run.keys.find(shard);
    const Result<sealing::ContentKey> key = given == run.keys.end()
                                                ? sealed.own_key(run.inputs[number])
                                                : sealed.unwrap(run.effect.intent, shard, given->second);
    Result<Bytes> opened = std::unexpected(key ? Error() : key.error());
    if (key) opened = sealed.open(run.inputs[number], *key, limits.max_input_bytes);
    if (opened) return Answer(std::move(*opened));
    if (opened.error().code == ErrorCode::denied) run.wrong_keys.insert(shard);
    if (opened.error().code == ErrorCode::invalid || opened.error().code == ErrorCode::exhausted)
      return Answer(Refusal{"the sealed input: " + opened.error().message});
    return std::unexpected(std::move(opened.error()));
  }

  void wrap_keys(const node::effect::WrapKeys& effect) {
    if (closed) return;
    emit(node::event::KeysWrapped{
        .id = effect.id, .to = effect.to, .shards = effect.shards, .keys = wrapped_keys(effect)});
  }

  Result<verification::KeyParcel> wrapped_keys(const node::effect::WrapKeys& effect) {
    const auto context = effect.intent.binary();
    const Result<sealing::KeyWrapper> wrapper = sealing::KeyWrapper::start(effect.to, context);
    // The asker's own fault, and none of the input's.
    if (!wrapper) return fail(ErrorCode::denied, wrapper.error().message);
    verification::KeyParcel parcel{.point = verification::KeyPoint(wrapper->point()), .keys = {}};
    Run lookup;
    if (effect.keys.empty()) {
      lookup.effect.inputs = effect.inputs;
      lookup.effect.shards = effect.shards;
      MESH_TRY(find_inputs(lookup));
      if (!lookup.without_input.empty()) return fail(ErrorCode::invalid, lookup.without_input.front().second);
    }
    for (std::size_t i = 0; i < effect.shards.size(); ++i) {
      const std::uint32_t shard = effect.shards[i];
      const Result<sealing::ContentKey> key =
          effect.keys.empty() ? sealed.own_key(lookup.inputs[i]) : sealed.unwrap(effect.intent, shard, effect.keys[i]);
      if (!key) return wrap(fmt::format("the input of shard {}", shard), key.error());
      parcel.keys.emplace_back(wrapper->wrap(*key, shard));
    }
    return parcel;
  }

  void found_content(const RunPointer& run, Status status) {
    if (!status) return end_with_error(run, std::move(status.error()));
    if (Status found = find_inputs(*run); !found) return retry_or_end(run, std::move(found.error()));
    std::vector<wasm::Job> jobs;
    std::vector<std::uint32_t> shards;
    std::vector<std::pair<std::uint32_t, Result<wasm::RunResult>>> refused;
    for (const auto& [shard, why] : run->without_input) refused.emplace_back(shard, refusal(why));
    std::shared_ptr<const Bytes> input;
    for (std::size_t i = 0; i < run->inputs.size(); ++i) {
      const std::uint32_t shard = run->shards[i];
      if (run->effect.sealed) {
        Result<std::variant<Bytes, Refusal>> opened = open_input(*run, i);
        if (!opened) {
          if (opened.error().code == ErrorCode::not_found || opened.error().code == ErrorCode::storage)
            return retry_or_end(run, std::move(opened.error()));
          refused.emplace_back(shard, std::unexpected(std::move(opened.error())));
          continue;
        }
        if (const auto* why = std::get_if<Refusal>(&*opened)) {
          refused.emplace_back(shard, refusal(why->detail));
          continue;
        }
        input = std::make_shared<const Bytes>(std::get<Bytes>(std::move(*opened)));
      } else if (i == 0 || run->inputs[i] != run->inputs[i - 1] || !input) {
        Result<Bytes> bytes = blocks.read_dag_file(run->inputs[i], limits.max_input_bytes);
        input = bytes ? std::make_shared<const Bytes>(std::move(*bytes)) : nullptr;
        if (!bytes) {
          if (bytes.error().code == ErrorCode::not_found || bytes.error().code == ErrorCode::storage)
            return retry_or_end(run, std::move(bytes.error()));
          refused.emplace_back(shard, refusal("the input: " + bytes.error().message));
          continue;
        }
      }
      auto loaded = loader.load(*run->parts, input);
      if (!loaded) return retry_or_end(run, std::move(loaded.error()));
      if (const auto* why = std::get_if<Refusal>(&*loaded)) {
        refused.emplace_back(shard, refusal(why->detail));
        continue;
      }
      wasm::Job job = std::move(std::get<wasm::Job>(*loaded));
      job.id = next_job++;
      job.input = input;
      job.entropy_key = task::entropy_key(run->effect.function, run->inputs[i]);
      job.limits = wasm::Limits::of(run->effect.scope);
      jobs.push_back(std::move(job));
      shards.push_back(shard);
    }
    started += run->effect.shards.size();
    emit(node::event::ExecutionStarted{.id = run->effect.id});
    run->running = jobs.size();
    if (!jobs.empty()) {
      run->job = jobs.front().id;
      Status taken = sandbox.submit(
          std::move(jobs),
          [weak = weak_from_this(), run, shards](std::size_t job, ByteView more) {
            take_log(weak, run, shards[job], more);
          },
          [weak = weak_from_this(), run, shards](std::size_t job, Result<wasm::RunResult> result) {
            take_result(weak, run, shards[job], std::move(result));
          });
      if (!taken) return end_with_error(run, std::move(taken.error()));
    }
    if (!refused.empty()) tell(run, std::move(refused));
  }

  /// On a thread of the sandbox. Results that follow one another quickly are told together.
  static void take_result(const std::weak_ptr<Impl>& weak, const RunPointer& run, std::uint32_t shard,
                          Result<wasm::RunResult> result) {
    const auto self = weak.lock();
    if (!self) return;
    bool last = false;
    {
      const std::lock_guard guard(run->mutex);
      run->results.emplace_back(shard, std::move(result));
      last = --run->running == 0;
      if (std::exchange(run->results_posted, true) && !last) return;
    }
    asio::post(self->io, [weak, run, last] {
      const auto here = weak.lock();
      if (!here || here->closed || run->ended) return;
      if (last) return here->tell_results(run);
      auto timer = std::make_shared<asio::steady_timer>(here->io, tell_every);
      timer->async_wait([weak, run, timer](const boost::system::error_code&) {
        if (const auto still = weak.lock(); still && !still->closed && !run->ended) still->tell_results(run);
      });
    });
  }

  void tell_results(const RunPointer& run) {
    std::vector<std::pair<std::uint32_t, Result<wasm::RunResult>>> results;
    {
      const std::lock_guard guard(run->mutex);
      results.swap(run->results);
      run->results_posted = false;
    }
    if (!results.empty()) tell(run, std::move(results));
  }

  /// On a thread of the sandbox.
  static void take_log(const std::weak_ptr<Impl>& weak, const RunPointer& run, std::uint32_t shard, ByteView more) {
    const auto self = weak.lock();
    if (!self) return;
    {
      const std::lock_guard guard(run->mutex);
      const std::size_t taken = std::min<std::size_t>(self->limits.max_live_log_bytes - run->log_bytes, more.size());
      if (taken > 0) {
        if (run->logs.empty() || run->logs.back().first != shard) run->logs.emplace_back(shard, Bytes{});
        append(run->logs.back().second, more.first(taken));
        run->log_bytes += taken;
      }
      run->log_left_out += more.size() - taken;
      if (std::exchange(run->log_posted, true)) return;
    }
    asio::post(self->io, [weak, run] {
      if (const auto here = weak.lock(); here && !here->closed && !run->ended) here->flush_log(*run);
    });
  }

  void flush_log(Run& run) {
    std::vector<std::pair<std::uint32_t, Bytes>> logs;
    {
      const std::lock_guard guard(run.mutex);
      run.log_posted = false;
      logs.swap(run.logs);
      run.log_bytes = 0;
      if (run.log_left_out > 0 && !logs.empty()) {
        append(logs.back().second,
               as_bytes(fmt::format("\n[{} bytes came too fast for the live log; the stored log has them]\n",
                                    run.log_left_out)));
        run.log_left_out = 0;
      }
    }
    for (auto& [shard, log] : logs)
      emit(node::event::ExecutionLog{.id = run.effect.id, .shard = shard, .bytes = std::move(log)});
  }

  /// A block that was here a moment ago is gone or damaged: its holders are asked once more.
  void retry_or_end(const RunPointer& run, Error error) {
    if (run->again || (error.code != ErrorCode::not_found && error.code != ErrorCode::storage))
      return end_with_error(run, std::move(error));
    run->again = true;
    content.forget_complete();
    begin(run);
  }

  /// What was kept last of one kind: shards of one run often come to the same, and nearly all logs are empty.
  struct Kept {
    Bytes bytes;
    std::optional<Cid> cid;
  };

  Result<Cid> keep(ByteView bytes, Kept& last, Bytes& attached) {
    if (bytes.size() <= max_attached_bytes) attached = to_bytes(bytes);
    if (last.cid && std::ranges::equal(last.bytes, bytes)) return *last.cid;
    asset::FileBuilder builder([this](const Cid& cid, const Bytes& block) { return blocks.put(cid, block); });
    MESH_TRY(builder.feed(bytes));
    MESH_LET(const asset::Built built, builder.finish());
    last.cid.reset();
    if (bytes.size() <= max_attached_bytes) last = {to_bytes(bytes), built.cid};
    return built.cid;
  }

  Result<node::event::ExecutionDone::Output> output_of(Result<wasm::RunResult> result, Kept& last_result,
                                                       Kept& last_log) {
    if (!result) return std::unexpected(std::move(result.error()));
    node::event::ExecutionDone::Output output;
    output.finding.outcome = task::bounded(std::move(result->outcome));
    output.finding.fuel = result->summary.fuel;
    output.summary = result->summary;
    MESH_LET(output.finding.result, keep(result->output, last_result, output.result_block));
    MESH_LET(output.finding.log, keep(result->log, last_log, output.log_block));
    fuel += output.finding.fuel;
    return output;
  }

  static wasm::RunResult refusal(std::string detail) {
    wasm::RunResult result;
    result.outcome.kind = task::OutcomeKind::refused;
    result.outcome.detail = std::move(detail);
    return result;
  }

  /// Keeps what came out and tells the node.
  void tell(const RunPointer& run, std::vector<std::pair<std::uint32_t, Result<wasm::RunResult>>> results) {
    flush_log(*run);
    node::event::ExecutionDone done{.id = run->effect.id, .shards = {}, .last = false};
    done.shards.reserve(results.size());
    Kept last_result, last_log;  // Of this call alone: what lies in the store now may be collected later.
    for (auto& [shard, result] : results) {
      done.shards.push_back(
          {shard, output_of(std::move(result), last_result, last_log), run->wrong_keys.contains(shard)});
      if (!done.shards.back().result) failed += 1;
    }
    run->left -= done.shards.size();
    done.last = run->left == 0;
    if (done.last) {
      run->ended = true;
      runs.erase(run->effect.id);
      running = runs.size();
    }
    emit(std::move(done));
  }

  /// The same for all shards of a run, none of which was told.
  void end_all(const RunPointer& run, const Result<wasm::RunResult>& result) {
    std::vector<std::pair<std::uint32_t, Result<wasm::RunResult>>> results;
    for (const std::uint32_t shard : run->effect.shards) results.emplace_back(shard, result);
    tell(run, std::move(results));
  }

  void end_refused(const RunPointer& run, std::string detail) {
    started += run->effect.shards.size();
    emit(node::event::ExecutionStarted{.id = run->effect.id});
    end_all(run, refusal(std::move(detail)));
  }

  void end_with_error(const RunPointer& run, Error error) { end_all(run, std::unexpected(std::move(error))); }

  void cancel(std::uint64_t id) {
    const auto found = runs.find(id);
    if (found == runs.end()) return;
    const RunPointer run = found->second;
    if (run->job != 0) {
      sandbox.stop(run->job);  // Its on_done ends the run.
    } else {
      end_with_error(run, {ErrorCode::denied, "stopped"});
    }
  }

  // ---- Results.

  struct Gathering {
    node::effect::FetchResults effect;
    std::size_t next = 0, under_way = 0;
    Clock::time_point until;
    bool ended = false;
  };

  void fetch_results(node::effect::FetchResults effect) {
    if (closed) return;
    const auto gathering = std::make_shared<Gathering>();
    gathering->effect = std::move(effect);
    gathering->until = Clock::now() + limits.results_limit;
    gather(gathering);
  }

  void gather(const std::shared_ptr<Gathering>& gathering) {
    auto& roots = gathering->effect.roots;
    while (!gathering->ended && gathering->next < roots.size() && gathering->under_way < limits.results_at_once) {
      auto& [root, holders] = roots[gathering->next++];
      ++gathering->under_way;
      const auto left = std::max(Duration(0), std::chrono::duration_cast<Duration>(gathering->until - Clock::now()));
      // Posted, so that a thousand results that are here already do not nest a thousand calls.
      content.fetch({.root = root, .below = {}}, std::move(holders), left,
                    [weak = weak_from_this(), gathering, &context = io](Status status) {
                      asio::post(context, [weak, gathering, status = std::move(status)]() mutable {
                        const auto self = weak.lock();
                        if (!self || self->closed || gathering->ended) return;
                        --gathering->under_way;
                        if (!status) return self->gathered(*gathering, std::move(status));
                        self->gather(gathering);
                      });
                    });
    }
    if (!gathering->ended && gathering->under_way == 0) {
      gathered(*gathering, blocks.sync());
    }
  }

  void gathered(Gathering& gathering, Status status) {
    gathering.ended = true;
    emit(node::event::ResultsFetched{.id = gathering.effect.id, .status = std::move(status)});
  }

  Result<Cid> reduce_input(const std::vector<Cid>& results) {
    asset::FileBuilder builder([this](const Cid& cid, const Bytes& block) { return blocks.put(cid, block); });
    std::uint64_t total = 0;
    for (const Cid& result : results) {
      std::uint8_t last = '\n';
      MESH_TRY(blocks.read_dag_file(result, limits.max_reduce_bytes - total, [&](ByteView part) -> Status {
        total += part.size();
        last = part.back();
        return builder.feed(part);
      }));
      if (last != '\n') {
        if (++total > limits.max_reduce_bytes) {
          return fail(ErrorCode::exhausted,
                      fmt::format("the results together have more than {} bytes", limits.max_reduce_bytes));
        }
        MESH_TRY(builder.feed(as_bytes("\n")));
      }
    }
    MESH_LET(const asset::Built input, builder.finish());
    task::ShardList list;
    list.inputs.push_back(input.cid);
    const Bytes block = record::encode(list);
    const Cid cid = dagcbor::cid_of(block);
    MESH_TRY(blocks.put(cid, block));
    MESH_TRY(blocks.sync());
    return cid;
  }

  void build_reduce_input(const node::effect::BuildReduceInput& effect) {
    Result<Cid> built = reduce_input(effect.results);
    if (!built) built = wrap("the input of the reducing function", std::move(built.error()));
    emit(node::event::ReduceInputBuilt{.id = effect.id, .inputs = std::move(built)});
  }

  void close() {
    closed = true;
    for (const auto& [id, run] : runs) {
      if (run->job != 0) sandbox.stop(run->job);
    }
    runs.clear();
  }
};

Executor::Executor(asio::io_context& io, store::BlockStore& blocks, ContentExchange& content, wasm::Sandbox& sandbox,
                   Limits limits, const Seed& own, Emit emit)
    : impl_(std::make_shared<Impl>(io, blocks, content, sandbox, limits, own, std::move(emit))) {}

Executor::~Executor() { impl_->closed = true; }

void Executor::execute(node::effect::Execute effect) {
  asio::dispatch(impl_->io, [impl = impl_, effect = std::move(effect)]() mutable { impl->execute(std::move(effect)); });
}

void Executor::cancel(std::uint64_t id) {
  asio::dispatch(impl_->io, [impl = impl_, id] { impl->cancel(id); });
}

void Executor::wrap_keys(node::effect::WrapKeys effect) {
  asio::dispatch(impl_->io, [impl = impl_, effect = std::move(effect)] { impl->wrap_keys(effect); });
}

void Executor::fetch_results(node::effect::FetchResults effect) {
  asio::dispatch(impl_->io,
                 [impl = impl_, effect = std::move(effect)]() mutable { impl->fetch_results(std::move(effect)); });
}

void Executor::build_reduce_input(node::effect::BuildReduceInput effect) {
  asio::dispatch(impl_->io, [impl = impl_, effect = std::move(effect)] { impl->build_reduce_input(effect); });
}

std::vector<Cid> Executor::roots_in_use() const {
  std::vector<Cid> roots;
  for (const auto& [id, run] : impl_->runs) {
    roots.push_back(run->effect.function);
    roots.push_back(run->effect.inputs);
  }
  return roots;
}

void Executor::close() { impl_->close(); }

Executor::Figures Executor::figures() const {
  return {.started = impl_->started, .failed = impl_->failed, .fuel = impl_->fuel, .running = impl_->running};
}

}  // namespace mesh::app
