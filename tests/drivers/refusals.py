"""Judges a suite's run over shards: what fails must be listed as refused, and what is listed must fail.

    refusals.py SUITE LOG STATUS        the suite's output, and the status with which it ended

The list, refusals.txt, has a line for each test: the suite, the test (with * for any part of the name), and the
words by which the log says why.
"""

import pathlib
import re
import sys

# How each suite's output names a test that has failed.
FAILED = {
    "python": r"^(?:FAILED|ERROR) (\S+::[^\s]+(?:\[[^\]]*\])?)",
    "psql": r"^(?:FAILED|ERROR) (\S+::[^\s]+(?:\[[^\]]*\])?)",
    "node": r"^\s*not ok \d+ - (.*?)(?:\s+#.*)?$",
    "c": r"^FAILED (.+)$",
    "ruby": r"^(\w+#test_\w+)(?: \[.*\])?:$",
    "java": r"^\s+JUnit Jupiter:(.*)$",
    "go": r"^--- FAIL: (\S+)",
    "rust": r"^    ([a-z_0-9]+(?:::[a-z_0-9]+)+)$",
}


def expected(suite):
    for line in pathlib.Path(__file__).with_name("refusals.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            of, test, words = (part.strip() for part in line.split("|", 2))
            if of == suite:
                yield test, words


def is_meant(name, test):
    return re.fullmatch(".*".join(map(re.escape, test.split("*"))), name) is not None


def main():
    suite, log, status = sys.argv[1], pathlib.Path(sys.argv[2]).read_text(errors="replace"), int(sys.argv[3])
    failed = set(re.findall(FAILED[suite], log, re.MULTILINE))
    # Node counts a file, too, in which a test has failed.
    failed = {name for name in failed if not name.endswith(".js")}
    listed = list(expected(suite))
    wrong = [f"failed: {name}" for name in sorted(failed) if not any(is_meant(name, it) for it, _ in listed)]
    for test, words in listed:
        if not any(is_meant(name, test) for name in failed):
            wrong.append(f"is said to be refused, and passed: {test}")
        if words not in log:
            wrong.append(f"does not say '{words}': {test}")
    if status not in (0, 1, 100, 101):
        wrong.append(f"the suite was ended with {status}")
    elif not failed and status != 0:
        wrong.append(f"ended with {status}, and no test has failed")
    print(f"drivers: {suite} over shards: {len(failed)} refused as listed" if not wrong else "\n".join(wrong), file=sys.stderr)
    return bool(wrong)


sys.exit(main())
