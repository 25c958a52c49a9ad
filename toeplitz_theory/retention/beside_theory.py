"""What a model does with each of its kernels, and rank correlations of that with what theory says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.retention.states import given_tokens
from toeplitz_theory.training.surgery import losses, replaceable, replacement

_FEWEST = 8  # sequences, and pairs of a correlation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KernelCost:
    """What a model's loss rises by when one of its kernels is changed, in nats per token.

    Parameters
    ----------
    key : str
        The kernel's name in the state dict.
    silenced, silenced_error : float
        When its taps are set to zero; standard error over sequences.
    at_once, at_once_error : float
        When it is replaced by its outer factor, which amplifies every frequency as it does and gives its
        input back at once.

    Examples
    --------
    >>> KernelCost("mixer.weight", 0.3, 0.01, 0.0, 0.001).at_once
    0.0
    """

    key: str
    silenced: float
    silenced_error: float
    at_once: float
    at_once_error: float


@torch.no_grad()
def kernel_costs(
    model: nn.Module, ids: ArrayLike, progress: Callable[[str], None] | None = None
) -> list[KernelCost]:
    """Measure what each Toeplitz kernel of a model, and its delay, is worth to the loss, one at a time.

    Parameters
    ----------
    model : nn.Module
        A model of `toeplitz_theory.tmm` with stored Toeplitz kernels; as it was before when this returns. Of
        a kernel over channels the taps on the diagonal are changed.
    ids : array_like of int, shape (sequences, length)
        Held-out text; an autoencoder wants its full length.
    progress : callable, optional
        Called with a line for each kernel.

    Returns
    -------
    list of KernelCost
        In model order.

    Raises
    ------
    InputError
        Fewer than 8 sequences, ids the model does not take, or kernels that cannot be replaced.

    Examples
    --------
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=8, hidden_size=8, max_position_embeddings=8))
    >>> text = np.random.default_rng(0).integers(0, 8, (8, 8))
    >>> len(kernel_costs(model, text)) == model.config.num_hidden_layers
    True
    """
    text = torch.from_numpy(given_tokens(model, ids))
    if len(text) < _FEWEST:
        raise InputError(f"{len(text)} sequences are too few for an error: pass at least {_FEWEST}")
    kernels = list(replaceable(model))
    if not kernels:
        raise InputError("the model has no Toeplitz kernel to change")
    training = model.training
    model.eval()
    try:
        before = losses(model, text)
        costs = []
        for key, taps in kernels:
            if progress is not None:
                progress(key)
            kept = taps.clone()
            pairs = []
            for other in (
                torch.zeros_like(taps),
                torch.from_numpy(replacement(key, taps, "nothing", 0.0)[1]),
            ):
                try:
                    taps.copy_(other)
                    change = losses(model, text) - before
                finally:
                    taps.copy_(kept)
                pairs += [float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change)))]
            costs.append(KernelCost(key, *pairs))
        return costs
    finally:
        model.train(training)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its bootstrap interval.

    Parameters
    ----------
    value : float
        The correlation; nan where there is none.
    lower, upper : float
        Ends of the 95 % interval.
    count : int
        Pairs behind it.

    Examples
    --------
    >>> Correlation(-0.8, -0.9, -0.7, 64).value
    -0.8
    """

    value: float
    lower: float
    upper: float
    count: int


def rank_correlation(
    x: ArrayLike,
    y: ArrayLike,
    within: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> Correlation:
    """Return Spearman's rank correlation of pairs, with a bootstrap interval.

    Parameters
    ----------
    x, y : array_like of float, shape (count,)
        The pairs; those with a number missing are left out.
    within : array_like, shape (count,), optional
        Compare only pairs of the same group, a layer for example: ranks are taken in each group and moved to
        mean 0. What differs between the groups as a whole then plays no part.
    clusters : array_like, shape (count,), optional
        Draw whole clusters, models for example, whose pairs are not independent; single pairs otherwise.
    seed, draws : int
        Of the bootstrap.

    Returns
    -------
    Correlation
        All nan where one side is constant, or fewer than 8 pairs, or 4 clusters, are left.

    Raises
    ------
    InputError
        Arrays of different lengths.

    Examples
    --------
    >>> rank_correlation(range(10), range(10)).value
    1.0
    """
    first, second = np.asarray(x, float), np.asarray(y, float)
    group = np.zeros(first.size, int) if within is None else np.unique(within, return_inverse=True)[1]
    cluster = np.arange(first.size) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if not first.shape == second.shape == group.shape == cluster.shape or first.ndim != 1:
        raise InputError("rank_correlation: pass one number, and one label, for each pair")
    keep = np.isfinite(first) & np.isfinite(second)
    first, second, group, cluster = first[keep], second[keep], group[keep], cluster[keep]
    members = [np.flatnonzero(cluster == c) for c in np.unique(cluster)]
    if first.size < _FEWEST or (clusters is not None and len(members) < 4):
        return Correlation(np.nan, np.nan, np.nan, int(first.size))
    groups = [np.flatnonzero(group == g) for g in np.unique(group)]
    value = float(_spearman(first, second, [pairs[None] for pairs in groups])[0])
    generator = np.random.default_rng([seed, 8])
    if clusters is None:  # as many of each group as there are
        drawn = [generator.choice(pairs, (draws, pairs.size)) for pairs in groups]
        others = _spearman(first, second, drawn)
    else:
        others = np.empty(draws)
        for k in range(draws):
            picks = np.concatenate([members[c] for c in generator.integers(0, len(members), len(members))])
            drawn = [picks[None, group[picks] == g] for g in np.unique(group[picks])]
            others[k] = _spearman(first, second, drawn)[0]
    low, high = np.nanquantile(others, (0.025, 0.975)) if np.isfinite(others).any() else (np.nan, np.nan)
    return Correlation(value, float(low), float(high), int(first.size))


def _spearman(x: Array, y: Array, picks: list[NDArray[np.int64]]) -> Array:
    """Return (draws,) correlations of the ranks in each group, from pairs (draws, size) picked in each."""
    products = np.zeros((3, len(picks[0])))
    for group in picks:
        ranks = [rankdata(side[group], axis=1) for side in (x, y)]
        one, other = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
        for total, (left, right) in zip(products, ((one, other), (one, one), (other, other)), strict=True):
            total += np.einsum("ij,ij->i", left, right)
    with np.errstate(invalid="ignore"):  # nothing varies: nan
        return products[0] / np.sqrt(products[1] * products[2])
