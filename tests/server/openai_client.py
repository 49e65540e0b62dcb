#!/usr/bin/env python3
"""Drives a server with the openai package, as an application would.

    openai_client.py --bin 'build/release/bin/qnext serve --model models/tiny --port 0' \
                          [--generate 'build/release/bin/qnext generate --model models/tiny']

The server is started, its port read from the line "listening on http://...", and stopped at the end. With --generate,
greedy continuations must equal what that command prints. The last line is "N passed, N failed".
"""
import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

import openai

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15


class Server:
    """A server process. Its output is read to the end, so that it never blocks on a full pipe."""

    def __init__(self, command):
        self.process = subprocess.Popen(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.url = None
        self.lines = []
        self.found = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.found.wait(START_TIMEOUT_S) or self.url is None:
            self.process.kill()
            raise SystemExit("the server did not start:\n" + "".join(self.lines))

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            match = re.search(r"listening on (http://\S+)", line)
            if match:
                self.url = match.group(1)
                self.found.set()
        self.found.set()

    def wait_ready(self):
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            status, _ = fetch(self.url + "/health")
            if status == 200:
                return
            time.sleep(0.1)
        raise SystemExit("the model did not get ready:\n" + "".join(self.lines))

    def stop(self):
        """The exit code after SIGTERM; None if the process had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def fetch(url, body=None, headers=None):
    """(status, text) of a plain request; a POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} is not {expected!r}")


def refused(kind, param, call, **arguments):
    """`call` must raise `kind` and the error must name `param`."""
    try:
        call(**arguments)
    except kind as error:
        equal(error.param, param)
        return error
    raise AssertionError(f"{arguments} was accepted")


class Tests:
    def __init__(self, server, generate):
        self.server = server
        self.generate = generate
        self.client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)
        self.model = self.client.models.list().data[0].id

    def chat(self, **arguments):
        arguments.setdefault("messages", QUESTION)
        return self.client.chat.completions.create(model=self.model, **arguments)

    def complete(self, **arguments):
        arguments.setdefault("prompt", "The capital of France is")
        return self.client.completions.create(model=self.model, **arguments)

    def test_models(self):
        model = self.client.models.retrieve(self.model)
        equal(model.id, self.model)
        equal(model.object, "model")
        assert model.context_length > 0
        try:
            self.client.models.retrieve("no-such-model")
        except openai.NotFoundError as error:
            equal(error.code, "model_not_found")
            return
        raise AssertionError("an unknown model was found")

    def test_chat(self):
        reply = self.chat(temperature=0)
        equal(reply.object, "chat.completion")
        equal(reply.choices[0].message.role, "assistant")
        equal(reply.choices[0].message.content, ANSWER)
        equal(reply.choices[0].finish_reason, "stop")
        usage = reply.usage
        assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
        equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        assert usage.prompt_tokens_details.cached_tokens >= 0

    def test_chat_content_parts_and_history(self):
        parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION[0]["content"]}]}]
        equal(self.chat(messages=parts, temperature=0).choices[0].message.content, ANSWER)
        # What came back can be sent back as it is.
        message = self.chat(temperature=0).choices[0].message
        reply = self.chat(messages=QUESTION + [message.model_dump()] + QUESTION, temperature=0, max_tokens=8)
        assert reply.choices[0].finish_reason in ("stop", "length")

    def test_chat_stream(self):
        chunks = list(self.chat(temperature=0, stream=True, stream_options={"include_usage": True}))
        equal(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        equal(text, ANSWER)
        equal(len({chunk.id for chunk in chunks}), 1)
        equal([c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason], ["stop"])
        equal(chunks[-1].choices, [])
        equal(chunks[-1].usage.completion_tokens, self.chat(temperature=0).usage.completion_tokens)
        assert len(chunks) > 4, "the answer came in one piece"

    def test_chat_logprobs(self):
        reply = self.chat(temperature=0, logprobs=True, top_logprobs=3, max_tokens=6)
        content = reply.choices[0].logprobs.content
        equal(len(content), reply.usage.completion_tokens)
        text = b"".join(bytes(token.bytes) for token in content).decode()
        assert text.startswith(reply.choices[0].message.content), text
        for token in content:
            equal(len(token.top_logprobs), 3)
            assert token.logprob <= 0
            # Greedy: the chosen token is the most likely one, and the alternatives fall.
            equal(token.top_logprobs[0].logprob, token.logprob)
            values = [other.logprob for other in token.top_logprobs]
            equal(values, sorted(values, reverse=True))
        streamed = []
        for chunk in self.chat(temperature=0, logprobs=True, top_logprobs=3, max_tokens=6, stream=True):
            if chunk.choices[0].logprobs:
                streamed += chunk.choices[0].logprobs.content
        equal([token.token for token in streamed], [token.token for token in content])

    def test_n_and_seed(self):
        # Not the question above: a trained model is too sure of its answer to give another.
        open_end = dict(messages=[{"role": "user", "content": "Tell me"}], temperature=2, max_tokens=24)

        def texts(**arguments):
            return [choice.message.content for choice in self.chat(**open_end, **arguments).choices]

        first = texts(n=4, seed=11)
        equal(len(first), 4)
        assert len(set(first)) > 1, f"four samples are one: {first}"
        equal(texts(n=4, seed=11), first)
        equal(texts(seed=11), first[:1])
        assert texts(n=4, seed=12) != first
        equal(len(self.chat(temperature=0, n=2).choices), 2)
        streamed = [""] * 4
        for chunk in self.chat(**open_end, n=4, seed=11, stream=True):
            streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        equal(streamed, first)

    def test_max_tokens_and_stop(self):
        cut = self.chat(temperature=0, max_tokens=2)
        equal(cut.choices[0].finish_reason, "length")
        equal(cut.usage.completion_tokens, 2)
        assert ANSWER.startswith(cut.choices[0].message.content)
        equal(self.chat(temperature=0, max_completion_tokens=2).choices[0].message.content, cut.choices[0].message.content)
        stopped = self.chat(temperature=0, stop=["Paris", " of"])
        equal(stopped.choices[0].message.content, "The capital")
        equal(stopped.choices[0].finish_reason, "stop")
        text = "".join(c.choices[0].delta.content or "" for c in self.chat(temperature=0, stop="France", stream=True))
        equal(text, "The capital of ")

    def test_sampling_fields(self):
        greedy = dict(temperature=2.0, top_p=0, seed=1)
        equal(self.chat(**greedy).choices[0].message.content, ANSWER)
        extra = {"top_k": 1}
        equal(self.chat(temperature=2.0, extra_body=extra).choices[0].message.content, ANSWER)
        extra = {"min_p": 1.0, "repetition_penalty": 1.0}
        equal(self.chat(temperature=1.0, extra_body=extra).choices[0].message.content, ANSWER)
        first = self.tokenize("T")["tokens"][0]
        biased = self.chat(temperature=0, logit_bias={first: 100}, max_tokens=5)
        equal(biased.choices[0].message.content, "TTTTT")
        reply = self.chat(temperature=1, presence_penalty=0.5, frequency_penalty=0.5, max_tokens=4)
        assert reply.usage.completion_tokens <= 4

    def test_completions(self):
        reply = self.complete(temperature=0, max_tokens=8)
        equal(reply.object, "text_completion")
        text = reply.choices[0].text
        equal("".join(c.choices[0].text for c in self.complete(temperature=0, max_tokens=8, stream=True)), text)
        prompt = "The capital of France is"
        equal(self.complete(temperature=0, max_tokens=8, echo=True).choices[0].text, prompt + text)
        ids = self.tokenize(prompt)["tokens"]
        equal(self.complete(prompt=ids, temperature=0, max_tokens=8).choices[0].text, text)
        several = self.complete(prompt=[prompt, "One two three", prompt], temperature=0, max_tokens=8)
        equal([choice.index for choice in several.choices], [0, 1, 2])
        equal([several.choices[0].text, several.choices[2].text], [text, text])
        scored = self.complete(temperature=0, max_tokens=3, logprobs=2).choices[0]
        equal(len(scored.logprobs.tokens), 3)
        equal(scored.logprobs.text_offset[0], 0)
        for chosen, alternatives in zip(scored.logprobs.token_logprobs, scored.logprobs.top_logprobs):
            equal(max(alternatives.values()), chosen)
        echoed = self.complete(prompt=prompt, temperature=0, max_tokens=3, logprobs=2, echo=True).choices[0]
        count = len(ids)
        equal(echoed.logprobs.tokens[count:], scored.logprobs.tokens)
        equal("".join(echoed.logprobs.tokens[:count]), prompt)
        equal(echoed.logprobs.token_logprobs[0], None)
        assert all(value < 0 for value in echoed.logprobs.token_logprobs[1:count]), echoed.logprobs
        alone = self.complete(prompt=prompt, max_tokens=0, logprobs=2, echo=True).choices[0]
        equal([alone.text, alone.finish_reason], [prompt, "length"])
        equal(alone.logprobs.token_logprobs, echoed.logprobs.token_logprobs[:count])
        # The last token of the prompt, scored as an answer to the rest.
        rest = self.complete(prompt=ids[:-1], temperature=0, max_tokens=1, logprobs=2).choices[0].logprobs.top_logprobs[0]
        last = echoed.logprobs.top_logprobs[count - 1]
        equal(sorted(last), sorted(rest))
        assert all(abs(last[token] - rest[token]) < 0.05 for token in rest), (last, rest)

    def test_completion_equals_the_command_line(self):
        if not self.generate:
            return
        for prompt in ("The capital of France is", "One two three", "Grüße, 世界"):
            command = shlex.split(self.generate) + ["--prompt", prompt, "--temperature", "0", "--max-tokens", "24"]
            printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
            text = self.complete(prompt=prompt, temperature=0, max_tokens=24).choices[0].text
            # The command ends its output with a newline, and may repeat the prompt.
            assert printed.rstrip("\n").endswith(text.rstrip("\n")), f"{printed!r} is not {text!r}"

    def test_errors(self):
        bad = openai.BadRequestError
        refused(bad, "temperature", self.chat, temperature=3)
        refused(bad, "max_tokens", self.chat, max_tokens=-1)
        refused(bad, "n", self.chat, n=0)
        refused(bad, "messages", self.chat, messages=[])
        refused(bad, "messages[0].role", self.chat, messages=[{"role": "robot", "content": "x"}])
        refused(bad, "no_such_field", self.chat, extra_body={"no_such_field": 1})
        refused(bad, "prompt", self.complete, prompt="")
        error = refused(bad, "prompt", self.complete, prompt="word " * 300_000)
        equal(error.code, "context_length_exceeded")
        try:
            self.client.chat.completions.create(model="gpt-4", messages=QUESTION)
        except openai.NotFoundError as unknown:
            equal(unknown.code, "model_not_found")
        else:
            raise AssertionError("another model's name was accepted")

    def tokenize(self, text):
        status, reply = fetch(self.server.url + "/tokenize", {"content": text})
        equal(status, 200)
        return json.loads(reply)

    def test_tools_for_tooling(self):
        tokens = self.tokenize("Hello, world")
        equal(tokens["count"], len(tokens["tokens"]))
        status, reply = fetch(self.server.url + "/detokenize", {"tokens": tokens["tokens"]})
        equal((status, json.loads(reply)["content"]), (200, "Hello, world"))
        status, reply = fetch(self.server.url + "/apply-template", {"messages": QUESTION})
        assert QUESTION[0]["content"] in json.loads(reply)["prompt"], reply

    def test_inference_health_metrics(self):
        status, reply = fetch(self.server.url + "/inference", {"prompt": "Hello", "max_tokens": 5})
        equal(status, 200)
        equal(
            sorted(json.loads(reply)),
            ["generation_time", "memory_used_gb", "text", "tokens_generated", "tokens_per_second"],
        )
        status, reply = fetch(self.server.url + "/health")
        health = json.loads(reply)
        equal((status, health["status"], health["model_ready"]), (200, "ok", True))
        status, reply = fetch(self.server.url + "/metrics")
        assert "qnext_generation_tokens_total" in reply
        status, reply = fetch(self.server.url + "/metrics", headers={"Accept": "application/json"})
        assert json.loads(reply)["total_inferences"] > 0

    def test_a_left_stream_frees_the_engine(self):
        # A whole context's worth of tokens; the next request must not wait for them.
        stream = self.chat(temperature=0, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        start = time.monotonic()
        equal(self.chat(temperature=0).choices[0].message.content, ANSWER)
        assert time.monotonic() - start < 30, "the abandoned generation went on"

    def test_parallel_clients(self):
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(self.chat(temperature=0).choices[0].message.content))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(answers, [ANSWER] * 6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the command that starts the server on port 0")
    parser.add_argument("--generate", help="the command that continues a --prompt")
    arguments = parser.parse_args()
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):  # the server is on this machine
        os.environ.pop(proxy, None)
        os.environ.pop(proxy.upper(), None)
    server = Server(arguments.bin)
    passed, failed = 0, 0
    try:
        server.wait_ready()
        tests = Tests(server, arguments.generate)
        for name in (name for name in dir(Tests) if name.startswith("test_")):
            try:
                getattr(tests, name)()
                passed += 1
                print(f"ok   {name}")
            except Exception:  # the next test is worth running whatever this one ran into
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}")
    finally:
        code = server.stop()
    if code == 0:
        passed += 1
    else:
        failed += 1
        print(f"FAIL exit code after SIGTERM: {code}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
