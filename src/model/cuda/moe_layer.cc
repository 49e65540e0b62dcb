// The MLP half of a layer: routed experts with a shared expert, or one dense MLP.
#include "base/check.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/router.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/cuda/step.h"
#include "model/cuda/gpu_layers.h"
#include "model/cuda/gpu_weights.h"
#include "model/cuda/hybrid_experts.h"
#include "model/cuda/prompt_experts.h"

namespace qnext::cuda {
namespace {

GpuInput Normed(const GpuBlock& block) {
  return {.x = block.ws.normed, .width = block.config.hidden_size, .codes = block.ws.normed_codes};
}

// ws.mlp_out = down(ws.mlp_gate, ws.mlp_up).
Status FinishMlp(const GpuBlock& block, const MlpWeights& weights) {
  const GpuWorkspace& ws = block.ws;
  const int64_t width = weights.gate_proj.out;
  const InputForms forms = FormsFor({&weights.down_proj});
  Int8Rows codes = ws.mlp_codes;
  codes.in_padded = RoundUp(width, kInt4BlockInputs);
  QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kMlpActivation, 0, LaunchSiluMul,
                                  {.gate = ws.mlp_gate,
                                   .up = ws.mlp_up,
                                   .out = FloatsIf(forms.floats, ws.mlp_hidden),
                                   .quantized = CodesIf(forms.codes, codes),
                                   .m = block.m,
                                   .dim = width}));
  return RunProducts(block, StepKernel::kMlpOutput, {.x = ws.mlp_hidden, .width = width, .codes = codes},
                     {{.weight = &weights.down_proj, .y = ws.mlp_out}});
}

// The inputs of the experts where each has an order of its own.
Status OrderInputs(const GpuBlock& block, const MoeWeights& weights, int64_t moe_layer, ExpertsArgs& args) {
  const GpuWorkspace& ws = block.ws;
  const int64_t d = block.config.hidden_size, at = moe_layer * (block.plan.num_experts() + 1) * d;
  const auto order = [&](const int32_t* orders, const Int8Rows& out) {
    return block.Run(StepKernel::kOrderInputs, 0, LaunchQuantizeEntries,
                     {.x = ws.normed,
                      .experts = ws.experts,
                      .orders = orders,
                      .out = out,
                      .m = block.m,
                      .in = d,
                      .entries = args.entries,
                      .num_experts = block.plan.num_experts()});
  };
  args.x = ws.entry_inputs;
  args.x_per_entry = true;
  QNEXT_RETURN_IF_ERROR(order(block.places.gate_orders + at, ws.entry_inputs));
  if (!weights.separate_up) return Status();
  args.x_up = ws.entry_up_inputs;
  return order(block.places.up_orders + at, ws.entry_up_inputs);
}

// ws.moe_out = the weighted sum of the chosen experts, the shared one among them if it has a slot.
Status RunExperts(const GpuBlock& block, const MoeWeights& weights, int64_t moe_layer, bool shared_in_slots) {
  const GpuWorkspace& ws = block.ws;
  const GpuWeightPlan& plan = block.plan;
  const ExpertLayout& layout = plan.experts()[static_cast<size_t>(moe_layer)];
  ExpertsArgs args = {.slots = SlotsOf(plan, block.places, moe_layer),
                      .entry_slots = ws.entry_slots,
                      .entry_weights = ws.entry_weights,
                      .x = ws.normed_codes,
                      .x_up = {},
                      .x_per_entry = false,
                      .hidden = ws.entry_hidden,
                      .out = ws.moe_out,
                      .m = block.m,
                      .entries = block.config.num_experts_per_token + 1};
  if (layout.ordered) QNEXT_RETURN_IF_ERROR(OrderInputs(block, weights, moe_layer, args));
  const int64_t top = block.config.num_experts_per_token, computed = top + (shared_in_slots ? 1 : 0);
  if (block.partial.step != nullptr) {
    HybridExperts& hybrid = *block.partial.step;
    if (block.Admits(StepKernel::kFetch)) QNEXT_RETURN_IF_ERROR(hybrid.LaunchFetch(moe_layer));
    QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kExperts, block.m * computed * layout.bytes(), LaunchExperts, args));
    if (block.partial.between != nullptr) QNEXT_RETURN_IF_ERROR((*block.partial.between)(moe_layer));
    if (!block.Admits(StepKernel::kAwaitCpu)) return Status();
    return hybrid.LaunchAwait(moe_layer, ws.step, block.m, ws.moe_out);
  }
  if (block.m <= kMaxDecodeRows && block.partial.prompt == nullptr) {
    return block.Run(StepKernel::kExperts, block.m * computed * layout.bytes(), LaunchExperts, args);
  }
  // A prompt's experts that are not all in slots go by their own numbers.
  const int64_t first = block.partial.prompt != nullptr ? 0 : plan.ResidentSlot(moe_layer, 0);
  const ExpertGroupsScratch groups = {
      .counts = ws.group_counts,
      .pair_rows = ws.group_pairs,
      .pair_out = ws.pair_out,
      .slots_begin = first,
      .slots_count = plan.num_experts(),
      .shared_slot = shared_in_slots ? static_cast<int32_t>(first + plan.num_experts()) : -1};
  if (!block.Admits(StepKernel::kExperts)) return Status();
  if (block.partial.prompt != nullptr) return block.partial.prompt->Run(moe_layer, top, args, groups);
  return LaunchExpertsGrouped(args, groups, block.stream);
}

}  // namespace

InputForms MoeForms(const MoeWeights& weights, bool ordered_experts) {
  InputForms forms = FormsFor({&weights.router});
  if (weights.shared_expert_gate.out > 0) {
    const InputForms shared =
        FormsFor({&weights.shared_expert_gate, &weights.shared_expert.gate_proj, &weights.shared_expert.up_proj});
    forms = {.floats = forms.floats || shared.floats, .codes = forms.codes || shared.codes};
  }
  (ordered_experts ? forms.floats : forms.codes) = true;
  return forms;
}

InputForms DenseMlpForms(const MlpWeights& weights) { return FormsFor({&weights.gate_proj, &weights.up_proj}); }

Result<PendingSum> RunMoe(const GpuBlock& block, const MoeWeights& weights, int64_t moe_layer) {
  const ModelConfig& c = block.config;
  const GpuWorkspace& ws = block.ws;
  const GpuWeightPlan& plan = block.plan;
  const bool has_shared = c.shared_expert_intermediate_size > 0;
  const bool apart = has_shared && !plan.shared_in_slots();  // the shared expert runs as linears of its own
  const MlpWeights& shared = weights.shared_expert;

  const GpuProduct router = {.weight = &weights.router, .y = ws.router_logits};
  const GpuProduct shared_gate = {.weight = &weights.shared_expert_gate, .y = ws.shared_gate};
  if (apart) {
    QNEXT_RETURN_IF_ERROR(RunProducts(block, StepKernel::kRouterLogits, Normed(block),
                                      {router,
                                       shared_gate,
                                       {.weight = &shared.gate_proj, .y = ws.mlp_gate},
                                       {.weight = &shared.up_proj, .y = ws.mlp_up}}));
  } else if (has_shared) {
    QNEXT_RETURN_IF_ERROR(RunProducts(block, StepKernel::kRouterLogits, Normed(block), {router, shared_gate}));
  } else {
    QNEXT_RETURN_IF_ERROR(RunProducts(block, StepKernel::kRouterLogits, Normed(block), {router}));
  }
  const int64_t top = c.num_experts_per_token;
  const bool by_number = block.partial.prompt != nullptr;
  const int64_t shared_slot = by_number ? plan.num_experts() : plan.SharedSlot(moe_layer);
  ExpertPlacement placement = {.slot_map = by_number ? nullptr : block.places.slot_map + moe_layer * plan.num_experts(),
                               .fetch_slots = nullptr,
                               .fetch_quota = nullptr};
  ExpertLists lists = {};
  ExpertPost post = {};
  if (block.partial.step != nullptr) {
    placement = block.partial.step->Placement(moe_layer);
    lists = block.partial.step->Lists(moe_layer);
    post = block.partial.step->Post(moe_layer, ws.step, ws.normed_codes);
  }
  QNEXT_RETURN_IF_ERROR(
      block.Run(StepKernel::kRouter, 0, LaunchRouterSplit,
                {.logits = ws.router_logits,
                 .shared_gate = has_shared && !apart ? ws.shared_gate : nullptr,
                 .forced = block.forced != nullptr ? block.forced + moe_layer * block.m * top : nullptr,
                 .placement = placement,
                 .shared_slot = has_shared && !apart ? static_cast<int32_t>(shared_slot) : -1,
                 .experts = ws.experts,
                 .weights = ws.expert_weights,
                 .entry_slots = ws.entry_slots,
                 .entry_weights = ws.entry_weights,
                 .lists = lists,
                 .post = post,
                 .m = block.m,
                 .num_experts = c.num_experts,
                 .top = top,
                 .normalize = c.norm_topk_prob}));
  QNEXT_RETURN_IF_ERROR(RunExperts(block, weights, moe_layer, has_shared && !apart));
  if (!apart) return PendingSum{.addend = ws.moe_out};
  QNEXT_RETURN_IF_ERROR(FinishMlp(block, shared));
  return PendingSum{.addend = ws.moe_out, .shared = ws.mlp_out, .shared_gate = ws.shared_gate};
}

Result<PendingSum> RunDenseMlp(const GpuBlock& block, const MlpWeights& weights) {
  const GpuWorkspace& ws = block.ws;
  QNEXT_RETURN_IF_ERROR(
      RunProducts(block, StepKernel::kMlpInputs, Normed(block),
                  {{.weight = &weights.gate_proj, .y = ws.mlp_gate}, {.weight = &weights.up_proj, .y = ws.mlp_up}}));
  QNEXT_RETURN_IF_ERROR(FinishMlp(block, weights));
  return PendingSum{.addend = ws.mlp_out};
}

}  // namespace qnext::cuda
