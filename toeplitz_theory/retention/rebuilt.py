"""A prompt rebuilt from the hidden states of one layer, token by token, and whether no other could be it.

After Nikolaou et al. (Language models are injective and hence invertible, 2025). It shows that every state
contains its own token, given the ones before it: injectivity, not memory.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from torch import Tensor, nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.retention.measure import Measured, append_row
from toeplitz_theory.retention.states import chosen_layers, given_tokens, model_states, vocabulary

# Storing moves a number by at most this share of it, or by this where it is subnormal.
_FORMATS = {
    "float32": (torch.float32, 2.0**-24, 2.0**-150),
    "bfloat16": (torch.bfloat16, 2.0**-8, 2.0**-134),
    "float8_e4m3fn": (torch.float8_e4m3fn, 2.0**-4, 2.0**-10),
}
_ROUNDING = 2.0**-15  # relative to the state: sums in another order, as batches of other shapes have them
_BATCH = 256


def exact(
    model: nn.Module,
    ids: ArrayLike,
    layer: int = -1,
    dtype: str = "float32",
    noise: float = 0.0,
    seed: int = 0,
) -> Measured:
    """Rebuild prompts from the hidden states of one layer, as stored in ``dtype``.

    At each position every token of the vocabulary is tried after the prompt rebuilt so far, and the one whose
    state is nearest to the stored state is taken. Where that state is within what storing and the model's own
    rounding can have moved, and the second nearest is not, no other token can have given the stored state: it
    is proved, as long as rounding moves a state by less than 2^-15 of its norm; the table lets one check.

    Parameters
    ----------
    model : nn.Module
        A transformers causal model.
    ids : array_like of int, shape (prompts, length)
        The prompts; cost grows as prompts * length^2 * V.
    layer : int
        0 is the embedding, i the state after block i; the last by default.
    dtype : {"float32", "bfloat16", "float8_e4m3fn"}
        How the states are stored.
    noise : float
        Standard deviation of Gaussian noise added to the stored states, relative to that of the states. With
        noise nothing is proved.
    seed : int
        Of the noise.

    Returns
    -------
    Measured
        Share of tokens that come back, with a Wilson interval; one row per prompt and position with the
        distances of best and second best, and whether the token is proved.

    Raises
    ------
    InputError
        Unknown format, a layer that is not there, ids the model does not take, or states that are nan.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> _ = torch.manual_seed(0)
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=8))
    >>> exact(model, [[3, 1, 4, 1, 5]]).value
    1.0
    """
    begun = time.perf_counter()
    if dtype not in _FORMATS:
        raise InputError(f"dtype is {dtype!r}: choose from {', '.join(_FORMATS)}")
    stored_as, spacing, smallest = _FORMATS[dtype]
    prompts = given_tokens(model, ids)
    (number,) = chosen_layers(model, [layer])
    generator = torch.Generator().manual_seed(seed)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("prompt", "position", "token", "value", "nearest", "second", "proved")
    }
    for which, prompt in enumerate(prompts):
        states = model_states(model, torch.from_numpy(prompt[None]))[number][0].float()
        if not bool(torch.isfinite(states).all()):
            raise InputError(f"layer {number} gives nan or infinite states on prompt {which}")
        added = noise * states.std() * torch.randn(states.shape, generator=generator)
        stored = (states + added.to(states)).to(stored_as).float()
        if not bool(torch.isfinite(stored).all()):
            raise InputError(f"states of prompt {which} overflow {dtype}: store them in another format")
        rebuilt: list[int] = []
        for position, target in enumerate(stored):
            distances = _distances(model, number, rebuilt, target)
            two = torch.topk(distances, 2, largest=False)
            token = int(two.indices[0])
            reach = (spacing + _ROUNDING) * (1 + 2 * spacing) * float(target.norm())
            reach += smallest * target.numel() ** 0.5
            near, second = two.values.tolist()
            proved = noise == 0 and near <= reach < second
            right = float(token == prompt[position])
            append_row(rows, which, position, token, right, near, second, proved)
            rebuilt.append(token)
    hits = np.array(rows["value"])
    interval = binomtest(int(hits.sum()), hits.size).proportion_ci(method="wilson")
    return Measured(
        "exact reconstruction",
        "share of tokens",
        float(hits.mean()),
        (float(interval.low), float(interval.high)),
        len(prompts),
        {"chance": 1.0 / vocabulary(model), "proved": float(np.mean(rows["proved"]))},
        time.perf_counter() - begun,
        rows,
        {
            "interval": "95 %, Wilson, over tokens",
            "layer": number,
            "dtype": dtype,
            "noise": noise,
            "seed": seed,
        },
    )


def _distances(model: nn.Module, layer: int, prompt: list[int], target: Tensor) -> Tensor:
    """Return (V,) distances of the stored state from that of every token after ``prompt``."""
    before = torch.tensor(prompt, dtype=torch.long)
    parts = []
    for tokens in torch.arange(vocabulary(model)).split(_BATCH):
        ids = torch.cat([before.expand(len(tokens), -1), tokens[:, None]], dim=1)
        parts.append((model_states(model, ids)[layer][:, -1].float() - target).norm(dim=1))
    return torch.cat(parts)
