"""What stands at the ends of the program: full disks, pipes that nobody writes to, signals."""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import harness  # noqa: E402

PATIENCE = 60  # seconds until something that must come has come; a sanitizer build on a busy machine included


def full_disk(suite):
    """Output that cannot be written is exit code 1 and a message, whatever the output is."""
    for arguments in (["--help"], ["--version"], ["generate", "--help"], ["inspect", "--model", harness.TINY],
                      ["generate", "--model", harness.TINY, "--prompt", "a", "--max-tokens", "2", "--json"]):
        name = "to a full disk: " + " ".join(arguments[:2])
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([suite.qnext, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        good = result.returncode == 1 and result.stderr.startswith("qnext: error: output: ")
        suite.check(name, good, f"exit code {result.returncode}, stderr {result.stderr!r}")


class Chat:
    """A chat that reads a pipe which stays open."""

    def __init__(self, suite):
        self.process = subprocess.Popen([suite.qnext, "chat", "--model", harness.TINY, "--temperature", "0", "--ignore-eos"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_until_idle(self):
        """Until the program waits for input: its main thread sleeps and nothing more comes of it."""
        def ticks():
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as f:
                return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
        deadline, last = time.monotonic() + PATIENCE, -1
        while time.monotonic() < deadline:
            now = ticks()
            if now == last and now > 0:
                return
            last = now
            time.sleep(0.7)

    def end(self):
        """(exit code, stdout, stderr, seconds it took to end)"""
        begin = time.monotonic()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        seconds = time.monotonic() - begin
        # Not communicate: that would close stdin, and the end of input would end the chat as well.
        result = self.process.returncode, self.process.stdout.read().decode(errors="replace"), self.process.stderr.read().decode(), seconds
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        return result


def interrupts(suite):
    chat = Chat(suite)
    chat.wait_until_idle()
    chat.process.send_signal(signal.SIGINT)
    code, out, error, seconds = chat.end()
    suite.check("Ctrl-C ends a chat that waits for a pipe", code == 130 and out == "" and error == "qnext: error: interrupted\n",
                f"exit code {code} after {seconds:.1f} s, stdout {out!r}, stderr {error!r}")

    chat = Chat(suite)
    chat.say("Count for ever.\n")  # eos is ignored, so the answer goes on to the end of the context
    first = chat.process.stdout.read(1)
    chat.process.send_signal(signal.SIGINT)
    code, out, error, seconds = chat.end()
    good = first != b"" and code == 130 and out.endswith("\n") and error == "(stopped)\nqnext: error: interrupted\n"
    suite.check("Ctrl-C ends an answer into a pipe, and the chat with it", good, f"exit code {code} after {seconds:.1f} s, stdout ends {out[-20:]!r}, stderr {error!r}")

    chat = Chat(suite)
    chat.say("/help\n/exit\nnever read\n")
    code, out, error, _ = chat.end()
    suite.check("/exit ends it while the pipe is open", code == 0 and out == "" and error.startswith("/help"), f"exit code {code}, stdout {out!r}")

    chat = Chat(suite)
    chat.say("/stats\n/sta")
    chat.process.stdin.close()
    chat.process.stdin = open(os.devnull, "wb")
    code, out, error, _ = chat.end()
    good = code == 1 and error.startswith("there was no answer yet\n/sta: no such command")
    suite.check("a last line without a line break counts", good, f"exit code {code}, stderr {error!r}")


def synth(suite):
    """What an interrupted or failed synth leaves does not pass for a checkpoint."""
    with tempfile.TemporaryDirectory(dir=harness.scratch_folder()) as parent:
        out = os.path.join(parent, "killed")
        process = subprocess.Popen([suite.qnext, "synth", "--kind", "80b-a-4layers", "--out", out], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not (os.path.isdir(out) and os.listdir(out)):
            time.sleep(0.01)
        process.kill()
        process.wait()
        names = os.listdir(out)
        suite.check("a killed synth leaves only parts", names != [] and all(n.endswith(".part") for n in names), f"{names}")
        again = harness.run(suite.qnext, ["synth", "--kind", "80b-a-4layers", "--out", out], timeout=PATIENCE)
        suite.check("and is not gone on with in silence", again.returncode == 1 and "is not empty" in again.stderr, harness.describe(again))

        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        again = harness.run(suite.qnext, ["synth", "--kind", "80b-a", "--out", out], timeout=PATIENCE)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        suite.check("and is refused before the work begins", again.returncode == 1 and "is not empty" in again.stderr and seconds < 1, f"{seconds} s; {harness.describe(again)}")

        out = os.path.join(parent, "limited")

        def limit():  # as a quota would
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        result = subprocess.run([suite.qnext, "synth", "--kind", "80b-a-4layers", "--out", out], capture_output=True, text=True, timeout=PATIENCE,
                                preexec_fn=limit, restore_signals=False, check=False)
        good = result.returncode == 1 and "model-00001-of-00002.safetensors: cannot be written: " in result.stderr and os.listdir(out) == []
        suite.check("a synth that cannot write names the file and leaves nothing", good, f"{harness.describe(result)}; left: {os.listdir(out)}")


def generate(suite):
    """Ctrl-C ends an answer, and what was said of it is neither lost nor passed for the whole."""
    run = [suite.qnext, "generate", "--model", harness.TINY, "--prompt", "Count for ever.", "--ignore-eos", "--temperature", "0"]
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    out, error = (text.decode() for text in process.communicate(timeout=PATIENCE))
    out = first.decode() + out
    words = error.split()
    good = process.returncode == 130 and error.startswith("qnext: error: interrupted after ") and words[4].isdigit() and error.endswith(" tokens of answer\n")
    suite.check("Ctrl-C ends generate", good and first != b"", f"exit code {process.returncode}, stderr {error!r}")
    if good:
        again = harness.run(suite.qnext, [*run[1:], "--max-tokens", words[4]], timeout=PATIENCE)
        suite.check("generate: all that was generated is there", again.stdout == out, f"{out!r}, {again.stdout!r}")

    process = subprocess.Popen([*run, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_handler(process)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=PATIENCE)
    value = json.loads(out) if out else {}
    good = process.returncode == 130 and value.get("finish_reason") == "cancelled" and f"after {len(value['token_ids'])} tokens" in error
    suite.check("Ctrl-C ends generate --json with an object", good, f"exit code {process.returncode}, stdout {out[-200:]!r}, stderr {error!r}")


def wait_for_handler(process):
    """Until the program catches SIGINT, which it does once the model is loaded."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as f:
            caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
        if caught >> (signal.SIGINT - 1) & 1:
            return
        time.sleep(0.01)


def batch(suite):
    """What a batch has answered outlives whatever ends it."""
    for name, number, code in (("Ctrl-C", signal.SIGINT, 130), ("SIGTERM", signal.SIGTERM, -signal.SIGTERM), ("SIGKILL", signal.SIGKILL, -signal.SIGKILL)):
        with tempfile.TemporaryDirectory(dir=harness.scratch_folder()) as folder:
            lines, out = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
            with open(lines, "w", encoding="utf-8") as f:
                f.write('{"prompt": "a", "max_tokens": 2}\n{"prompt": "Count"}\n')  # the second goes on to the end of the context
            with open(out, "w", encoding="utf-8") as f:
                f.write("old\n")
            process = subprocess.Popen([suite.qnext, "batch", "--model", harness.TINY, "--in", lines, "--out", out, "--ignore-eos"], stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and not (os.path.exists(out + ".partial") and os.path.getsize(out + ".partial")):
                time.sleep(0.01)
            process.send_signal(number)
            error = process.communicate(timeout=PATIENCE)[1]
            with open(out + ".partial", encoding="utf-8") as part, open(out, encoding="utf-8") as old:
                rows, before = part.read().splitlines(), old.read()
            said = error == f"qnext: error: interrupted; 1 finished line is in {out}.partial\n" if code == 130 else error == ""
            good = process.returncode == code and said and before == "old\n" and len(rows) == 1 and len(json.loads(rows[0])["token_ids"]) == 2
            suite.check(f"batch: {name} keeps finished lines", good, f"exit code {process.returncode}, stderr {error!r}, kept {rows}, before {before!r}")


def chat_lines(suite):
    """What chat makes of lines that are long, end as on Windows, or hold commands that fail."""
    chat = [suite.qnext, "chat", "--model", harness.TINY, "--temperature", "0", "--max-tokens", "12"]

    def run(text, *options):
        return subprocess.run([*chat, *options], input=text, capture_output=True, text=True, timeout=PATIENCE)

    plain, windows = run("What is 1 + 1?\n/exit\n"), run("What is 1 + 1?\r\n/exit\r\n")
    suite.check("chat: lines that end as on Windows", windows.returncode == 0 and windows.stdout == plain.stdout and windows.stderr == plain.stderr, repr(windows))
    for text, says in (("/save /no/such/folder\n", "/no/such/folder"), ("/frobnicate\n", "no such command")):
        result = run(text)
        good = result.returncode == 1 and says in result.stderr and result.stderr.endswith("qnext: error: 1 of the commands failed\n")
        suite.check(f"chat: {text.strip()} in a pipe", good, repr(result))
    with tempfile.TemporaryFile(dir=harness.scratch_folder()) as endless:
        endless.truncate(300 << 20)  # zeros, no line break
        result = subprocess.run(chat, stdin=endless, capture_output=True, text=True, timeout=PATIENCE)
    good = result.returncode == 1 and result.stderr == "qnext: error: standard input: a line of more than the 268435456 bytes that a text may have\n"
    suite.check("chat: a line without end", good, repr(result.stderr[-300:]))


def options_tell(suite):
    """Options of chat and batch that a reader would miss only in what is answered."""
    with tempfile.TemporaryDirectory(dir=harness.scratch_folder()) as folder:
        template, lines = os.path.join(folder, "first.jinja"), os.path.join(folder, "in.jsonl")
        with open(template, "w", encoding="utf-8") as f:
            f.write("{{ messages[0].content }}")
        common = ["--model", harness.TINY, "--temperature", "0", "--ignore-eos", "--max-tokens", "24"]

        def run(arguments, text=""):
            return subprocess.run([suite.qnext, *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE)

        # A template that says the first message only: the system message is the prompt.
        said = run(["generate", *common, "--prompt", "The capital of France is"]).stdout.rstrip("\n")
        chat = ["chat", *common, "--chat-template", template]
        heard = run([*chat, "--system", "The capital of France is"], "Hello\n").stdout.rstrip("\n")
        suite.check("chat --system", said != "" and heard == said, f"{heard!r} {said!r}")
        cut = said[len(said) // 2:][:4]
        stopped = run([*chat, "--stop", cut], "The capital of France is\n").stdout.rstrip("\n")
        suite.check("chat --stop", stopped == said[:said.index(cut)].rstrip("\n"), f"{stopped!r} {said!r} at {cut!r}")
        short = run([*chat[:-4], "--max-tokens", "5", *chat[-2:]], "The capital of France is\n").stdout.rstrip("\n")
        suite.check("chat --max-tokens", said.startswith(short) and 0 < len(short) < len(said), f"{short!r} {said!r}")
        with open(lines, "w", encoding="utf-8") as f:
            f.write('{"prompt": "The capital of France is"}\n')
        batch = ["batch", *common, "--in", lines, "--out", "-"]
        suite.check("batch answers as generate does", json.loads(run(batch).stdout)["text"].rstrip("\n") == said, "")
        stopped = json.loads(run([*batch, "--stop", cut]).stdout)
        suite.check("batch --stop", stopped["text"] == said[:said.index(cut)] and stopped["finish_reason"] == "stop", repr(stopped))

        # Nothing but the built-in template knows which token ends a message.
        model = os.path.join(folder, "model")
        os.mkdir(model)
        for name in os.listdir(harness.TINY):
            os.symlink(os.path.join(harness.TINY, name), os.path.join(model, name))
        for name, change in (("tokenizer_config.json", lambda v: v.pop("chat_template")), ("generation_config.json", lambda v: v.update(eos_token_id=4096)),
                             ("config.json", lambda v: v.update(eos_token_id=4096))):
            with open(os.path.join(harness.TINY, name), encoding="utf-8") as f:
                value = json.load(f)
            change(value)
            os.remove(os.path.join(model, name))
            with open(os.path.join(model, name), "w", encoding="utf-8") as f:
                json.dump(value, f)
        with open(lines, "w", encoding="utf-8") as f:
            f.write('{"messages": [{"role": "user", "content": "What is 37 + 45?"}]}\n')
        result = run(["batch", "--model", model, "--temperature", "0", "--max-tokens", "60", "--in", lines, "--out", "-"])
        answer = json.loads(result.stdout)
        suite.check("batch: the template's own end of a message", answer["finish_reason"] == "stop" and answer["text"] == "37 + 45 = 82", repr(answer))
        for option in ("--in", "--out"):
            arguments = {"--in": "-", "--out": "-", option: ""}
            result = run(["batch", *common, *(word for pair in arguments.items() for word in pair)])
            suite.check(f"batch: {option} is empty", result.returncode == 2 and result.stderr.startswith(f"qnext: error: {option}: a file is needed"), repr(result))


def main():
    suite = harness.Suite(__doc__)
    for part in (full_disk, interrupts, generate, batch, chat_lines, options_tell, synth):
        part(suite)
    suite.finish()


if __name__ == "__main__":
    main()
