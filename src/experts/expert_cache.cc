#include "experts/expert_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "base/range.h"

namespace qnext {

ExpertCache::ExpertCache(const ExpertCacheOptions& options)
    : options_(options),
      table_(options.layers * options.experts, options.max_slots, options.slots_per_chunk),
      policy_(options.policy, options.layers * options.experts),
      throttle_(options.promotions, options.layers * options.experts),
      victims_(table_, policy_) {
  QNEXT_CHECK(options.max_fetch >= 0 && options.max_uploads >= 0, "counts are not negative");
  const auto ids = static_cast<size_t>(options.layers * options.experts);
  const auto fetch = static_cast<size_t>(options.layers * options.max_fetch);
  published_.assign(ids, -1);
  changed_.assign(ids, 0);
  changed_ids_.reserve(ids);
  changes_.reserve(ids);
  seen_.assign(ids, 0);
  candidates_.reserve(ids);
  fetch_.assign(fetch, -1);
  published_fetch_.assign(fetch, -1);
  fetch_counts_.assign(static_cast<size_t>(options.layers), 0);
  published_counts_ = fetch_counts_;
  pending_.reserve(static_cast<size_t>(options.max_slots));
  batch_.reserve(static_cast<size_t>(options.max_slots));
  // Handed out from the back of the free list: the first chunk first.
  const int64_t mapped = options.mapped_chunks < 0 ? table_.chunks() : options.mapped_chunks;
  QNEXT_CHECK(mapped <= table_.chunks(), "no more than the range has");
  for (int64_t chunk = mapped; chunk-- > 0;) table_.AddChunk(chunk);
}

void ExpertCache::MarkChanged(int32_t id) {
  if (changed_[static_cast<size_t>(id)] != 0) return;
  changed_[static_cast<size_t>(id)] = 1;
  changed_ids_.push_back(id);
}

void ExpertCache::Evict(int32_t slot) {
  MarkChanged(table_.owner(slot));
  throttle_.Left(table_.owner(slot), ended_);
  table_.Retire(slot, begun_, ended_);
  ++stats_.evictions;
}

StepPlacement ExpertCache::BeginStep() {
  QNEXT_CHECK(steps_in_flight() < kMaxStepsInFlight, "steps end in time");
  ++begun_;
  changes_.clear();
  for (const int32_t id : changed_ids_) {
    changed_[static_cast<size_t>(id)] = 0;
    const int32_t slot = table_.ResidentSlot(id);
    if (published_[static_cast<size_t>(id)] == slot) continue;
    published_[static_cast<size_t>(id)] = slot;
    changes_.push_back({.id = id, .slot = slot});
  }
  changed_ids_.clear();
  std::ranges::copy(fetch_, published_fetch_.begin());
  std::ranges::copy(fetch_counts_, published_counts_.begin());
  return {.step = begun_,
          .slot_map = published_,
          .changes = changes_,
          .fetch_slots = published_fetch_,
          .fetch_counts = published_counts_};
}

UploadBatch ExpertCache::EndStep(int64_t step, const StepObservation& observation) {
  QNEXT_CHECK(step == ended_ + 1 && step <= begun_, "steps end in the order in which they began");
  ended_ = step;
  table_.StepEnded(step);
  Touch(step, observation);
  stats_.fetched += static_cast<int64_t>(observation.fetched.size());
  if (begun_ == step) Adopt(step, observation.fetched);
  RefillFetchSlots();
  StartUploads(step, throttle_.EndStep());
  return TakeBatch();
}

void ExpertCache::AbandonStep(int64_t step) {
  QNEXT_CHECK(step == ended_ + 1 && step <= begun_, "steps end in the order in which they began");
  ended_ = step;
  table_.StepEnded(step);
  RefillFetchSlots();
}

// Recency and frequency of all that was chosen; `candidates_` becomes the missing ones, each once.
void ExpertCache::Touch(int64_t step, const StepObservation& observation) {
  QNEXT_CHECK(static_cast<int64_t>(observation.choices.size()) == options_.layers * observation.choices_per_layer,
              "every layer made the same number of choices");
  candidates_.clear();
  const int32_t* next = observation.choices.data();
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    for (int64_t i = 0; i < observation.choices_per_layer; ++i) {
      const int32_t expert = *next++;
      if (expert < 0) continue;
      QNEXT_CHECK(expert < options_.experts, "a choice names an expert");
      const int32_t id = Id(layer, expert);
      policy_.Touch(id, step);
      if (seen_[static_cast<size_t>(id)] == step) continue;
      seen_[static_cast<size_t>(id)] = step;
      ++(published_[static_cast<size_t>(id)] >= 0 ? stats_.hits : stats_.misses);
      throttle_.Used(id, step);
      if (Missing(id)) candidates_.push_back({.priority = 0, .tie = 0, .id = id});
    }
  }
}

void ExpertCache::Adopt(int64_t step, std::span<const FetchedExpert> fetched) {
  for (const FetchedExpert& one : fetched) {
    QNEXT_CHECK(one.layer >= 0 && one.layer < options_.layers && one.expert >= 0 && one.expert < options_.experts &&
                    one.index >= 0 && one.index < published_counts_[static_cast<size_t>(one.layer)],
                "a fetched expert lies in a fetch slot of its layer");
    const int32_t id = Id(one.layer, one.expert);
    const auto place = static_cast<size_t>(one.layer * options_.max_fetch + one.index);
    int32_t& fetch = fetch_[place];
    // The layer may have lost the slot while the step ran.
    if (fetch != published_fetch_[place] || !Missing(id)) continue;
    const int32_t slot = MakeRoom(id, step);
    if (slot < 0) continue;
    table_.Adopt(fetch, id);
    throttle_.Came(id, step);
    MarkChanged(id);
    table_.MakeFetch(slot);
    fetch = slot;
    ++stats_.adopted;
  }
}

int32_t ExpertCache::MakeRoom(int32_t id, int64_t step) {
  if (table_.free_slots() > 0) return policy_.Admits(id, step, CachePolicy::kFreeSlot) ? table_.TakeFree() : -1;
  const int32_t victim = victims_.Peek(/*protect_from=*/step);
  if (victim < 0 || !policy_.Admits(id, step, policy_.Value(table_.owner(victim)))) return -1;
  Evict(victim);
  return table_.TakeFree();  // none while a step in flight reads the victim: its slot serves a later candidate
}

void ExpertCache::RefillFetchSlots() {
  int64_t missing = 0;
  for (const int32_t count : fetch_counts_) missing += fetch_target_ - count;
  if (missing == 0) return;
  // Evict no more than what is neither free nor on its way.
  int64_t wanted = missing - table_.free_slots() - table_.draining_slots();
  for (; wanted > 0; --wanted) {
    const int32_t victim = victims_.Peek(/*protect_from=*/begun_ + 1);
    if (victim < 0) break;
    Evict(victim);
  }
  // One for every layer before a second for any.
  for (int64_t index = 0; index < fetch_target_; ++index) {
    for (int64_t layer = 0; layer < options_.layers; ++layer) {
      int32_t& count = fetch_counts_[static_cast<size_t>(layer)];
      if (count > index) continue;
      const int32_t slot = table_.TakeFree();
      if (slot < 0) return;
      table_.MakeFetch(slot);
      fetch_[static_cast<size_t>(layer * options_.max_fetch + count)] = slot;
      ++count;
    }
  }
}

void ExpertCache::StartUploads(int64_t step, int64_t bound) {
  batch_.clear();
  bound = std::min<int64_t>(bound, options_.max_uploads - static_cast<int64_t>(pending_.size()));
  if (bound <= 0) return;
  std::erase_if(candidates_, [&](const Candidate& c) { return !Missing(c.id); });
  for (Candidate& c : candidates_) {
    c.priority = policy_.Priority(c.id);
    // No layer is served before the others.
    c.tie = MixBits(static_cast<uint64_t>(c.id) ^ static_cast<uint64_t>(step) << 32);
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.priority > b.priority || (a.priority == b.priority && a.tie < b.tie);
  });
  for (const Candidate& c : candidates_) {
    if (bound-- == 0) return;
    const int32_t slot = MakeRoom(c.id, step);
    if (slot < 0) continue;
    AddUpload(c.id, slot);
    throttle_.Came(c.id, step);
    ++stats_.uploads;
  }
}

void ExpertCache::AddUpload(int32_t id, int32_t slot) {
  table_.StartUpload(slot, id);
  pending_.push_back({.epoch = epoch_ + 1, .slot = slot});
  batch_.push_back({.layer = static_cast<int32_t>(id / options_.experts),
                    .expert = static_cast<int32_t>(id % options_.experts),
                    .slot = slot});
}

UploadBatch ExpertCache::TakeBatch() {
  if (!batch_.empty()) ++epoch_;
  return {.epoch = epoch_, .uploads = batch_};
}

void ExpertCache::FinishUploads(int64_t epoch) {
  size_t done = 0;
  for (; done < pending_.size() && pending_[done].epoch <= epoch; ++done) {
    const int32_t id = table_.owner(pending_[done].slot);
    table_.FinishUpload(pending_[done].slot);
    MarkChanged(id);
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(done));
}

void ExpertCache::FailUploads() {
  for (const PendingUpload& upload : pending_) table_.FailUpload(upload.slot);
  pending_.clear();
}

UploadBatch ExpertCache::Seed(std::span<const int32_t> counts, int64_t tokens, int64_t protect_from,
                              int64_t max_uploads) {
  QNEXT_CHECK(steps_in_flight() == 0, "seeding happens between steps");
  QNEXT_CHECK(counts.size() == published_.size() && tokens > 0, "one count for every expert");
  candidates_.clear();
  for (int32_t id = 0; id < static_cast<int32_t>(counts.size()); ++id) {
    const int32_t count = counts[static_cast<size_t>(id)];
    if (count <= 0) continue;
    policy_.Seed(id, next_step(), static_cast<double>(count) / static_cast<double>(tokens));
    if (Missing(id))
      candidates_.push_back(
          {.priority = static_cast<double>(count), .tie = MixBits(static_cast<uint64_t>(id)), .id = id});
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.priority > b.priority || (a.priority == b.priority && a.tie < b.tie);
  });
  victims_.Invalidate();
  batch_.clear();
  for (const Candidate& c : candidates_) {
    if (static_cast<int64_t>(batch_.size()) >= max_uploads) break;
    int32_t slot = table_.TakeFree();
    if (slot < 0) {
      const int32_t victim = victims_.Peek(protect_from);
      if (victim < 0 || !(policy_.Value(table_.owner(victim)) < policy_.Value(c.id))) break;
      Evict(victim);
      slot = table_.TakeFree();
      if (slot < 0) break;  // the victim's chunk is being released
    }
    AddUpload(c.id, slot);
    ++stats_.seeded;
  }
  victims_.Invalidate();
  return TakeBatch();
}

void ExpertCache::SetFetchSlots(int64_t per_layer) {
  QNEXT_CHECK(per_layer >= 0 && per_layer <= options_.max_fetch, "fetch slots are at most max_fetch");
  fetch_target_ = per_layer;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    int32_t& count = fetch_counts_[static_cast<size_t>(layer)];
    while (count > per_layer) {
      int32_t& slot = fetch_[static_cast<size_t>(layer * options_.max_fetch + --count)];
      table_.Retire(slot, begun_, ended_);
      slot = -1;
    }
  }
  RefillFetchSlots();
}

int64_t ExpertCache::StartRelease() {
  int64_t chosen = -1;
  double least = 0;
  for (int64_t chunk = 0; chunk < table_.chunks(); ++chunk) {
    if (table_.chunk_state(chunk) != ChunkState::kMapped) continue;
    // The freshness of its residents, in slots' worth of the last step.
    double worth = 0;
    for (int64_t i = table_.chunk_begin(chunk); i < table_.chunk_end(chunk); ++i) {
      const auto slot = static_cast<int32_t>(i);
      if (table_.state(slot) == SlotState::kFetch) worth += 1;
      if (table_.state(slot) != SlotState::kResident) continue;
      worth += 1 / (1 + static_cast<double>(begun_ - policy_.LastUse(table_.owner(slot))));
    }
    if (chosen < 0 || worth < least) {
      chosen = chunk;
      least = worth;
    }
  }
  if (chosen < 0) return -1;
  table_.StartRelease(chosen);
  for (int64_t i = table_.chunk_begin(chosen); i < table_.chunk_end(chosen); ++i) {
    if (table_.state(static_cast<int32_t>(i)) == SlotState::kResident) Evict(static_cast<int32_t>(i));
  }
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    int32_t& count = fetch_counts_[static_cast<size_t>(layer)];
    int32_t* slots = fetch_.data() + layer * options_.max_fetch;
    for (int32_t i = 0; i < count;) {
      if (table_.chunk_of(slots[i]) != chosen) {
        ++i;
        continue;
      }
      table_.Retire(slots[i], begun_, ended_);
      slots[i] = slots[--count];
      slots[count] = -1;
    }
  }
  RefillFetchSlots();
  return chosen;
}

Status ExpertCache::CheckIntegrity() const {
  QNEXT_RETURN_IF_ERROR(table_.CheckIntegrity());
  int64_t fetch_slots = 0, uploading = 0;
  for (int32_t slot = 0; slot < static_cast<int32_t>(table_.max_slots()); ++slot) {
    fetch_slots += table_.state(slot) == SlotState::kFetch ? 1 : 0;
    uploading += table_.state(slot) == SlotState::kUploading ? 1 : 0;
  }
  if (uploading != static_cast<int64_t>(pending_.size())) return Internal("an upload is not waited for");
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (table_.state(pending_[i].slot) != SlotState::kUploading) return Internal("a slot waits for no upload");
    if (i > 0 && pending_[i].epoch < pending_[i - 1].epoch) return Internal("epochs are out of order");
  }
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    const int32_t count = fetch_counts_[static_cast<size_t>(layer)];
    if (count > fetch_target_) return Internal(fmt::format("layer {}: too many fetch slots", layer));
    fetch_slots -= count;
    for (int32_t i = 0; i < static_cast<int32_t>(options_.max_fetch); ++i) {
      const int32_t slot = fetch_[static_cast<size_t>(layer * options_.max_fetch + i)];
      if ((slot >= 0) != (i < count)) return Internal(fmt::format("layer {}: a hole in the fetch slots", layer));
      if (slot >= 0 && table_.state(slot) != SlotState::kFetch) {
        return Internal(fmt::format("layer {}: slot {} is no fetch slot", layer, slot));
      }
    }
  }
  if (fetch_slots != 0) return Internal("a fetch slot belongs to no layer");
  for (int32_t id = 0; id < static_cast<int32_t>(published_.size()); ++id) {
    const int32_t slot = published_[static_cast<size_t>(id)];
    if (slot != table_.ResidentSlot(id) && changed_[static_cast<size_t>(id)] == 0) {
      return Internal(fmt::format("expert {}: the map will not learn that it moved", id));
    }
    // What the newest step in flight reads must still be there.
    if (steps_in_flight() == 0 || slot < 0) continue;
    const SlotState state = table_.state(slot);
    if ((state != SlotState::kResident && state != SlotState::kDraining) || table_.owner(slot) != id) {
      return Internal(fmt::format("expert {}: a step in flight reads slot {}, which has been reused", id, slot));
    }
  }
  return Status();
}

}  // namespace qnext
