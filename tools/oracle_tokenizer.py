#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Re-makes test/golden/tokenizer/mixed.txt with the reference implementation (PyPI package tokenizers) and compares.

Usage: python3 tools/oracle_tokenizer.py            exit status 1 when a line differs from the file
       python3 tools/oracle_tokenizer.py --write    writes the file
Each line: tokenizer, "plain" (added tokens not matched) or "marked" (matched), seed, bytes of text, SHA-256 of the
text, number of ids, SHA-256 of the ids as little-endian u32. test/golden/tokenizer.c makes the same texts from
mixed.json.
"""
import array
import hashlib
import json
import lzma
import pathlib
import sys

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent.parent / "test/golden/tokenizer"
NAMES = ["qwen3", "deepseek_v3", "smollm2"]
SEEDS = range(1, 6)
BYTES = 600_000
MASK = (1 << 64) - 1


class Lcg:
    def __init__(self, seed):
        self.x = seed

    def next(self):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) & MASK
        return self.x >> 33


def mixed(seed, size, items, ranges):
    """Words, code, scripts, look-alikes of special tokens, long runs of spaces and digits, marks, any character."""
    rng, out, n = Lcg(seed), [], 0

    def from_range(r):
        return chr(r[0] + rng.next() % (r[1] - r[0] + 1))

    while n < size:
        r = rng.next()
        kind, v = r % 20, r // 20
        long = v // 1024 % 16 == 0
        if kind < 12:
            s = items[v % len(items)] + (" " if kind >= 8 else "")
        elif kind == 12:
            s = " " * ((1 + v % 8) * (60 if long else 1))
        elif kind == 13:
            s = "".join(chr(48 + rng.next() % 10) for _ in range((1 + v % 9) * (30 if long else 1)))
        elif kind == 14:
            s = ["\n", "\r\n", "\n\n", "\n  "][v % 4]
        elif kind == 15:
            s = from_range(ranges[v % len(ranges)])
        elif kind == 16:
            s = "".join(from_range(ranges[v % len(ranges)]) for _ in range(3))
        elif kind == 17:
            s = "".join(chr(97 + rng.next() % 26) for _ in range(1 + v % 14))
        elif kind == 18:
            s = chr(97 + v % 26) + "".join(chr(0x300 + rng.next() % 0x70) for _ in range(1 + v // 256 % 3))
        else:
            s = "".join(chr(0x4E00 + rng.next() % 0x5000) for _ in range(1 + v % 6))
        out.append(s)
        n += len(s.encode())
    return "".join(out)


def reference(name, plain):
    spec = json.loads(lzma.open(HERE / f"{name}.json.xz").read())
    if plain:
        spec["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(spec))


def lines():
    data = json.loads((HERE / "mixed.json").read_text())
    texts = {seed: mixed(seed, BYTES, data["items"], data["ranges"]) for seed in SEEDS}
    for name in NAMES:
        for mode in ("plain", "marked"):
            tokenizer = reference(name, mode == "plain")
            for seed, text in texts.items():
                ids = array.array("I", tokenizer.encode(text, add_special_tokens=False).ids)
                utf8 = text.encode()
                yield (f"{name} {mode} {seed} {len(utf8)} {hashlib.sha256(utf8).hexdigest()} {len(ids)} "
                       f"{hashlib.sha256(ids.tobytes()).hexdigest()}\n")


def main():
    path = HERE / "mixed.txt"
    new = "".join(lines())
    if sys.argv[1:] == ["--write"]:
        path.write_text(new)
    elif new != path.read_text():
        sys.exit("oracle_tokenizer.py: the reference now gives other ids than test/golden/tokenizer/mixed.txt says")
    print(f"{len(new.splitlines())} lines, {sum(int(line.split()[5]) for line in new.splitlines())} ids")


if __name__ == "__main__":
    main()
