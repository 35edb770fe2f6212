#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks docs/arithmetic.md against the code: each clause A-nn is named by a comment of the code, each A-nn that a comment
names is a clause, and each op's entry names at least one.

A clause is defined where its number opens a line, a heading, a list item or a table row, plain or bold.

    python3 tools/laws.py [-v]        -v: also who names each clause
"""
import os
import re
import sys

import csource

LAW = "docs/arithmetic.md"
CLAUSE = re.compile(r"\bA-(\d\w*)")
DEFINED = re.compile(r"^\s*(?:#+\s*|[-*|]\s+|\|\s*)?\**\[?A-(\d+)\b", re.M)


def named():
    """Clause -> places of comments that name it."""
    out = {}
    for path in csource.files("include", "chips", *csource.LAYERS):
        for i, line in enumerate(csource.comments(csource.read(path)).splitlines()):
            for n in CLAUSE.findall(line):
                out.setdefault(n, []).append(f"{path}:{i + 1}")
    return out


def main():
    if not os.path.isfile(os.path.join(csource.ROOT, LAW)):
        return csource.finish("laws", [f"{LAW} is missing"], "0 clauses")
    faults = []
    defined = DEFINED.findall(csource.read(LAW))
    for n in sorted({n for n in defined if defined.count(n) > 1}):
        faults.append(f"{LAW}: A-{n} is defined {defined.count(n)} times")
    places = named()
    for n in sorted(set(places) - set(defined)):
        faults.append(f"{', '.join(places[n])}: A-{n} is no clause of {LAW}")
    for n in sorted(set(defined) - set(places), key=int):
        faults.append(f"{LAW}: no comment of the code names A-{n}")
    ops = [p for p in csource.files("op") if os.path.basename(p).startswith("op_") and p.endswith(".c")]
    for path in ops:
        if not any(p.startswith(path + ":") for at in places.values() for p in at):
            faults.append(f"{path}: its entry names no clause of {LAW}")
    if "-v" in sys.argv[1:]:
        for n in sorted(set(defined), key=int):
            print(f"A-{n}: {', '.join(places.get(n, []))}")
    return csource.finish("laws", faults, f"{len(set(defined))} clauses, {len(ops)} ops")


if __name__ == "__main__":
    sys.exit(main())
