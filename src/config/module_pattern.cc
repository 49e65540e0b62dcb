#include "config/module_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/clip.h"

namespace qnext {
namespace {

constexpr size_t kMaxPatternBytes = 4096;
constexpr size_t kMaxPatterns = 4096;
// A module name has some 50 characters; honest rules need a few hundred steps.
constexpr uint32_t kMatchLimit = 100000;
constexpr uint32_t kDepthLimit = 10000;
constexpr uint32_t kHeapLimitKib = 1024;

struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

std::string ErrorText(int code) {
  std::array<PCRE2_UCHAR, 256> buffer = {};
  const int length = pcre2_get_error_message(code, buffer.data(), buffer.size());
  if (length < 0) return fmt::format("error {}", code);
  return {buffer.begin(), buffer.begin() + length};
}

}  // namespace

struct ModulePattern::Code {
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> limits;
};

Result<ModulePattern> ModulePattern::Compile(const std::string& text, Anchor anchor) {
  if (text.size() > kMaxPatternBytes) {
    return InvalidArgument(fmt::format("a regular expression of {} bytes, above {}", text.size(), kMaxPatternBytes));
  }
  int error = 0;
  PCRE2_SIZE position = 0;
  auto compiled = std::make_shared<Code>();
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                     PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &position, nullptr));
  if (compiled->code == nullptr) {
    return InvalidArgument(
        fmt::format("\"{}\" is not a regular expression: {} at byte {}", Clip(text), ErrorText(error), position));
  }
  compiled->limits.reset(pcre2_match_context_create(nullptr));
  QNEXT_CHECK(compiled->limits != nullptr, "out of memory");
  pcre2_set_match_limit(compiled->limits.get(), kMatchLimit);
  pcre2_set_depth_limit(compiled->limits.get(), kDepthLimit);
  pcre2_set_heap_limit(compiled->limits.get(), kHeapLimitKib);

  ModulePattern pattern;
  pattern.text_ = text;
  pattern.anchor_ = anchor;
  pattern.code_ = std::move(compiled);
  return pattern;
}

Result<bool> ModulePattern::Matches(std::string_view name) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  QNEXT_CHECK(data != nullptr, "out of memory");
  const uint32_t options = anchor_ == Anchor::kStart ? PCRE2_ANCHORED : 0;
  const int result = pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, options,
                                 data.get(), code_->limits.get());
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  return ResourceExhausted(
      fmt::format("the rule \"{}\" cannot be tried on \"{}\": {}", Clip(text_), Clip(name, 200), ErrorText(result)));
}

bool LooksLikePattern(std::string_view text) { return text.find_first_of("\\*+?^$()[]{}|") != std::string_view::npos; }

Status ModuleNameList::Add(const std::string& entry) {
  if (entry.empty()) return InvalidArgument("an empty module name");
  if (!LooksLikePattern(entry)) {
    names_.insert(entry);
    return Status();
  }
  if (patterns_.size() >= kMaxPatterns) return InvalidArgument(fmt::format("more than {} patterns", kMaxPatterns));
  QNEXT_ASSIGN_OR_RETURN(ModulePattern pattern, ModulePattern::Compile(entry, ModulePattern::Anchor::kStart));
  patterns_.push_back(std::move(pattern));
  return Status();
}

Result<bool> ModuleNameList::Matches(std::string_view module) const {
  if (!names_.empty()) {
    std::string run;
    for (size_t begin = 0; begin < module.size();) {
      for (size_t end = begin; end != std::string_view::npos;) {
        end = module.find('.', end + 1);
        run = module.substr(begin, end == std::string_view::npos ? end : end - begin);
        if (names_.contains(run)) return true;
      }
      const size_t dot = module.find('.', begin);
      if (dot == std::string_view::npos) break;
      begin = dot + 1;
    }
  }
  for (const ModulePattern& pattern : patterns_) {
    QNEXT_ASSIGN_OR_RETURN(const bool matches, pattern.Matches(module));
    if (matches) return true;
  }
  return false;
}

}  // namespace qnext
