"""Model surgery: every Toeplitz kernel replaced by its outer, minimum-phase factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.training.kernels import named_kernels


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
        If the model has no Toeplitz kernel, or one that is zero or not finite; nothing is changed then.

    Examples
    --------
    >>> from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
    >>> shape = dict(vocab_size=8, hidden_size=4, num_hidden_layers=1, max_position_embeddings=8)
    >>> (found,) = make_invertible(TMMForCausalLM(TMMConfig(**shape)))
    >>> found.index_after
    0
    """
    kernels = list(named_kernels(model))
    if not kernels:
        raise InputError("the model has no Toeplitz kernel to replace")
    # All factors first: a kernel without one must leave the model as it was.
    factors = []
    for key, weight in kernels:
        old = weight.detach().double().cpu().numpy().reshape(-1)
        if not np.isfinite(old).all() or not old.any():
            raise InputError(f"{key}: a kernel that is zero or not finite has no outer factor")
        factors.append((old, Symbol(old).outer().kernel))
    found = []
    for (key, weight), (old, outer) in zip(kernels, factors, strict=True):
        new = outer if old @ outer >= 0 else -outer
        weight.copy_(torch.from_numpy(np.array(new)).reshape(weight.shape))
        stored = weight.detach().double().cpu().numpy().reshape(-1)
        before, after = (Symbol(taps).fredholm_index().value for taps in (old, stored))
        distance = float(np.linalg.norm(stored - old) / np.linalg.norm(old))
        found.append(Replaced(key, before, after, distance))
    return found
