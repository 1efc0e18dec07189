#include "app/runtime/enrolment.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "app/runtime/chain_testing.h"
#include "app/runtime/host.h"
#include "app/runtime/stream.h"
#include "codec/varint.h"

namespace mesh::app {
namespace {

using ledger::Role;

/// A steward's node that is asked over socket pairs.
class EnrolmentTest : public Town {
 protected:
  explicit EnrolmentTest(bool is_open = false) : is_open_(is_open) {}
  void SetUp() override {
    found(2, 3, is_open_);
    start_all();
    enrolment_ = std::make_unique<Enrolment>(io_, *store_of(*nodes_[0]), *nodes_[0]->host);
    thread_ = std::thread([this] { io_.run(); });
  }
  void TearDown() override {
    io_.stop();
    thread_.join();
    enrolment_.reset();
    Town::TearDown();
  }

  static std::string address() { return "/ip4/127.0.0.1/tcp/1/p2p/" + identity::peer_id_of(node_of(0)); }
  Result<std::string> invite(Enrolment& by, const InvitationTerms& terms, std::uint64_t now_ms,
                             std::vector<std::string> addresses = {address()}) {
    std::promise<Result<std::string>> done;
    by.invite(terms, std::move(addresses), now_ms,
              [&](Result<std::string> token) { done.set_value(std::move(token)); });
    return done.get_future().get();
  }
  Invitation invited(const InvitationTerms& terms) {
    const auto token = invite(*enrolment_, terms, static_cast<std::uint64_t>(wall_ms()));
    EXPECT_TRUE(token) << (token ? "" : token.error().message);
    return read_token(token.value_or("")).value_or(Invitation{});
  }
  /// What the node says to these bytes, which may be no frame.
  Bytes answer_to(std::uint64_t peer, ByteView question) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    enrolment_->serve(node_of(peer), ends[1]);
    EXPECT_EQ(::write(ends[0], question.data(), question.size()), static_cast<ssize_t>(question.size()));
    EXPECT_EQ(::shutdown(ends[0], SHUT_WR), 0);
    Bytes all;
    std::array<std::uint8_t, 4096> piece{};
    while (true) {
      const ssize_t count = ::read(ends[0], piece.data(), piece.size());
      if (count <= 0) break;
      all.insert(all.end(), piece.begin(), piece.begin() + count);
    }
    ::close(ends[0]);
    return all;
  }
  EnrolmentAnswer ask(std::uint64_t peer, const EnrolmentRequest& request) {
    const Bytes all = answer_to(peer, framed(record::encode(request)));
    const Varint length = read_varint(all);
    EXPECT_EQ(length.state, VarintState::complete);
    const auto answer = record::decode<EnrolmentAnswer>(ByteView(all).subspan(length.size));
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer.value_or(EnrolmentAnswer{});
  }
  EnrolmentAnswer take(std::uint64_t peer, const Invitation& invitation) {
    return ask(peer, {.federation = invitation.federation, .secret = invitation.secret});
  }
  std::vector<Role> roles_of(std::uint64_t peer) {
    return look(*nodes_[0], [peer](const chain::Replica& replica) {
      const ledger::Member* member = replica.ledger().member(node_of(peer));
      return member == nullptr ? std::vector<Role>() : member->roles;
    });
  }
  /// Until what was said before is final.
  void settle() { ASSERT_TRUE(transact(*nodes_[0], transfer(99, 5'000))); }

  bool is_open_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> busy_ = boost::asio::make_work_guard(io_);
  std::unique_ptr<Enrolment> enrolment_;
  std::thread thread_;
};

class OpenEnrolmentTest : public EnrolmentTest {
 protected:
  OpenEnrolmentTest() : EnrolmentTest(true) {}
};

TEST_F(EnrolmentTest, WhoHasTheSecretIsAdmittedOnce) {
  const Invitation invitation = invited({.roles = {Role::member, Role::worker}, .credits = 7'000, .uses = 2});
  const EnrolmentAnswer answer = take(10, invitation);
  EXPECT_TRUE(answer.admitted) << answer.text;
  EXPECT_EQ(answer.text, "admitted as member, worker, with 7000 micro-credits");
  ASSERT_TRUE(answer.founding);
  EXPECT_EQ(federation_of(*read_founding(*answer.founding)), invitation.federation);
  settle();
  EXPECT_EQ(roles_of(10), (std::vector{Role::member, Role::worker}));
  EXPECT_EQ(balance(*nodes_[0], 10), 7'000U);
  // The same again costs nothing of it; two others are one too many.
  EXPECT_EQ(take(10, invitation).text, "a member already: member, worker");
  EXPECT_TRUE(take(11, invitation).admitted);
  const EnrolmentAnswer late = take(12, invitation);
  EXPECT_FALSE(late.admitted);
  EXPECT_EQ(late.text, "this invitation is not known here, or was used up");
  EXPECT_TRUE(late.founding) << "it can follow all the same";
  settle();
  EXPECT_TRUE(roles_of(12).empty());
  EXPECT_EQ(balance(*nodes_[0], 10), 7'000U);
}

TEST_F(EnrolmentTest, WhatAdmitsNobodySaysWhy) {
  const Invitation invitation = invited({});
  EXPECT_EQ(ask(10, {.federation = invitation.federation, .secret = {}}).text,
            "the token admits nobody: a steward does, with `mesh federation admit`");
  EXPECT_EQ(ask(10, {.federation = invitation.federation, .secret = sha256(as_bytes("guessed"))}).text,
            "this invitation is not known here, or was used up");
  const EnrolmentAnswer other =
      ask(10, {.federation = dagcbor::cid_of(as_bytes("other")), .secret = invitation.secret});
  EXPECT_EQ(other.text, "this node is in another federation");
  EXPECT_FALSE(other.founding);
  const auto old = invite(*enrolment_, {.hours = 1}, 1'000);
  ASSERT_TRUE(old);
  EXPECT_EQ(take(10, *read_token(*old)).text, "this invitation is over");
  EXPECT_TRUE(take(10, invitation).admitted) << "none of these has used it up";
}

TEST_F(EnrolmentTest, AStrangerIsToldNothingWhereStewardsAdmit) {
  const EnrolmentAnswer answer = ask(10, {});
  EXPECT_FALSE(answer.founding);
  EXPECT_FALSE(answer.admitted);
  EXPECT_EQ(answer.text, "stewards admit to this node's federation: ask one for a token");
  const EnrolmentAnswer secret = ask(10, {.federation = {}, .secret = invited({}).secret.value_or(Digest{})});
  EXPECT_FALSE(secret.founding);
  EXPECT_FALSE(secret.admitted);
  EXPECT_EQ(secret.text, "an invitation's secret goes with its federation's name");
}

TEST_F(OpenEnrolmentTest, AStrangerIsShownTheWay) {
  const EnrolmentAnswer answer = ask(10, {});
  ASSERT_TRUE(answer.founding);
  EXPECT_EQ(federation_of(*read_founding(*answer.founding)), federation_of(founding_));
  EXPECT_FALSE(answer.admitted);
  EXPECT_FALSE(ask(10, {.federation = {}, .secret = sha256(as_bytes("guessed"))}).founding);
  const EnrolmentAnswer named = ask(10, {.federation = federation_of(founding_), .secret = {}});
  EXPECT_TRUE(named.founding);
  EXPECT_EQ(named.text, "enrolment is open: this node makes itself a member once it has followed the chain");
  EXPECT_TRUE(roles_of(10).empty()) << "that is for it to say";
}

TEST_F(EnrolmentTest, WhatTheLedgerRefusesUsesNothingUp) {
  const Invitation invitation = invited({});
  ledger::Admit demotion{.account = {},
                         .sequence = 0,
                         .node = node_of(0),
                         .roles = {Role::member, Role::validator},
                         .owner = {},
                         .expires_height = {}};
  const auto demoted = transact(*nodes_[1], demotion);
  ASSERT_TRUE(demoted) << demoted.error().message;
  await_height(*nodes_[0], demoted->height);
  const EnrolmentAnswer refused = take(10, invitation);
  EXPECT_FALSE(refused.admitted);
  EXPECT_TRUE(refused.text.starts_with("role-missing")) << refused.text;
  demotion.roles = {Role::member, Role::validator, Role::steward};
  const auto promoted = transact(*nodes_[1], demotion);
  ASSERT_TRUE(promoted) << promoted.error().message;
  await_height(*nodes_[0], promoted->height);
  EXPECT_TRUE(take(10, invitation).admitted) << "its one use is still there";
}

TEST_F(EnrolmentTest, BadQuestionsEndTheStream) {
  EXPECT_TRUE(answer_to(10, {}).empty());
  EXPECT_TRUE(answer_to(10, Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}).empty());
  EXPECT_TRUE(answer_to(10, framed(Bytes(2000, 0))).empty()) << "more than a question may have";
  EXPECT_TRUE(answer_to(10, Bytes{5, 1, 2}).empty()) << "cut";
  EXPECT_FALSE(answer_to(10, framed(Bytes{1, 2, 3})).empty()) << "it is told what does not read";
  EXPECT_TRUE(take(10, invited({})).admitted) << "and others are answered";
}

TEST_F(EnrolmentTest, BadTermsAreRefusedByName) {
  const auto refusal = [&](const InvitationTerms& terms, std::vector<std::string> addresses = {address()}) {
    const auto token = invite(*enrolment_, terms, 1'000, std::move(addresses));
    EXPECT_FALSE(token);
    return token ? Error{} : token.error();
  };
  EXPECT_EQ(refusal({.uses = 0}).code, ErrorCode::invalid);
  EXPECT_EQ(refusal({.uses = 1001}).code, ErrorCode::invalid);
  EXPECT_EQ(refusal({.hours = 0}).code, ErrorCode::invalid);
  EXPECT_EQ(refusal({.hours = 24 * 367}).code, ErrorCode::invalid);
  EXPECT_TRUE(refusal({.roles = {}}).message.starts_with("bad-roles"));
  EXPECT_TRUE(refusal({.roles = {Role::worker, Role::member}}).message.starts_with("bad-roles"));
  EXPECT_TRUE(refusal({.roles = {Role::member, Role::member}}).message.starts_with("bad-roles"));
  EXPECT_EQ(refusal({}, {}).code, ErrorCode::unavailable);
  Enrolment stranger(io_, *store_of(*nodes_[2]), *nodes_[2]->host);
  const auto token = invite(stranger, {}, 1'000);
  ASSERT_FALSE(token);
  EXPECT_TRUE(token.error().message.starts_with("only a steward invites")) << token.error().message;
}

}  // namespace
}  // namespace mesh::app
