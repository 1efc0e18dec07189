#include "adapters/http/message.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mesh::http {
namespace {

TEST(Message, DecodesStrictly) {
  EXPECT_EQ(percent_decode("a%20b%C3%a9"), "a b\xc3\xa9");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  for (const char* bad :
       {"%", "%2", "%zz", "%0a", "%00", "%7f", "%ff", "%c0%af", "%ed%a0%80", "%f4%90%80%80", "%e2%82"}) {
    EXPECT_FALSE(percent_decode(bad)) << bad;
  }
  const std::string text = "a/b c\xc3\xa9%";
  EXPECT_EQ(percent_encode(text), "a%2Fb%20c%C3%A9%25");
  EXPECT_EQ(percent_decode(percent_encode(text)), text);
  EXPECT_EQ(percent_encode("a/b", true), "a/b");
}

TEST(Message, ReadsTargets) {
  const auto target = parse_target("/api/v1/x%20y?since=5&name=a%26b&flag&e=");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/api/v1/x y");
  EXPECT_EQ(target->query,
            (std::map<std::string, std::string>{{"since", "5"}, {"name", "a&b"}, {"flag", ""}, {"e", ""}}));
  EXPECT_EQ(parse_target("/")->path, "/");
  EXPECT_EQ(parse_target("/a/")->path, "/a/");
  for (const char* bad : {"", "a", "*", "http://x/", "/../etc", "/a/..", "/a/./b", "/%2e%2e/x", "/a%2fb", "/a%5cb",
                          "//a", "/a//b", "/a#b", "/%", "/a?x=%", "/a?x=1&x=2", "/a?=1", "/%00"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

TEST(Message, ProblemsAreJsonWhateverTheyName) {
  const Response answer = problem(Error{ErrorCode::not_found, "no \"task\"\n\xff"});
  EXPECT_EQ(answer.status, 404U);
  EXPECT_EQ(answer.content_type, "application/problem+json");
  const auto body = nlohmann::json::parse(answer.body);
  EXPECT_EQ(body["type"], "about:blank");
  EXPECT_EQ(body["title"], "Not found");
  EXPECT_EQ(body["status"], 404);
  EXPECT_EQ(body["detail"], "no \"task\"\n\xef\xbf\xbd");
}

TEST(Message, AProblemHasANameForPrograms) {
  EXPECT_EQ(stable_name("overdraft: the balance is too small"), "overdraft");
  EXPECT_EQ(stable_name("bond-too-small: it is"), "bond-too-small");
  EXPECT_EQ(stable_name("block 7: it is"), "");
  EXPECT_EQ(stable_name("no name here"), "");
  EXPECT_EQ(stable_name(": nothing"), "");
  const auto code = [](const Response& answer) { return nlohmann::json::parse(answer.body)["code"]; };
  EXPECT_EQ(code(problem(Error{ErrorCode::denied, "overdraft: the balance is too small"})), "overdraft");
  EXPECT_EQ(code(problem(Error{ErrorCode::not_found, "no such block"})), "not-found");
  EXPECT_EQ(code(problem(403, "Foreign host", "x")), "foreign-host");
  EXPECT_EQ(code(problem(505, "HTTP/1.1 alone", "x")), "http11-alone");
}

TEST(Message, CodesAndStatusesAgree) {
  for (const ErrorCode code : {ErrorCode::invalid, ErrorCode::unauthorised, ErrorCode::not_found, ErrorCode::exhausted,
                               ErrorCode::timeout, ErrorCode::unavailable, ErrorCode::conflict, ErrorCode::denied,
                               ErrorCode::storage, ErrorCode::unsupported, ErrorCode::internal}) {
    EXPECT_EQ(code_of(status_of(code)), code);
  }
  EXPECT_EQ(code_of(413), ErrorCode::exhausted);
  EXPECT_EQ(code_of(408), ErrorCode::timeout);
  EXPECT_EQ(code_of(418), ErrorCode::invalid);
}

}  // namespace
}  // namespace mesh::http
