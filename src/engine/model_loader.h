// From a checkpoint folder, or a kind of synthetic weights, and options to a model that is ready to run on the CPU.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/synthetic.h"
#include "config/model_config.h"
#include "engine/language_model.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/kernels.h"
#include "model/forced_routing.h"
#include "model/model.h"

namespace qnext {

struct ModelLoadOptions {
  std::string folder;
  // Weights made in place instead of a folder: a kind of checkpoint/synthetic.h. Empty: none.
  std::string synthetic;
  uint64_t synthetic_seed = kSyntheticSeed;  // of weights and routing
  Routing routing = Routing::kReal;          // the others are for synthetic weights
  // CPU workers, the calling thread included, and where to pin them. The thread that loads is pinned too: it is the one
  // that should run the model.
  ThreadPoolOptions threads;
  ModelOptions model;
  std::optional<CpuIsa> isa;       // absent: the best that this machine has and that passes its known-answer test
  bool reference_kernels = false;  // the plain scalar kernels instead; for verification, hundreds of times slower
};

using LoadProgressCallback = std::function<void(const LoadProgress&)>;

// A loaded model and the threads that it runs on. One thread at a time.
class LoadedModel {
 public:
  // `config` is that of the same folder or kind.
  static Result<LoadedModel> Load(const ModelLoadOptions& options, const ModelConfig& config,
                                  const LoadProgressCallback& progress);

  Model& model() { return *model_; }
  const Kernels& kernels() const { return *kernels_; }
  int threads() const { return pool_->threads(); }
  const ForcedRouting* routing() const { return routing_.get(); }  // null: the routers decide

 private:
  LoadedModel() = default;

  const Kernels* kernels_ = nullptr;
  std::unique_ptr<ThreadPool> pool_;        // outlives model_
  std::unique_ptr<ForcedRouting> routing_;  // outlives model_
  std::unique_ptr<Model> model_;
};

// The model with one sequence of at most `context` tokens.
std::unique_ptr<LanguageModel> MakeLanguageModel(LoadedModel model, int64_t context);

}  // namespace qnext
