"""Counts what one ctest run did: count_ctest.py JUNIT_XML GTEST_JSON_FOLDER prints "passed failed skipped" and names the failures on stderr.

A ctest entry that is a GoogleTest program (its report lies in the folder as NAME_test.json) counts case by case; one that failed without a
failed case (a crash, a sanitizer's verdict at exit) counts as one failure more. Any other entry counts as one.
"""
import glob
import json
import os
import sys
import xml.etree.ElementTree as xml


def gtest_counts(path):
    """(passed, failed, skipped, names of the failed) of one report."""
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    passed, failed, skipped, names = 0, 0, 0, []
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("failures"):
                failed += 1
                names.append(f"{suite['name']}.{case['name']}")
            elif case.get("status") == "NOTRUN" or case.get("result") in ("SKIPPED", "SUPPRESSED"):
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped, names


def chose_to_skip(entry):
    """Skipped by its own return code or output; a program that could not be started did not choose that."""
    mark = entry.find("skipped")
    return mark is not None and (mark.get("message") or "").startswith("SKIP_")


def count(junit, reports):
    passed = failed = skipped = 0
    failures = []
    for entry in xml.parse(junit).getroot().iter("testcase"):
        name, status = entry.get("name"), entry.get("status")
        ok = status == "run" and entry.find("failure") is None and entry.find("error") is None
        found = sorted(glob.glob(os.path.join(reports, f"{glob.escape(name)}_test*.json")))
        if found:
            cases = [gtest_counts(path) for path in found]
            p, f, s = (sum(c[i] for c in cases) for i in range(3))
            passed, failed, skipped = passed + p, failed + f, skipped + s
            failures += [f"{name}: {case}" for c in cases for case in c[3]]
            if not ok and f == 0:
                failed += 1
                failures.append(f"{name}: the program failed though its cases passed")
        elif status == "disabled" or chose_to_skip(entry):
            skipped += 1
        elif ok:
            passed += 1
        else:
            failed += 1
            failures.append(name)
    return passed, failed, skipped, failures


def main():
    passed, failed, skipped, failures = count(sys.argv[1], sys.argv[2])
    for name in failures:
        print(f"FAILED  {name}", file=sys.stderr)
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
