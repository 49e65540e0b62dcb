#include "cli/toml_reader.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(TomlReaderTest, EveryKindOfValue) {
  const std::string text =
      "# options\r\n"
      "model = \"/data/a#b\"  # the place\n"
      "threads=15\n"
      "temperature = 0.7\n"
      "seed = 18446744073709551615\n"
      "loud = true\n"
      "\n"
      "[chat]  # for one command\n"
      "system = \"Say \\\"hi\\\",\\n\\u00e4 \\U0001F600 and \\\\n.\"\n"
      "\tliteral = 'C:\\new'\n"
      "empty = ''\n"
      "stop = [\"a, b\", # first\n"
      "        'c]',\n"
      "  3 ,]\n"
      "none = []";
  const Result<std::vector<TomlItem>> items = ReadToml(text);
  ASSERT_TRUE(items.ok()) << items.status().message();
  struct Expected {
    const char *table, *key;
    std::vector<std::string> values;
    bool is_list;
    int64_t line;
  };
  const std::vector<Expected> expected = {
      {"", "model", {"/data/a#b"}, false, 2},
      {"", "threads", {"15"}, false, 3},
      {"", "temperature", {"0.7"}, false, 4},
      {"", "seed", {"18446744073709551615"}, false, 5},
      {"", "loud", {"true"}, false, 6},
      {"chat", "system", {"Say \"hi\",\n\xc3\xa4 \xf0\x9f\x98\x80 and \\n."}, false, 9},
      {"chat", "literal", {"C:\\new"}, false, 10},
      {"chat", "empty", {""}, false, 11},
      {"chat", "stop", {"a, b", "c]", "3"}, true, 12},
      {"chat", "none", {}, true, 15},
  };
  ASSERT_EQ(items->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const TomlItem& item = items.value()[i];
    EXPECT_EQ(item.table, expected[i].table);
    EXPECT_EQ(item.key, expected[i].key);
    EXPECT_EQ(item.values, expected[i].values) << item.key;
    EXPECT_EQ(item.is_list, expected[i].is_list) << item.key;
    EXPECT_EQ(item.line, expected[i].line) << item.key;
  }
  EXPECT_TRUE(ReadToml("")->empty());
}

TEST(TomlReaderTest, ErrorsHaveTheirLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a = 1\nkv = int8\n", "line 2: kv: expected a text in quotes, a number, true, false or a list"},
      {"a = ", "line 1: a: expected a text in quotes, a number, true, false or a list"},
      {"a = nan", "line 1: a: expected a text in quotes, a number, true, false or a list"},
      {"\n\nmodel \"x\"\n", "line 3: model: expected = and a value"},
      {"loud\n", "line 1: loud: expected = and a value"},
      {"= 5", "line 1: expected the name of an option"},
      {"\"a\" = 5", "line 1: expected the name of an option"},
      {"a.b = 5", "line 1: a: expected = and a value"},
      {"a = 1 2", "line 1: nothing may follow on the same line"},
      {"a = 1979-05-27T07:32:00Z", "line 1: nothing may follow on the same line"},
      {"a = \"x\" y", "line 1: nothing may follow on the same line"},
      {"a = \"x\nb = 2", "line 1: a: the text has no closing quote on its line"},
      {"a = 'x", "line 1: a: the text has no closing quote on its line"},
      {"a = \"\"\"x\n\"\"\"", "line 1: a: texts of several lines are not read; write \\n"},
      {"a = \"\\x\"", "line 1: a: \\ must be followed by one of b t n f r \" \\ or by u and four digits, U and eight"},
      {"a = \"\\ud800\"",
       "line 1: a: \\ must be followed by one of b t n f r \" \\ or by u and four digits, U and eight"},
      {"a = \"\\u12\"",
       "line 1: a: \\ must be followed by one of b t n f r \" \\ or by u and four digits, U and eight"},
      {"a = \"\x1b[1m\"", "line 1: a: byte 0x1b must be written as \\u001b"},
      {"a = [1,\n2\nb = 3", "line 3: a: expected , or ] in the list"},
      {"\na = [1,\n", "line 2: a: the list has no end"},
      {"a = [1", "line 1: a: the list has no end"},
      {"a = [[1]]", "line 1: a: expected a text in quotes, a number, true, false or a list"},
      {"[chat", "line 1: a heading is the name of a command in brackets: [serve]"},
      {"[]", "line 1: a heading is the name of a command in brackets: [serve]"},
      {"[[chat]]", "line 1: a heading is the name of a command in brackets: [serve]"},
      {"[a.b]", "line 1: a heading is the name of a command in brackets: [serve]"},
      {"[chat] x", "line 1: nothing may follow on the same line"},
      {"a = 1\n[chat]\na = 1\na = 2", "line 4: a: is given twice"},
      {std::string("a\0b = 1", 7), "line 1: a: expected = and a value"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(ReadToml(text).status().message(), error) << text;
}

}  // namespace
}  // namespace qnext
