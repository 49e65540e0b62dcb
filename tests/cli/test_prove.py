"""qnext prove: the folder and the verdict of the tiny model, of checkpoints broken in each way, of weights that are made up, and of a program
that is killed on the way."""
import json
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "model"))
import harness  # noqa: E402
import make_checkpoints  # noqa: E402
import test_bad_input  # noqa: E402

SHORT = ["--skip-rates", "--repetitions", "1", "--seconds", "0.1"]  # too short for any PASS
TIMEOUT = 60


class Prove:
    def __init__(self):
        self.suite = harness.Suite(__doc__)
        self.folder = harness.scratch_folder()
        self.spec = make_checkpoints.small_model()
        self.good = self.spec.write(os.path.join(self.folder, "good"))
        self.out = os.path.join(self.folder, "out")

    def prove(self, name, arguments, out=None):
        """Runs it; the contract of every proof. Returns the report."""
        out = out or self.out
        shutil.rmtree(out, ignore_errors=True)
        return self.read(name, out, harness.run(self.suite.qnext, ["prove", *arguments, "--out", out], timeout=TIMEOUT))

    def read(self, name, out, result):
        problems = []
        if "Sanitizer" in result.stderr or "check failed" in result.stderr.lower():
            problems.append("a broken invariant")
        try:
            with open(os.path.join(out, "prove.json"), encoding="utf-8") as f:
                report = json.load(f)
            with open(os.path.join(out, "prove.md"), encoding="utf-8") as f:
                markdown = f.read()
        except (OSError, ValueError) as error:
            raise harness.Failure(f"{error!r}; {harness.describe(result)}") from None
        passed = report["verdict"] == "PASS"
        if result.returncode != (0 if passed else 1):
            problems.append(f"exit code {result.returncode} with {report['verdict']}")
        errors = [line for line in result.stderr.splitlines() if line.startswith("qnext: error:")]
        if len(errors) != (0 if passed else 1) or not all("FAIL" in line for line in errors):
            problems.append(f"errors {errors}")
        if passed == bool(report["reasons"]) or f"**{report['verdict']}" not in markdown or markdown not in result.stdout:
            problems.append("the forms of the report differ in the verdict")
        if sorted(os.listdir(out)) != sorted(report["files"]) or "prove.log" not in report["files"]:
            problems.append(f"files {sorted(os.listdir(out))}, listed {report['files']}")
        if any(step["state"] == "running" for step in report["steps"]):
            problems.append("a step is still running")
        self.suite.check(f"{name}: contract", not problems, "; ".join(problems) + " | " + harness.describe(result))
        report["state"] = {step["name"]: step["state"] for step in report["steps"]}
        report["says"] = {step["name"]: step["says"] for step in report["steps"]}
        return report

    def broken(self):
        """As cli/test_bad_input spoils them: always a FAIL that names what is wrong, and what can still run does."""
        broken = os.path.join(self.folder, "broken")
        for name, (spoil, names) in test_bad_input.checkpoint_cases(self.spec).items():
            if self.suite.wanted(name):
                shutil.rmtree(broken, ignore_errors=True)
                shutil.copytree(self.good, broken)
                spoil(broken)
                self.suite.guard(name, lambda: self.one_broken(name, broken, names))
        self.suite.guard("no folder", lambda: self.one_broken("no folder", "/nonexistent/folder", ["/nonexistent/folder"]))

    def one_broken(self, name, folder, names):
        report = self.prove(name, ["--model", folder, *SHORT])
        said = " ".join(report["reasons"])
        wrong = [n for n in names if not any(c in said for c in (n if isinstance(n, tuple) else (n,)))]
        ok = report["verdict"] == "FAIL" and report["state"]["load"] == "FAILED" and report["state"]["answers"] == "not run"
        self.suite.check(name, ok and not wrong, f"{report['state']}, not named: {wrong} in {said[:300]}")

    def unknown(self):
        """A model that nobody knows: nothing is judged that cannot be, and nothing passes for it."""
        report = self.prove("unknown", ["--model", self.good, *SHORT])
        self.suite.check("unknown: answers", report["state"]["answers"] == "skipped" and "no questions suit it" in report["says"]["answers"], report["says"]["answers"])
        self.suite.check("unknown: perplexity", report["state"]["perplexity"] == "skipped" and "no range known" in report["says"]["perplexity"] and
                         report["perplexity"]["value"] > 1000 and report["perplexity"]["range"] is None, report["says"]["perplexity"])
        self.suite.check("unknown: too short to pass", report["verdict"] == "FAIL" and len(report["reasons"]) == 1 and "seconds of decoding were measured" in report["reasons"][0],
                         f"{report['reasons']}")

    def made_up(self):
        """Weights that mean nothing, in memory and as shards: labelled, answers and perplexity left out."""
        config, shards = os.path.join(self.good, "config.json"), os.path.join(self.folder, "shards")
        report = self.prove("synthetic", ["--synthetic", config, *SHORT])
        skipped = all(report["state"][step] == "skipped" and "simulated weights" in report["says"][step] for step in ("answers", "perplexity"))
        self.suite.check("synthetic: labelled", report["synthetic"] and skipped and report["caveats"] and "simulated weights: speed and memory only" in report["summary"], report["summary"])
        harness.run_ok(self.suite.qnext, ["synth", "--kind", config, "--out", shards])
        report = self.prove("shards", ["--model", shards, *SHORT])
        self.suite.check("shards: steps", all(report["state"][s] == "ok" for s in ("inspect", "load", "benchmark", "memory")) and
                         report["state"]["answers"] == "skipped", f"{report['state']}")
        self.suite.check("shards: not judged", "not judged: answers, perplexity" in report["summary"], report["summary"])

    def impostor(self):
        """The tiny model's shape with random weights: it runs, and answers and perplexity show that it is broken."""
        tiny = os.path.join(self.folder, "impostor")
        shutil.copytree(harness.TINY, tiny)
        with open(os.path.join(tiny, "model.safetensors.index.json"), encoding="utf-8") as f:
            shard = json.load(f)["weight_map"]["lm_head.weight"]
        tensors = make_checkpoints.read_safetensors(os.path.join(tiny, shard))
        head = tensors["lm_head.weight"]
        tensors["lm_head.weight"] = make_checkpoints.Tensor(head.dtype, head.data[::-1].copy())  # every token's row is another's
        make_checkpoints.write_safetensors(os.path.join(tiny, shard), tensors)
        report = self.prove("impostor", ["--model", tiny, *SHORT])
        self.suite.check("impostor: found out", report["state"]["answers"] == report["state"]["perplexity"] == "FAILED" and
                         report["state"]["benchmark"] == "ok", f"{report['state']}")
        self.suite.check("impostor: answers are shown", len(report["answers"]["asked"]) == 20 and not any(a["right"] for a in report["answers"]["asked"]), "")

    def killed(self):
        """Whatever ends the program, the folder has a verdict, and it is FAIL."""
        out = os.path.join(self.folder, "killed")
        process = subprocess.Popen([self.suite.qnext, "prove", "--model", harness.TINY, "--skip-rates", "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "benchmark ..." in line:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with open(os.path.join(out, "prove.json"), encoding="utf-8") as f:
            report = json.load(f)
        self.suite.check("killed", report["verdict"] == "FAIL" and "benchmark: did not end" in report["reasons"], f"{report['reasons']}")

    def interrupted(self):
        out = os.path.join(self.folder, "interrupted")
        process = subprocess.Popen([self.suite.qnext, "prove", "--model", harness.TINY, "--skip-rates", "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "benchmark ..." in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        with open(os.path.join(out, "prove.json"), encoding="utf-8") as f:
            report = json.load(f)
        self.suite.check("interrupted", process.returncode == 130 and report["verdict"] == "FAIL" and "benchmark: interrupted" in report["reasons"],
                         f"exit code {process.returncode}, {report['reasons']}")

    def places(self):
        """A folder that cannot be had, and one that must not be."""
        config = os.path.join(self.good, "config.json")
        for name, out, code, says in (("a file", config, 1, "Not a directory"), ("below a file", os.path.join(config, "out"), 1, "Not a directory"),
                                      ("the checkpoint's folder", self.good, 2, "checkpoint's folder")):
            result = harness.run(self.suite.qnext, ["prove", "--model", harness.TINY if code == 1 else self.good, *SHORT, "--out", out], timeout=TIMEOUT)
            self.suite.check(f"--out is {name}", result.returncode == code and says in result.stderr and os.path.isfile(config), harness.describe(result))

    def start_passing(self):
        """The only run that measures ten seconds; others go on meanwhile."""
        out = os.path.join(self.folder, "passing")
        arguments = ["prove", "--model", harness.TINY, "--skip-rates", "--repetitions", "1", "--seconds", "10.5", "--out", out]
        process = subprocess.Popen([self.suite.qnext, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process, out

    def passing(self, process, out):
        stdout, stderr = process.communicate(timeout=TIMEOUT)
        report = self.read("tiny", out, subprocess.CompletedProcess([], process.returncode, stdout, stderr))
        self.suite.check("tiny: PASS, and of what", report["verdict"] == "PASS" and report["summary"].startswith("PASS (this model is not the 80B): median "), report["summary"])
        self.suite.check("tiny: steps", all(report["state"][s] == "ok" for s in ("inspect", "load", "answers", "perplexity", "benchmark", "memory")), f"{report['says']}")
        asked = report["answers"]["asked"]
        self.suite.check("tiny: answers", len(asked) == 20 and sum(a["right"] for a in asked) >= 19 and asked[0]["answer"] == "The capital of France is Paris.", f"{asked}")
        window, samples = report["speed"]["slowest_window"], [s for case in report["speed"]["cases"] for s in case["samples"]] + report["speed"]["sustained"]
        # The same from the raw samples, counted another way.
        times, now = [0.0], 0.0
        for gap in (g for s in samples for g in s["inter_token_seconds"]):
            now += gap
            times.append(now)
        fewest = min(sum(1 for t in times if b < t <= b + 10) for b in times[::200] if b + 10 <= now)
        self.suite.check("tiny: slowest window", window["seconds"] == 10 and window["tokens"] <= fewest <= 1.2 * window["tokens"], f"{window}, {fewest} by sampling")


def main():
    test = Prove()
    started = test.start_passing() if test.suite.wanted("passing") else None
    for part in (test.broken, test.unknown, test.made_up, test.impostor, test.killed, test.interrupted, test.places):
        test.suite.guard(part.__name__, part)
    if started:
        test.suite.guard("passing", lambda: test.passing(*started))
    test.suite.finish()


if __name__ == "__main__":
    main()
