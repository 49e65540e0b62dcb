"""What the sources must keep to and no compiler checks: includes by room, file sizes, no marks of unfinished work, no machine's paths, no
test that nothing runs."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402

MAX_LINES = 900
CODE = (".cc", ".h", ".cu", ".cuh", ".py", ".sh", ".cmake")
TEXT = (*CODE, ".md", ".txt", ".json", ".yml", ".toml")
# Spelled in parts, so that this file does not find itself.
MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
MACHINE_PATHS = re.compile("|".join((r"(?<![\w.])/" + "home/", r"(?<![\w.])/" + "root/", r"(?<![\w.])/" + "work/", "/" + "Users/", r"\b[A-Z]:\\\\" + "Users")))


def files():
    """Tracked and new files, relative to the root; data and generated goldens left out."""
    listing = subprocess.run(["git", "-C", harness.ROOT, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if listing.returncode == 0:
        names = [n for n in listing.stdout.splitlines() if os.path.isfile(os.path.join(harness.ROOT, n))]
    else:  # an unpacked archive
        names = [os.path.relpath(os.path.join(folder, n), harness.ROOT) for folder, _, ns in os.walk(harness.ROOT) for n in ns]
        names = [n for n in names if not re.match(r"(build|build-[^/]*|\.venv|\.git)/", n) and "__pycache__" not in n]
    return sorted(n for n in names if not n.startswith("models/"))


def read(name):
    with open(os.path.join(harness.ROOT, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_script(name):
    with open(os.path.join(harness.ROOT, name), "rb") as f:
        return f.read(2) == b"#!"


def main():
    suite = harness.Suite(__doc__)
    names = files()
    code = [n for n in names if n.endswith(CODE) or os.path.basename(n) == "CMakeLists.txt" or is_script(n)]
    suite.check("there are sources", len([n for n in code if n.startswith("src/")]) > 10, f"{len(code)} files")

    def find(label, chosen, wrong):
        found = [f"{n}: {what}" for n in chosen for what in wrong(n)]
        suite.check(label, not found, "; ".join(found[:10]))

    def lines_matching(pattern):
        return lambda name: [f"line {i}" for i, line in enumerate(read(name).splitlines(), 1) if pattern.search(line)]

    cpp = [n for n in code if n.endswith((".cc", ".h", ".cu", ".cuh"))]
    find("no include climbs out of its folder", cpp, lines_matching(re.compile(r'^\s*#\s*include\s*"\.\.?/')))
    find("includes name the room", [n for n in cpp if n.startswith("src/")],
         lambda n: [m for m in re.findall(r'^\s*#\s*include\s*"([^"]+)"', read(n), re.M) if "/" not in m and not is_support_header(m)])
    find("no file is too long", code, lambda n: [f"{k} lines"] if (k := read(n).count("\n")) > MAX_LINES else [])
    find("no marks of unfinished work", code, lines_matching(MARKS))
    find("no paths of one machine", [n for n in names if n.endswith(TEXT) and not n.startswith("tests/text/")] + [n for n in code if is_script(n)],
         lines_matching(MACHINE_PATHS))
    # Bodies that are compiled once for each instruction set (-inl.h) are included more than once on purpose.
    find("headers are guarded", [n for n in cpp if n.endswith((".h", ".cuh")) and not n.endswith("-inl.h")], lambda n: [] if "#pragma once" in read(n) else ["no #pragma once"])
    find("every C++ test is built", [n for n in cpp if n.endswith("_test.cc")],
         lambda n: [] if any(os.path.basename(n) in read(f"{folder}/CMakeLists.txt") for folder in parents(n)) else ["in no CMakeLists.txt"])
    find("no disabled tests", [n for n in cpp if n.endswith("_test.cc")], lines_matching(re.compile(r"\bDISABLED_")))
    find("scripts can be run", [n for n in names if n.endswith(".sh") or n == ".ci/run"],
         lambda n: [] if os.access(os.path.join(harness.ROOT, n), os.X_OK) else ["not executable"])
    find("links of the documentation lead somewhere", [n for n in names if n.endswith(".md")], dead_links)
    suite.finish()


def is_support_header(name):
    return os.path.exists(os.path.join(harness.ROOT, "tests", "support", name))


def parents(name):
    """The folders above a file, nearest first, that have a CMakeLists.txt."""
    folder = os.path.dirname(name)
    while folder:
        if os.path.exists(os.path.join(harness.ROOT, folder, "CMakeLists.txt")):
            yield folder
        folder = os.path.dirname(folder)


def dead_links(name):
    """Relative links of a Markdown file whose target does not exist."""
    folder = os.path.dirname(os.path.join(harness.ROOT, name))
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```|`[^`\n]*`", "", read(name), flags=re.S))
    return [f"{t} is not there" for t in targets if not re.match(r"[a-z]+:", t) and not os.path.exists(os.path.join(folder, t))]


if __name__ == "__main__":
    main()
