#include "bench/workload.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace qnext {
namespace {

constexpr std::array<int64_t, 4> kPrompts = {50, 200, 500, 1000};
constexpr std::array<int64_t, 8> kContexts = {2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144};
constexpr int64_t kShortContext = 8192;  // contexts up to here are asked of everyone
constexpr int64_t kOutput = 100;
constexpr int64_t kWarmUps = 10;

// Single ids at the beginning of a prompt; the least and the most ids of a piece of text.
constexpr size_t kSingleIds = 8;
constexpr uint64_t kLeastPiece = 16, kMostPiece = 64;

WorkloadCase Filling(int64_t context) { return {.prompt_tokens = context - kOutput, .output_tokens = kOutput}; }

}  // namespace

std::string_view CellKindName(CellKind kind) {
  switch (kind) {
    case CellKind::kGrid:
      return "grid";
    case CellKind::kContext:
      return "context";
    case CellKind::kStress:
      return "stress";
    case CellKind::kMemory:
      return "memory";
  }
  QNEXT_CHECK(false, "a kind of cell");
}

int64_t Workload::runs() const {
  int64_t sum = warm_ups;
  for (const PlannedCell& cell : cells) sum += cell.runs;
  return sum;
}

Workload QuickWorkload(int64_t runs) {
  Workload workload{.name = "quick", .warm_ups = 1, .every_cell_once = true};
  for (const int64_t prompt : {50, 200}) {
    workload.cells.push_back({.work = {.prompt_tokens = prompt, .output_tokens = kOutput}, .runs = runs});
  }
  return workload;
}

Workload StandardWorkload(int64_t runs) {
  Workload workload{.name = "standard", .warm_ups = kWarmUps};
  int tier = 0;
  const auto add_outputs = [&](int64_t output) {
    for (const int64_t prompt : kPrompts) {
      workload.cells.push_back({.kind = CellKind::kGrid,
                                .work = {.prompt_tokens = prompt, .output_tokens = output},
                                .runs = runs,
                                .tier = tier});
    }
    ++tier;
  };
  const auto add_contexts = [&](int64_t above, int64_t up_to) {
    for (const int64_t context : kContexts) {
      if (context <= above || context > up_to) continue;
      workload.cells.push_back({.kind = CellKind::kContext, .work = Filling(context), .runs = runs, .tier = tier});
    }
    ++tier;
  };
  add_outputs(100);
  add_contexts(0, kShortContext);
  add_outputs(500);
  add_contexts(kShortContext, kContexts.back());
  add_outputs(1000);
  return workload;
}

Workload StressWorkload(int64_t rounds) {
  Workload workload{.name = "stress", .warm_ups = 1, .endless = rounds == 0};
  for (const int64_t prompt : kPrompts) {
    workload.cells.push_back(
        {.kind = CellKind::kStress, .work = {.prompt_tokens = prompt, .output_tokens = kOutput}, .runs = rounds});
  }
  return workload;
}

Workload MemoryWorkload(int64_t runs) {
  Workload workload{.name = "memory", .warm_ups = 1};
  // Each size before the next larger: what is measured of memory is its growth.
  const auto add = [&](const WorkloadCase& work) {
    workload.cells.push_back(
        {.kind = CellKind::kMemory, .work = work, .runs = runs, .tier = static_cast<int>(workload.cells.size())});
  };
  for (const int64_t prompt : kPrompts) add({.prompt_tokens = prompt, .output_tokens = kOutput});
  for (const int64_t context : kContexts) add(Filling(context));
  return workload;
}

std::string_view BenchmarkText() {
  return "The harbour lay quiet under a thin layer of fog, and the first ferry of the morning had not yet sounded its "
         "horn. On the quay an old man was mending a net, as he had done every day for forty years, and beside him a "
         "child counted the boats: three with red hulls, two with blue, and one so weathered that nobody could say "
         "what colour it had been. The child asked why the grey boat never left. The man put down his needle and "
         "thought for a while. It had belonged, he said, to a teacher who measured the tides, wrote the height of the "
         "water into a book at every full moon, and found after eleven years that the sea had risen by the width of a "
         "thumb. Nobody in the town believed her. They pointed at the steps of the church, which were as dry as ever, "
         "and at the storehouse, where salt and rope and barrels of oil stood in the same places as before. So she "
         "painted a line on the harbour wall, bright yellow, a hand above the highest tide that anyone remembered, and "
         "went away to the city to teach arithmetic. The line is still there. In winter, when the wind comes from the "
         "north, the water touches it, and the people who walk along the quay on those evenings look at the wall, then "
         "at each other, and talk about the price of fish, the new road through the valley, the school that needs a "
         "roof, or anything else. The child looked at the yellow line for a long time. Then the ferry came out of the "
         "fog, with all its lamps lit, and there were ropes to catch and crates to carry, forty of them: apples, "
         "paper, window glass wrapped in straw, two bicycles, and a box of books with the teacher's name on its lid. ";
}

std::vector<int32_t> MakePrompt(const std::vector<int32_t>& text, int64_t tokens, Random random) {
  QNEXT_CHECK(!text.empty(), "a prompt is made of a text");
  const auto wanted = static_cast<size_t>(tokens);
  std::vector<int32_t> prompt;
  prompt.reserve(wanted);
  while (prompt.size() < std::min(wanted, kSingleIds)) prompt.push_back(text[random.Below(text.size())]);
  while (prompt.size() < wanted) {
    const size_t start = random.Below(text.size());
    const size_t length = kLeastPiece + random.Below(kMostPiece - kLeastPiece + 1);
    for (size_t i = 0; i < length && prompt.size() < wanted; ++i) {
      prompt.push_back(text[(start + i) % text.size()]);
    }
  }
  return prompt;
}

}  // namespace qnext
