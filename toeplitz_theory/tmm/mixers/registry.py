"""Which token mixer a configuration means.

A mixer is a module called as ``mixer(x, place, history)``: ``x`` (B, t, d) are the inputs of the new
positions, zero at padding; ``place`` says where they stand; ``history``, when there is a cache, is what the
block may know of earlier positions. It returns (B, t, d), of which position i depends on positions up to i
alone. A new mixer is a file here, a line in `MIXERS`, and its name among the choices of ``TMMConfig.mixer``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from toeplitz_theory.tmm.mixers.toeplitz import build_toeplitz

MIXERS: dict[str, Callable[..., nn.Module]] = {
    "toeplitz": build_toeplitz,
    "frozen_toeplitz": build_toeplitz,
}


def build_mixer(config) -> nn.Module:
    """Return the token mixer that the configuration names."""
    return MIXERS[config.mixer](config)
