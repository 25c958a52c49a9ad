"""The share of its input that a model's states give back within L tokens: the recovery curve of a model.

For one linear layer it is the operator's curve (`Symbol.recovery`). For a model the best linear estimate
stands for what can be read: a share below 1 says nothing about readers that are not linear.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.retention.measure import Measured, append_row, bootstrap
from toeplitz_theory.retention.states import chosen_layers, embedding_and_passes, text_of

_DELAYS = (0, 1, 2, 4, 8)
_RIDGES = (1e-8, 1e-4, 1e-3, 1e-2, 1e-1)  # of the mean variance of a feature

Array = NDArray[np.float64]


def recovery(
    model: nn.Module,
    ids: ArrayLike | None = None,
    layers: Sequence[int] | None = None,
    delays: Sequence[int] | None = None,
    earlier: int = 0,
    samples: int = 160,
    length: int | None = None,
    alphabet: int | None = None,
    seed: int = 0,
) -> Measured:
    """Measure the share of the tokens' vectors that the states up to L tokens later give back, linearly.

    Ridge regression from the hidden states of positions t - ``earlier`` to t + L to the vector that the
    embedding gave the token at t; the share is that of its variance, on sequences the regression has not
    seen. Ridge and the number of states used, up to L, are chosen on sequences of their own.

    Parameters
    ----------
    model : nn.Module
        A transformers causal model, or `TMMForAutoencoding`, of which the encoder's states are taken.
    ids : array_like of int, shape (samples, length), optional
        Text to read; random tokens, of which nothing can be guessed, when not given.
    layers : sequence of int, optional
        0 is the embedding, i the state after block i; the last by default.
    delays : sequence of int, optional
        The L of the curve; 0, 1, 2, 4, 8 by default, as far as the sequences reach. Cost grows with the
        square of the largest.
    earlier : int
        States before the token that are used too. A linear layer's exact curve needs them; what they add in
        a model is mostly small.
    samples, length, alphabet, seed
        Of the random tokens; all of the vocabulary by default.

    Returns
    -------
    Measured
        Shares from 0 to 1, one row per layer and delay; ``tokens`` is the share of tokens whose vector is the
        nearest to the estimate. ``value`` is the share at once, in the last layer.

    Raises
    ------
    InputError
        Too few samples for the features there are, ids the model does not take, delays or layers that are not
        there.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=16))
    >>> curve = recovery(model, layers=[0], delays=[0, 1], samples=100)
    >>> curve.table["value"].round(3).tolist()  # the embedding gives its token back at once
    [1.0, 1.0]
    """
    begun = time.perf_counter()
    text = text_of(model, ids, samples, length, alphabet, seed, 4)
    count, n = text.shape
    reach = n // 2 - earlier
    steps = sorted({k for k in _DELAYS if k < reach} if delays is None else {int(k) for k in delays})
    if not steps or steps[0] < 0 or earlier < 0 or steps[-1] + earlier >= n // 2:
        raise InputError(
            f"delays={delays!r}, earlier={earlier}: the states round a token, from {earlier} before it to "
            f"the largest delay after it, must fit into half of the {n} positions"
        )
    targets = slice(max(earlier, n // 4), n - steps[-1])  # away from the beginning
    chosen = chosen_layers(model, [-1] if layers is None else layers)
    embedded, passes = embedding_and_passes(model, text, chosen, slice(0, n))
    wanted = embedded[:, targets].astype(np.float64)
    wanted -= wanted.mean(axis=(0, 1))
    parts = np.split(np.arange(count), [int(0.6 * count), int(0.75 * count)])
    rows: dict[str, list[Any]] = {
        name: [] for name in ("layer", "delay", "value", "lower", "upper", "tokens")
    }
    for layer, states in passes:
        features = _windows(states, targets, earlier, steps[-1])
        known, width = len(parts[0]) * features.shape[1], features.shape[2]
        if known < 4 * width or min(map(len, parts)) < 8:
            needed = int(np.ceil(max(4 * width / features.shape[1] / 0.6, 54)))
            raise InputError(
                f"{count} sequences are too few for {width} features: ask for at least {needed}, or for "
                "smaller delays"
            )
        test = parts[2]
        for step, estimate in _estimates(features, wanted, parts, steps, earlier, states.shape[2]):
            error = np.square(estimate - wanted[test]).sum(axis=2)
            share = 1 - error.mean(axis=1) / np.square(wanted[test]).sum(axis=2).mean()
            right = _nearest(estimate, wanted[test], text[test, targets])
            append_row(rows, layer, step, float(share.mean()), *bootstrap(share, seed), right)
    at = len(rows["delay"]) - len(steps)
    frequent = np.bincount(text[:, targets].ravel()).max() / text[:, targets].size
    return Measured(
        "recovery",
        "share",
        rows["value"][at],
        (rows["lower"][at], rows["upper"][at]),
        len(parts[2]),
        {"no information": 0.0, "tokens, most frequent": float(frequent)},
        time.perf_counter() - begun,
        rows,
        {
            "interval": "95 %, bootstrap over test sequences",
            "text": "random tokens" if ids is None else "given",
            "earlier": earlier,
            "length": n,
            "seed": seed,
        },
    )


def _windows(states: NDArray[np.float32], targets: slice, earlier: int, latest: int) -> Array:
    """Return (S, P, (earlier + latest + 1) d): the states round each target, centred, oldest first."""
    parts = [states[:, targets.start + k : targets.stop + k] for k in range(-earlier, latest + 1)]
    features = np.concatenate(parts, axis=2).astype(np.float64)
    return features - features.mean(axis=(0, 1))


def _estimates(features, wanted, parts, steps, earlier, d):
    """Yield each delay with the estimates of the last part: one Gram matrix serves all delays."""
    fit, calibrate, test = parts
    width = features.shape[2]
    known = features[fit].reshape(-1, width)
    gram = known.T @ known
    right = known.T @ wanted[fit].reshape(len(known), -1)
    solvers = []
    for ridge in _RIDGES:
        # The factor of a leading block is the leading block of the factor.
        factor = scipy.linalg.cholesky(gram + ridge * np.trace(gram) / width * np.eye(width), lower=True)
        solvers.append((factor, scipy.linalg.solve_triangular(factor, right, lower=True)))
    # What is read off fewer states stays an estimate: more of them can cost more in noise than they tell.
    best, least = np.empty((0, right.shape[1])), np.inf
    for step in steps:
        size = (earlier + step + 1) * d
        for factor, half in solvers:
            weights = scipy.linalg.solve_triangular(factor[:size, :size], half[:size], lower=True, trans="T")
            error = float(np.square(features[calibrate, :, :size] @ weights - wanted[calibrate]).sum())
            if error < least:
                best, least = weights, error
        yield step, features[test, :, : len(best)] @ best


def _nearest(estimate: Array, wanted: Array, tokens: NDArray[np.int64]) -> float:
    """Return the share of tokens whose own vector is the nearest of all that occur."""
    flat, index = tokens.ravel(), wanted.reshape(tokens.size, -1)
    present, first = np.unique(flat, return_index=True)
    vectors = index[first]
    scores = estimate.reshape(tokens.size, -1) @ vectors.T - 0.5 * np.square(vectors).sum(axis=1)
    return float((present[scores.argmax(axis=1)] == flat).mean())
