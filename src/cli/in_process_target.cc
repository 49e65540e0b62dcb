#include "cli/in_process_target.h"

namespace qnext {

InProcessTarget::InProcessTarget(Engine& engine) : engine_(engine), text_(engine.tokenizer().Encode(BenchmarkText())) {}

Result<RunSample> InProcessTarget::Run(const WorkloadCase& work, int64_t run) {
  Request request;
  request.prompt_ids = MakePrompt(text_, work.prompt_tokens, run);
  request.max_tokens = work.output_tokens;
  request.ignore_eos = true;
  request.sampling.temperature = 0.7;
  request.sampling.top_k = 20;
  request.sampling.top_p = 0.8;
  request.sampling.seed = static_cast<uint64_t>(run);
  QNEXT_ASSIGN_OR_RETURN(const GenerationResult result, engine_.Generate(request));
  return RunSample{.summary = result.timeline.Summarize(), .inter_token_seconds = result.timeline.InterTokenSeconds()};
}

}  // namespace qnext
