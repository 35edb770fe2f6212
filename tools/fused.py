#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks for contraction (docs/arithmetic.md A-1, A-11): only files whose clause says fma ask for one, and each fused
multiply-add instruction of the objects comes from a source line that asks. The line is read from the debug lines, through
inlined callers, so the check does not depend on function names. x86 and aarch64.

    python3 tools/fused.py OBJECT.o ...        environment CROSS: prefix of objdump and addr2line
"""
import os
import re
import subprocess
import sys

import csource

FUSED = re.compile(r"^(?:vf(?:n?m(?:add|sub)|maddsub|msubadd)\w*|f(?:n?m(?:add|sub)|ml[as]\w*)|bf\w*dot|bfml\w+)$")
ASKS = re.compile(r"fma\w*\s*\(|_fmadd_")
# where a clause says fma: DOT, its pieces in attention and gains, block products;
# merging an adapter (docs/lora.md)
MAY = {"num/sum.h", "op/op_matmul.c", "op/op_attend.c", "op/op_attend_grad.c", "op/op_rmsnorm_grad.c",
       "chips/cpu/matmul.inc", "chips/cpu/idot.inc", "chips/cpu/kdot.inc", "chips/cpu/norm.inc", "chips/cpu/attend.inc",
       "chips/cpu/attend_grad.inc", "model/lora_model.c"}
MAKES = {"chips/cpu/vec.h", "chips/cpu/vec_avx2.h", "chips/cpu/vec_avx512.h", "chips/cpu/vec_neon.h"}  # v_fma itself
CROSS = os.environ.get("CROSS", "")


def run(*args, text=None):
    return subprocess.run(args, input=text, capture_output=True, text=True, check=True, cwd=csource.ROOT).stdout


def fused(obj):
    """(section, address, instruction) of each fused instruction."""
    section = ".text"
    for line in run(CROSS + "objdump", "-d", "--no-show-raw-insn", obj).splitlines():
        if line.startswith("Disassembly of section "):
            section = line.split()[-1].rstrip(":")
            continue
        words = line.split()
        if len(words) > 1 and words[0].endswith(":") and FUSED.match(words[1]):
            yield section, words[0][:-1], words[1]


def chains(obj, section, addresses):
    """For each address the places (file, line), from the innermost inlined function outwards."""
    out = run(CROSS + "addr2line", "-i", "-a", "-e", obj, "-j", section, text="\n".join(addresses) + "\n")
    found = []
    for line in out.splitlines():
        if line.startswith("0x"):
            found.append([])
        else:
            name, _, number = line.split(" ")[0].rpartition(":")
            name = os.path.relpath(os.path.realpath(name), csource.ROOT) if name.startswith("/") else os.path.normpath(name)
            found[-1].append((name, int(number) if number.isdigit() else 0))
    return found


def source_line(path, number, cache={}):
    """The statement that a place stands in: its line, and the one before, as a call may be broken over two."""
    if path not in cache:
        ours = not path.startswith("..") and os.path.isfile(os.path.join(csource.ROOT, path))
        cache[path] = csource.bare(csource.read(path)).splitlines() if ours else []
    return " ".join(cache[path][max(0, number - 2):number])


def check(obj):
    """(fused instructions, faults)"""
    by_section = {}
    for section, address, name in fused(obj):
        by_section.setdefault(section, []).append((address, name))
    n, faults = 0, []
    for section, found in by_section.items():
        n += len(found)
        for (address, name), chain in zip(found, chains(obj, section, [a for a, _ in found])):
            if any(path in MAY | MAKES and ASKS.search(source_line(path, line)) for path, line in chain):
                continue
            at = next((f"{p}:{line}" for p, line in chain if not p.startswith("..") and p != "??"), "no source line")
            faults.append(f"{obj}: {name} at {section}+0x{address}, from {at}, which asks for no fused operation")
    return n, faults


def askers():
    for path in csource.files("num", "op", "run", "model", "infer", "train", "chips/cpu", "chips/ref", "chips/odd"):
        for i, line in enumerate(csource.bare(csource.read(path)).splitlines()):
            if path not in MAY | MAKES and ASKS.search(line):
                yield f"{path}:{i + 1}: asks for a fused operation; its clause says none, or tools/fused.py does not know it"


def main():
    total, faults = 0, list(askers())
    for obj in sys.argv[1:]:
        n, bad = check(obj)
        total += n
        faults += bad[:10] + ([f"{obj}: and {len(bad) - 10} more"] if len(bad) > 10 else [])
    return csource.finish("fused", faults, f"{len(sys.argv) - 1} objects, {total} fused instructions")


if __name__ == "__main__":
    sys.exit(main())
