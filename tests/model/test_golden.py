"""The tiny model against what Hugging Face's implementation computes from the same weights (tests/golden), on every path of the engine.

Logits, hidden states, experts, teacher-forced arg-max, greedy text, cross entropy; float32 and int8 activations, f32 and bf16 KV cache,
chunked and recurrent DeltaNet, one-shot and block-wise prefill, every instruction set this processor has. With --device cuda the same of the
GPU, which has int8 activations and one form of DeltaNet.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
from harness import Unsupported  # noqa: E402

PROMPTS = range(4)
LONG = 3  # 196 tokens: more than one chunk of the delta rule
BLOCKS = (7, 64, 100)
GOLDEN = os.path.join(harness.ROOT, "tests", "golden")


class Case:
    """One prompt: the published implementation's results, and the oracle's over prompt and continuation."""

    def __init__(self, number, golden, text, end_ids):
        self.number, self.prompt, self.continuation = number, text["prompt"], text["continuation"]
        self.ids, self.greedy = golden[f"{number}.input_ids"], golden[f"{number}.greedy_ids"]
        self.logits, self.hidden_states = golden[f"{number}.logits"], golden.get(f"{number}.hidden_states")
        ends = [i for i, t in enumerate(self.greedy) if t in end_ids]
        self.answer = self.greedy[:ends[0]].tolist() if ends else self.greedy.tolist()
        self.ended = bool(ends)
        self.forced_ids = np.concatenate([self.ids, self.greedy[:-1]])
        self.oracle = harness.Expected(harness.TINY, self.forced_ids)
        self.prompt_oracle = harness.Expected(harness.TINY, self.ids)

    def answer_text(self):
        text = self.continuation
        for end in ("<|im_end|>", "<|endoftext|>"):
            text = text.split(end)[0]
        return text


class Golden:
    def __init__(self):
        self.suite = harness.Suite(__doc__, {"--device": {"default": "cpu", "choices": ("cpu", "cuda"), "help": "where the model runs"}})
        self.device = self.suite.options.device
        self.activations = ("float32", "int8") if self.device == "cpu" else ("int8",)
        self.folder = harness.scratch_folder()
        golden = harness.reference.load(os.path.join(GOLDEN, "reference.safetensors"))
        with open(os.path.join(GOLDEN, "reference.json"), encoding="utf-8") as f:
            texts = json.load(f)
        with open(os.path.join(harness.TINY, "generation_config.json"), encoding="utf-8") as f:
            self.end_ids = set(json.load(f)["eos_token_id"])
        self.cases = [Case(i, golden, texts[i], self.end_ids) for i in PROMPTS]
        self.one_shot = {}  # (prompt, activations) -> logits of the plain run

    def logits(self, case, ids=None, **options):
        return harness.logits(self.suite.qnext, harness.TINY, case.ids if ids is None else ids, self.folder, device=self.device, **options)

    def check_logits(self, name, case, actual, limit, float32=False):
        rows = actual.get("logits")
        harness.check_close(self.suite, f"{name} logits", rows, case.logits, limit)
        harness.check_argmax(self.suite, f"{name} argmax", rows, case.logits, float32)
        harness.check_cross_entropy(self.suite, f"{name} cross entropy", rows, case.logits, case.ids)
        return rows

    def oracle(self):
        """The oracle stands between the golden file and the tests of the other checkpoints: it must agree with the file first."""
        for case in self.cases:
            name = f"oracle, prompt {case.number},"
            harness.check_close(self.suite, f"{name} logits", case.oracle.logits[:len(case.ids)], case.logits, 1e-5)
            last = case.oracle.logits[len(case.ids) - 1:]
            self.suite.check(f"{name} greedy", (np.argmax(last, -1) == case.greedy).all(), "another continuation")

    def teacher_forced(self):
        for activations in self.activations:
            for case in self.cases:
                name = f"prompt {case.number} {activations}"
                self.suite.guard(name, lambda: self.one_teacher_forced(name, case, activations))

    def one_teacher_forced(self, name, case, activations):
        float32, length = activations == "float32", len(case.ids)
        actual = self.logits(case, case.forced_ids, activations=activations, kv="f32")
        rows = actual.get("logits")
        if not self.suite.check(f"{name} shape", np.shape(rows) == case.oracle.logits.shape, f"{np.shape(rows)}"):
            return
        limit = harness.LOGITS_FLOAT32 if float32 else harness.LOGITS_INT8
        prompt = {"logits": rows[:length]}
        self.check_logits(name, case, prompt, limit, float32)
        harness.check_argmax(self.suite, f"{name} argmax on its own tokens", rows[length - 1:], case.oracle.logits[length - 1:], float32)
        if float32:
            self.suite.check(f"{name} greedy tokens", (np.argmax(rows[length - 1:], -1) == case.greedy).all(), "teacher-forced arg-max differs")
            harness.check_experts(self.suite, f"{name} experts", actual, case.oracle)
            if case.hidden_states is not None:
                hidden = actual.get("hidden_states")
                for layer, expected in enumerate(case.hidden_states):
                    got = None if hidden is None else hidden[layer][:length]
                    harness.check_close(self.suite, f"{name} hidden state {layer}", got, expected, harness.LOGITS_FLOAT32)

    def layers(self):
        """Layer by layer, the inputs and the expert choice forced."""
        kinds = (("float32", "f32", harness.LAYER_FLOAT32), ("int8", "f32", harness.LAYER_INT8), ("float32", "bf16", harness.LAYER_KV_BF16))
        for activations, kv, limit in (kind for kind in kinds if kind[0] in self.activations):
            for case in (self.cases[0], self.cases[LONG]):
                name = f"prompt {case.number} {activations} kv {kv} layers"
                self.suite.guard(name, lambda: self.one_layers(name, case, activations, kv, limit))

    def one_layers(self, name, case, activations, kv, limit):
        expected = case.prompt_oracle
        actual = self.logits(case, activations=activations, kv=kv, experts=expected.experts, layer_inputs=expected.layer_inputs)
        harness.check_layers(self.suite, name, actual, expected, limit)
        if activations == "int8":
            harness.check_layers(self.suite, f"{name} as simulated", actual, expected, harness.LAYER_SIMULATED, expected.int8_layers)

    def same_by_other_ways(self):
        """One-shot, block by block, recurrent, other thread counts: against the golden file and against each other."""
        ways = [{"block_tokens": b} for b in BLOCKS]
        if self.device == "cpu":
            ways += [{"recurrent": True}, {"recurrent": True, "block_tokens": 7}, {"threads": 1}, {"threads": 2}]
        for activations in self.activations:
            limit = harness.LOGITS_FLOAT32 if activations == "float32" else harness.LOGITS_INT8
            for case in (self.cases[0], self.cases[LONG]) if activations == "float32" else (self.cases[LONG],):
                name = f"prompt {case.number} {activations}"
                plain = self.suite.guard(name, lambda: self.logits(case, activations=activations, kv="f32").get("logits"))
                again = self.suite.guard(name, lambda: self.logits(case, activations=activations, kv="f32").get("logits"))
                self.suite.check(f"{name} twice bit-equal", plain is not None and again is not None and np.array_equal(plain, again), "")
                for way in ways:
                    label = f"{name} " + " ".join(f"{k} {v}" for k, v in way.items())
                    self.suite.guard(label, lambda: self.one_way(label, case, activations, way, limit, plain))

    def one_way(self, name, case, activations, way, limit, plain):
        rows = self.check_logits(name, case, self.logits(case, activations=activations, kv="f32", **way), limit, activations == "float32")
        harness.check_close(self.suite, f"{name} against one-shot", rows, np.zeros(0) if plain is None else plain, limit)

    def kv_types(self):
        kinds = (("float32", "bf16", harness.LOGITS_KV_BF16), ("float32", "int8", harness.LOGITS_KV_INT8), ("float32", "fp8", harness.LOGITS_KV_FP8),
                 ("int8", "bf16", harness.LOGITS_INT8), ("int8", "int8", harness.LOGITS_INT8))
        for activations, kv, limit in (kind for kind in kinds if kind[0] in self.activations):
            for case in self.cases:
                name = f"prompt {case.number} {activations} kv {kv}"
                self.suite.guard(name, lambda: self.check_logits(name, case, self.logits(case, activations=activations, kv=kv), limit))

    def instruction_sets(self):
        for isa in () if self.device == "cuda" else harness.CPU_ISAS:
            try:
                for activations, limit in (("float32", harness.LOGITS_FLOAT32), ("int8", harness.LOGITS_INT8)):
                    for case in self.cases:
                        name = f"prompt {case.number} {activations} {isa}"
                        self.suite.guard(name, lambda: self.check_logits(
                            name, case, self.logits(case, activations=activations, kv="f32", cpu_isa=isa), limit, activations == "float32"))
            except Unsupported as why:
                self.suite.skip(isa, str(why))

    def greedy(self):
        """`generate` end to end: tokenizer, prefill, decode steps, end of sequence, text."""
        for label, options in (("float32", ["--activations", "float32", "--kv", "f32"]), ("int8", ["--activations", "int8", "--kv", "bf16"])):
            if label not in self.activations:
                continue
            for case in self.cases:
                name = f"prompt {case.number} generate {label}"
                self.suite.guard(name, lambda: self.one_greedy(name, case, label == "float32", options))
        case = self.cases[2]
        self.suite.guard("generate to stdout", lambda: self.plain_text(case))

    def one_greedy(self, name, case, float32, options):
        path = os.path.join(self.folder, "prompt.txt")
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(case.prompt)
        result = harness.run_ok(self.suite.qnext, ["generate", "--model", harness.TINY, "--prompt-file", path, "--json", "--temperature", "0",
                                                   "--max-tokens", len(case.greedy), "--device", self.device, *options])
        try:
            answer = json.loads(result.stdout)
            tokens, text, reason, usage = (answer[k] for k in ("token_ids", "text", "finish_reason", "usage"))
        except (ValueError, KeyError, TypeError) as error:
            raise harness.Failure(f"--json: {error!r} in {result.stdout[:200]!r}") from None
        if tokens and tokens[-1] in self.end_ids:
            tokens = tokens[:-1]
        self.suite.check(f"{name} prompt tokens", usage.get("prompt_tokens") == len(case.ids), f"{usage}, expected {len(case.ids)}")
        gaps = harness.top_gap(case.oracle.logits[len(case.ids) - 1:])[:len(case.answer) + 1]
        unclear = np.flatnonzero(gaps < harness.CLEAR_GAP)
        if float32 or not len(unclear):
            self.suite.check(f"{name} tokens", tokens == case.answer, f"{tokens}, expected {case.answer}")
            self.suite.check(f"{name} text", text == case.answer_text(), f"{text!r}, expected {case.answer_text()!r}")
            self.suite.check(f"{name} reason", reason == ("stop" if case.ended else "length"), f"{reason!r}")
        else:
            strict = int(unclear[0])
            self.suite.check(f"{name} first {strict} tokens", tokens[:strict] == case.answer[:strict], f"{tokens}, expected {case.answer}")

    def plain_text(self, case):
        result = harness.run_ok(self.suite.qnext, ["generate", "--model", harness.TINY, "--prompt", case.prompt, "--temperature", "0",
                                                   "--max-tokens", len(case.greedy), "--device", self.device])
        self.suite.check("generate prints only the text", result.stdout.removesuffix("\n") == case.answer_text(), repr(result.stdout))


def main():
    golden = Golden()
    for part in (golden.oracle, golden.teacher_forced, golden.layers, golden.same_by_other_ways, golden.kv_types, golden.instruction_sets,
                 golden.greedy):
        if golden.suite.wanted(part.__name__):
            part()
    golden.suite.finish()


if __name__ == "__main__":
    main()
