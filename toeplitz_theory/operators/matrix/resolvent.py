"""Resolvent norms of a section for many points at once: its pseudospectrum, without eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.inverse import inverse_series
from toeplitz_theory.operators.matrix.norm import _CONVERGED, norm_bracket
from toeplitz_theory.operators.product import CausalProduct, fast_length
from toeplitz_theory.operators.rounding import shift_exponent, split_scale

_STEPS = 24
_CHECKS = (5, 8, 12, 17)  # steps after which converged points leave
_EXHAUSTED = 1e-13
_TINY = 2.0**-500  # nearer than this to w[0], relative to the largest tap, points go one by one
_FAR = 2.0**500  # farther than this, points see no taps: their sum is at most 2**64 here
_CHUNK_BYTES = 1 << 24  # working set of one batch of points

Floats = NDArray[np.float64]


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


def resolvent(taps: Kernel, lam: Any, tolerance: float = 1e-12) -> Resolvent:
    """Return the resolvent norms of the section with first column ``taps`` (n,) at the points ``lam``.

    Per point: the series 1/(a - lam) by forward substitution in FFT blocks, then Lanczos steps of O(n log n)
    on its triangular Toeplitz matrix, until the relative residual is at most ``tolerance`` or 24 steps are
    done. A batch goes through together.

    Examples
    --------
    >>> norms = resolvent(np.array([0.0, 1.0] + [0.0] * 98), [0.1, 2.0])
    >>> norms.log10.round(3)  # 10^n inside the unit disc, below 1 / (2 - 1) outside
    array([100.004,  -0.   ])
    """
    points = np.asarray(lam)
    if points.dtype.kind not in "iufc" or not np.isfinite(points).all():
        raise InputError("lam must be finite numbers: points of the complex plane")
    flat = points.astype(np.complex128).reshape(-1)
    scaled, exponent = split_scale(taps)
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = scaled[0] - shift_exponent(flat, -exponent)
        distance = np.abs(shifted)
    log10, residual = np.full(flat.size, np.inf), np.zeros(flat.size)
    # So far away that T is nothing beside lam.
    for k in np.flatnonzero(~(distance < _FAR)):
        point, power = split_scale(flat[k : k + 1])
        log10[k] = -math.log10(abs(point[0])) - power * math.log10(2.0)
    alone = (flat != taps[0]) & (distance < _TINY)
    regular = np.flatnonzero((distance >= _TINY) & (distance < _FAR))
    # Each of the blocks holds up to 2 * 256**2 numbers, and spectra.
    blocks = lru_cache(maxsize=8)(partial(_Blocks, scaled))
    batch = max(1, _CHUNK_BYTES // (16 * _STEPS * taps.size))
    for start in range(0, regular.size, batch):
        chosen = regular[start : start + batch]
        rows, powers, alone[chosen] = inverse_rows(blocks, shifted[chosen])
        norms, residual[chosen] = _norms(rows, tolerance)
        log10[chosen] = np.log10(norms) + (powers - exponent) * math.log10(2.0)
    for k in np.flatnonzero(alone):
        log10[k], residual[k] = _one(taps, taps[0] - flat[k]), _CONVERGED
    return Resolvent(log10.reshape(points.shape), residual.reshape(points.shape))


def _one(taps: Kernel, first: complex) -> float:
    """Return log10 of the norm for one point, by ball arithmetic."""
    moved = taps.astype(np.complex128)
    moved[0] = first
    series, exponent, _ = inverse_series(moved).common()
    return math.log10(norm_bracket(CausalProduct(series), False).value) + exponent * math.log10(2.0)


def _norms(series: NDArray[Any], tolerance: float) -> tuple[Floats, Floats]:
    """Return the norms of the rows' triangular Toeplitz matrices C, and relative residuals.

    Lanczos' method on C^H C, reorthogonalised in full, for all rows together. Those whose residual is at most
    ``tolerance`` leave early: where the norm is large the leading singular value stands alone and a few steps
    are enough.
    """
    points, n = series.shape
    steps, length = min(_STEPS, n), fast_length(2 * n - 1)
    spectrum = scipy.fft.fft(series, length, axis=1)
    basis = np.zeros((points, steps, n), np.complex128)
    noise = np.random.default_rng(0).standard_normal(n)
    basis[:, 0] = noise / np.linalg.norm(noise)
    projected = np.zeros((points, steps, steps))
    largest, norms, residual, rows = np.zeros(points), np.zeros(points), np.zeros(points), np.arange(points)
    for k in range(steps):
        vector = basis[:, k]
        image = _adjoint_product(spectrum, vector)
        projected[:, k, k] = (vector.real * image.real + vector.imag * image.imag).sum(axis=1)
        known = basis[:, : k + 1]
        for _ in range(2):
            # Batched matrix products: several times as fast as einsum here.
            inner = known @ image.conj()[:, :, None]
            image = image - (inner.conj().transpose(0, 2, 1) @ known)[:, 0]
        beta = np.linalg.norm(image, axis=1)
        # A remainder of rounding errors is no direction: such a point goes on with zeros.
        largest = np.maximum(largest, projected[:, k, k])
        alive = beta > _EXHAUSTED * largest
        beta = np.where(alive, beta, 0.0)
        if k + 1 < steps:
            projected[:, k, k + 1] = projected[:, k + 1, k] = beta
            image[~alive] = 0.0
            basis[:, k + 1] = image / np.where(alive, beta, 1.0)[:, None]
        if k + 1 in _CHECKS or k + 1 == steps:
            values, vectors = np.linalg.eigh(projected[:, : k + 1, : k + 1])
            top = np.maximum(values[:, -1], np.finfo(float).tiny)
            norms[rows], residual[rows] = np.sqrt(top), beta * np.abs(vectors[:, -1, -1]) / top
            left = residual[rows] > tolerance
            rows = rows[left]
            if not rows.size:
                break
            if not left.all():
                spectrum, basis, projected, largest = (x[left] for x in (spectrum, basis, projected, largest))
    return norms, residual


def _adjoint_product(spectrum: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Return C^H C x for each row x, from the transforms of the first columns of C."""
    n, length = vectors.shape[1], spectrum.shape[1]
    forward = scipy.fft.fft(vectors, length, axis=1)
    forward *= spectrum
    forward = scipy.fft.ifft(forward, axis=1, overwrite_x=True)[:, :n]
    back = scipy.fft.fft(forward[:, ::-1].conj(), length, axis=1)
    back *= spectrum
    return scipy.fft.ifft(back, axis=1, overwrite_x=True)[:, n - 1 :: -1].conj()


# The series 1/(a(z) - lam) for many points at once, and how far their rounding can have led them.
#
# Forward substitution, halved again and again: the second half of a stretch needs the first half times a
# Toeplitz block that is the same wherever the stretch lies, a matrix product for all points together or, for
# long blocks, an FFT.
#
# A series may grow past 1e308. So it is run for the taps ``t_k 2**(-rate k)``, which divides coefficient k by
# ``2**(rate k)``; a point whose series overflows is run again at the rate its growth suggests.

_BASE = 16  # stretches substituted one coefficient at a time
_FFT_FROM = 512  # blocks of this length and more are multiplied by FFT
_STEP = 800.0  # bits by which neighbouring rates differ over the whole series
_ROOM = 930.0  # bits a series may grow by at a rate: its last products stay below 2**1024


def inverse_rows(
    blocks: Callable[[float], _Blocks], firsts: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], Floats, NDArray[np.bool_]]:
    """Return the series for the first taps ``firsts`` (p,), each at least 2**-500 in modulus.

    Series i is ``2**powers[i] * rows[i]``, largest entry near 1; the last of the three arrays returned marks
    those that no rate could hold. ``blocks`` makes the blocks of a rate.
    """
    n, p = blocks(0.0).n, firsts.size
    k = np.arange(n)
    rows, powers, failed = np.zeros((p, n), np.complex128), np.zeros(p), np.ones(p, np.bool_)
    rates, todo = np.zeros(p), np.arange(p)
    for _ in range(4):
        again = []
        for rate in np.unique(rates[todo]):
            chosen = todo[rates[todo] == rate]
            series = np.ascontiguousarray(blocks(float(rate)).forward(firsts[chosen]).T)
            sizes = np.abs(series)
            with np.errstate(invalid="ignore"):
                held = np.isfinite(sizes) & (sizes < 2.0**_ROOM)
            good = held.all(axis=1)
            # Undo the weights, and scale each row's peak to 1.
            with np.errstate(under="ignore", divide="ignore"):
                peaks = np.round((np.log2(sizes[good]) + rate * k).max(axis=1))
                # In two halves: one factor alone may leave the range where the product does not.
                # Where even half of it leaves the range, the coefficient is 0.
                half = np.exp2(np.minimum(0.5 * (rate * k - peaks[:, None]), 1000.0))
                rows[chosen[good]] = series[good] * half * half
            powers[chosen[good]], failed[chosen[good]] = peaks, False
            lost = chosen[~good]
            # Coefficient k passed 2**930 at this rate: growth of 930 / k bits a step on top of it.
            reached = np.maximum(np.argmin(held[~good], axis=1), 1)
            bits = _STEP * np.ceil(np.maximum((_ROOM / reached + rate) * n - 700.0, 1.0) / _STEP)
            # With so few binary places that products with k < n are exact.
            rates[lost] = np.ceil(bits / n * 2.0**16) / 2.0**16
            again.append(lost[rates[lost] > rate])
        todo = np.concatenate(again)
        if not todo.size:
            break
    return rows, powers, failed


class _Blocks:
    """The Toeplitz blocks of the taps at one rate, one for each length."""

    def __init__(self, taps: Kernel, rate: float) -> None:
        self.n, self.rate = taps.size, rate
        # rate has few bits: rate * k is exact, and the weight is right to a few units in the last place.
        with np.errstate(under="ignore"):
            self.taps = taps * np.exp2(-rate * np.arange(self.n))
        self._matrices: dict[int, NDArray[Any]] = {}
        self._spectra: dict[int, NDArray[Any]] = {}
        h = _BASE
        while h < self.n:
            piece = np.zeros(2 * h, taps.dtype)
            piece[: min(2 * h, self.n)] = self.taps[: 2 * h]
            if h < _FFT_FROM:
                windows = np.lib.stride_tricks.sliding_window_view(piece[1:], h)
                self._matrices[h] = np.ascontiguousarray(windows[:, ::-1])
            else:
                self._spectra[h] = scipy.fft.fft(piece)
            h *= 2

    def forward(self, firsts: NDArray[Any]) -> NDArray[np.complex128]:
        """Return the series, shape (n, points)."""
        series = np.zeros((self.n, firsts.size), np.complex128)
        with np.errstate(all="ignore"):
            self._solve(series, -1.0 / firsts, 0, max(_BASE, 1 << (self.n - 1).bit_length()))
            series *= -1.0
        return series

    def _solve(self, series: NDArray[Any], inverse: NDArray[Any], lo: int, length: int) -> None:
        """Turn rows lo .. lo + length, holding what earlier ones contribute, into coefficients (negated)."""
        if length == _BASE:
            parts = series.view(self.taps.dtype)
            for k in range(lo, min(lo + _BASE, self.n)):
                if k > lo:
                    parts[k] += self.taps[k - lo : 0 : -1] @ parts[lo:k]
                series[k] = series[k] * inverse if k else inverse
            return
        h = length // 2
        mid = lo + h
        self._solve(series, inverse, lo, h)
        if mid >= self.n:
            return
        hi = min(mid + h, self.n)
        if h in self._matrices:
            parts = series.view(self.taps.dtype)
            parts[mid:hi] += self._matrices[h][: hi - mid] @ parts[lo:mid]
        else:
            # Rows of C order are points: transposed, the transforms run along contiguous memory.
            known = scipy.fft.fft(np.ascontiguousarray(series[lo:mid].T), 2 * h, axis=1)
            known *= self._spectra[h]
            # Of the cyclic product of length 2h only entries below h are wrapped.
            series[mid:hi] += scipy.fft.ifft(known, axis=1, overwrite_x=True)[:, h : h + hi - mid].T
        self._solve(series, inverse, mid, h)
