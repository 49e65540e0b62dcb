#include "bench/workload.h"

#include "base/check.h"

namespace qnext {
namespace {

// Numbers of runs and text have no common factor in practice, so that starts stay distinct for many runs.
constexpr int64_t kStartStep = 37;

}  // namespace

Workload QuickWorkload(int repetitions) {
  return {.name = "quick",
          .warmups = 1,
          .repetitions = repetitions,
          .cases = {{.prompt_tokens = 50, .output_tokens = 100}, {.prompt_tokens = 200, .output_tokens = 100}}};
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

std::vector<int32_t> MakePrompt(const std::vector<int32_t>& text, int64_t tokens, int64_t run) {
  QNEXT_CHECK(!text.empty(), "a prompt is made of a text");
  std::vector<int32_t> prompt;
  prompt.reserve(static_cast<size_t>(tokens));
  const size_t start = static_cast<size_t>(run * kStartStep);
  for (size_t i = 0; i < static_cast<size_t>(tokens); ++i) prompt.push_back(text[(start + i) % text.size()]);
  return prompt;
}

}  // namespace qnext
