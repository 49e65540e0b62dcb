"""Checkpoints for the tests, written with numpy alone.

    make_checkpoints.py OUT [NAME ...]      writes the named kinds (all without names) as folders OUT/NAME
    make_checkpoints.py --list

Two families: the tiny model re-packed into every GPTQ spelling (VARIANTS), and small random models with the shapes and configurations
that the tiny model does not have (RANDOM). Exact re-packs hold the very same weights; the others quantize anew and need the oracle.
"""
import dataclasses
import json
import math
import os
import shutil
import struct
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = os.path.join(ROOT, "models", "tiny")
NUMPY_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I32": np.int32, "I64": np.int64}
TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


@dataclasses.dataclass
class Tensor:
    dtype: str  # the safetensors name; BF16 is held as uint16 bits
    data: np.ndarray


def bf16_bits(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def as_dtype(x, dtype):
    return Tensor(dtype, bf16_bits(x) if dtype == "BF16" else np.asarray(x).astype(NUMPY_TYPES[dtype]))


def as_float(tensor):
    if tensor.dtype == "BF16":
        return (tensor.data.astype(np.uint32) << 16).view(np.float32)
    return tensor.data.astype(np.float32)


def read_safetensors(path):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        body = f.read()
    header.pop("__metadata__", None)
    return {name: Tensor(e["dtype"], np.frombuffer(body[slice(*e["data_offsets"])], NUMPY_TYPES[e["dtype"]]).reshape(e["shape"]))
            for name, e in header.items()}


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": t.dtype, "shape": list(t.data.shape), "data_offsets": [offset, offset + t.data.nbytes]}
        offset += t.data.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t.data).tobytes())


def write_folder(folder, config, tensors, shards=2, extra_files=None):
    """A checkpoint folder; shards=0 writes the single model.safetensors without an index."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in TEXT_FILES:
        shutil.copy(os.path.join(TINY, name), folder)
    if shards == 0:
        write_safetensors(f"{folder}/model.safetensors", tensors)
    else:
        names, weight_map = list(tensors), {}
        per_shard = -(-len(names) // shards)
        for i in range(shards):
            file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
            part = {n: tensors[n] for n in names[i * per_shard:(i + 1) * per_shard]}
            write_safetensors(f"{folder}/{file}", part)
            weight_map.update(dict.fromkeys(part, file))
        total = sum(t.data.nbytes for t in tensors.values())
        extra_files = {"model.safetensors.index.json": {"metadata": {"total_size": total}, "weight_map": weight_map}, **(extra_files or {})}
    for name, content in {"config.json": config, **(extra_files or {})}.items():
        with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
            json.dump(content, f, indent=1)
    return folder


def pack(values, axis):
    """Eight values 0..15 along `axis` -> one int32 word, the first in the lowest bits."""
    moved = np.moveaxis(np.asarray(values), axis, 0).astype(np.uint32)
    moved = moved.reshape((moved.shape[0] // 8, 8) + moved.shape[1:])
    shifts = (np.arange(8, dtype=np.uint32) * 4).reshape((1, 8) + (1,) * (moved.ndim - 2))
    return np.ascontiguousarray(np.moveaxis(np.bitwise_or.reduce(moved << shifts, axis=1), 0, axis)).view(np.int32)


def unpack(words, axis):
    moved = np.moveaxis(words.view(np.uint32), axis, 0)
    shifts = (np.arange(8, dtype=np.uint32) * 4).reshape((1, 8) + (1,) * (moved.ndim - 1))
    nibbles = (moved[:, None] >> shifts) & 15
    return np.moveaxis(nibbles.reshape((-1,) + moved.shape[1:]), 0, axis).astype(np.int64)


@dataclasses.dataclass
class Quantized:
    """One GPTQ linear layer, taken apart."""

    codes: np.ndarray  # [in, out] 0..15
    zeros: np.ndarray  # [G, out] 0..15, in effect
    scales: np.ndarray  # [G, out] float32
    index: np.ndarray  # [in] the group of each input

    @staticmethod
    def read(tensors, name):
        """From the tiny checkpoint: "gptq" zero points."""
        part = {k: tensors[f"{name}.{k}"] for k in ("qweight", "qzeros", "scales", "g_idx")}
        return Quantized(unpack(part["qweight"].data, 0), (unpack(part["qzeros"].data, 1) + 1) % 16, as_float(part["scales"]),
                         part["g_idx"].data.astype(np.int64))

    def weight(self):
        """[out, in] float32."""
        return np.ascontiguousarray((self.scales[self.index] * (self.codes - self.zeros[self.index]).astype(np.float32)).T)

    def write(self, name, v2=False, scale_dtype="F16", with_g_idx=True):
        stored = self.zeros if v2 else (self.zeros - 1) % 16
        out = {f"{name}.qweight": Tensor("I32", pack(self.codes, 0)), f"{name}.qzeros": Tensor("I32", pack(stored, 1)),
               f"{name}.scales": as_dtype(self.scales, scale_dtype)}
        if with_g_idx:
            out[f"{name}.g_idx"] = Tensor("I32", self.index.astype(np.int32))
        return out


def quantize(weight, group, symmetric=True, order=None, lowest_zero=1):
    """Rounds [out, in] to the nearest code; `order` (act-order) is the sequence in which inputs fill the groups."""
    w = np.asarray(weight, np.float32).T
    n = w.shape[0]
    group = n if group == -1 else group
    index = np.empty(n, np.int64)
    index[np.arange(n) if order is None else order] = np.arange(n) // group
    groups = -(-n // group)
    scales, zeros = np.empty((groups, w.shape[1]), np.float32), np.full((groups, w.shape[1]), 8)
    for g in range(groups):
        part = w[index == g]
        if symmetric:
            scales[g] = np.abs(part).max(0) * 2 / 15
        else:
            low, high = np.minimum(part.min(0), 0), np.maximum(part.max(0), 0)
            scales[g] = (high - low) / 15
            zeros[g] = np.clip(np.rint(-low / np.maximum(scales[g], 1e-8)), lowest_zero, 15)
    scales = np.maximum(scales, 1e-5).astype(np.float16).astype(np.float32)
    return Quantized(np.clip(np.rint(w / scales[index]) + zeros[index], 0, 15).astype(np.int64), zeros, scales, index)


# ---- exact re-packs: other words, the same weights ----


def split_groups(q, size):
    """Groups of `size` inputs that repeat the scale and zero point of the larger group they came from."""
    first = np.arange(0, len(q.index), size)
    return Quantized(q.codes, q.zeros[q.index[first]], q.scales[q.index[first]], np.arange(len(q.index)) // size)


def scatter_groups(q, size, rng):
    """Groups of `size` whose inputs lie scattered over the larger group they came from, the groups themselves in random order."""
    fine, index = split_groups(q, size), np.empty(len(q.index), np.int64)
    for g in range(q.scales.shape[0]):
        inputs = np.flatnonzero(q.index == g)
        index[rng.permutation(inputs)] = fine.index[inputs]
    label = rng.permutation(fine.scales.shape[0])  # group g becomes label[g]
    zeros, scales = np.empty_like(fine.zeros), np.empty_like(fine.scales)
    zeros[label], scales[label] = fine.zeros, fine.scales
    return Quantized(q.codes, zeros, scales, label[index])


def shift_zeros(q, rng, lowest_zero=1):
    """Codes and zero points moved together as far as the codes leave room: the same weights, zero points other than 8."""
    codes, zeros = q.codes.copy(), q.zeros.copy()
    for g in range(q.scales.shape[0]):
        rows = q.index == g
        low, high = codes[rows].min(0), codes[rows].max(0)
        lowest, highest = np.maximum(-low, lowest_zero - zeros[g]), np.minimum(15 - high, 15 - zeros[g])
        shift = rng.integers(lowest, highest + 1)
        codes[rows] += shift
        zeros[g] += shift
    return Quantized(codes, zeros, q.scales, q.index)


# ---- the variants of the tiny model ----

FAMILY = (("linear_attn", ("in_proj_qkvz", "out_proj")), ("self_attn", ("q_proj", "k_proj", "v_proj", "o_proj")))
NEVER = ("mtp", "in_proj_ba", "mlp.gate", "shared_expert_gate", "lm_head")
EXPERTS_ONLY = {"-:.*mtp.*": {}, "-:.*linear_attn.*": {}, "-:.*self_attn.*": {}, "-:.*mlp\\.gate$": {}, "-:.*shared_expert.*": {}}


@dataclasses.dataclass
class Spec:
    config: dict
    tensors: dict
    exact: bool = False  # holds the tiny model's very weights
    other_int8: bool = False  # but the int8 path rounds otherwise: the inputs stand in another order, or fewer modules are quantized
    shards: int = 2
    extra_files: dict = dataclasses.field(default_factory=dict)

    def write(self, folder):
        return write_folder(folder, self.config, self.tensors, self.shards, self.extra_files)


class Tiny:
    """The tiny checkpoint in memory; variants are made from it."""

    def __init__(self):
        with open(f"{TINY}/config.json", encoding="utf-8") as f:
            self.config = json.load(f)
        files = sorted(f for f in os.listdir(TINY) if f.endswith(".safetensors"))
        self.tensors = {n: t for f in files for n, t in read_safetensors(f"{TINY}/{f}").items()}
        self.modules = [n[:-len(".qweight")] for n in self.tensors if n.endswith(".qweight")]
        self.rng = np.random.default_rng(20240611)

    def plain(self, layers=None):
        """The tensors that are not quantized; only the first `layers` layers and no MTP head, if given."""
        belongs = {f"{m}.{k}" for m in self.modules for k in ("qweight", "qzeros", "scales", "g_idx")}
        keep = {n: t for n, t in self.tensors.items() if n not in belongs}
        if layers is None:
            return keep
        return {n: t for n, t in keep.items() if not n.startswith("mtp.") and layer_of(n) < layers}

    def variant(self, change, quantization=None, layers=None, config=None, drop=(), **options):
        """Every quantized module through change(name, Quantized) -> dict of tensors; `quantization` updates the configuration."""
        tensors = self.plain(layers)
        for name in self.modules:
            if layers is None or layer_of(name) < layers:
                tensors.update(change(name, Quantized.read(self.tensors, name)))
        new = json.loads(json.dumps(self.config))
        new["quantization_config"].update(quantization or {})
        for key in drop:
            new["quantization_config"].pop(key)
        if layers is not None:
            new["num_hidden_layers"] = layers
        new.update(config or {})
        return Spec(new, dict(sorted(tensors.items())), **options)


def layer_of(name):
    return int(name.split(".")[2]) if name.startswith("model.layers.") else -1


def is_routed_expert(name):
    return ".experts." in name


def exact_v2_single_file(t):
    return t.variant(lambda n, q: q.write(n, v2=True), {"checkpoint_format": "gptq_v2"}, exact=True, shards=0)


def exact_group64(t):
    return t.variant(lambda n, q: split_groups(q, 64).write(n, with_g_idx=False), {"group_size": 64}, exact=True, shards=5)


def exact_group32_scattered(t):
    return t.variant(lambda n, q: scatter_groups(q, 32, t.rng).write(n), {"group_size": 32, "desc_act": True}, exact=True, other_int8=True)


def exact_zeros_shifted(t):
    return t.variant(lambda n, q: shift_zeros(q, t.rng).write(n), {"sym": False}, exact=True)


def exact_zeros_shifted_v2_scattered(t):
    return t.variant(lambda n, q: shift_zeros(scatter_groups(q, 64, t.rng), t.rng, lowest_zero=0).write(n, v2=True),
                     {"sym": False, "checkpoint_format": "gptq_v2", "group_size": 64, "desc_act": True}, exact=True, other_int8=True)


def exact_auto_round(t):
    plain_modules = sorted(n[:-len(".weight")] for n, tensor in t.plain().items() if n.endswith("_proj.weight") or n.endswith("gate.weight")
                           or n.endswith("in_proj_ba.weight") or n in ("mtp.fc.weight",))
    spec = t.variant(lambda n, q: q.write(n), exact=True)
    spec.config["quantization_config"] = {
        "quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 4, "group_size": 128, "sym": True, "data_type": "int",
        "autoround_version": "0.8.0", "block_name_to_quantize": "model.layers", "iters": 200, "nsamples": 512, "seqlen": 2048,
        "extra_config": {m: {"bits": 16, "data_type": "fp"} for m in plain_modules}}
    return spec


def exact_quantize_config_file(t):
    spec = t.variant(lambda n, q: q.write(n, with_g_idx=False), exact=True, shards=1)
    spec.extra_files["quantize_config.json"] = spec.config.pop("quantization_config")
    return spec


def exact_new_rope_spelling(t):
    spec = t.variant(lambda n, q: q.write(n), {"modules_to_not_convert": list(NEVER)}, drop=("dynamic",), exact=True)
    spec.config["rope_parameters"] = {"rope_type": "default", "rope_theta": spec.config.pop("rope_theta"),
                                      "partial_rotary_factor": spec.config.pop("partial_rotary_factor")}
    spec.config["layer_types"] = ["full_attention" if (i + 1) % 4 == 0 else "linear_attention" for i in range(spec.config["num_hidden_layers"])]
    return spec


def exact_modules_in_block(t):
    inside = [[f"{family}.{module}" for module in modules] for family, modules in FAMILY]
    inside += [[f"mlp.experts.{e}.{m}" for e in range(t.config["num_experts"])] for m in ("gate_proj", "up_proj", "down_proj")]
    inside += [[f"mlp.shared_expert.{m}" for m in ("gate_proj", "up_proj", "down_proj")]]
    return t.variant(lambda n, q: q.write(n), {"modules_in_block_to_quantize": inside}, drop=("dynamic",), exact=True)


def exact_experts_only_rest_f32(t):
    def change(name, q):
        return q.write(name) if is_routed_expert(name) else {name + ".weight": as_dtype(q.weight(), "F32")}

    return t.variant(change, {"dynamic": EXPERTS_ONLY}, exact=True, other_int8=True)


def all_layers_experts_only(t, dtype):
    """The whole tiny model, its experts as they are, every other linear in 16 bits."""
    def change(name, q):
        return q.write(name) if is_routed_expert(name) else {name + ".weight": as_dtype(q.weight(), dtype)}

    spec = t.variant(change, {"dynamic": EXPERTS_ONLY})
    spec.tensors = {n: as_dtype(as_float(x), dtype) if x.dtype == "BF16" else x for n, x in spec.tensors.items()}
    return spec


def experts_only(t, dtype):
    def change(name, q):
        return quantize(q.weight(), 32).write(name) if is_routed_expert(name) else {name + ".weight": as_dtype(q.weight(), dtype)}

    spec = t.variant(change, {"dynamic": EXPERTS_ONLY, "group_size": 32}, layers=4)
    spec.tensors = {n: as_dtype(as_float(x), dtype) if x.dtype == "BF16" else x for n, x in spec.tensors.items()}
    return spec


def requantized(group, symmetric=True, act_order=False, v2=False, scale_dtype="F16", lowest_zero=1):
    def make(t):
        def change(name, q):
            weight = q.weight()
            order = t.rng.permutation(weight.shape[1]) if act_order else None
            return quantize(weight, group, symmetric, order, lowest_zero).write(name, v2, scale_dtype)

        return t.variant(change, {"group_size": group, "sym": symmetric, "desc_act": act_order,
                                  "checkpoint_format": "gptq_v2" if v2 else "gptq"}, layers=4)

    return make


def dynamic_rules(t):
    """Overrides per module, the first matching rule winning; layer 0's mixer left unquantized."""
    rules = {"-:.*in_proj_ba.*": {}, "-:.*mlp\\.gate$": {}, "-:.*shared_expert_gate.*": {}, "-:model\\.layers\\.0\\.linear_attn.*": {},
             "+:.*shared_expert.*": {"group_size": 32}, ".*\\.self_attn\\..*": {"group_size": 64, "sym": False},
             "model\\.layers\\.1\\..*experts.*": {"group_size": 64, "desc_act": True}, ".*layers\\.1.*": {"group_size": 32}}

    def change(name, q):
        weight = q.weight()
        if name.startswith("model.layers.0.linear_attn."):
            return {name + ".weight": as_dtype(weight, "BF16")}
        if "shared_expert" in name:
            return quantize(weight, 32).write(name, with_g_idx=False)
        if ".self_attn." in name:
            return quantize(weight, 64, symmetric=False).write(name)
        if name.startswith("model.layers.1.") and "experts" in name:
            return quantize(weight, 64, order=t.rng.permutation(weight.shape[1])).write(name)
        return quantize(weight, 32 if name.startswith("model.layers.1.") else 128).write(name)

    return t.variant(change, {"dynamic": rules}, layers=4)


VARIANTS = {
    "exact-v2-single-file": exact_v2_single_file,
    "exact-group64": exact_group64,
    "exact-group32-scattered": exact_group32_scattered,
    "exact-zeros-shifted": exact_zeros_shifted,
    "exact-zeros-shifted-v2-scattered": exact_zeros_shifted_v2_scattered,
    "exact-auto-round": exact_auto_round,
    "exact-quantize-config-file": exact_quantize_config_file,
    "exact-new-rope-spelling": exact_new_rope_spelling,
    "exact-modules-in-block": exact_modules_in_block,
    "exact-experts-only-rest-f32": exact_experts_only_rest_f32,
    "experts-only-group32-rest-bf16": lambda t: experts_only(t, "BF16"),
    "experts-only-group32-rest-f16": lambda t: experts_only(t, "F16"),
    "group32-bf16-scales": requantized(32, scale_dtype="BF16"),
    "group64-asymmetric": requantized(64, symmetric=False),
    "group128-asymmetric-bf16-scales-v2": requantized(128, symmetric=False, scale_dtype="BF16", v2=True),
    "one-group": requantized(-1),
    "one-group-asymmetric-zero-point-0": requantized(-1, symmetric=False, lowest_zero=0),
    "group128-act-order-asymmetric": requantized(128, symmetric=False, act_order=True),
    "group32-act-order-v2": requantized(32, act_order=True, v2=True),
    "dynamic-rules": dynamic_rules,
}


# ---- small random models ----


def base_config(**changes):
    config = dict(
        architectures=["Qwen3NextForCausalLM"], model_type="qwen3_next", torch_dtype="bfloat16", hidden_size=64, num_hidden_layers=4,
        full_attention_interval=4, vocab_size=4160, num_attention_heads=4, num_key_value_heads=2, head_dim=64, partial_rotary_factor=0.25,
        rope_theta=10000.0, max_position_embeddings=4096, rms_norm_eps=1e-6, hidden_act="silu", attention_bias=False,
        linear_conv_kernel_dim=4, linear_key_head_dim=32, linear_value_head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4,
        num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=32, intermediate_size=96,
        norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], tie_word_embeddings=False, bos_token_id=4096, eos_token_id=4098)
    config.update(changes)
    return config


def is_full(g, layer):
    if g.get("layer_types"):
        return g["layer_types"][layer] == "full_attention"
    return (layer + 1) % g["full_attention_interval"] == 0


def is_moe(g, layer):
    return g["num_experts"] > 0 and layer not in g["mlp_only_layers"] and (layer + 1) % g["decoder_sparse_step"] == 0


def linear_modules(g):
    """(name, out, in, may be quantized) of every linear layer inside the blocks."""
    D, S = g["hidden_size"], g["linear_key_head_dim"]
    K, H = g["linear_num_key_heads"], g["linear_num_value_heads"]
    hq, hkv, dh = g["num_attention_heads"], g["num_key_value_heads"], g["head_dim"]
    for layer in range(g["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if is_full(g, layer):
            yield from ((p + "self_attn.q_proj", hq * dh * 2, D, True), (p + "self_attn.k_proj", hkv * dh, D, True),
                        (p + "self_attn.v_proj", hkv * dh, D, True), (p + "self_attn.o_proj", D, hq * dh, True))
        else:
            yield from ((p + "linear_attn.in_proj_qkvz", 2 * K * S + 2 * H * S, D, True), (p + "linear_attn.in_proj_ba", 2 * H, D, False),
                        (p + "linear_attn.out_proj", D, H * S, True))
        widths = {p + "mlp.": g["intermediate_size"]}
        if is_moe(g, layer):
            widths = {f"{p}mlp.experts.{e}.": g["moe_intermediate_size"] for e in range(g["num_experts"])}
            yield p + "mlp.gate", g["num_experts"], D, False
            if g["shared_expert_intermediate_size"]:
                widths[p + "mlp.shared_expert."] = g["shared_expert_intermediate_size"]
                yield p + "mlp.shared_expert_gate", 1, D, False
        for prefix, width in widths.items():
            yield from ((prefix + "gate_proj", width, D, True), (prefix + "up_proj", width, D, True), (prefix + "down_proj", D, width, True))


def random_model(seed, g, quantization=None, write=None, dense_dtype="BF16", state_dtype="BF16", only_experts=False, shards=2):
    """Random weights of the scale that training leaves; write(name, weight, rng) -> GPTQ tensors of a quantized module."""
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    D, S = g["hidden_size"], g["linear_key_head_dim"]
    K, H = g["linear_num_key_heads"], g["linear_num_value_heads"]
    dense = {"model.embed_tokens.weight": normal(g["vocab_size"], D), "model.norm.weight": normal(D, scale=0.1)}
    if not g["tie_word_embeddings"]:
        dense["lm_head.weight"] = normal(g["vocab_size"], D, scale=2 / math.sqrt(D))
    tensors = {}
    for layer in range(g["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        dense[p + "input_layernorm.weight"] = normal(D, scale=0.1)
        dense[p + "post_attention_layernorm.weight"] = normal(D, scale=0.1)
        if is_full(g, layer):
            dense[p + "self_attn.q_norm.weight"] = normal(g["head_dim"], scale=0.1)
            dense[p + "self_attn.k_norm.weight"] = normal(g["head_dim"], scale=0.1)
        else:
            dense[p + "linear_attn.conv1d.weight"] = normal(2 * K * S + H * S, 1, 4, scale=0.5)
            dense[p + "linear_attn.norm.weight"] = 1 + normal(S, scale=0.1)
            tensors[p + "linear_attn.A_log"] = as_dtype(np.log(rng.uniform(0.5, 8, H)), state_dtype)
            tensors[p + "linear_attn.dt_bias"] = as_dtype(rng.normal(-2, 1, H), state_dtype)
    for name, out, inputs, may_quantize in linear_modules(g):
        weight = normal(out, inputs, scale=(4 if name.endswith("mlp.gate") else 1) / math.sqrt(inputs))
        if write and may_quantize and (is_routed_expert(name) or not only_experts):
            tensors.update(write(name, weight, rng))
        else:
            dense[name + ".weight"] = weight
    tensors.update({n: as_dtype(x, dense_dtype) for n, x in dense.items()})
    config = dict(g)
    if quantization:
        config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False, "lm_head": False,
                                         "checkpoint_format": "gptq", **quantization}
    return Spec(config, dict(sorted(tensors.items())), shards=shards)


def random_ragged():
    """Sizes that are multiples of 8 but of nothing else, an odd number of experts, last groups of 8 inputs, rows past the last full tile."""
    g = base_config(hidden_size=72, num_hidden_layers=3, full_attention_interval=3, num_experts=13, num_experts_per_tok=3,
                    moe_intermediate_size=40, shared_expert_intermediate_size=24, vocab_size=4168)
    return random_model(1, g, {"group_size": 32}, lambda n, w, rng: quantize(w, 32).write(n, with_g_idx=False))


def random_dense_layers():
    """Dense MLP layers between MoE layers, tied embeddings, explicit layer types, a wide rotary part, one group."""
    g = base_config(mlp_only_layers=[1], decoder_sparse_step=1, intermediate_size=88, tie_word_embeddings=True, head_dim=128,
                    partial_rotary_factor=0.5, linear_key_head_dim=64, linear_value_head_dim=64, hidden_size=96,
                    layer_types=["full_attention", "linear_attention", "full_attention", "linear_attention"])
    return random_model(2, g, {"group_size": -1}, lambda n, w, rng: quantize(w, -1).write(n), shards=0)


def random_unquantized_yarn():
    """Nothing quantized, YaRN beyond the original context, no shared expert, router weights not renormalised."""
    g = base_config(shared_expert_intermediate_size=0, norm_topk_prob=False, num_hidden_layers=3, full_attention_interval=2,
                    max_position_embeddings=256, linear_num_key_heads=4, linear_num_value_heads=4,
                    rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=16, beta_slow=1))
    return random_model(3, g, state_dtype="F32")


def random_real_heads():
    """The published head sizes (S 128, Dh 256), four value heads to a key head, asymmetric v2 with ragged groups, F16 elsewhere."""
    g = base_config(linear_key_head_dim=128, linear_value_head_dim=128, linear_num_key_heads=1, linear_num_value_heads=4, head_dim=256,
                    num_attention_heads=2, num_key_value_heads=1, num_experts=7, num_experts_per_tok=5, moe_intermediate_size=104,
                    hidden_size=128, num_hidden_layers=2, full_attention_interval=2, partial_rotary_factor=0.25)
    return random_model(4, g, {"group_size": 64, "sym": False, "checkpoint_format": "gptq_v2"},
                        lambda n, w, rng: quantize(w, 64, symmetric=False, lowest_zero=0).write(n, v2=True), dense_dtype="F16", state_dtype="F16")


def random_act_order_experts():
    """Only the experts quantized, in activation order with ragged groups; six query heads on one key head; the rest in F32; YaRN in the
    newer spelling with its own attention factor."""
    g = base_config(num_attention_heads=6, num_key_value_heads=1, head_dim=80, linear_num_key_heads=3, linear_num_value_heads=3,
                    num_experts=9, num_experts_per_tok=4, moe_intermediate_size=56, hidden_size=88, vocab_size=4200, num_hidden_layers=4,
                    max_position_embeddings=128)
    g.pop("rope_theta"), g.pop("partial_rotary_factor")
    g["rope_parameters"] = dict(rope_type="yarn", rope_theta=50000.0, partial_rotary_factor=0.25, factor=2.0,
                                original_max_position_embeddings=64, attention_factor=1.25)
    return random_model(5, g, {"group_size": 32, "desc_act": True, "dynamic": EXPERTS_ONLY},
                        lambda n, w, rng: quantize(w, 32, order=rng.permutation(w.shape[1])).write(n), dense_dtype="F32", state_dtype="F32",
                        only_experts=True)


def random_no_experts():
    """Every layer a dense MLP; sparse step beyond the last layer."""
    g = base_config(num_experts=0, num_experts_per_tok=0, intermediate_size=136, num_hidden_layers=2, full_attention_interval=2)
    return random_model(6, g, {"group_size": 128}, lambda n, w, rng: quantize(w, 128).write(n))


def random_every_second_sparse():
    """decoder_sparse_step 2, more experts taken than a tile has, asymmetric v1."""
    g = base_config(decoder_sparse_step=2, num_experts=24, num_experts_per_tok=10, moe_intermediate_size=64, hidden_size=160)
    return random_model(7, g, {"group_size": 64, "sym": False},
                        lambda n, w, rng: quantize(w, 64, symmetric=False).write(n))


RANDOM = {
    "random-ragged": random_ragged,
    "random-dense-layers": random_dense_layers,
    "random-unquantized-yarn": random_unquantized_yarn,
    "random-real-heads": random_real_heads,
    "random-act-order-experts": random_act_order_experts,
    "random-no-experts": random_no_experts,
    "random-every-second-sparse": random_every_second_sparse,
}


def small_model():
    """The checkpoint that the bad-input tests spoil: every kind of tensor, loaded in a moment, two shards."""
    g = base_config(num_hidden_layers=2, full_attention_interval=2)
    rules = {"-:.*in_proj_ba.*": {}, "-:.*mlp\\.gate$": {}, "-:.*shared_expert_gate.*": {}}
    return random_model(8, g, {"group_size": 32, "dynamic": rules}, lambda n, w, rng: quantize(w, 32).write(n))


def make(name, tiny=None):
    """The Spec of a kind by name."""
    return RANDOM[name]() if name in RANDOM else VARIANTS[name](tiny or Tiny())


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join([*VARIANTS, *RANDOM]))
        return
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tiny = Tiny()
    for name in sys.argv[2:] or [*VARIANTS, *RANDOM]:
        print(make(name, tiny).write(os.path.join(sys.argv[1], name)))


if __name__ == "__main__":
    main()
