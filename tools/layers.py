#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that includes go down: a file may include its own folder and any lower floor. Folders of one floor are
strangers, plug-ins see floors 0 to 3, and nobody looks at a plug-in.

    python3 tools/layers.py
"""
import os
import re
import sys

import csource

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
BELOW_ALL = "samsvar"  # include/samsvar: the ABI's headers, which anyone may include and which include only each other
PLUGIN_SEES = 3
GENERATED = re.compile(r"^\w+\.inc$")


def floor_of(name):
    return next((i for i, floor in enumerate(csource.FLOORS) if name in floor), None)


def own_folder(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("chips", "comms") else parts[0]


def may_see(path, target):
    """None, or why the file may not include the target."""
    own, to = own_folder(path), own_folder(target)
    if to == BELOW_ALL or own == to:
        return None
    if own == "include":
        return "include/samsvar includes only itself"
    to_floor = floor_of(to)
    if to_floor is None:
        return f"{to} is no folder that may be included"
    if own.startswith(("chips/", "comms/")):
        return None if to_floor <= PLUGIN_SEES else f"plug-ins see floors 0 to {PLUGIN_SEES}; {to} is on floor {to_floor}"
    floor = floor_of(own)
    if to_floor < floor:
        return None
    if to_floor == floor:
        return f"{own} and {to} are strangers on floor {floor}"
    return f"{own} is on floor {floor}, {to} above it on floor {to_floor}"


def check(path):
    text = csource.read(path)
    lines = csource.bare(text).split("\n")
    for m in INCLUDE.finditer(text):
        line = text.count("\n", 0, m.end()) + 1
        if "include" not in lines[line - 1]:
            continue  # inside a comment
        quote, target = m.groups()
        if quote == "<":
            if target.startswith(BELOW_ALL + "/"):
                yield f'{path}:{line}: <{target}> is ours; write it with quotes'
            continue
        if GENERATED.match(target) and own_folder(path).startswith(("chips/", "serve", "cli")):
            continue  # made into the build folder by tools/embed.sh
        if "/" not in target:
            yield f'{path}:{line}: "{target}" needs its folder'
            continue
        where = os.path.join("include", target) if target.startswith(BELOW_ALL + "/") else target
        why = may_see(path, target)
        if why:
            yield f'{path}:{line}: includes "{target}": {why}'
        elif not os.path.isfile(os.path.join(csource.ROOT, where)):
            yield f'{path}:{line}: "{target}" does not exist'


def main():
    paths = csource.files("include", "chips", "comms", *csource.LAYERS)
    return csource.finish("layers", [f for p in paths for f in check(p)], f"{len(paths)} files")


if __name__ == "__main__":
    sys.exit(main())
