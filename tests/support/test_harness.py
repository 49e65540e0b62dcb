"""The comparators of the Python tests must fail on everything that is wrong: NaN, infinities, swapped signs, wrong lengths, missing tensors."""
import contextlib
import io

import numpy as np

import harness


class Quiet:
    """Stands in for a Suite: remembers the verdict of the last check."""

    def check(self, name, ok, detail=""):
        self.ok, self.detail = bool(ok), detail
        return self.ok


def verdict(comparator, *arguments):
    quiet = Quiet()
    with np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        comparator(quiet, "case", *arguments)
    return quiet.ok


def main():
    suite = harness.Suite(__doc__)
    rng = np.random.default_rng(1)
    good = rng.normal(size=(5, 16)).astype(np.float32)
    ids = np.arange(5)

    def spoiled(value):
        bad = good.copy()
        bad[2, 3] = value
        return bad

    wrong = {"NaN": spoiled(np.nan), "infinity": spoiled(np.inf), "minus infinity": spoiled(-np.inf), "both negative": -np.abs(good) * 2,
             "swapped sign": -good, "short": good[:-1], "another shape": good.reshape(16, 5), "missing": None}
    refusal = "qnext: error: CPU kernels avx512-vnni: this machine has avx2\n"
    suite.check("a missing instruction set skips", harness.says_unsupported(refusal, "avx512-vnni"))
    suite.check("another's refusal does not", not harness.says_unsupported(refusal, "avx2") and not harness.says_unsupported(refusal, None))
    suite.check("another error does not", not harness.says_unsupported("qnext: error: CPU kernels avx2: known answer differs\n", "avx2"))
    suite.check("close accepts equal", verdict(harness.check_close, good, good, 1e-6))
    suite.check("close accepts within", verdict(harness.check_close, good * np.float32(1 + 1e-5), good, 1e-4))
    suite.check("close refuses outside", not verdict(harness.check_close, good * np.float32(1 + 1e-3), good, 1e-4))
    suite.check("close refuses NaN in both", not verdict(harness.check_close, spoiled(np.nan), spoiled(np.nan), 1e-4))
    for name, bad in wrong.items():
        suite.check(f"close refuses {name}", not verdict(harness.check_close, bad, good, 1e-4))

    rows = np.zeros((3, 4), np.float32)
    rows[:, 1] = [1.0, 0.1, 0.3]  # gaps 1, 0.1, 0.3
    flipped = rows.copy()
    flipped[1, 2] = 2
    suite.check("argmax int8 forgives a small gap", verdict(harness.check_argmax, flipped, rows, False))
    suite.check("argmax float32 forgives none", not verdict(harness.check_argmax, flipped, rows, True))
    flipped[2, 2] = 2
    suite.check("argmax int8 sees a clear gap", not verdict(harness.check_argmax, flipped, rows, False))
    suite.check("argmax refuses a missing tensor", not verdict(harness.check_argmax, None, rows, False))
    suite.check("argmax leaves exempt rows out", verdict(harness.check_argmax, flipped, rows, False, np.array([False, False, True])))
    suite.check("argmax refuses NaN", not verdict(harness.check_argmax, np.full_like(rows, np.nan), rows, False))
    suite.check("argmax refuses fewer rows", not verdict(harness.check_argmax, rows[:2], rows, False))

    suite.check("cross entropy of uniform rows", abs(harness.cross_entropy(np.zeros((5, 16)), ids) - np.log(16)) < 1e-12)
    suite.check("cross entropy accepts equal", verdict(harness.check_cross_entropy, good, good, ids))
    suite.check("cross entropy refuses another", not verdict(harness.check_cross_entropy, good * 3, good, ids))
    suite.check("cross entropy refuses NaN", not verdict(harness.check_cross_entropy, spoiled(np.nan), good, ids))

    class Fake:
        experts = np.array([[[3, 1], [2, 0]]], np.int32)
        expert_weights = np.array([[[0.7, 0.3], [0.6, 0.4]]])
        margins = np.array([[0.1, 0.1]])
        ids = np.array([5, 6])
        hidden_states = rng.normal(size=(3, 5, 8))
        layer_inputs = hidden_states[:-1]

    same = dict(experts=Fake.experts[..., ::-1], expert_weights=Fake.expert_weights[..., ::-1])
    suite.check("experts in another order", verdict(harness.check_experts, same, Fake))
    suite.check("experts with swapped weights", not verdict(harness.check_experts, dict(same, expert_weights=Fake.expert_weights), Fake))
    suite.check("another expert", not verdict(harness.check_experts, dict(same, experts=Fake.experts + 1), Fake))
    suite.check("experts missing", not verdict(harness.check_experts, {}, Fake))
    suite.check("layers accept equal", verdict(harness.check_layers, dict(hidden_states=Fake.hidden_states), Fake, 1e-6))
    suite.check("flipped rows", harness.flipped_rows(dict(experts=np.array([[[1, 3], [2, 1]]])), Fake).tolist() == [False, True])
    off = Fake.hidden_states.copy()
    off[1] += 0.01 * np.linalg.norm(Fake.hidden_states[1] - Fake.layer_inputs[0])
    suite.check("layers see one wrong layer", not verdict(harness.check_layers, dict(hidden_states=off), Fake, 1e-3))
    off = Fake.hidden_states.copy()
    off[2, 0, 0] = np.nan
    suite.check("layers see NaN", not verdict(harness.check_layers, dict(hidden_states=off), Fake, 1e-3))
    suite.check("layers missing", not verdict(harness.check_layers, {}, Fake, 1e-3))

    quantized = harness.reference.quantize_int8(good)
    suite.check("int8 blocks keep the largest input", np.isclose(np.abs(quantized).max(), np.abs(good).max(), rtol=1e-6))
    suite.check("int8 error within half a step", (np.abs(quantized - good).max(-1) <= np.abs(good).max(-1) / 253).all())
    suite.finish()


if __name__ == "__main__":
    main()
