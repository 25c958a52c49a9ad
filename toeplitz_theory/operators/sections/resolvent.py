"""Resolvent norms of a section for many points at once: its pseudospectrum, without eigenvalues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.fft import CausalProduct, dense_causal, fast_length, split_scale
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.sections.norm import norm_bracket
from toeplitz_theory.operators.sections.series import inverse_series

_BLOCK = 64
_STEPS = 24
_EXHAUSTED = 1e-13
_TINY = 2.0**-500  # nearer than this to w[0], relative to the largest tap, points go one by one
_CHUNK_BYTES = 1 << 24  # working set of one batch of points


@dataclass(frozen=True)
class Resolvent:
    """``||(T - lam)^-1||_2`` for an array of points, as estimates.

    Attributes
    ----------
    log10 : ndarray, shape of lam, float64
        Logarithms, so that nothing overflows; inf where lam = w[0], the only eigenvalue.
    residual : ndarray, shape of lam, float64
        Relative residual of the singular pair behind each value: some singular value of the resolvent lies
        within this. The norm itself is never below the value (beyond rounding), and nothing is certified:
        `CausalToeplitz.log10_condition` of ``T - lam`` brackets a single point with proof.
    """

    log10: NDArray[np.float64]
    residual: NDArray[np.float64]

    @property
    def norm(self) -> NDArray[np.float64]:
        """The norms as plain float64; inf beyond 1.8e308."""
        with np.errstate(over="ignore"):
            return np.asarray(10.0**self.log10)


def resolvent(taps: Kernel, lam: Any) -> Resolvent:
    """Return the resolvent norms of the section with first column ``taps`` (n,) at the points ``lam``.

    Per point: the series 1/(a - lam) by blocked recurrence, whose rounding stays small entry by entry where
    the coefficients grow, then Lanczos steps of O(n log n) on its triangular Toeplitz matrix. All points of a
    batch go through together.

    Raises
    ------
    InputError
        If a point is not a finite number.

    Examples
    --------
    >>> found = resolvent(np.array([0.0, 1.0] + [0.0] * 98), [0.1, 2.0])
    >>> found.log10.round(3)  # 10^n inside the unit disc, below 1 / (2 - 1) outside
    array([100.004,  -0.   ])
    """
    points = np.asarray(lam)
    if points.dtype.kind not in "iufc" or not np.isfinite(points).all():
        raise InputError("lam must be finite numbers: points of the complex plane")
    flat = points.astype(np.complex128).reshape(-1)
    scaled, exponent = split_scale(taps)
    shifted = scaled[0] - flat * 2.0**-exponent if abs(exponent) < 1000 else _far(scaled[0], flat, exponent)
    log10, residual = np.full(flat.size, np.inf), np.zeros(flat.size)
    for k in np.flatnonzero((shifted != 0) & (np.abs(shifted) < _TINY)):
        log10[k] = _one(scaled, shifted[k]) - exponent * math.log10(2.0)
    regular = np.flatnonzero(np.abs(shifted) >= _TINY)
    batch = max(1, _CHUNK_BYTES // (16 * _STEPS * taps.size))
    for start in range(0, regular.size, batch):
        chosen = regular[start : start + batch]
        series, powers = _inverse_rows(scaled, shifted[chosen])
        norms, residual[chosen] = _norms(series)
        log10[chosen] = np.log10(norms) + (powers - exponent) * math.log10(2.0)
    return Resolvent(log10.reshape(points.shape), residual.reshape(points.shape))


def _one(taps: Kernel, first: complex) -> float:
    """Return log10 of the norm for one point, by ball arithmetic."""
    moved = taps.astype(np.complex128)
    moved[0] = first
    series, exponent, _ = inverse_series(moved).common()
    return math.log10(norm_bracket(CausalProduct(series), False).value) + exponent * math.log10(2.0)


def _far(first: Any, points: NDArray[Any], exponent: int) -> NDArray[Any]:
    half = exponent // 2
    return np.asarray(first - points * 2.0**-half * 2.0 ** -(exponent - half))


def _inverse_rows(taps: Kernel, firsts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return rows c (p, n) and exponents: 1/(taps with another first), largest near 1."""
    n = taps.size
    rest = taps.copy()
    rest[0] = 0.0
    matrix = dense_causal(rest)
    rows = np.zeros((firsts.size, n), np.complex128)
    powers = np.zeros(firsts.size, np.int64)
    rows[:, 0] = 1.0
    inverse = -1.0 / firsts
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        known = rows[:, :start] @ matrix[start:stop, :start].T
        for k in range(max(start, 1), stop):
            total = known[:, k - start] + rows[:, start:k] @ matrix[k, start:k]
            rows[:, k] = total * inverse
            # Rescale before growth leaves the range: a step grows by at most n / |first| <= n 2**500.
            # Entries 2**-1000 below the largest vanish, as they may.
            if np.abs(rows[:, k]).max() > 2.0**100:
                shift = _rescale(rows[:, : k + 1], powers)
                known = np.ldexp(known.view(np.float64), -shift[:, None]).view(np.complex128)
    rows *= -inverse[:, None]
    _rescale(rows, powers)
    return rows, powers


def _rescale(rows: NDArray[Any], powers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Divide each row in place by the power of two that brings its peak near 1; return the powers."""
    shift = np.frexp(np.abs(rows).max(axis=1))[1].astype(np.int32)
    with np.errstate(under="ignore"):
        half = shift // 2
        rows *= np.ldexp(1.0, -half)[:, None]
        rows *= np.ldexp(1.0, half - shift)[:, None]
    powers += shift
    return shift


def _norms(series: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the norms of the rows' triangular Toeplitz matrices, and relative residuals, by Lanczos."""
    points, n = series.shape
    length = fast_length(2 * n - 1)
    spectrum = scipy.fft.fft(series, length, axis=1)
    steps = min(_STEPS, n)
    basis = np.zeros((points, steps, n), np.complex128)
    noise = np.random.default_rng(0).standard_normal(n)
    basis[:, 0] = noise / np.linalg.norm(noise)
    small = np.zeros((points, steps, steps))
    beta, largest = np.zeros(points), np.zeros(points)
    for k in range(steps):
        forward = scipy.fft.ifft(scipy.fft.fft(basis[:, k], length, axis=1) * spectrum, axis=1)[:, :n]
        back = scipy.fft.fft(forward[:, ::-1].conj(), length, axis=1) * spectrum
        image = scipy.fft.ifft(back, axis=1)[:, :n][:, ::-1].conj()
        small[:, k, k] = np.einsum("pn,pn->p", basis[:, k].conj(), image).real
        for _ in range(2):
            inner = np.einsum("pkn,pn->pk", basis[:, : k + 1].conj(), image)
            image = image - np.einsum("pk,pkn->pn", inner, basis[:, : k + 1])
        beta = np.linalg.norm(image, axis=1)
        # A remainder of rounding errors is no direction: such a point goes on with zeros.
        largest = np.maximum(largest, small[:, k, k])
        alive = beta > _EXHAUSTED * largest
        beta = np.where(alive, beta, 0.0)
        if k + 1 < steps:
            small[:, k, k + 1] = small[:, k + 1, k] = beta
            basis[:, k + 1] = np.where(alive[:, None], image, 0.0) / np.where(alive, beta, 1.0)[:, None]
    values, vectors = np.linalg.eigh(small)
    top = np.maximum(values[:, -1], np.finfo(float).tiny)
    return np.sqrt(top), beta * np.abs(vectors[:, -1, -1]) / top
