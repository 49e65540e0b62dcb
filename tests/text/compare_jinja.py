#!/usr/bin/env python3
"""Compares this project's chat template engine with Python's jinja2, byte for byte.

Needs Python 3.11 with jinja2 3.1 (a virtual environment will do) and the program qnext_render_cases:

    cmake --build build/release --target qnext_render_cases
    python3 tests/text/compare_jinja.py --program build/release/bin/qnext_render_cases

jinja2 is set up as Hugging Face's transformers does for chat templates. A case passes when both engines give the same
text or both fail. A failure of ours is also right where Python's output cannot be: memory addresses, integers beyond
128 bits, complex numbers; such cases are counted apart.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import random
import subprocess
import sys
import warnings

import jinja2
import jinja2.ext
import jinja2.sandbox

import jinja_fuzz

HERE = pathlib.Path(__file__).resolve().parent
NOW = datetime.datetime(2024, 2, 29, 13, 5, 9)
# jinja2 reads `x < not (y)` as the call of a variable named "not"; we name it at load as a function that is not there.
REFUSALS = ("memory address", "exceeds 128 bits", "complex number", "not supported: function 'not'")


class Generation(jinja2.ext.Extension):
    """{% generation %}: the body, rendered as a call block."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda text: NOW.strftime(text)
    return env


@dataclasses.dataclass
class Case:
    name: str
    source: str
    variables: dict
    must_be_refused: bool = False  # by us, when compiling
    may_be_refused: bool = False


class Reference:
    def __init__(self):
        self.env = environment()
        self.compiled = {}

    def render(self, source, variables):
        """(text, None) or (None, error)."""
        try:
            if source not in self.compiled:
                self.compiled[source] = self.env.from_string(source)
            text = self.compiled[source].render(**variables)
            text.encode()
            return text, None
        except (Exception, RecursionError) as error:  # whatever a template can raise
            return None, error


def file_cases():
    """Every template of templates/ with every context that cases.json names for it."""
    folder = HERE / "templates"
    contexts = json.loads((folder / "contexts.json").read_text())
    cases = json.loads((folder / "cases.json").read_text())
    tiny = json.loads((HERE.parent.parent / "models/tiny/tokenizer_config.json").read_text())["chat_template"]
    named = {path.name for path in folder.glob("*.jinja")} | {"models/tiny"}
    if named != set(cases):
        raise SystemExit(f"cases.json and templates/ differ: {sorted(named ^ set(cases))}")
    for template, names in cases.items():
        source = tiny if template == "models/tiny" else (folder / template).read_text()
        for name in contexts if names == "all" else names:
            yield Case(f"{template} with {name}", source, contexts[name])


def snippet_cases():
    """snippets.txt: one template per line, rendered with the fuzz's variables."""
    for number, line in enumerate((HERE / "templates/snippets.txt").read_text().splitlines(), 1):
        if not line or line.startswith("##"):
            continue
        refused = line.startswith("!!")
        source = line.removeprefix("!!").replace("⏎", "\n")
        yield Case(f"snippets.txt:{number}: {line}", source, jinja_fuzz.CONTEXT, must_be_refused=refused)


def fuzz_cases(seed, count):
    rng = random.Random(seed)
    expressions = jinja_fuzz.Expressions(rng)
    statements = jinja_fuzz.Statements(rng)
    whitespace = jinja_fuzz.Whitespace(rng)
    makers = [lambda: "{{ " + expressions.any(rng.randint(1, 4)) + " }}"] * 7
    makers += [statements.template, statements.template, whitespace.template]
    for index in range(count):
        source = makers[index % len(makers)]()
        # Now and then a damaged template: the parsers must agree on what they accept.
        damaged = rng.random() < 0.15
        if damaged:
            source = jinja_fuzz.damage(rng, source)
        yield Case(f"seed {seed} case {index}: {source!r}", source, jinja_fuzz.CONTEXT, may_be_refused=damaged)


def judge(case, expected, error, result):
    """'passed', 'refused' (by a stated rule) or why it failed."""
    unsupported = result.get("error") == "unsupported"
    if case.must_be_refused:
        return "passed" if unsupported else f"ours does not refuse it: {result}"
    if "error" in result:
        if error is not None:
            return "passed"
        if any(mark in result["message"] for mark in REFUSALS) or (case.may_be_refused and unsupported):
            return "refused"
        return f"jinja2 gives {expected!r}, ours fails: {result['message']}"
    if error is not None:
        return f"jinja2 fails ({type(error).__name__}: {error}), ours gives {result['text']!r}"
    if result["text"] != expected:
        return f"jinja2 gives\n    {expected!r}\n  ours\n    {result['text']!r}"
    return "passed"


def check_messages(cases, reference_results, results):
    """raise_exception's text must be in our message."""
    for case, (_, error), result in zip(cases, reference_results, results):
        if type(error) is jinja2.exceptions.TemplateError and str(error) not in result.get("message", ""):
            yield case.name, f"the message {str(error)!r} is not in {result}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="path of qnext_render_cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fuzz", type=int, default=20000, help="number of random templates")
    parser.add_argument("--show", type=int, default=20, help="failures to print")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    cases = [*file_cases(), *snippet_cases(), *fuzz_cases(options.seed, options.fuzz)]
    lines = "".join(json.dumps({"template": case.source, "variables": case.variables}) + "\n" for case in cases)
    run = subprocess.run([options.program], input=lines, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in run.stdout.split("\n") if line]
    if run.returncode != 0 or len(results) != len(cases):
        sys.exit(f"{options.program} ended with {run.returncode} after {len(results)} of {len(cases)} cases:\n{run.stderr}")

    reference = Reference()
    expected = [reference.render(case.source, case.variables) for case in cases]
    counts = {"passed": 0, "refused": 0}
    failures = []
    failing = 0
    for case, (text, error), result in zip(cases, expected, results):
        verdict = judge(case, text, error, result)
        if verdict in counts:
            counts[verdict] += 1
            failing += error is not None
        else:
            failures.append((case.name, verdict))
    failures += check_messages(cases, expected, results)
    for name, verdict in failures[:options.show]:
        print(f"FAILED {name}\n  {verdict}")
    print(f"{failing} of those passed are errors in both, {counts['refused']} refused by rule; jinja2 {jinja2.__version__}, "
          f"Python {sys.version.split()[0]}")
    print(f"{counts['passed']} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
