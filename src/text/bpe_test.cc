#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "text/byte_level.h"

namespace qnext {
namespace {

std::vector<std::string> ByteSpellings() {
  std::vector<std::string> pieces;
  pieces.reserve(256);
  for (int byte = 0; byte < 256; ++byte) pieces.push_back(SpellBytes(std::string(1, static_cast<char>(byte))));
  return pieces;
}

// Merges between random neighbours out of the pieces so far: many of them overlap and few are ever reached.
BpeSpec RandomSpec(std::mt19937* random) {
  BpeSpec spec{.pieces = ByteSpellings()};
  std::vector<std::string> known = {"a", "b", "c"};
  while (known.size() < 60) {
    const std::string left = known[(*random)() % known.size()];
    const std::string right = known[(*random)() % known.size()];
    if (std::ranges::find(known, left + right) != known.end() || left.size() + right.size() > 12) continue;
    known.push_back(left + right);
    spec.pieces.push_back(left + right);
    spec.merges.emplace_back(left, right);
  }
  std::ranges::shuffle(spec.merges, *random);
  return spec;
}

// The rule, said as plainly as possible: again and again the lowest rank there is, the leftmost of those.
std::vector<int32_t> MergePlainly(const BpeSpec& spec, const std::string& piece) {
  std::map<std::pair<std::string, std::string>, size_t> rank_of;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) rank_of.emplace(spec.merges[rank], rank);
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  while (true) {
    size_t best_rank = SIZE_MAX;
    size_t best = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = rank_of.find({parts[i], parts[i + 1]});
      if (found == rank_of.end() || found->second >= best_rank) continue;
      best_rank = found->second;
      best = i;
    }
    if (best_rank == SIZE_MAX) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  std::vector<int32_t> ids;
  ids.reserve(parts.size());
  for (const std::string& part : parts) {
    ids.push_back(static_cast<int32_t>(std::ranges::find(spec.pieces, part) - spec.pieces.begin()));
  }
  return ids;
}

TEST(Bpe, MergesLikeThePlainRuleForShortAndLongPieces) {
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    const BpeSpec spec = RandomSpec(&random);
    const Result<Bpe> bpe = Bpe::Create(spec);
    ASSERT_TRUE(bpe.ok()) << bpe.status().message();
    for (const size_t size : {1, 2, 3, 5, 8, 12, 30, 63, 64, 65, 66, 100, 200}) {
      std::string piece;
      while (piece.size() < size) piece += "aaabbc"[random() % 6];
      std::vector<int32_t> ids;
      bpe->Encode(piece, &ids);
      ASSERT_EQ(ids, MergePlainly(spec, piece)) << piece << " in round " << round;
    }
  }
}

TEST(Bpe, AWholeTokenIsTakenOnlyWhereMergesLeadToIt) {
  BpeSpec spec{.pieces = ByteSpellings()};
  for (const char* piece : {"ab", "bc", "abc"}) spec.pieces.emplace_back(piece);
  spec.merges = {{"b", "c"}, {"a", "b"}, {"ab", "c"}};  // "abc" becomes a, bc: nothing makes abc of that
  std::vector<int32_t> ids;
  Bpe::Create(spec)->Encode("abc", &ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'a', 257}));
  ids.clear();
  spec.ignore_merges = true;
  Bpe::Create(spec)->Encode("abc", &ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{258}));
}

TEST(Bpe, MovingKeepsItsBytes) {
  Bpe first = Bpe::Create(BpeSpec{.pieces = ByteSpellings()}).value();
  const Bpe second = std::move(first);
  EXPECT_EQ(second.bytes()[65], "A");
  EXPECT_EQ(second.bytes()[0], std::string_view("\0", 1));
}

TEST(Bpe, LongPiecesTakeNoLongerThanTheyMust) {
  BpeSpec spec{.pieces = ByteSpellings()};
  for (std::string piece = "a"; piece.size() < 64; piece += piece) {
    spec.pieces.push_back(piece + piece);
    spec.merges.emplace_back(piece, piece);
  }
  std::vector<int32_t> ids;
  Bpe::Create(spec)->Encode(std::string((1 << 20) + 3, 'a'), &ids);  // a quadratic way would take minutes
  ASSERT_EQ(ids.size(), (1U << 14) + 2);
  EXPECT_EQ(ids.front(), 261);
  EXPECT_EQ(ids[ids.size() - 2], 256);
  EXPECT_EQ(ids.back(), 'a');
}

TEST(Bpe, RefusesMergesThatLie) {
  BpeSpec spec{.pieces = ByteSpellings()};
  spec.pieces.emplace_back("ab");
  for (const auto& merge : {std::pair{"a", "c"}, std::pair{"zz", "c"}, std::pair{"a", "zz"}}) {
    spec.merges = {{"a", "b"}, merge};
    const Status status = Bpe::Create(spec).status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_TRUE(status.message().starts_with("model.merges: 1: ")) << status.message();
  }
  spec.merges = {{"a", "b"}, {"a", "b"}};
  EXPECT_EQ(Bpe::Create(spec).status().code(), StatusCode::kCorrupt);
  spec.merges = {};
  spec.pieces.erase(spec.pieces.begin() + 7);
  EXPECT_EQ(Bpe::Create(spec).status().message(), "model.vocab: no token for the byte 0x07");
}

TEST(ByteLevel, SpellsEveryByteInItsOwnWay) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(BytesFromSpelling(SpellBytes(all)), all);
  EXPECT_EQ(SpellBytes(" a\n"), "\u0120a\u010A");
  EXPECT_EQ(BytesFromSpelling("a b"), std::nullopt);
  EXPECT_EQ(BytesFromSpelling("天"), std::nullopt);
}

}  // namespace
}  // namespace qnext
