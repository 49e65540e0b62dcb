// Tokens that are looked for in the text itself, before it is cut or merged.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qnext {

struct AddedToken {
  int32_t id = 0;
  std::string content;  // not empty
  bool special = false;
};

// Immutable; thread-safe.
class AddedTokens {
 public:
  struct Match {
    size_t begin;
    size_t end;
    int32_t id;
  };

  // Ids and contents must be distinct.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // The first occurrence of any token at or after `from`, the longest of those that begin there.
  std::optional<Match> Find(std::string_view text, size_t from) const;

  const AddedToken* ById(int32_t id) const;  // nullptr if there is none
  std::optional<int32_t> ByContent(std::string_view content) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  static constexpr int32_t kNone = -1;

  size_t NextCandidate(std::string_view text, size_t from) const;
  std::optional<Match> LongestAt(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> index_by_id_;
  // A trie: node 0 is its root, edges_[node << 8 | byte] the node that the byte leads to.
  std::unordered_map<uint64_t, uint64_t> edges_;
  std::vector<int32_t> token_at_;  // by node: the id of the token that ends there, or kNone
  std::array<bool, 256> begins_{};
  std::optional<char> only_first_;  // if all tokens begin with one byte
};

}  // namespace qnext
