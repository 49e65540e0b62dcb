#!/usr/bin/env python3
"""What an operator does to a server that is in the middle of an answer: SIGTERM, and memory of the expert cache.

    tests/server/test_running_server.py [--qnext PROGRAM] [--serve-options '--device cuda --cached-experts 60']

With experts in RAM (the options above, on a machine with a GPU) the cache is shrunk and grown; without, that must be refused.
"""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
import harness  # noqa: E402

PATIENCE = 120
LONG = {"prompt": "Count", "max_tokens": 30000, "ignore_eos": True, "stream": True, "temperature": 0}


class Server:
    """The tiny model's server on a free port."""

    def __init__(self, suite):
        command = [suite.qnext, "serve", "--model", harness.TINY, "--port", "0", *suite.options.serve_options.split()]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.port, found = [], None, threading.Event()

        def read():
            for line in self.process.stdout:
                self.lines.append(line)
                if match := re.search(r"listening on http://[^:]+:(\d+)", line):
                    self.port = int(match.group(1))
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        found.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while self.port and time.monotonic() < end and self.ask("GET", "/health")[0] != 200:
            time.sleep(0.05)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"{}")

    def stream(self):
        """A long answer, and the lines of its stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/v1/completions", json.dumps(LONG), {"Content-Type": "application/json"})
        return connection.getresponse()


def first_events(reply, count):
    seen = 0
    while seen < count:
        line = reply.readline()
        if not line:
            break
        seen += line.startswith(b"data: ")
    return seen


def terminate(suite):
    server = Server(suite)
    reply = server.stream()
    begun = first_events(reply, 10)
    server.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    rest = reply.read().decode().strip().split("\n\n")
    try:
        code = server.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.process.kill()
        code = None
    took = time.monotonic() - start
    said = len(rest) >= 2 and '"error"' in rest[-2] and rest[-1] == "data: [DONE]"
    suite.check("SIGTERM in the middle of an answer: the stream ends with an error", begun == 10 and said, f"{begun} events, then {rest[-2:]}")
    suite.check("SIGTERM in the middle of an answer: exit code 0 within 10 s", code == 0 and took < 10, f"{code} after {took:.1f} s: {server.lines[-3:]}")


def vram(suite):
    server = Server(suite)
    status, state = server.ask("GET", "/admin/vram")
    if status == 409:
        suite.check("/admin/vram: refused without a cache", state["error"]["code"] == "no_expert_cache", f"{state}")
        status, state = server.ask("POST", "/admin/vram", {"expert_cache_bytes": 0})
        suite.check("/admin/vram: changing nothing is refused, too", status == 409, f"{status} {state}")
        suite.skip("/admin/vram: the cache shrinks and grows", "no experts in RAM; see --serve-options")
    else:
        suite.check("/admin/vram: the state", status == 200 and state["expert_cache_bytes"] == state["planned_bytes"] > 0, f"{status} {state}")
        planned = state["planned_bytes"]
        greedy = {"prompt": "In the beginning", "max_tokens": 64, "temperature": 0}
        before = server.ask("POST", "/v1/completions", greedy)
        reply = server.stream()
        first_events(reply, 10)
        start = time.monotonic()
        for wanted in (0, planned, 0):
            status, state = server.ask("POST", "/admin/vram", {"expert_cache_bytes": wanted})
            good = status == 200 and state["expert_cache_bytes"] == wanted
            suite.check(f"/admin/vram: {wanted} bytes while an answer is generated", good, f"{status} {state}")
        suite.check("/admin/vram: does not wait for the answer's end", first_events(reply, 10) == 10 and time.monotonic() - start < 10, f"{time.monotonic() - start:.1f} s")
        reply.close()
        status, state = server.ask("POST", "/admin/vram", {"expert_cache_bytes": planned})
        suite.check("/admin/vram: all is taken again", status == 200 and state["expert_cache_bytes"] == planned, f"{status} {state}")
        after = server.ask("POST", "/v1/completions", greedy)
        # Sums on GPU and CPU differ in their last bits, so a late token may be another one.
        texts = [answer["choices"][0]["text"] for _, answer in (before, after)]
        suite.check("/admin/vram: answers begin as before", before[0] == after[0] == 200 and texts[0][:20] == texts[1][:20], f"{texts}")
    status, error = server.ask("POST", "/admin/vram", {"expert_cache": 0})
    suite.check("/admin/vram: what is wrong is refused", status in (400, 409), f"{status} {error}")
    server.process.send_signal(signal.SIGTERM)
    suite.check("/admin/vram: the server ends as usual", server.process.wait(PATIENCE) == 0, f"{server.lines[-3:]}")


def main():
    options = {"--serve-options": {"default": "", "help": "more options of qnext serve"}}
    suite = harness.Suite(__doc__, options)
    terminate(suite)
    vram(suite)
    suite.finish()


if __name__ == "__main__":
    main()
