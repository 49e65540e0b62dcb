// Where every expert is: slots of VRAM in chunks that can be given back, and the two maps between slots and experts.
//
//   kAbsent ──AddChunk──▶ kFree ──▶ kUploading ──epoch done──▶ kResident ──▶ kDraining ──no step names it──▶ kFree
//                           ▲ │                                    ▲             ▲
//                           │ └────────▶ kFetch ──adopted──────────┘             │
//                           │               └──given up──────────────────────────┘
//                           └── chunk released: its free slots are handed out no more; all free: kAbsent
//
// A slot that a step in flight may read (it was resident or a fetch slot when the step began) is never free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace qnext {

enum class SlotState : uint8_t { kAbsent, kFree, kFetch, kUploading, kResident, kDraining };
enum class ChunkState : uint8_t { kAbsent, kMapped, kReleasing };

// Ids number the experts of all layers. One thread at a time; allocates only when made.
class SlotTable {
 public:
  SlotTable(int64_t ids, int64_t max_slots, int64_t slots_per_chunk);

  int64_t max_slots() const { return static_cast<int64_t>(slots_.size()); }
  int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }
  int64_t mapped_slots() const { return mapped_slots_; }  // of chunks that are not absent
  int64_t free_slots() const { return static_cast<int64_t>(free_.size()); }
  int64_t draining_slots() const { return draining_count_; }
  int64_t resident_slots() const { return resident_count_; }

  SlotState state(int32_t slot) const { return slots_[static_cast<size_t>(slot)].state; }
  int32_t owner(int32_t slot) const { return slots_[static_cast<size_t>(slot)].owner; }
  ChunkState chunk_state(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].state; }
  int64_t chunk_of(int32_t slot) const { return slot / slots_per_chunk_; }
  int64_t chunk_begin(int64_t chunk) const { return chunk * slots_per_chunk_; }
  int64_t chunk_end(int64_t chunk) const;

  // The slot an expert can be read from; -1: none.
  int32_t ResidentSlot(int32_t id) const { return resident_[static_cast<size_t>(id)]; }
  bool Uploading(int32_t id) const { return uploading_[static_cast<size_t>(id)] != 0; }

  // A free slot, now of nobody's state; -1 if there is none. The caller makes it what it takes it for.
  int32_t TakeFree();
  void StartUpload(int32_t slot, int32_t id);
  void FinishUpload(int32_t slot);  // resident, or free if its chunk is being released
  void FailUpload(int32_t slot);    // free
  void MakeFetch(int32_t slot);
  void Adopt(int32_t fetch_slot, int32_t id);  // its contents are the expert's: resident

  // Takes a resident or fetch slot out of use. `last_step`: the last step begun that may read it; `ended`: the last
  // step that has ended. Free at once if that step has ended.
  void Retire(int32_t slot, int64_t last_step, int64_t ended);
  // Frees what no step in flight names any more.
  void StepEnded(int64_t step);

  void AddChunk(int64_t chunk);
  // Its free slots are handed out no more. The caller retires its resident and fetch slots.
  void StartRelease(int64_t chunk);
  bool Drained(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].busy == 0; }
  void FinishRelease(int64_t chunk);

  // Invariants: every count, list and both maps say the same. OK, or which one does not.
  Status CheckIntegrity() const;

 private:
  struct Slot {
    SlotState state = SlotState::kAbsent;
    int32_t owner = -1;       // kUploading, kResident; and kDraining, whose contents it still holds (-1: a fetch slot)
    int64_t drain_step = -1;  // kDraining
  };
  struct Chunk {
    ChunkState state = ChunkState::kAbsent;
    int64_t busy = 0;  // slots that are neither absent nor free
  };

  Slot& at(int32_t slot) { return slots_[static_cast<size_t>(slot)]; }
  void Free(int32_t slot);

  int64_t slots_per_chunk_;
  std::vector<Slot> slots_;
  std::vector<Chunk> chunks_;
  std::vector<int32_t> resident_;   // [ids]
  std::vector<uint8_t> uploading_;  // [ids]
  std::vector<int32_t> free_;       // of mapped chunks
  std::vector<int32_t> draining_;   // a ring in order of drain_step
  int64_t draining_head_ = 0, draining_count_ = 0;
  int64_t mapped_slots_ = 0, resident_count_ = 0;
};

}  // namespace qnext
