#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RL steps of the 335k model on chain100 beside a plain PyTorch + transformers loop (generate, one update) and beside TRL's
GRPOTrainer, in turn: the same start, 16 problems x 16 answers, at most 110 tokens, T = 1, Dr. GRPO, AdamW, float32.

Usage: bench/peers/rl.py [plain trl] [--pairs 5] [--threads N] [--steps 4] [--model FOLDER]
The figure is generated tokens a second over whole steps: sampling, judging and the update. Two steps of each run warm up.
Without --model a model is trained first that always writes its sums down (answers of 43 tokens).
"""
import argparse
import os
import pathlib
import statistics
import tempfile

import pairs

COMMON = '''
import re, statistics, sys, time
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
PROMPTS, GROUP, MOST, NORM = 16, 16, 110, 50.0
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.pad_token, tokenizer.eos_token, tokenizer.padding_side = "<pad>", "<end>", "left"
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
rng = torch.Generator().manual_seed(1)

def problem():
    d = (torch.randint(1, 10, (6,), generator=rng)).tolist()
    o = torch.randint(0, 3, (5,), generator=rng).tolist()
    return str(d[0]) + "".join("+-*"[k] + str(v) for k, v in zip(o, d[1:]))

def solve(text):
    v = int(text[0])
    for i in range(1, 11, 2):
        k = int(text[i + 1])
        v = (v + k if text[i] == "+" else v - k if text[i] == "-" else v * k) % 100
    return v

def reward(text, answer):
    m = re.search(r"</think><answer>(\\d{1,4})</answer>$", answer)
    return 0.0 if m is None else 1.0 if int(m.group(1)) == solve(text) else 0.1
'''

PLAIN = COMMON + '''
optim = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.98), weight_decay=0.0)
rates = []
for step in range(steps + 2):
    start = time.perf_counter()
    texts = [problem() for _ in range(PROMPTS)]
    ask = tokenizer([t + ":<think>" for t in texts], return_tensors="pt", add_special_tokens=False)
    ask = {k: ask[k].repeat_interleave(GROUP, 0) for k in ("input_ids", "attention_mask")}
    n = ask["input_ids"].shape[1]
    model.eval()
    with torch.no_grad():
        ids = model.generate(**ask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=MOST,
                             eos_token_id=1, pad_token_id=0)
    answer = ids[:, n:]
    ended = (answer == 1).cumsum(1)
    counted = ((ended == 0) | ((answer == 1) & (ended == 1))).float()
    r = torch.zeros(len(ids))
    for i in range(len(ids)):
        text = tokenizer.decode(answer[i][counted[i] > 0]).replace("<end>", "").replace(" ", "")
        r[i] = reward(texts[i // GROUP], text)
    a = r.view(PROMPTS, GROUP)
    a = (a - a.mean(1, keepdim=True)).view(-1)
    model.train()
    mask = torch.cat([ask["attention_mask"], counted.long()], 1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=answer.shape[1] + 1).logits[:, :-1]
    lp = torch.log_softmax(logits, -1).gather(2, answer.unsqueeze(2)).squeeze(2)
    ratio = torch.exp(lp - lp.detach())
    loss = -(ratio * a[:, None] * counted).sum() / (len(ids) * NORM)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optim.step()
    optim.zero_grad(set_to_none=True)
    rates.append(counted.sum().item() / (time.perf_counter() - start))
print(statistics.median(rates[2:]))
'''

TRL = COMMON + '''
import tempfile
import pyarrow
from datasets import Dataset
from datasets.table import InMemoryTable
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
made, rates, start = 0, [], 0.0

def judge(prompts, completions, completion_ids, **kw):
    global made
    made += sum(len(c) for c in completion_ids)
    return [reward(p[:11], c.replace("<end>", "").replace(" ", "")) for p, c in zip(prompts, completions)]

class Clock(TrainerCallback):
    def on_step_begin(self, args, state, control, **kw):
        global start, made
        start, made = time.perf_counter(), 0
    def on_step_end(self, args, state, control, **kw):
        rates.append(made / (time.perf_counter() - start))

with tempfile.TemporaryDirectory() as out:
    config = GRPOConfig(output_dir=out, per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP, max_steps=steps + 2,
                        max_completion_length=MOST, temperature=1.0, top_p=1.0, top_k=0, loss_type="dr_grpo", beta=0.0,
                        scale_rewards=False, learning_rate=3e-4, adam_beta2=0.98, weight_decay=0.0, max_grad_norm=1.0,
                        lr_scheduler_type="constant", use_cpu=True, bf16=False, gradient_checkpointing=False,
                        report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True)
    asked = pyarrow.table({"prompt": [problem() + ":<think>" for _ in range(PROMPTS * (steps + 4))]})
    data = Dataset(InMemoryTable(asked), fingerprint="problems")  # some versions cannot make the fingerprint themselves
    GRPOTrainer(model=model, processing_class=tokenizer, reward_funcs=judge, args=config, train_dataset=data,
                callbacks=[Clock()]).train()
print(statistics.median(rates[2:]))
'''

PEERS = {"plain": ("PyTorch + transformers", PLAIN, ["torch", "transformers"], "torch"),
         "trl": ("TRL GRPOTrainer", TRL, ["torch", "transformers", "trl"], "trl")}


def start_model(home):
    run = home / "sft"
    pairs.samsvar("train", pairs.ROOT / "recipes/chain100-sft.yaml", "--set", f"run.dir={run}", "--set", "data.worked=1",
                  "--set", "train.steps=600", "--set", "eval.every=0")
    return sorted(run.glob("step-*"))[-1]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("peer", nargs="*", default=list(PEERS))
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--model")
    args = p.parse_args()
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as tmp:
        home = pathlib.Path(tmp)
        model = args.model or start_model(home)

        def ours():
            lines = pairs.samsvar("train", pairs.ROOT / "recipes/chain100-rl.yaml", "--set", f"model.from={model}", "--set",
                                  "run.dir=", "--set", "eval.every=0", "--set", f"train.steps={args.steps + 2}", "--set",
                                  "schedule.warmup=0", "--set", "guard.rl=off", "--threads", args.threads)
            steps = [l for l in lines if l.get("event") == "step"][2:]
            return statistics.median(l["tokens/generated"] / (l["rollout_s"] + l["update_s"]) for l in steps)

        for peer in args.peer:
            name, text, packages, where = PEERS[peer]
            python = pairs.environment(where, packages)
            script = home / f"{peer}.py"
            script.write_text(text)

            def theirs():
                return float(pairs.output([python, script, model, args.steps, args.threads], env=env).split()[-1])

            pairs.compare(f"RL steps, 16 x 16 answers, float32, {args.threads} threads", name,
                          [("335k, chain100", "generated tok/s", theirs, ours)], args.pairs)


if __name__ == "__main__":
    main()
