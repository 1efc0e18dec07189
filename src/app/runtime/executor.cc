#include "app/runtime/executor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <mutex>

#include "app/runtime/function_loader.h"
#include "base/check.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

struct Executor::Impl : std::enable_shared_from_this<Executor::Impl> {
  struct Run {
    node::effect::Execute effect;
    Clock::time_point fetch_until;
    std::uint64_t job = 0;  ///< the sandbox's id, once submitted
    bool ended = false;
    bool again = false;     ///< content that was thought to be here was fetched a second time
    std::optional<FunctionParts> parts;
    Cid input;

    std::mutex log_mutex;
    Bytes log;
    std::uint64_t log_left_out = 0;
    bool log_posted = false;
  };
  using RunPointer = std::shared_ptr<Run>;

  asio::io_context& io;
  store::BlockStore& blocks;
  ContentExchange& content;
  wasm::Sandbox& sandbox;
  Limits limits;
  Emit emit_event;
  FunctionLoader loader;
  bool closed = false;
  std::uint64_t next_job = 1;
  std::map<std::uint64_t, RunPointer> runs;
  std::atomic<std::uint64_t> started{0}, failed{0}, fuel{0}, running{0};

  Impl(asio::io_context& context, store::BlockStore& store, ContentExchange& exchange, wasm::Sandbox& engine,
       Limits given, Emit emit)
      : io(context),
        blocks(store),
        content(exchange),
        sandbox(engine),
        limits(given),
        emit_event(std::move(emit)),
        loader(store, given.max_tree_bytes, given.max_cached_tree_bytes) {}

  void emit(node::Event event) {
    if (!closed) emit_event(std::move(event));
  }

  // ---- A run.

  void execute(node::effect::Execute effect) {
    if (closed) return;
    MESH_CHECK(!runs.contains(effect.id), "execution-id-used-twice");
    const RunPointer run = std::make_shared<Run>();
    run->effect = std::move(effect);
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

    const Result<store::BlockBytes> list_block = blocks.get(run->effect.inputs);
    if (!list_block) return retry_or_end(run, list_block.error());
    const auto list = record::decode<task::ShardList>(**list_block);
    if (!list) return end_refused(run, "the shard list does not read: " + list.error().message);
    if (run->effect.shard >= list->inputs.size()) {
      return end_refused(
          run, fmt::format("there is no shard {} in a shard list of {}", run->effect.shard, list->inputs.size()));
    }
    run->input = list->inputs[run->effect.shard];
    if (run->input.codec() == Multicodec::dag_cbor) return end_refused(run, "the input is a record, not a file");

    std::vector<ContentExchange::Want> wants;
    if (run->parts->node) {
      for (const Cid& part : run->parts->linked) wants.push_back({.root = part, .below = run->effect.function});
    } else {
      wants.push_back({.root = run->effect.function, .below = {}});
    }
    wants.push_back({.root = run->input, .below = run->effect.inputs});
    content.fetch_all(std::move(wants), run->effect.holders, time_left(*run),
                      [weak = weak_from_this(), run](Status fetched) {
                        if (const auto self = weak.lock(); self && !self->closed && !run->ended)
                          self->found_content(run, std::move(fetched));
                      });
  }

  void found_content(const RunPointer& run, Status status) {
    if (!status) return end_with_error(run, std::move(status.error()));
    Result<Bytes> input = blocks.read_dag_file(run->input, limits.max_input_bytes);
    if (!input) {
      if (input.error().code == ErrorCode::not_found || input.error().code == ErrorCode::storage)
        return retry_or_end(run, std::move(input.error()));
      return end_refused(run, "the input: " + input.error().message);
    }
    const auto shared_input = std::make_shared<const Bytes>(std::move(*input));
    auto loaded = loader.load(*run->parts, shared_input);
    if (!loaded) return retry_or_end(run, std::move(loaded.error()));
    if (const auto* refused = std::get_if<Refusal>(&*loaded)) return end_refused(run, refused->detail);

    wasm::Job job = std::move(std::get<wasm::Job>(*loaded));
    job.id = next_job++;
    job.input = shared_input;
    job.entropy_key = task::entropy_key(run->effect.function, run->input);
    job.limits = wasm::Limits::of(run->effect.scope);
    run->job = job.id;
    started += 1;
    emit(node::event::ExecutionStarted{.id = run->effect.id});
    Status taken = sandbox.submit(
        std::move(job), [weak = weak_from_this(), run](ByteView more) { take_log(weak, run, more); },
        [weak = weak_from_this(), run, &context = io](Result<wasm::RunResult> result) {
          asio::post(context, [weak, run, result = std::move(result)]() mutable {
            if (const auto self = weak.lock(); self && !self->closed && !run->ended) self->end(run, std::move(result));
          });
        });
    if (!taken) end_with_error(run, std::move(taken.error()));
  }

  /// On a thread of the sandbox.
  static void take_log(const std::weak_ptr<Impl>& weak, const RunPointer& run, ByteView more) {
    const auto self = weak.lock();
    if (!self) return;
    {
      const std::lock_guard guard(run->log_mutex);
      const std::size_t room =
          self->limits.max_live_log_bytes - std::min(run->log.size(), self->limits.max_live_log_bytes);
      const std::size_t taken = std::min(room, more.size());
      append(run->log, more.first(taken));
      run->log_left_out += more.size() - taken;
      if (std::exchange(run->log_posted, true)) return;
    }
    asio::post(self->io, [weak, run] {
      if (const auto here = weak.lock(); here && !here->closed && !run->ended) here->flush_log(*run);
    });
  }

  void flush_log(Run& run) {
    Bytes log;
    {
      const std::lock_guard guard(run.log_mutex);
      run.log_posted = false;
      log = std::exchange(run.log, {});
      if (run.log_left_out > 0) {
        append(log, as_bytes(fmt::format("\n[{} bytes came too fast for the live log; the stored log has them]\n",
                                         run.log_left_out)));
        run.log_left_out = 0;
      }
    }
    if (!log.empty()) emit(node::event::ExecutionLog{.id = run.effect.id, .bytes = std::move(log)});
  }

  /// A block that was here a moment ago is gone or damaged: its holders are asked once more.
  void retry_or_end(const RunPointer& run, Error error) {
    if (run->again || (error.code != ErrorCode::not_found && error.code != ErrorCode::storage))
      return end_with_error(run, std::move(error));
    run->again = true;
    content.forget_complete();
    begin(run);
  }

  Result<Cid> keep(ByteView bytes, Bytes& attached) {
    asset::FileBuilder builder([this](const Cid& cid, const Bytes& block) { return blocks.put(cid, block); });
    MESH_TRY(builder.feed(bytes));
    MESH_LET(const asset::Built built, builder.finish());
    if (bytes.size() <= max_attached_bytes) attached = to_bytes(bytes);
    return built.cid;
  }

  void end(const RunPointer& run, Result<wasm::RunResult> result) {
    flush_log(*run);
    if (!result) return end_with_error(run, std::move(result.error()));
    node::event::ExecutionDone::Output output;
    output.finding.outcome = task::bounded(std::move(result->outcome));
    output.finding.fuel = result->summary.fuel;
    output.summary = result->summary;
    Result<Cid> kept = keep(result->output, output.result_block);
    if (!kept) return end_with_error(run, std::move(kept.error()));
    output.finding.result = *kept;
    kept = keep(result->log, output.log_block);
    if (!kept) return end_with_error(run, std::move(kept.error()));
    output.finding.log = *kept;
    fuel += output.finding.fuel;
    done(run, std::move(output));
  }

  void end_refused(const RunPointer& run, std::string detail) {
    wasm::RunResult result;
    result.outcome.kind = task::OutcomeKind::refused;
    result.outcome.detail = std::move(detail);
    started += 1;
    emit(node::event::ExecutionStarted{.id = run->effect.id});
    end(run, std::move(result));
  }

  void end_with_error(const RunPointer& run, Error error) {
    failed += 1;
    done(run, std::unexpected(std::move(error)));
  }

  void done(const RunPointer& run, Result<node::event::ExecutionDone::Output> result) {
    run->ended = true;
    runs.erase(run->effect.id);
    running = runs.size();
    emit(node::event::ExecutionDone{.id = run->effect.id, .result = std::move(result)});
  }

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
                   Limits limits, Emit emit)
    : impl_(std::make_shared<Impl>(io, blocks, content, sandbox, limits, std::move(emit))) {}

Executor::~Executor() { impl_->closed = true; }

void Executor::execute(node::effect::Execute effect) {
  asio::dispatch(impl_->io, [impl = impl_, effect = std::move(effect)]() mutable { impl->execute(std::move(effect)); });
}

void Executor::cancel(std::uint64_t id) {
  asio::dispatch(impl_->io, [impl = impl_, id] { impl->cancel(id); });
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
