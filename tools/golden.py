#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the tiny models of test/golden/models: random weights, and what transformers computes from
them. Run once; its output is committed.

    python tools/golden.py [FAMILY ...]        needs torch, transformers, tokenizers, safetensors, numpy
"""
import json
import os
import sys

import numpy
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "test", "golden", "models")
QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r"\s+(?!\S)|\s+")
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                r"\s*[\r\n]+|\s+(?!\S)|\s+")
TEXT = "the sum of two and three is five; the answer is then the number that they thank the other for. " * 4
TEMPLATE = ("{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
            "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
N_BPE = 276  # 256 bytes and 20 merges
N_VOCAB = 288  # rows of the embedding: the last are no tokens
BASE = dict(vocab_size=N_VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, bos_token_id=N_BPE, eos_token_id=N_BPE + 2)
FAMILIES = {
    # each with the trap of its kind
    "qwen3": dict(BASE, head_dim=16, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True),
    "qwen2": dict(BASE, rope_theta=1e4, rms_norm_eps=1e-6, tie_word_embeddings=False),
    "llama": dict(BASE, rope_theta=5e5, rms_norm_eps=1e-5, tie_word_embeddings=False,
                  rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                    original_max_position_embeddings=64)),
}


def make_tokenizer(family):
    t = Tokenizer(models.BPE(ignore_merges=family == "llama"))
    if family != "llama":
        t.normalizer = normalizers.NFC()
    split = LLAMA3_SPLIT if family == "llama" else QWEN2_SPLIT
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=N_BPE, show_progress=False,
                                                      initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return t


def make_model(family, seed):
    config = AutoConfig.for_model(family, **FAMILIES[family], attn_implementation="eager")
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).to(torch.float32).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = name.endswith("norm.weight")
            p.copy_(torch.randn(p.shape) * (0.2 if gain or p.dim() == 1 else 0.25) + (1.0 if gain else 0.0))
            p.copy_(p.to(torch.bfloat16).to(torch.float32))  # the file holds BF16
    return config, model


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def main():
    for seed, family in enumerate(sys.argv[1:] or FAMILIES):
        folder = os.path.join(ROOT, family)
        os.makedirs(folder, exist_ok=True)
        tokenizer = make_tokenizer(family)
        assert tokenizer.get_vocab_size() == N_BPE + len(SPECIAL)
        config, model = make_model(family, 100 + seed)
        state = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
        if config.tie_word_embeddings:
            state.pop("lm_head.weight")
        save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        j = dict(FAMILIES[family], architectures=config.architectures or [type(model).__name__], model_type=family,
                 hidden_act="silu", torch_dtype="bfloat16")
        if family == "llama":  # the spelling of transformers 5
            j["rope_parameters"] = dict(j.pop("rope_scaling"), rope_theta=j.pop("rope_theta"))
            j["dtype"] = j.pop("torch_dtype")
        write_json(folder, "config.json", j)
        write_json(folder, "generation_config.json", {"eos_token_id": [N_BPE + 2, N_BPE], "temperature": 0.6,
                                                      "top_k": 20, "top_p": 0.95, "do_sample": True})
        write_json(folder, "tokenizer_config.json", {
            "add_bos_token": family == "llama", "bos_token": SPECIAL[0] if family == "llama" else None,
            "eos_token": SPECIAL[2],
            "pad_token": {"__type": "AddedToken", "content": SPECIAL[0], "lstrip": False, "normalized": False,
                          "rstrip": False, "single_word": False, "special": True},
            "chat_template": TEMPLATE, "tokenizer_class": "PreTrainedTokenizerFast"})
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump(json.loads(tokenizer.to_str()), f, ensure_ascii=False, separators=(",", ":"))
        ids = numpy.random.RandomState(seed).randint(0, N_BPE, 40).tolist()
        # what the folder says, not what made it
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        write_json(folder, "golden.json", {
            "ids": ids, "argmax": logits.argmax(-1).tolist(), "rows": [0, 17, 39],
            "logits": [[float("%.8g" % x) for x in logits[r].tolist()] for r in (0, 17, 39)],
            "text": TEXT[:60] + "<|im_end|>", "text_ids": tokenizer.encode(TEXT[:60] + "<|im_end|>").ids})
        top = logits.topk(2).values
        print(family, model.config.rope_parameters, sum(v.numel() for v in state.values()), "parameters; least lead of an argmax",
              float((top[:, 0] - top[:, 1]).min()), "largest logit", float(logits.abs().max()))


if __name__ == "__main__":
    main()
