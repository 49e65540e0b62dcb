#include "text/jinja/text_split.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

constexpr Int kAll = std::numeric_limits<int64_t>::max();

std::vector<char32_t> CodePoints(std::string_view text) {
  std::vector<char32_t> points;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    points.push_back(c.value);
    at += c.size;
  }
  std::sort(points.begin(), points.end());
  return points;
}

// The start of the character that ends before `end`.
size_t CharBefore(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

// The places of at most `most` separators, left to right, none overlapping; counted from the right end if asked, which
// can find others.
std::vector<size_t> FindAll(std::string_view text, std::string_view separator, Int most, bool from_right) {
  std::vector<size_t> places;
  if (!from_right) {
    for (size_t at = FindBytes(text, separator, 0); at != std::string_view::npos && most > 0;
         at = FindBytes(text, separator, at + separator.size())) {
      places.push_back(at);
      --most;
    }
    return places;
  }
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  places = FindAll(reversed_text, reversed_separator, most, /*from_right=*/false);
  for (size_t& place : places) place = text.size() - place - separator.size();
  std::reverse(places.begin(), places.end());
  return places;
}

// How many splits to make: what is asked for, but no more than shows that there are too many.
Int SplitsToMake(const Runtime& rt, Int asked) {
  return asked < 0 ? rt.max_items() + 1 : std::min(asked, rt.max_items() + 1);
}

std::vector<std::string_view> Checked(const Runtime& rt, std::vector<std::string_view> pieces) {
  rt.CheckItems(static_cast<Int>(pieces.size()));
  return pieces;
}

std::vector<std::string_view> SplitAtSpaceFromRight(std::string_view text, Int most) {
  std::vector<std::string_view> pieces;
  std::string_view rest = StripRight(text);
  while (!rest.empty()) {
    if (most-- == 0) {
      pieces.push_back(rest);
      break;
    }
    size_t start = rest.size();
    while (start > 0 && !IsSpace(DecodeAt(rest, CharBefore(rest, start)).value)) start = CharBefore(rest, start);
    pieces.push_back(rest.substr(start));
    rest = StripRight(rest.substr(0, start));
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

std::vector<std::string_view> SplitAt(Runtime& rt, std::string_view text, std::string_view separator, Int most,
                                      bool from_right) {
  const std::vector<size_t> places = FindAll(text, separator, SplitsToMake(rt, most), from_right);
  std::vector<std::string_view> pieces;
  size_t start = 0;
  for (const size_t place : places) {
    pieces.push_back(text.substr(start, place - start));
    start = place + separator.size();
  }
  pieces.push_back(text.substr(start));
  return Checked(rt, std::move(pieces));
}

std::vector<std::string_view> SplitAtSpace(Runtime& rt, std::string_view text, Int most, bool from_right) {
  most = SplitsToMake(rt, most);
  if (from_right) return Checked(rt, SplitAtSpaceFromRight(text, most));
  std::vector<std::string_view> pieces;
  std::string_view rest = StripLeft(text);
  while (!rest.empty()) {
    if (most-- == 0) {
      pieces.push_back(rest);
      break;
    }
    size_t end = 0;
    while (end < rest.size()) {
      const Decoded c = DecodeAt(rest, end);
      if (IsSpace(c.value)) break;
      end += c.size;
    }
    pieces.push_back(rest.substr(0, end));
    rest = StripLeft(rest.substr(end));
  }
  return Checked(rt, std::move(pieces));
}

std::vector<std::string_view> SplitLines(Runtime& rt, std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    const size_t content_end = at;
    at += c.size;
    if (!IsLineBreak(c.value)) continue;
    if (c.value == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(start, (keep_ends ? at : content_end) - start));
    start = at;
    if (static_cast<Int>(lines.size()) > rt.max_items()) break;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return Checked(rt, std::move(lines));
}

std::string_view StripChars(std::string_view text, std::string_view chars, bool left, bool right) {
  const std::vector<char32_t> set = CodePoints(chars);
  const auto in_set = [&set](char32_t c) { return std::binary_search(set.begin(), set.end(), c); };
  size_t start = 0;
  while (left && start < text.size()) {
    const Decoded c = DecodeAt(text, start);
    if (!in_set(c.value)) break;
    start += c.size;
  }
  size_t end = text.size();
  while (right && end > start) {
    const size_t before = CharBefore(text, end);
    if (!in_set(DecodeAt(text, before).value)) break;
    end = before;
  }
  return text.substr(start, end - start);
}

std::string ReplaceText(Runtime& rt, std::string_view text, std::string_view from, std::string_view to, Int most) {
  if (most < 0) most = kAll;
  TextBuilder out(rt);
  if (from.empty()) {
    size_t at = 0;
    while (most-- > 0) {
      rt.Step();
      out.Append(to);
      if (at >= text.size()) return out.Take();
      const size_t size = DecodeAt(text, at).size;
      out.Append(text.substr(at, size));
      at += size;
    }
    out.Append(text.substr(at));
    return out.Take();
  }
  size_t start = 0;
  while (most-- > 0) {
    const size_t at = FindBytes(text, from, start);
    if (at == std::string_view::npos) break;
    rt.Step();
    out.Append(text.substr(start, at - start));
    out.Append(to);
    start = at + from.size();
  }
  out.Append(text.substr(start));
  return out.Take();
}

}  // namespace qnext::jinja
