#include "app/api/ledger_routes.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/api/ledger_render.h"
#include "app/api/ledger_request.h"

namespace mesh::app {
namespace {

constexpr std::uint64_t max_members_page = 1000;
constexpr std::uint64_t max_works_page = 100;
constexpr std::uint64_t max_blocks_page = 100;
constexpr std::uint64_t max_history_page = 1000;
constexpr std::uint64_t max_walked_blocks = 1024;
constexpr std::size_t max_batches = 16;
constexpr milliseconds naming_limit{10'000};
constexpr std::size_t max_walked_bytes = std::size_t{64} << 20;

using Height = chain::Height;

chain::FinalBlock final_of(const store::ChainBlock& stored) {
  return {.height = stored.height, .certificate = stored.certificate, .block = stored.block};
}

/// Blocks from one on down to the first, a few at a time, within the bounds of one request.
class BlockWalk : public std::enable_shared_from_this<BlockWalk> {
 public:
  /// Whether it wants another. On the thread for disk work.
  using Take = std::function<Result<bool>(const chain::FinalBlock&)>;
  /// The next height that nobody took; 0: there is none. On the runtime's thread.
  using Done = std::move_only_function<void(Result<Height>)>;

  /// Down to the block after `base`.
  static void begin(LedgerBackend& backend, ChainHost& host, Height from, Height base, Take take, Done done) {
    std::shared_ptr<BlockWalk>(new BlockWalk(backend, host, from, base, std::move(take), std::move(done)))->go_on();
  }

 private:
  BlockWalk(LedgerBackend& backend, ChainHost& host, Height from, Height base, Take take, Done done)
      : backend_(backend), host_(host), next_(from), base_(base), take_(std::move(take)), done_(std::move(done)) {}

  void go_on() {
    if (next_ <= base_) return done_(0);
    if (blocks_ >= max_walked_blocks || bytes_ >= max_walked_bytes) return done_(next_);
    const Height from = next_ - base_ >= window_ ? next_ - window_ + 1 : base_ + 1;
    host_.read(from, static_cast<std::size_t>(next_ - from + 1), [self = shared_from_this(), from](auto read) mutable {
      LedgerBackend& backend = self->backend_;
      backend.post_bulk([self = std::move(self), from, read = std::move(read)]() mutable { self->took(from, read); });
    });
  }

  void took(Height from, const Result<std::vector<store::ChainBlock>>& read) {
    if (!read) return end(std::unexpected(read.error()));
    for (const store::ChainBlock& block : *read) bytes_ += block.block.size() + block.certificate.size();
    if (from + read->size() <= next_) {
      // So many fit into one answer, counted from below.
      if (window_ == 1 || read->empty())
        return end(fail(ErrorCode::storage, fmt::format("block {} cannot be read", from + read->size())));
      window_ = read->size();
      return post([](BlockWalk& walk) { walk.go_on(); });
    }
    for (auto block = read->rbegin(); block != read->rend(); ++block) {
      const Result<bool> more = take_(final_of(*block));
      if (!more) return end(std::unexpected(more.error()));
      next_ = block->height - 1;
      ++blocks_;
      if (!*more) return end(next_ <= base_ ? 0 : next_);
    }
    post([](BlockWalk& walk) { walk.go_on(); });
  }

  void end(Result<Height> result) {
    post([result = std::move(result)](BlockWalk& walk) { walk.done_(result); });
  }
  template <class What>
  void post(What what) {
    backend_.post([self = shared_from_this(), what = std::move(what)]() mutable { what(*self); });
  }

  LedgerBackend& backend_;
  ChainHost& host_;
  Height next_;
  Height base_;
  Take take_;
  Done done_;
  std::uint64_t window_ = 64;
  std::uint64_t blocks_ = 0;
  std::size_t bytes_ = 0;
};

/// Where a history goes on: with what is below this number in this block, and with the blocks below it.
struct Cursor {
  Height height = 0;
  std::size_t number = 0;
};
Result<std::optional<Cursor>> cursor_of(const Call& call) {
  const std::string* text = call.query("before");
  if (text == nullptr) return std::nullopt;
  const std::size_t point = text->find('.');
  Cursor cursor;
  const auto read = [](std::string_view digits, auto& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  const std::string_view whole = *text;
  const bool good = read(whole.substr(0, point), cursor.height) && cursor.height <= store::max_chain_height &&
                    (point == std::string::npos || read(whole.substr(point + 1), cursor.number));
  if (!good)
    return fail(ErrorCode::invalid, "bad-field: before must be a height, or what an earlier answer gave as next");
  return cursor;
}

AccountOf accounts_of(const ChainHost& host) {
  return [&host](const NodeId& key) { return host.account_of(key); };
}
Result<ledger::AccountId> account_in(const ChainHost& host, std::string_view text) {
  return parse_account(text, host.account(), accounts_of(host));
}

LedgerStatus status_of(const chain::Replica& replica, std::string name, const NodeId& own) {
  LedgerStatus status{.name = std::move(name),
                      .own = own,
                      .durable_height = replica.durable_height(),
                      .base = replica.base(),
                      .signs_from = replica.signs_from(),
                      .stopped = replica.stopped(),
                      .waiting = replica.mempool().size(),
                      .waiting_bytes = replica.mempool().bytes()};
  if (replica.signs_from() == chain::never) status.signs_from.reset();
  return status;
}

}  // namespace

ChainHost* LedgerRoutes::host_of(const Call& call) const {
  ChainHost* host = backend_.ledger();
  if (host == nullptr) {
    call.fail({ErrorCode::not_found,
               fmt::format("no-ledger: this node's federation {} has no ledger: found one with `mesh federation found "
                           "NAME`, or come into one with `mesh up --join TOKEN`",
                           backend_.federation_name())});
  }
  return host;
}

template <class Look>
void LedgerRoutes::answer_with(ChainHost& host, Call call, Look look) {
  host.look([self = shared_from_this(), call = std::move(call),
             look = std::move(look)](const chain::Replica& replica) mutable {
    Result<Json> json = look(replica);
    LedgerBackend& backend = self->backend_;
    backend.post([self = std::move(self), call = std::move(call), json = std::move(json)] {
      if (!json) return call.fail(json.error());
      call.reply(*json);
    });
  });
}

void LedgerRoutes::get_ledger(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  answer_with(*host, std::move(call),
              [name = backend_.federation_name(), own = host->account()](const chain::Replica& replica) {
                return Result<Json>(ledger_json(replica.ledger(), status_of(replica, name, own)));
              });
}

void LedgerRoutes::get_account(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto account = account_in(*host, call.parameter("account"));
  if (!account) return call.fail(account.error());
  const auto prove = call.number("proof", 0, 1);
  if (!prove) return call.fail(prove.error());
  answer_with(*host, std::move(call), [account = *account, prove = *prove == 1](const chain::Replica& replica) {
    return Result<Json>(account_json(replica.ledger(), account, replica.durable_height(), prove));
  });
}

void LedgerRoutes::get_members(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto count = call.number("count", 100, max_members_page);
  if (!count) return call.fail(count.error());
  std::optional<NodeId> after;
  if (const std::string* text = call.query("after")) {
    auto node = parse_account(*text, host->account());
    if (!node) return call.fail(node.error());
    after = *node;
  }
  answer_with(*host, std::move(call), [count = *count, after](const chain::Replica& replica) {
    const ledger::Ledger& ledger = replica.ledger();
    Json members = Json::array();
    Json next;
    std::optional<NodeId> last;
    ledger.state().tables.members.visit(
        [&](const ledger::Member& member) {
          if (member.node == after) return true;
          if (members.size() >= count) {
            if (last) next = identity::did_of(*last);
            return false;
          }
          const ledger::Account* account = ledger.account(member.node);
          members.push_back(
              member_json(member, account == nullptr ? member.node : account->signer(), ledger.height() + 1));
          last = member.node;
          return true;
        },
        after ? ledger::Member::place_of(*after) : Digest{});
    return Result<Json>(Json{{"height", ledger.height()}, {"members", std::move(members)}, {"next", std::move(next)}});
  });
}

void LedgerRoutes::get_escrow(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto intent = Cid::from_text(call.parameter("intent"));
  if (!intent) return call.fail(intent.error());
  answer_with(*host, std::move(call), [intent = *intent](const chain::Replica& replica) -> Result<Json> {
    const ledger::Escrow* escrow = replica.ledger().state().tables.escrows.find(intent.digest());
    if (escrow == nullptr || escrow->intent != intent) {
      return fail(ErrorCode::not_found,
                  fmt::format("unknown-escrow: the ledger has no escrow of {} (any more)", intent.text()));
    }
    return escrow_json(*escrow);
  });
}

void LedgerRoutes::get_price(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto fuel = call.number("fuel", task::CapabilityScope{}.fuel, INT64_MAX);
  if (!fuel) return call.fail(fuel.error());
  answer_with(*host, std::move(call), [fuel = *fuel](const chain::Replica& replica) {
    return Result<Json>(price_json(replica.ledger(), fuel));
  });
}

void LedgerRoutes::get_works(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto intent = Cid::from_text(call.parameter("intent"));
  if (!intent) return call.fail(intent.error());
  const auto count = call.number("count", 20, max_works_page);
  if (!count) return call.fail(count.error());
  std::optional<Cid> after;
  if (const std::string* text = call.query("after")) {
    auto cid = Cid::from_text(*text);
    if (!cid) return call.fail(cid.error());
    after = *cid;
  }
  answer_with(*host, std::move(call), [intent = *intent, count = *count, after](const chain::Replica& replica) {
    Json works = Json::array();
    Json next;
    std::optional<Cid> last;
    replica.ledger().state().tables.works.visit(
        [&](const ledger::Work& work) {
          if (work.intent != intent || work.commitment == after) return true;
          if (works.size() >= count) {
            if (last) next = last->text();
            return false;
          }
          works.push_back(work_json(work));
          last = work.commitment;
          return true;
        },
        after ? ledger::Work::place_of(after->digest()) : Digest{});
    return Result<Json>(
        Json{{"height", replica.ledger().height()}, {"works", std::move(works)}, {"next", std::move(next)}});
  });
}

void LedgerRoutes::get_block(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const std::string& text = call.parameter("height");
  Height height = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), height);
  if (error != std::errc{} || end != text.data() + text.size() || height == 0 || height > store::max_chain_height)
    return call.fail({ErrorCode::invalid, "bad-field: a block is named by its height, from 1 on"});
  host->read(height, 1, [self = shared_from_this(), call = std::move(call), height](auto read) mutable {
    LedgerBackend& backend = self->backend_;
    backend.post_bulk([self = std::move(self), call = std::move(call), height, read = std::move(read)]() mutable {
      Result<Json> json = fail(ErrorCode::not_found, fmt::format("no-block: there is no block {} here yet", height));
      if (!read) {
        json = std::unexpected(read.error());
      } else if (!read->empty()) {
        json = block_json(final_of(read->front()));
      }
      LedgerBackend& then = self->backend_;
      then.post([self = std::move(self), call = std::move(call), json = std::move(json)] {
        if (!json) return call.fail(json.error());
        call.reply(*json);
      });
    });
  });
}

void LedgerRoutes::get_blocks(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto limit = call.number("limit", 20, max_blocks_page);
  const auto before = call.number("before", store::max_chain_height, store::max_chain_height);
  if (!limit) return call.fail(limit.error());
  if (!before) return call.fail(before.error());
  host->look([self = shared_from_this(), call = std::move(call), limit = *limit, before = *before,
              host](const chain::Replica& replica) mutable {
    const Height from = std::min(replica.durable_height(), std::max<Height>(before, 1) - 1);
    LedgerBackend& backend = self->backend_;
    backend.post([self = std::move(self), call = std::move(call), limit, from, base = replica.base(), host]() mutable {
      auto blocks = std::make_shared<Json>(Json::array());
      LedgerBackend& then = self->backend_;
      BlockWalk::begin(
          then, *host, limit == 0 ? 0 : from, base,
          [blocks, limit](const chain::FinalBlock& block) -> Result<bool> {
            MESH_LET(Json json, block_head_json(block));
            blocks->push_back(std::move(json));
            return blocks->size() < limit;
          },
          [call = std::move(call), blocks](Result<Height> next) {
            if (!next) return call.fail(next.error());
            call.reply({{"blocks", std::move(*blocks)}, {"next", *next == 0 ? Json(nullptr) : Json(*next + 1)}});
          });
    });
  });
}

void LedgerRoutes::get_history(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const auto account = account_in(*host, call.parameter("account"));
  if (!account) return call.fail(account.error());
  const auto limit = call.number("limit", 50, max_history_page);
  if (!limit) return call.fail(limit.error());
  const auto cursor = cursor_of(call);
  if (!cursor) return call.fail(cursor.error());
  struct Found {
    ledger::AccountId account;
    std::size_t limit = 0;
    Cursor below;  ///< of the first block, if a number is given
    Json list = Json::array();
    std::string next;
    [[nodiscard]] Result<bool> take(const chain::FinalBlock& final) {
      MESH_LET(const ledger::Block block, chain::read_block(final.block));
      const std::vector<Bytes>& envelopes = block.list.transactions;
      std::size_t number = envelopes.size();
      if (final.height == below.height) number = std::min(number, below.number);
      while (number > 0) {
        if (list.size() >= limit) {
          next = fmt::format("{}.{}", final.height, number);
          return false;
        }
        --number;
        const auto transaction = ledger::decode(envelopes[number]);
        if (!transaction || !concerns(*transaction, account)) continue;
        Json json{{"height", final.height},
                  {"time", block_time_text(block.header.time_ms)},
                  {"direction", transaction->account == account ? "out" : "in"}};
        json.update(transaction_json(envelopes[number], number));
        list.push_back(std::move(json));
      }
      return list.size() < limit;
    }
  };
  auto found = std::make_shared<Found>();
  found->account = *account;
  found->limit = static_cast<std::size_t>(*limit);
  if (*cursor) found->below = **cursor;
  host->look([self = shared_from_this(), call = std::move(call), found, host,
              cursor = *cursor](const chain::Replica& replica) mutable {
    Height from = replica.durable_height();
    if (cursor) from = std::min(from, cursor->number > 0 ? cursor->height : std::max<Height>(cursor->height, 1) - 1);
    if (found->limit == 0) from = 0;
    LedgerBackend& backend = self->backend_;
    backend.post([self = std::move(self), call = std::move(call), found, host, from, base = replica.base()]() mutable {
      BlockWalk::begin(
          self->backend_, *host, from, base, [found](const chain::FinalBlock& block) { return found->take(block); },
          [call = std::move(call), found](Result<Height> left) {
            if (!left) return call.fail(left.error());
            Json next;
            if (!found->next.empty()) {
              next = found->next;
            } else if (*left > 0) {
              next = std::to_string(*left + 1);
            }
            call.reply({{"account", identity::did_of(found->account)},
                        {"transactions", std::move(found->list)},
                        {"next", std::move(next)}});
          });
    });
  });
}

namespace {

/// A transaction that somebody waits for. On the runtime's thread.
class Waited : public std::enable_shared_from_this<Waited> {
 public:
  /// `more` stands in the answer, too.
  Waited(Call asked, boost::asio::io_context& io, Json more = Json::object())
      : call_(std::move(asked)), timer_(io), more_(std::move(more)) {}

  void wait(milliseconds limit) {
    timer_.expires_after(limit);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->give_up();
    });
  }
  void named(const Cid& name) {
    name_ = name;
    if (is_late_) give_up();
  }
  void done(const Result<ChainHost::Made>& made) {
    if (std::exchange(answered_, true)) return;
    timer_.cancel();
    if (!made) return call_.fail(made.error());
    if (made->height == 0) return answer_waiting(made->transaction, "it waits to be in a block");
    reply({{"transaction", made->transaction.text()},
           {"status", "final"},
           {"height", made->height},
           {"detail", fmt::format("it is in block {}", made->height)}},
          200);
  }

 private:
  void answer_waiting(const Cid& transaction, std::string_view detail) const {
    reply({{"transaction", transaction.text()}, {"status", "waiting"}, {"height", nullptr}, {"detail", detail}}, 202);
  }
  void reply(Json json, unsigned status) const {
    json.update(more_);
    call_.reply(json, status);
  }
  void give_up() {
    if (answered_) return;
    // The replica says within moments how it is called, unless it executes a large block just now.
    if (!name_ && !std::exchange(is_late_, true)) return wait(naming_limit);
    answered_ = true;
    timer_.cancel();
    if (name_) {
      return answer_waiting(
          *name_, "not final yet: it waits to be in a block, and will be in one once enough validators agree");
    }
    call_.fail({ErrorCode::timeout,
                "ledger-busy: the ledger did not take the transaction in time; it may do so yet: look at the "
                "account's history before you make it again"});
  }

  Call call_;
  boost::asio::steady_timer timer_;
  Json more_;
  std::optional<Cid> name_;
  bool is_late_ = false;
  bool answered_ = false;
};

}  // namespace

void LedgerRoutes::post_transaction(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const std::string content_type = call.content_type();
  bool wait_final = true;
  milliseconds timeout = LedgerRequest().timeout;
  std::optional<ledger::Body> body;
  Bytes envelope;
  if (content_type == "application/json") {
    if (call.query("wait") != nullptr || call.query("timeout_ms") != nullptr)
      return call.fail({ErrorCode::invalid, "bad-field: wait and timeout_ms stand in the body where that is JSON"});
    auto request = parse_ledger_request(call.request.body, host->account(), accounts_of(*host));
    if (!request) return call.fail(request.error());
    wait_final = request->wait_final;
    timeout = request->timeout;
    body = std::move(request->body);
  } else if (content_type == "application/octet-stream") {
    if (const std::string* text = call.query("wait")) {
      const auto wait = parse_wait(*text);
      if (!wait) return call.fail(wait.error());
      wait_final = *wait;
    }
    const auto timeout_ms = call.number("timeout_ms", static_cast<std::uint64_t>(timeout.count()), max_wait_ms);
    if (!timeout_ms || *timeout_ms == 0)
      return call.fail({ErrorCode::invalid, "bad-field: timeout_ms must be an integer from 1 to 120000"});
    timeout = milliseconds(*timeout_ms);
    // What has no form at all needs no replica to be refused.
    if (const auto read = ledger::decode(call.request.body); !read) return call.fail(read.error());
    envelope = std::move(call.request.body);
  } else {
    return call.fail({ErrorCode::invalid,
                      "bad-content-type: a transaction is application/json, or a signed envelope as "
                      "application/octet-stream"});
  }
  call.request.body = {};
  auto waited = std::make_shared<Waited>(std::move(call), backend_.io());
  waited->wait(timeout);
  LedgerBackend& backend = backend_;
  const auto when = wait_final ? ChainHost::When::final : ChainHost::When::waiting;
  auto done = [&backend, waited](Result<ChainHost::Made> made) {
    backend.post([waited, made = std::move(made)] { waited->done(made); });
  };
  auto named = [&backend, waited](const Cid& name) { backend.post([waited, name] { waited->named(name); }); };
  if (body) return host->transact(std::move(*body), when, std::move(done), std::move(named));
  host->submit(std::move(envelope), when, std::move(done), std::move(named));
}

void LedgerRoutes::post_rotation(Call call) {
  if (host_of(call) == nullptr) return;
  const auto request = parse_rotation_request(call.request.body);
  if (!request) return call.fail(request.error());
  if (!request->at_once) {
    if (const Status good = backend_.check_rotation(); !good) return call.fail(good.error());
  }
  backend_.post_bulk([self = shared_from_this(), call = std::move(call), request = *request]() mutable {
    Result<Seed> next = self->backend_.next_key();
    LedgerBackend& backend = self->backend_;
    backend.post([self = std::move(self), call = std::move(call), request, next = std::move(next)]() mutable {
      if (!next) return call.fail(next.error());
      self->rotate(std::move(call), request, *next);
    });
  });
}

void LedgerRoutes::rotate(Call call, const RotationRequest& request, const Seed& next) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  const NodeId key = public_key_of(next);
  auto waited = std::make_shared<Waited>(std::move(call), backend_.io(),
                                         Json{{"key", identity::did_of(key)}, {"peer", identity::peer_id_of(key)}});
  waited->wait(request.timeout);
  LedgerBackend& backend = backend_;
  host->rotate(
      next, request.wait_final ? ChainHost::When::final : ChainHost::When::waiting,
      [&backend, waited](Result<ChainHost::Made> made) {
        // Another key is drawn the next time. What cannot be removed now cannot be used either.
        if (!made && http::stable_name(made.error().message) == "key-taken")
          backend.post_bulk([&backend] { const Status ignored = backend.drop_next_key(); });
        backend.post([waited, made = std::move(made)] { waited->done(made); });
      },
      [&backend, waited](const Cid& name) { backend.post([waited, name] { waited->named(name); }); });
}

void LedgerRoutes::post_batch(Call call) {
  ChainHost* host = host_of(call);
  if (host == nullptr) return;
  if (call.content_type() != "application/octet-stream")
    return call.fail({ErrorCode::invalid,
                      "bad-content-type: a batch is application/octet-stream: how many (2 bytes), and of each "
                      "its length (4 bytes) and its signed envelope"});
  auto envelopes = chain::decode_batch(call.request.body);
  if (!envelopes) return call.fail(envelopes.error());
  if (batches_ >= max_batches)
    return call.fail(
        {ErrorCode::exhausted, fmt::format("batches-full: {} batches are being checked already; try again when one of "
                                           "them is answered",
                                           max_batches)});
  call.request.body = {};
  ++batches_;
  host->submit_batch(std::move(*envelopes), [self = shared_from_this(),
                                             call = std::move(call)](const std::vector<Result<Cid>>& answers) mutable {
    Json refused = Json::array();
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i]) continue;
      const std::string& text = answers[i].error().message;
      refused.push_back({{"number", i}, {"code", http::stable_name(text)}, {"detail", text}});
    }
    Json json{{"taken", answers.size() - refused.size()}, {"refused", std::move(refused)}};
    LedgerBackend& backend = self->backend_;
    backend.post([self = std::move(self), call = std::move(call), json = std::move(json)] {
      --self->batches_;
      call.reply(json, 202);
    });
  });
}

}  // namespace mesh::app
