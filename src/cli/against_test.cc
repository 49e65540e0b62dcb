#include "cli/against.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(SplitWordsTest, QuotesAndSpace) {
  EXPECT_EQ(SplitWords("  --kv  fp8\t--threads=2 ").value(), (std::vector<std::string>{"--kv", "fp8", "--threads=2"}));
  EXPECT_EQ(SplitWords(R"(--model "a b"/c 'd"e' f\ g "")").value(),
            (std::vector<std::string>{"--model", "a b/c", "d\"e", "f g", ""}));
  EXPECT_TRUE(SplitWords(" ").value().empty());
  EXPECT_EQ(SplitWords("'a").status().message(), "a quote is not closed");
}

TEST(ParseAgainstTest, ChangesWhatItNames) {
  ModelFlags first;
  first.model = "x";
  first.kv = "f32";
  first.threads = 3;
  const Result<ModelFlags> flags = ParseAgainst("--dense-weights int8 --kv fp8", first);
  ASSERT_TRUE(flags.ok()) << flags.status().message();
  EXPECT_EQ(flags->dense, "int8");
  EXPECT_EQ(flags->kv, "fp8");
  EXPECT_EQ(flags->threads, 3);
  EXPECT_EQ(flags->model, "x");
  EXPECT_EQ(first.kv, "f32");
  EXPECT_EQ(ParseAgainst("--model y", first)->model, "y");
}

TEST(ParseAgainstTest, ErrorsAreThoseOfACommandLine) {
  ModelFlags first;
  first.model = "x";
  const std::pair<const char*, const char*> cases[] = {
      {" ", "--against: names no option"},
      {"'--kv", "--against: a quote is not closed"},
      {"--kv int2", "--against: --kv: bf16, fp8, int8 or f32, not \"int2\""},
      {"--kv", "--against: --kv: a value is needed"},
      {"--kv fp8 --kv int8", "--against: --kv: may be given only once"},
      {"--ctx 100", "--against: --ctx: there is no such option"},
      {"fp8", "--against: \"fp8\": only options are expected here"},
      {"--threads 010", "--against: --threads: \"010\" is not a whole number"},
      {"--synthetic 80b-a", "--against: --model or --synthetic: exactly one of them is needed"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(ParseAgainst(text, first).status().message(), error);
}

}  // namespace
}  // namespace qnext
