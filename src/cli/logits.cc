// qnext logits: one pass of the model over given tokens, everything in it written out, to be held against another
// implementation. For verification; hidden from --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "cli/command.h"
#include "cli/logits_input.h"
#include "cli/model_options.h"
#include "cli/option_errors.h"
#include "cli/result_file.h"
#include "cli/safetensors_writer.h"
#include "engine/model_files.h"
#include "engine/model_loader.h"

namespace qnext {
namespace {

struct LogitsOptions {
  ModelFlags model;
  std::string ids, ids_file;
  std::string experts_file;
  std::string layer_inputs_file;
  std::optional<int64_t> block_tokens;
  bool recurrent = false;
  std::string out;
};

// Everything that a Forward can give back for T tokens.
struct Outputs {
  Outputs(const ModelConfig& config, int64_t tokens)
      : logits_shape{tokens, config.vocab_size},
        hidden_shape{config.num_layers + 1, tokens, config.hidden_size},
        experts_shape{std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true), tokens,
                      config.num_experts_per_token},
        logits(Size(logits_shape)),
        hidden_states(Size(hidden_shape)),
        experts(Size(experts_shape)),
        expert_weights(Size(experts_shape)) {}

  static size_t Size(const Shape& shape) { return static_cast<size_t>(shape.Elements().value()); }

  std::vector<TensorToWrite> Tensors() const {
    return {
        {.name = "logits", .dtype = DType::kF32, .shape = logits_shape, .bytes = std::as_bytes(std::span(logits))},
        {.name = "hidden_states",
         .dtype = DType::kF32,
         .shape = hidden_shape,
         .bytes = std::as_bytes(std::span(hidden_states))},
        {.name = "experts", .dtype = DType::kI32, .shape = experts_shape, .bytes = std::as_bytes(std::span(experts))},
        {.name = "expert_weights",
         .dtype = DType::kF32,
         .shape = experts_shape,
         .bytes = std::as_bytes(std::span(expert_weights))}};
  }

  Shape logits_shape;   // [T, V]
  Shape hidden_shape;   // [layers + 1, T, D]
  Shape experts_shape;  // [moe layers, T, top]
  std::vector<float> logits, hidden_states;
  std::vector<int32_t> experts;
  std::vector<float> expert_weights;
};

class LogitsCommand : public Command {
 public:
  const char* name() const override { return "logits"; }
  const char* summary() const override { return "Write logits and inner states of one pass, for verification."; }
  bool hidden() const override { return true; }

  void AddOptions(CLI::App& app) override {
    app.add_option("--ids", options_.ids, "token ids, separated by commas")->type_name("1,2,3");
    app.add_option("--ids-file", options_.ids_file, "the ids from a JSON array instead")->type_name("FILE");
    app.add_option("--experts", options_.experts_file,
                   "JSON array [MoE layer][token][top] of experts that replaces the routers' choice")
        ->type_name("FILE");
    app.add_option("--layer-inputs", options_.layer_inputs_file,
                   "safetensors file whose layer_inputs [layers, T, D] (F32) replace the input of each layer")
        ->type_name("FILE");
    app.add_option("--block-tokens", options_.block_tokens,
                   "tokens that run through a layer together; default 512, on a GPU 4096")
        ->type_name("N");
    app.add_flag("--recurrent", options_.recurrent, "run the DeltaNet recurrence instead of its chunked form");
    app.add_option("--out", options_.out, "the safetensors file to write (required)")->type_name("FILE");
    AddModelOptions(app, options_.model);
  }

  Status Check() override {
    if (options_.ids.empty() == options_.ids_file.empty()) {
      return InvalidArgument("--ids or --ids-file: exactly one of them is needed");
    }
    if (options_.out.empty()) return InvalidArgument("--out: a file to write is needed");
    if (options_.block_tokens && *options_.block_tokens < 1)
      return InvalidArgument("--block-tokens: must be at least 1");
    QNEXT_RETURN_IF_ERROR(CheckModelFlags(options_.model));
    KeptFiles kept = FilesRead(options_.model);
    kept.files.insert(kept.files.end(), {{"--ids-file", options_.ids_file},
                                         {"--experts", options_.experts_file},
                                         {"--layer-inputs", options_.layer_inputs_file}});
    return CheckApart("--out", options_.out, kept);
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                           options_.ids_file.empty() ? ParseIds(options_.ids, "--ids") : ReadIds(options_.ids_file));
    QNEXT_ASSIGN_OR_RETURN(ModelLoadOptions load, ToLoadOptions(options_.model));
    QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadConfig(load));
    QNEXT_RETURN_IF_ERROR(CheckIds(ids, config));
    const int64_t tokens = static_cast<int64_t>(ids.size());
    std::vector<int32_t> forced_experts;
    if (!options_.experts_file.empty()) {
      QNEXT_ASSIGN_OR_RETURN(forced_experts, ReadExperts(options_.experts_file, config, tokens));
    }
    std::vector<float> forced_inputs;
    if (!options_.layer_inputs_file.empty()) {
      QNEXT_ASSIGN_OR_RETURN(forced_inputs, ReadLayerInputs(options_.layer_inputs_file, config, tokens));
    }

    load.block_tokens = options_.block_tokens;
    load.model.chunked_delta_net = !options_.recurrent;
    const Result<LoadedLanguageModel> loaded =
        LoadLanguageModel(load, config, {.context = tokens, .vocab_end = 0}, nullptr);
    if (!loaded.ok()) return InOptionTerms(loaded.status());
    Outputs out(config, tokens);
    const ForwardOutputs outputs{.logits = out.logits.data(),
                                 .logit_rows = tokens,
                                 .hidden_states = out.hidden_states.data(),
                                 .experts = out.experts.data(),
                                 .expert_weights = out.expert_weights.data(),
                                 .forced_experts = forced_experts.empty() ? nullptr : forced_experts.data(),
                                 .forced_inputs = forced_inputs.empty() ? nullptr : forced_inputs.data()};
    QNEXT_RETURN_IF_ERROR(loaded->model->ForwardAll(ids, outputs));
    return WriteSafetensors(options_.out, out.Tensors());
  }

 private:
  LogitsOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeLogitsCommand() { return std::make_unique<LogitsCommand>(); }

}  // namespace qnext
