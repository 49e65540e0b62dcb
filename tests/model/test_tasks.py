"""The tiny model must answer its training tasks (fresh samples, greedy): one wrong step anywhere in the engine shows here as wrong answers.

Chat goes through `qnext batch`, which applies the checkpoint's chat template. Tool samples go in three forms that must mean the same prompt:
the recipe's plain text, the preamble as a system message, and `tools` with tool calls and tool responses as the API has them.
"""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402

sys.path.insert(0, os.path.join(harness.ROOT, "tools", "tiny_model"))
import jinja2  # noqa: E402
import tasks  # noqa: E402

SEED = 770077  # the recipe trained on seeds 0 to 12 and evaluated on 12345
REQUIRED = 0.97
PER_TASK = 0.75  # no task may hide behind the others
MAX_TOKENS = 64  # the longest answer, a tool call, has fewer than 48
# As the recipe's own evaluation scores them (training_report.json), and the longest recall it was trained for.
MIX = (("arithmetic", tasks.arithmetic, 70), ("capital", tasks.capital, 50), ("strings", tasks.strings, 70), ("extract", tasks.extract, 40),
       ("tools", tasks.tools, 48), ("memory", tasks.memory, 40), ("recall8", lambda r: tasks.recall(r, 8), 24),
       ("recall32", lambda r: tasks.recall(r, 32), 16), ("recall144", lambda r: tasks.recall(r, 144), 6),
       ("recall190", lambda r: tasks.recall(r, 190), 4))


def plain_text(turns):
    """The prompt as the recipe writes it."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns[:-1]) + "<|im_start|>assistant\n"


def as_messages(turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns[:-1]]}


def as_tool_messages(turns):
    """A `tools` sample the way an API client sends it."""
    system, listing = turns[0][1], turns[0][1].split("<tools>\n")[1].split("\n</tools>")[0]
    messages = []
    if system.startswith(tasks.SYSTEM):
        messages.append({"role": "system", "content": tasks.SYSTEM})
    for role, text in turns[1:-1]:
        if text.startswith("<tool_call>"):
            call = json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
            messages.append({"role": role, "content": "", "tool_calls": [{"type": "function", "function": call}]})
        elif text.startswith("<tool_response>"):
            messages.append({"role": "tool", "content": text.removeprefix("<tool_response>\n").removesuffix("\n</tool_response>")})
        else:
            messages.append({"role": role, "content": text})
    return {"messages": messages, "tools": [json.loads(line) for line in listing.split("\n")]}


def template():
    """The checkpoint's chat template in the environment that Hugging Face gives it."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    with open(os.path.join(harness.TINY, "tokenizer_config.json"), encoding="utf-8") as f:
        return environment.from_string(json.load(f)["chat_template"])


def run_batch(suite, folder, requests, options):
    """One `qnext batch` run -> the answers, one for each request."""
    source, target = os.path.join(folder, "requests.jsonl"), os.path.join(folder, "answers.jsonl")
    with open(source, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({**r, "max_tokens": MAX_TOKENS, "temperature": 0}, ensure_ascii=False) + "\n" for r in requests)
    if os.path.exists(target):
        os.remove(target)
    harness.run_ok(suite.qnext, ["batch", "--model", harness.TINY, "--in", source, "--out", target, *options], timeout=1200)
    try:
        with open(target, encoding="utf-8") as f:
            answers = [json.loads(line) for line in f]
    except (OSError, ValueError) as error:
        raise harness.Failure(f"batch output: {error!r}") from None
    if len(answers) != len(requests) or not all({"text", "token_ids", "finish_reason"} <= set(a) for a in answers):
        raise harness.Failure(f"batch wrote {len(answers)} answers for {len(requests)} requests, or fields are missing")
    return answers


def check_tasks(suite, folder, samples, path, options):
    """Every sample on one path; prints a table, checks the shares."""
    answers = suite.guard(f"{path} batch", lambda: run_batch(suite, folder, [as_messages(turns) for _, turns in samples], options))
    if answers is None:
        return
    right, total, wrong = {}, {}, []
    for (task, turns), answer in zip(samples, answers):
        ok = answer["text"] == turns[-1][1] and answer["finish_reason"] == "stop"
        right[task], total[task] = right.get(task, 0) + ok, total.get(task, 0) + 1
        if not ok:
            wrong.append(f"{task}: {answer['text']!r} ({answer['finish_reason']}), expected {turns[-1][1]!r}")
    print(f"{path}:")
    for task, count in total.items():
        print(f"  {task:<12} {right[task]:>3} of {count:>3}")
    for line in wrong[:12]:
        print(f"  wrong: {line}")
    everything = sum(total.values())
    share = sum(right.values()) / everything
    suite.check(f"{path} overall", everything >= 300 and share >= REQUIRED, f"{share:.1%} of {everything} right, required {REQUIRED:.0%}")
    for task, count in total.items():
        suite.check(f"{path} {task}", right[task] / count >= PER_TASK, f"{right[task]} of {count} right")


def check_forms(suite, folder, samples):
    """Plain text, messages and tools must be the same prompt to the engine, so they get the same tokens."""
    chosen = [turns for task, turns in samples if task == "tools"][:24] + [turns for task, turns in samples if task == "memory"][:6]
    requests = [{"prompt": plain_text(turns)} for turns in chosen] + [as_messages(turns) for turns in chosen]
    tool_turns = [turns for turns in chosen if turns[0][0] == "system" and "<tools>" in turns[0][1]]
    requests += [as_tool_messages(turns) for turns in tool_turns]
    answers = suite.guard("forms batch", lambda: run_batch(suite, folder, requests, ["--activations", "float32"]))
    if answers is None:
        return
    plain = {plain_text(turns): answer["token_ids"] for turns, answer in zip(chosen, answers)}
    for i, turns in enumerate(chosen):
        suite.check(f"messages as plain text {i}", answers[len(chosen) + i]["token_ids"] == plain[plain_text(turns)], plain_text(turns))
    for i, turns in enumerate(tool_turns):
        suite.check(f"tools as plain text {i}", answers[2 * len(chosen) + i]["token_ids"] == plain[plain_text(turns)], plain_text(turns))


def main():
    suite = harness.Suite(__doc__, {"--paths": dict(default="float32,int8", help="activation formats to run")})
    folder = harness.scratch_folder()
    rng = random.Random(SEED)
    samples = [(task, make(rng)) for task, make, count in MIX for _ in range(count)]

    render = template().render
    for form, of in (("messages", as_messages), ("tools", as_tool_messages)):
        chosen = [turns for task, turns in samples if form == "messages" or task == "tools"]
        wrong = [turns for turns in chosen if render(add_generation_prompt=True, **of(turns)) != plain_text(turns)]
        suite.check(f"the template renders {form} as the recipe wrote them", chosen and not wrong, f"{len(wrong)} of {len(chosen)} differ: {wrong[:1]}")

    check_forms(suite, folder, samples)
    for path in suite.options.paths.split(","):
        kv = "f32" if path == "float32" else "bf16"
        check_tasks(suite, folder, samples, path, ["--activations", path, "--kv", kv])
    suite.finish()


if __name__ == "__main__":
    main()
