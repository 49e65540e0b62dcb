// The launches of a decode step whose experts are partly in VRAM and partly in RAM. docs/expert-cache.md
#pragma once

#include "kernels/cuda/expert_mail.h"
#include "kernels/cuda/launch.h"

namespace qnext::cuda {

// The first kernel of a step: what changed since the step before goes from mapped host memory to the device.
struct BeginHybridStepArgs {
  const int32_t* change_count;  // mapped, as all that follows but the last three
  const SlotChange* changes;    // [change_count]
  const int32_t* fetch_slots;   // [layers, max_fetch]
  const int32_t* fetch_quotas;  // [layers]
  int32_t* device_slot_map;     // [layers, E]
  int32_t* device_fetch_slots;
  int32_t* device_fetch_quotas;
  int64_t layers, max_fetch;
};
Status LaunchBeginHybridStep(const BeginHybridStepArgs& args, Stream stream);

// Copies words from mapped memory to the device, by a kernel: a copy of the driver's would queue behind the experts
// that cross the link.
Status LaunchCopyWords(const int32_t* from, int32_t* to, int64_t words, Stream stream);

// Copies experts from RAM into slots: the i-th of `count` from source + experts[i] * stride to target + slots[i] *
// stride. Lists are device memory, which every thread reads. `blocks`: how many blocks share the work.
struct FetchExpertsArgs {
  const std::byte* source;  // pinned host memory, mapped; 16-byte aligned
  std::byte* target;        // device memory
  int64_t stride, bytes;    // of an expert; multiples of 16
  const int32_t* count;
  const int32_t* experts;
  const int32_t* slots;
  int64_t blocks;
  ExpertMail* mail = nullptr;  // its fetch_ns is written, if there is one
};
Status LaunchFetchExperts(const FetchExpertsArgs& args, Stream stream);

// Waits for the CPU's part of a layer and adds it: out += sum. Where cpu_count is 0 there is nothing to wait for. The
// wait ends without a sum when `abort` is set, and sets it itself after `limit_ns`: whatever follows is of no use then.
struct AwaitCpuArgs {
  const int32_t* cpu_count;  // device memory
  const uint32_t* done;      // mapped: the step whose sum is there
  const uint32_t* step;      // device memory: the number of the last finished step
  uint32_t* abort;           // mapped
  const float* sum;          // mapped [m, dim], 16-byte aligned
  float* out;                // [m, dim] device memory, 16-byte aligned
  ExpertMail* mail;          // its served_ns and summed_ns are written
  int64_t m, dim;            // dim a multiple of 4
  uint64_t limit_ns;
};
Status LaunchAwaitCpu(const AwaitCpuArgs& args, Stream stream);

}  // namespace qnext::cuda
