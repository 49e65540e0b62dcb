"""Parts of test_bad_input: what surrounds the program (files it may write, descriptors, limits, environment, options)."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import harness  # noqa: E402

TIMEOUT = 20  # seconds; a sanitizer build on a busy machine included


class Surroundings:
    """Needs of its heir: suite, folder, good (a checkpoint's folder), expect()."""

    def files_kept(self):
        """Nothing that a command writes lands in the checkpoint or on its inputs; a file that grows too large is an error and leaves no half."""
        kept = os.path.join(self.folder, "kept")
        shutil.copytree(self.good, kept)
        before = {name: os.stat(os.path.join(kept, name)).st_mtime_ns for name in sorted(os.listdir(kept))}
        config, ids = os.path.join(kept, "config.json"), os.path.join(self.folder, "ids.json")
        with open(ids, "w", encoding="utf-8") as f:
            f.write("[1, 2]")
        logits = ["logits", "--model", kept, "--ids-file", ids, "--out"]
        for to, says in ((config, "checkpoint's folder"), (os.path.join(kept, "new"), "checkpoint's folder"), (ids, "is the input of --ids-file too")):
            self.expect(f"logits: --out {os.path.basename(to)}", [*logits, to], ["--out: " + to, says], codes=(2,))
        for to in (kept, config):
            self.expect(f"bench: --out {os.path.basename(to)}", ["bench", "quick", "--model", kept, "--out", to], ["--out: ", "checkpoint's folder"], codes=(2,))
        chat = ["chat", "--model", kept, "--max-tokens", "1"]
        result = harness.run(self.suite.qnext, chat, f"/save {config}\n/save {kept}/new\n/save {self.folder}\n", TIMEOUT)
        said = result.stderr.splitlines()[-4:-1]
        good = result.returncode == 1 and [line.split(":")[0] for line in said[:2]] == ["/save"] * 2 and said[2] == f"{self.folder}: is a directory"
        self.suite.check("chat: /save into the checkpoint", good, harness.describe(result))
        after = {name: os.stat(os.path.join(kept, name)).st_mtime_ns for name in sorted(os.listdir(kept))}
        self.suite.check("the checkpoint stays as it was", after == before, f"{before} {after}")

        folder = os.path.join(self.folder, "small files")
        os.mkdir(folder)
        lines = os.path.join(self.folder, "two.jsonl")
        with open(lines, "w", encoding="utf-8") as f:
            f.write('{"prompt": "a", "max_tokens": 1}\n{"prompt": "a", "max_tokens": 200, "temperature": 0}\n')
        for name, arguments, stdin, left in (
                ("logits", [*logits, os.path.join(folder, "x")], "", {}),
                ("bench", ["bench", "quick", "--model", kept, "--repetitions", "1", "--out", folder], "", {}),
                ("generate", ["generate", "--model", kept, "--prompt", "a", "--max-tokens", "200", "--ignore-eos"], "", {}),
                ("synth", ["synth", "--kind", config, "--out", os.path.join(folder, "s")], "", {"s": None}),
                ("batch", ["batch", "--model", kept, "--in", lines, "--out", os.path.join(folder, "b"), "--ignore-eos"], "", {"b.partial": 1})):
            label = f"ulimit -f: {name}"
            if not self.suite.wanted(label):
                continue
            out = os.path.join(self.folder, "stdout")
            shell = 'ulimit -f 0; exec "$0" "$@" >"$OUT"' if name == "generate" else 'ulimit -f 1; exec "$0" "$@"'
            result = subprocess.run(["/bin/bash", "-c", shell, self.suite.qnext, *arguments], capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, "OUT": out})
            found = {entry: None if os.path.isdir(os.path.join(folder, entry)) else open(os.path.join(folder, entry), encoding="utf-8").read().count("\n")
                     for entry in os.listdir(folder)}
            good = result.returncode == 1 and "File too large" in result.stderr and found == left and (name != "synth" or not os.listdir(os.path.join(folder, "s")))
            self.suite.check(label, good, f"{harness.describe(result)}, files {found}")
            shutil.rmtree(folder)
            os.mkdir(folder)

    def closed_descriptors(self):
        """Standard descriptors that are closed: what needs them says so, and no file that is opened later stands in for them."""
        generate = ["generate", "--model", self.good, "--prompt", "a", "--max-tokens", "2", "--temperature", "0"]
        for name, arguments, closed, code, says in (
                ("chat without input", ["chat", "--model", self.good], "<&-", 1, "standard input: cannot be read: Bad file descriptor"),
                ("prompt without input", ["generate", "--model", self.good, "--prompt-file", "-"], "<&-", 1, "standard input"),
                ("batch without input", ["batch", "--model", self.good, "--in", "-", "--out", "-"], "<&-", 1, "standard input"),
                ("inspect without input", ["inspect", "--model", self.good], "<&-", 0, None),
                ("generate without input", generate, "<&-", 0, None),
                ("generate without output", generate, ">&-", 1, "output"),
                ("inspect without output", ["inspect", "--model", self.good], ">&-", 1, "output"),
                ("generate without errors", generate, "2>&-", 0, None),
                ("generate with nobody to read its error", [*generate, "--frobnicate"], "2>&-", 2, None),
                ("a warning on a full disk", [*generate, "--dense-weights", "int8"], "2>/dev/full", 0, None),
                ("an error on a full disk", [*generate, "--frobnicate"], "2>/dev/full", 2, None),
                ("generate with nothing", generate, "<&- >&- 2>&-", 1, None),
                ("chat with nothing", ["chat", "--model", self.good], "<&- >&- 2>&-", 1, None)):
            if not self.suite.wanted(f"closed: {name}"):
                continue
            result = harness.run("/bin/bash", ["-c", f'exec "$0" "$@" {closed}', self.suite.qnext, *arguments], "", TIMEOUT)
            good = result.returncode == code and (says is None or says in result.stderr)
            self.suite.check(f"closed: {name}", good, harness.describe(result))

    def limits(self):
        """Too little memory and too few threads: an error, at whatever point it strikes. Sanitizers need more address space than any limit."""
        with open(self.suite.qnext, "rb") as f:
            if b"__asan_init" in f.read():
                self.suite.skip("limits of memory", "a sanitizer build")
                return

        def limited(name, kilobytes, arguments, names, codes=(1,)):
            if self.suite.wanted(name):
                shell = f'ulimit -v {kilobytes}; exec "$0" "$@"'
                result = harness.run("/bin/bash", ["-c", shell, self.suite.qnext, *arguments], "", TIMEOUT)
                errors = [line for line in result.stderr.splitlines() if line.startswith("qnext: error:")]
                ok = result.returncode in codes and len(errors) == (1 if result.returncode else 0) and all(n in result.stderr for n in names)
                self.suite.check(name, ok, harness.describe(result))

        generate = ["generate", "--model", self.good, "--prompt", "Hello", "--max-tokens", "2"]
        synthetic = ["generate", "--synthetic", "80b-a-4layers", "--prompt", "Hello", "--max-tokens", "1"]
        limited("weights beyond the limit of memory", 1000000, synthetic, ["the weights need", "the address space (ulimit -v) has"])
        limited("threads beyond the limit of memory", 1000000, [*generate, "--threads", "500"], ["--threads: the system does not start 500 threads"])
        config, out = os.path.join(self.good, "config.json"), os.path.join(self.folder, "no-threads")
        limited("threads beyond the limit of memory, logits", 1000000, ["logits", "--model", self.good, "--ids", "1", "--out", out, "--threads", "500"],
                ["--threads: the system does not start 500 threads"])
        limited("threads beyond the limit of memory, synth", 1000000, ["synth", "--kind", config, "--out", out, "--threads", "500"],
                ["--threads: the system does not start 500 threads"])
        limited("threads beyond the limit of memory, bench", 1000000, ["bench", "quick", "--model", self.good, "--out", out, "--threads", "500"],
                ["--threads: the system does not start 500 threads"])
        limited("threads beyond a small limit of memory", 400000, [*generate, "--threads", "64"], ["64", "--threads"])
        limited("weights, buffers and threads together", 60000, [*generate, "--threads", "2"], [self.good, "bytes"], codes=(1,))
        self.address_space([*generate, "--threads", "2"])

    def address_space(self, arguments):
        """At every limit either an answer, or a reason from the program, or one from the loader, which could not start it."""
        for megabytes in (13, 16, 19, 20, 22, *range(24, 400, 16)):
            name = f"{megabytes} MB of address space"
            if not self.suite.wanted(name):
                continue
            result = harness.run("/bin/bash", ["-c", f'ulimit -v {megabytes * 1024}; exec "$0" "$@"', self.suite.qnext, *arguments], "", TIMEOUT)
            lines = result.stderr.splitlines()
            errors = [line for line in lines if line.startswith("qnext: error:")]
            ok = {0: result.stdout != "" and not errors,
                  1: len(errors) == 1 and len(errors[0].removeprefix("qnext: error:").strip()) >= 8 and result.stdout == "",
                  127: any("error while loading shared libraries: " in line for line in lines) and result.stdout == ""}.get(result.returncode, False)
            self.suite.check(name, ok, harness.describe(result))

    def small_stacks(self):
        """`ulimit -s` below what the program likes: the same answer, also with several threads and a chat template."""
        arguments = ["--model", harness.TINY, "--temperature", "0", "--max-tokens", "4", "--threads", "2"]
        for command, stdin in ((["generate", "--prompt", "What is 37 + 45?"], ""), (["chat"], "What is 37 + 45?\n")):
            name = f"small stacks: {command[0]}"
            if not self.suite.wanted(name):
                continue
            expected = harness.run(self.suite.qnext, [*command, *arguments], stdin, TIMEOUT)
            for kilobytes in (64, 128, 256):
                shell = f'ulimit -s {kilobytes}; exec "$0" "$@"'
                result = harness.run("/bin/bash", ["-c", shell, self.suite.qnext, *command, *arguments], stdin, TIMEOUT)
                self.suite.check(f"{name} with {kilobytes} KiB", result.returncode == 0 and result.stdout == expected.stdout, harness.describe(result))

    def environment(self):
        """A variable that sets nothing is warned of, beside what the command does; one with a bad value is named."""
        generate = ["generate", "--model", self.good, "--prompt", "Hello", "--max-tokens", "1"]
        warning = "qnext: warning: QNEXT_BOGUS: no command has an option that this variable sets; it is ignored"

        def run(variables, arguments):
            settings = [f"{name}={value}" for name, value in variables.items()]
            return harness.run("/usr/bin/env", [*settings, self.suite.qnext, *arguments], "", TIMEOUT)

        if self.suite.wanted("environment"):
            for name, arguments, code in (("environment: unknown variable", generate, 0), ("environment: unknown variable and an error", [*generate, "--frobnicate"], 2)):
                result = run({"QNEXT_BOGUS": "1", "QNEXT_TOP_K": "5"}, arguments)
                self.suite.check(name, result.returncode == code and result.stderr.splitlines().count(warning) == 1 and result.stderr.count("warning") == 1, harness.describe(result))
            result = run({"QNEXT_BOGUS": "", "QNEXT_TOP_K": "5"}, generate)
            self.suite.check("environment: nothing to warn of", result.returncode == 0 and "warning" not in result.stderr, harness.describe(result))
            result = run({"QNEXT_IGNORE_EOS": "maybe"}, generate)
            self.suite.check("environment: maybe", result.returncode == 2 and 'QNEXT_IGNORE_EOS: must be true or false, not "maybe"' in result.stderr, harness.describe(result))

    def usage(self):
        generate = ["generate", "--model", self.good, "--prompt", "Hello"]
        for name, arguments, named in (
                ("unknown option", ["--frobnicate"], "--frobnicate"), ("unknown command", None, "teleport"),
                ("option without its value", ["--max-tokens"], "--max-tokens"), ("max-tokens is text", ["--max-tokens", "many"], "max-tokens"),
                ("temperature is text", ["--temperature", "hot"], "temperature"), ("seed beyond 64 bits", ["--seed", "18446744073709551616"], "seed"),
                ("negative seed", ["--seed=-1"], "seed"), ("octal-looking number", ["--max-tokens", "010"], "max-tokens"),
                ("empty number", ["--max-tokens", ""], "max-tokens"), ("bias of a negative id", ["--logit-bias=-1=1"], "-1 is no token id"), ("hexadecimal number", ["--seed", "0x10"], "seed"), ("unknown activations", ["--activations", "int3"], "activations"),
                ("unknown KV type", ["--kv", "f64"], "kv"), ("unknown instruction set", ["--cpu-isa", "mmx"], "cpu-isa")):
            self.expect(name, ["teleport"] if arguments is None else [*generate, *arguments], [named], codes=(2,))
        for name, arguments, named in (
                ("negative max-tokens", ["--max-tokens=-1"], ("max-tokens", "max_tokens")), ("negative temperature", ["--temperature=-1"], "temperature"),
                ("temperature not a number", ["--temperature", "nan"], "temperature"), ("negative threads", ["--threads=-3"], "threads"),
                ("context of zero", ["--ctx", "0"], "ctx"), ("negative context", ["--ctx=-5"], "ctx"),
                ("context too large for 64 bits", ["--ctx", "99999999999999999999"], "ctx"), ("no model", None, "model")):
            self.expect(name, ["generate", "--prompt", "a"] if arguments is None else [*generate, *arguments], [named], codes=(1, 2))

    def option_files(self):
        """Messages about the file of options name file and line, and show no control bytes."""
        path = os.path.join(self.folder, "options.toml")
        for name, text, named in (("unquoted text", "threads = 1\nkv = int8\n", "line 2: kv"), ("no value", "\n\nmodel =\n", "line 3: model"),
                                  ("unknown option", "[chat]\nfrobnicate = 1\n", "line 2: chat.frobnicate"), ("bad number", "top-k = \"many\"\n", "line 1: top-k"),
                                  ("key without =", "loud\n", "line 1: loud"), ("list without end", "stop = [\n'a',\n", "line 1: stop"),
                                  ("escape sequences", "top-k = \"\\u001b[2J\\u0007\"\n", "\\x1b[2J\\x07"), ("bytes of a picture", "\x89PNG\r\n\x1a\n", "line 1")):
            with open(path, "w", encoding="latin-1", newline="") as f:
                f.write(text)
            arguments = ["generate", "--model", self.good, "--prompt", "a", "--config-file", path]
            self.expect(f"option file: {name}", arguments, ["options.toml", named], codes=(2,))
            if self.suite.wanted(f"option file: {name}"):
                message = harness.run(self.suite.qnext, arguments, timeout=TIMEOUT).stderr
                self.suite.check(f"option file: {name}: no control bytes", all(c >= " " for c in message.rstrip("\n")), repr(message))
