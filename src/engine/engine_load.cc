// Engine::Load stands apart, so that a program that brings its own parts links no model.
#include <chrono>
#include <utility>

#include "engine/engine.h"
#include "engine/model_files.h"

namespace qnext {
Result<std::unique_ptr<Engine>> Engine::Load(const EngineOptions& options, const LoadProgressCallback& progress) {
  const SteadyTime start = std::chrono::steady_clock::now();
  QNEXT_ASSIGN_OR_RETURN(ModelFiles files, LoadModelFiles(options.load, options.chat_template_path));
  QNEXT_ASSIGN_OR_RETURN(const int64_t context, ChooseContext(options.context, files.config));
  Result<std::vector<int32_t>> eos_ids = CheckVocabulary(files.config, files.tokenizer.vocab_end());
  if (!eos_ids.ok()) return eos_ids.status().WithContext(files.source);
  // A template that was asked for by name must work; the checkpoint's own is needed by chats only.
  const bool needed = options.chat == ChatUse::kEverything;
  if (!files.chat.ok() && (needed || !options.chat_template_path.empty())) return files.chat.status();
  if (needed) {
    QNEXT_RETURN_IF_ERROR(files.chat->replaced());
    QNEXT_RETURN_IF_ERROR(files.chat->useless());
  }

  const SequenceLimits limits{.context = context, .vocab_end = files.tokenizer.vocab_end()};
  QNEXT_ASSIGN_OR_RETURN(LoadedLanguageModel loaded, LoadLanguageModel(options.load, files.config, limits, progress));
  EngineInfo info{.model_name = std::move(files.name),
                  .is_the_80b = files.config.IsThe80B(),
                  .synthetic = options.load.synthetic,
                  .simulated_routing = loaded.info.simulated_routing,
                  .kernels = std::move(loaded.info.kernels),
                  .threads = loaded.info.threads,
                  .dense_weights = loaded.info.dense_weights,
                  .weight_bytes = loaded.info.weight_bytes,
                  .load_seconds = 0,
                  .device = std::move(loaded.info.device),
                  .gpu = std::move(loaded.info.gpu),
                  .fallback = std::move(loaded.info.fallback),
                  .vram_bytes = loaded.info.vram_bytes,
                  .memory = std::move(loaded.info.memory),
                  .cached_experts = loaded.info.cached_experts,
                  .warnings = std::move(loaded.info.warnings)};
  info.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::make_unique<Engine>(EngineParts{.model = std::move(loaded.model),
                                              .tokenizer = std::move(files.tokenizer),
                                              .chat = std::move(files.chat),
                                              .eos_ids = std::move(eos_ids).value(),
                                              .defaults = std::move(files.defaults),
                                              .info = std::move(info)});
}

}  // namespace qnext
