"""Modules that hold, or generate, causal Toeplitz kernels: what training, penalties and surgery look for."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import initialization as init


class CausalKernels(nn.Module):
    """A module whose parameters make causal Toeplitz kernels.

    Everything that asks "which kernels does this model multiply by" goes over the modules of this class.
    """

    @abstractmethod
    def kernels(self) -> Tensor:
        """Return the effective kernels (count, n), differentiable in the parameters."""

    def sources(self) -> list[Tensor]:
        """Return the parameters that the kernels are made of."""
        return list(self.parameters())


class ToeplitzKernel(CausalKernels):
    """Kernels stored tap by tap, and their bias per position.

    ``weight`` (count, n), or ``weight_raw`` of the same shape when the taps are its softplus; ``bias`` (n,).
    Frozen kernels are parameters without a gradient, so that they are saved and loaded like any other.
    """

    weight: Tensor
    weight_raw: Tensor
    bias: Tensor | None

    def __init__(self, n: int, bias: bool, count: int = 1, positive: bool = False, frozen: bool = False):
        super().__init__()
        self.positive, self.frozen = positive, frozen
        taps = nn.Parameter(torch.empty(count, n), requires_grad=not frozen)
        self.register_parameter(self.stored_name, taps)
        self.bias = nn.Parameter(torch.empty(n)) if bias else None

    @property
    def stored_name(self) -> str:
        """The name of the parameter the kernels are made of."""
        return "weight_raw" if self.positive else "weight"

    @property
    def stored(self) -> Tensor:
        """The parameter the kernels are made of."""
        return self.weight_raw if self.positive else self.weight

    def sources(self) -> list[Tensor]:
        """Return the one parameter that holds the taps."""
        return [self.stored]

    def kernels(self) -> Tensor:
        """Return the effective kernels (count, n)."""
        return self.taps_of(self.stored)

    def taps_of(self, stored: Tensor) -> Tensor:
        """Return the taps that stored numbers stand for: theirs, or their softplus."""
        return softplus(stored) if self.positive else stored

    @torch.no_grad()
    def draw(self, kind: str, generator: torch.Generator | None = None) -> None:
        """Draw the taps as a model at its start has them, and set the bias to zero.

        Free taps are normal of variance 2/n. Positive ones are the absolute values of normal numbers, scaled
        to sum 1: a noisy average of the past. Both are divided by sqrt(1 + k) first when ``kind`` is
        "decaying".
        """
        n = self.stored.shape[1]
        init.normal_(self.stored, mean=0.0, std=math.sqrt(2 / n), generator=generator)
        if kind == "decaying":
            init.copy_(self.stored, self.stored / torch.arange(1, n + 1, device=self.stored.device).sqrt())
        if self.positive:
            taps = self.stored.abs().clamp_min(torch.finfo(torch.float32).tiny)
            taps = taps / taps.sum(-1, keepdim=True)
            # The inverse of the softplus, written so that small taps keep their digits.
            init.copy_(self.stored, taps + torch.log(-torch.expm1(-taps)))
        if self.bias is not None:
            init.zeros_(self.bias)
