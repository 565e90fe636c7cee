"""Compares a suite's results through the proxy with those directly on Postgres.

    compare.py EXCEPTIONS SUITE MODE DIRECT.xml PROXIED.xml

Exits with 1 when a test that passes directly does not pass through the proxy and no exception says why, or
when an exception names a test that passes.
"""

import fnmatch
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(path):
    """Test -> ("passed", "skipped" or "failed", what was said); one with several reports is as bad as its worst."""
    order = ("passed", "skipped", "failed")
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        before, said = found.get(name, ("passed", ""))
        said += "".join(child.text or "" for child in case if child.tag in ("failure", "error"))
        found[name] = (max(outcome, before, key=order.index), said)
    return found


def matches(pattern, name, said):
    """`~TEXT` looks into what the failure says, everything else is a pattern of names."""
    return pattern[1:].replace("_", " ") in said if pattern.startswith("~") else fnmatch.fnmatchcase(name, pattern)


def exceptions(path, suite, mode):
    """Pattern -> reason, for the lines whose suite and mode (both are patterns) match."""
    found = {}
    with open(path) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                of_suite, of_mode, pattern, reason = line.strip().split(maxsplit=3)
                if fnmatch.fnmatchcase(suite, of_suite) and fnmatch.fnmatchcase(mode, of_mode):
                    found[pattern] = reason
    return found


def main(exceptions_path, suite, mode, direct_path, proxied_path):
    direct, proxied = outcomes(direct_path), outcomes(proxied_path)
    excepted = exceptions(exceptions_path, suite, mode)
    passed = {name for name, (outcome, _) in direct.items() if outcome == "passed"}
    worse = {name: proxied.get(name, ("missing", "")) for name in passed if proxied.get(name, ("missing",))[0] != "passed"}
    used = {
        pattern: [name for name, (_, said) in worse.items() if matches(pattern, name, said)] for pattern in excepted
    }
    explained = {name for names in used.values() for name in names}
    print(f"{suite}, {mode}: {len(passed)} of {len(direct)} tests pass directly, "
          f"{len(passed) - len(worse)} of these through the proxy, {len(explained)} cannot:")
    for pattern, names in sorted(used.items()):
        print(f"  {len(names)} {pattern}: {excepted[pattern]}")
    surprising = sorted(set(worse) - explained)
    for name in surprising:
        print(f"  FAILED {name} ({worse[name][0]})")
    # An exception that nothing needs any more would hide the next failure.
    needless = sorted(
        pattern for pattern, names in used.items()
        if not names and not excepted[pattern].startswith("sometimes:")
        and any(fnmatch.fnmatchcase(name, pattern) for name in proxied)
    )
    for pattern in needless:
        print(f"  NEEDLESS exception {pattern}")
    return 1 if surprising or needless or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
