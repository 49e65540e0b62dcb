#include "experts/expert_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "base/random.h"

namespace qnext {
namespace {

constexpr CachePolicyKind kPolicies[] = {CachePolicyKind::kLru, CachePolicyKind::kDecayedLfu,
                                         CachePolicyKind::kSecondTouch};

// One layer of eight experts over four slots.
ExpertCacheOptions FourSlots() {
  return {.layers = 1,
          .experts = 8,
          .max_slots = 4,
          .slots_per_chunk = 2,
          .max_fetch = 1,
          .promotions = {.most = 4, .least = 1},
          .max_uploads = 8,
          .policy = {}};
}

void ExpectSound(const ExpertCache& cache) {
  const Status status = cache.CheckIntegrity();
  EXPECT_TRUE(status.ok()) << status.message();
}

// Runs one step in which one layer chose `chosen`; uploads are done at once.
UploadBatch RunStep(ExpertCache& cache, std::vector<int32_t> chosen, std::vector<FetchedExpert> fetched = {}) {
  const StepPlacement placement = cache.BeginStep();
  const UploadBatch batch =
      cache.EndStep(placement.step,
                    {.choices = chosen, .choices_per_layer = static_cast<int64_t>(chosen.size()), .fetched = fetched});
  cache.FinishUploads(batch.epoch);
  ExpectSound(cache);
  return batch;
}

std::set<int32_t> Residents(const ExpertCache& cache) {
  std::set<int32_t> result;
  for (int32_t id = 0; id < static_cast<int32_t>(cache.options().layers * cache.options().experts); ++id) {
    if (cache.slots().ResidentSlot(id) >= 0) result.insert(id);
  }
  return result;
}

TEST(ExpertCache, FillsFreeSlotsAndPublishesThemAtTheNextStep) {
  ExpertCache cache(FourSlots());
  const StepPlacement first = cache.BeginStep();
  EXPECT_TRUE(std::ranges::all_of(first.slot_map, [](int32_t slot) { return slot == -1; }));
  const std::vector<int32_t> chosen = {5, 2};
  const UploadBatch batch = cache.EndStep(first.step, {.choices = chosen, .choices_per_layer = 2, .fetched = {}});
  ASSERT_EQ(batch.uploads.size(), 2u);
  EXPECT_NE(batch.uploads[0].slot, batch.uploads[1].slot);

  // Not before the copies are there.
  StepPlacement placement = cache.BeginStep();
  EXPECT_EQ(placement.slot_map[5], -1);
  cache.EndStep(placement.step, {.choices = chosen, .choices_per_layer = 2, .fetched = {}});
  cache.FinishUploads(batch.epoch);
  placement = cache.BeginStep();
  EXPECT_EQ(placement.changes.size(), 2u);
  for (const ExpertUpload& upload : batch.uploads) EXPECT_EQ(placement.slot_map[upload.expert], upload.slot);
  ExpectSound(cache);
}

TEST(ExpertCache, LruEvictsWhatWasUsedLongestAgo) {
  ExpertCache cache(FourSlots());
  RunStep(cache, {0, 1});
  RunStep(cache, {2, 3});
  RunStep(cache, {0, 4});
  EXPECT_EQ(Residents(cache), (std::set<int32_t>{0, 2, 3, 4}));
  EXPECT_EQ(cache.stats().hits, 1);
  EXPECT_EQ(cache.stats().misses, 5);
}

TEST(ExpertCache, NeverEvictsWhatTheStepItselfUsed) {
  for (const CachePolicyKind kind : kPolicies) {
    ExpertCacheOptions options = FourSlots();
    options.policy.kind = kind;
    ExpertCache cache(options);
    RunStep(cache, {0, 1, 2, 3});
    RunStep(cache, {0, 1, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5});  // of four rows
    EXPECT_EQ(Residents(cache), (std::set<int32_t>{0, 1, 2, 3})) << CachePolicyName(kind);
  }
}

TEST(ExpertCache, LfuKeepsTheFavouriteThatLruWouldLose) {
  for (const CachePolicyKind kind : kPolicies) {
    ExpertCacheOptions options = FourSlots();
    options.policy.kind = kind;
    ExpertCache cache(options);
    for (int i = 0; i < 20; ++i) RunStep(cache, {0});
    RunStep(cache, {1, 2, 3});
    RunStep(cache, {1, 2, 3, 4});
    EXPECT_EQ(Residents(cache).contains(0), kind != CachePolicyKind::kLru) << CachePolicyName(kind);
  }
}

TEST(ExpertCache, SecondTouchAdmitsOnlyWhatComesBackSoon) {
  ExpertCacheOptions options = FourSlots();
  options.policy.kind = CachePolicyKind::kSecondTouch;
  ExpertCache cache(options);
  RunStep(cache, {0, 1, 2, 3});
  RunStep(cache, {4});
  EXPECT_FALSE(Residents(cache).contains(4)) << "a first use is no reason";
  RunStep(cache, {4});
  EXPECT_TRUE(Residents(cache).contains(4)) << "twice in a row, older ones go";
}

TEST(ExpertCache, BoundsPromotionsAndUploadsUnderWay) {
  ExpertCacheOptions options = FourSlots();
  options.promotions.most = 1;
  options.max_uploads = 2;
  ExpertCache cache(options);
  const std::vector<int32_t> chosen = {0, 1, 2, 3};
  std::vector<size_t> sizes;
  int64_t epoch = 0;
  for (int i = 0; i < 4; ++i) {
    const StepPlacement placement = cache.BeginStep();
    const UploadBatch batch = cache.EndStep(placement.step, {.choices = chosen, .choices_per_layer = 4, .fetched = {}});
    sizes.push_back(batch.uploads.size());
    epoch = batch.epoch;
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{1, 1, 0, 0}));
  cache.FinishUploads(epoch);
  ExpectSound(cache);
  EXPECT_EQ(RunStep(cache, chosen).uploads.size(), 1u);
}

TEST(ExpertCache, KeepsAFetchedExpertWhereItLies) {
  ExpertCache cache(FourSlots());
  cache.SetFetchSlots(1);
  RunStep(cache, {0, 1, 2});
  StepPlacement placement = cache.BeginStep();
  ASSERT_EQ(placement.fetch_counts[0], 1);
  const int32_t fetched_to = placement.fetch_slots[0];
  const std::vector<int32_t> chosen = {7};
  const std::vector<FetchedExpert> fetched = {{.layer = 0, .expert = 7, .index = 0}};
  const UploadBatch batch =
      cache.EndStep(placement.step, {.choices = chosen, .choices_per_layer = 1, .fetched = fetched});
  EXPECT_TRUE(batch.uploads.empty()) << "it is there already";
  placement = cache.BeginStep();
  EXPECT_EQ(placement.slot_map[7], fetched_to);
  EXPECT_EQ(placement.fetch_counts[0], 1);
  EXPECT_NE(placement.fetch_slots[0], fetched_to);
  EXPECT_EQ(cache.stats().adopted, 1);
  ExpectSound(cache);
}

TEST(ExpertCache, DoesNotKeepWhatALaterStepOverwrites) {
  ExpertCache cache(FourSlots());
  cache.SetFetchSlots(1);
  const StepPlacement first = cache.BeginStep();
  const int64_t first_step = first.step;
  cache.BeginStep();
  const std::vector<int32_t> chosen = {7};
  const std::vector<FetchedExpert> fetched = {{.layer = 0, .expert = 7, .index = 0}};
  cache.EndStep(first_step, {.choices = chosen, .choices_per_layer = 1, .fetched = fetched});
  EXPECT_EQ(cache.stats().adopted, 0);
  EXPECT_FALSE(Residents(cache).contains(7));
  ExpectSound(cache);
}

TEST(ExpertCache, ASlotIsReusedOnlyWhenNoStepInFlightNamesIt) {
  ExpertCache cache(FourSlots());
  RunStep(cache, {0, 1, 2, 3});
  const int64_t a = cache.BeginStep().step;
  const int64_t b = cache.BeginStep().step;
  const std::vector<int32_t> chosen = {4, 5};
  const StepObservation observation = {.choices = chosen, .choices_per_layer = 2, .fetched = {}};
  EXPECT_TRUE(cache.EndStep(a, observation).uploads.empty()) << "the second step still reads all four slots";
  EXPECT_EQ(cache.slots().draining_slots(), 2);
  ExpectSound(cache);
  EXPECT_EQ(cache.EndStep(b, observation).uploads.size(), 2u);
  EXPECT_EQ(cache.slots().draining_slots(), 0);
  ExpectSound(cache);
}

TEST(ExpertCache, SeedsByCountAndSparesTheDecodeSet) {
  ExpertCache cache(FourSlots());
  RunStep(cache, {0, 1});
  RunStep(cache, {2, 3});
  std::vector<int32_t> counts = {0, 0, 0, 0, 3, 9, 7, 1};
  // Steps from 2 on are somebody's decode: only 0 and 1 may go.
  UploadBatch batch = cache.Seed(counts, 10, /*protect_from=*/2, /*max_uploads=*/100);
  cache.FinishUploads(batch.epoch);
  EXPECT_EQ(Residents(cache), (std::set<int32_t>{2, 3, 5, 6}));
  ExpectSound(cache);
  // Nobody decodes: the prompt may have everything, best first, within the bound.
  batch = cache.Seed(counts, 10, cache.next_step(), /*max_uploads=*/1);
  ASSERT_EQ(batch.uploads.size(), 1u);
  EXPECT_EQ(batch.uploads[0].expert, 4);
  cache.FinishUploads(batch.epoch);
  ExpectSound(cache);
  // What it already holds of the prompt is not thrown out for less.
  cache.FinishUploads(cache.Seed(counts, 10, cache.next_step(), 100).epoch);
  EXPECT_EQ(Residents(cache), (std::set<int32_t>{4, 5, 6, 7}));
}

TEST(ExpertCache, GivesAChunkBackAndTakesItAgain) {
  ExpertCache cache(FourSlots());
  cache.SetFetchSlots(1);
  RunStep(cache, {0, 1, 2});
  const int64_t step = cache.BeginStep().step;
  const int64_t chunk = cache.StartRelease();
  ASSERT_GE(chunk, 0);
  EXPECT_FALSE(cache.ChunkDrained(chunk)) << "the step in flight reads it";
  ExpectSound(cache);
  const std::vector<int32_t> chosen = {3};
  cache.EndStep(step, {.choices = chosen, .choices_per_layer = 1, .fetched = {}});
  EXPECT_TRUE(cache.ChunkDrained(chunk));
  cache.FinishRelease(chunk);
  EXPECT_EQ(cache.slots().mapped_slots(), 2);
  ExpectSound(cache);
  for (int32_t i = 0; i < 8; ++i) {
    for (const ExpertUpload& upload : RunStep(cache, {i}).uploads) EXPECT_NE(upload.slot / 2, chunk);
  }
  EXPECT_EQ(cache.StartRelease(), 1 - chunk);
  cache.AddChunk(chunk);
  ExpectSound(cache);
  for (int32_t i = 0; i < 8; ++i) RunStep(cache, {i});
  EXPECT_FALSE(Residents(cache).empty());
}

TEST(ExpertCache, AFailedUploadLeavesNothingBehind) {
  ExpertCache cache(FourSlots());
  const StepPlacement placement = cache.BeginStep();
  const std::vector<int32_t> chosen = {1, 2};
  cache.EndStep(placement.step, {.choices = chosen, .choices_per_layer = 2, .fetched = {}});
  cache.FailUploads();
  ExpectSound(cache);
  EXPECT_EQ(cache.slots().free_slots(), 4);
  cache.AbandonStep(cache.BeginStep().step);
  EXPECT_EQ(RunStep(cache, {1, 2}).uploads.size(), 2u);
}

TEST(ExpertCache, RunsWithoutAnySlot) {
  ExpertCacheOptions options = FourSlots();
  options.max_slots = 0;
  ExpertCache cache(options);
  cache.SetFetchSlots(1);
  EXPECT_TRUE(RunStep(cache, {0, 1}).uploads.empty());
  EXPECT_EQ(cache.StartRelease(), -1);
}

// What the device would hold and read: slots with contents, steps that read through the map they were given, copies
// that take their time. Everything the cache says is held against it.
class Shadow {
 public:
  Shadow(const ExpertCacheOptions& options, uint64_t seed)
      : options_(options), cache_(options), random_(seed), contents_(static_cast<size_t>(options.max_slots), -1) {
    map_.assign(static_cast<size_t>(options.layers * options.experts), -1);
  }

  void Run(int events) {
    for (int i = 0; i < events; ++i) {
      Event();
      const Status status = cache_.CheckIntegrity();
      ASSERT_TRUE(status.ok()) << "event " << i << ": " << status.message();
      CheckStepsInFlight();
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(cache_.stats().uploads, 0);
    EXPECT_GT(cache_.stats().hits, 0);
  }

 private:
  struct Step {
    int64_t number;
    std::vector<int32_t> map, fetch_slots, fetch_counts, choices;
    std::vector<FetchedExpert> fetched;
  };
  struct Copy {
    int64_t epoch;
    int32_t slot, id;
  };

  void Event() {
    switch (random_.Below(10)) {
      case 0:
      case 1:
      case 2:
        if (static_cast<int64_t>(steps_.size()) < ExpertCache::kMaxStepsInFlight) Begin();
        break;
      case 3:
      case 4:
      case 5:
        if (!steps_.empty()) End();
        break;
      case 6:
      case 7:
        FinishCopies();
        break;
      case 8:
        cache_.SetFetchSlots(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(options_.max_fetch) + 1)));
        break;
      case 9:
        Rare();
        break;
    }
  }

  void Rare() {
    switch (random_.Below(4)) {
      case 0:
        if (const int64_t chunk = cache_.StartRelease(); chunk >= 0) leaving_.push_back(chunk);
        break;
      case 1:
        for (const int64_t chunk : std::exchange(leaving_, {})) {
          if (!cache_.ChunkDrained(chunk)) {
            leaving_.push_back(chunk);
            continue;
          }
          cache_.FinishRelease(chunk);
          for (int64_t s = cache_.slots().chunk_begin(chunk); s < cache_.slots().chunk_end(chunk); ++s) Write(s, -1);
          absent_.push_back(chunk);
        }
        break;
      case 2:
        if (!absent_.empty()) {
          cache_.AddChunk(absent_.back());
          absent_.pop_back();
        }
        break;
      case 3:
        if (steps_.empty()) {
          std::vector<int32_t> counts(map_.size());
          for (int32_t& count : counts) count = static_cast<int32_t>(random_.Below(5));
          StartCopies(cache_.Seed(counts, 8, static_cast<int64_t>(random_.Below(3)) + cache_.next_step() - 2,
                                  static_cast<int64_t>(random_.Below(6))));
        } else if (random_.Below(4) == 0) {
          cache_.AbandonStep(steps_.front().number);
          steps_.pop_front();
        }
        break;
    }
  }

  void Begin() {
    const StepPlacement placement = cache_.BeginStep();
    for (const MapChange& change : placement.changes) map_[static_cast<size_t>(change.id)] = change.slot;
    ASSERT_TRUE(std::ranges::equal(map_, placement.slot_map)) << "the changes lead from one map to the next";
    Step step{
        .number = placement.step, .map = map_, .fetch_slots = {}, .fetch_counts = {}, .choices = {}, .fetched = {}};
    step.fetch_slots.assign(placement.fetch_slots.begin(), placement.fetch_slots.end());
    step.fetch_counts.assign(placement.fetch_counts.begin(), placement.fetch_counts.end());
    steps_.push_back(std::move(step));
  }

  // The device runs the oldest step just before it ends.
  void End() {
    Step& step = steps_.front();
    constexpr int64_t kTop = 3;
    for (int64_t layer = 0; layer < options_.layers; ++layer) {
      int32_t fetches = 0;
      for (int64_t i = 0; i < kTop; ++i) {
        // Skewed, and sometimes the same expert twice.
        const auto expert =
            static_cast<int32_t>(random_.Below(random_.Below(2) == 0 ? 4 : static_cast<uint64_t>(options_.experts)));
        step.choices.push_back(expert);
        const int64_t id = layer * options_.experts + expert;
        const bool again = std::ranges::any_of(
            step.fetched, [&](const FetchedExpert& f) { return f.layer == layer && f.expert == expert; });
        if (step.map[static_cast<size_t>(id)] < 0 && !again &&
            fetches < step.fetch_counts[static_cast<size_t>(layer)]) {
          Write(step.fetch_slots[static_cast<size_t>(layer * options_.max_fetch + fetches)], static_cast<int32_t>(id));
          step.fetched.push_back({.layer = static_cast<int32_t>(layer), .expert = expert, .index = fetches++});
        }
      }
    }
    CheckStepsInFlight();
    const Step done = std::move(steps_.front());
    steps_.pop_front();
    StartCopies(
        cache_.EndStep(done.number, {.choices = done.choices, .choices_per_layer = kTop, .fetched = done.fetched}));
  }

  void StartCopies(const UploadBatch& batch) {
    EXPECT_LE(static_cast<int64_t>(batch.uploads.size()), std::max<int64_t>(options_.promotions.most, 6));
    for (const ExpertUpload& upload : batch.uploads) {
      const int32_t id = static_cast<int32_t>(upload.layer * options_.experts + upload.expert);
      Write(upload.slot, -2);  // half written from now on
      copies_.push_back({.epoch = batch.epoch, .slot = upload.slot, .id = id});
    }
  }

  void FinishCopies() {
    if (copies_.empty()) return;
    const int64_t epoch = copies_.front().epoch;
    while (!copies_.empty() && copies_.front().epoch <= epoch) {
      Write(copies_.front().slot, copies_.front().id);
      copies_.pop_front();
    }
    cache_.FinishUploads(epoch);
  }

  void Write(int64_t slot, int32_t id) { contents_[static_cast<size_t>(slot)] = id; }

  // Every step in flight finds in each slot that its map names the expert it expects, and no other step fetches into
  // it.
  void CheckStepsInFlight() {
    for (const Step& step : steps_) {
      for (size_t id = 0; id < step.map.size(); ++id) {
        if (step.map[id] < 0) continue;
        ASSERT_EQ(contents_[static_cast<size_t>(step.map[id])], static_cast<int32_t>(id)) << "step " << step.number;
        for (const Step& other : steps_) {
          ASSERT_EQ(std::ranges::count(other.fetch_slots, step.map[id]), 0) << "a slot is read and fetched into";
        }
      }
      std::set<int32_t> distinct;
      for (const int32_t slot : step.fetch_slots) ASSERT_TRUE(slot < 0 || distinct.insert(slot).second);
    }
  }

  ExpertCacheOptions options_;
  ExpertCache cache_;
  Random random_;
  std::vector<int32_t> contents_;  // [slots] the expert in it; -1: anything, -2: half of one
  std::vector<int32_t> map_;       // the device's
  std::deque<Step> steps_;
  std::deque<Copy> copies_;
  std::vector<int64_t> leaving_, absent_;
};

TEST(ExpertCacheTorture, AgreesWithTheDeviceItDescribes) {
  for (const CachePolicyKind kind : kPolicies) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(testing::Message() << CachePolicyName(kind) << ", seed " << seed);
      const ExpertCacheOptions options = {.layers = 3,
                                          .experts = 12,
                                          .max_slots = static_cast<int64_t>(4 + 5 * seed),  // 4 .. 39 of 36 experts
                                          .slots_per_chunk = 3,
                                          .max_fetch = 2,
                                          .promotions = {.most = 2, .least = 1},
                                          .max_uploads = 5,
                                          .policy = {.kind = kind, .half_life = 8, .ghost_factor = 1}};
      Shadow(options, seed).Run(3000);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace qnext
