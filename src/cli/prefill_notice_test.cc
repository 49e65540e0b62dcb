#include "cli/prefill_notice.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace qnext {
namespace {

using std::chrono::milliseconds;

std::string Contents(std::FILE* file) {
  std::string text;
  char buffer[4096];
  std::rewind(file);
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) text.append(buffer, n);
  return text;
}

// What is printed by a notice that lives until enough is there.
std::string Printed(bool terminal, const std::function<bool(const std::string&)>& enough) {
  std::FILE* file = std::tmpfile();
  {
    PrefillNotice notice(file, 12000, terminal, {.first = milliseconds(1), .interval = milliseconds(1)});
    for (int i = 0; i < 10000 && std::ftell(file) < 100; ++i) std::this_thread::sleep_for(milliseconds(1));
    notice.Stop();
    notice.Stop();
  }
  std::string text = Contents(file);
  std::fclose(file);
  EXPECT_TRUE(enough(text)) << text;
  return text;
}

TEST(PrefillNoticeTest, LinesOutsideOfTerminals) {
  Printed(false, [](const std::string& text) {
    return text.starts_with("qnext: reading 12000 tokens of prompt, 0 s so far\nqnext: ") &&
           text.ends_with(" s so far\n");
  });
}

TEST(PrefillNoticeTest, OneLineOnATerminalThatIsRemoved) {
  Printed(true, [](const std::string& text) {
    return text.starts_with("\r\x1b[Kreading 12000 tokens of prompt, 0 s so far\r\x1b[K") &&
           text.ends_with("so far\r\x1b[K") && text.find('\n') == std::string::npos;
  });
}

TEST(PrefillNoticeTest, SilentWhereThePromptIsReadAtOnce) {
  std::FILE* file = std::tmpfile();
  { const PrefillNotice notice(file, 3, true, {.first = std::chrono::hours(1), .interval = milliseconds(1)}); }
  EXPECT_EQ(Contents(file), "");
  std::fclose(file);
}

}  // namespace
}  // namespace qnext
