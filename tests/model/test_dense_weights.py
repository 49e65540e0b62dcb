"""What --dense-weights int8 costs: the tiny model with all 16-bit linears as int8, against the same model with them as stored.

Over the references' prompts with their answers (tests/golden), for the checkpoint as it is (its 16-bit linears are few) and re-packed with only its
experts quantized, the rest in BF16 and F16. Largest logit difference, Kullback-Leibler divergence of the next-token distributions, arg-max.
"""
import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
import make_checkpoints  # noqa: E402
from harness import reference  # noqa: E402

KINDS = {"tiny": None, "rest BF16": "BF16", "rest F16": "F16"}
# Twice what was seen, docs/numerics.md ("What int8 dense weights cost").
MOST_KL = 4e-3
MOST_DIFFERENCE = 3.0
CLEAR_GAP = harness.CLEAR_GAP  # of the two largest logits, both as stored: from here on the arg-max must be the same


def log_softmax(rows):
    shifted = rows.astype(np.float64) - rows.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


class Cost:
    """int8 against stored, position by position."""

    def __init__(self, stored, int8):
        p, q = log_softmax(stored), log_softmax(int8)
        top = np.sort(stored, -1)
        self.kl = (np.exp(p) * (p - q)).sum(-1)
        self.difference = np.abs(int8.astype(np.float64) - stored).max(-1)
        self.moved = np.argmax(stored, -1) != np.argmax(int8, -1)
        self.gap = top[:, -1] - top[:, -2]
        self.relative = harness.relative_error(int8, stored)


def one_kind(suite, kind, model, golden, folder, device):
    costs = []
    for prompt in range(4):
        ids = np.concatenate([golden[f"{prompt}.input_ids"], golden[f"{prompt}.greedy_ids"][:-1]])
        stored, int8 = (harness.logits(suite.qnext, model, ids, folder, device=device, kv="f32", dense_weights=dense)["logits"]
                        for dense in ("stored", "int8"))
        name = f"{kind} prompt {prompt}"
        suite.check(f"{name} finite", np.isfinite(int8).all() and int8.shape == stored.shape, f"{int8.shape}")
        suite.check(f"{name} is another computation", not np.array_equal(stored, int8), "int8 changed no logit")
        cost = Cost(stored, int8)
        costs.append(cost)
        suite.check(f"{name} KL", cost.kl.mean() <= MOST_KL, f"{cost.kl.mean():.2e}, at most {MOST_KL}")
        suite.check(f"{name} logits", cost.difference.max() <= MOST_DIFFERENCE, f"{cost.difference.max():.3g}, at most {MOST_DIFFERENCE}")
        clear = cost.moved & (cost.gap >= CLEAR_GAP)
        suite.check(f"{name} argmax", not clear.any(), f"moved at {np.flatnonzero(clear)}, gaps {cost.gap[clear]}")
    kl, moved = np.concatenate([c.kl for c in costs]), np.concatenate([c.moved for c in costs])
    gaps = np.concatenate([c.gap for c in costs])[moved]
    print(f"{kind}: {len(kl)} positions, KL mean {kl.mean():.2e} largest {kl.max():.2e}, logit difference at most "
          f"{max(c.difference.max() for c in costs):.3g}, relative {min(c.relative for c in costs):.2g} to {max(c.relative for c in costs):.2g}, "
          f"arg-max equal {100 * (1 - moved.mean()):.2f}%, moved at gaps up to {gaps.max() if len(gaps) else 0:.2g}")


def main():
    suite = harness.Suite(__doc__, {"--device": {"default": "cpu", "choices": ("cpu", "cuda"), "help": "where the model runs"}})
    folder = harness.scratch_folder()
    golden = reference.load(os.path.join(harness.ROOT, "tests", "golden", "reference.safetensors"))
    tiny = make_checkpoints.Tiny()
    for kind, dtype in KINDS.items():
        if not suite.wanted(kind):
            continue
        model = harness.TINY
        if dtype is not None:
            model = make_checkpoints.all_layers_experts_only(tiny, dtype).write(os.path.join(folder, dtype))
        suite.guard(kind, lambda: one_kind(suite, kind, model, golden, folder, suite.options.device))
        if dtype is not None:
            shutil.rmtree(model)
    suite.finish()


if __name__ == "__main__":
    main()
