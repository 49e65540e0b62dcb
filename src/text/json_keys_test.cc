#include "text/json_keys.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(JsonKeys, NamesAKeyThatStandsTwice) {
  EXPECT_TRUE(CheckJsonKeys(R"({"a": {"a": 1, "b": [{"a": 1}, {"a": 2}]}, "b": 2})").ok()) << "in different objects";
  for (const char* text : {R"({"x": 1, "y": 2, "x": 1})", R"([{"y": {"x": 1, "\u0078": 2}}])"}) {
    EXPECT_EQ(CheckJsonKeys(text).message(), "the key \"x\" occurs twice in one object") << text;
  }
  EXPECT_EQ(CheckJsonKeys("{\"a\":").message().find("not valid JSON at byte "), 0u);
}

TEST(JsonKeys, MessagesStayShort) {
  const std::string key(1 << 20, 'k');
  EXPECT_LT(CheckJsonKeys("{\"" + key + "\": 1, \"" + key + "\": 2}").message().size(), 200u);
  EXPECT_LT(CheckJsonKeys("{\"" + key).message().size(), 400u);
}

}  // namespace
}  // namespace qnext
