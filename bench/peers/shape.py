#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Hugging Face folder with random BF16 weights in the shape of a known model, for speed alone: what such a
model says is noise.

Usage: bench/peers/shape.py qwen3-0.6b|smollm2-135m OUT
The tokenizer is Qwen3's or SmolLM2's, from test/golden/tokenizer. `samsvar convert OUT FILE.gguf --dtype q8_0` goes on.
"""
import json
import lzma
import pathlib
import random
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMON = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
SHAPES = {
    "qwen3-0.6b": ("qwen3", {
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072,
        "vocab_size": 151936, "max_position_embeddings": 40960, "rope_theta": 1000000, "attention_bias": False,
        "eos_token_id": 151645, "bos_token_id": 151643}),
    "smollm2-135m": ("smollm2", {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "intermediate_size": 1536,
        "vocab_size": 49152, "max_position_embeddings": 8192, "rope_theta": 100000, "attention_bias": False,
        "eos_token_id": 2, "bos_token_id": 1}),
}


def tensors(c):
    d, h, kv, k, ff = (c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
                       c["intermediate_size"])
    yield "model.embed_tokens.weight", (c["vocab_size"], d)
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", (d,)
        yield at + "post_attention_layernorm.weight", (d,)
        yield at + "self_attn.q_proj.weight", (h * k, d)
        yield at + "self_attn.k_proj.weight", (kv * k, d)
        yield at + "self_attn.v_proj.weight", (kv * k, d)
        yield at + "self_attn.o_proj.weight", (d, h * k)
        if c["model_type"] == "qwen3":
            yield at + "self_attn.q_norm.weight", (k,)
            yield at + "self_attn.k_norm.weight", (k,)
        yield at + "mlp.gate_proj.weight", (ff, d)
        yield at + "mlp.up_proj.weight", (ff, d)
        yield at + "mlp.down_proj.weight", (d, ff)
    yield "model.norm.weight", (d,)


def bf16(x):
    return struct.pack("<f", x)[2:]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    tokenizer, config = SHAPES[sys.argv[1]]
    config.update(COMMON)
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(config, indent=1))
    (out / "tokenizer.json").write_bytes(lzma.open(ROOT / f"test/golden/tokenizer/{tokenizer}.json.xz").read())
    (out / "tokenizer_config.json").write_text("{}")
    rng = random.Random(1)
    noise = b"".join(bf16(rng.gauss(0, 0.02)) for _ in range(1 << 20)) * 2  # a window of it is a row block
    head, at, shapes = {}, 0, list(tensors(config))
    for name, shape in shapes:
        n = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        head[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(out / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes:
            if len(shape) == 1:
                f.write(bf16(1.0) * shape[0])
                continue
            left = 2 * shape[0] * shape[1]
            while left > 0:
                n = min(left, 1 << 21)
                start = 2 * rng.randrange(1 << 20)
                f.write(noise[start:start + n])
                left -= n


main()
