"""The Hyena operator of order 2 (Poli et al., "Hyena Hierarchy", 2023): gates between long convolutions.

``v, x1, x2`` are projections followed by short convolutions; ``z = x1 (h1 * v)``, ``y = W (x2 (h2 * z))``.
The long filters are implicit: a small network of sines gives tap k of all channels from features of k.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad
from transformers import initialization as init

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import CausalKernels
from toeplitz_theory.tmm.mixers.mixing import apply_wide, mix_channels

ORDER = 2
SHORT = 3  # taps of the short convolutions
BANDS = 8  # sines and cosines among the features of a lag
WIDTH = 64  # of the network
SPEED = 10.0  # factor inside the first sine: without it the filters are too smooth at the start
# Channels forget at different rates: down to TARGET after these fractions of n.
TARGET, FASTEST, SLOWEST = 1e-2, 0.3, 1.5


class ImplicitFilter(CausalKernels):
    """Kernels (d, n) from lags; ``skip`` is added to the first tap."""

    def __init__(self, channels: int, n: int):
        super().__init__()
        self.n = n
        self.first = nn.Linear(2 * BANDS + 1, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, channels, bias=False)
        self.skip = nn.Parameter(torch.empty(channels))

    @torch.no_grad()
    def draw(self, kind: str) -> None:
        """Draw so that the squares of a kernel's taps sum to about 1 before the window."""
        for layer in (self.first, self.second):
            bound = 1 / math.sqrt(layer.in_features)
            init.uniform_(layer.weight, -bound, bound)
            init.uniform_(layer.bias, -bound, bound)
        init.normal_(self.last.weight, std=math.sqrt(2 / WIDTH))
        init.normal_(self.skip)

    def kernels(self) -> Tensor:
        """Return the effective kernels (d, n)."""
        wide = torch.promote_types(self.skip.dtype, torch.float32)
        with torch.autocast(self.skip.device.type, enabled=False):
            time = torch.linspace(0, 1, self.n, device=self.skip.device, dtype=wide)[:, None]
            hidden = torch.sin(SPEED * apply_wide(self.first, self._features(time)))
            hidden = torch.sin(apply_wide(self.second, hidden))
            taps = apply_wide(self.last, hidden) / math.sqrt(self.n)
            taps = (taps * self._window(time)).T
            return taps + pad(self.skip.to(wide)[:, None], (0, self.n - 1))

    def _features(self, time: Tensor) -> Tensor:
        """(n, 2 BANDS + 1): time, and sines and cosines of 1 to BANDS turns over the n lags."""
        turns = 2 * math.pi * torch.arange(1, BANDS + 1, device=time.device, dtype=time.dtype)
        return torch.cat([time, torch.sin(time * turns), torch.cos(time * turns)], 1)

    def _window(self, time: Tensor) -> Tensor:
        channels = len(self.skip)
        forget = -math.log(TARGET) / torch.linspace(
            FASTEST, SLOWEST, channels, device=time.device, dtype=time.dtype
        )
        return torch.exp(-time * forget)


class HyenaMixer(nn.Module):
    """Two gated long convolutions a channel."""

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.in_proj = nn.Linear(d, (ORDER + 1) * d, bias=False)
        self.short_filter = nn.Parameter(torch.empty((ORDER + 1) * d, SHORT))
        self.filters = nn.ModuleList(ImplicitFilter(d, config.max_position_embeddings) for _ in range(ORDER))
        self.out_proj = nn.Linear(d, d, bias=config.projection_bias)

    @torch.no_grad()
    def draw(self, kind: str) -> None:
        """Draw the short filters uniformly, as torch's convolutions are."""
        init.uniform_(self.short_filter, -1 / math.sqrt(SHORT), 1 / math.sqrt(SHORT))

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        # No mask: padding comes as zeros, and nothing before the gates adds a constant to them.
        z, *gates = self._short(self.in_proj(x), history).chunk(ORDER + 1, -1)
        filters: list[Any] = list(self.filters)
        for slot, (gate, long) in enumerate(zip(gates, filters, strict=True)):
            z = gate * mix_channels(z, long, history, slot)
        return self.out_proj(z)

    def _short(self, x: Tensor, history: MixerHistory | None) -> Tensor:
        if history is not None:
            taps = self.short_filter
            return history.convolve(x[..., None], [taps], lambda: taps, "fft", slot=ORDER).squeeze(-1)
        weight = self.short_filter.flip(-1)[:, None]
        return conv1d(pad(x.transpose(1, 2), (SHORT - 1, 0)), weight, groups=x.shape[-1]).transpose(1, 2)
