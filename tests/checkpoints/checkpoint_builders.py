"""State dicts of every layout with chosen kernels, and safetensors bytes written by hand."""

import json
import struct

import numpy as np


def taps(seed: int, *shape: int) -> np.ndarray:
    """Distinct float32 kernels, so that a mixed-up order shows."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def mixer(i: int, stack: str = "mixer_blocks") -> str:
    return f"{stack}.{i}.token_mixing_layer"


def surroundings(d: int = 4) -> dict[str, np.ndarray]:
    """Tensors that are no token mixers."""
    return {
        "input_layer.weight": np.ones((9, d), np.float32),
        "mixer_blocks.0.channel_norm.weight": np.ones(d, np.float32),
        "mixer_blocks.0.channel_mixing_layer.0.weight": np.ones((4 * d, d), np.float32),
        "output_layer.weight": np.ones((9, d), np.float32),
    }


def flat(blocks: int = 3, n: int = 8) -> dict[str, np.ndarray]:
    state = surroundings()
    for i in range(blocks):
        state[f"{mixer(i)}.weight"] = taps(i, 1, n)
        state[f"{mixer(i)}.bias"] = np.zeros(n, np.float32)
    return state


def headed(blocks: int = 2, heads: int = 3, n: int = 8, d: int = 6) -> dict[str, np.ndarray]:
    state = surroundings(d)
    for i in range(blocks):
        for h in range(heads):
            state[f"{mixer(i)}.mixer_heads.{h}.weight"] = taps(10 * i + h, 1, n)
            state[f"{mixer(i)}.mixer_heads.{h}.bias"] = np.zeros(n, np.float32)
            state[f"{mixer(i)}.proj_head.{h}.weight"] = taps(99, d // heads, d)
        state[f"{mixer(i)}.out_proj.weight"] = taps(98, d, d)
        state[f"{mixer(i)}.out_proj.bias"] = taps(97, d)
    return state


def safetensors_bytes(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """The file of a header, valid or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype: str, shape: list, start: int, stop: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}
