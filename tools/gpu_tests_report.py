"""Sums up a run of gpu_tests_run.sh: every test by name, every sanitizer, in one JSON file, and a short table.

    gpu_tests_report.py LOGS COMMIT ARCHITECTURES OUT.json

Exit code 1 if anything failed or was skipped.
"""
import glob
import json
import os
import re
import subprocess
import sys


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def exit_code(stem):
    text = read(stem + ".exit").strip()
    return int(text) if text else None


def gtest_cases(path):
    """[{name, status, seconds}] of a file that GoogleTest wrote; none if it never got so far."""
    try:
        report = json.loads(read(path))
    except ValueError:
        return []
    cases = []
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("failures"):
                status = "failed"
            elif case.get("result") == "SKIPPED":
                status = "skipped"
            elif case.get("result") == "COMPLETED":
                status = "passed"
            else:
                status = "not run"
            cases.append({"name": f"{suite['name']}.{case['name']}", "status": status, "seconds": float(case.get("time", "0s").rstrip("s"))})
    return cases


def programs(logs):
    result = []
    for path in sorted(glob.glob(os.path.join(logs, "*_cuda_test.exit"))):
        stem = path[:-len(".exit")]
        name = os.path.basename(stem)
        if name.startswith(("memcheck-", "racecheck-")):
            continue
        result.append({"program": name, "exit_code": exit_code(stem), "tests": gtest_cases(stem + ".json")})
    if exit_code(os.path.join(logs, "test_golden")) is not None:
        last = (read(os.path.join(logs, "test_golden.log")).strip().splitlines() or [""])[-1]
        counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
        passed, failed, skipped = map(int, counts.groups()) if counts else (0, 1, 0)
        result.append({"program": "test_golden.py --device cuda", "exit_code": exit_code(os.path.join(logs, "test_golden")),
                       "checks": {"passed": passed, "failed": failed, "skipped": skipped}})
    return result


def sanitizers(logs):
    result = []
    for tool in ("memcheck", "racecheck"):
        for path in sorted(glob.glob(os.path.join(logs, f"{tool}-*.exit"))):
            stem = path[:-len(".exit")]
            summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", read(stem + ".log"))
            result.append({"tool": tool, "program": os.path.basename(stem)[len(tool) + 1:], "exit_code": exit_code(stem),
                           "summary": summary[-1] if summary else "none", "tests": gtest_cases(stem + ".json")})
    return result


def count(cases, status):
    return sum(case["status"] == status for case in cases)


def gpu():
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,ecc.mode.current", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def main():
    logs, commit, architectures, out = sys.argv[1:]
    report = {"commit": commit, "architectures": architectures, "gpu": gpu(), "programs": programs(logs), "sanitizers": sanitizers(logs)}
    good = True
    rows = []
    for program in report["programs"]:
        if "checks" in program:
            passed, failed, skipped = (program["checks"][k] for k in ("passed", "failed", "skipped"))
        else:
            passed, failed, skipped = (count(program["tests"], k) for k in ("passed", "failed", "skipped"))
        fine = program["exit_code"] == 0 and passed > 0 and failed == 0 and skipped == 0
        good = good and fine
        rows.append((program["program"], f"{passed} passed, {failed} failed, {skipped} skipped, exit code {program['exit_code']}", fine))
        rows += [("", f"{case['status']}: {case['name']}", False) for case in program.get("tests", []) if case["status"] != "passed"]
    for one in report["sanitizers"]:
        ran = count(one["tests"], "passed")
        fine = one["exit_code"] == 0
        good = good and fine
        rows.append((f"{one['tool']} {one['program']}", f"{ran} tests, {one['summary']}, exit code {one['exit_code']}", fine))
    for path in sorted(glob.glob(os.path.join(logs, "profile-*.exit")) + glob.glob(os.path.join(logs, "bench-*.exit"))):
        code = exit_code(path[:-len(".exit")])
        good = good and code == 0
        rows.append((os.path.basename(path)[:-len(".exit")], f"exit code {code}", code == 0))
    report["good"] = good
    with open(out, "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
    print(f"\ncommit {commit}, built for {architectures}, on {report['gpu']}")
    for name, text, fine in rows:
        print(f"{'ok ' if fine else '** '} {name:42} {text}")
    print("all good" if good else "NOT GOOD")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
