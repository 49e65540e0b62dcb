#include "text/pre_tokenizer.h"

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"
#include "text/split_pattern.h"
#include "text/utf8.h"

namespace qnext {
namespace {

template <auto kFree>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

// A compiled pattern over class bytes. PCRE2 supplies the backtracking; what characters are is decided before
// (char_class.h), so it runs without its Unicode mode, whose tables are those of whichever version is installed.
class PreTokenizer::Pattern {
 public:
  static Result<Pattern> Compile(const std::string& pattern) {
    QNEXT_ASSIGN_OR_RETURN(const std::string translated, TranslateSplitPattern(pattern));
    int error = 0;
    PCRE2_SIZE error_offset = 0;
    Code code(pcre2_compile(Units(translated), translated.size(), PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error,
                            &error_offset, nullptr));
    if (code == nullptr) {
      std::array<PCRE2_UCHAR, 256> message{};
      pcre2_get_error_message(error, message.data(), message.size());
      return Unsupported(fmt::format("regex: \"{}\": {}", pattern, reinterpret_cast<const char*>(message.data())));
    }
    uint32_t matches_empty = 0;
    pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (matches_empty != 0) return Unsupported(fmt::format("regex: \"{}\" can match nothing at all", pattern));
    // Without just-in-time compilation the interpreter gives the same matches, only later.
    (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);

    // Limits guard against patterns that explode; TranslateSplitPattern lets none of those through, and a limit that
    // strikes on long text would be a request that fails for its length.
    MatchContext context(pcre2_match_context_create(nullptr));
    if (context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), std::numeric_limits<uint32_t>::max());
    pcre2_set_depth_limit(context.get(), std::numeric_limits<uint32_t>::max());
    pcre2_set_heap_limit(context.get(), std::numeric_limits<uint32_t>::max());
    return Pattern(std::move(code), std::move(context));
  }

  MatchData NewMatchData() const {
    MatchData data(pcre2_match_data_create(1, nullptr));
    if (data == nullptr) throw std::bad_alloc();
    return data;
  }

  // The first match at or after `from`, as (begin, end); (size, size) if there is none.
  std::pair<size_t, size_t> Find(std::string_view text, size_t from, pcre2_match_data* data) const {
    int rc = pcre2_match(code_.get(), Units(text), text.size(), from, 0, data, context_.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(code_.get(), Units(text), text.size(), from, PCRE2_NO_JIT, data, context_.get());
    }
    if (rc == PCRE2_ERROR_NOMATCH) return {text.size(), text.size()};
    if (rc == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
    QNEXT_CHECK(rc >= 0, "a translated split pattern matches or does not");
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
    QNEXT_CHECK(offsets[1] > offsets[0], "a split pattern never matches nothing");
    return {offsets[0], offsets[1]};
  }

 private:
  Pattern(Code code, MatchContext context) : code_(std::move(code)), context_(std::move(context)) {}

  Code code_;
  MatchContext context_;
};

// What one Split call writes to while matching.
class PreTokenizer::Scratch {
 public:
  explicit Scratch(const std::vector<Pattern>& patterns) {
    for (const Pattern& pattern : patterns) data_.push_back(pattern.NewMatchData());
  }
  pcre2_match_data* at(size_t level) const { return data_[level].get(); }

 private:
  std::vector<MatchData> data_;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::Create(const std::vector<std::string>& patterns) {
  PreTokenizer created;
  for (const std::string& pattern : patterns) {
    QNEXT_ASSIGN_OR_RETURN(Pattern compiled, Pattern::Compile(pattern));
    created.patterns_.push_back(std::move(compiled));
  }
  return created;
}

void PreTokenizer::SplitClasses(size_t level, std::string_view classes, const Scratch& scratch,
                                FunctionRef<void(size_t)> visit) const {
  if (classes.empty()) return;
  if (level == patterns_.size()) {
    visit(classes.size());
    return;
  }
  for (size_t at = 0; at < classes.size();) {
    const auto [begin, end] = patterns_[level].Find(classes, at, scratch.at(level));
    SplitClasses(level + 1, classes.substr(at, begin - at), scratch, visit);
    SplitClasses(level + 1, classes.substr(begin, end - begin), scratch, visit);
    at = end;
  }
}

void PreTokenizer::Split(std::string_view text, FunctionRef<void(std::string_view)> visit) const {
  const Scratch scratch(patterns_);
  if (AsciiPrefix(text) == text.size()) {  // ASCII is its own classes
    size_t at = 0;
    SplitClasses(0, text, scratch, [&](size_t length) {
      visit(text.substr(at, length));
      at += length;
    });
    return;
  }
  const std::string classes = classes_.Classify(text);
  size_t at = 0;
  SplitClasses(0, classes, scratch, [&](size_t length) {
    size_t end = at;
    for (size_t i = 0; i < length; ++i) end += Utf8Length(text[end]);
    visit(text.substr(at, end - at));
    at = end;
  });
}

}  // namespace qnext
