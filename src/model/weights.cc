#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "checkpoint/tensor_list.h"
#include "quant/gptq.h"

namespace qnext {
namespace {

// Where each name of the tensor list lands.
struct Destinations {
  std::unordered_map<std::string, Linear*> linears;        // by module name
  std::unordered_map<std::string, const float**> vectors;  // by tensor name
};

void BindMlp(const std::string& prefix, MlpWeights& mlp, Destinations& to) {
  to.linears[prefix + "gate_proj"] = &mlp.gate_proj;
  to.linears[prefix + "up_proj"] = &mlp.up_proj;
  to.linears[prefix + "down_proj"] = &mlp.down_proj;
}

void BindMixer(const std::string& prefix, LayerKind kind, LayerWeights& layer, Destinations& to) {
  if (kind == LayerKind::kFullAttention) {
    AttentionWeights& a = layer.self_attn;
    const std::string p = prefix + "self_attn.";
    to.linears[p + "q_proj"] = &a.q_proj;
    to.linears[p + "k_proj"] = &a.k_proj;
    to.linears[p + "v_proj"] = &a.v_proj;
    to.linears[p + "o_proj"] = &a.o_proj;
    to.vectors[p + "q_norm.weight"] = &a.q_norm;
    to.vectors[p + "k_norm.weight"] = &a.k_norm;
    return;
  }
  DeltaNetWeights& d = layer.linear_attn;
  const std::string p = prefix + "linear_attn.";
  to.linears[p + "in_proj_qkvz"] = &d.in_proj_qkvz;
  to.linears[p + "in_proj_ba"] = &d.in_proj_ba;
  to.linears[p + "out_proj"] = &d.out_proj;
  to.vectors[p + "conv1d.weight"] = &d.conv1d;
  to.vectors[p + "A_log"] = &d.a_log;
  to.vectors[p + "dt_bias"] = &d.dt_bias;
  to.vectors[p + "norm.weight"] = &d.norm;
}

Destinations Bind(const ModelConfig& config, ModelWeights& weights) {
  Destinations to;
  to.linears["model.embed_tokens"] = &weights.embed_tokens;
  to.linears["lm_head"] = &weights.lm_head;
  to.vectors["model.norm.weight"] = &weights.norm;
  weights.layers.resize(static_cast<size_t>(config.num_layers));
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    LayerWeights& layer = weights.layers[i];
    const std::string prefix = fmt::format("model.layers.{}.", i);
    to.vectors[prefix + "input_layernorm.weight"] = &layer.input_layernorm;
    to.vectors[prefix + "post_attention_layernorm.weight"] = &layer.post_attention_layernorm;
    BindMixer(prefix, config.layer_kinds[i], layer, to);
    if (!config.layer_is_moe[i]) {
      BindMlp(prefix + "mlp.", layer.mlp, to);
      continue;
    }
    to.linears[prefix + "mlp.gate"] = &layer.moe.router;
    to.linears[prefix + "mlp.shared_expert_gate"] = &layer.moe.shared_expert_gate;
    BindMlp(prefix + "mlp.shared_expert.", layer.moe.shared_expert, to);
    layer.moe.experts.resize(static_cast<size_t>(config.num_experts));
    for (size_t e = 0; e < layer.moe.experts.size(); ++e) {
      BindMlp(fmt::format("{}mlp.experts.{}.", prefix, e), layer.moe.experts[e], to);
    }
  }
  return to;
}

// One module's GPTQ tensors, read into memory of their own.
struct GptqBytes {
  std::vector<int32_t> qweight, qzeros, g_idx;
  std::vector<uint16_t> scales;
  GptqTensors tensors;
  bool symmetric = false;  // the configuration says so
};

Linear PackedLinear(const Int4Layout& layout, const std::byte* data, std::span<const int32_t> permutation) {
  return {.in = layout.in, .out = layout.out, .int4 = {.layout = layout, .data = data}, .permutation = permutation};
}

// Which MLP "model.layers.3.mlp.experts.17.gate_proj" belongs to.
WeightId MlpId(std::string_view gate_proj) {
  constexpr std::string_view kLayers = "model.layers.", kExperts = ".mlp.experts.";
  WeightId id{.role = WeightRole::kSharedExpert, .name = gate_proj.substr(0, gate_proj.rfind('.'))};
  std::from_chars(gate_proj.data() + kLayers.size(), gate_proj.data() + gate_proj.size(), id.layer);
  if (const size_t at = gate_proj.find(kExperts); at != std::string_view::npos) {
    id.role = WeightRole::kRoutedExpert;
    std::from_chars(gate_proj.data() + at + kExperts.size(), gate_proj.data() + gate_proj.size(), id.expert);
  }
  return id;
}

class Loader {
 public:
  Loader(const TensorSource& source, const ModelConfig& config, DenseWeights dense, WeightMemory& memory,
         ModelWeights& weights)
      : source_(source),
        config_(config),
        dense_(dense),
        memory_(memory),
        weights_(weights),
        to_(Bind(config, weights)) {}

  Status Run(ThreadPool& pool, const std::function<void(const LoadProgress&)>& progress);

 private:
  // What one thread loads in one go: a vector, a linear, or the three linears of an MLP (whose orders depend on each
  // other).
  struct Unit {
    const ExpectedTensor* first;
    size_t count;
  };

  Status LoadUnit(const Unit& unit);
  bool IsInt4Mlp(const ExpectedTensor* first, const ExpectedTensor* end) const;
  // Keeps what is wrong with a tensor's contents for Problems(), and gives the status back if it is another error.
  Status Note(const ExpectedTensor& expected, const Status& status);
  Status Problems() const;
  Status LoadVector(const ExpectedTensor& expected);
  Status LoadLinear(const ExpectedTensor& expected);
  Status LoadMlp(const ExpectedTensor* gate_up_down);
  Status LoadDense(const ExpectedTensor& expected, WeightRole role, Linear& out);
  Status LoadInt8(const ExpectedTensor& expected, Linear& out);
  Result<GptqBytes> ReadGptq(const ExpectedTensor& expected);
  Int4Layout LayoutOf(const GptqBytes& bytes) const;
  Result<std::span<const int32_t>> Keep(const std::string& module, const std::vector<int32_t>& permutation);

  template <typename T>
  Status ReadInto(const std::string& name, std::vector<T>& out) {
    const TensorInfo& info = Get(name);
    out.resize(static_cast<size_t>(info.bytes) / sizeof(T));
    bytes_done_ += info.bytes;
    return source_.Read(info, std::as_writable_bytes(std::span(out)));
  }

  const TensorInfo& Get(const std::string& name) const {
    const TensorInfo* info = source_.Find(name);
    QNEXT_CHECK(info != nullptr, "the source has passed CheckTensors");
    return *info;
  }
  bool IsGptq(const std::string& module) const { return source_.Find(module + ".qweight") != nullptr; }

  Linear& Destination(const ExpectedTensor& expected) const {
    const auto found = to_.linears.find(expected.name);
    QNEXT_CHECK(found != to_.linears.end(), "every linear of the tensor list has a place");
    return *found->second;
  }

  const TensorSource& source_;
  const ModelConfig& config_;
  const DenseWeights dense_;
  WeightMemory& memory_;
  ModelWeights& weights_;
  Destinations to_;
  std::atomic<int64_t> bytes_done_{0};
  std::atomic<int64_t> disputed_zeros_{0};
  std::mutex problems_mutex_;
  std::map<const ExpectedTensor*, std::string> problems_;  // of one list, so in its order
};

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

// Every float of a checkpoint passes here, whatever becomes of it: one NaN in a weight makes every answer one.
Status CheckFinite(const TensorInfo& info, const void* elements) {
  const std::optional<int64_t> found = FindNotFinite(elements, info.dtype, *info.shape.Elements());
  if (!found) return Status();
  std::vector<int64_t> index(info.shape.rank());
  int64_t rest = *found;
  for (size_t i = index.size(); i-- > 0; rest /= info.shape[i]) index[i] = rest % info.shape[i];
  return Corrupt(fmt::format("{}: the element at [{}] is not finite", info.name, fmt::join(index, ", ")));
}

Status Loader::Run(ThreadPool& pool, const std::function<void(const LoadProgress&)>& progress) {
  const std::vector<ExpectedTensor> list = ExpectedTensors(config_);
  std::vector<Unit> units;
  for (size_t i = 0; i < list.size();) {
    units.push_back({&list[i], IsInt4Mlp(&list[i], list.data() + list.size()) ? size_t{3} : size_t{1}});
    i += units.back().count;
  }
  std::vector<Status> status(units.size());
  std::atomic<bool> failed{false};
  const LoadProgress total = {.bytes_total = source_.total_bytes()};
  pool.ParallelFor(static_cast<int64_t>(units.size()), 1, [&](Range part, int thread) {
    for (int64_t i = part.begin; i < part.end && !failed; ++i) {
      status[static_cast<size_t>(i)] = LoadUnit(units[static_cast<size_t>(i)]);
      if (!status[static_cast<size_t>(i)].ok()) failed = true;
      if (thread == 0 && progress) progress({.bytes_done = bytes_done_, .bytes_total = total.bytes_total});
    }
  });
  for (const Status& one : status) QNEXT_RETURN_IF_ERROR(one);
  QNEXT_RETURN_IF_ERROR(Problems());
  for (LayerWeights& layer : weights_.layers) {
    layer.moe.separate_up = std::ranges::any_of(layer.moe.experts, [](const MlpWeights& expert) {
      return expert.gate_proj.is_int4() != expert.up_proj.is_int4() ||
             expert.gate_proj.permutation.data() != expert.up_proj.permutation.data();
    });
  }
  weights_.disputed_zeros = disputed_zeros_;
  if (config_.tie_word_embeddings) weights_.lm_head = weights_.embed_tokens;
  if (progress) progress({.bytes_done = total.bytes_total, .bytes_total = total.bytes_total});
  return Status();
}

// Whether gate, up and down of an MLP, listed in this order, are all packed.
bool Loader::IsInt4Mlp(const ExpectedTensor* first, const ExpectedTensor* end) const {
  if (first->role != TensorRole::kLinear || !EndsWith(first->name, "gate_proj")) return false;
  QNEXT_CHECK(end - first > 2 && EndsWith(first[1].name, "up_proj") && EndsWith(first[2].name, "down_proj"),
              "an MLP is listed as gate, up, down");
  return std::all_of(first, first + 3, [&](const ExpectedTensor& expected) { return IsGptq(expected.name); });
}

Status Loader::Note(const ExpectedTensor& expected, const Status& status) {
  if (status.code() != StatusCode::kCorrupt) return status;
  std::lock_guard lock(problems_mutex_);
  problems_.emplace(&expected, status.message());
  return Status();
}

Status Loader::Problems() const {
  constexpr size_t kListed = 20;
  if (problems_.empty()) return Status();
  std::string message =
      fmt::format("{} problem{} with the contents of tensors:", problems_.size(), problems_.size() == 1 ? "" : "s");
  size_t listed = 0;
  for (const auto& [expected, problem] : problems_) {
    if (listed++ == kListed) break;
    message += "\n  " + problem;
  }
  if (problems_.size() > kListed) message += fmt::format("\n  and {} more", problems_.size() - kListed);
  return Corrupt(std::move(message));
}

Status Loader::LoadUnit(const Unit& unit) {
  if (unit.count == 3) return LoadMlp(unit.first);
  return Note(*unit.first, unit.first->role == TensorRole::kVector ? LoadVector(*unit.first) : LoadLinear(*unit.first));
}

Status Loader::LoadVector(const ExpectedTensor& expected) {
  const auto place = to_.vectors.find(expected.name);
  QNEXT_CHECK(place != to_.vectors.end(), "every vector of the tensor list has a place");
  std::vector<std::byte> raw;
  QNEXT_RETURN_IF_ERROR(ReadInto(expected.name, raw));
  const TensorInfo& info = Get(expected.name);
  QNEXT_RETURN_IF_ERROR(CheckFinite(info, raw.data()));
  const int64_t n = *info.shape.Elements();
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece,
                         memory_.Begin({.role = WeightRole::kVector, .name = expected.name}, n * 4));
  float* out = reinterpret_cast<float*>(piece.staging);
  for (int64_t i = 0; i < n; ++i) {
    uint16_t half = 0;
    if (info.dtype == DType::kF32) {
      std::memcpy(&out[i], &raw[static_cast<size_t>(i) * 4], 4);
    } else {
      std::memcpy(&half, &raw[static_cast<size_t>(i) * 2], 2);
      out[i] = info.dtype == DType::kBF16 ? BF16ToFloat(half) : F16ToFloat(half);
    }
  }
  *place->second = reinterpret_cast<const float*>(piece.place);
  return memory_.Commit(piece);
}

Status Loader::LoadDense(const ExpectedTensor& expected, WeightRole role, Linear& out) {
  // The embedding is listed under its tensor name, a linear under its module name.
  const std::string name = EndsWith(expected.name, ".weight") ? expected.name : expected.name + ".weight";
  const TensorInfo& info = Get(name);
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece, memory_.Begin({.role = role, .name = expected.name}, info.bytes));
  QNEXT_RETURN_IF_ERROR(source_.Read(info, {piece.staging, static_cast<size_t>(info.bytes)}));
  bytes_done_ += info.bytes;
  const Status finite = CheckFinite(info, piece.staging);
  out = {.in = expected.shape[1], .out = expected.shape[0], .dtype = info.dtype, .dense = piece.place};
  QNEXT_RETURN_IF_ERROR(memory_.Commit(piece));  // either way, so that its buffer is free again
  return finite;
}

Status Loader::LoadInt8(const ExpectedTensor& expected, Linear& out) {
  const std::string name = expected.name + ".weight";
  std::vector<uint16_t> raw;
  QNEXT_RETURN_IF_ERROR(ReadInto(name, raw));
  QNEXT_RETURN_IF_ERROR(CheckFinite(Get(name), raw.data()));
  const Int8Layout layout = {.out = expected.shape[0], .in = expected.shape[1]};
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece,
                         memory_.Begin({.role = WeightRole::kLinear, .name = expected.name}, layout.bytes()));
  const Status packed = PackInt8(raw.data(), Get(name).dtype, layout, piece.staging);
  if (!packed.ok()) return packed.WithContext(name);
  out = {.in = layout.in, .out = layout.out, .int8 = {.layout = layout, .data = piece.place}, .permutation = {}};
  return memory_.Commit(piece);
}

Result<GptqBytes> Loader::ReadGptq(const ExpectedTensor& expected) {
  const std::string& module = expected.name;
  GptqBytes bytes;
  QNEXT_RETURN_IF_ERROR(ReadInto(module + ".qweight", bytes.qweight));
  QNEXT_RETURN_IF_ERROR(ReadInto(module + ".qzeros", bytes.qzeros));
  QNEXT_RETURN_IF_ERROR(ReadInto(module + ".scales", bytes.scales));
  if (source_.Find(module + ".g_idx") != nullptr) QNEXT_RETURN_IF_ERROR(ReadInto(module + ".g_idx", bytes.g_idx));
  const TensorInfo& scales = Get(module + ".scales");
  QNEXT_RETURN_IF_ERROR(CheckFinite(scales, bytes.scales.data()));
  bytes.tensors = {.in = expected.shape[1],
                   .out = expected.shape[0],
                   .groups = scales.shape[0],
                   .qweight = bytes.qweight,
                   .qzeros = bytes.qzeros,
                   .scales = bytes.scales,
                   .scale_dtype = scales.dtype,
                   .g_idx = bytes.g_idx,
                   .format = config_.quantization->format()};
  const Status valid = ValidateGptq(bytes.tensors);
  if (!valid.ok()) return valid.WithContext(module);
  const std::optional<GptqParams> params = config_.quantization->ForModule(module);
  QNEXT_CHECK(params.has_value(), "CheckTensors has compared storage and configuration");
  bytes.symmetric = params->symmetric;
  if (!bytes.symmetric) disputed_zeros_ += bytes.tensors.DisputedZeros();
  if (params->symmetric && Int4LayoutFor(bytes.tensors).has_zeros) {
    return Corrupt(fmt::format("{}.qzeros: the configuration says sym, but a zero point differs from 8", module));
  }
  return bytes;
}

Int4Layout Loader::LayoutOf(const GptqBytes& bytes) const {
  Int4Layout layout = Int4LayoutFor(bytes.tensors);
  if (memory_.fixed_layouts()) layout.has_zeros = !bytes.symmetric;
  return layout;
}

Result<std::span<const int32_t>> Loader::Keep(const std::string& module, const std::vector<int32_t>& permutation) {
  if (permutation.empty()) return std::span<const int32_t>();
  const std::string name = module + ".g_idx";
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece, memory_.Begin({.role = WeightRole::kVector, .name = name},
                                                                static_cast<int64_t>(permutation.size()) * 4));
  std::copy(permutation.begin(), permutation.end(), reinterpret_cast<int32_t*>(piece.staging));
  QNEXT_RETURN_IF_ERROR(memory_.Commit(piece));
  return std::span(reinterpret_cast<const int32_t*>(piece.place), permutation.size());
}

Status Loader::LoadLinear(const ExpectedTensor& expected) {
  if (expected.role == TensorRole::kEmbedding) {
    return LoadDense(expected, WeightRole::kEmbedding, weights_.embed_tokens);
  }
  Linear& out = Destination(expected);
  if (!IsGptq(expected.name)) {
    if (BecomesInt8(expected, Get(expected.name + ".weight").dtype, dense_)) return LoadInt8(expected, out);
    return LoadDense(expected, WeightRole::kLinear, out);
  }
  QNEXT_ASSIGN_OR_RETURN(const GptqBytes bytes, ReadGptq(expected));
  QNEXT_ASSIGN_OR_RETURN(const std::span<const int32_t> order,
                         Keep(expected.name, Int4InputPermutation(bytes.tensors)));
  const Int4Layout layout = LayoutOf(bytes);
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece,
                         memory_.Begin({.role = WeightRole::kLinear, .name = expected.name}, layout.bytes()));
  PackInt4(bytes.tensors, layout, Int4InputPermutation(bytes.tensors), {}, piece.staging);
  out = PackedLinear(layout, piece.place, order);
  return memory_.Commit(piece);
}

Status Loader::LoadMlp(const ExpectedTensor* gate_up_down) {
  const Result<GptqBytes> parts[] = {ReadGptq(gate_up_down[0]), ReadGptq(gate_up_down[1]), ReadGptq(gate_up_down[2])};
  for (int i = 0; i < 3; ++i) QNEXT_RETURN_IF_ERROR(Note(gate_up_down[i], parts[i].status()));
  if (!std::ranges::all_of(parts, &Result<GptqBytes>::ok)) return Status();
  const GptqBytes &gate = *parts[0], &up = *parts[1], &down = *parts[2];
  // Rows of gate and up come out in the order in which down reads its inputs, so nothing is gathered between them.
  const std::vector<int32_t> down_order = Int4InputPermutation(down.tensors);
  const std::vector<int32_t> gate_order = Int4InputPermutation(gate.tensors);
  const std::vector<int32_t> up_order = Int4InputPermutation(up.tensors);
  QNEXT_ASSIGN_OR_RETURN(const std::span<const int32_t> gate_kept, Keep(gate_up_down[0].name, gate_order));
  std::span<const int32_t> up_kept = gate_kept;
  if (up_order != gate_order) {
    QNEXT_ASSIGN_OR_RETURN(up_kept, Keep(gate_up_down[1].name, up_order));
  }

  const Int4Layout layouts[] = {LayoutOf(gate), LayoutOf(up), LayoutOf(down)};
  const int64_t up_at = layouts[0].bytes(), down_at = up_at + layouts[1].bytes();
  QNEXT_ASSIGN_OR_RETURN(const WeightPiece piece,
                         memory_.Begin(MlpId(gate_up_down[0].name), down_at + layouts[2].bytes()));
  PackInt4(gate.tensors, layouts[0], gate_order, down_order, piece.staging);
  PackInt4(up.tensors, layouts[1], up_order, down_order, piece.staging + up_at);
  PackInt4(down.tensors, layouts[2], down_order, {}, piece.staging + down_at);
  Destination(gate_up_down[0]) = PackedLinear(layouts[0], piece.place, gate_kept);
  Destination(gate_up_down[1]) = PackedLinear(layouts[1], piece.place + up_at, up_kept);
  Destination(gate_up_down[2]) = PackedLinear(layouts[2], piece.place + down_at, {});
  return memory_.Commit(piece);
}

}  // namespace

Status LoadWeights(const TensorSource& source, const ModelConfig& config, DenseWeights dense, WeightMemory& memory,
                   ThreadPool& pool, const std::function<void(const LoadProgress&)>& progress, ModelWeights& weights) {
  return Loader(source, config, dense, memory, weights).Run(pool, progress);
}

}  // namespace qnext
