"""The counter behind test.sh's last line: failures must never be lost on the way."""
import json
import os

import count_ctest
import harness

JUNIT = """<?xml version="1.0"?><testsuite name="t">
<testcase name="good" status="run"/><testcase name="bad" status="fail"><failure message=""/></testcase>
<testcase name="leaky" status="fail"><failure message=""/></testcase><testcase name="crashed" status="fail"><failure message="SEGFAULT"/></testcase>
<testcase name="script" status="run"/><testcase name="absent" status="notrun"><skipped message="unable to find executable"/></testcase>
<testcase name="off" status="disabled"/><testcase name="left" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase></testsuite>"""


def report(*cases):
    return {"testsuites": [{"name": "Suite", "testsuite": list(cases)}]}


def main():
    suite = harness.Suite(__doc__)
    folder = harness.scratch_folder()
    fine = {"name": "Fine", "status": "RUN", "result": "COMPLETED"}
    broken = {"name": "Broken", "status": "RUN", "result": "COMPLETED", "failures": [{"failure": "no"}]}
    skipped = {"name": "Left", "status": "RUN", "result": "SKIPPED"}
    disabled = {"name": "Off", "status": "NOTRUN", "result": "SUPPRESSED"}
    for name, cases in (("good", (fine, fine, skipped, disabled)), ("bad", (fine, broken)), ("leaky", (fine,))):
        with open(os.path.join(folder, f"{name}_test.json"), "w", encoding="utf-8") as f:
            json.dump(report(*cases), f)
    junit = os.path.join(folder, "junit.xml")
    with open(junit, "w", encoding="utf-8") as f:
        f.write(JUNIT)
    passed, failed, left, names = count_ctest.count(junit, folder)
    suite.check("passed", passed == 2 + 1 + 1 + 1, f"{passed}")
    suite.check("failed", failed == 1 + 1 + 1 + 1, f"{failed}")
    suite.check("skipped", left == 2 + 1 + 1, f"{left}")
    suite.check("names", names == ["bad: Suite.Broken", "leaky: the program failed though its cases passed", "crashed", "absent"], f"{names}")
    suite.finish()


if __name__ == "__main__":
    main()
