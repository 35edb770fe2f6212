#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tokenizer beside PyPI's tokenizers: encoding on one thread, decoding and loading, same texts, in turn; the ids must
be the same.

Usage: bench/peers/tokenizers.py TOKENIZER.json [TEXT ...] [--pairs 5]
Without texts: English prose (Python's own help pages) and code (Python's library). First: make build/bench/tokenizer.
"""
import argparse
import json
import pathlib
import sys
import sysconfig
import tempfile

import pairs

BENCH = pathlib.Path(pairs.SAMSVAR).parent / "bench/tokenizer"
CODE_BYTES = 4 << 20

PEER = '''
import hashlib, json, struct, sys, time
import tokenizers
start = time.perf_counter()
t = tokenizers.Tokenizer.from_file(sys.argv[1])
load = time.perf_counter() - start
data, docs, at = open(sys.argv[2], "rb").read(), [], 0
while at < len(data):
    end = data.find(b"\\n", at + 16384) + 1 if len(data) - at > 16384 else 0
    docs.append(data[at:end or len(data)].decode())
    at = end or len(data)
to = back = 1e9
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    ids = [t.encode(d, add_special_tokens=False).ids for d in docs]
    to = min(to, time.perf_counter() - start)
    start = time.perf_counter()
    for i in ids:
        t.decode(i, skip_special_tokens=False)
    back = min(back, time.perf_counter() - start)
flat = [i for d in ids for i in d]
print(json.dumps({"load_s": load, "encode_mb_s": len(data) / to * 1e-6, "decode_mb_s": len(data) / back * 1e-6,
                  "sha256": hashlib.sha256(struct.pack(f"<{len(flat)}I", *flat)).hexdigest()}))
'''


def own_texts(home):
    """Prose and code that every machine with this script has."""
    from pydoc_data import topics
    prose, code = home / "prose.txt", home / "code.txt"
    prose.write_text("\n\n".join(topics.topics.values()), encoding="utf-8")
    size, parts = 0, []
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")):
        parts.append(path.read_bytes().decode("utf-8", "ignore"))
        size += len(parts[-1])
        if size > CODE_BYTES:
            break
    code.write_text("\n".join(parts), encoding="utf-8")
    return [prose, code]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("tokenizer")
    p.add_argument("text", nargs="*")
    p.add_argument("--pairs", type=int, default=5)
    args = p.parse_args()
    if not BENCH.exists():
        sys.exit(f"{BENCH} is not built; run: make build/bench/tokenizer")
    python = pairs.environment("tokenizers", ["tokenizers"])
    with tempfile.TemporaryDirectory() as tmp:
        home = pathlib.Path(tmp)
        (home / "peer.py").write_text(PEER)
        env = {**pairs.os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

        def works():
            for text in [pathlib.Path(t) for t in args.text] or own_texts(home):
                ids = {}

                def peer(key):
                    line = pairs.output([python, home / "peer.py", args.tokenizer, text, 2], env=env)
                    return note(json.loads(line), key)

                def ours(key):
                    return note(json.loads(pairs.output([BENCH, args.tokenizer, text, 5, 2])), key)

                def note(line, key):
                    if ids.setdefault("sha256", line["sha256"]) != line["sha256"]:
                        sys.exit(f"{text}: the two do not give the same ids")
                    return line[key]

                for key, name in (("encode_mb_s", "encode"), ("decode_mb_s", "decode")):
                    yield f"{name} {text.name}", "MB/s", lambda key=key: peer(key), lambda key=key: ours(key)
                yield f"loads a second, {text.name}", "1/s", lambda: 1 / peer("load_s"), lambda: 1 / ours("load_s")

        pairs.compare(f"{args.tokenizer}, 1 thread", "tokenizers", works(), args.pairs)


main()
