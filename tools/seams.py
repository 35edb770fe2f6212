#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the seams: memory, files, clocks and chance are reached only through base/ and num/, so that tests can make them
fail or repeat. Also: nobody prints but cli/out.c, no flag or pragma relaxes the arithmetic, no mark of unfinished work.
Plug-ins are guests of a host and link to nothing of it, so memory, files and clocks there are their own.

    python3 tools/seams.py
"""
import re
import sys

import csource


def calls(names):
    # not a member (p->free), not part of a longer name, not a declaration's name
    return re.compile(r"(?<![\w.])(?<!->)(?:%s)\s*\(" % "|".join(names.split()))


PLUGINS = ("chips/", "comms/")
LIBRARY = tuple(f + "/" for f in csource.LAYERS if f != "bench")  # benches are programs
# (what, pattern, where it is searched, where it is allowed)
SEAMS = [
    ("memory belongs to base/mem.h", calls("malloc calloc realloc free strdup strndup aligned_alloc posix_memalign alloca"),
     LIBRARY, ("base/", "cli/")),  # the program holds what libc and editline gave it
    ("files belong to base/file.h", calls("fopen fdopen freopen open openat creat mmap munmap read write pread pwrite fsync "
                                          "rename unlink remove mkdir rmdir opendir ftruncate mkstemp tmpfile"),
     LIBRARY, ("base/",)),
    ("clocks belong to base/clock.h", calls("clock_gettime gettimeofday time clock sleep usleep nanosleep"),
     LIBRARY, ("base/",)),
    ("chance belongs to num/philox.h", calls("rand srand random srandom drand48 rand_r getrandom"),
     LIBRARY + PLUGINS, ("base/",)),
    ("only cli/out.c prints", calls("printf fprintf vprintf vfprintf dprintf puts fputs putchar fputc perror fwrite"),
     LIBRARY, ("base/", "cli/out.c")),
    ("a library returns errors and does not end the program", calls("exit _exit abort quick_exit"),
     LIBRARY, ("base/", "cli/")),
    ("fast-math is against the law", re.compile(r"ffast-math|Ofast|funsafe-math|fassociative-math|freciprocal-math|"
                                                r"ffp-contract=(?!off)|use_fast_math|cl-fast-relaxed|cl-mad-enable|"
                                                r"cl-denorms-are-zero|cl-unsafe-math|FP_CONTRACT\s+(?!OFF)|"
                                                r"optimize\s*\(\s*\"[^\"]*fast"),
     LIBRARY + PLUGINS + ("include/", "test/", "bench/", "examples/", "tools/", "Makefile"), ("tools/seams.py",)),
    ("min/max, rcp and rsqrt instructions are against the law",
     re.compile(r"_mm\d*_(?:mask_|maskz_)?(?:min|max)_(?:ps|ss|pd|sd)\b|_mm\d*_(?:rcp|rsqrt)\w*_(?:ps|ss)\b|"
                r"\bv(?:min|max|recpe|rsqrte)(?:nm)?q?_f(?:32|64)\b|(?<!\w)(?:f(?:min|max)f?|native_\w+|half_\w+|mad)\s*\("),
     ("num/", "op/") + PLUGINS, ()),
    ("libm is not inside the contract",
     calls("expf? logf? powf? sinf? cosf? tanhf? exp2f? log2f? expm1f? log1pf? sincosf? cbrtf? hypotf? erff?"),
     ("num/", "op/", "run/", "infer/", "chips/cpu/", "chips/ref/", "chips/odd/"), ()),
]
MARKS = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def main():
    faults = []
    code = csource.files("include", "chips", "comms", "test", "examples", *csource.LAYERS)
    build = [p for p in csource.files("tools", "Makefile", "examples", ends=("Makefile", ".mk", ".sh"))]
    for path in code + build:
        text = csource.read(path)
        bare = csource.bare(text) if path in code else text
        for what, pattern, where, allowed in SEAMS:
            if not path.startswith(where) or path.startswith(allowed):
                continue
            searched = text if "fast-math" in what else bare
            for m in pattern.finditer(searched):
                line = searched.count("\n", 0, m.start()) + 1
                if "fast-math" in what and re.search(r"never|no[ -]fast", text.splitlines()[line - 1]):
                    continue  # a comment that forbids it, or -fno-fast-math
                faults.append(f"{path}:{line}: {m.group().strip().rstrip('(')}: {what}")
    for path in csource.files(".", ends=csource.SOURCE + (".py", ".sh", ".mk", ".md", ".yaml", "Makefile")):
        if path in ("tools/seams.py",) or path.startswith("test/golden/"):
            continue
        for i, line in enumerate(csource.read(path).splitlines()):
            if MARKS.search(line):
                faults.append(f"{path}:{i + 1}: a mark of unfinished work; finish it or name an issue")
    return csource.finish("seams", faults, f"{len(code) + len(build)} files")


if __name__ == "__main__":
    sys.exit(main())
