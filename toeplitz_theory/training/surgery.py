"""Model surgery: every Toeplitz kernel replaced by its outer, minimum-phase factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm.mixers import CausalKernels, ToeplitzKernel
from toeplitz_theory.training.kernels import stored_key


@dataclass(frozen=True)
class Replaced:
    """What happened to one kernel.

    Attributes
    ----------
    key : str
        Its name in the state dict.
    index_before, index_after : int or None
        Proved Fredholm indices of the kernel as it was and as it is stored now; None where a zero lies on
        the circle or too close to tell. Rounding to the model's dtype can put a zero that belongs on the
        circle back inside: then ``index_after`` is not 0, and says so.
    distance : float
        ``||new - old|| / ||old||``.

    Examples
    --------
    >>> Replaced("mixer.weight", index_before=-2, index_after=0, distance=0.3).index_after
    0
    """

    key: str
    index_before: int | None
    index_after: int | None
    distance: float


@torch.no_grad()
def make_invertible(model: nn.Module) -> list[Replaced]:
    """Replace every Toeplitz kernel of a model, in place, by its outer factor.

    The outer factor amplifies every frequency alike and has no zero inside the circle, so that the operator
    T(a) of the layer is invertible; what changes is the phase. The sign is the one closer to the kernel.
    Of a kernel over channels, the one on the diagonal decides, and it alone is replaced.
    Comparing loss and retention before and after measures what the inner factors did.

    Parameters
    ----------
    model : nn.Module
        A model with Toeplitz kernels of `toeplitz_theory.tmm`.

    Returns
    -------
    list of Replaced
        One for each kernel, in model order.

    Raises
    ------
    InputError
        If the model has no Toeplitz kernel, one that is zero or not finite, or one that its parameters
        cannot hold: made by a network, or positive by construction. Nothing is changed then.

    Examples
    --------
    >>> from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
    >>> shape = dict(vocab_size=8, hidden_size=4, num_hidden_layers=1, max_position_embeddings=8)
    >>> (found,) = make_invertible(TMMForCausalLM(TMMConfig(**shape)))
    >>> found.index_after
    0
    """
    kernels = list(_replaceable(model))
    if not kernels:
        raise InputError("the model has no Toeplitz kernel to replace")
    # All factors first: a kernel without one must leave the model as it was.
    factors = [_outer(key, taps) for key, taps in kernels]
    found = []
    for (key, taps), (old, new) in zip(kernels, factors, strict=True):
        taps.copy_(torch.from_numpy(new))
        stored = taps.double().cpu().numpy()
        before, after = (Symbol(kernel).fredholm_index().value for kernel in (old, stored))
        distance = float(np.linalg.norm(stored - old) / np.linalg.norm(old))
        found.append(Replaced(key, before, after, distance))
    return found


def _replaceable(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield key and taps (n,) of the kernels that decide about invertibility, as views of the parameters."""
    for name, module in model.named_modules():
        if isinstance(module, ToeplitzKernel) and not module.positive:
            yield stored_key(name, module), module.stored.detach()[-1]
        elif isinstance(module, CausalKernels):
            kind = "positive by construction" if isinstance(module, ToeplitzKernel) else "made by a network"
            raise InputError(f"{name}: kernels that are {kind} cannot be replaced by their outer factors")


def _outer(key: str, taps: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return a kernel and its outer factor, with the sign that is closer."""
    old = taps.double().cpu().numpy().copy()
    if not np.isfinite(old).all() or not old.any():
        raise InputError(f"{key}: a kernel that is zero or not finite has no outer factor")
    outer = np.array(Symbol(old).outer().kernel)
    return old, outer if old @ outer >= 0 else -outer
