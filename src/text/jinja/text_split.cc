#include "text/jinja/text_split.h"

#include <algorithm>
#include <limits>

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

// The places of all separators, left to right, none overlapping; found from the right end if asked, which can differ.
std::vector<size_t> FindAll(std::string_view text, std::string_view separator, bool from_right) {
  std::vector<size_t> places;
  if (!from_right) {
    for (size_t at = FindBytes(text, separator, 0); at != std::string_view::npos;
         at = FindBytes(text, separator, at + separator.size())) {
      places.push_back(at);
    }
    return places;
  }
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  places = FindAll(reversed_text, reversed_separator, /*from_right=*/false);
  for (size_t& place : places) place = text.size() - place - separator.size();
  std::reverse(places.begin(), places.end());
  return places;
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

std::vector<std::string_view> SplitAt(std::string_view text, std::string_view separator, Int most, bool from_right) {
  std::vector<size_t> places = FindAll(text, separator, from_right);
  if (most >= 0 && most < static_cast<Int>(places.size())) {
    const auto kept = static_cast<std::ptrdiff_t>(most);
    if (from_right) {
      places.erase(places.begin(), places.end() - kept);
    } else {
      places.resize(static_cast<size_t>(most));
    }
  }
  std::vector<std::string_view> pieces;
  size_t start = 0;
  for (const size_t place : places) {
    pieces.push_back(text.substr(start, place - start));
    start = place + separator.size();
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

std::vector<std::string_view> SplitAtSpace(std::string_view text, Int most, bool from_right) {
  if (most < 0) most = kAll;
  if (from_right) return SplitAtSpaceFromRight(text, most);
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
  return pieces;
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
