#include "text/char_class.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace qnext {
namespace {

constexpr std::array<std::string_view, 30> kCategoryNames = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};
constexpr int kCategoryBits = 5;
static_assert(kFirstCategoryClass + kCategoryNames.size() == kNextLineClass);

// Calls visit(first, end, category) for each run of code points of one category.
template <typename Visit>
void ForEachCategoryRun(Visit visit) {
  for (size_t i = 0; i < std::size(kCategoryRuns); ++i) {
    const char32_t end = i + 1 < std::size(kCategoryRuns) ? kCategoryRuns[i + 1] >> kCategoryBits : kCodePointEnd;
    visit(char32_t{kCategoryRuns[i] >> kCategoryBits}, end, kCategoryRuns[i] & ((1U << kCategoryBits) - 1));
  }
}

}  // namespace

std::optional<ClassSet> CategoryClasses(std::string_view name) {
  if (name.empty() || name.size() > 2) return std::nullopt;
  std::array<bool, kCategoryNames.size()> wanted{};
  for (size_t i = 0; i < kCategoryNames.size(); ++i) wanted[i] = kCategoryNames[i].starts_with(name);
  if (std::ranges::count(wanted, true) == 0) return std::nullopt;

  ClassSet set;
  for (size_t i = 0; i < wanted.size(); ++i) set[kFirstCategoryClass + i] = wanted[i];
  ForEachCategoryRun([&](char32_t first, char32_t end, uint32_t category) {
    for (char32_t code = first; code < std::min<char32_t>(end, 0x80); ++code) set[code] = wanted[category];
    const auto holds = [first, end](char32_t code) { return first <= code && code < end; };
    if (holds(0x85)) set[kNextLineClass] = wanted[category];
    if (holds(0x17F)) set[kLongSClass] = wanted[category];
    if (holds(0x212A)) set[kKelvinSignClass] = wanted[category];
  });
  return set;
}

ClassSet WhiteSpaceClasses() {
  ClassSet set = CategoryClasses("Z").value_or(ClassSet());
  for (const char ascii : {'\t', '\n', '\v', '\f', '\r'}) set.set(static_cast<unsigned char>(ascii));
  return set.set(kNextLineClass);
}

CharClasses::CharClasses() : classes_(kCodePointEnd) {
  ForEachCategoryRun([this](char32_t first, char32_t end, uint32_t category) {
    std::fill(classes_.begin() + first, classes_.begin() + end, static_cast<uint8_t>(kFirstCategoryClass + category));
  });
  for (char32_t code = 0; code < 0x80; ++code) classes_[code] = static_cast<uint8_t>(code);
  classes_[0x85] = kNextLineClass;
  classes_[0x17F] = kLongSClass;
  classes_[0x212A] = kKelvinSignClass;
}

std::string CharClasses::Classify(std::string_view text) const {
  std::string classes;
  classes.reserve(text.size());
  for (size_t at = 0; at < text.size(); at += Utf8Length(text[at])) {
    classes.push_back(static_cast<char>(ClassOf(DecodeValidUtf8(text.data() + at))));
  }
  return classes;
}

}  // namespace qnext
