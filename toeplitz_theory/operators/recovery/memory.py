"""What the last output of a causal layer holds of the inputs before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.recovery.results import Memory
from toeplitz_theory.operators.rounding import split_scale


def kernel_memory(taps: NDArray[Any]) -> Memory:
    """Return the shares ``|w[k]|^2 / |w|^2`` of the last output's variance, for white input."""
    scaled, _ = split_scale(taps)
    energy = np.abs(scaled) ** 2
    if not energy.any():
        raise InputError("all weights are 0: the output holds nothing of its input")
    return Memory(energy / energy.sum(), 1.0)
