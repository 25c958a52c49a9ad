"""What benchmarks share: timing in one run, freshly drawn kernels, and the Llama of equal size."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def median_ms(function: Callable[[], object], repeat: int = 7) -> float:
    """Return the median wall time of ``function()`` in milliseconds, after one unmeasured call."""
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def cpu_ms(function: Callable[[], object], repeat: int = 1) -> float:
    """Return the least CPU time of ``function()`` in milliseconds."""
    return 1e3 * min(timed(function)[1] for _ in range(repeat))


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what ``function()`` does, and the seconds of CPU time that it took."""
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def ratio(slow_ms: float, fast_ms: float) -> str:
    """Return how many times faster the second is, as a short text.

    >>> ratio(2600.0, 2.0)
    '1300x'
    """
    return f"{slow_ms / fast_ms:.3g}x"


def turns(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each turn of each contender, which says itself how many a turn took."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, step in contenders.items():
            taken = step()
            if turn:  # the first warms up
                times[name].append(taken)
    return times


def over(times: dict[str, list[float]], name: str, floor: str) -> float:
    """Return the median over the turns of the ratio of two contenders."""
    return statistics.median(a / b for a, b in zip(times[name], times[floor], strict=True))


def kaiming(n: int, seed: int = 0) -> np.ndarray:
    """Return a kernel as layers are initialised: normal, standard deviation sqrt(2 / n)."""
    return np.random.default_rng(seed).standard_normal(n) * math.sqrt(2 / n)


def llama(vocabulary: int, width: int, layers: int, n: int) -> Any:
    """Return a random Llama with 8 d^2 weights a layer, as many as a flat model beside its kernels."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=43 * width // 32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=n,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)
