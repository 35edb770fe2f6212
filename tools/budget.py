#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks sizes: lines of each folder against tools/budget.txt, 1,000 lines a file, 100 lines a function outside tests, 140
columns (the formatter aims at 120), rows of .def tables apart. Generated tables do not count.

    python3 tools/budget.py [-v]        -v: also the table of folders
"""
import re
import sys

import csource

FILE_LINES, FUNCTION_LINES, COLUMNS = 1000, 100, 140
NAME = re.compile(r"\b(\w+)\s*\(")


def budgets():
    out = {}
    for line in csource.read("tools/budget.txt").splitlines():
        words = line.split("#")[0].split()
        if words:
            out[words[0]] = int(words[1].replace(",", ""))
    return out


def long_functions(path, text):
    """Functions open with a brace in column 0 and close with one: our brace style."""
    start = None
    lines = csource.bare(text).splitlines()
    for i, line in enumerate(lines):
        if line.startswith("{"):
            start = i
        elif line.startswith("}") and start is not None:
            if i - start + 1 > FUNCTION_LINES:
                head = " ".join(lines[max(0, start - 4):start])
                names = NAME.findall(head)
                yield f"{path}:{start + 1}: {names[-1] if names else 'a function'} has {i - start + 1} lines; at most {FUNCTION_LINES}"
            start = None


def check(path, text):
    lines = text.splitlines()
    if len(lines) > FILE_LINES:
        yield f"{path}: {len(lines)} lines; at most {FILE_LINES}"
    for i, line in enumerate(lines):
        if len(line) > COLUMNS and not path.endswith(".def"):
            yield f"{path}:{i + 1}: {len(line)} columns; at most {COLUMNS}"
    if not path.startswith("test/"):
        yield from long_functions(path, text)


def main():
    faults, used = [], {}
    budget = budgets()
    for path in csource.files("include", "chips", "comms", "test", *csource.LAYERS):
        text = csource.read(path)
        if csource.is_generated(text):
            continue
        faults += check(path, text)
        parts = path.split("/")
        folder = "/".join(parts[:2]) if parts[0] in ("chips", "comms") else parts[0]
        used[folder] = used.get(folder, 0) + len(text.splitlines())
    for folder, n in sorted(used.items()):
        if folder not in budget:
            faults.append(f"{folder}: {n} lines and no budget in tools/budget.txt")
        elif n > budget[folder]:
            faults.append(f"{folder}: {n} lines; tools/budget.txt allows {budget[folder]}")
        if "-v" in sys.argv[1:]:
            print(f"{folder:16} {n:6} of {budget.get(folder, 0):6}")
    return csource.finish("budget", faults, f"{sum(used.values())} lines")


if __name__ == "__main__":
    sys.exit(main())
