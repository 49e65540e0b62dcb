#include "config/json_value.h"

#include <gtest/gtest.h>

#include <string>

namespace qnext {
namespace {

TEST(JsonValue, KeepsKindsValuesAndOrder) {
  const Result<JsonValue> json =
      ParseJson(R"({"z": 1, "a": [true, null, -3, 2.5, "x\u00e9"], "m": {"k": 18446744073709551615}})");
  ASSERT_TRUE(json.ok()) << json.status().message();
  const JsonValue::Object& members = *json->object();
  ASSERT_EQ(members.size(), 3U);
  EXPECT_EQ(members[0].key, "z");
  EXPECT_EQ(members[1].key, "a");
  EXPECT_EQ(members[2].key, "m");
  EXPECT_EQ(*json->Find("z")->integer(), 1);
  const JsonValue::Array& items = *json->Find("a")->array();
  ASSERT_EQ(items.size(), 5U);
  EXPECT_TRUE(*items[0].boolean());
  EXPECT_TRUE(items[1].is_null());
  EXPECT_EQ(*items[2].integer(), -3);
  EXPECT_EQ(*items[3].number(), 2.5);
  EXPECT_EQ(*items[4].string(), "x\xc3\xa9");
  EXPECT_EQ(json->Find("m")->Find("k")->integer(), nullptr) << "above int64 it is a number";
  EXPECT_EQ(*json->Find("m")->Find("k")->number(), 18446744073709551615.0);
  EXPECT_EQ(json->Find("absent"), nullptr);
  EXPECT_EQ(json->Find("z")->Find("a"), nullptr);
}

TEST(JsonValue, RefusesWhatIsNotOneDocument) {
  for (const std::string text :
       {"", "{", "{\"a\": }", "[1,]", "{} {}", "nul", "NaN", "[1e999]", "\"\xff\"", "{'a': 1}"}) {
    const Result<JsonValue> json = ParseJson(text);
    ASSERT_FALSE(json.ok()) << text;
    EXPECT_EQ(json.status().code(), StatusCode::kCorrupt) << text;
    EXPECT_NE(json.status().message().find("not valid JSON at byte"), std::string::npos) << json.status().message();
  }
}

TEST(JsonValue, RefusesAKeyGivenTwiceInOneObject) {
  const Result<JsonValue> json = ParseJson(R"({"a": {"bits": 4, "x": 1, "bits": 8}})");
  ASSERT_FALSE(json.ok());
  EXPECT_NE(json.status().message().find("\"bits\" occurs twice"), std::string::npos) << json.status().message();
  EXPECT_TRUE(ParseJson(R"([{"a": 1}, {"a": 2}])").ok()) << "one key in two objects";
}

TEST(JsonValue, RefusesDepthBombsBeforeParsing) {
  EXPECT_FALSE(ParseJson(std::string(1000000, '[')).ok());
  EXPECT_TRUE(ParseJson(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(65, '[') + std::string(65, ']')).ok());
}

TEST(JsonValue, DescribesWithoutFloodingTheMessage) {
  const Result<JsonValue> json = ParseJson("[\"" + std::string(1000, 'x') + "\", {}, [], 1.5, false]");
  ASSERT_TRUE(json.ok());
  EXPECT_LT((*json->array())[0].Describe().size(), 100U);
  EXPECT_EQ((*json->array())[1].Describe(), "an object");
  EXPECT_EQ((*json->array())[2].Describe(), "an array");
  EXPECT_EQ((*json->array())[3].Describe(), "1.5");
  EXPECT_EQ((*json->array())[4].Describe(), "false");
}

}  // namespace
}  // namespace qnext
