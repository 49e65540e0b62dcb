// For the tests of this folder: the tiny checkpoint on a GPU.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compare.h"
#include "gpu_test.h"
#include "model/cuda/cuda_model.h"
#include "model/testing.h"

namespace qnext::cuda {

struct OnGpu {
  std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(4);
  std::unique_ptr<CudaModel> model;

  OnGpu(const TensorSource& source, const ModelConfig& config, CudaModelOptions options, const GpuInfo& gpu) {
    options.kernels = &BestKernels();
    Result<std::unique_ptr<CudaModel>> loaded = CudaModel::Load(source, config, options, gpu, *pool);
    QNEXT_CHECK(loaded.ok(), loaded.status().message().c_str());
    model = std::move(loaded).value();
  }
  static OnGpu Tiny(const CudaModelOptions& options, const GpuInfo& gpu) {
    const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
    return {CheckpointSource(checkpoint), LoadModelConfig(kTiny).value(), options, gpu};
  }

  size_t vocab() const { return static_cast<size_t>(model->config().vocab_size); }

  void Reset(int64_t slot = 0) { Must(model->Reset(slot)); }

  // Logits [T, V] of ids on an empty slot, fed in pieces of `piece` tokens (0: all at once).
  std::vector<float> Logits(const std::vector<int32_t>& ids, size_t piece = 0, int64_t slot = 0) {
    Reset(slot);
    std::vector<float> logits(ids.size() * vocab());
    const size_t step = piece == 0 ? ids.size() : piece;
    for (size_t at = 0; at < ids.size(); at += step) {
      const size_t n = std::min(step, ids.size() - at);
      Must(model->Forward(slot, {ids.data() + at, n},
                          {.logits = logits.data() + at * vocab(), .logit_rows = static_cast<int64_t>(n)}));
    }
    return logits;
  }

  // Logits of the last of `ids`, appended to a slot by a prefill.
  std::vector<float> Append(const std::vector<int32_t>& ids, int64_t slot = 0) {
    std::vector<float> logits(vocab());
    Must(model->Forward(slot, ids, {.logits = logits.data(), .logit_rows = 1}));
    return logits;
  }

  // Logits of one decode step.
  std::vector<float> Decode(const std::vector<CudaModel::Row>& rows) {
    std::vector<float> logits(rows.size() * vocab());
    Must(model->Decode(rows, logits));
    return logits;
  }

  // Logits [T, V] of ids on an empty slot, one decode step each but for the first `prompt`.
  std::vector<float> DecodeLogits(const std::vector<int32_t>& ids, size_t prompt, int64_t slot = 0) {
    std::vector<float> logits = Logits({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(prompt)}, 0, slot);
    for (size_t i = prompt; i < ids.size(); ++i) {
      const std::vector<float> row = Decode({{.slot = slot, .id = ids[i]}});
      logits.insert(logits.end(), row.begin(), row.end());
    }
    return logits;
  }

  static void Must(const Status& status) { QNEXT_CHECK(status.ok(), status.message().c_str()); }
};

// Everything that a Forward can give back.
struct AllOutputs {
  std::vector<float> logits, hidden, weights;
  std::vector<int32_t> experts;

  AllOutputs(const ModelConfig& c, size_t tokens)
      : logits(tokens * static_cast<size_t>(c.vocab_size)),
        hidden(static_cast<size_t>(c.num_layers + 1) * tokens * static_cast<size_t>(c.hidden_size)),
        weights(MoeLayers(c) * tokens * static_cast<size_t>(c.num_experts_per_token)),
        experts(weights.size()) {}

  ForwardOutputs Ask(size_t tokens) {
    return {.logits = logits.data(),
            .logit_rows = static_cast<int64_t>(tokens),
            .hidden_states = hidden.data(),
            .experts = experts.data(),
            .expert_weights = weights.data()};
  }

  static size_t MoeLayers(const ModelConfig& c) {
    return static_cast<size_t>(std::ranges::count(c.layer_is_moe, true));
  }
};

// The inputs of each layer [layers, T, D]: all hidden states but the last.
inline std::vector<float> LayerInputs(const ModelConfig& c, const AllOutputs& outputs, size_t tokens) {
  const auto floats = c.num_layers * c.hidden_size * static_cast<int64_t>(tokens);
  return {outputs.hidden.begin(), outputs.hidden.begin() + floats};
}

// What each layer adds to its input, when inputs and experts are forced: ‖actual − expected‖ / ‖expected‖ of that.
inline void ExpectLayersWithin(const ModelConfig& c, const std::vector<float>& inputs, const std::vector<float>& actual,
                               const std::vector<float>& expected, size_t tokens, double limit) {
  const size_t size = tokens * static_cast<size_t>(c.hidden_size);
  for (size_t layer = 0; layer + 1 < static_cast<size_t>(c.num_layers); ++layer) {  // the last is behind the final norm
    std::vector<float> mine(size), theirs(size);
    for (size_t i = 0; i < size; ++i) {
      mine[i] = actual[(layer + 1) * size + i] - inputs[layer * size + i];
      theirs[i] = expected[(layer + 1) * size + i] - inputs[layer * size + i];
    }
    EXPECT_TRUE(RelativeErrorWithin(mine, theirs, limit)) << "layer " << layer;
  }
  const size_t last = static_cast<size_t>(c.num_layers) * size;
  EXPECT_TRUE(
      RelativeErrorWithin(std::span(actual).subspan(last, size), std::span(expected).subspan(last, size), limit))
      << "final norm";
}

}  // namespace qnext::cuda
