"""Resolvent norms of a section for many points at once: its pseudospectrum, without eigenvalues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.fft import CausalProduct, fast_length, split_scale
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.sections.norm import _CONVERGED, norm_bracket
from toeplitz_theory.operators.sections.series import inverse_series
from toeplitz_theory.operators.spectra.rows import InverseRows

_STEPS = 24
_CHECKS = (5, 8, 12, 17)  # steps after which converged points leave
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


def resolvent(taps: Kernel, lam: Any, tolerance: float = 1e-12) -> Resolvent:
    """Return the resolvent norms of the section with first column ``taps`` (n,) at the points ``lam``.

    Per point: the series 1/(a - lam) by forward substitution in FFT blocks, then Lanczos steps of O(n log n)
    on its triangular Toeplitz matrix, until the relative residual is at most ``tolerance`` or 24 steps are
    done. A batch goes through together.

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
        log10[k], residual[k] = _one(scaled, shifted[k]) - exponent * math.log10(2.0), _CONVERGED
    regular = np.flatnonzero(np.abs(shifted) >= _TINY)
    inverse = InverseRows(scaled)
    batch = max(1, _CHUNK_BYTES // (16 * _STEPS * taps.size))
    for start in range(0, regular.size, batch):
        chosen = regular[start : start + batch]
        series = inverse(shifted[chosen])
        norms, residual[chosen] = _norms(series.rows, tolerance)
        log10[chosen] = np.log10(norms) + (series.power - exponent) * math.log10(2.0)
        for k in chosen[series.failed]:
            log10[k] = _one(scaled, shifted[k]) - exponent * math.log10(2.0)
            residual[k] = _CONVERGED
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


def _norms(series: NDArray[Any], tolerance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the norms of the rows' triangular Toeplitz matrices, and relative residuals, by Lanczos.

    Rows whose residual is at most ``tolerance`` leave the batch early: where the norm is large the leading
    singular value stands alone and a few steps are enough.
    """
    points = len(series)
    norms, residual = np.zeros(points), np.zeros(points)
    lanczos = _Lanczos(series)
    rows = np.arange(points)
    for k in range(lanczos.steps):
        lanczos.step(k)
        if k + 1 in _CHECKS or k + 1 == lanczos.steps:
            norms[rows], residual[rows] = lanczos.leading(k + 1)
            open_ = residual[rows] > tolerance
            rows = rows[open_]
            if not rows.size:
                break
            lanczos.keep(open_)
    return norms, residual


class _Lanczos:
    """Lanczos' method on C^H C for a batch of triangular Toeplitz matrices C, reorthogonalised in full."""

    def __init__(self, series: NDArray[Any]) -> None:
        points, n = series.shape
        self.n, self.length = n, fast_length(2 * n - 1)
        self.steps = min(_STEPS, n)
        self.spectrum = scipy.fft.fft(series, self.length, axis=1)
        self.basis = np.zeros((points, self.steps, n), np.complex128)
        noise = np.random.default_rng(0).standard_normal(n)
        self.basis[:, 0] = noise / np.linalg.norm(noise)
        self.small = np.zeros((points, self.steps, self.steps))
        self.beta = self.largest = np.zeros(points)

    def step(self, k: int) -> None:
        """Add one direction."""
        n, vector = self.n, self.basis[:, k]
        forward = scipy.fft.fft(vector, self.length, axis=1)
        forward *= self.spectrum
        forward = scipy.fft.ifft(forward, axis=1, overwrite_x=True)[:, :n]
        back = scipy.fft.fft(forward[:, ::-1].conj(), self.length, axis=1)
        back *= self.spectrum
        image = scipy.fft.ifft(back, axis=1, overwrite_x=True)[:, n - 1 :: -1].conj()
        self.small[:, k, k] = (vector.real * image.real + vector.imag * image.imag).sum(axis=1)
        known = self.basis[:, : k + 1]
        for _ in range(2):
            # Batched matrix products: several times as fast as einsum here.
            inner = known @ image.conj()[:, :, None]
            image = image - (inner.conj().transpose(0, 2, 1) @ known)[:, 0]
        beta = np.linalg.norm(image, axis=1)
        # A remainder of rounding errors is no direction: such a point goes on with zeros.
        self.largest = np.maximum(self.largest, self.small[:, k, k])
        alive = beta > _EXHAUSTED * self.largest
        self.beta = np.where(alive, beta, 0.0)
        if k + 1 < self.steps:
            self.small[:, k, k + 1] = self.small[:, k + 1, k] = self.beta
            image[~alive] = 0.0
            self.basis[:, k + 1] = image / np.where(alive, beta, 1.0)[:, None]

    def leading(self, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the norms that k steps give, and the relative residuals of their squares."""
        values, vectors = np.linalg.eigh(self.small[:, :k, :k])
        top = np.maximum(values[:, -1], np.finfo(float).tiny)
        return np.sqrt(top), self.beta * np.abs(vectors[:, -1, -1]) / top

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with some of the rows only."""
        if not mask.all():
            self.spectrum, self.basis, self.small = self.spectrum[mask], self.basis[mask], self.small[mask]
            self.beta, self.largest = self.beta[mask], self.largest[mask]
