// ExpertCache: which experts of all layers are in VRAM, decided between steps. One budget of slots for all layers; pure
// bookkeeping: it names slots, others move the bytes. docs/expert-cache.md
//
// One step:
//   1. BeginStep: the slot map and the fetch slots are frozen for the step. Hand `changes` to the device's map.
//   2. The device runs. The router kernel splits; fetched experts of a layer come to lie in its fetch slots.
//   3. EndStep, in the order of BeginStep, when the device has finished: what was chosen and fetched. Fetched experts
//   stay
//      where they lie (the slot of a less worthy expert becomes the layer's fetch slot in exchange); other misses worth
//      it come back as uploads. Start those copies, then
//   4. FinishUploads(epoch) once the copies' event has passed: the next BeginStep publishes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "experts/cache_policy.h"
#include "experts/promotion_throttle.h"
#include "experts/slot_table.h"
#include "experts/victim_queue.h"

namespace qnext {

struct ExpertCacheOptions {
  int64_t layers = 0;           // MoE layers
  int64_t experts = 0;          // E, of each layer
  int64_t max_slots = 0;        // of the address range
  int64_t slots_per_chunk = 0;  // given back and taken again together
  int64_t mapped_chunks = -1;   // at first, from the front; -1: all
  int64_t max_fetch = 0;        // most fetch slots of one layer; 0 at first, see SetFetchSlots
  PromotionThrottleOptions promotions;
  int64_t max_uploads = 96;  // begun and not finished: a slow link is not buried
  CachePolicyOptions policy;
};

struct MapChange {
  int32_t id;  // layer * experts + expert: the index into the slot map
  int32_t slot;
};

// Valid until the next BeginStep.
struct StepPlacement {
  int64_t step = 0;
  std::span<const int32_t> slot_map;      // [layers, experts] the slot of each expert, or -1
  std::span<const MapChange> changes;     // what differs from the map of the step before
  std::span<const int32_t> fetch_slots;   // [layers, max_fetch], the unused ones -1
  std::span<const int32_t> fetch_counts;  // [layers]: no quota may exceed it
};

struct FetchedExpert {
  int32_t layer;
  int32_t expert;
  int32_t index;  // it lies in fetch_slots[layer][index]
};

// What the step did.
struct StepObservation {
  std::span<const int32_t> choices;  // [layers, choices_per_layer] of all rows; -1: none
  int64_t choices_per_layer = 0;
  std::span<const FetchedExpert> fetched;
};

struct ExpertUpload {
  int32_t layer;
  int32_t expert;
  int32_t slot;
};

// Valid until the next call that returns one.
struct UploadBatch {
  int64_t epoch = 0;  // for FinishUploads; epochs finish in order
  std::span<const ExpertUpload> uploads;
};

// Counted since construction. A choice made by several rows of one step counts once.
struct ExpertCacheStats {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t fetched = 0;
  int64_t adopted = 0;  // fetched, and kept
  int64_t uploads = 0;
  int64_t seeded = 0;  // uploads asked for by Seed
  int64_t evictions = 0;
};

// One thread at a time. After construction nothing allocates but CheckIntegrity. Wrong calls (a step ended twice, an
// unknown slot) are broken invariants and abort.
class ExpertCache {
 public:
  explicit ExpertCache(const ExpertCacheOptions& options);

  const ExpertCacheOptions& options() const { return options_; }
  const SlotTable& slots() const { return table_; }
  const ExpertCacheStats& stats() const { return stats_; }
  const PromotionThrottle& promotions() const { return throttle_; }
  int64_t steps_in_flight() const { return begun_ - ended_; }
  int64_t next_step() const { return begun_ + 1; }

  static constexpr int64_t kMaxStepsInFlight = 4;
  StepPlacement BeginStep();
  // Of the oldest step in flight. Fetched experts can be kept only if no later step has begun, for it may be fetching
  // into the same slots already.
  UploadBatch EndStep(int64_t step, const StepObservation& observation);
  // The step did not run to its end: its slots are free of it, nothing is learned.
  void AbandonStep(int64_t step);

  // All uploads of this epoch and of those before it are in place.
  void FinishUploads(int64_t epoch);
  // None of the uploads under way came about (the device was reset, a copy failed).
  void FailUploads();

  // What a prompt used: counts[layer * experts + expert] of `tokens` tokens. Fills free slots, then those of experts
  // that the prompt used less and that no step from `protect_from` on has used (next_step(): nobody is decoding,
  // everything may go). Only between steps. The bound on promotions does not hold here; `max_uploads` does.
  UploadBatch Seed(std::span<const int32_t> counts, int64_t tokens, int64_t protect_from, int64_t max_uploads);

  // How many fetch slots each layer should have, at most max_fetch; they come out of the same budget. Layers get them
  // as slots come free (fetch_counts says how many each has).
  void SetFetchSlots(int64_t per_layer);

  // VRAM is given back: the mapped chunk whose experts are worth least is emptied; -1: no chunk is mapped. The chunk
  // may be unmapped when ChunkDrained, and then FinishRelease. Slots of uploads under way drain when these finish.
  int64_t StartRelease();
  bool ChunkDrained(int64_t chunk) const { return table_.Drained(chunk); }
  void FinishRelease(int64_t chunk) { table_.FinishRelease(chunk); }
  // And taken again: the caller has mapped it.
  void AddChunk(int64_t chunk) { table_.AddChunk(chunk); }

  // Every invariant, at a cost in time and memory that only tests should pay: OK, or what is wrong.
  Status CheckIntegrity() const;

 private:
  struct PendingUpload {
    int64_t epoch;
    int32_t slot;
  };
  struct Candidate {
    double priority;
    uint64_t tie;
    int32_t id;
  };

  int32_t Id(int64_t layer, int64_t expert) const { return static_cast<int32_t>(layer * options_.experts + expert); }
  bool Missing(int32_t id) const { return table_.ResidentSlot(id) < 0 && !table_.Uploading(id); }
  void MarkChanged(int32_t id);
  void Evict(int32_t slot);
  void Touch(int64_t step, const StepObservation& observation);
  void Adopt(int64_t step, std::span<const FetchedExpert> fetched);
  void RefillFetchSlots();
  void StartUploads(int64_t step, int64_t bound);
  // A free slot, or the one of a resident expert that `id` should replace; -1: none, or not yet.
  int32_t MakeRoom(int32_t id, int64_t step);
  void AddUpload(int32_t id, int32_t slot);
  UploadBatch TakeBatch();

  ExpertCacheOptions options_;
  SlotTable table_;
  CachePolicy policy_;
  PromotionThrottle throttle_;
  VictimQueue victims_;
  ExpertCacheStats stats_;

  int64_t begun_ = 0, ended_ = 0;   // steps are numbered from 1
  std::vector<int32_t> published_;  // [ids] the slot map as the last BeginStep gave it out
  std::vector<uint8_t> changed_;    // [ids] differs, or may, from published_
  std::vector<int32_t> changed_ids_;
  std::vector<MapChange> changes_;

  int64_t fetch_target_ = 0;
  std::vector<int32_t> fetch_, published_fetch_;          // [layers, max_fetch]
  std::vector<int32_t> fetch_counts_, published_counts_;  // [layers]

  std::vector<int64_t> seen_;           // [ids] the last step in which an expert was a candidate
  std::vector<Candidate> candidates_;   // scratch
  std::vector<PendingUpload> pending_;  // in order of epoch
  std::vector<ExpertUpload> batch_;
  int64_t epoch_ = 0;
};

}  // namespace qnext
