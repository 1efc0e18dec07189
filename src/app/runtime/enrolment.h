// How a node comes into a federation with a ledger: `/meshwork/enrol/1`.
//
// Who has a token (founding.h) asks a member that it names: one frame with the federation's name and the token's secret, one frame back
// with charter and genesis, which the asker checks against that name. Where the asked node is a steward's and knows the secret as one of its
// invitations, it admits the asker, whom the transport has authenticated, with the invitation's roles, and gives it the credits that go with
// it. Without a secret the way is shown, and nothing else: who comes in then is a follower, or enrols itself where enrolment is open
// (chain_host.h). A question without a federation's name is a stranger's who looks around (lan_search.h): it is shown the way where enrolment
// is open, and told nothing elsewhere. Frames: stream.h.
//
// Bounds: 1,024 invitations, of 1,000 uses and a year each; 16 askers at a time, each for ten seconds; a question of 1 KiB, an answer of 1 MiB.
// What can go wrong, for who asks: nobody answers at any of the token's addresses (unavailable); another federation (not_found); the
// invitation is unknown, used up or over (denied: the asker can still follow); what was sent is not what the name says (invalid).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/store/node_store.h"
#include "app/runtime/founding.h"
#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

class ChainHost;
class Stream;

inline constexpr std::string_view enrolment_protocol = "/meshwork/enrol/1";

struct EnrolmentRequest {
  static constexpr std::string_view type = "enrolment-request";
  static constexpr std::uint64_t version = 1;
  std::optional<Cid> federation;  ///< none: of which federation is the node?
  std::optional<Digest> secret;  ///< of an invitation to it
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federation", self.federation);
    v("secret", self.secret);
  }
};

struct EnrolmentAnswer {
  static constexpr std::string_view type = "enrolment-answer";
  static constexpr std::uint64_t version = 1;
  std::optional<Bytes>
      founding;  ///< the record Founding; none where this node is of another federation, or does not say of which
  bool admitted = false;  ///< it is a member, or will be with one of the next blocks
  std::string text;  ///< of that, for people
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("founding", self.founding);
    v("admitted", self.admitted);
    v("text", self.text);
  }
};

/// What whoever has the token gets.
struct InvitationTerms {
  std::vector<ledger::Role> roles = {ledger::Role::member, ledger::Role::worker, ledger::Role::verifier};
  std::uint64_t credits = 0;  ///< micro-credits out of this node's balance, for each
  std::uint64_t uses = 1;
  std::uint64_t hours = 24;
};

/// A member's side.
class Enrolment {
 public:
  /// Serves on `io`. All outlive it.
  Enrolment(boost::asio::io_context& io, store::NodeStore& store, ChainHost& chain);
  /// The io_context must not be running then, or this is called on its thread.
  ~Enrolment();
  Enrolment(const Enrolment&) = delete;
  Enrolment& operator=(const Enrolment&) = delete;

  /// The invitation's token, once it is durable; `addresses` are this node's. `done` on a thread of the store or the chain. Errors: denied
  /// (this node is no steward), invalid (terms), exhausted, storage.
  void invite(const InvitationTerms& terms, std::vector<std::string> addresses, std::uint64_t now_ms,
              std::move_only_function<void(Result<std::string>)> done);
  /// Answers an inbound stream and owns its descriptor. Any thread.
  void serve(const NodeId& peer, int descriptor);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// One question to who serves the protocol, and the stream is closed. Errors: those of the stream; invalid (nothing was sent, or no answer).
[[nodiscard]] boost::asio::awaitable<Result<EnrolmentAnswer>> ask_to_enrol(std::shared_ptr<Stream> stream,
                                                                           EnrolmentRequest request);

/// What came of asking.
struct Enrolled {
  Founding founding;
  bool admitted = false;
  std::string text;
};
/// The asker's side, for a node that is not running yet: dials the token's addresses with the node's own key, in their order, and asks the first
/// that answers. Blocks, for `limit` at most.
[[nodiscard]] Result<Enrolled> enrol(const Seed& seed, const Invitation& invitation, Duration limit);

}  // namespace mesh::app
