#include "server/bounded_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "server/json_text.h"

namespace qnext::server {
namespace {

TEST(BoundedJson, KeepsValuesAndTheOrderOfKeys) {
  const std::string text = R"({"z":1,"a":[true,null,-2,2.5,"x\u00e9\ud83d\ude00",{"k":{}}],"m":18446744073709551615})";
  auto parsed = ParseJsonObject(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(ToText(*parsed),
            "{\"z\":1,\"a\":[true,null,-2,2.5,\"x\xC3\xA9\xF0\x9F\x98\x80\",{\"k\":{}}],"
            "\"m\":18446744073709551615}");
}

struct BadText {
  std::string text;
  std::string param;
  std::string message_has;
};

TEST(BoundedJson, RefusesWithThePathOfTheField) {
  const BadText cases[] = {
      {"", "", "not valid JSON"},
      {"[]", "", "must be a JSON object"},
      {"3", "", "must be a JSON object"},
      {"null", "", "must be a JSON object"},
      {"{\"a\":1", "a", "not valid JSON"},
      {"{\"a\":1} x", "", "not valid JSON"},
      {"{\"a\":1}{}", "", "not valid JSON"},
      {"{\"temperature\":NaN}", "temperature", "not valid JSON"},
      {"{\"temperature\":Infinity}", "temperature", "not valid JSON"},
      {"{\"temperature\":-Infinity}", "temperature", "not valid JSON"},
      {"{\"temperature\":1e999}", "temperature", "too large"},
      {"{\"temperature\":01}", "temperature", "not valid JSON"},
      {"{\"a\":'x'}", "a", "not valid JSON"},
      {"{/* c */\"a\":1}", "", "not valid JSON"},
      {"{\"prompt\":\"\xff\xfe\"}", "prompt", "invalid UTF-8"},
      {"{\"prompt\":\"\xc3\"}", "prompt", "invalid UTF-8"},
      {"{\"prompt\":\"\xed\xa0\x80\"}", "prompt", "invalid UTF-8"},
      {"{\"prompt\":\"\xc0\xaf\"}", "prompt", "invalid UTF-8"},
      {"{\"prompt\":\"\\ud800\"}", "prompt", "not valid JSON"},
      {"{\"prompt\":\"a\nb\"}", "prompt", "not valid JSON"},
      {"{\"stop\":[\"a\",NaN]}", "stop[1]", "not valid JSON"},
      {"{\"a\":1,\"b\":2,\"a\":3}", "a", "given twice"},
      {"{\"messages\":[{},{\"role\":\"user\",\"role\":\"user\"}]}", "messages[1].role", "given twice"},
  };
  for (const BadText& bad : cases) {
    auto parsed = ParseJsonObject(bad.text);
    ASSERT_FALSE(parsed.ok()) << bad.text;
    EXPECT_EQ(parsed.error().http_status, 400) << bad.text;
    EXPECT_EQ(parsed.error().param, bad.param) << bad.text;
    EXPECT_NE(parsed.error().message.find(bad.message_has), std::string::npos) << parsed.error().message;
  }
}

TEST(BoundedJson, BoundsDepthAndNumberOfValues) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']') +
           "}";
  };
  EXPECT_TRUE(ParseJsonObject(nested(63)).ok());
  auto deep = ParseJsonObject(nested(64));
  ASSERT_FALSE(deep.ok());
  EXPECT_NE(deep.error().message.find("nested deeper than 64"), std::string::npos);
  EXPECT_FALSE(ParseJsonObject("{\"a\":" + std::string(5'000'000, '[')).ok());
  EXPECT_FALSE(ParseJsonObject(std::string(5'000'000, '{')).ok());

  EXPECT_TRUE(ParseJsonObject("{\"a\":[1,2,3]}", {.max_values = 5}).ok());
  EXPECT_FALSE(ParseJsonObject("{\"a\":[1,2,3]}", {.max_values = 4}).ok());
}

TEST(BoundedJson, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("\"{}\":1,", i);
  text.back() = '}';
  auto parsed = ParseJsonObject(text);  // minutes if every key were compared with every other
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ((*parsed).size(), 300'000U);
}

TEST(JsonText, ReplacesWhatIsNotUtf8) { EXPECT_EQ(ToText({{"text", "a\xffz"}}), "{\"text\":\"a\xEF\xBF\xBDz\"}"); }

}  // namespace
}  // namespace qnext::server
