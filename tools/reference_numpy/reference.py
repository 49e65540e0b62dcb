"""Qwen3-Next in plain numpy, written from docs/checkpoint.md: an oracle for any small checkpoint, without PyTorch.

    reference.py MODEL_DIR --ids 1,2,3 [--chunk 64] [--float64] [--experts F.json] [--layer-inputs F.safetensors]
                 [--activations float32|int8] [--kv f32|bf16] --out dump.safetensors

Reads every checkpoint kind of docs/checkpoint.md (sharded or single file; GPTQ v1 and v2, symmetric or not, any group size, permuted
g_idx; BF16, F16, F32 linears; dense MLP layers; tied embeddings; YaRN).  Writes logits [T, V], hidden_states [L+1, T, D] (embedding, layer
outputs, the last one after model.norm), the routers' choices and weights [MoE layers, T, top], and mtp_logits [T-1, V] where the
checkpoint has the head.  `--experts` forces the routers' choices (a list [MoE layers][T][top]); `--layer-inputs` replaces every layer's
input by the tensor `layer_inputs` [L, T, D].  `--activations int8` and `--kv bf16` simulate the engine's number formats: docs/numerics.md
quotes what they cost.  Agrees with Hugging Face's float32 implementation to 1e-6 on the tiny checkpoint (tests/golden).
"""
import argparse
import json
import math
import os
import re
import struct

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32}
INT8_BLOCK = 32  # inputs that share one int8 activation scale


class Safetensors:
    def __init__(self, path):
        self.data = np.memmap(path, np.uint8, "r")
        size = struct.unpack("<Q", self.data[:8].tobytes())[0]
        self.header = json.loads(self.data[8:8 + size].tobytes())
        self.header.pop("__metadata__", None)
        self.base = 8 + size

    def __getitem__(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        raw = self.data[self.base + begin:self.base + end].tobytes()
        if entry["dtype"] == "BF16":
            flat = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            flat = np.frombuffer(raw, DTYPES[entry["dtype"]])
        return flat.reshape(entry["shape"])


def load(path):
    """All tensors of one safetensors file, by name."""
    file = Safetensors(path)
    return {name: file[name] for name in file.header}


def save(path, tensors):
    header, blobs, offset = {}, [], 0
    names = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}
    for name, t in tensors.items():
        t = np.ascontiguousarray(t)
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
        blobs.append(t.tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(blobs))


def unpack(words, axis):
    """int32 words -> 8 nibbles each along `axis`, lowest bits first."""
    w = np.expand_dims(words.view(np.uint32), axis + 1)
    shape = [1] * w.ndim
    shape[axis + 1] = 8
    nibbles = (w >> (np.arange(8, dtype=np.uint32) * 4).reshape(shape)) & 15
    out = list(words.shape)
    out[axis] *= 8
    return nibbles.reshape(out).astype(np.int32)


def round_bf16(x):
    """float32 -> the nearest bfloat16 (ties to even), as float32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32).reshape(np.shape(x))


def quantize_int8(x):
    """What the int8 path sees of x [..., in]: one scale, the absolute maximum over 127, for each 32 inputs in a row."""
    n = x.shape[-1]
    padded = np.concatenate([x, np.zeros(x.shape[:-1] + (-n % INT8_BLOCK,), x.dtype)], -1)
    blocks = padded.reshape(x.shape[:-1] + (-1, INT8_BLOCK))
    scale = np.abs(blocks).max(-1, keepdims=True) / x.dtype.type(127)
    codes = np.rint(blocks / np.where(scale > 0, scale, 1))
    return (codes * scale).reshape(padded.shape)[..., :n]


class Checkpoint:
    def __init__(self, folder, ft=np.float32, activations="float32", kv="f32"):
        with open(f"{folder}/config.json") as f:
            self.config = json.load(f)
        self.config.setdefault("num_experts", 0)
        rope = dict(self.config.get("rope_scaling") or {})
        rope.update(self.config.get("rope_parameters") or {})
        self.rope = rope
        self.theta = float(rope.get("rope_theta", self.config.get("rope_theta", 1e7)))
        self.rotary = float(rope.get("partial_rotary_factor", self.config.get("partial_rotary_factor", 0.25)))
        self.quantization = self.config.get("quantization_config") or {}
        if not self.quantization and os.path.exists(f"{folder}/quantize_config.json"):
            with open(f"{folder}/quantize_config.json") as f:
                self.quantization = json.load(f)
        files = sorted(f for f in os.listdir(folder) if f.endswith(".safetensors") and f.startswith("model"))
        self.where = {n: s for s in (Safetensors(f"{folder}/{f}") for f in files) for n in s.header}
        self.ft, self.activations, self.kv, self.cache = ft, activations, kv, {}

    def raw(self, name):
        return self.where[name][name]

    def vector(self, name):
        if name not in self.cache:
            self.cache[name] = self.raw(name).astype(self.ft)
        return self.cache[name]

    def quantized(self, name):
        return name + ".qweight" in self.where

    def linear(self, name):
        """Weight [out, in] of a linear layer, dequantized."""
        if name not in self.cache:
            self.cache[name] = self.dequantized(name) if self.quantized(name) else self.raw(name + ".weight").astype(self.ft)
        return self.cache[name]

    def apply(self, name, x):
        """x [..., in] times the weight of linear layer `name`."""
        if self.activations == "int8" and self.quantized(name):
            order = self.input_order(name)
            return quantize_int8(x[..., order]) @ self.linear(name)[:, order].T
        return x @ self.linear(name).T

    def group_size(self, name, inputs, groups):
        """Inputs per group of a module without g_idx: the configuration's figure, the first matching `dynamic` rule first."""
        size = self.quantization.get("group_size", 128)
        for pattern, override in (self.quantization.get("dynamic") or {}).items():
            if not pattern.startswith("-:") and re.match(pattern.removeprefix("+:"), name):
                size = override.get("group_size", size)
                break
        size = inputs if size == -1 else size
        if -(-inputs // size) != groups:
            raise ValueError(f"{name}: {groups} groups of {size} do not span {inputs} inputs")
        return size

    def groups_of(self, name, inputs):
        """The group of each input [in]."""
        if name + ".g_idx" in self.where:
            return self.raw(name + ".g_idx")
        groups = self.where[name + ".scales"].header[name + ".scales"]["shape"][0]
        return np.arange(inputs) // self.group_size(name, inputs, groups)

    def input_order(self, name):
        """The order of inputs that makes the groups contiguous: the one in which the engine packs and quantizes them."""
        key = name + ":order"
        if key not in self.cache:
            self.cache[key] = np.argsort(self.groups_of(name, self.linear(name).shape[1]), kind="stable")
        return self.cache[key]

    def dequantized(self, name):
        codes = unpack(self.raw(name + ".qweight"), 0)  # [in, out]
        zeros = unpack(self.raw(name + ".qzeros"), 1)  # [G, out]
        if self.quantization.get("checkpoint_format", "gptq") == "gptq":
            zeros = (zeros + 1) % 16
        scales = self.raw(name + ".scales").astype(self.ft)
        index = self.groups_of(name, codes.shape[0])
        return np.ascontiguousarray((scales[index] * (codes - zeros[index]).astype(self.ft)).T)

    def rmsnorm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.ft(self.config["rms_norm_eps"])) * (1 + self.vector(name))

    def rotary_table(self, positions):
        """cos and sin [T, R/2] of the rotary embedding, YaRN included."""
        g = self.config
        dims = int(g["head_dim"] * self.rotary)
        frequency = self.theta ** (-2 * np.arange(dims // 2, dtype=np.float64) / dims)
        factor = 1.0
        kind = self.rope.get("rope_type", self.rope.get("type", "default"))
        if kind == "yarn":
            original = self.rope.get("original_max_position_embeddings", g["max_position_embeddings"])
            stretch = self.rope["factor"]

            def turns_at(n):  # the (fractional) pair index whose wave makes n turns within the original context
                return dims * math.log(original / (n * 2 * math.pi)) / (2 * math.log(self.theta))

            low = max(math.floor(turns_at(self.rope.get("beta_fast") or 32)), 0)
            high = min(math.ceil(turns_at(self.rope.get("beta_slow") or 1)), dims - 1)
            ramp = np.clip((np.arange(dims // 2) - low) / (high - low if high != low else 0.001), 0, 1)
            frequency = frequency / stretch * ramp + frequency * (1 - ramp)
            factor = self.rope.get("attention_factor")
            factor = (0.1 * math.log(stretch) + 1 if stretch > 1 else 1.0) if factor is None else factor
        elif kind != "default":
            raise ValueError(f"rope type {kind}")
        angle = positions[:, None] * frequency
        return (np.cos(angle) * factor).astype(self.ft), (np.sin(angle) * factor).astype(self.ft)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rope(x, cos, sin):
    """x [T, heads, Dh]; rotates the first 2 * half dimensions in half-split pairs; cos, sin [T, half]."""
    half = cos.shape[-1]
    cos, sin = cos[:, None], sin[:, None]
    a, b = x[..., :half], x[..., half:2 * half]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half:]], -1)


def attention(c, x, p, state):
    g = c.config
    hq, hkv, dh, T = g["num_attention_heads"], g["num_key_value_heads"], g["head_dim"], len(x)
    q, gate = np.moveaxis(c.apply(p + "q_proj", x).reshape(T, hq, 2, dh), 2, 0)
    k = c.apply(p + "k_proj", x).reshape(T, hkv, dh)
    v = c.apply(p + "v_proj", x).reshape(T, hkv, dh)
    past = len(state["k"]) if state else 0
    positions = np.arange(past, past + T)
    table = c.rotary_table(positions)
    q = rope(c.rmsnorm(q, p + "q_norm.weight"), *table)
    k = rope(c.rmsnorm(k, p + "k_norm.weight"), *table)
    if c.kv == "bf16":
        k, v = round_bf16(k).astype(x.dtype), round_bf16(v).astype(x.dtype)
    if past:
        k, v = np.concatenate([state["k"], k]), np.concatenate([state["v"], v])
    state.update(k=k, v=v)
    future = np.arange(past + T)[None] > positions[:, None]
    out = np.empty((T, hq, dh), x.dtype)
    for h in range(hq):
        scores = q[:, h] @ k[:, h // (hq // hkv)].T / np.sqrt(x.dtype.type(dh))
        out[:, h] = softmax(np.where(future, x.dtype.type(-np.inf), scores)) @ v[:, h // (hq // hkv)]
    return c.apply(p + "o_proj", (out * sigmoid(gate)).reshape(T, -1))


def delta_rule(q, k, v, g, beta, M, chunk):
    """q, k [T,S], v [T,S], g, beta [T], M [S,S] -> (o [T,S], M); chunk 0 is the recurrence."""
    o = np.empty_like(v)
    if not chunk:
        for t in range(len(q)):
            M = np.exp(g[t]) * M
            M = M + np.outer(k[t], beta[t] * (v[t] - M.T @ k[t]))
            o[t] = M.T @ q[t]
        return o, M
    for s in range(0, len(q), chunk):
        part = slice(s, s + chunk)
        Q, K, V, B = q[part], k[part], v[part], beta[part][:, None]
        G = np.cumsum(g[part])
        D = np.exp(np.where(np.tri(len(G), dtype=bool), G[:, None] - G[None], -np.inf)).astype(q.dtype)
        eG = np.exp(G)[:, None]
        U = np.linalg.solve(np.eye(len(G), dtype=q.dtype) + np.tril(B * D * (K @ K.T), -1), B * (V - eG * (K @ M)))
        o[part] = eG * (Q @ M) + (D * (Q @ K.T)) @ U
        M = np.exp(G[-1]) * M + (np.exp(G[-1] - G)[:, None] * K).T @ U
    return o, M


def delta_net(c, x, p, state, chunk):
    g = c.config
    K, H, S, T = g["linear_num_key_heads"], g["linear_num_value_heads"], g["linear_key_head_dim"], len(x)
    r = H // K
    q, k, v, z = np.split(c.apply(p + "in_proj_qkvz", x).reshape(T, K, -1), [S, 2 * S, (2 + r) * S], -1)
    b, a = (t.reshape(T, H) for t in np.split(c.apply(p + "in_proj_ba", x).reshape(T, K, 2 * r), 2, -1))
    u = np.concatenate([t.reshape(T, -1) for t in (q, k, v)], -1)
    if not state:
        state.update(conv=np.zeros((3, u.shape[1]), x.dtype), M=np.zeros((H, S, S), x.dtype))
    full = np.concatenate([state["conv"], u])
    state["conv"] = full[-3:]
    w = c.vector(p + "conv1d.weight")[:, 0]
    u = silu(sum(full[j:j + T] * w[:, j] for j in range(4)))
    q, k, v = np.split(u, [K * S, 2 * K * S], -1)

    def unit(t):
        return t / np.sqrt((t * t).sum(-1, keepdims=True) + x.dtype.type(1e-6))

    q = np.repeat(unit(q.reshape(T, K, S)), r, 1) / np.sqrt(x.dtype.type(S))
    k, v = np.repeat(unit(k.reshape(T, K, S)), r, 1), v.reshape(T, H, S)
    beta = sigmoid(b)
    decay = -np.exp(c.vector(p + "A_log")) * np.logaddexp(0, a + c.vector(p + "dt_bias")).astype(x.dtype)
    o = np.empty((T, H, S), x.dtype)
    for h in range(H):
        o[:, h], state["M"][h] = delta_rule(q[:, h], k[:, h], v[:, h], decay[:, h], beta[:, h], state["M"][h], chunk)
    o = o / np.sqrt((o * o).mean(-1, keepdims=True) + x.dtype.type(g["rms_norm_eps"])) * c.vector(p + "norm.weight") * silu(z.reshape(T, H, S))
    return c.apply(p + "out_proj", o.reshape(T, -1))


def mlp(c, x, p):
    return c.apply(p + "down_proj", silu(c.apply(p + "gate_proj", x)) * c.apply(p + "up_proj", x))


def moe(c, x, p, forced=None, record=None):
    probabilities = softmax(c.apply(p + "gate", x))
    top = np.argsort(-probabilities, -1, kind="stable")[:, :c.config["num_experts_per_tok"]] if forced is None else forced
    w = np.take_along_axis(probabilities, top, -1)
    if c.config.get("norm_topk_prob", True):
        w = w / w.sum(-1, keepdims=True)
    if record is not None:
        ranked = -np.sort(-probabilities, -1)
        k = top.shape[-1]
        record.append((top, w, ranked[:, k - 1] - ranked[:, k] if k < ranked.shape[-1] else np.full(len(x), np.inf)))
    out = np.zeros_like(x)
    if c.config.get("shared_expert_intermediate_size"):
        out += sigmoid(c.apply(p + "shared_expert_gate", x)) * mlp(c, x, p + "shared_expert.")
    for e in np.unique(top):
        token, slot = np.nonzero(top == e)
        out[token] += w[token, slot][:, None] * mlp(c, x[token], f"{p}experts.{e}.")
    return out


def is_full(g, layer):
    if g.get("layer_types"):
        return g["layer_types"][layer] == "full_attention"
    return (layer + 1) % g.get("full_attention_interval", 4) == 0


def is_moe(g, layer):
    return g["num_experts"] > 0 and layer not in (g.get("mlp_only_layers") or []) and (layer + 1) % g.get("decoder_sparse_step", 1) == 0


def new_state(c):
    return [{} for _ in range(c.config["num_hidden_layers"])]


def forward(c, ids, state, chunk=0, forced=None, record=None, inputs=None):
    """ids [T] -> logits [T, V], hidden states [L+1, T, D]; `state` (from new_state) is carried on.

    `forced` [MoE layers, T, top] replaces the routers' choices, `inputs` [L, T, D] every layer's input; `record` receives
    (choice [T, top], weights [T, top], margin [T] between the last expert taken and the first one left) of each MoE layer.
    """
    h = c.vector("model.embed_tokens.weight")[ids]
    hidden, sparse = [h], 0
    for layer in range(c.config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if inputs is not None:
            h = inputs[layer].astype(c.ft)
        x = c.rmsnorm(h, p + "input_layernorm.weight")
        h = h + (attention(c, x, p + "self_attn.", state[layer]) if is_full(c.config, layer) else delta_net(c, x, p + "linear_attn.", state[layer], chunk))
        x = c.rmsnorm(h, p + "post_attention_layernorm.weight")
        if is_moe(c.config, layer):
            h = h + moe(c, x, p + "mlp.", None if forced is None else forced[sparse], record)
            sparse += 1
        else:
            h = h + mlp(c, x, p + "mlp.")
        hidden.append(h)
    hidden[-1] = c.rmsnorm(h, "model.norm.weight")
    head = "model.embed_tokens" if c.config.get("tie_word_embeddings") else "lm_head"
    return c.apply(head, hidden[-1]), np.stack(hidden)


def mtp(c, hidden, following, state):
    """hidden [T, D] after model.norm, following [T]: the token after each position -> draft logits [T, V]."""
    e = c.rmsnorm(c.vector("model.embed_tokens.weight")[following], "mtp.pre_fc_norm_embedding.weight")
    x = c.apply("mtp.fc", np.concatenate([e, c.rmsnorm(hidden, "mtp.pre_fc_norm_hidden.weight")], -1))
    p = "mtp.layers.0."
    x = x + attention(c, c.rmsnorm(x, p + "input_layernorm.weight"), p + "self_attn.", state)
    x = x + moe(c, c.rmsnorm(x, p + "post_attention_layernorm.weight"), p + "mlp.")
    return c.apply("lm_head", c.rmsnorm(x, "mtp.norm.weight"))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("--ids", required=True)
    a.add_argument("--chunk", type=int, default=0)
    a.add_argument("--float64", action="store_true")
    a.add_argument("--experts")
    a.add_argument("--layer-inputs")
    a.add_argument("--activations", choices=("float32", "int8"), default="float32")
    a.add_argument("--kv", choices=("f32", "bf16"), default="f32")
    a.add_argument("--out", required=True)
    a = a.parse_args()
    c = Checkpoint(a.model, np.float64 if a.float64 else np.float32, a.activations, a.kv)
    ids = np.array([int(i) for i in a.ids.split(",")])
    forced = None
    if a.experts:
        with open(a.experts) as f:
            forced = np.array(json.load(f))
    inputs = load(a.layer_inputs)["layer_inputs"] if a.layer_inputs else None
    record = []
    logits, hidden = forward(c, ids, new_state(c), a.chunk, forced, record, inputs)
    out = dict(input_ids=ids.astype(np.int32), logits=logits.astype(np.float32), hidden_states=hidden.astype(np.float32))
    if record:
        out.update(experts=np.stack([r[0] for r in record]).astype(np.int32), expert_weights=np.stack([r[1] for r in record]).astype(np.float32))
    if "mtp.fc.weight" in c.where and len(ids) > 1:
        out["mtp_logits"] = mtp(c, hidden[-1][:-1], ids[1:], {}).astype(np.float32)
    save(a.out, out)


if __name__ == "__main__":
    main()
