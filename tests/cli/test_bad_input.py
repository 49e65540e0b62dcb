"""Every kind of broken checkpoint, prompt and option: exit code 1 (2 for bad usage), one "qnext: error:" line that names the culprit, nothing
on stdout, never a signal, within seconds.

Each case spoils a fresh copy of a small random checkpoint.
"""
import copy
import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "model"))
import bad_surroundings  # noqa: E402
import harness  # noqa: E402
import make_checkpoints  # noqa: E402
from make_checkpoints import Tensor  # noqa: E402

TIMEOUT = 20  # seconds; a sanitizer build on a busy machine included
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
UP = "model.layers.0.mlp.experts.1.up_proj"
NORM = "model.layers.0.input_layernorm.weight"
OUT = "model.layers.0.linear_attn.out_proj"


def edit_json(name, change):
    """Spoils one JSON file; change(value) edits in place or returns the new value."""

    def spoil(folder):
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as f:
            value = json.load(f)
        changed = change(value)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(value if changed is None else changed, f)

    return spoil


def config(**changes):
    """Sets (or, with None, removes) keys of config.json."""

    def change(value):
        for key, new in changes.items():
            if new is None:
                value.pop(key)
            else:
                value[key] = new

    return edit_json("config.json", change)


def quantization(**changes):
    return edit_json("config.json", lambda value: value["quantization_config"].update(changes))


def write_text(name, text):
    def spoil(folder):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    return spoil


def pipe(name):
    """A named pipe instead of a file: opening it must not wait for a writer."""

    def spoil(folder):
        path = os.path.join(folder, name)
        os.remove(path)
        os.mkfifo(path)

    return spoil


def remove(name):
    return lambda folder: os.remove(os.path.join(folder, name))


def truncate(name, keep):
    """Cuts a file to `keep` bytes, or by -keep bytes at the end."""

    def spoil(folder):
        path = os.path.join(folder, name)
        os.truncate(path, keep if keep >= 0 else os.path.getsize(path) + keep)

    return spoil


def link(name, target):
    """A link that leads nowhere, or to itself."""

    def spoil(folder):
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(target, path)

    return spoil


def replace_text(name, old, new):
    """The first `old` of a text file becomes `new`, or the case proves nothing."""

    def spoil(folder):
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert old in text, f"{name} holds no {old}"
        write_text(name, text.replace(old, new, 1))(folder)

    return spoil


def reencode(folder, name, encoding):
    path = os.path.join(folder, name)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "wb") as f:
        f.write(text.encode(encoding))


def header(name, change):
    """Rewrites a shard's header; the data stay where they are relative to its end."""

    def spoil(folder):
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            value = json.loads(f.read(size))
            body = f.read()
        changed = change(value)
        text = changed if isinstance(changed, bytes) else json.dumps(value).encode()
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + body)

    return spoil


def header_length(length):
    def spoil(folder):
        with open(os.path.join(folder, FIRST), "r+b") as f:
            f.write(struct.pack("<Q", length))

    return spoil


def first_entry(change):
    """Edits the header entry of the first tensor of the first shard."""

    def edit(value):
        change(value[next(k for k in value if k != "__metadata__")], value)

    return header(FIRST, edit)


def overlap(entry, value):
    second = [e for k, e in value.items() if k != "__metadata__"][1]
    length = second["data_offsets"][1] - second["data_offsets"][0]
    begin = entry["data_offsets"][0]
    second["data_offsets"] = [begin, begin + length]


class Tensors:
    """Rewrites the whole checkpoint with changed tensors."""

    def __init__(self, spec):
        self.spec = spec

    def __call__(self, change):
        def spoil(folder):
            spec = copy.copy(self.spec)
            spec.tensors = {name: Tensor(t.dtype, t.data.copy()) for name, t in self.spec.tensors.items()}
            change(spec.tensors)
            spec.write(folder)

        return spoil


def set_flat(name, position, value):
    def change(tensors):
        tensors[name].data.reshape(-1)[position] = value

    return change


def replace(name, dtype, shape):
    def change(tensors):
        tensors[name] = Tensor(dtype, np.zeros(shape, make_checkpoints.NUMPY_TYPES[dtype]))

    return change


def missing_and_extra(tensors):
    for name in (NORM, UP + ".qweight", "model.norm.weight", "model.layers.1.self_attn.k_norm.weight"):
        del tensors[name]
    tensors["model.layers.0.unknown.weight"] = Tensor("F32", np.zeros((2, 2), np.float32))


def quantize_the_router(tensors):
    name = "model.layers.0.mlp.gate"
    del tensors[name + ".weight"]
    weight = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    tensors.update(make_checkpoints.quantize(weight, 32).write(name))


def half_a_module(tensors):
    del tensors[UP + ".scales"]


def many_missing(tensors):
    for name in [n for n in tensors if ".experts." in n]:
        del tensors[name]


def small_vocabulary(spec):
    """Consistent in itself, end-of-sequence ids included, but the tokenizer's ids go beyond it."""
    small = copy.copy(spec)
    small.config = {**spec.config, "vocab_size": 4000, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    small.tensors = {n: Tensor(t.dtype, t.data[:4000]) if n in ("model.embed_tokens.weight", "lm_head.weight") else t
                     for n, t in spec.tensors.items()}

    def write(folder):
        small.write(folder)
        with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as f:
            json.dump({"eos_token_id": 0}, f)
    return write


def checkpoint_cases(spec):
    """name -> (how to spoil the folder, what the message must name: every string, alternatives in a tuple)."""
    with_tensors = Tensors(spec)
    deep = "[" * 200_000
    return {
        # the folder
        "empty folder": (lambda folder: [os.remove(os.path.join(folder, n)) for n in os.listdir(folder)], ["config.json"]),
        "no config.json": (remove("config.json"), ["config.json"]),
        "no weights": (lambda folder: [os.remove(os.path.join(folder, n)) for n in (FIRST, SECOND, INDEX)], [("safetensors", "index")]),
        "missing shard": (remove(SECOND), [SECOND]),
        "shard is a folder": (lambda folder: (os.remove(f"{folder}/{SECOND}"), os.mkdir(f"{folder}/{SECOND}")), [SECOND]),
        "zero-length shard": (truncate(FIRST, 0), [FIRST]),
        "shard of seven bytes": (truncate(FIRST, 7), [FIRST]),
        "truncated in the header": (truncate(FIRST, 100), [FIRST]),
        "truncated in the data": (truncate(SECOND, -1), [SECOND]),
        "bytes after the data": (lambda folder: open(f"{folder}/{SECOND}", "ab").write(b"x" * 100), [SECOND]),
        # config.json
        "config not JSON": (write_text("config.json", "{ this is not JSON"), ["config.json"]),
        "config is a list": (write_text("config.json", "[]"), ["config.json"]),
        "config of zero length": (truncate("config.json", 0), ["config.json"]),
        "config nested without end": (write_text("config.json", deep), ["config.json"]),
        "another model": (config(model_type="llama", architectures=["LlamaForCausalLM"]), [("model_type", "architectures")]),
        "no hidden_size": (config(hidden_size=None), ["hidden_size"]),
        "hidden_size is text": (config(hidden_size="64"), ["hidden_size"]),
        "hidden_size is zero": (config(hidden_size=0), ["hidden_size"]),
        "hidden_size is negative": (config(hidden_size=-64), ["hidden_size"]),
        "hidden_size is a fraction": (config(hidden_size=64.5), ["hidden_size"]),
        "a million million layers": (config(num_hidden_layers=10**12), ["num_hidden_layers"]),
        "two to the 62 experts": (config(num_experts=2**62), ["num_experts"]),
        "more experts taken than there are": (config(num_experts_per_tok=9), ["num_experts_per_tok"]),
        "query heads not a multiple of key heads": (config(num_attention_heads=3), [("num_attention_heads", "num_key_value_heads")]),
        "value heads not a multiple of key heads": (config(linear_num_value_heads=3), [("linear_num_value_heads", "linear_num_key_heads")]),
        "unknown activation": (config(hidden_act="gelu"), ["hidden_act"]),
        "unknown rope type": (config(rope_scaling={"rope_type": "linear", "factor": 2.0}), [("rope_scaling", "rope_type")]),
        "short layer_types": (config(layer_types=["linear_attention"]), ["layer_types"]),
        "unknown layer type": (config(layer_types=["linear_attention", "sliding_attention"]), ["layer_types"]),
        "vocabulary smaller than the tokenizer's": (small_vocabulary(spec), ["vocab"]),
        # quantization_config
        "bits 3": (quantization(bits=3), ["bits"]),
        "bits is text": (quantization(bits="four"), ["bits"]),
        "group size 96": (quantization(group_size=96), ["group_size"]),
        "group size 0": (quantization(group_size=0), ["group_size"]),
        "group size other than the tensors'": (quantization(group_size=64), [("group", "scales", "g_idx")]),
        "unknown quantization method": (quantization(quant_method="awq"), ["quant_method"]),
        "unknown checkpoint format": (quantization(checkpoint_format="marlin"), ["checkpoint_format"]),
        "dynamic is no regular expression": (quantization(dynamic={"-:(unclosed": {}}), ["dynamic"]),
        "no quantization configuration": (config(quantization_config=None), [("quantization", "qweight")]),
        "rules against the tensors": (quantization(dynamic={"-:.*experts.*": {}}), [("experts", "dynamic")]),
        # headers
        "header longer than the file": (header_length(10**9), [FIRST]),
        "header of two to the 63": (header_length(2**63), [FIRST]),
        "header not JSON": (header(FIRST, lambda value: b"{ not JSON at all  "), [FIRST]),
        "header is a list": (header(FIRST, lambda value: b"[1, 2, 3]"), [FIRST]),
        "header nested without end": (header(FIRST, lambda value: deep.encode()), [FIRST]),
        "overlapping offsets": (first_entry(overlap), [FIRST]),
        "offset behind the file": (first_entry(lambda entry, _: entry["data_offsets"].__setitem__(1, 10**15)), [FIRST]),
        "negative offset": (first_entry(lambda entry, _: entry["data_offsets"].__setitem__(0, -8)), [FIRST]),
        "offsets swapped": (first_entry(lambda entry, _: entry["data_offsets"].reverse()), [FIRST]),
        "three offsets": (first_entry(lambda entry, _: entry["data_offsets"].append(1)), [FIRST]),
        "unknown dtype": (first_entry(lambda entry, _: entry.update(dtype="F8_E9M0")), [FIRST, "F8_E9M0"]),
        "no dtype": (first_entry(lambda entry, _: entry.pop("dtype")), [FIRST]),
        "shape does not fit the bytes": (first_entry(lambda entry, _: entry["shape"].append(3)), [FIRST]),
        "shape that overflows": (first_entry(lambda entry, _: entry.update(shape=[2**62, 8])), [FIRST]),
        "negative dimensions": (first_entry(lambda entry, _: entry.update(shape=[-int(np.prod(entry["shape"])), -1])), [FIRST]),
        "shape is text": (first_entry(lambda entry, _: entry.update(shape="big")), [FIRST]),
        # the index
        "index not JSON": (write_text(INDEX, "weight_map"), [INDEX]),
        "index without weight_map": (write_text(INDEX, "{}"), [INDEX]),
        "index names an absent tensor": (edit_json(INDEX, lambda v: v["weight_map"].update({"model.ghost.weight": FIRST})), ["model.ghost.weight"]),
        "index names an absent shard": (edit_json(INDEX, lambda v: v["weight_map"].update({NORM: "model-00007.safetensors"})), ["model-00007"]),
        "index points outside the folder": (edit_json(INDEX, lambda v: v["weight_map"].update({NORM: "../../elsewhere.safetensors"})), ["elsewhere"]),
        "index sends a tensor to the wrong shard": (edit_json(INDEX, lambda v: v["weight_map"].update({NORM: wrong_shard(v, NORM)})), [NORM]),
        # tensors
        "wrong dtype of a norm": (with_tensors(replace(NORM, "I32", (64,))), [NORM]),
        "wrong shape of a norm": (with_tensors(replace(NORM, "F32", (63,))), [NORM]),
        "wrong shape of a projection": (with_tensors(replace("model.layers.0.linear_attn.in_proj_ba.weight", "BF16", (8, 63))), ["in_proj_ba"]),
        "wrong shape of the embedding": (with_tensors(replace("model.embed_tokens.weight", "BF16", (4000, 64))), ["embed_tokens"]),
        "wrong shape of qweight": (with_tensors(replace(UP + ".qweight", "I32", (8, 40))), [UP]),
        "wrong dtype of qweight": (with_tensors(replace(UP + ".qweight", "F32", (8, 32))), [UP]),
        "wrong shape of scales": (with_tensors(replace(UP + ".scales", "F16", (2, 31))), [UP]),
        "wrong dtype of scales": (with_tensors(replace(UP + ".scales", "I32", (2, 32))), [UP]),
        "wrong shape of qzeros": (with_tensors(replace(UP + ".qzeros", "I32", (2, 5))), [UP]),
        "wrong length of g_idx": (with_tensors(replace(UP + ".g_idx", "I32", (63,))), [UP]),
        "NaN among the scales": (with_tensors(set_flat(UP + ".scales", 5, np.nan)), [UP]),
        "infinite scale": (with_tensors(set_flat(OUT + ".scales", 7, np.inf)), [OUT]),
        "g_idx out of range": (with_tensors(set_flat(UP + ".g_idx", 63, 2)), [UP]),
        "g_idx far out of range": (with_tensors(set_flat(OUT + ".g_idx", 0, 2**31 - 1)), [OUT]),
        "g_idx negative": (with_tensors(set_flat(UP + ".g_idx", 10, -1)), [UP]),
        "g_idx with uneven groups": (with_tensors(set_flat(UP + ".g_idx", slice(0, 40), 0)), [UP]),
        "zero points against sym": (with_tensors(set_flat(UP + ".qzeros", 3, 0x12345678)), [UP]),
        "a router that is quantized": (with_tensors(quantize_the_router), ["model.layers.0.mlp.gate"]),
        "a module without scales": (with_tensors(half_a_module), [UP]),
        "missing and extra tensors at once": (with_tensors(missing_and_extra), [NORM, UP, "model.norm.weight", "k_norm.weight", "unknown.weight"]),
        "hundreds of missing tensors": (with_tensors(many_missing), ["experts"]),
        # text
        "no tokenizer": (remove("tokenizer.json"), ["tokenizer.json"]),
        "tokenizer not JSON": (write_text("tokenizer.json", "<html>404</html>"), ["tokenizer.json"]),
        "tokenizer of zero length": (truncate("tokenizer.json", 0), ["tokenizer.json"]),
        "tokenizer is a list": (write_text("tokenizer.json", "[]"), ["tokenizer.json"]),
        "tokenizer of another kind": (edit_json("tokenizer.json", lambda v: v["model"].update(type="Unigram")), ["tokenizer.json"]),
        "tokenizer without a model": (edit_json("tokenizer.json", lambda v: v.pop("model") and None), ["tokenizer.json"]),
        "merges that name no token": (edit_json("tokenizer.json", lambda v: v["model"]["merges"].insert(0, ["\u0101\u0101\u0101", "\u0102"])),
                                      ["tokenizer.json"]),
        "token ids are text": (edit_json("tokenizer.json", lambda v: v["model"]["vocab"].update({"!": "zero"})), ["tokenizer.json"]),
        "generation_config with a temperature of 50": (edit_json("generation_config.json", lambda v: v.update(temperature=50)),
                                                       ["generation_config.json: temperature"]),
        "rope_parameters without rope_type": (config(rope_theta=None, partial_rotary_factor=None,
                                                     rope_parameters={"rope_theta": 1e7, "partial_rotary_factor": 0.25}), ["rope_type"]),
        "a tensor's name of a megabyte": (header(FIRST, lambda v: v.update({"x" * 2**20: v.pop(next(k for k in v if k != "__metadata__"))})),
                                          [FIRST, "a tensor's name of 1048576 bytes"]),
        "deep tokenizer.json": (write_text("tokenizer.json", "[" * 100000), ["tokenizer.json"]),
        "deep generation_config.json": (write_text("generation_config.json", "[" * 100000), ["generation_config.json"]),
        "deep config.json": (write_text("config.json", "[" * 100000), ["config.json"]),
        "deep index": (write_text(INDEX, "[" * 100000), [INDEX]),
        "a shard that is a pipe": (pipe(FIRST), [FIRST]),
        "a config.json that is a pipe": (pipe("config.json"), ["config.json"]),
        # links
        **{f"{name} is a link to {target}": (link(name, target), [f"{name}: is a link that cannot be followed"])
           for name in ("generation_config.json", "quantize_config.json", INDEX) for target in ("nowhere", name)},
        "quantize_config.json of zero length": (lambda folder: (config(quantization_config=None)(folder), write_text("quantize_config.json", "")(folder)),
                                                ["quantize_config.json: is empty"]),
        "quantize_config.json not JSON": (lambda folder: (config(quantization_config=None)(folder), write_text("quantize_config.json", "{")(folder)),
                                          ["quantize_config.json: not valid JSON"]),
        # keys, lengths and encodings
        "a key of the vocabulary twice": (replace_text("tokenizer.json", '"vocab": {', '"vocab": {"!": 0, '), ['tokenizer.json: the key "!" occurs twice']),
        "lstrip": (edit_json("tokenizer.json", lambda v: v["added_tokens"][0].update(lstrip=True)), ["lstrip: true is not supported"]),
        "an activation of a megabyte": (config(hidden_act="x" * 2**20), ['hidden_act: "' + "x" * 80 + '..."; only "silu" is supported']),
        "bits are a long text": (quantization(bits="4" * 2**20), ['bits: expected an integer, found "' + "4" * 80 + '..."']),
        "bits 4.0": (quantization(bits=4.0), ["bits: expected an integer, found 4.0"]),
        "config in UTF-16": (lambda folder: reencode(folder, "config.json", "utf-16"), ["config.json: is UTF-16"]),
        "tokenizer in UTF-16": (lambda folder: reencode(folder, "tokenizer.json", "utf-16-le"), ["tokenizer.json: is UTF-16"]),
        "config in Latin-1": (lambda folder: (replace_text("config.json", "{", '{"x": "\u00e9", ')(folder), reencode(folder, "config.json", "latin-1")),
                              ["config.json: not valid JSON", "UTF-8"]),
        "NUL bytes after the header": (header(FIRST, lambda value: json.dumps(value).encode() + b"\0\0"), [FIRST, "is NUL"]),
        "generation_config not JSON": (write_text("generation_config.json", "{"), ["generation_config.json"]),
        "end-of-sequence id is text": (edit_json("generation_config.json", lambda v: v.update(eos_token_id="end")), ["eos_token_id"]),
    }


def wrong_shard(index, name):
    return FIRST if index["weight_map"][name] == SECOND else SECOND


class BadInput(bad_surroundings.Surroundings):
    def __init__(self):
        self.suite = harness.Suite(__doc__)
        self.folder = harness.scratch_folder()
        self.spec = make_checkpoints.small_model()
        self.good = self.spec.write(os.path.join(self.folder, "good"))

    def expect(self, name, arguments, names, codes=(1,), stdin="", stdout=""):
        """Runs qnext and checks the whole contract of a refusal."""
        if self.suite.wanted(name):
            self.suite.guard(name, lambda: self.one(name, arguments, names, codes, stdin, stdout))

    def one(self, name, arguments, names, codes, stdin, stdout):
        result = harness.run(self.suite.qnext, arguments, stdin, TIMEOUT)
        problems = []
        if result.returncode not in codes:
            problems.append(f"exit code {result.returncode} instead of {' or '.join(map(str, codes))}")
        errors = [line for line in result.stderr.splitlines() if line.startswith("qnext: error:")]
        if len(errors) != 1:
            problems.append(f"{len(errors)} lines begin with 'qnext: error:'")
        if "Sanitizer" in result.stderr or "runtime error:" in result.stderr or "check failed" in result.stderr.lower():
            problems.append("a broken invariant")
        for wanted in names:
            choices = wanted if isinstance(wanted, tuple) else (wanted,)
            if not any(choice in result.stderr for choice in choices):
                problems.append(f"the message does not name {' or '.join(choices)}")
        if stdout is not None and result.stdout != stdout:
            problems.append(f"stdout is {result.stdout[:80]!r}")
        self.suite.check(name, not problems, "; ".join(problems) + " | " + harness.describe(result))

    def checkpoints(self):
        broken = os.path.join(self.folder, "broken")
        for name, (spoil, names) in checkpoint_cases(self.spec).items():
            if not self.suite.wanted(name):
                continue
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            spoil(broken)
            self.expect(name, ["generate", "--model", broken, "--prompt", "Hello", "--max-tokens", "1"], [broken, *names])
        for command in ("generate --prompt Hello", "chat", "inspect", "logits --ids 1,2 --out " + os.path.join(self.folder, "x.safetensors")):
            words = command.split()
            self.expect(f"no such folder: {words[0]}", [words[0], "--model", "/nonexistent/folder", *words[1:]], ["/nonexistent/folder"])
        self.expect("a file instead of a folder", ["generate", "--model", os.path.join(self.good, "config.json"), "--prompt", "a"], ["config.json"])

    def not_finite(self):
        """NaN and infinities anywhere: one error that names every tensor which holds some, whatever becomes of the weights."""
        broken = os.path.join(self.folder, "not-finite")
        spoiled = {"model.embed_tokens.weight": (100, np.nan), "lm_head.weight": (7, np.inf), NORM: (63, -np.inf), "model.layers.1.mlp.gate.weight": (0, np.nan),
                   "model.layers.0.mlp.shared_expert_gate.weight": (1, np.nan), "model.layers.0.linear_attn.in_proj_ba.weight": (5, np.inf),
                   UP + ".scales": (3, np.nan), OUT + ".scales": (0, np.inf)}

        def change(tensors):
            for name, (position, value) in spoiled.items():
                tensor = tensors[name]
                if tensor.dtype == "BF16":  # held as 16-bit words
                    value = {np.inf: 0x7f80, -np.inf: 0xff80}.get(value, 0x7fc0)
                set_flat(name, position, value)(tensors)

        Tensors(self.spec)(change)(broken)
        for dense in ("stored", "int8"):
            self.expect(f"not finite: {dense} weights", ["generate", "--model", broken, "--prompt", "Hello", "--max-tokens", "1", "--dense-weights", dense],
                        [f"{broken}: {len(spoiled)} problems with the contents of tensors:", *(f"{name}: the element at [" for name in spoiled)])

    def works(self):
        """The unspoiled folder must work, or every refusal below would prove nothing."""
        result = harness.run(self.suite.qnext, ["generate", "--model", self.good, "--prompt", "Hello", "--max-tokens", "2"], timeout=TIMEOUT)
        self.suite.check("the good checkpoint works", result.returncode == 0, harness.describe(result))

    def inspect(self):
        """`inspect` of a broken checkpoint also says what is wrong and where."""
        broken = os.path.join(self.folder, "broken-inspect")
        for name, spoil, names in (("inspect: truncated shard", truncate(SECOND, -1), [SECOND]),
                                   ("inspect: config not JSON", write_text("config.json", "{"), ["config.json"])):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            spoil(broken)
            self.expect(name, ["inspect", "--model", broken], names, stdout=None)  # the report may come all the same

    def prompts(self):
        generate = ["generate", "--model", self.good]
        self.expect("empty prompt", [*generate, "--prompt", ""], ["prompt"])
        empty = os.path.join(self.folder, "empty.txt")
        open(empty, "w", encoding="utf-8").close()
        self.expect("prompt file of zero length", [*generate, "--prompt-file", empty], ["prompt"])
        self.expect("prompt file is a device", [*generate, "--prompt-file", os.devnull], [os.devnull], codes=(1, 2))
        self.expect("no such prompt file", [*generate, "--prompt-file", "/nonexistent/prompt.txt"], ["/nonexistent/prompt.txt"], codes=(1, 2))
        self.expect("prompt file is a folder", [*generate, "--prompt-file", self.folder], [self.folder], codes=(1, 2))
        self.expect("prompt longer than the context", [*generate, "--ctx", "64", "--prompt", "word " * 500], ["64", ("context", "ctx")])
        self.expect("neither prompt nor file", generate, ["prompt"], codes=(1, 2))
        self.expect("prompt and file", [*generate, "--prompt", "a", "--prompt-file", os.devnull], ["prompt"], codes=(1, 2))

    def logits(self):
        out = os.path.join(self.folder, "out.safetensors")
        logits = ["logits", "--model", self.good, "--out", out]
        bad_json, wrong_experts = os.path.join(self.folder, "bad.json"), os.path.join(self.folder, "experts.json")
        with open(bad_json, "w", encoding="utf-8") as f:
            f.write("[1, 2,")
        with open(wrong_experts, "w", encoding="utf-8") as f:
            json.dump([[[0, 99], [0, 1]], [[0, 1], [0, 1]]], f)
        self.expect("ids outside the vocabulary", [*logits, "--ids", "1,99999"], [("99999", "ids")], codes=(1, 2))
        self.expect("negative id", [*logits, "--ids=-1"], ["ids"], codes=(1, 2))
        self.expect("ids that are no numbers", [*logits, "--ids", "one,two"], ["ids"], codes=(1, 2))
        self.expect("no ids", [*logits, "--ids", ""], ["ids"], codes=(1, 2))
        self.expect("ids file not JSON", [*logits, "--ids-file", bad_json], ["bad.json"], codes=(1, 2))
        self.expect("experts outside the model", [*logits, "--ids", "1,2", "--experts", wrong_experts], ["experts"], codes=(1, 2))
        self.expect("experts of another shape", [*logits, "--ids", "1,2,3", "--experts", wrong_experts], ["experts"], codes=(1, 2))
        self.expect("layer inputs of no format", [*logits, "--ids", "1,2", "--layer-inputs", bad_json], ["bad.json"], codes=(1, 2))
        self.expect("output in no folder", ["logits", "--model", self.good, "--ids", "1", "--out", "/nonexistent/x"], ["/nonexistent/x"], codes=(1, 2))

    def templates(self):
        """A template that refuses is an error; one that cannot be compiled at least names itself before anything is said in its place."""
        broken = os.path.join(self.folder, "broken-template")
        for name, source in (("template raises", "{{ raise_exception('no thanks') }}"), ("template adds text and number", "{{ 'a' + 1 }}")):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            edit_json("tokenizer_config.json", lambda v, s=source: v.update(chat_template=s))(broken)
            self.expect(f"chat: {name}", ["chat", "--model", broken], [f"error: {broken}/tokenizer_config.json: line 1: ", "renders no plain question"],
                        stdin="Hello\n")
        for name, source in (("undefined", "{{ foo.bar }}"), ("division", "{{ 1 / 0 }}"), ("too large", "{{ range(1000000000) | list }}")):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            edit_json("tokenizer_config.json", lambda v, s=source: v.update(chat_template=s))(broken)
            if self.suite.wanted(f"chat: template {name}"):
                result = harness.run(self.suite.qnext, ["chat", "--model", broken], "Hello\n", TIMEOUT)
                one = len(result.stderr.splitlines()) == 1 and result.stderr.startswith(f"qnext: error: {broken}/tokenizer_config.json: line 1: ")
                self.suite.check(f"chat: template {name}", result.returncode == 1 and result.stdout == "" and one, harness.describe(result))
        self.hostile_templates(broken)
        for name, source in (("never closed", "{% for message in messages %}{{ message.content }"), ("unknown tag", "{% teleport %}"),
                             ("unknown filter", "{{ messages | transmogrify }}")):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            edit_json("tokenizer_config.json", lambda v, s=source: v.update(chat_template=s))(broken)
            label = f"chat: template {name}"
            if self.suite.wanted(label):
                self.suite.guard(label, lambda: self.template_is_named(label, broken))
        edit_json("tokenizer_config.json", lambda v: v.update(chat_template=7))(broken)
        self.expect("chat: template is a number", ["chat", "--model", broken], [os.path.join(broken, "tokenizer_config.json")], stdin="Hello\n")
        for name, spoil in (("deep tokenizer_config.json", write_text("tokenizer_config.json", "{\"a\":" * 100000)),
                            ("a tokenizer_config.json that is a pipe", pipe("tokenizer_config.json"))):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(self.good, broken)
            spoil(broken)
            self.expect(f"chat: {name}", ["chat", "--model", broken], [os.path.join(broken, "tokenizer_config.json")], stdin="Hello\n")
        template = os.path.join(self.folder, "broken.jinja")
        with open(template, "w", encoding="utf-8") as f:
            f.write("{% if %}")
        self.expect("chat: --chat-template broken", ["chat", "--model", self.good, "--chat-template", template], [("broken.jinja", "chat-template")],
                    stdin="Hello\n")

    def hostile_templates(self, broken):
        """What a template says reaches no terminal as it is, and names its file once; one that says nothing is named as well."""
        template = os.path.join(broken, "chat_template.jinja")
        batch = os.path.join(self.folder, "template.jsonl")
        with open(batch, "w", encoding="utf-8") as f:
            f.write('{"messages": [{"role": "user", "content": "Hello"}]}\n')
        for name, text, said in (("escape sequences", "{{ raise_exception('\\x1b[2J\\x07') }}", "line 1: \\x1b[2J\\x07"), ("empty", "", "to nothing")):
            with open(template, "w", encoding="utf-8") as f:
                f.write(text)
            for command in (["chat"], ["inspect"], ["batch", "--in", batch, "--out", batch + ".out"]):
                label = f"{command[0]}: template of {name}"
                if self.suite.wanted(label):
                    result = harness.run(self.suite.qnext, [*command, "--model", broken], "Hello\n", TIMEOUT)
                    text = result.stdout + result.stderr
                    good = all(c >= " " or c == "\n" for c in text) and said in text and template in text and "chat template: line" not in text
                    self.suite.check(label, good and result.returncode == (0 if command[0] == "inspect" else 1), harness.describe(result))
        os.remove(template)

    def template_is_named(self, name, model):
        """What needs the template says why it cannot be had, and answers nothing; what needs none says nothing; a server serves what it can."""
        said = f"qnext: error: {model}/tokenizer_config.json: line 1: "
        result = harness.run(self.suite.qnext, ["chat", "--model", model, "--max-tokens", "4"], "Hello\n", TIMEOUT)
        only = len(result.stderr.splitlines()) == 1 and result.stderr.startswith(said) and "--chat-template FILE" in result.stderr
        self.suite.check(name, result.returncode == 1 and result.stdout == "" and only, harness.describe(result))
        another = os.path.join(self.folder, "another.jinja")
        with open(another, "w", encoding="utf-8") as f:
            f.write("{{ messages[0].content }}")
        result = harness.run(self.suite.qnext, ["chat", "--model", model, "--max-tokens", "4", "--chat-template", another], "Hello\n", TIMEOUT)
        self.suite.check(f"{name}, another", result.returncode == 0 and result.stdout != "" and "template" not in result.stderr, harness.describe(result))
        result = harness.run(self.suite.qnext, ["generate", "--model", model, "--prompt", "Hello", "--max-tokens", "4"], "", TIMEOUT)
        self.suite.check(f"{name}, generate", result.returncode == 0 and "template" not in result.stderr, harness.describe(result))
        lines = {"batch of prompts": '{"prompt": "a", "max_tokens": 1}\n', "batch of messages": '{"messages": [{"role": "user", "content": "a"}]}\n'}
        for kind, line in lines.items():
            result = harness.run(self.suite.qnext, ["batch", "--model", model, "--in", "-", "--out", "-"], line, TIMEOUT)
            if kind == "batch of prompts":
                good = result.returncode == 0 and "template" not in result.stderr
            else:
                good = result.returncode == 1 and result.stderr.startswith("qnext: error: standard input: line 1: ") and said[14:] in result.stderr
            self.suite.check(f"{name}, {kind}", good, harness.describe(result))
        result = harness.run(self.suite.qnext, ["inspect", "--model", model], "", TIMEOUT)
        self.suite.check(f"{name}, inspect", result.returncode == 0 and said[14:] in result.stdout + result.stderr, harness.describe(result))
        self.served_without_template(name, model)

    def served_without_template(self, name, model):
        """A server warns and answers with the built-in template, for completions need none."""
        server = subprocess.Popen([self.suite.qnext, "serve", "--model", model, "--port", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        lines = []
        for line in server.stderr:
            lines.append(line)
            if line.startswith("ready"):
                break
        server.terminate()
        lines.append(server.stderr.read())
        server.stderr.close()
        code, text = server.wait(TIMEOUT), "".join(lines)
        good = code == 0 and "ready" in text and f"warning: {model}/tokenizer_config.json: line 1: " in text and "using the built-in ChatML" in text
        self.suite.check(f"{name}, serve", good, f"exit code {code}, stderr {text!r}")

    def index_that_omits(self):
        """A tensor that a shard holds and the index does not name: read all the same, and inspect says so."""
        if not self.suite.wanted("index omits a tensor"):
            return
        partial = os.path.join(self.folder, "partial-index")
        shutil.copytree(self.good, partial)
        edit_json(INDEX, lambda v: v["weight_map"].pop(NORM) and None)(partial)
        result = harness.run(self.suite.qnext, ["inspect", "--model", partial], "", TIMEOUT)
        self.suite.check("index omits a tensor", result.returncode == 0 and INDEX + ": does not name 1 tensors" in result.stdout and NORM in result.stdout,
                         harness.describe(result))

    def disputed_zero_points(self):
        """Zero points stored as 15 in an asymmetric "gptq" checkpoint: loading counts them and warns."""
        if not self.suite.wanted("disputed zero points"):
            return
        folder = os.path.join(self.folder, "asymmetric")
        shutil.copytree(self.good, folder)
        with_tensors = Tensors(self.spec)
        generate = ["generate", "--model", folder, "--prompt", "Hello", "--max-tokens", "1"]
        with_tensors(set_flat(UP + ".qzeros", slice(None), 0x12345678))(folder)
        quantization(sym=False)(folder)
        before = harness.run(self.suite.qnext, generate, "", TIMEOUT)
        with_tensors(set_flat(UP + ".qzeros", 3, 0x1F345F78))(folder)
        quantization(sym=False)(folder)
        after = harness.run(self.suite.qnext, generate, "", TIMEOUT)
        warned = f"warning: {folder}: 2 zero points are stored as 15" in after.stderr
        self.suite.check("disputed zero points", before.returncode == 0 and after.returncode == 0 and warned and "stored as 15" not in before.stderr,
                         harness.describe(after))

    def batch(self):
        path, out = os.path.join(self.folder, "batch.jsonl"), os.path.join(self.folder, "batch-out.jsonl")
        for name, line, named in (("messages is text", '{"messages": "x"}', "line 1: messages"), ("messages holds text", '{"messages": ["x"]}', "line 1: messages"),
                                  ("message without a role", '{"messages": [{"content": "x"}]}', "line 1: messages"),
                                  ("deep line", '{"messages": ' + "[" * 100000, "line 1"), ("not JSON", "hello", "line 1"),
                                  ("prompt is a number", '{"prompt": 7}', "line 1: prompt"), ("no messages", '{"messages": []}', "messages: must not be empty"),
                                  ("content is null", '{"messages": [{"role": "user", "content": null}]}', "messages[0].content"),
                                  ("key twice", '{"prompt": "a", "prompt": "b"}', '"prompt" occurs twice'),
                                  ("tools beside prompt", '{"prompt": "a", "tools": []}', "tools: not with prompt"), ("unknown field", '{"prompt": "a", "stream": true}', "stream"),
                                  ("max_tokens beyond 64 bits", '{"prompt": "a", "max_tokens": 18446744073709551615}', "max_tokens: is too large")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(line + "\n")
            self.expect(f"batch: {name}", ["batch", "--model", self.good, "--in", path, "--out", out], [path, named])
        self.batch_output(path)
        piped = harness.run(self.suite.qnext, ["batch", "--model", self.good, "--in", "-", "--out", "-"], '{"prompt": "a", "max_tokens": 1}\n', TIMEOUT)
        self.suite.check("batch: from stdin to stdout", piped.returncode == 0 and '"finish_reason":"length"' in piped.stdout, harness.describe(piped))
        shell = 'exec "$0" generate --model "$1" --max-tokens 1 --temperature 0 --prompt-file <(printf hello)'
        substituted = harness.run("/bin/bash", ["-c", shell, self.suite.qnext, self.good], "", TIMEOUT)
        self.suite.check("generate: a prompt from a pipe", substituted.returncode == 0 and substituted.stdout != "", harness.describe(substituted))
        for value in ("0", "1", "-5"):
            result = harness.run(self.suite.qnext, ["generate", "--model", self.good, "--prompt", "a", "--ctx", value], "", TIMEOUT)
            self.suite.check(f"--ctx {value}", result.returncode == 2 and "--ctx: must be at least 2" in result.stderr, harness.describe(result))
        options = os.path.join(self.folder, "options.toml")
        with open(options, "w", encoding="utf-8") as f:
            f.write("top-k = 5\ntop_k = 7\n")
        self.expect("option file: one option twice", ["generate", "--model", self.good, "--prompt", "a", "--config-file", options],
                    [options, "line 2: top_k: given twice, in line 1 as top-k"], codes=(1, 2))
        deep = os.path.join(self.folder, "deep.json")
        with open(deep, "w", encoding="utf-8") as f:
            f.write("[" * 100000)
        self.expect("logits: deep ids", ["logits", "--model", self.good, "--ids-file", deep, "--out", os.path.join(self.folder, "x.safetensors")], [deep])

    def batch_fields(self):
        """Messages and tools are checked before the template sees them; the message names line and field."""
        path, out = os.path.join(self.folder, "fields.jsonl"), os.path.join(self.folder, "fields-out.jsonl")
        batch = ["batch", "--model", self.good, "--in", path, "--out", out, "--max-tokens", "1"]
        user = {"role": "user", "content": "x"}
        for name, item, named in (
                ("tools holds a number", {"messages": [user], "tools": [5]}, "tools[0]: must be an object"),
                ("tools is a text", {"messages": [user], "tools": "f"}, "tools: must be an array"),
                ("a tool without a function", {"messages": [user], "tools": [{"type": "function"}]}, "tools[0].function: is required"),
                ("a function without a name", {"messages": [user], "tools": [{"function": {}}]}, "tools[0].function.name: is required"),
                ("unknown role", {"messages": [user, {"role": "robot", "content": "x"}]}, "messages[1].role: must be \"system\", "),
                ("role is a number", {"messages": [{"role": 5, "content": "x"}]}, "messages[0].role: must be a string"),
                ("no content", {"messages": [{"role": "user"}]}, "messages[0].content: is required"),
                ("content is a number", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content: must be a string or an array"),
                ("content holds a number", {"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]: must be an object"),
                ("content is an image", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type: must be \"text\""),
                ("a tool call of a number", {"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages[0].tool_calls[0]: must be an object")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(json.dumps(item) + "\n")
            self.expect(f"batch: {name}", batch, [f"{path}: line 1: {named}"])
            if os.path.exists(out + ".partial"):
                os.remove(out + ".partial")
        for name, line, named in (("invalid UTF-8", b'{"prompt": "caf\xe9"}', "line 1: invalid UTF-8 at byte 16"), ("UTF-8 cut short", b'{"prompt": "a\xe2\x82', "line 1: invalid UTF-8 at byte 14")):
            with open(path, "wb") as f:
                f.write(line + b"\n")
            self.expect(f"batch: {name}", batch, [f"{path}: {named}"])
        if self.suite.wanted("batch: messages in the template's form"):
            call = {"function": {"name": "f", "arguments": {"a": 1}}}
            item = {"messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, user, {"role": "assistant", "tool_calls": [call]},
                                 {"role": "tool", "name": "f", "content": "1"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}
            result = harness.run(self.suite.qnext, ["batch", "--model", self.good, "--in", "-", "--out", "-", "--max-tokens", "1"], json.dumps(item), TIMEOUT)
            self.suite.check("batch: messages in the template's form", result.returncode == 0 and len(result.stdout.splitlines()) == 1, harness.describe(result))

    def batch_output(self, path):
        """--out destroys neither what is read nor what was answered before, and says why a place cannot be written."""
        good, bad = json.dumps({"prompt": "a", "max_tokens": 1}), '{"prompt": 7}'
        text = f"{good}\n{good}\n{bad}\n"
        twin, blobs = os.path.join(self.folder, "twin"), os.path.join(self.folder, "blobs")
        shutil.copytree(self.good, blobs)
        os.mkdir(twin)
        for name in os.listdir(blobs):  # as in Hugging Face's cache
            os.symlink(os.path.join("..", "blobs", name), os.path.join(twin, name))
        hard, soft, out, config = (os.path.join(self.folder, name) for name in ("hard.jsonl", "soft.jsonl", "out.jsonl", os.path.join("twin", "config.json")))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.link(path, hard)
        os.symlink(path, soft)
        batch = ["batch", "--model", twin, "--in", path, "--out"]
        for name, to, says in (("the input", path, "input"), ("a link to the input", hard, "input"), ("a symbolic link to it", soft, "input"),
                               ("a file of the checkpoint", config, "checkpoint's folder"), ("what it links to", os.path.join(blobs, "config.json"), "checkpoint's folder"),
                               ("a new file there", os.path.join(twin, "new"), "checkpoint's folder")):
            self.expect(f"batch: --out is {name}", [*batch, to], ["--out: " + to, says], codes=(2,))
        for name, to, says in (("a missing folder", os.path.join(self.folder, "no", "out"), "No such file or directory"), ("a folder", self.folder, "is a directory"),
                               ("a full disk", "/dev/full", "No space left on device")):
            self.expect(f"batch: --out is {name}", [*batch, to], [to, says])
        with open(path, encoding="utf-8") as f, open(config, encoding="utf-8") as g:
            self.suite.check("batch: nothing overwritten", f.read() == text and "num_experts" in g.read() and "new" not in os.listdir(twin), "")
        self.expect("batch: third line wrong", [*batch, out], ["line 3: prompt", f"2 finished lines are in {out}.partial"])
        self.expect("batch: lines of an earlier run", [*batch, out], [f"{out}.partial: is left from a run that did not end"])
        self.expect("batch: lines of an earlier run as --in", ["batch", "--model", twin, "--in", out + ".partial", "--out", out], [f"{out}.partial: is left"])
        if not self.suite.wanted("batch: finished lines stay") or not self.suite.wanted("batch: third line wrong"):
            return
        with open(out + ".partial", encoding="utf-8") as f:
            self.suite.check("batch: finished lines stay", len(f.readlines()) == 2 and not os.path.exists(out), "")

    def sentences(self):
        """What was unclear or let through once."""
        generate = ["generate", "--model", self.good]
        self.expect("an option twice", [*generate, "--prompt", "a", "--prompt", "b"], ["error: --prompt: may be given only once"], codes=(2,))
        self.expect("standard input is empty", [*generate, "--prompt-file", "-"], ["error: standard input is empty"])
        self.expect("stop that is not UTF-8", [*generate, "--prompt", "a", "--stop", b"ab\xff".decode("utf-8", "surrogateescape")], ["--stop: invalid UTF-8 at byte 3"], codes=(2,))
        broken = os.path.join(self.folder, "sentences")
        shutil.copytree(self.good, broken)
        quantization(modules_to_not_convert="lm_head")(broken)
        self.expect("modules_to_not_convert is a text", ["generate", "--model", broken, "--prompt", "a"],
                    [f"{broken}/config.json: quantization_config: modules_to_not_convert: expected a list of names"])

    def template_that_ignores(self):
        """A template that shows no message: inspect says so, and whatever chats warns."""
        broken = os.path.join(self.folder, "ignoring")
        shutil.copytree(self.good, broken)
        write_text("chat_template.jinja", "Good day!")(broken)
        said = f"{broken}/chat_template.jinja: the template ignores the messages"
        for command in ("inspect", "chat"):
            name = f"{command}: template that ignores the messages"
            if self.suite.wanted(name):
                options = ["--max-tokens", "1"] if command == "chat" else []
                result = harness.run(self.suite.qnext, [command, "--model", broken, *options], "Hello\n", TIMEOUT)
                self.suite.check(name, result.returncode == 0 and said in (result.stdout if command == "inspect" else result.stderr), harness.describe(result))

    def synthetic(self):
        """Weights out of nothing need a kind that exists and an empty folder."""
        config = os.path.join(self.good, "config.json")
        out = os.path.join(self.folder, "synthetic")
        for name, kind, named in (("unknown kind", "80b-z", "80b-z"), ("a folder", self.good, self.good), ("not JSON", os.path.join(self.good, FIRST), FIRST)):
            self.expect(f"--synthetic: {name}", ["generate", "--synthetic", kind, "--prompt", "a"], [named])
            self.expect(f"synth: {name}", ["synth", "--kind", kind, "--out", out], [named])
        self.expect("synth into a folder with something in it", ["synth", "--kind", config, "--out", self.good], [self.good])
        self.expect("synth into a file", ["synth", "--kind", config, "--out", config], [config])
        self.expect("synth without room", ["synth", "--kind", self.huge(), "--out", out], [out, "the disk has"])
        for name, arguments in (("model and synthetic", ["--model", self.good, "--synthetic", "80b-a"]), ("routing of a real model", ["--model", self.good, "--routing", "uniform"]),
                                ("unknown routing", ["--synthetic", "80b-a", "--routing", "wild"])):
            self.expect(name, ["generate", "--prompt", "a", *arguments], [("--synthetic", "--routing")], codes=(2,))

    def huge(self):
        """The path of a configuration whose embedding alone fills any disk."""
        path = os.path.join(self.folder, "huge.json")
        with open(os.path.join(self.good, "config.json"), encoding="utf-8") as f:
            value = json.load(f)
        value.update(vocab_size=2**20, hidden_size=2**20)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(value, f)
        return path


def main():
    tests = BadInput()
    for part in (tests.works, tests.checkpoints, tests.not_finite, tests.inspect, tests.prompts, tests.logits, tests.templates, tests.index_that_omits, tests.disputed_zero_points, tests.batch, tests.batch_fields, tests.files_kept, tests.closed_descriptors, tests.limits, tests.small_stacks, tests.environment, tests.sentences, tests.template_that_ignores, tests.usage, tests.option_files, tests.synthetic):
        part()
    tests.suite.finish()


if __name__ == "__main__":
    main()
