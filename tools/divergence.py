#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far each quantised type moves a model from f32 on real text: converts a llama-family model to f32 and then to each
type, and compares the next token's distributions (bench/divergence.c: mean KL, top-1 agreement).

    make build/bench/divergence && python3 tools/divergence.py MODEL.gguf [--types q8_0,q4_k] [--spread] [--dir DIR] [TEXT ...]

K types need rows that are a multiple of 256. A model of another width is widened first, with zero weights and heads and
gains scaled by root(old/new), which leaves its function alone but for rounding (the line "f32" compares it with the
model as it was). --spread first moves each weight by up to half a step of 4 bits of its block of 32, evenly drawn: weights
that were read from a 4-bit file stand on a grid that the types of that grid hit exactly, which flatters them.
Needs numpy. Texts: the five of test/golden/score and three pages unless others are named.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXTS = [f"test/golden/score/{t}.txt" for t in ("prose", "code", "facts", "mixed", "chat")]
TEXTS += ["CONTRIBUTING.md", "docs/tour.md", "docs/add-a-model.md"]
TYPES = "q8_0,q6_k,q5_k,q4_k,q4_1,q4_0"


def read_tensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head, base = json.loads(f.read(n)), 8 + n
    head.pop("__metadata__", None)
    return {name: np.fromfile(path, "<f4", offset=base + t["data_offsets"][0],
                              count=(t["data_offsets"][1] - t["data_offsets"][0]) // 4).reshape(t["shape"])
            for name, t in head.items()}


def write_tensors(path, tensors):
    head, at = {}, 0
    for name, t in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t, "<f4").tobytes())


def up(n, to):
    return -(-n // to) * to


def sizes(c):
    """Old and new: width, heads, key heads, inner width."""
    d, group = c["head_dim"], c["num_attention_heads"] // c["num_key_value_heads"]
    heads = up(c["num_attention_heads"], group)
    while heads * d % 256:
        heads += group
    old = {"D": c["hidden_size"], "Q": c["num_attention_heads"] * d, "K": c["num_key_value_heads"] * d,
           "F": c["intermediate_size"]}
    return old, {"D": up(old["D"], 256), "Q": heads * d, "K": heads // group * d, "F": up(old["F"], 256)}


SHAPE = {"embed_tokens": "VD", "lm_head": "VD", "q_proj": "QD", "k_proj": "KD", "v_proj": "KD", "o_proj": "DQ",
         "gate_proj": "FD", "up_proj": "FD", "down_proj": "DF", "input_layernorm": "D", "post_attention_layernorm": "D",
         "norm": "D"}


def widen(config, tensors):
    old, new = sizes(config)
    gain = np.float32((old["D"] / new["D"]) ** 0.5)
    out = {}
    for name, t in tensors.items():
        dims = SHAPE.get(name.split(".")[-2])
        if dims is None:
            sys.exit(f"{name}: only llama's tensors can be widened")
        pad = [(0, new.get(x, 0) - old.get(x, 0)) for x in dims]
        out[name] = np.pad(t * gain if dims == "D" else t, pad)
    config = dict(config, hidden_size=new["D"], intermediate_size=new["F"],
                  num_attention_heads=new["Q"] // config["head_dim"], num_key_value_heads=new["K"] // config["head_dim"],
                  rms_norm_eps=config["rms_norm_eps"] * old["D"] / new["D"])
    return config, out


def spread(tensors):
    draw = np.random.Generator(np.random.PCG64(1))
    for name, t in tensors.items():
        if t.ndim == 2:
            b = t.reshape(-1, 32)
            step = (b.max(1, keepdims=True) - b.min(1, keepdims=True)) / 15
            tensors[name] = (b + step * draw.uniform(-0.5, 0.5, b.shape).astype("f4")).reshape(t.shape)


def run(*args):
    return subprocess.run(args, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("text", nargs="*", default=TEXTS)
    p.add_argument("--types", default=TYPES)
    p.add_argument("--spread", action="store_true")
    p.add_argument("--dir", help="where the converted models stand; default: a temporary folder")
    p.add_argument("--build", default="build")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        where = os.path.abspath(a.dir) if a.dir else temporary
        samsvar, plain, wide = f"{a.build}/samsvar", f"{where}/plain", f"{where}/f32"
        run(samsvar, "convert", os.path.abspath(a.model), plain, "--dtype", "f32")
        tensors = read_tensors(f"{plain}/model.safetensors")
        with open(f"{plain}/config.json", encoding="utf-8") as f:
            config = json.load(f)
        config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
        if a.spread:
            spread(tensors)
            write_tensors(f"{plain}/model.safetensors", tensors)
        os.makedirs(wide, exist_ok=True)
        for name in os.listdir(plain):
            if name not in ("model.safetensors", "config.json"):
                with open(f"{plain}/{name}", "rb") as src, open(f"{wide}/{name}", "wb") as dst:
                    dst.write(src.read())
        config, tensors = widen(config, tensors)
        write_tensors(f"{wide}/model.safetensors", tensors)
        with open(f"{wide}/config.json", "w", encoding="utf-8") as f:
            json.dump(config, f)
        models = [f"{where}/{t}.gguf" for t in a.types.split(",")]
        for m, t in zip(models, a.types.split(",")):
            run(samsvar, "convert", wide, m, "--dtype", t)
        out = run(f"{a.build}/bench/divergence", plain, wide, *models, "--", *[os.path.join(ROOT, t) for t in a.text])
    print("| type | tokens | mean KL, nats | largest KL | top-1 agreement | perplexity |\n|---|---|---|---|---|---|")
    for line in out.splitlines():
        r = json.loads(line)
        name = os.path.basename(r["model"]).split(".")[0]
        print(f"| {name} | {r['tokens']:,} | {r['mean_kl']:.2e} | {r['largest_kl']:.2g} | {100 * r['top1']:.2f} % "
              f"| {r['perplexity']:.3f} |")


if __name__ == "__main__":
    main()
