#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training steps beside PyTorch + transformers, same shape, same batch, float32, AdamW with clipped gradients, in turn.

Usage: bench/peers/torch_train.py [335k smollm2-135m qwen3-0.6b] [--pairs 5] [--threads N] [--steps 8]
  335k           48 rows x 56 tokens      smollm2-135m   4 x 256      qwen3-0.6b   2 x 256
Each run makes a few steps; start-up does not count. 0.6b needs 12 GB of memory.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import pairs

TINY = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 32, "intermediate_size": 256, "vocab_size": 25,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": True,
        "attention_bias": False, "hidden_act": "silu", "eos_token_id": 1, "pad_token_id": 0}
WORKS = {"335k": (48, 56), "smollm2-135m": (4, 256), "qwen3-0.6b": (2, 256)}

PEER = '''
import json, statistics, sys, time
import torch
from transformers import AutoConfig, AutoModelForCausalLM
folder, data, rows, steps, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32).train()
optim = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01)
ids = torch.tensor([json.loads(l)["ids"] for l in open(data)])
took = []
for i in range(steps + 2):
    batch = ids[[(i * rows + k) % len(ids) for k in range(rows)]]
    start = time.perf_counter()
    loss = model(input_ids=batch, labels=batch, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optim.step()
    optim.zero_grad(set_to_none=True)
    loss.item()
    took.append(time.perf_counter() - start)
print(ids.shape[1] * rows / statistics.median(took[2:]))
'''


def recipe(work, folder, data, rows, length, steps):
    keys = {"run": {"dir": ""}, "train": {"method": "pretrain", "steps": steps + 2, "batch_rows": rows, "pack_tokens": 256},
            "data": {"path": str(data), "kind": "ids"}, "schedule": {"warmup": 0}, "optim": {"lr": 1e-4}}
    if work == "335k":
        keys["model"] = {"new": {k: v for k, v in TINY.items() if k != "architectures"}}
    else:
        keys["model"] = {"from": str(folder)}
    return json.dumps(keys)  # JSON is YAML


def prepare(work, home):
    rows, length = WORKS[work]
    folder, data = home / work, home / f"{work}.jsonl"
    if work == "335k":
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(TINY))
    else:
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("shape.py"), work, folder], check=True)
    rng = random.Random(1)
    n_vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    with open(data, "w", encoding="ascii") as f:
        for _ in range(rows * 4):
            f.write(json.dumps({"ids": [rng.randrange(n_vocab) for _ in range(length)]}) + "\n")
    return folder, data


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("work", nargs="*", default=list(WORKS))
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=8)
    args = p.parse_args()
    python = pairs.environment("torch", ["torch", "transformers"])
    with tempfile.TemporaryDirectory() as tmp:
        home = pathlib.Path(tmp)
        (home / "peer.py").write_text(PEER)

        def works():
            for work in args.work:
                rows, length = WORKS[work]
                folder, data = prepare(work, home)
                path = home / f"{work}.yaml"
                path.write_text(recipe(work, folder, data, rows, length, args.steps))
                steps = args.steps * (10 if work == "335k" else 1)

                def peer():
                    return float(pairs.output([python, home / "peer.py", folder, data, rows, steps, args.threads],
                                              env={**os.environ, "HF_HUB_OFFLINE": "1"}).split()[-1])

                def ours():
                    lines = pairs.samsvar("train", path, "--set", f"train.steps={steps + 2}", "--threads", args.threads)
                    return [l["tok_s"] for l in lines if l.get("event") == "step"][-1]  # of the last steps together

                yield f"{work}, {rows} x {length} tokens", "tok/s", peer, ours

        pairs.compare(f"training steps, float32, {args.threads} threads", "PyTorch", works(), args.pairs)


main()
