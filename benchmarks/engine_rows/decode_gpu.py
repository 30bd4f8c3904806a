"""Decoding on a GPU: a 1B-class Llama with random weights, against the bandwidth that a copy measures."""

from __future__ import annotations

import numpy as np
import torch

from engine_rows._bench import Bench, Outcome, sizes
from harness.models.lms._llama import Network
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._shape import Shape, read_shape
from harness.timing import clock


def decode_gpu(bench: Bench) -> Outcome:
    """bfloat16 decoding of a 1B-class Llama shape with random weights, against the bandwidth that a copy measures."""
    if not torch.cuda.is_available():
        return Outcome("decode-gpu", "skipped: no CUDA device here", wanted=">= 80% of the bandwidth")
    config = {
        "model_type": "llama", "vocab_size": 128_256, "hidden_size": 2048, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192,
        "max_position_embeddings": 8192, "rope_theta": 5e5, "tie_word_embeddings": True,
    }  # fmt: skip
    shape = read_shape(config)
    lm = LlamaRuntime(Network(shape, lambda name: random_tensor(shape, name)), 8192, [])
    state = lm.step(lm.start(1, 1024), [list(range(64))]).state
    seconds = []
    for number in range(32 + (bench.tokens or 256)):
        torch.cuda.synchronize()
        begun = clock()
        step = lm.step(state, [[number]])
        torch.cuda.synchronize()
        seconds.append(clock() - begun)
        state = step.state
    taken = float(np.median(seconds[32:]))
    size = 2 * (lm.network.embedding_VD.numel() + shape.layers * sum(map(int, map(np.prod, sizes(shape)))))
    source, target = (torch.empty(2**30, dtype=torch.uint8, device="cuda") for _ in range(2))
    copies = []
    for _ in range(20):
        torch.cuda.synchronize()
        begun = clock()
        target.copy_(source)
        torch.cuda.synchronize()
        copies.append(clock() - begun)
    rate = 2 * 2**30 / min(copies)
    note = f"{size / taken / 1e9:.0f} of {rate / 1e9:.0f} GB/s that a copy moves: {size / taken / rate:.0%}"
    return Outcome("decode-gpu", f"{1 / taken:.1f} tokens/s", wanted=">= 80% of the bandwidth", note=note)


def random_tensor(shape: Shape, name: str) -> torch.Tensor:
    """A tensor of a checkpoint with small random weights, in bfloat16 on the GPU."""
    read, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    if "norm" in name:
        return torch.ones(shape.width, dtype=torch.bfloat16, device="cuda")
    matrices = {
        "embed_tokens": (shape.vocabulary, shape.width), "q_proj": (read, shape.width), "k_proj": (keys, shape.width),
        "v_proj": (keys, shape.width), "o_proj": (shape.width, read), "gate_proj": (shape.hidden, shape.width),
        "up_proj": (shape.hidden, shape.width), "down_proj": (shape.width, shape.hidden),
    }  # fmt: skip
    return torch.randn(matrices[name.split(".")[-2]], dtype=torch.bfloat16, device="cuda") * 0.02


ROWS = {"decode-gpu": decode_gpu}
