"""What the Python tests share: running qnext, comparing tensors, counting results.

A test is a plain script: it makes a Suite, checks things, and ends with Suite.finish(), which prints "N passed, N failed, N skipped" as the
last line and exits nonzero if anything failed.
"""
import argparse
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = os.path.join(ROOT, "models", "tiny")
sys.path.insert(0, os.path.join(ROOT, "tools", "reference_numpy"))
import reference  # noqa: E402

# Tests say so where they want a GPU; without this, a build with the CUDA engine would take one, or say why it did not.
os.environ.setdefault("QNEXT_DEVICE", "cpu")

CPU_ISAS = ("generic", "avx2", "avx-vnni", "avx512-vnni", "reference")

# The bounds of docs/numerics.md on whole tensors: ||actual - expected|| / ||expected||.
LOGITS_FLOAT32 = 1e-4
LOGITS_INT8 = 2.5e-2
LOGITS_KV_BF16 = 5e-3
LOGITS_KV_INT8 = 2e-2
LOGITS_KV_FP8 = 6.5e-2
# One layer's update (output minus input) with the input and the expert choice forced.
LAYER_FLOAT32 = 2e-5
LAYER_INT8 = 2.5e-2
# The same against the oracle's simulation of int8 activations: only float rounding differs, which now and then moves a code by one.
LAYER_SIMULATED = 5e-3
LAYER_KV_BF16 = 6e-3
CLEAR_GAP = 0.25  # top-2 logit gap from which on every path must choose the same token
CROSS_ENTROPY = 0.02


class Failure(Exception):
    """qnext did not do what it was asked; the message says what happened."""


class Suite:
    """Counts checks of one script and prints the failed ones as they happen."""

    def __init__(self, title, arguments=None):
        parser = argparse.ArgumentParser(description=title, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--qnext", default=os.path.join(ROOT, "build", "qnext"), help="the program to test")
        parser.add_argument("--only", default="", help="run only the cases whose name contains this")
        parser.add_argument("--verbose", action="store_true", help="print the checks that pass, too")
        for name, options in (arguments or {}).items():
            parser.add_argument(name, **options)
        self.options = parser.parse_args()
        self.qnext = os.path.abspath(self.options.qnext)
        self.passed = self.failed = self.skipped = 0
        self.started = time.monotonic()

    def wanted(self, name):
        return self.options.only in name

    def check(self, name, ok, detail=""):
        """One check; `detail` explains a failure. Returns ok."""
        if ok:
            self.passed += 1
            if self.options.verbose:
                print(f"ok      {name}  {detail}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {name}: {detail}", flush=True)
        return bool(ok)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped {name}: {why}", flush=True)

    def guard(self, name, action):
        """Runs action(); a Failure counts as one failed check of that name. Returns what it returned, or None."""
        try:
            return action()
        except Failure as failure:
            self.check(name, False, str(failure))
            return None

    def finish(self):
        if self.passed + self.failed + self.skipped == 0:
            self.check("suite", False, "no case ran")
        print(f"({time.monotonic() - self.started:.0f} s)")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        sys.exit(1 if self.failed else 0)


def scratch_folder():
    """A folder under build/ (large files do not belong in /tmp), removed when the script ends."""
    parent = os.path.join(ROOT, "build", "test-scratch")
    os.makedirs(parent, exist_ok=True)
    folder = tempfile.mkdtemp(dir=parent)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(program, arguments, stdin="", timeout=300):
    """Runs the program; text in and out, never a terminal. Times out with a Failure."""
    try:
        return subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"no end after {timeout} s: {' '.join(map(str, arguments))}") from None
    except OSError as error:
        raise Failure(f"{program}: {error.strerror} (build it with ./run.sh or ./test.sh)") from None


def describe(result):
    lines = result.stderr.strip().splitlines()
    return f"exit code {result.returncode}, stderr: {' | '.join(lines[-4:]) or '(empty)'}"


def run_ok(program, arguments, stdin="", timeout=300):
    result = run(program, arguments, stdin, timeout)
    if result.returncode != 0:
        raise Failure(describe(result))
    return result


class Unsupported(Exception):
    """This processor lacks the instruction set that was asked for."""


def says_unsupported(stderr, isa):
    """Whether the program refused the instruction set itself: the one reason that skips a case."""
    return isa is not None and stderr.startswith(f"qnext: error: CPU kernels {isa}: this machine has ")


def logits(program, model, ids, folder, experts=None, layer_inputs=None, device="cpu", **options):
    """Runs `qnext logits`; further options as keywords (cpu_isa="avx2", recurrent=True). Returns the tensors of its output file."""
    ids_file, out = os.path.join(folder, "ids.json"), os.path.join(folder, "out.safetensors")
    with open(ids_file, "w", encoding="utf-8") as f:
        json.dump([int(i) for i in ids], f)
    arguments = ["logits", "--model", model, "--ids-file", ids_file, "--out", out, "--device", device]
    if experts is not None:
        path = os.path.join(folder, "experts.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(np.asarray(experts).tolist(), f)
        arguments += ["--experts", path]
    if layer_inputs is not None:
        path = os.path.join(folder, "layer_inputs.safetensors")
        reference.save(path, {"layer_inputs": np.asarray(layer_inputs, np.float32)})
        arguments += ["--layer-inputs", path]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-")] + ([] if value is True else [value])
    if os.path.exists(out):
        os.remove(out)
    result = run(program, arguments)
    if result.returncode != 0:
        if says_unsupported(result.stderr, options.get("cpu_isa")):
            raise Unsupported(result.stderr.strip())
        raise Failure(describe(result))
    try:
        return reference.load(out)
    except (OSError, ValueError, KeyError) as error:
        raise Failure(f"{out} cannot be read: {error!r}") from None


class Expected:
    """What the numpy oracle computes for one checkpoint folder and one list of tokens."""

    def __init__(self, model, ids):
        record = []
        checkpoint = reference.Checkpoint(model)
        self.ids = np.asarray(ids)
        self.logits, self.hidden_states = reference.forward(checkpoint, self.ids, reference.new_state(checkpoint), 0, None, record)
        self.layer_inputs = self.hidden_states[:-1]
        self.experts = np.stack([r[0] for r in record]).astype(np.int32) if record else None
        self.expert_weights = np.stack([r[1] for r in record]) if record else None
        self.margins = np.stack([r[2] for r in record]) if record else None
        simulation = reference.Checkpoint(model, activations="int8")
        simulation.cache = checkpoint.cache
        self.int8_layers = reference.forward(simulation, self.ids, reference.new_state(simulation), 0, self.experts, None, self.layer_inputs)[1]


def relative_error(actual, expected):
    """||actual - expected|| / ||expected|| in float64; infinite if a shape differs or anything is not finite."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape or not np.isfinite(actual).all() or not np.isfinite(expected).all():
        return float("inf")
    difference, norm = np.linalg.norm(actual - expected), np.linalg.norm(expected)
    return float(difference / norm) if norm > 0 else float(difference)


def check_close(suite, name, actual, expected, limit):
    if actual is None:
        return suite.check(name, False, "the tensor is missing from the output")
    if np.shape(actual) != np.shape(expected):
        return suite.check(name, False, f"shape {np.shape(actual)}, expected {np.shape(expected)}")
    error = relative_error(actual, expected)
    return suite.check(name, error <= limit, f"relative error {error:.2e}, limit {limit:.1e}")


def top_gap(rows):
    """The distance between the best and the second best logit of each row."""
    best = np.partition(rows, -2, -1)[..., -2:]
    return best[..., 1] - best[..., 0]


def flipped_rows(actual, expected):
    """[T]: a router near a tie took another expert than the oracle's; such single positions may differ more."""
    got = actual.get("experts")
    if expected.experts is None or got is None or got.shape != expected.experts.shape:
        return np.zeros(len(expected.ids), bool)
    return (np.sort(got, -1) != np.sort(expected.experts, -1)).any((0, 2))


def check_argmax(suite, name, actual, expected, float32, exempt=False, gap=CLEAR_GAP):
    """Equal arg-max wherever the expected top-2 gap is at least `gap`; for float32 wherever rounding cannot close it. `exempt` [T] takes
    rows out."""
    if actual is None or np.shape(actual) != np.shape(expected) or not np.isfinite(actual).all():
        return suite.check(name, False, f"shape {np.shape(actual)}, expected {np.shape(expected)}, or not finite")
    needed = 2e-5 * np.abs(expected).max(-1) if float32 else gap
    wrong = (np.argmax(actual, -1) != np.argmax(expected, -1)) & (top_gap(expected) >= needed) & ~np.asarray(exempt)
    return suite.check(name, not wrong.any(), f"another arg-max at positions {np.flatnonzero(wrong)[:8].tolist()}")


def cross_entropy(rows, ids):
    """Mean negative log probability of ids[1:] under rows[:-1]."""
    rows = np.asarray(rows, np.float64)[:-1]
    rows = rows - rows.max(-1, keepdims=True)
    return float((np.log(np.exp(rows).sum(-1)) - rows[np.arange(len(rows)), np.asarray(ids)[1:]]).mean())


def check_cross_entropy(suite, name, actual, expected, ids):
    if actual is None or np.shape(actual) != np.shape(expected):
        return suite.check(name, False, f"shape {np.shape(actual)}, expected {np.shape(expected)}")
    difference = abs(cross_entropy(actual, ids) - cross_entropy(expected, ids))
    return suite.check(name, difference <= CROSS_ENTROPY, f"cross entropy differs by {difference:.4f}, limit {CROSS_ENTROPY}")


def check_experts(suite, name, actual, expected):
    """The float32 engine's routers choose what the oracle's choose (in any order), except at ties within rounding."""
    got, weights = actual.get("experts"), actual.get("expert_weights")
    if got is None or weights is None or got.shape != expected.experts.shape or weights.shape != got.shape:
        return suite.check(name, False, "experts or expert_weights is missing or has another shape than [MoE layers, T, top]")
    order, wanted = np.argsort(got, -1), np.argsort(expected.experts, -1)
    got, weights = np.take_along_axis(got, order, -1), np.take_along_axis(weights, order, -1)
    experts, expected_weights = np.take_along_axis(expected.experts, wanted, -1), np.take_along_axis(expected.expert_weights, wanted, -1)
    decided = expected.margins > 1e-5
    wrong = (got != experts).any(-1) & decided
    close = relative_error(weights[decided], expected_weights[decided]) <= 1e-4
    return suite.check(name, not wrong.any() and close, f"{int(wrong.sum())} choices differ; weights {'agree' if close else 'differ'}")


def check_layers(suite, name, actual, expected, limit, outputs=None):
    """Every layer's update, computed from the forced input; the last layer's output stands after the final norm. `outputs` replaces the
    float32 oracle's."""
    outputs = expected.hidden_states if outputs is None else outputs
    got, inputs = actual.get("hidden_states"), expected.layer_inputs
    if got is None or got.shape != outputs.shape:
        return suite.check(name, False, f"hidden_states has shape {np.shape(got)}, expected {outputs.shape}")
    errors = [relative_error(got[l + 1] - inputs[l], outputs[l + 1] - inputs[l]) for l in range(len(inputs) - 1)]
    errors.append(relative_error(got[-1], outputs[-1]))
    worst = int(np.argmax(errors))
    return suite.check(name, max(errors) <= limit, f"layer {worst}: relative error {errors[worst]:.2e}, limit {limit:.1e}")
