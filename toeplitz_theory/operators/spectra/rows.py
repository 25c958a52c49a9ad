r"""The series 1/(a(z) - lam) for many points at once, and how far their rounding can have led them.

Forward substitution, halved again and again: the second half of a stretch needs the first half times a
Toeplitz block that is the same wherever the stretch lies, a matrix product for all points together or, for
long blocks, an FFT.

A series may grow past 1e308. So it is run for the taps ``t_k 2**(-rate k)``, which divides coefficient k by
``2**(rate k)``; a point whose series overflows is run again at the rate its growth suggests.

Error. Let ``e`` be the computed series, ``(t - lam) * e = 1 + r`` to n terms, and ``|x|_w = sum |x_k| w**k``
with any 0 < w <= 1. In this norm products of truncated series are bounded by the products of norms, so from
``|r|_w <= q < 1`` follows ``|e - c|_w <= |e|_w q / (1 - q)``, and in every operator norm the two triangular
Toeplitz matrices differ by at most ``w**-(n-1)`` times that. Substitution in any order leaves
``|r_k| <= gamma (|t| * |e|)_k``, gamma = 4 (n + 16) u in complex arithmetic (Higham, ch. 3 and 8), an FFT of
a block of length h adds ``delta ||e[block]||_2`` in the 2-norm. So
``q = (gamma |t|_w + sum sqrt(h) delta_h) |e|_w``. With ``w`` fitted to the growth of ``e`` this is about
n^3 u, however large e becomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.operators.fft import _FFT_CONSTANT, UNIT_ROUNDOFF
from toeplitz_theory.operators.kernels import Kernel

_BASE = 16  # stretches substituted one coefficient at a time
_FFT_FROM = 512  # blocks of this length and more are multiplied by FFT
_STEP = 800.0  # bits by which neighbouring rates differ over the whole series
_ROOM = 930.0  # bits a series may grow by at a rate: its last products stay below 2**1024

Floats = NDArray[np.float64]


@dataclass
class SeriesRows:
    """Series of many points: row i is ``2**power[i] * rows[i]``, largest entry near 1.

    ``log2_error`` bounds, in every operator norm and in units of ``2**power``, what the rounding of row i
    amounts to; inf where nothing is proved. ``failed`` marks rows that no rate could hold.
    """

    rows: NDArray[np.complex128]
    power: Floats
    log2_error: Floats
    failed: NDArray[np.bool_]


class _Blocks:
    """The Toeplitz blocks of the taps at one rate, one for each length."""

    def __init__(self, taps: Kernel, rate: float) -> None:
        self.n, self.rate = taps.size, rate
        # rate has few bits: rate * k is exact, and the weight is right to a few units in the last place.
        with np.errstate(under="ignore"):
            self.taps = taps * np.exp2(-rate * np.arange(self.n))
        self._matrices: dict[int, NDArray[Any]] = {}
        self._spectra: dict[int, NDArray[Any]] = {}
        self.fft_error: dict[int, float] = {}
        h = _BASE
        while h < self.n:
            piece = np.zeros(2 * h, taps.dtype)
            piece[: min(2 * h, self.n)] = self.taps[: 2 * h]
            if h < _FFT_FROM:
                windows = np.lib.stride_tricks.sliding_window_view(piece[1:], h)
                self._matrices[h] = np.ascontiguousarray(windows[:, ::-1])
            else:
                self._spectra[h] = scipy.fft.fft(piece)
                self.fft_error[h] = _fft_error(piece, self._spectra[h])
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


def _fft_error(piece: NDArray[Any], spectrum: NDArray[Any]) -> float:
    """Return delta with ||fl(product) - product||_2 <= delta ||x||_2, as in `CausalProduct`."""
    u = UNIT_ROUNDOFF
    delta = _FFT_CONSTANT * u * np.log2(piece.size)
    spread = float(np.sqrt(piece.size) * np.linalg.norm(piece))
    peak = float(np.abs(spectrum).max()) + delta * spread
    return float((2 * delta + 4 * u) * peak + delta * spread) * 1.01


class InverseRows:
    """Series 1/(a - lam) of taps scaled near 1, for chunk after chunk of points."""

    def __init__(self, taps: Kernel) -> None:
        self._taps = taps
        self._made: dict[float, _Blocks] = {}

    def _blocks(self, rate: float) -> _Blocks:
        if rate not in self._made:
            while len(self._made) > 7:  # each holds up to 2 * 256**2 numbers, and spectra
                self._made.pop(next(iter(self._made)))
            self._made[rate] = _Blocks(self._taps, rate)
        return self._made[rate]

    def __call__(self, firsts: NDArray[np.complex128]) -> SeriesRows:
        """Return the series for the first taps ``firsts`` (p,), each at least 2**-500 in modulus."""
        n, p = self._taps.size, firsts.size
        out = SeriesRows(
            np.zeros((p, n), np.complex128), np.zeros(p), np.full(p, np.inf), np.ones(p, np.bool_)
        )
        rates = np.zeros(p)
        todo = np.arange(p)
        for _ in range(4):
            again = []
            for rate in np.unique(rates[todo]):
                chosen = todo[rates[todo] == rate]
                blocks = self._blocks(float(rate))
                series = np.ascontiguousarray(blocks.forward(firsts[chosen]).T)
                sizes = np.abs(series)
                with np.errstate(invalid="ignore"):
                    held = np.isfinite(sizes) & (sizes < 2.0**_ROOM)
                good = held.all(axis=1)
                if good.any():
                    self._collect(out, blocks, chosen[good], series[good], sizes[good], firsts[chosen[good]])
                lost = chosen[~good]
                # Coefficient k passed 2**930 at this rate: growth of 930 / k bits a step on top of it.
                reached = np.maximum(np.argmin(held[~good], axis=1), 1)
                bits = (_ROOM / reached + rate) * n
                rates[lost] = _exact_rate(_STEP * np.ceil(np.maximum(bits - 700.0, 1.0) / _STEP), n)
                again.append(lost[rates[lost] > rate])
            todo = np.concatenate(again)
            if not todo.size:
                break
        return out

    def _collect(
        self,
        out: SeriesRows,
        blocks: _Blocks,
        chosen: NDArray[np.intp],
        series: NDArray[np.complex128],
        sizes: Floats,
        firsts: NDArray[np.complex128],
    ) -> None:
        """Undo the weights, scale each row's peak to 1, and bound the rounding."""
        n = self._taps.size
        k = np.arange(n)
        with np.errstate(under="ignore", divide="ignore"):
            logs = np.log2(sizes) + blocks.rate * k
            peak_at = np.argmax(logs, axis=1)
            peak = np.round(logs[np.arange(chosen.size), peak_at])
            # In two halves: one factor alone may leave the range where the product does not.
            half = np.exp2(0.5 * (blocks.rate * k - peak[:, None])) if blocks.rate else None
            if half is None:
                series *= np.exp2(-peak)[:, None]
            else:
                series *= half
                series *= half
        out.rows[chosen], out.power[chosen], out.failed[chosen] = series, peak, False
        growth = np.maximum(0.0, (peak - logs[:, 0]) / np.maximum(peak_at, 1))
        best = self._log2_error(blocks, sizes, firsts, growth)
        plain = self._log2_error(blocks, sizes, firsts, growth * 0.0)
        out.log2_error[chosen] = np.minimum(best, plain) - peak

    def _log2_error(self, blocks: _Blocks, sizes: Floats, firsts: Any, growth: Floats) -> Floats:
        """Return log2 of the bound ``w**-(n-1) |e|_w q / (1 - q)`` for w = 2**-growth, row by row."""
        n, u = self._taps.size, UNIT_ROUNDOFF
        k = np.arange(n)
        with np.errstate(under="ignore", over="ignore", divide="ignore", invalid="ignore"):
            weights = np.exp2(-growth[:, None] * k)
            size_t = weights @ np.abs(self._taps) + np.abs(firsts)
            against = weights if blocks.rate == 0 else np.exp2((blocks.rate - growth[:, None]) * k)
            size_e = np.einsum("pk,pk->p", sizes, against)
            slack = 4 * (n + 16) * u * size_t
            for h, delta in blocks.fft_error.items():
                # Where w is larger than the rate's own weight, the error at the block's end counts for more.
                slack = slack + np.sqrt(h) * delta * np.exp2(2 * h * np.maximum(blocks.rate - growth, 0.0))
            # Products that underflow: 2**-1074 each, at most 4 n^2 of them, weighted as the last coefficient.
            lost = 4.0 * n * n * np.exp2(-1060.0 + n * np.maximum(blocks.rate - growth, 0.0))
            q = 1.01 * (slack * size_e + lost)
            bound = np.log2(size_e) + np.log2(q) - np.log2(1 - q) + growth * (n - 1) + 0.02
        return np.where((q < 0.5) & np.isfinite(bound), bound, np.inf)


def _exact_rate(bits: Floats, n: int) -> Floats:
    """Return about bits / n with so few binary places that products with k < n are exact."""
    scale = 2.0**16
    return np.asarray(np.ceil(bits / n * scale) / scale)
