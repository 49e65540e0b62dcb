// The MLP half of a layer: routed experts with a shared expert, or one dense MLP.
//
// Tokens are grouped by expert: pair row p stands for one (token, expert) choice, rows of one expert are consecutive,
// and every expert computes its rows as one product. In decode (one token) all experts read the same single input row.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "model/layers.h"

namespace qnext {
namespace {

// Fills expert_begin, pair_tokens, pair_experts and slots from ws.experts (a counting sort, stable in the token).
void GroupByExpert(const ModelConfig& c, int64_t tokens, Workspace& ws) {
  const int64_t pairs = tokens * c.num_experts_per_token;
  std::ranges::fill(ws.expert_begin, 0);
  for (int64_t i = 0; i < pairs; ++i) ++ws.expert_begin[static_cast<size_t>(ws.experts[i]) + 1];
  for (size_t e = 1; e < ws.expert_begin.size(); ++e) ws.expert_begin[e] += ws.expert_begin[e - 1];
  // Placing advances each expert's begin to its end; shifting back restores the begins.
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t row = ws.expert_begin[static_cast<size_t>(ws.experts[i])]++;
    ws.slots[i] = row;
    ws.pair_tokens[row] = static_cast<int32_t>(i / c.num_experts_per_token);
    ws.pair_experts[row] = ws.experts[i];
  }
  for (size_t e = ws.expert_begin.size() - 1; e > 0; --e) ws.expert_begin[e] = ws.expert_begin[e - 1];
  ws.expert_begin[0] = 0;
}

void CopyInt8Row(const Int8Rows& from, int64_t from_row, const Int8Rows& to) {
  const int64_t width = from.in_padded, runs = width / kInt4BlockInputs;
  std::memcpy(to.codes, from.codes + from_row * width, static_cast<size_t>(width));
  std::memcpy(to.scales, from.scales + from_row * runs, static_cast<size_t>(runs) * sizeof(float));
  std::memcpy(to.sums, from.sums + from_row * runs, static_cast<size_t>(runs) * sizeof(int32_t));
}

// Rows copied as they are stand as far apart as prepared ones, so that experts of both kinds can share a buffer.
int64_t PlainStride(const Linear& linear) { return RoundUp(linear.in, kInt4BlockInputs); }

// Gathers the input rows of all pairs for gate_proj (or up_proj) of their experts into `buffer`.
void GatherPairs(const BlockContext& block, const MoeWeights& weights, Linear MlpWeights::*which, InputBuffer& buffer) {
  const ModelConfig& c = block.config;
  const OpContext& ops = block.ops;
  Workspace& ws = block.ws;
  // Rows that every expert reads in the checkpoint's own order are quantized once per token and copied.
  const Linear& first = weights.experts[static_cast<size_t>(ws.pair_experts[0])].*which;
  const bool quantize_once = ops.activations == Activations::kInt8 && first.is_int4() && first.permutation.empty();
  const LinearInput shared =
      quantize_once ? ws.inputs.Get(ops, first, ws.normed.data(), block.tokens, c.hidden_size) : LinearInput{};
  ParallelItems(ops, block.tokens * c.num_experts_per_token, [&](Range part) {
    for (int64_t p = part.begin; p < part.end; ++p) {
      const Linear& linear = weights.experts[static_cast<size_t>(ws.pair_experts[p])].*which;
      const float* x = ws.normed.data() + ws.pair_tokens[p] * c.hidden_size;
      if (ReadsPlainRows(linear, ops.activations)) {
        std::copy_n(x, c.hidden_size, buffer.floats(PlainStride(linear), p));
      } else if (quantize_once && linear.permutation.empty()) {
        CopyInt8Row(shared.int8, ws.pair_tokens[p], buffer.int8(linear.in_padded(), p));
      } else {
        PrepareRow(ops, linear, x, buffer, p);
      }
    }
  });
}

// The view of an expert's pair rows after GatherPairs.
LinearInput PairRows(const BlockContext& block, const Linear& linear, InputBuffer& buffer, int64_t first,
                     int64_t rows) {
  if (ReadsPlainRows(linear, block.ops.activations)) {
    return {.rows = rows, .x = buffer.floats(PlainStride(linear), first), .x_stride = PlainStride(linear)};
  }
  return PreparedRows(block.ops, linear, buffer, first, rows);
}

// Whether gate, up, activation and quantization of this MLP run as one op.
bool IsFused(const OpContext& ops, const MlpWeights& mlp) {
  return ops.activations == Activations::kInt8 && mlp.gate_proj.is_int4() && mlp.up_proj.is_int4() &&
         mlp.down_proj.is_int4() && mlp.down_proj.permutation.empty();
}

// Adds the first half of an MLP over `rows` rows to the batch of products: fused, or gate_proj and up_proj alone.
void AddGateUp(const BlockContext& block, const MlpWeights& mlp, const LinearInput& gate_input,
               const LinearInput& up_input, float* gate, float* up, InputBuffer& down_input, int64_t first) {
  const int64_t width = mlp.gate_proj.out;
  Product product = {.weight = &mlp.gate_proj, .input = gate_input, .y = gate + first * width, .y_stride = width};
  if (IsFused(block.ops, mlp)) {
    product.up = &mlp.up_proj;
    product.up_input = up_input;
    product.up_y = up + first * width;
    product.activated = down_input.int8(mlp.down_proj.in_padded(), first);
    block.ws.products.push_back(product);
    return;
  }
  block.ws.products.push_back(product);
  block.ws.products.push_back({.weight = &mlp.up_proj, .input = up_input, .y = up + first * width, .y_stride = width});
}

// gate = silu(gate) * up for row `row`, and its prepared form for down_proj where that needs one. Nothing where the
// product did it.
void Activate(const OpContext& ops, const MlpWeights& mlp, float* gate, const float* up, int64_t row,
              InputBuffer& prepared) {
  if (IsFused(ops, mlp)) return;
  const Linear& down = mlp.down_proj;
  const int64_t width = down.in;
  float* h = gate + row * width;
  ops.kernels.silu_mul({.gate = h, .up = up + row * width, .out = h, .dim = width}, Range{0, 1});
  if (!ReadsPlainRows(down, ops.activations)) PrepareRow(ops, down, h, prepared, row);
}

LinearInput ActivatedRows(const OpContext& ops, const Linear& down, float* gate, int64_t first, int64_t rows,
                          InputBuffer& prepared) {
  if (ReadsPlainRows(down, ops.activations)) return {.rows = rows, .x = gate + first * down.in, .x_stride = down.in};
  return PreparedRows(ops, down, prepared, first, rows);
}

// Adds gate_proj and up_proj of one MLP over all tokens to the batch of products.
void AddGateUp(const BlockContext& block, const MlpWeights& mlp) {
  Workspace& ws = block.ws;
  const auto input = [&](const Linear& linear) {
    return ws.inputs.Get(block.ops, linear, ws.normed.data(), block.tokens, block.config.hidden_size);
  };
  AddGateUp(block, mlp, input(mlp.gate_proj), input(mlp.up_proj), ws.mlp_gate.data(), ws.mlp_up.data(),
            ws.mlp_down_input, 0);
}

void AddDown(const BlockContext& block, const MlpWeights& mlp, float* y) {
  Workspace& ws = block.ws;
  ws.products.push_back(
      {.weight = &mlp.down_proj,
       .input = ActivatedRows(block.ops, mlp.down_proj, ws.mlp_gate.data(), 0, block.tokens, ws.mlp_down_input),
       .y = y,
       .y_stride = block.config.hidden_size});
}

}  // namespace

void RunMoe(const BlockContext& block, const MoeWeights& weights, bool forced) {
  const ModelConfig& c = block.config;
  const OpContext& ops = block.ops;
  Workspace& ws = block.ws;
  const int64_t tokens = block.tokens, top = c.num_experts_per_token;
  const int64_t pairs = tokens * top;
  const bool shared = c.shared_expert_intermediate_size > 0;

  ws.inputs.Clear();
  ws.products.clear();
  ws.products.push_back({.weight = &weights.router,
                         .input = ws.inputs.Get(ops, weights.router, ws.normed.data(), tokens, c.hidden_size),
                         .y = ws.router_logits.data(),
                         .y_stride = c.num_experts});
  RunProducts(ops, ws.products, ws.first_item);
  const RouterArgs router = {.logits = ws.router_logits.data(),
                             .experts = ws.experts.data(),
                             .weights = ws.expert_weights.data(),
                             .num_experts = c.num_experts,
                             .top = top,
                             .normalize = c.norm_topk_prob,
                             .forced = forced};
  ParallelItems(ops, tokens, [&](Range part) { ops.kernels.router(router, part); });
  GroupByExpert(c, tokens, ws);

  // The first half of every chosen expert and of the shared expert: one parallel loop.
  const bool one_row =
      tokens == 1 && std::ranges::all_of(ws.experts.span().first(static_cast<size_t>(top)), [&](int32_t e) {
        const MlpWeights& expert = weights.experts[static_cast<size_t>(e)];
        return expert.gate_proj.permutation.empty() && expert.up_proj.permutation.empty();
      });
  if (!one_row) {
    GatherPairs(block, weights, &MlpWeights::gate_proj, ws.pair_gate_input);
    if (weights.separate_up) GatherPairs(block, weights, &MlpWeights::up_proj, ws.pair_up_input);
  }
  ws.products.clear();
  bool all_fused = !shared || IsFused(ops, weights.shared_expert);
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const int64_t first = ws.expert_begin[static_cast<size_t>(e)];
    const int64_t rows = ws.expert_begin[static_cast<size_t>(e) + 1] - first;
    if (rows == 0) continue;
    const MlpWeights& expert = weights.experts[static_cast<size_t>(e)];
    const auto input = [&](const Linear& linear, InputBuffer& buffer) {
      return one_row ? ws.inputs.Get(ops, linear, ws.normed.data(), 1, c.hidden_size)
                     : PairRows(block, linear, buffer, first, rows);
    };
    AddGateUp(block, expert, input(expert.gate_proj, ws.pair_gate_input),
              input(expert.up_proj, weights.separate_up ? ws.pair_up_input : ws.pair_gate_input), ws.pair_gate.data(),
              ws.pair_up.data(), ws.pair_down_input, first);
    all_fused = all_fused && IsFused(ops, expert);
  }
  if (shared) {
    AddGateUp(block, weights.shared_expert);
    ws.products.push_back(
        {.weight = &weights.shared_expert_gate,
         .input = ws.inputs.Get(ops, weights.shared_expert_gate, ws.normed.data(), tokens, c.hidden_size),
         .y = ws.shared_gate.data(),
         .y_stride = 1});
  }
  RunProducts(ops, ws.products, ws.first_item);

  if (!all_fused) {
    ParallelItems(ops, pairs + (shared ? tokens : 0), [&](Range part) {
      for (int64_t row = part.begin; row < part.end; ++row) {
        if (row < pairs) {
          const MlpWeights& expert = weights.experts[static_cast<size_t>(ws.pair_experts[row])];
          Activate(ops, expert, ws.pair_gate.data(), ws.pair_up.data(), row, ws.pair_down_input);
        } else {
          Activate(ops, weights.shared_expert, ws.mlp_gate.data(), ws.mlp_up.data(), row - pairs, ws.mlp_down_input);
        }
      }
    });
  }

  ws.products.clear();
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const int64_t first = ws.expert_begin[static_cast<size_t>(e)];
    const int64_t rows = ws.expert_begin[static_cast<size_t>(e) + 1] - first;
    if (rows == 0) continue;
    const Linear& down = weights.experts[static_cast<size_t>(e)].down_proj;
    ws.products.push_back({.weight = &down,
                           .input = ActivatedRows(ops, down, ws.pair_gate.data(), first, rows, ws.pair_down_input),
                           .y = ws.pair_out.data() + first * c.hidden_size,
                           .y_stride = c.hidden_size});
  }
  if (shared) AddDown(block, weights.shared_expert, ws.mixed.data());
  RunProducts(ops, ws.products, ws.first_item);

  const CombineExpertsArgs combine = {.residual = ws.hidden.data(),
                                      .rows = ws.pair_out.data(),
                                      .slots = ws.slots.data(),
                                      .weights = ws.expert_weights.data(),
                                      .shared = shared ? ws.mixed.data() : nullptr,
                                      .shared_gate = ws.shared_gate.data(),
                                      .out = ws.hidden.data(),
                                      .dim = c.hidden_size,
                                      .top = top};
  ParallelItems(ops, tokens, [&](Range part) { ops.kernels.combine_experts(combine, part); });
}

void RunDenseMlp(const BlockContext& block, const MlpWeights& weights) {
  const OpContext& ops = block.ops;
  Workspace& ws = block.ws;
  ws.inputs.Clear();
  ws.products.clear();
  AddGateUp(block, weights);
  RunProducts(ops, ws.products, ws.first_item);
  ParallelItems(ops, block.tokens, [&](Range part) {
    for (int64_t row = part.begin; row < part.end; ++row) {
      Activate(ops, weights, ws.mlp_gate.data(), ws.mlp_up.data(), row, ws.mlp_down_input);
    }
  });
  ws.products.clear();
  AddDown(block, weights, ws.mixed.data());
  RunProducts(ops, ws.products, ws.first_item);
  AddMixed(block);
}

}  // namespace qnext
