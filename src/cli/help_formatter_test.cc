#include "cli/help_formatter.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(WrapTextTest, BreaksBetweenWords) {
  EXPECT_EQ(WrapText("one two three", 7), "one two\nthree");
  EXPECT_EQ(WrapText("one two three", 100), "one two three");
  EXPECT_EQ(WrapText("a verylongword b", 5), "a\nverylongword\nb");
  EXPECT_EQ(WrapText("", 5), "");
}

TEST(HelpFormatterTest, ShowsTypesAndDefaults) {
  CLI::App app;
  app.formatter(std::make_shared<HelpFormatter>());
  std::string kind = "a";
  bool loud = false;
  app.add_option("--kind", kind, "which one")->type_name("a|b")->capture_default_str();
  app.add_flag("--loud", loud, "shout");
  const std::string help = app.help();
  EXPECT_NE(help.find("  --kind a|b                    which one; default a\n"), std::string::npos) << help;
  EXPECT_NE(help.find("  --loud                        shout\n"), std::string::npos) << help;
}

}  // namespace
}  // namespace qnext
