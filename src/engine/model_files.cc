#include "engine/model_files.h"

#include <filesystem>
#include <utility>

#include "checkpoint/synthetic.h"
#include "checkpoint/synthetic_files.h"

namespace qnext {
namespace {

std::string LastPart(const std::string& folder) {
  return std::filesystem::path(folder + "/").parent_path().filename().string();
}

// A kind keeps its name, a config.json has that of its folder, any other file its own.
std::string SyntheticName(const std::string& kind) {
  const std::filesystem::path path(kind);
  if (!path.has_parent_path()) return "synthetic-" + path.stem().string();
  return "synthetic-" + (path.filename() == "config.json" ? path.parent_path().filename() : path.stem()).string();
}

Result<ModelFiles> FromFolder(const std::string& folder, const std::string& chat_template_path) {
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(folder));
  QNEXT_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(folder + "/tokenizer.json"));
  QNEXT_ASSIGN_OR_RETURN(GenerationDefaults defaults, LoadGenerationDefaults(folder));
  Result<ChatFormat> chat = ChatFormat::Load(folder, chat_template_path, tokenizer);
  return ModelFiles{.name = LastPart(folder),
                    .source = folder,
                    .config = std::move(config),
                    .tokenizer = std::move(tokenizer),
                    .defaults = std::move(defaults),
                    .chat = std::move(chat)};
}

Result<ModelFiles> MakeSynthetic(const std::string& kind, const std::string& chat_template_path) {
  QNEXT_ASSIGN_OR_RETURN(const SyntheticKind found, FindSyntheticKind(kind));
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, SyntheticConfig(found));
  QNEXT_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Parse(SyntheticTokenizerJson(), kind));
  QNEXT_ASSIGN_OR_RETURN(GenerationDefaults defaults, ParseGenerationDefaults(SyntheticGenerationConfigJson(), kind));
  Result<ChatFormat> chat = ChatFormat::FromText(SyntheticTokenizerConfigJson(), kind, chat_template_path, tokenizer);
  return ModelFiles{.name = SyntheticName(kind),
                    .source = kind,
                    .config = std::move(config),
                    .tokenizer = std::move(tokenizer),
                    .defaults = std::move(defaults),
                    .chat = std::move(chat)};
}

}  // namespace

Result<ModelFiles> LoadModelFiles(const ModelLoadOptions& options, const std::string& chat_template_path) {
  if (!options.synthetic.empty()) return MakeSynthetic(options.synthetic, chat_template_path);
  return FromFolder(options.folder, chat_template_path);
}

Result<ModelConfig> LoadConfig(const ModelLoadOptions& options) {
  if (options.synthetic.empty()) return LoadModelConfig(options.folder);
  QNEXT_ASSIGN_OR_RETURN(const SyntheticKind kind, FindSyntheticKind(options.synthetic));
  return SyntheticConfig(kind);
}

}  // namespace qnext
