#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

namespace qnext {
namespace {

uint64_t EdgeKey(uint64_t node, char byte) { return node << 8 | static_cast<unsigned char>(byte); }

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), token_at_{kNone} {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    index_by_id_.emplace(token.id, i);
    begins_[static_cast<unsigned char>(token.content.front())] = true;
    uint64_t node = 0;
    for (const char byte : token.content) {
      const auto [edge, is_new] = edges_.try_emplace(EdgeKey(node, byte), token_at_.size());
      if (is_new) token_at_.push_back(kNone);
      node = edge->second;
    }
    token_at_[node] = token.id;
  }
  if (std::ranges::count(begins_, true) == 1) only_first_ = tokens_.front().content.front();
}

size_t AddedTokens::NextCandidate(std::string_view text, size_t from) const {
  if (only_first_) return std::min(text.find(*only_first_, from), text.size());
  while (from < text.size() && !begins_[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

std::optional<AddedTokens::Match> AddedTokens::LongestAt(std::string_view text, size_t begin) const {
  std::optional<Match> longest;
  uint64_t node = 0;
  for (size_t at = begin; at < text.size(); ++at) {
    const auto edge = edges_.find(EdgeKey(node, text[at]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (token_at_[node] != kNone) longest = {begin, at + 1, token_at_[node]};
  }
  return longest;
}

std::optional<AddedTokens::Match> AddedTokens::Find(std::string_view text, size_t from) const {
  if (tokens_.empty()) return std::nullopt;
  for (size_t at = NextCandidate(text, from); at < text.size(); at = NextCandidate(text, at + 1)) {
    if (auto match = LongestAt(text, at)) return match;
  }
  return std::nullopt;
}

const AddedToken* AddedTokens::ById(int32_t id) const {
  const auto found = index_by_id_.find(id);
  return found == index_by_id_.end() ? nullptr : &tokens_[found->second];
}

std::optional<int32_t> AddedTokens::ByContent(std::string_view content) const {
  if (content.empty()) return std::nullopt;
  const auto match = LongestAt(content, 0);
  if (!match || match->end != content.size()) return std::nullopt;
  return match->id;
}

}  // namespace qnext
