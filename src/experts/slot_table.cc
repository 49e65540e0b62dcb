#include "experts/slot_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/range.h"

namespace qnext {

SlotTable::SlotTable(int64_t ids, int64_t max_slots, int64_t slots_per_chunk)
    : slots_per_chunk_(slots_per_chunk),
      slots_(static_cast<size_t>(max_slots)),
      resident_(static_cast<size_t>(ids), -1),
      uploading_(static_cast<size_t>(ids), 0),
      draining_(static_cast<size_t>(max_slots), -1) {
  QNEXT_CHECK(
      ids > 0 && ids < (int64_t{1} << 31) && max_slots >= 0 && max_slots < (int64_t{1} << 31) && slots_per_chunk > 0,
      "experts and slots are counted in 32 bits");
  chunks_.resize(static_cast<size_t>(CeilDiv(max_slots, slots_per_chunk)));
  free_.reserve(slots_.size());
}

int64_t SlotTable::chunk_end(int64_t chunk) const { return std::min(max_slots(), (chunk + 1) * slots_per_chunk_); }

int32_t SlotTable::TakeFree() {
  if (free_.empty()) return -1;
  const int32_t slot = free_.back();
  free_.pop_back();
  ++chunks_[static_cast<size_t>(chunk_of(slot))].busy;
  return slot;
}

void SlotTable::Free(int32_t slot) {
  Chunk& chunk = chunks_[static_cast<size_t>(chunk_of(slot))];
  at(slot) = {.state = SlotState::kFree, .owner = -1, .drain_step = -1};
  --chunk.busy;
  if (chunk.state == ChunkState::kMapped) free_.push_back(slot);
}

void SlotTable::StartUpload(int32_t slot, int32_t id) {
  QNEXT_CHECK(state(slot) == SlotState::kFree && ResidentSlot(id) < 0 && !Uploading(id),
              "an upload fills a free slot with an expert that is nowhere yet");
  at(slot) = {.state = SlotState::kUploading, .owner = id, .drain_step = -1};
  uploading_[static_cast<size_t>(id)] = 1;
}

void SlotTable::FinishUpload(int32_t slot) {
  QNEXT_CHECK(state(slot) == SlotState::kUploading, "only uploads finish");
  const int32_t id = owner(slot);
  uploading_[static_cast<size_t>(id)] = 0;
  if (chunk_state(chunk_of(slot)) == ChunkState::kReleasing) return Free(slot);
  at(slot).state = SlotState::kResident;
  resident_[static_cast<size_t>(id)] = slot;
  ++resident_count_;
}

void SlotTable::FailUpload(int32_t slot) {
  QNEXT_CHECK(state(slot) == SlotState::kUploading, "only uploads fail");
  uploading_[static_cast<size_t>(owner(slot))] = 0;
  Free(slot);
}

void SlotTable::MakeFetch(int32_t slot) {
  QNEXT_CHECK(state(slot) == SlotState::kFree, "a fetch slot is made of a free one");
  at(slot).state = SlotState::kFetch;
}

void SlotTable::Adopt(int32_t fetch_slot, int32_t id) {
  QNEXT_CHECK(state(fetch_slot) == SlotState::kFetch && ResidentSlot(id) < 0 && !Uploading(id),
              "a fetched expert is adopted where it lies, once");
  at(fetch_slot) = {.state = SlotState::kResident, .owner = id, .drain_step = -1};
  resident_[static_cast<size_t>(id)] = fetch_slot;
  ++resident_count_;
}

void SlotTable::Retire(int32_t slot, int64_t last_step, int64_t ended) {
  const SlotState was = state(slot);
  QNEXT_CHECK(was == SlotState::kResident || was == SlotState::kFetch, "only slots that steps read are retired");
  if (was == SlotState::kResident) {
    resident_[static_cast<size_t>(owner(slot))] = -1;
    --resident_count_;
  }
  if (last_step <= ended) return Free(slot);
  at(slot).state = SlotState::kDraining;
  at(slot).drain_step = last_step;
  draining_[static_cast<size_t>((draining_head_ + draining_count_) % max_slots())] = slot;
  ++draining_count_;
}

void SlotTable::StepEnded(int64_t step) {
  while (draining_count_ > 0) {
    const int32_t slot = draining_[static_cast<size_t>(draining_head_)];
    if (at(slot).drain_step > step) return;
    draining_head_ = (draining_head_ + 1) % max_slots();
    --draining_count_;
    Free(slot);
  }
}

void SlotTable::AddChunk(int64_t chunk) {
  Chunk& added = chunks_[static_cast<size_t>(chunk)];
  QNEXT_CHECK(added.state == ChunkState::kAbsent, "the chunk is not there yet");
  added = {.state = ChunkState::kMapped, .busy = 0};
  // Handed out from the back: the lowest first.
  for (int64_t slot = chunk_end(chunk); slot-- > chunk_begin(chunk);) {
    at(static_cast<int32_t>(slot)).state = SlotState::kFree;
    free_.push_back(static_cast<int32_t>(slot));
  }
  mapped_slots_ += chunk_end(chunk) - chunk_begin(chunk);
}

void SlotTable::StartRelease(int64_t chunk) {
  QNEXT_CHECK(chunk_state(chunk) == ChunkState::kMapped, "only a mapped chunk is released");
  chunks_[static_cast<size_t>(chunk)].state = ChunkState::kReleasing;
  std::erase_if(free_, [&](int32_t slot) { return chunk_of(slot) == chunk; });
}

void SlotTable::FinishRelease(int64_t chunk) {
  QNEXT_CHECK(chunk_state(chunk) == ChunkState::kReleasing && Drained(chunk), "a chunk leaves when nothing uses it");
  chunks_[static_cast<size_t>(chunk)].state = ChunkState::kAbsent;
  for (int64_t slot = chunk_begin(chunk); slot < chunk_end(chunk); ++slot) at(static_cast<int32_t>(slot)) = Slot();
  mapped_slots_ -= chunk_end(chunk) - chunk_begin(chunk);
}

Status SlotTable::CheckIntegrity() const {
  const auto wrong = [](int64_t slot, const char* what) { return Internal(fmt::format("slot {}: {}", slot, what)); };
  std::vector<int64_t> busy(chunks_.size()), listed(slots_.size());
  int64_t mapped = 0, resident = 0, draining = 0, uploading = 0;
  for (const int32_t slot : free_) {
    if (++listed[static_cast<size_t>(slot)] > 1) return wrong(slot, "twice in the free list");
    if (state(slot) != SlotState::kFree || chunk_state(chunk_of(slot)) != ChunkState::kMapped) {
      return wrong(slot, "in the free list, but not free in a mapped chunk");
    }
  }
  for (int64_t i = 0; i < max_slots(); ++i) {
    const auto slot = static_cast<int32_t>(i);
    const Slot& entry = slots_[static_cast<size_t>(i)];
    const ChunkState chunk = chunk_state(chunk_of(slot));
    if ((entry.state == SlotState::kAbsent) != (chunk == ChunkState::kAbsent)) return wrong(i, "not as its chunk");
    mapped += chunk != ChunkState::kAbsent ? 1 : 0;
    const bool idle = entry.state == SlotState::kAbsent || entry.state == SlotState::kFree;
    busy[static_cast<size_t>(chunk_of(slot))] += idle ? 0 : 1;
    if (idle && entry.owner >= 0) return wrong(i, "unused, but owned");
    if (entry.state == SlotState::kFree && chunk == ChunkState::kMapped && listed[static_cast<size_t>(i)] == 0) {
      return wrong(i, "free, but lost");
    }
    if (entry.state == SlotState::kResident) {
      ++resident;
      if (entry.owner < 0 || ResidentSlot(entry.owner) != slot) return wrong(i, "its expert is said to be elsewhere");
      if (chunk != ChunkState::kMapped) return wrong(i, "resident in a chunk that is leaving");
    }
    if (entry.state == SlotState::kUploading) {
      ++uploading;
      if (entry.owner < 0 || !Uploading(entry.owner)) return wrong(i, "its upload is unknown");
    }
    draining += entry.state == SlotState::kDraining ? 1 : 0;
  }
  if (mapped != mapped_slots_ || resident != resident_count_ || draining != draining_count_) {
    return Internal("slot counts are off");
  }
  for (size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    if (busy[chunk] != chunks_[chunk].busy) return Internal(fmt::format("chunk {}: busy count is off", chunk));
  }
  const auto ids = static_cast<int64_t>(resident_.size());
  for (int32_t id = 0; id < ids; ++id) {
    if (const int32_t slot = ResidentSlot(id);
        slot >= 0 && (state(slot) != SlotState::kResident || owner(slot) != id)) {
      return Internal(fmt::format("expert {}: said to be in slot {}, which has another", id, slot));
    }
    if (ResidentSlot(id) >= 0 && Uploading(id)) return Internal(fmt::format("expert {}: resident and uploading", id));
    uploading -= Uploading(id) ? 1 : 0;
  }
  if (uploading != 0) return Internal("an upload is counted twice or not at all");
  int64_t last = -1;
  for (int64_t i = 0; i < draining_count_; ++i) {
    const int32_t slot = draining_[static_cast<size_t>((draining_head_ + i) % max_slots())];
    if (state(slot) != SlotState::kDraining) return wrong(slot, "in the draining list, but not draining");
    if (slots_[static_cast<size_t>(slot)].drain_step < last) return wrong(slot, "out of order in the draining list");
    last = slots_[static_cast<size_t>(slot)].drain_step;
  }
  return Status();
}

}  // namespace qnext
