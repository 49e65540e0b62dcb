"""qnext eval against the numpy oracle: perplexity, its standard error and windows; KL divergence and agreement of two configurations."""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
from harness import reference  # noqa: E402

WINDOW, STRIDE, BLOCK = 128, 48, 64
FLOAT32 = ["--activations", "float32", "--kv", "f32"]
NLL = 1e-4  # nats, mean; float32 against float32
KL = 1e-3  # relative, of two logits files of the same runs


def log_softmax(rows):
    rows = np.asarray(rows, np.float64)
    shifted = rows - rows.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def windows(tokens):
    """(begin, end, first token scored), as docs/cli.md has them."""
    scored, begin, out = 1, 0, []
    while scored < tokens:
        end = min(begin + WINDOW, tokens)
        out.append((begin, end, scored))
        scored, begin = end, begin + STRIDE
    return out


def standard_error(values):
    blocks = [values[i:i + BLOCK] - values.mean() for i in range(0, len(values), BLOCK)]
    return np.sqrt(len(blocks) / (len(blocks) - 1) * sum(b.sum()**2 for b in blocks)) / len(values)


class Eval:
    def __init__(self):
        self.suite = harness.Suite(__doc__)
        self.folder = harness.scratch_folder()
        golden = reference.load(os.path.join(harness.ROOT, "tests", "golden", "reference.safetensors"))
        with open(os.path.join(harness.ROOT, "tests", "golden", "reference.json"), encoding="utf-8") as f:
            texts = json.load(f)
        # The longest golden prompt: the tokenizer's ids of it are in the file.
        number = max(range(4), key=lambda i: len(golden[f"{i}.input_ids"]))
        self.ids = golden[f"{number}.input_ids"]
        self.text = os.path.join(self.folder, "text")
        with open(self.text, "w", encoding="utf-8", newline="") as f:
            f.write(texts[number]["prompt"])
        with open(os.path.join(harness.TINY, "tokenizer.json"), encoding="utf-8") as f:
            tokenizer = json.load(f)
        ids = [*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]
        self.vocab_end = max(ids) + 1  # logits beyond are padding

    def run(self, *options):
        result = harness.run_ok(self.suite.qnext, ["eval", "--model", harness.TINY, "--text", self.text, "--json", "--ctx", WINDOW, "--stride", STRIDE,
                                                   "--temp", self.folder, *options] if "--against" in options else
                                ["eval", "--model", harness.TINY, "--text", self.text, "--json", "--ctx", WINDOW, "--stride", STRIDE, *options])
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            raise harness.Failure(f"--json: {error!r} in {result.stdout[:200]!r}") from None

    def rows(self, logits_of):
        """Log-probabilities [tokens - 1, V] of the places that tell of each token but the first."""
        parts = [log_softmax(logits_of(self.ids[b:e])[first - b - 1:-1, :self.vocab_end]) for b, e, first in windows(len(self.ids))]
        return np.concatenate(parts)

    def near(self, name, actual, expected, limit):
        self.suite.check(name, abs(actual - expected) <= limit, f"{actual!r}, expected {expected!r} within {limit:.1e}")

    def perplexity(self):
        report = self.run(*FLOAT32)
        checkpoint = reference.Checkpoint(harness.TINY)
        rows = self.rows(lambda ids: reference.forward(checkpoint, ids, reference.new_state(checkpoint))[0])
        nll = -rows[np.arange(len(rows)), self.ids[1:]]
        self.suite.check("tokens", report["text"]["tokens"] == len(self.ids), f"{report['text']}")
        self.suite.check("windows", report["windows"] == {"tokens": WINDOW, "stride": STRIDE, "count": len(windows(len(self.ids)))}, f"{report['windows']}")
        first = report["first"]
        self.near("nll", first["nll"]["mean"], nll.mean(), NLL)
        self.near("nll error", first["nll"]["standard_error"], standard_error(nll), 10 * NLL)
        self.near("perplexity", first["perplexity"]["value"], np.exp(nll.mean()), NLL * np.exp(nll.mean()))
        self.near("perplexity error", first["perplexity"]["standard_error"], np.exp(nll.mean()) * standard_error(nll), 10 * NLL * np.exp(nll.mean()))
        return rows

    def divergence(self, oracle):
        """int8 against float32: by the same program's logits to rounding, and by the oracle's within what int8 costs."""
        report = self.run(*FLOAT32, "--against", "--activations int8")
        comparison = report["comparison"]

        def logits_of(activations):
            return lambda ids: harness.logits(self.suite.qnext, harness.TINY, ids, self.folder, activations=activations, kv="f32")["logits"]

        p, q = self.rows(logits_of("float32")), self.rows(logits_of("int8"))
        kl = (np.exp(p) * (p - q)).sum(-1)
        top_p, top_q = (np.argsort(-x, -1, kind="stable")[:, :5] for x in (p, q))
        top5 = np.array([len(set(a) & set(b)) / 5 for a, b in zip(top_p, top_q)])
        scale = kl.max()
        self.near("KL", comparison["kl"]["mean"], kl.mean(), KL * kl.mean())
        self.near("KL error", comparison["kl"]["standard_error"], standard_error(kl), KL * kl.mean())
        self.near("KL p99", comparison["kl"]["p99"], np.quantile(kl, 0.99), KL * scale)
        self.near("KL max", comparison["kl"]["max"], scale, KL * scale)
        self.near("top 1", comparison["top1_agreement"]["mean"], (top_p[:, 0] == top_q[:, 0]).mean(), 1e-9)
        self.near("top 5", comparison["top5_agreement"]["mean"], top5.mean(), 1e-9)
        self.suite.check("int8 is another computation, and near", 0 < comparison["kl"]["mean"] < 0.02, f"{comparison['kl']}")
        against_oracle = (np.exp(oracle) * (oracle - q)).sum(-1).mean()
        self.near("KL by the oracle", comparison["kl"]["mean"], against_oracle, 0.01 * against_oracle)

    def itself(self):
        report = self.run("--against", "--activations int8")
        kl = report["comparison"]["kl"]
        self.suite.check("against itself exactly 0", kl["mean"] == 0 and kl["max"] == 0 and report["comparison"]["top5_agreement"]["mean"] == 1, f"{report['comparison']}")
        dense = self.run("--against", "--dense-weights int8")["comparison"]["kl"]
        self.suite.check("dense int8 positive and small", 0 < dense["mean"] < 4e-3, f"{dense}")
        self.suite.check("nothing left behind", not [n for n in os.listdir(self.folder) if n.startswith("qnext-logits")], "")


def main():
    test = Eval()
    oracle = test.suite.guard("perplexity", test.perplexity)
    if oracle is not None:
        test.suite.guard("divergence", lambda: test.divergence(oracle))
    test.suite.guard("itself", test.itself)
    test.suite.finish()


if __name__ == "__main__":
    main()
