"""Bits about the token k steps back that can be read from one hidden vector by a closed-form probe.

The probe is linear discriminant analysis: a mean for each token and one covariance within tokens. Temperature
and a share of the prior are calibrated on sequences of their own, and the cross-entropy is that of sequences
neither part has seen: on average, a lower bound of what the vector tells.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.retention.measure import Measured, append_row, bootstrap
from toeplitz_theory.retention.states import (
    Tokens,
    alphabet_of,
    chosen_layers,
    embedding_and_passes,
    in_passes,
    text_of,
    vocabulary,
)

_LAGS = (0, 1, 2, 4, 8, 16, 32, 64, 120)
_FLOOR = 1e-3  # of the mean variance, added to the covariance within tokens: few samples make it singular
_PRIORS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # shares of the prior that are tried
_FEWEST = 20  # samples of the mean token

Array = NDArray[np.float64]


def recall_curve(
    model: nn.Module,
    ids: ArrayLike | None = None,
    layers: Sequence[int] | None = None,
    lags: Sequence[int] | None = None,
    samples: int = 480,
    length: int | None = None,
    alphabet: int | None = None,
    seed: int = 0,
) -> Measured:
    """Measure how many bits about the token k steps back one hidden vector gives to a closed-form probe.

    On random strings nothing can be guessed, and what is read is memory. On text the token far back can be
    guessed from the topic. So there the table has two controls more: ``future``, the token equally far
    *ahead*, which no state can remember, and ``embedding``, the same probe on the last token alone.

    Parameters
    ----------
    model : nn.Module
        A transformers causal model, or `TMMForAutoencoding`, of which the encoder's states are taken.
    ids : array_like of int, shape (samples, length), optional
        Text to read; random strings when not given.
    layers : sequence of int, optional
        0 is the embedding, i the state after block i; the last by default.
    lags : sequence of int, optional
        Steps back; 0, 1, 2, 4, ..., 64, 120 by default, as far as the sequences reach.
    samples, length, alphabet, seed
        Of the random strings: how many, how long, over how many tokens (at most 64 by default), chosen and
        drawn by this seed.

    Returns
    -------
    Measured
        In bits, one row per layer and lag. ``value`` is lag 1 of the last layer; ``baselines["all"]`` what
        there is to know, the entropy of a token.

    Raises
    ------
    InputError
        Too few samples for the tokens there are, ids that the model does not take, layers or lags that are
        not there.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> _ = torch.manual_seed(0)
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=16, max_position_embeddings=16))
    >>> bits = recall_curve(model, layers=[0], lags=[0, 3], samples=200, alphabet=8).table
    >>> own, other = bits["value"]  # the embedding: all three bits of its own token, none of others
    >>> bool(own > 2.9), bool(abs(other) < 0.05)
    (True, True)
    """
    begun = time.perf_counter()
    letters = min(64, vocabulary(model)) if alphabet is None else alphabet
    text = text_of(model, ids, samples, length, letters, seed, 3)
    count, n = text.shape
    choice = alphabet_of(model, letters, seed) if ids is None else np.unique(text)
    farthest = n // 2
    steps = sorted({k for k in _LAGS if k <= farthest} if lags is None else {int(k) for k in lags})
    if not steps or steps[0] < 0 or steps[-1] > farthest:
        raise InputError(f"lags={lags!r}: sequences of {n} tokens reach 0 to {farthest} steps back")
    parts = np.split(np.arange(count), [int(0.6 * count), int(0.7 * count)])
    if len(parts[0]) * (n - farthest) < _FEWEST * choice.size or min(map(len, parts)) < 8:
        needed = int(np.ceil(max(_FEWEST * choice.size / (n - farthest) / 0.6, 80)))
        raise InputError(f"{count} sequences are too few for {choice.size} tokens: ask for at least {needed}")
    classes = np.searchsorted(choice, text)
    controls = () if ids is None else ("future", "embedding")
    rows: dict[str, list[Any]] = {name: [] for name in ("layer", "lag", "value", "lower", "upper", *controls)}
    chosen = chosen_layers(model, [-1] if layers is None else layers)
    window = slice(farthest, n)
    back = {k: classes[:, farthest - k : n - k] for k in steps}
    embedded, passes = {}, in_passes(model, text, chosen, window)
    if controls:
        embedding, passes = embedding_and_passes(model, text, chosen, window)
        embedded = {k: probe(embedding, back[k], parts, seed).bits for k in steps}
    for layer, states in passes:
        for k in steps:
            readout = probe(states, back[k], parts, seed)
            beside: list[float] = []
            if controls:
                future = classes[:, farthest + k :]
                ahead = 0 < k < n - farthest
                beside.append(probe(states[:, :-k], future, parts, seed).bits if ahead else np.nan)
                beside.append(embedded[k])
            append_row(rows, layer, k, readout.bits, *readout.interval, *beside)
    shown = 1 if 1 in steps else steps[0]
    at = len(rows["lag"]) - len(steps) + steps.index(shown)
    return Measured(
        "recall",
        "bits",
        rows["value"][at],
        (rows["lower"][at], rows["upper"][at]),
        len(parts[2]),
        {"all": readout.entropy} | {name: rows[name][at] for name in controls},
        time.perf_counter() - begun,
        rows,
        {
            "interval": "95 %, bootstrap over test sequences",
            "text": "random strings" if ids is None else "given",
            "lag of the headline": shown,
            "length": n,
            "alphabet": choice.size,
            "seed": seed,
        },
    )


@dataclass(frozen=True)
class Probe:
    """Bits with their interval, a token's entropy in bits, and the loss of each test sequence in nats."""

    bits: float
    interval: tuple[float, float]
    entropy: float
    losses: Array


def probe(states: NDArray[np.float32], classes: Tokens, parts: Sequence[Tokens], seed: int) -> Probe:
    """Fit on the first part, calibrate on the second, and return the bits of the third."""
    fit, calibrate, test = parts
    count = int(classes.max()) + 1
    prior = np.bincount(classes[fit].ravel(), minlength=count) + 0.5
    prior = prior / prior.sum()
    weights, offsets = _discriminant(states[fit], classes[fit], prior)
    # Scores without the prior: temperature scales what the state says, not what is known before.
    log_prior = np.log(prior)
    calibrating, tested = (
        states[part].reshape(-1, states.shape[2]) @ weights + offsets for part in (calibrate, test)
    )
    target = classes[calibrate].ravel()

    def loss(log_temperature: float, mixed: float = 0.0) -> float:
        return float(-_log_p(calibrating, target, log_prior, log_temperature, mixed).mean())

    heat = float(minimize_scalar(loss, bounds=(-9.0, 3.0), method="bounded").x)
    mixed = min(_PRIORS, key=lambda share: loss(heat, share))
    target = classes[test].ravel()
    gain = _log_p(tested, target, log_prior, heat, mixed) - log_prior[target]
    by_sequence = gain.reshape(len(test), -1).mean(axis=1) / np.log(2)
    entropy = float(-log_prior[target].mean() / np.log(2))
    losses = -(gain + log_prior[target]).reshape(len(test), -1).mean(axis=1)
    return Probe(float(by_sequence.mean()), bootstrap(by_sequence, seed), entropy, losses)


def _log_p(scores: Array, target: Tokens, log_prior: Array, log_temperature: float, mixed: float) -> Array:
    """Return the log probability of each target: scores tempered, and ``mixed`` of the prior."""
    log_p = log_softmax(np.exp(log_temperature) * scores + log_prior, axis=1)[np.arange(target.size), target]
    with np.errstate(divide="ignore"):  # log 0 where all or nothing is of the prior
        return np.logaddexp(np.log1p(-mixed) + log_p, np.log(mixed) + log_prior[target])


def _discriminant(states: NDArray[np.float32], classes: Tokens, prior: Array) -> tuple[Array, Array]:
    """Return (d, V) weights and (V,) offsets of linear discriminant analysis."""
    flat = states.reshape(-1, states.shape[2]).astype(np.float64)
    index, count = classes.ravel(), prior.size
    numbers = np.bincount(index, minlength=count)
    order = np.argsort(index, kind="stable")
    present = np.flatnonzero(numbers)
    starts = np.concatenate([[0], np.cumsum(numbers[present])[:-1]])
    means = np.tile(flat.mean(axis=0), (count, 1))
    means[present] = np.add.reduceat(flat[order], starts) / numbers[present, None]
    residual = flat - means[index]
    within = residual.T @ residual / max(1, flat.shape[0] - present.size)
    within[np.diag_indices_from(within)] += _FLOOR * np.trace(flat.T @ flat) / flat.size + 1e-30
    weights = scipy.linalg.cho_solve(scipy.linalg.cho_factor(within), means.T)
    return weights, -0.5 * np.einsum("vd,dv->v", means, weights)
