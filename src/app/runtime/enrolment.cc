#include "app/runtime/enrolment.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "adapters/p2p/network.h"
#include "app/runtime/chain_host.h"
#include "app/runtime/host.h"
#include "app/runtime/stream.h"

namespace mesh::app {

namespace asio = boost::asio;
using ledger::Role;

namespace {

constexpr std::string_view invitation_prefix = "invitation/";
constexpr std::size_t max_invitations = 1024;
constexpr std::uint64_t max_uses = 1000;
constexpr std::uint64_t max_hours = 24 * 366;
constexpr std::size_t max_served = 16;
constexpr std::size_t max_request_bytes = 1024;
constexpr std::size_t max_answer_bytes = std::size_t{1} << 20;
constexpr Duration stall = seconds(10);

/// An invitation as the store remembers it, under the hash of its secret: who reads the database cannot use it.
struct StoredInvitation {
  static constexpr std::string_view type = "stored-invitation";
  static constexpr std::uint64_t version = 1;
  std::vector<Role> roles;
  std::uint64_t credits = 0;
  std::uint64_t uses = 0;  ///< that are left
  std::uint64_t expires_ms = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("roles", self.roles);
    v("credits", self.credits);
    v("uses", self.uses);
    v("expires_ms", self.expires_ms);
  }
};

std::string invitation_key(const Digest& secret) {
  return std::string(invitation_prefix) + sha256(secret.view()).hex();
}

Status check(const InvitationTerms& terms) {
  if (terms.uses < 1 || terms.uses > max_uses)
    return fail(ErrorCode::invalid, fmt::format("an invitation has 1 to {} uses", max_uses));
  if (terms.hours < 1 || terms.hours > max_hours)
    return fail(ErrorCode::invalid, fmt::format("an invitation holds for 1 to {} hours", max_hours));
  if (terms.roles.empty() || !std::ranges::is_sorted(terms.roles) ||
      std::ranges::adjacent_find(terms.roles) != terms.roles.end())
    return fail(ErrorCode::invalid,
                "bad-roles: at least one of member, worker, verifier, validator, steward, in this order, each once");
  return {};
}

std::string text_of(const std::vector<Role>& roles) {
  std::string text;
  for (const Role role : roles) {
    if (!text.empty()) text += ", ";
    text += ledger::enum_names(role)[static_cast<std::size_t>(role)];
  }
  return text;
}

}  // namespace

struct Enrolment::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& context, store::NodeStore& node_store, ChainHost& host)
      : io(context), store(node_store), chain(host), streams(context) {}

  asio::io_context& io;
  store::NodeStore& store;
  ChainHost& chain;
  OpenStreams streams;
  std::size_t served = 0;

  /// What a coroutine waits for that somebody calls back about from another thread.
  template <class Value>
  struct Awaited {
    explicit Awaited(asio::io_context& context) : arrived(context) { arrived.expires_after(stall); }
    asio::steady_timer arrived;
    std::optional<Value> value;
  };

  /// Uses the invitation up by one. Nobody else does in between: all of this is on one thread, and the store keeps its order.
  Result<StoredInvitation> use(const Digest& secret) {
    MESH_LET(const std::optional<Bytes> stored, store.get(invitation_key(secret)));
    if (!stored) return fail(ErrorCode::denied, "this invitation is not known here, or was used up");
    MESH_LET(StoredInvitation invitation, record::decode<StoredInvitation>(*stored));
    if (invitation.expires_ms <= static_cast<std::uint64_t>(wall_ms()))
      return fail(ErrorCode::denied, "this invitation is over");
    StoredInvitation rest = invitation;
    --rest.uses;
    store::WriteBatch batch;
    if (rest.uses == 0) {
      batch.erase.push_back(invitation_key(secret));
    } else {
      batch.put.emplace_back(invitation_key(secret), record::encode(rest));
    }
    MESH_TRY(store.commit_and_wait(std::move(batch)));
    return invitation;
  }

  /// Nobody came in by it: it can be used once more. After a crash before this it cannot.
  void give_back(const Digest& secret, StoredInvitation invitation) {
    const Result<std::optional<Bytes>> stored = store.get(invitation_key(secret));
    if (!stored) return;
    invitation.uses = 0;
    if (*stored) {
      auto rest = record::decode<StoredInvitation>(**stored);
      if (!rest) return;
      invitation = std::move(*rest);
    }
    ++invitation.uses;
    store::WriteBatch batch;
    batch.put.emplace_back(invitation_key(secret), record::encode(invitation));
    const Status ignored = store.commit_and_wait(std::move(batch));  // A store that fails says so by itself.
  }

  static asio::awaitable<Result<ChainHost::Made>> transact(std::shared_ptr<Impl> self, ledger::Body body) {
    auto awaited = std::make_shared<Awaited<Result<ChainHost::Made>>>(self->io);
    self->chain.transact(std::move(body), ChainHost::When::waiting, [self, awaited](Result<ChainHost::Made> made) {
      asio::post(self->io, [awaited, made = std::move(made)]() mutable {
        awaited->value = std::move(made);
        awaited->arrived.cancel();
      });
    });
    co_await awaited->arrived.async_wait(quiet());
    if (!awaited->value) co_return fail(ErrorCode::timeout, "the ledger did not answer");
    co_return std::move(*awaited->value);
  }

  /// What the ledger has of the peer now.
  static asio::awaitable<std::optional<std::vector<Role>>> roles_of(std::shared_ptr<Impl> self, NodeId peer) {
    auto awaited = std::make_shared<Awaited<std::vector<Role>>>(self->io);
    self->chain.look([self, awaited, account = self->chain.account_of(peer)](const chain::Replica& replica) {
      const ledger::Member* member = replica.ledger().member(account);
      std::vector<Role> roles;
      if (member != nullptr && ledger::check_role(member, Role::member, replica.ledger().height()))
        roles = member->roles;
      asio::post(self->io, [awaited, roles = std::move(roles)]() mutable {
        awaited->value = std::move(roles);
        awaited->arrived.cancel();
      });
    });
    co_await awaited->arrived.async_wait(quiet());
    co_return std::move(awaited->value);
  }

  static asio::awaitable<void> admit(std::shared_ptr<Impl> self, NodeId peer, std::optional<Digest> secret,
                                     EnrolmentAnswer& answer) {
    const std::optional<std::vector<Role>> before = co_await roles_of(self, peer);
    if (before && !before->empty()) {
      answer.admitted = true;
      answer.text = "a member already: " + text_of(*before);
      co_return;
    }
    if (!secret) {
      answer.text = self->chain.founding().genesis.parameters.enrolment == ledger::Enrolment::open
                        ? "enrolment is open: this node makes itself a member once it has followed the chain"
                        : "the token admits nobody: a steward does, with `mesh federation admit`";
      co_return;
    }
    Result<StoredInvitation> invitation = self->use(*secret);
    if (!invitation) {
      answer.text = invitation.error().message;
      co_return;
    }
    const ledger::AccountId account = self->chain.account_of(peer);
    ledger::Admit admission{
        .account = {}, .sequence = 0, .node = account, .roles = invitation->roles, .owner = {}, .expires_height = {}};
    const Result<ChainHost::Made> admitted = co_await transact(self, std::move(admission));
    if (!admitted) {
      self->give_back(*secret, std::move(*invitation));
      answer.text = admitted.error().message;
      co_return;
    }
    answer.admitted = true;
    answer.text = "admitted as " + text_of(invitation->roles);
    if (invitation->credits == 0) co_return;
    ledger::Transfer gift{
        .account = {}, .sequence = 0, .to = account, .amount = invitation->credits, .memo = "invitation"};
    const Result<ChainHost::Made> given = co_await transact(self, std::move(gift));
    answer.text += given ? fmt::format(", with {} micro-credits", invitation->credits)
                         : "; the credits that go with it are not given: " + given.error().message;
  }

  /// To who looks for a federation that it can come into by itself.
  void show_the_way(const EnrolmentRequest& request, EnrolmentAnswer& answer) const {
    if (request.secret) {
      answer.text = "an invitation's secret goes with its federation's name";
    } else if (chain.founding().genesis.parameters.enrolment != ledger::Enrolment::open) {
      answer.text = "stewards admit to this node's federation: ask one for a token";
    } else {
      answer.founding = record::encode(chain.founding());
      answer.text = "enrolment is open";
    }
  }

  static asio::awaitable<void> answer(std::shared_ptr<Impl> self, NodeId peer, std::shared_ptr<Stream> stream) {
    auto asked = co_await stream->read_frame(max_request_bytes);
    if (asked && *asked) {
      EnrolmentAnswer answer;
      const auto request = record::decode<EnrolmentRequest>(**asked);
      if (!request) {
        answer.text = request.error().message;
      } else if (!request->federation) {
        self->show_the_way(*request, answer);
      } else if (request->federation != federation_of(self->chain.founding())) {
        answer.text = "this node is in another federation";
      } else {
        answer.founding = record::encode(self->chain.founding());
        co_await admit(self, peer, request->secret, answer);
      }
      const Bytes frame = framed(record::encode(answer));
      const Status written = co_await stream->write(frame);
      if (written) co_await stream->finish();
    }
    stream->close();
    --self->served;
  }
};

Enrolment::Enrolment(asio::io_context& io, store::NodeStore& store, ChainHost& chain)
    : impl_(std::make_shared<Impl>(io, store, chain)) {}
Enrolment::~Enrolment() { impl_->streams.close(); }

void Enrolment::invite(const InvitationTerms& terms, std::vector<std::string> addresses, std::uint64_t now_ms,
                       std::move_only_function<void(Result<std::string>)> done) {
  if (Status good = check(terms); !good) return done(std::unexpected(std::move(good.error())));
  if (addresses.empty())
    return done(fail(ErrorCode::unavailable, "this node listens at no address that could be told"));
  impl_->chain.look([impl = impl_, terms, addresses = std::move(addresses), now_ms,
                     done = std::move(done)](const chain::Replica& replica) mutable {
    const ledger::AccountId own = impl->chain.account();
    if (Status steward = ledger::check_role(replica.ledger().member(own), Role::steward, replica.ledger().height());
        !steward)
      return done(wrap("only a steward invites", std::move(steward.error())));
    const auto known = impl->store.scan(invitation_prefix, max_invitations);
    if (!known) return done(std::unexpected(known.error()));
    if (known->size() >= max_invitations)
      return done(fail(ErrorCode::exhausted, fmt::format("there are {} invitations already", max_invitations)));
    Digest secret;
    if (::getrandom(secret.data(), Digest::size, 0) != static_cast<ssize_t>(Digest::size))
      return done(fail(ErrorCode::internal, "the kernel gave no random bytes"));
    store::WriteBatch batch;
    // Those that are over make room.
    for (const auto& [key, value] : *known) {
      const auto other = record::decode<StoredInvitation>(value);
      if (!other || other->expires_ms <= now_ms) batch.erase.push_back(key);
    }
    const StoredInvitation stored{.roles = terms.roles,
                                  .credits = terms.credits,
                                  .uses = terms.uses,
                                  .expires_ms = now_ms + terms.hours * 3'600'000};
    batch.put.emplace_back(invitation_key(secret), record::encode(stored));
    std::string token = token_of(
        {.federation = federation_of(impl->chain.founding()), .addresses = std::move(addresses), .secret = secret});
    impl->store.commit(std::move(batch), [token = std::move(token), done = std::move(done)](Status status) mutable {
      if (!status) return done(std::unexpected(std::move(status.error())));
      done(std::move(token));
    });
  });
}

void Enrolment::serve(const NodeId& peer, int descriptor) {
  asio::post(impl_->io, [impl = impl_, peer, descriptor] {
    if (impl->served >= max_served) {
      ::close(descriptor);
      return;
    }
    ++impl->served;
    asio::co_spawn(impl->io, Impl::answer(impl, peer, impl->streams.make(descriptor, stall)), asio::detached);
  });
}

// ---- The asker's side.

asio::awaitable<Result<EnrolmentAnswer>> ask_to_enrol(std::shared_ptr<Stream> stream, EnrolmentRequest request) {
  const Bytes frame = framed(record::encode(request));
  Status written = co_await stream->write(frame);
  if (!written) co_return std::unexpected(std::move(written.error()));
  auto answered = co_await stream->read_frame(max_answer_bytes);
  stream->close();
  if (!answered) co_return std::unexpected(std::move(answered.error()));
  if (!*answered) co_return fail(ErrorCode::invalid, "sent nothing");
  auto answer = record::decode<EnrolmentAnswer>(**answered);
  co_return answer;
}

namespace {

struct Asker {
  explicit Asker(asio::io_context& context) : io(context), over(context) {}
  asio::io_context& io;
  asio::steady_timer over;
  std::unique_ptr<p2p::Network> network;
  Result<Enrolled> result = fail(ErrorCode::unavailable, "none of the token's addresses could be reached");

  void end(Result<Enrolled> with) {
    result = std::move(with);
    io.stop();
  }
};

Result<Enrolled> enrolled(Result<EnrolmentAnswer> answer, const Invitation& invitation) {
  if (!answer) return wrap("the member that the token names", std::move(answer.error()));
  if (!answer->founding) return fail(ErrorCode::not_found, "the node at the token's address says: " + answer->text);
  MESH_LET(Founding founding, read_founding(*answer->founding));
  if (federation_of(founding) != invitation.federation)
    return fail(ErrorCode::invalid,
                "the node at the token's address sent the founding of another federation than the token names");
  return Enrolled{.founding = std::move(founding), .admitted = answer->admitted, .text = std::move(answer->text)};
}

void try_address(const std::shared_ptr<Asker>& asker, const Invitation& invitation, std::size_t number) {
  if (number == invitation.addresses.size()) return asker->io.stop();
  const auto next = [asker, invitation, number](const std::string& why) {
    asker->result =
        fail(ErrorCode::unavailable, fmt::format("{} could not be reached: {}", invitation.addresses[number], why));
    try_address(asker, invitation, number + 1);
  };
  asker->network->dial(invitation.addresses[number], [asker, invitation, next](Result<PublicKey> peer) {
    if (!peer) return next(peer.error().message);
    asker->network->open_stream(*peer, enrolment_protocol, [asker, invitation, next](Result<p2p::RawStream> opened) {
      if (!opened) {
        if (opened.error().code == ErrorCode::unsupported)
          return next("the node there is in no federation with a ledger");
        return next(opened.error().message);
      }
      auto stream = std::make_shared<Stream>(asker->io, opened->fd.release(), stall);
      const EnrolmentRequest request{.federation = invitation.federation, .secret = invitation.secret};
      asio::co_spawn(asker->io, ask_to_enrol(stream, request),
                     [asker, invitation](const std::exception_ptr&, Result<EnrolmentAnswer> answer) {
                       asker->end(enrolled(std::move(answer), invitation));
                     });
    });
  });
}

}  // namespace

Result<Enrolled> enrol(const Seed& seed, const Invitation& invitation, Duration limit) {
  asio::io_context io{1};
  const auto asker = std::make_shared<Asker>(io);
  p2p::Config config;
  config.secret = seed;
  config.listen = {"/ip4/127.0.0.1/tcp/0"};
  config.mdns = false;
  config.relay = p2p::RelayPolicy::off;
  config.federation = invitation.federation.text();
  config.stream_protocols = {std::string(enrolment_protocol)};
  MESH_LET(asker->network, p2p::Network::start(config, io, [](const p2p::Event&) {}));
  asker->over.expires_after(limit);
  asker->over.async_wait([asker](boost::system::error_code failed) {
    if (!failed) asker->end(fail(ErrorCode::timeout, "nobody answered at the token's addresses in time"));
  });
  try_address(asker, invitation, 0);
  io.run();
  asker->over.cancel();
  asker->network->stop();
  asker->network.reset();
  return std::move(asker->result);
}

}  // namespace mesh::app
