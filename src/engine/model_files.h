// The small files of a model: read from its folder, or made for synthetic weights.
#pragma once

#include <string>

#include "base/status.h"
#include "config/model_config.h"
#include "engine/chat_format.h"
#include "engine/model_loader.h"
#include "text/tokenizer.h"

namespace qnext {

struct ModelFiles {
  std::string name;    // the folder's last part, or "synthetic-" and the kind
  std::string source;  // the folder or the kind, for messages
  ModelConfig config;
  Tokenizer tokenizer;
  GenerationDefaults defaults;
  Result<ChatFormat> chat;
};

// `chat_template_path` overrides the template that comes with the model; empty: none.
Result<ModelFiles> LoadModelFiles(const ModelLoadOptions& options, const std::string& chat_template_path);

// The configuration alone.
Result<ModelConfig> LoadConfig(const ModelLoadOptions& options);

}  // namespace qnext
