#include "text/split_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/clip.h"
#include "text/char_class.h"

namespace qnext {
namespace {

constexpr int kMaxDepth = 50;

bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

ClassSet One(char c) { return ClassSet().set(static_cast<unsigned char>(c)); }

// What a character matches where case does not count.
ClassSet Folded(char c) {
  ClassSet set = One(c);
  if (!IsLetter(c)) return set;
  set |= One(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  set |= One(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  if (c == 's' || c == 'S') set.set(kLongSClass);
  if (c == 'k' || c == 'K') set.set(kKelvinSignClass);
  return set;
}

// Oniguruma lets these pairs also match a ligature or a sharp s where case does not count.
bool HasMultiCharacterFold(char first, char second) {
  const char a = static_cast<char>(std::tolower(static_cast<unsigned char>(first)));
  const char b = static_cast<char>(std::tolower(static_cast<unsigned char>(second)));
  return (a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l'));
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> Run() {
    QNEXT_RETURN_IF_ERROR(Alternatives(/*fold_case=*/false, /*depth=*/0));
    if (at_ < pattern_.size()) return Refuse("an unmatched )");
    return std::move(out_);
  }

 private:
  bool AtEnd() const { return at_ == pattern_.size(); }
  bool Sees(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool Take(std::string_view text) {
    if (!Sees(text)) return false;
    at_ += text.size();
    return true;
  }

  Status Refuse(std::string_view what) const {
    return Unsupported(fmt::format("regex: {} at byte {} of \"{}\"", what, at_, Clip(pattern_)));
  }

  Status Alternatives(bool fold_case, int depth) {
    if (depth > kMaxDepth) return Refuse("groups nested too deeply");
    while (true) {
      QNEXT_RETURN_IF_ERROR(Sequence(fold_case, depth));
      if (!Take("|")) return {};
      out_ += '|';
    }
  }

  Status Sequence(bool fold_case, int depth) {
    if (AtEnd() || Sees("|") || Sees(")")) return Refuse("an empty alternative");
    previous_letter_.reset();
    while (!AtEnd() && !Sees("|") && !Sees(")")) {
      if (Sees("(")) {
        QNEXT_RETURN_IF_ERROR(Group(fold_case, depth));
        previous_letter_.reset();
      } else {
        QNEXT_RETURN_IF_ERROR(Single(fold_case));
        QNEXT_RETURN_IF_ERROR(Repetition());
      }
    }
    return {};
  }

  Status Group(bool fold_case, int depth) {
    bool lookahead = false;
    if (Take("(?i:")) {
      out_ += "(?:";
      fold_case = true;
    } else if (Sees("(?=") || Sees("(?!")) {
      out_ += pattern_.substr(at_, 3);
      at_ += 3;
      lookahead = true;
    } else if (Take("(?:")) {
      out_ += "(?:";
    } else {
      if (Sees("(?") || Sees("(*")) return Refuse("this kind of group");
      Take("(");
      out_ += "(?:";
    }
    QNEXT_RETURN_IF_ERROR(Alternatives(fold_case, depth + 1));
    if (!Take(")")) return Refuse("an unclosed group");
    out_ += ')';
    if (!lookahead && Take("?")) out_ += '?';
    if (Sees("?") || Sees("*") || Sees("+") || Sees("{")) return Refuse("this repetition of a group");
    return {};
  }

  // One character or set.
  Status Single(bool fold_case) {
    const size_t begin = at_;
    ClassSet set;
    if (Take("[")) {
      QNEXT_RETURN_IF_ERROR(CharacterSet(fold_case, &set));
    } else {
      if (Sees(".") || Sees("^") || Sees("$") || Sees("?") || Sees("*") || Sees("+") || Sees("{")) {
        return Refuse(fmt::format("{} in this place", pattern_[at_]));
      }
      std::optional<char> literal;
      QNEXT_RETURN_IF_ERROR(Member(&set, &literal));
      if (fold_case) {
        const bool folds_together = literal && previous_letter_ && HasMultiCharacterFold(*previous_letter_, *literal);
        if (!literal || folds_together) {
          at_ = begin;
          return Refuse(literal ? "letters that fold to one character" : "a set without regard to case");
        }
        set = Folded(*literal);
      }
      previous_letter_ = literal;
      return Emit(set);
    }
    previous_letter_.reset();
    return Emit(set);
  }

  Status CharacterSet(bool fold_case, ClassSet* set) {
    const bool negated = Take("^");
    if (Sees("]")) return Refuse("an empty set");
    while (!Take("]")) {
      if (AtEnd()) return Refuse("an unclosed set");
      if (Sees("[") || Sees("&&") || Sees("-")) return Refuse("this inside a set");
      std::optional<char> low;
      QNEXT_RETURN_IF_ERROR(Member(set, &low));
      if (fold_case) {
        if (!low || !IsLetter(*low)) return Refuse("a set without regard to case that holds more than letters");
        *set |= Folded(*low);
      }
      if (!Sees("-") || Sees("-]")) {
        if (Take("-")) *set |= One('-');
        continue;
      }
      Take("-");
      if (!low || fold_case || AtEnd() || Sees("[")) return Refuse("this range");
      std::optional<char> high;
      QNEXT_RETURN_IF_ERROR(Member(set, &high));
      if (!high || *high < *low) return Refuse("this range");
      for (size_t code = static_cast<unsigned char>(*low); code <= static_cast<unsigned char>(*high); ++code) {
        set->set(code);
      }
    }
    if (negated) set->flip();
    return {};
  }

  // A literal or an escape, added to `set`; `literal` if it is one character.
  Status Member(ClassSet* set, std::optional<char>* literal) {
    const char c = pattern_[at_];
    if ((static_cast<unsigned char>(c) & 0x80) != 0) return Refuse("a character that is not ASCII");
    if (c != '\\') {
      ++at_;
      *literal = c;
      *set |= One(c);
      return {};
    }
    if (at_ + 1 == pattern_.size()) return Refuse("a backslash");
    const char escaped = pattern_[at_ + 1];
    if (escaped == 'p' || escaped == 'P') return Property(set);
    if (std::ispunct(static_cast<unsigned char>(escaped)) != 0) {
      *literal = escaped;
    } else if (escaped == 'r' || escaped == 'n' || escaped == 't') {
      *literal = escaped == 'r' ? '\r' : escaped == 'n' ? '\n' : '\t';
    } else if (escaped == 's' || escaped == 'S') {
      *set |= escaped == 's' ? WhiteSpaceClasses() : ~WhiteSpaceClasses();
    } else if (escaped == 'd' || escaped == 'D') {
      const ClassSet digits = CategoryClasses("Nd").value_or(ClassSet());
      *set |= escaped == 'd' ? digits : ~digits;
    } else {
      return Refuse(fmt::format("\\{}", escaped));
    }
    at_ += 2;
    if (*literal) *set |= One(**literal);
    return {};
  }

  Status Property(ClassSet* set) {
    const size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos || pattern_.substr(at_ + 2, 1) != "{") return Refuse("this property");
    const std::optional<ClassSet> classes = CategoryClasses(pattern_.substr(at_ + 3, close - at_ - 3));
    if (!classes) return Refuse("this property");
    *set |= pattern_[at_ + 1] == 'p' ? *classes : ~*classes;
    at_ = close + 1;
    return {};
  }

  Status Repetition() {
    if (Sees("{")) {
      const size_t close = pattern_.find('}', at_);
      if (close == std::string_view::npos) return Refuse("this repetition");
      const std::string_view body = pattern_.substr(at_ + 1, close - at_ - 1);
      const size_t comma = std::min(body.find(','), body.size());
      const std::string_view low = body.substr(0, comma);
      const std::string_view high = body.substr(std::min(comma + 1, body.size()));
      const auto is_count = [](std::string_view text) {
        return text.size() <= 3 && std::ranges::all_of(text, IsDigit);
      };
      if (low.empty() || !is_count(low) || !is_count(high)) return Refuse("this repetition");
      out_ += pattern_.substr(at_, close + 1 - at_);
      at_ = close + 1;
      previous_letter_.reset();
    } else if (Sees("?") || Sees("*") || Sees("+")) {
      out_ += pattern_[at_++];
      if (Sees("?") || Sees("+")) out_ += pattern_[at_++];  // as few as possible; without giving back
      previous_letter_.reset();
    }
    if (Sees("?") || Sees("*") || Sees("+") || Sees("{")) return Refuse("this repetition");
    return {};
  }

  Status Emit(const ClassSet& set) {
    if (set.none()) return Refuse("a set that nothing is in");
    out_ += '[';
    for (size_t first = 0; first < set.size(); ++first) {
      if (!set[first]) continue;
      size_t last = first;
      while (last + 1 < set.size() && set[last + 1]) ++last;
      out_ += fmt::format("\\x{:02x}", first);
      if (last > first) out_ += fmt::format("-\\x{:02x}", last);
      first = last;
    }
    out_ += ']';
    return {};
  }

  std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
  std::optional<char> previous_letter_;  // the literal just before, if nothing stands between
};

}  // namespace

Result<std::string> TranslateSplitPattern(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace qnext
