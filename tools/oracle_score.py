#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/golden/score/logprob.tsv: log-probabilities of five texts by transformers, in float32, on the de-quantised
weights of SmolLM2-135M-Instruct (transformers reads the GGUF file itself).

Usage: python3 tools/oracle_score.py MODEL.gguf         (packages torch, transformers, gguf, accelerate)
Each line: text, token id, natural log of its probability given the tokens before it (the first token has none).
"""
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent.parent / "test/golden/score"
TEXTS = ["prose", "code", "facts", "mixed", "chat"]


def main():
    gguf = pathlib.Path(sys.argv[1])
    where = dict(pretrained_model_name_or_path=str(gguf.parent), gguf_file=gguf.name)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    with open(HERE / "logprob.tsv", "w", encoding="ascii") as out:
        for name in TEXTS:
            text = (HERE / f"{name}.txt").read_bytes().decode()
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            with torch.no_grad():
                lp = torch.log_softmax(model(ids).logits[0].double(), -1)
            for i, token in enumerate(ids[0].tolist()):
                out.write(f"{name}\t{token}\t" + ("none" if i == 0 else f"{lp[i - 1, token].item():.6f}") + "\n")


main()
