// From the arrival times of a stream's pieces to the figures of a run.
//
// Tokens are counted by the server (usage), never by pieces: a piece may hold several tokens, and a token may come
// without a piece. Where the server says after each piece how many tokens there were (a running usage), that is used;
// where it does not, they are spread over the pieces as evenly as whole numbers allow.
//
// A piece of k tokens that came g after the one before counts as k times of g/k each, and the tokens of the first piece
// all come at the first token's time. So
//
//   decode tokens/s = (tokens - tokens of the first piece) / (last piece - first piece)
//
// which with one token a piece is the definition of metrics/timeline.h.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "bench/target.h"
#include "metrics/timeline.h"

namespace qnext {

struct StreamPiece {
  SteadyTime time;
  std::optional<int64_t> tokens_so_far;  // where the server says it
};

struct StreamUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// `pieces` are those that had text, in order. kCorrupt where they and the usage cannot be true together.
Result<RunSample> TimeStream(SteadyTime sent, const std::vector<StreamPiece>& pieces, const StreamUsage& usage);

}  // namespace qnext
