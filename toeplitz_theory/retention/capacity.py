"""How many dimensions of one hidden vector carry the token k steps back.

With independent tokens x and hidden states h, ``S = Cov(h_t)`` and ``B_k = Cov(E[h_t | x_(t-k)])``, the
capacity ``C_k = tr(S^+ B_k)`` is the part of the state's variance, counted in dimensions, that the token k
back decides alone. The functions ``E[h_t | x_(t-k)]`` of different k are uncorrelated (Hoeffding's
decomposition), so the C_k add up to at most the rank of S; each is at most the number of tokens less one.
What several tokens decide only together is in none of them; `total_effect` counts it for every token that
takes part.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.retention.measure import Measured, append_row
from toeplitz_theory.retention.states import (
    Tokens,
    alphabet_of,
    chosen_layers,
    drawn_tokens,
    in_passes,
    sequence_length,
)

_GROUPS = 8  # of sequences; what one group says is compared with what the others say
_FEWEST = 4  # expected samples of the rarest token, at each lag; below, the estimate is all noise
_RANK = 1e-6  # directions with less than this share of the largest variance count as rounding

Array = NDArray[np.float64]
Where = Literal["pooled", "last"]


def token_capacity(
    model: nn.Module,
    layers: Sequence[int] | None = None,
    tokens: Literal["uniform"] | ArrayLike = "uniform",
    positions: Where = "pooled",
    samples: int = 256,
    length: int | None = None,
    alphabet: int | None = None,
    seed: int = 0,
) -> Measured:
    """Measure how many dimensions of a hidden vector the token k steps back decides, for every k and layer.

    The model reads random independent tokens. Products of states of *different* groups of sequences alone are
    averaged, so nothing is biased upwards by the number of tokens; intervals are by jackknife over 8 groups.

    Parameters
    ----------
    model : nn.Module
        A transformers causal model, or `TMMForAutoencoding`, of which the encoder's states are taken.
    layers : sequence of int, optional
        0 is the embedding, which knows its own token and nothing else; i the state after block i; all by
        default.
    tokens : "uniform" or array_like, shape (V,)
        Probabilities of the tokens that are drawn.
    positions : {"pooled", "last"}
        States of the second half of the sequences, at lags up to half their length; or the last state alone,
        at all lags: for models that treat the last position unlike others, and long memories. "last" wants
        more samples and a small alphabet.
    samples : int
        Sequences read.
    length : int, optional
        Tokens in each; by default what the model takes, at most 256.
    alphabet : int, optional
        Draw from so many tokens only, chosen by the seed; by default from all.
    seed : int
        Of the tokens.

    Returns
    -------
    Measured
        In dimensions. ``value`` is the sum over all lags in the last layer; the table has one row per layer
        and lag; ``settings["rank"]`` the rank of each layer's covariance, which bounds the sum.

    Raises
    ------
    InputError
        Too few samples for the alphabet (the message says how many), layers that are not there, a model
        without hidden states, or states that are nan.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> _ = torch.manual_seed(0)
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=16))
    >>> capacity = token_capacity(model, layers=[0], samples=64)
    >>> own = capacity.table.query("lag == 0").iloc[0]  # the embedding carries its own token, in 8 dimensions
    >>> bool(own["lower"] < 8 < own["upper"])
    True
    """
    begun = time.perf_counter()
    length = sequence_length(model, length)
    choice, p = _source(model, tokens, alphabet, seed)
    chosen = chosen_layers(model, layers)
    first = length // 2 if positions == "pooled" else length - 1
    if positions not in ("pooled", "last"):
        raise InputError(f"positions is {positions!r}: 'pooled' or 'last'")
    each = (length - first) * float(p.min())
    if samples < _GROUPS or samples * each < _FEWEST:
        needed = max(_GROUPS, int(np.ceil(_FEWEST / each)))
        raise InputError(
            f"{samples} sequences are too few for {choice.size} tokens at {length - first} positions: "
            f"ask for at least {needed}, or a smaller alphabet"
        )
    ids = drawn_tokens(np.random.default_rng([seed, 1]), (samples, length), choice, p)
    lags = range(first + 1)
    rows: dict[str, list[Any]] = {name: [] for name in ("layer", "lag", "value", "lower", "upper")}
    totals, ranks = {}, {}
    classes = np.searchsorted(choice, ids)
    for layer, states in in_passes(model, ids, chosen, slice(first, length)):
        inverse, centre, ranks[layer] = _whitener(states)
        white = (states - centre) @ inverse
        shifts = _without_groups(white)
        estimates = np.array(
            [_capacity(white, classes[:, first - k : length - k], p, shifts) for k in lags]
        )  # (lags, 1 + groups): of all, and without each group
        totals[layer] = _jackknife(estimates.sum(axis=0))
        for k, estimate in zip(lags, estimates, strict=True):
            append_row(rows, layer, k, *_jackknife(estimate))
    settings = {
        "interval": f"95 %, jackknife over {_GROUPS} groups of sequences",
        "rank": ranks,
        "total": totals,
        "positions": positions,
        "length": length,
        "alphabet": choice.size,
        "seed": seed,
    }
    own = {"its own token, at most": float(min(ranks[chosen[-1]], choice.size - 1))}
    return _in_dimensions("token capacity", samples, own, begun, rows, settings)


def total_effect(
    model: nn.Module,
    layers: Sequence[int] | None = None,
    tokens: Literal["uniform"] | ArrayLike = "uniform",
    samples: int = 256,
    length: int | None = None,
    alphabet: int | None = None,
    seed: int = 0,
) -> Measured:
    """Measure the part of the last hidden vector's variance in which the token k steps back takes any part.

    One token of a random sequence is drawn anew; ``T_k = E[D' S^+ D] / 2``, D the change of a state k steps
    later, is the total effect of Sobol: at least `token_capacity` at the same lag, and larger by what the
    token decides together with others. The sum over k may exceed the rank.

    Parameters
    ----------
    model : nn.Module
        As for `token_capacity`.
    layers, tokens, length, alphabet, seed
        As for `token_capacity`.
    samples : int
        Sequences, each with one token drawn anew.

    Returns
    -------
    Measured
        In dimensions, one row per layer and band of lags (0, 1, 2-3, 4-7, ...); ``value`` is the sum over
        the lags in the last layer.

    Raises
    ------
    InputError
        As `token_capacity`.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=16))
    >>> effect = total_effect(model, layers=[0], samples=64)
    >>> bool((effect.table.query("lag > 0")["value"] == 0).all())  # the embedding knows its own token alone
    True
    """
    begun = time.perf_counter()
    length = sequence_length(model, length)
    choice, p = _source(model, tokens, alphabet, seed)
    chosen = chosen_layers(model, layers)
    if samples < 32:
        raise InputError(f"{samples} sequences are too few for an interval: ask for at least 32")
    generator = np.random.default_rng([seed, 2])
    ids = drawn_tokens(generator, (samples, length), choice, p)
    places = generator.integers(0, length, samples)
    other = ids.copy()
    other[np.arange(samples), places] = drawn_tokens(generator, (samples,), choice, p)
    first = length // 2
    edges = [0, *(2**k for k in range(first.bit_length())), first + 1]
    rows: dict[str, list[Any]] = {name: [] for name in ("layer", "lag", "to", "value", "lower", "upper")}
    totals, ranks = {}, {}
    lags = np.arange(first, length)[None, :] - places[:, None]
    # By lag the mean over the sequences that show it, then the sum over lags: one weight for each change.
    seen = np.array([np.count_nonzero(lags == k) for k in range(first + 1)]).clip(1)
    weights = np.where((lags >= 0) & (lags <= first), 1.0 / seen[lags.clip(0, first)], 0.0)
    both = (in_passes(model, part, chosen, slice(first, length)) for part in (ids, other))
    for (layer, before), (_, after) in zip(*both, strict=True):
        inverse, _, ranks[layer] = _whitener(before)
        change = (
            np.square((after - before).astype(np.float64) @ inverse).sum(axis=2) / 2
        )  # (samples, positions)
        place = lags.clip(0, first)
        mean = np.bincount(place.ravel(), (change * weights).ravel(), first + 1)
        spread = (change - mean[place]) * weights
        for low, high in itertools.pairwise(edges):
            within = (lags >= low) & (lags < high)
            append_row(
                rows, layer, low, high - 1, *_normal(mean[low:high].sum(), (spread * within).sum(axis=1))
            )
        totals[layer] = _normal(mean.sum(), spread.sum(axis=1))
    settings = {
        "interval": "95 %, normal, over sequences",
        "total": totals,
        "rank": ranks,
        "length": length,
        "alphabet": choice.size,
        "seed": seed,
    }
    return _in_dimensions("total effect", samples, {}, begun, rows, settings)


def _in_dimensions(
    name: str, samples: int, beside: dict[str, float], begun: float, rows: dict[str, list[Any]], settings: Any
) -> Measured:
    """Return the answer whose headline is the total of the last layer, beside the rank there."""
    last = max(settings["total"])
    value, *interval = settings["total"][last]
    baselines = {"rank": float(settings["rank"][last]), **beside}
    seconds = time.perf_counter() - begun
    return Measured(name, "dimensions", value, tuple(interval), samples, baselines, seconds, rows, settings)


def _whitener(states: NDArray[np.float32]) -> tuple[Array, Array, int]:
    """Return (d, r) with which centred states have covariance 1, the means (P, d), and the rank r."""
    centre = states.mean(axis=0, dtype=np.float64)
    flat = (states - centre).reshape(-1, states.shape[-1]).astype(np.float64)
    # One degree of freedom went into the mean of each position.
    covariance = flat.T @ flat / (flat.shape[0] - states.shape[1])
    values, vectors = np.linalg.eigh(covariance)
    keep = values > _RANK * max(values[-1], np.finfo(float).tiny)
    return vectors[:, keep] / np.sqrt(values[keep]), centre, int(keep.sum())


def _groups(samples: int) -> NDArray[np.int64]:
    return np.arange(samples) * _GROUPS // samples


def _without_groups(white: Array) -> Array:
    """Return what the covariance of the whitened states is beyond 1 without each group (G, r, r)."""
    groups = _groups(len(white))
    squares = np.array(
        [np.einsum("spi,spj->ij", part, part) for part in (white[groups == g] for g in range(_GROUPS))]
    )
    freedom = np.array([(np.count_nonzero(groups != g) - 1) * white.shape[1] for g in range(_GROUPS)])
    return (squares.sum(axis=0) - squares) / freedom[:, None, None] - np.eye(white.shape[2])


def _capacity(white: Array, classes: Tokens, p: Array, shifts: Array) -> Array:
    """Return tr(S^+ B) from all groups, and without each: only states of different groups are multiplied.

    The mean over pairs of any tokens is taken off: it is the square of the overall mean, and what the
    centring by position does to all pairs alike. Two small factors are left. A state and the mean of its
    position share 1 part in S, so products come out 1 - 2 / S too small; and the inverse of a covariance
    estimated from N states is too large by N / (N - r - 1) (as that of a Wishart matrix).
    """
    sequences, positions, rank = white.shape
    index = (_groups(sequences)[:, None] * p.size + classes).ravel()
    one_hot = scipy.sparse.csr_array(
        (np.ones(index.size), index, np.arange(index.size + 1)), shape=(index.size, _GROUPS * p.size)
    )
    sums = np.asarray(one_hot.T @ white.reshape(index.size, rank)).reshape(_GROUPS, p.size, rank)
    counts = np.bincount(index, minlength=_GROUPS * p.size).reshape(_GROUPS, p.size).astype(float)
    freedom = (sequences - 1) * positions
    factor = (1 - (rank + 1) / freedom) / (1 - 2 / sequences)
    # To first order, a covariance of 1 + E makes tr(S^+ B) smaller by tr(E B).
    between = _between(sums, counts, p)
    moved = np.einsum("gij,ij->g", shifts, between)
    estimates = np.array([_across(sums, counts, p, leave) for leave in (None, *range(_GROUPS))])
    estimates[1:] -= moved
    return factor * estimates


def _between(sums: Array, counts: Array, p: Array) -> Array:
    """Return B in whitened directions (r, r), from pairs of states of one token in different groups."""
    pairs = (counts.sum(axis=0) ** 2 - np.square(counts).sum(axis=0)).clip(1)
    weight = (p / pairs)[:, None]
    total = sums.sum(axis=0)
    flat = sums.reshape(-1, sums.shape[2])
    return total.T @ (weight * total) - flat.T @ (np.tile(weight, (_GROUPS, 1)) * flat)


def _across(sums: Array, counts: Array, p: Array, leave: int | None) -> float:
    """Return the mean product of states of one token in different groups, less that of any two states."""
    keep = np.arange(_GROUPS) != leave
    s, n = sums[keep], counts[keep]
    products = np.square(s.sum(axis=0)).sum(axis=1) - np.square(s).sum(axis=(0, 2))
    pairs = n.sum(axis=0) ** 2 - np.square(n).sum(axis=0)
    # Of any two states, tokens weighed by p as above.
    means = np.einsum("v,gvd->gd", p / n.sum(axis=0).clip(1), s) * len(s)
    any_two = (np.square(means.sum(axis=0)).sum() - np.square(means).sum()) / (len(s) ** 2 - len(s))
    return float((p * products / pairs.clip(1)).sum() - any_two)


def _jackknife(estimates: Array) -> tuple[float, float, float]:
    """Return value and 95 % interval from the estimate of all groups and those without one each."""
    value, without = estimates[0], estimates[1:]
    error = np.sqrt((_GROUPS - 1) / _GROUPS * np.square(without - without.mean()).sum())
    reach = student.ppf(0.975, _GROUPS - 1) * error
    return float(value), float(value - reach), float(value + reach)


def _normal(value: float, deviations: Array) -> tuple[float, float, float]:
    """Return the value and its 95 % interval, from what each sequence adds to its error."""
    reach = 1.96 * float(np.linalg.norm(deviations))
    return float(value), float(value) - reach, float(value) + reach


def _source(
    model: nn.Module, tokens: Literal["uniform"] | ArrayLike, alphabet: int | None, seed: int
) -> tuple[Tokens, Array]:
    """Return the tokens that are drawn, and their probabilities."""
    choice = alphabet_of(model, alphabet, seed)
    if isinstance(tokens, str):
        if tokens != "uniform":
            raise InputError(f"tokens is {tokens!r}: 'uniform', or one probability for each token")
        return choice, np.full(choice.size, 1.0 / choice.size)
    p = np.asarray(tokens, dtype=np.float64)
    if (
        p.ndim != 1
        or p.size <= choice[-1]
        or not np.isfinite(p).all()
        or (p < 0).any()
        or not p[choice].sum()
    ):
        raise InputError("tokens must be one probability, not negative, for each token of the vocabulary")
    p = p[choice] / p[choice].sum()
    return choice[p > 0], p[p > 0]
