#include "app/api/task_request.h"

#include <gtest/gtest.h>

#include "app/api/api.h"

namespace mesh::app {
namespace {

constexpr std::string_view function = R"json("function":{"language":"wat","source":"(module)"})json";

std::string error_of(const std::string& fields) {
  const auto request = parse_task_request(as_bytes("{" + std::string(function) + "," + fields + "}"));
  return request ? std::string("(no error)") : request.error().message;
}

TEST(TaskRequest, ReadsEveryField) {
  const std::string text =
      "{" + std::string(function) +
      R"(,"inputs":[{"text":"a"},{"base64":"YmM="},"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],"map":true,)"
      R"("verifiers":3,"fuel":7,"memory_mb":8,"io_mb":9,"bid_window_ms":10,"limits":{"run_ms":11},"label":"x","dry_run":true,"sealed":true})";
  const auto request = parse_task_request(as_bytes(text));
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->inputs.size(), 3U);
  EXPECT_EQ(std::get<Bytes>(request->inputs[0]), to_bytes("a"));
  EXPECT_EQ(std::get<Bytes>(request->inputs[1]), to_bytes("bc"));
  EXPECT_TRUE(std::holds_alternative<Cid>(request->inputs[2]));
  EXPECT_TRUE(request->map);
  EXPECT_TRUE(request->dry_run);
  EXPECT_EQ(request->spec.sealed, true);
  EXPECT_EQ(request->spec.verifiers, 3U);
  EXPECT_EQ(request->spec.scope.fuel, 7U);
  EXPECT_EQ(request->spec.scope.memory_mb, 8U);
  EXPECT_EQ(request->spec.scope.io_mb, 9U);
  EXPECT_EQ(request->spec.bid_window_ms, 10U);
  EXPECT_EQ(request->spec.limits.run_ms, 11U);
  EXPECT_EQ(request->spec.limits.fetch_ms, task::PhaseLimits{}.fetch_ms);
}

TEST(TaskRequest, NamesWhatIsWrong) {
  EXPECT_EQ(error_of(R"("sealed":1)"), "task.sealed must be true or false");
  EXPECT_NE(error_of(R"("what":1)").find("no field \"what\""), std::string::npos);
  EXPECT_NE(error_of(R"("fee":-1)").find("task.fee must be an integer"), std::string::npos);
  EXPECT_NE(error_of(R"("fee":1.5)").find("task.fee must be an integer"), std::string::npos);
  EXPECT_NE(error_of(R"("verifiers":64)").find("from 0 to 63"), std::string::npos);
  EXPECT_NE(error_of(R"("limits":{"sleep_ms":1})").find("no field \"sleep_ms\""), std::string::npos);
  EXPECT_NE(error_of(R"("limits":{"run_ms":4294967296})").find("task.limits.run_ms"), std::string::npos);
  EXPECT_NE(error_of(R"("inputs":[{"text":"a"},{"text":"b"}])").find("set \"map\""), std::string::npos);
  EXPECT_NE(error_of(R"("map":true)").find("needs inputs"), std::string::npos);
  EXPECT_NE(error_of(R"("inputs":[7])").find("task.inputs[0]"), std::string::npos);
  EXPECT_NE(error_of(R"("inputs":[{"base64":"*"}])").find("not base64"), std::string::npos);
  EXPECT_NE(error_of(R"("label":")" + std::string(129, 'x') + "\"").find("task.label"), std::string::npos);
  EXPECT_FALSE(parse_task_request(as_bytes("{}")));
  EXPECT_FALSE(parse_task_request(as_bytes("[]")));
  EXPECT_FALSE(parse_task_request(as_bytes("")));
}

TEST(TaskRequest, DeepJsonIsRefused) {
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  const auto json = parse_json(as_bytes(deep));
  ASSERT_FALSE(json);
  EXPECT_NE(json.error().message.find("64 levels"), std::string::npos);
}

TEST(OpenApi, HasEveryRouteAndNoDanglingReference) {
  const auto document = nlohmann::json::parse(Api::openapi());
  std::size_t operations = 0;
  for (const auto& [path, methods] : document["paths"].items()) operations += methods.size();
  EXPECT_EQ(operations, Api::routes().size());
  const std::string text = document.dump();
  constexpr std::string_view mark = "#/components/schemas/";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    const std::size_t start = at + mark.size();
    const std::string name = text.substr(start, text.find('"', start) - start);
    EXPECT_TRUE(document["components"]["schemas"].contains(name)) << name;
  }
}

}  // namespace
}  // namespace mesh::app
