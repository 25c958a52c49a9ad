"""A diagonal state space model a channel (Gu et al., "On the Parameterization of Diagonal SSMs", 2022: S4D).

``h_t = A h_{t-1} + B x_t``, ``y_t = 2 Re(C h_t) + D x_t`` with N complex states a channel is a causal
convolution by ``2 Re(C A^k B)``: a Toeplitz matrix with a generated kernel in training, the recurrence in
decoding. A and B are exp(dt a) and (exp(dt a) - 1) / a (zero-order hold) for a = -exp(.) + i(.).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers import initialization as init

from toeplitz_theory.tmm.cache import MixerHistory, StateCacheLayer
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import CausalKernels
from toeplitz_theory.tmm.mixers.mixing import mix_channels

# Powers of A are products of two factors, A^(BLOCK i) and A^j: n numbers from a table of n / BLOCK + BLOCK.
BLOCK = 64
STEPS = (1e-3, 1e-1)  # time steps dt at the start, log-uniform
WITHOUT_DOUBLES = ("mps",)  # devices without float64: rates are computed on the CPU instead


class Recurrence(NamedTuple):
    """The discrete system of every channel: rates dt a in double precision, and B, C, D.

    The rates are on the CPU where the device of the others has no double precision.
    """

    rates: Tensor
    b: Tensor
    c: Tensor
    d: Tensor

    def powers(self, exponents: Tensor) -> Tensor:
        """Return A ** exponents, (d, N, len(exponents)), in the precision of B and where B is."""
        powers = torch.exp(self.rates[..., None] * exponents.to(self.rates.device))
        return powers.to(self.b.dtype).to(self.b.device)


class DiagonalKernel(CausalKernels):
    """The kernels (d, n) of d channels with N states each; D is part of the first tap."""

    def __init__(self, channels: int, states: int, n: int):
        super().__init__()
        self.n = n
        self.log_dt = nn.Parameter(torch.empty(channels))
        self.log_decay = nn.Parameter(torch.empty(channels, states))
        self.frequency = nn.Parameter(torch.empty(channels, states))
        self.c = nn.Parameter(torch.empty(channels, states, 2))
        self.d = nn.Parameter(torch.empty(channels))

    @torch.no_grad()
    def draw(self, kind: str) -> None:
        """Draw as S4D-Lin: a = -1/2 + i pi m for state m, C and D normal, dt log-uniform."""
        low, high = (math.log(step) for step in STEPS)
        init.uniform_(self.log_dt, low, high)
        init.constant_(self.log_decay, math.log(0.5))
        modes = torch.arange(self.frequency.shape[1], device=self.frequency.device)
        init.copy_(self.frequency, math.pi * modes.expand_as(self.frequency))
        init.normal_(self.c, std=math.sqrt(0.5))
        init.normal_(self.d)

    def recurrence(self) -> Recurrence:
        """Return the discrete system, in single precision or that of the parameters if wider."""
        wide = torch.promote_types(self.d.dtype, torch.float32)
        # Rates in double: a phase is rate times lag, and an error of eps in the rate grows with the lag.
        place = torch.device("cpu") if self.d.device.type in WITHOUT_DOUBLES else self.d.device
        # First the place, then the precision, and back the other way round: never a double over there.
        decay, turn, dt = (p.to(place).double() for p in (self.log_decay, self.frequency, self.log_dt))
        a = torch.complex(-decay.exp(), turn)
        rates = a * dt.exp()[:, None]
        exact = torch.complex64 if wide is torch.float32 else torch.complex128
        b = (torch.expm1(rates) / a).to(exact).to(self.d.device)
        return Recurrence(rates, b, torch.complex(*self.c.to(wide).unbind(-1)), self.d.to(wide))

    def kernels(self) -> Tensor:
        """Return the effective kernels (d, n)."""
        with torch.autocast(self.d.device.type, enabled=False):
            system = self.recurrence()
            size = min(BLOCK, self.n)
            starts = torch.arange(0, self.n, size, device=self.d.device)
            left = system.powers(starts).transpose(1, 2) * (system.b * system.c)[:, None]
            right = system.powers(torch.arange(size, device=self.d.device))
            taps = 2 * (left @ right).real.flatten(1)[:, : self.n]
            return taps + pad(system.d[:, None], (0, self.n - 1))


class SSMMixer(nn.Module):
    """``W gelu(y)`` of d state space models, one a channel."""

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.filter = DiagonalKernel(d, config.state_size, config.max_position_embeddings)
        self.out_proj = nn.Linear(d, d, bias=config.projection_bias)

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        if history is None:
            y = mix_channels(x, self.filter)
        else:
            with torch.autocast(x.device.type, enabled=False):
                y = self._advance(x, history.state(len(x)))
        return self.out_proj(gelu(y.to(x.dtype)))

    def _advance(self, x: Tensor, layer: StateCacheLayer) -> Tensor:
        """Return y at the new positions, and take the state there."""
        system, step = layer.derived(self.filter.sources(), self._constants)
        wide = x.to(system.d.dtype)
        h = layer.state.get("h")
        if x.shape[1] == 1 and h is not None:
            h = h * step + wide[:, 0, :, None] * system.b
            y = (2 * (h * system.c).sum(-1).real + wide[:, 0] * system.d)[:, None]
        else:
            y = mix_channels(wide, self.filter)
            if h is not None:
                lags = torch.arange(1, x.shape[1] + 1, device=x.device)
                rest = (h * system.c)[:, :, None] @ system.powers(lags)  # (B, d, 1, t)
                y = y + 2 * rest.real[:, :, 0].transpose(1, 2)
            h = state_after(system, wide, h)
        layer.keep(x.shape[1], h=h)
        return y

    def _constants(self) -> tuple[Recurrence, Tensor]:
        system = self.filter.recurrence()
        return system, system.powers(torch.ones(1, device=system.d.device))[..., 0]


def state_after(system: Recurrence, x: Tensor, h: Tensor | None) -> Tensor:
    """Return the state (B, d, N) after inputs (B, t, d), from the state before: a block at a time."""
    t, device = x.shape[1], x.device
    size = min(BLOCK, t)
    # Zeros in front: they leave a state of zero as it is.
    blocks = pad(x, (0, 0, -t % size, 0)).unflatten(1, (-1, size)).to(system.b.dtype)
    inside = system.powers(torch.arange(size - 1, -1, -1, device=device)) * system.b[..., None]
    states = torch.einsum("bmjd,dnj->bmdn", blocks, inside)
    count = states.shape[1]
    later = system.powers(size * torch.arange(count - 1, -1, -1, device=device))
    after = torch.einsum("bmdn,dnm->bdn", states, later)
    return after if h is None else after + h * system.powers(torch.full((1,), t, device=device))[..., 0]
