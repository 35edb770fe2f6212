#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adapters by PEFT: makes those of test/golden/lora, and compares an adapter of ours with what PEFT makes of it.

    python tools/golden_lora.py                       run once; its output is committed
    python tools/golden_lora.py BASE ADAPTER TEXT     log-probs by PEFT beside those of `build/samsvar score`

Needs torch, transformers, peft, safetensors.
"""
import json
import os
import subprocess
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "test", "golden")
KINDS = {
    # each with the traps of its kind
    "llama": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "gate_proj", "lm_head"],
                  rank_pattern={"v_proj": 3, "lm_head": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 20}),
    "qwen3": dict(r=5, lora_alpha=7, target_modules="all-linear", use_rslora=True),
    "qwen2": dict(r=2, lora_alpha=2, target_modules=["k_proj", "o_proj", "down_proj"], layers_to_transform=[1]),
}
ROWS = [0, 17, 39]


def base_model(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def make(family, options):
    base, out = os.path.join(GOLDEN, "models", family), os.path.join(GOLDEN, "lora", family)
    model = get_peft_model(base_model(base), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, **options)).eval()
    torch.manual_seed(len(family))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn(p.shape) * 0.2)
    model.peft_config["default"].base_model_name_or_path = "test/golden/models/" + family
    model.save_pretrained(out, save_embedding_layers=False)
    os.chmod(os.path.join(out, "adapter_model.safetensors"), 0o644)
    os.remove(os.path.join(out, "README.md"))
    ids = json.load(open(os.path.join(base, "golden.json")))["ids"]
    with torch.no_grad():
        z = model(torch.tensor([ids])).logits[0]
    with open(os.path.join(out, "golden.json"), "w", encoding="utf-8") as f:
        json.dump({"ids": ids, "argmax": z.argmax(-1).tolist(), "rows": ROWS, "logits": z[ROWS].tolist()}, f)
        f.write("\n")


def compare(base, adapter, text):
    out = subprocess.run(["build/samsvar", "score", base, "--adapter", adapter, "-p", text, "--json"], check=True,
                         capture_output=True, text=True).stdout
    tokens = [t for t in map(json.loads, out.splitlines()) if "id" in t]
    ids = [t["id"] for t in tokens]
    model = PeftModel.from_pretrained(base_model(base), adapter).eval()
    with torch.no_grad():
        lp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    far = 0.0
    for i in range(1, len(ids)):
        far = max(far, abs(lp[i - 1, ids[i]].item() - tokens[i]["logprob"]))
    print(f"{len(ids)} tokens, largest difference of a log-prob {far:.2e}")
    return 0 if far < 1e-4 else 1


if __name__ == "__main__":
    if len(sys.argv) == 4:
        sys.exit(compare(*sys.argv[1:]))
    for kind, spec in KINDS.items():
        make(kind, spec)
