"""Losses that a model must beat to have learned something: counts of tokens, no network."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Baselines:
    """Cross-entropies of the validation text, in nats per token."""

    uniform: float
    unigram: float
    bigram: float
    trigram: float


def count_baselines(train: np.ndarray, validation: np.ndarray, vocab_size: int) -> Baselines:
    """Return the losses of a uniform guess and of unigram, bigram and trigram models.

    Parameters
    ----------
    train, validation : ndarray of int, shape (N,)
        Token streams.
    vocab_size : int
        Number of tokens V.

    Returns
    -------
    Baselines

    Notes
    -----
    Interpolated absolute discounting (Ney, Essen & Kneser 1994): each order takes a discount
    ``n1 / (n1 + 2 n2)`` off every count seen and gives the mass to the next shorter order; the
    unigram counts have one added so that every token has a probability.

    Examples
    --------
    >>> import numpy as np
    >>> stream = np.tile([0, 1, 2, 3], 100)
    >>> losses = count_baselines(stream, stream, 4)
    >>> round(losses.unigram, 3), losses.bigram < 0.1
    (1.386, True)
    """
    uni, bi, tri = _probabilities(train, validation, vocab_size)
    return Baselines(
        uniform=float(np.log(vocab_size)),
        unigram=float(-np.log(uni).mean()),
        bigram=float(-np.log(bi).mean()),
        trigram=float(-np.log(tri).mean()),
    )


def _probabilities(train, validation, v) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probability of each validation token but the first two, by the three models."""
    train, validation = train.astype(np.int64), validation.astype(np.int64)
    counts = np.bincount(train, minlength=v) + 1.0
    uni = (counts / counts.sum())[validation[2:]]
    bi = _discounted(train[:-1], train[1:], validation[1:-1], validation[2:], v, uni)
    pairs = train[:-2] * v + train[1:-1]
    tri = _discounted(pairs, train[2:], validation[:-2] * v + validation[1:-1], validation[2:], v, bi)
    return uni, bi, tri


def _discounted(contexts, tokens, asked_contexts, asked_tokens, v, shorter):
    """Return discounted probabilities of ``asked_tokens``, backed off to ``shorter``."""
    grams, gram_counts = np.unique(contexts * v + tokens, return_counts=True)
    n1, n2 = np.sum(gram_counts == 1), np.sum(gram_counts == 2)
    discount = n1 / (n1 + 2 * n2) if n1 else 0.5
    context_ids, first, kinds = np.unique(grams // v, return_index=True, return_counts=True)
    totals = np.add.reduceat(gram_counts, first)

    count = _look_up(grams, gram_counts, asked_contexts * v + asked_tokens)
    total = _look_up(context_ids, totals, asked_contexts)
    distinct = _look_up(context_ids, kinds, asked_contexts)
    seen = total > 0
    safe = np.where(seen, total, 1)
    discounted = np.maximum(count - discount, 0) / safe + discount * distinct / safe * shorter
    return np.where(seen, discounted, shorter)


def _look_up(keys, values, asked):
    """Return the value of each asked key, zero where it is absent; ``keys`` are sorted."""
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)
