// Engine::Load stands apart, so that a program that brings its own parts links no model.
#include <chrono>
#include <filesystem>
#include <utility>

#include "engine/engine.h"

namespace qnext {

Result<std::unique_ptr<Engine>> Engine::Load(const EngineOptions& options, const LoadProgressCallback& progress) {
  const SteadyTime start = std::chrono::steady_clock::now();
  const std::string& folder = options.load.folder;
  QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  QNEXT_ASSIGN_OR_RETURN(const int64_t context, ChooseContext(options.context, config));
  QNEXT_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(folder + "/tokenizer.json"));
  Result<std::vector<int32_t>> eos_ids = CheckVocabulary(config, tokenizer.vocab_end());
  if (!eos_ids.ok()) return eos_ids.status().WithContext(folder);
  QNEXT_ASSIGN_OR_RETURN(GenerationDefaults defaults, LoadGenerationDefaults(folder));
  Result<ChatFormat> chat = ChatFormat::Load(folder, options.chat_template_path, tokenizer);
  // A template that was asked for by name must work; the checkpoint's own is needed by chats only.
  if (!chat.ok() && !options.chat_template_path.empty()) return chat.status();

  const SequenceLimits limits{.context = context, .vocab_end = tokenizer.vocab_end()};
  QNEXT_ASSIGN_OR_RETURN(LoadedLanguageModel loaded, LoadLanguageModel(options.load, config, limits, progress));
  EngineInfo info{.model_name = std::filesystem::path(folder + "/").parent_path().filename().string(),
                  .kernels = std::move(loaded.info.kernels),
                  .threads = loaded.info.threads,
                  .weight_bytes = loaded.info.weight_bytes,
                  .load_seconds = 0,
                  .device = std::move(loaded.info.device),
                  .gpu = std::move(loaded.info.gpu),
                  .fallback = std::move(loaded.info.fallback),
                  .vram_bytes = loaded.info.vram_bytes};
  info.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::make_unique<Engine>(EngineParts{.model = std::move(loaded.model),
                                              .tokenizer = std::move(tokenizer),
                                              .chat = std::move(chat),
                                              .eos_ids = std::move(eos_ids).value(),
                                              .defaults = std::move(defaults),
                                              .info = std::move(info)});
}

}  // namespace qnext
