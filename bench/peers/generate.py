#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sampling alone: the 335k model answers 256 chain100 problems at T = 1 (prompts of 13 tokens, answers of about 43, at most 44)
beside transformers' generate, in turn, float32.

Usage: bench/peers/generate.py [--pairs 5] [--threads N] [--model FOLDER]
Ours is the sampling half of an RL step (rollout_s: the serving engine, and judging); theirs is generate with its KV cache, whose
tokens count up to each row's end.
"""
import argparse
import os
import pathlib
import statistics
import tempfile

import pairs
import rl

PEER = rl.COMMON + '''
model.eval()
rates = []
for step in range(steps + 2):
    texts = [problem() + ":<think>" for _ in range(256)]
    ask = tokenizer(texts, return_tensors="pt", add_special_tokens=False)
    start = time.perf_counter()
    with torch.no_grad():
        ids = model.generate(input_ids=ask["input_ids"], attention_mask=ask["attention_mask"], do_sample=True, temperature=1.0,
                             top_k=0, top_p=1.0, max_new_tokens=44, eos_token_id=1, pad_token_id=0)
    took = time.perf_counter() - start
    answer = ids[:, ask["input_ids"].shape[1]:]
    ended = (answer == 1).cumsum(1)
    rates.append(((ended == 0) | ((answer == 1) & (ended == 1))).sum().item() / took)
print(statistics.median(rates[2:]))
'''


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--model")
    args = p.parse_args()
    python = pairs.environment("torch", ["torch", "transformers"])
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as tmp:
        home = pathlib.Path(tmp)
        model = args.model or rl.start_model(home)
        script = home / "peer.py"
        script.write_text(PEER)

        def theirs():
            return float(pairs.output([python, script, model, args.steps, args.threads], env=env).split()[-1])

        def ours():
            lines = pairs.samsvar("train", pairs.ROOT / "recipes/chain100-rl.yaml", "--set", f"model.from={model}", "--set",
                                  "run.dir=", "--set", "eval.every=0", "--set", f"train.steps={args.steps + 2}", "--set",
                                  "schedule.warmup=0", "--set", "rollout.max_tokens=44", "--set", "rl.prompts=256", "--set",
                                  "rl.group_size=1", "--set", "rl.advantage=batch", "--set", "guard.rl=off", "--threads",
                                  args.threads)
            steps = [l for l in lines if l.get("event") == "step"][2:]
            return statistics.median(l["tokens/generated"] / l["rollout_s"] for l in steps)

        pairs.compare(f"sampling, 256 rows, float32, {args.threads} threads", "transformers generate",
                      [("335k, chain100", "generated tok/s", theirs, ours)], args.pairs)


main()
