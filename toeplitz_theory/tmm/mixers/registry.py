"""Which token mixer a configuration means.

A mixer is a module called as ``mixer(x, place, history)``: ``x`` (B, t, d) are the inputs of the new
positions, zero at padding; ``place`` says where they stand; ``history``, when there is a cache, is what the
block may know of earlier positions. It returns (B, t, d), of which position i depends on positions up to i
alone. A new mixer is a file here, a line in `MIXERS`, and its name in ``MIXER_NAMES`` of the configuration;
parameters that are not linear maps are drawn by a method ``draw(kind)``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from toeplitz_theory.tmm.mixers.attention import AttentionMixer
from toeplitz_theory.tmm.mixers.hyena import HyenaMixer
from toeplitz_theory.tmm.mixers.linear_attention import LinearAttentionMixer
from toeplitz_theory.tmm.mixers.masked import build_masked
from toeplitz_theory.tmm.mixers.ssm import SSMMixer
from toeplitz_theory.tmm.mixers.toeplitz import build_toeplitz

MIXERS: dict[str, Callable[..., nn.Module]] = {
    "toeplitz": build_toeplitz,
    "frozen_toeplitz": build_toeplitz,
    "masked": build_masked,
    "attention": AttentionMixer,
    "linear_attention": LinearAttentionMixer,
    "hyena": HyenaMixer,
    "ssm": SSMMixer,
}


def build_mixer(config) -> nn.Module:
    """Return the token mixer that the configuration names."""
    return MIXERS[config.mixer](config)
