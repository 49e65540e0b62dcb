// The place where the model appears once it has been loaded.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "server/backend.h"

namespace qnext::server {

struct LoadProgress {
  std::string stage = "starting";  // for people: "reading experts"
  double fraction = 0;             // [0, 1]
  bool gpu_available = false;
  bool memory_sufficient = true;  // what the plan says; the load has not proved it yet
};

struct ModelState {
  std::shared_ptr<Backend> backend{};  // null until the model answers
  LoadProgress progress{};
  Status failure{};  // not OK: the load has failed for good
};

// Thread-safe.
class ModelSlot {
 public:
  void SetProgress(LoadProgress progress) {
    const std::lock_guard lock(mutex_);
    state_.progress = std::move(progress);
  }
  void Attach(std::shared_ptr<Backend> backend) {
    const std::lock_guard lock(mutex_);
    state_.backend = std::move(backend);
  }
  void Fail(Status failure) {
    const std::lock_guard lock(mutex_);
    state_.failure = std::move(failure);
  }
  ModelState Get() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  mutable std::mutex mutex_;
  ModelState state_;  // guarded by mutex_
};

}  // namespace qnext::server
