#include "bench/text_prompts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

namespace qnext {
namespace {

int64_t CountWords(const std::string& text) { return std::count(text.begin(), text.end(), ' ') + 1; }

struct PaperTokenizer {
  const char* name;
  std::function<int64_t(const std::string&)> count;
};

const PaperTokenizer kTokenizers[] = {
    {"bytes", [](const std::string& text) { return static_cast<int64_t>(text.size()); }},
    {"words", CountWords},
    {"words after a BOS", [](const std::string& text) { return CountWords(text) + 1; }},
    // Three letters of a word make a token.
    {"syllables",
     [](const std::string& text) {
       int64_t tokens = 0, letters = 0;
       for (const char c : text + " ") {
         if (c != ' ') {
           ++letters;
         } else {
           tokens += (letters + 2) / 3;
           letters = 0;
         }
       }
       return tokens;
     }},
};

TEST(TextPromptsTest, HaveTheLengthWhateverTheTokenizer) {
  for (const PaperTokenizer& tokenizer : kTokenizers) {
    int64_t asked = 0;
    const TextPrompts prompts = TextPrompts::Measure([&](const std::string& text) -> Result<int64_t> {
                                  ++asked;
                                  return tokenizer.count(text);
                                }).value();
    EXPECT_EQ(asked, 18);
    std::set<std::string> different;
    for (const int64_t tokens : {50, 51, 97, 200, 1000}) {
      for (uint64_t run = 0; run < 10; ++run) {
        Random random(3, run);
        const std::string text = prompts.Make(tokens, random);
        EXPECT_EQ(tokenizer.count(text), tokens) << tokenizer.name << ": " << text;
        different.insert(text.substr(0, 40));
      }
    }
    EXPECT_GT(different.size(), 9u) << tokenizer.name;
  }
}

TEST(TextPromptsTest, TheSameSeedGivesTheSamePrompt) {
  const TextPrompts prompts =
      TextPrompts::Measure([](const std::string& text) -> Result<int64_t> { return CountWords(text); }).value();
  Random one(1), two(1), other(2);
  const std::string text = prompts.Make(100, one);
  EXPECT_EQ(prompts.Make(100, two), text);
  EXPECT_NE(prompts.Make(100, other), text);
}

TEST(TextPromptsTest, CountsThatAreNoTokenizers) {
  const auto error = [](std::function<Result<int64_t>(const std::string&)> count) {
    return TextPrompts::Measure(count).status().message();
  };
  EXPECT_EQ(error([](const std::string&) -> Result<int64_t> { return 7; }),
            "usage.prompt_tokens: 7 for 21 words and 7 for 41 are no tokenizer's");
  EXPECT_EQ(error([](const std::string&) -> Result<int64_t> { return Unavailable("no"); }), "no");
  int64_t noise = 0;
  EXPECT_EQ(error([&](const std::string& text) -> Result<int64_t> {
              return CountWords(text) + ++noise % 3;
            }).rfind("usage.prompt_tokens: only ", 0),
            0u);
}

}  // namespace
}  // namespace qnext
