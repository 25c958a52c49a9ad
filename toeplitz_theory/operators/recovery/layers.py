r"""Recovery and memory of a layer with heads and projections, A(z) = W_out diag(a_h(z) I) W_in, or I + A.

With noise of variance s^2 on every output channel, S = A A^H + s^2 I on the circle has an outer factor G with
S = G G^H (Wiener and Masani). The innovations of the outputs are ``G^-1 y``, so ``C = G^-1 A`` is causal, and
the outputs up to t + L recover of x[t], in all channels together, ``R(L) = sum_{k <= L} ||C_k||_F^2 / d``.
Without noise C is the inner factor, and ``sum_k k ||C_k||_F^2`` the winding number of det A, minus the index.

G by Wilson's iteration (SIAM J. Appl. Math. 23, 1972) on N nodes of the circle: Newton's method,
``X <- [X S X^H + I]_+^-1 X`` for X = G^-1, with [.]_+ the causal part and half of the term of lag 0.
Coefficients past lag N / 2 fold back, so grids are doubled until the curve stays.

Without noise the limit R(inf) is known: the rank of A over d. With noise s^2 the shares fall short of their
values at no noise nearly in proportion to how far R(inf) does: both lose the directions in which A passes
less than s. So on each doubled grid the noise is a quarter, which the grid can resolve, and the shares are
extrapolated along their limits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.factors.cepstrum import transforms
from toeplitz_theory.operators.kernels import resized
from toeplitz_theory.operators.recovery.results import Memory, Recovery, check_channel
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

if TYPE_CHECKING:
    from toeplitz_theory.operators.layers.multihead import MultiHeadSymbol

_STEPS = 40
_FINE = 1e-6  # relative change of G at which Newton's method stops: the next one is its square
_ROUGH = 2e-2
_GOOD = 1e-9
_POINTS_PER_TAP = 2  # of the first grid
_FEWEST_POINTS = 64
_MOST_DOUBLED = 64  # times as many points as the first
_MANY_NUMBERS = 1 << 25  # points times d^2: no grid after the third has more
_MOST_NUMBERS = 1 << 27  # the third
_FIRST_NOISE = 0.16  # variance, of the mean output power
_FARTHEST = 4.0  # extrapolated, in steps from one noise to the next


def layer_memory(layer: MultiHeadSymbol, residual: bool, noise: float) -> Memory:
    """Return C_k = tr(A_k^H S^+ A_k), S = sum_k A_k A_k^H + noise I.

    A_k = W_out D_k W_in with D_k = diag(w_h[k] I), so C_k = w[k]^H Z w[k] with one H x H matrix Z.
    """
    if not (math.isfinite(noise) and noise >= 0.0):
        raise InputError(f"noise is {noise}: the variance of the noise on each output, 0 or more")
    taps, d = layer_taps(layer), layer.width
    gram = layer.w_in @ layer.w_in.T
    first = layer.w_out @ (np.repeat(taps[:, 0], layer.channels)[:, None] * layer.w_in)
    if residual:
        first = first + np.eye(d)
    later = np.repeat(taps[:, 1:], layer.channels, axis=0)
    power = layer.w_out @ ((later @ later.conj().T) * gram) @ layer.w_out.T + first @ first.conj().T
    values, vectors = np.linalg.eigh(power + noise * np.eye(d))
    kept = values > d * UNIT_ROUNDOFF * values[-1]
    if not values[-1] > 0.0:
        raise InputError("every output is 0: the layer holds nothing of its input")
    root = vectors[:, kept] / np.sqrt(values[kept])  # S^+ = root root^H
    seen = layer.w_out.T @ root
    blocks = ((seen @ seen.conj().T) * gram).reshape(len(taps), layer.channels, len(taps), layer.channels)
    z = blocks.sum(axis=(1, 3))
    shares = np.einsum("hk,hg,gk->k", taps.conj(), z, taps).real
    shares[0] = float((np.abs(root.conj().T @ first) ** 2).sum())
    shares = np.maximum(shares, 0.0)
    return Memory(shares, float(shares.sum()))


def layer_recovery(layer: MultiHeadSymbol, snr: float, residual: bool, horizon: int | None) -> Recovery:
    """Return the recovery curve of all channels together, an estimate."""
    tokens = check_channel(snr, horizon, 4 * max(len(a) for a in layer.heads))
    circle = _Circle(layer, residual)
    return _without_noise(circle, tokens) if snr == math.inf else _with_noise(circle, snr, tokens)


def _without_noise(circle: _Circle, horizon: int) -> Recovery:
    """Return the curve at no noise by extrapolation; its last two changes say how far off."""
    limit = circle.rank / circle.layer.width
    energies = circle.rungs(_FIRST_NOISE, 0.25, _ROUGH)
    rungs = [(_shares(energy, horizon), float(energy.sum())) for energy in energies]
    curves, short = [], 1.0
    for (before, less), (shares, total) in itertools.pairwise(rungs):
        gained = total - less
        far = min(_FARTHEST, (limit - total) / max(gained, UNIT_ROUNDOFF))
        short = abs(limit - total - far * gained)
        curves.append(shares + far * (shares - before))
    changes = [float(np.abs(new - old).max()) for old, new in itertools.pairwise(curves)]
    error = max(2.0 * changes[-1], *changes[-2:-1], 0.0) + short
    layer = circle.layer
    index = layer.residual_index() if circle.residual else layer.fredholm_index()
    delay = -index.value / layer.width if index.certified and index.value is not None else None
    curve = np.maximum.accumulate(np.clip(curves[-1], 0.0, limit))
    text = f"Wilson's iteration at {len(rungs)} levels of noise, to no noise; index: {index.method}"
    return Recovery(curve, min(1.0, error), (limit, 0.0), delay, False, math.inf, text)


def _with_noise(circle: _Circle, snr: float, horizon: int) -> Recovery:
    """Return the curve on the finest grid, with its change from the grid before as the error."""
    noise = 1.0 / snr / circle.power
    error, energy = 1.0, np.zeros(2)
    for finer in circle.rungs(noise, 1.0, _FINE):
        change = np.abs(_shares(finer, horizon) - _shares(energy, horizon)).max()
        error = min(1.0, max(float(change), abs(float(finer.sum() - energy.sum()))) + _FINE**2)
        energy = finer
        if error <= _GOOD:
            break
    curve, limit = np.minimum(_shares(energy, horizon), 1.0), float(energy.sum())
    early = energy[: energy.size // 2]
    delay = float((np.arange(early.size) * early).sum()) / limit if limit > 0.0 else None
    return Recovery(curve, error, (min(limit, 1.0), error), delay, False, snr, "Wilson's iteration")


def _shares(energy: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """Return R(0) .. R(horizon); lags in the later half of the circle are those that folded back."""
    return np.cumsum(resized(energy[: energy.size // 2], horizon + 1))


def layer_taps(layer: MultiHeadSymbol) -> NDArray[Any]:
    """Return the heads' kernels, shape (H, n), shorter ones padded with zeros."""
    longest = max(map(len, layer.heads))
    return np.array([resized(a.kernel, longest) for a in layer.heads])


class _Circle:
    """The layer's symbol on finer and finer grids, in units of its root mean square, and its outer factors.

    Attributes
    ----------
    power : float
        Mean variance of an output channel for white input.
    rank : int
        Rank of the symbol at most points of the circle.
    """

    def __init__(self, layer: MultiHeadSymbol, residual: bool) -> None:
        self.layer, self.residual = layer, residual
        self.taps = layer_taps(layer)
        self._forward, self._backward = transforms(np.iscomplexobj(self.taps))
        n, d = self.taps.shape[1], layer.width
        self.points = 1 << math.ceil(math.log2(max(_FEWEST_POINTS, _POINTS_PER_TAP * n)))
        if 4 * self.points * d**2 > _MOST_NUMBERS:
            raise NumericalError(
                f"{4 * self.points} points of the circle with {d} x {d} matrices do not fit into memory: "
                "pass kernels with fewer taps, or ask the heads' symbols one by one"
            )
        self.power = 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            symbol = self._symbol(self.points)
            self.power = float((np.abs(symbol) ** 2).sum(axis=(1, 2)).mean()) / d
        if not self.power > 0.0:
            raise InputError("the symbol is identically 0: its outputs give back nothing")
        if not math.isfinite(self.power):
            raise NumericalError("the outputs' variance leaves float64's range: scale the weights")
        self.rank = max(int(np.linalg.matrix_rank(symbol[at])) for at in (1, 2, 3))

    def rungs(self, noise: float, ratio: float, settled: float) -> Iterator[NDArray[np.float64]]:
        """Yield ||C_k||_F^2 / d by lag: each grid twice as fine as the last, the noise ``ratio`` times its.

        The inverse of the outer factor on one grid, a short filter, is where the next begins.
        """
        points, d = self.points, self.layer.width
        inverse = None
        while points <= 4 * self.points or (
            points * d**2 <= _MANY_NUMBERS and points <= _MOST_DOUBLED * self.points
        ):
            symbol = self._symbol(points) / math.sqrt(self.power)
            power = symbol @ symbol.conj().swapaxes(1, 2)
            power += noise * np.eye(d)
            if inverse is None:
                mean = self._lags(power, points)[0]
                root = np.linalg.cholesky(0.5 * (mean + mean.conj().T))
                inverse = np.broadcast_to(np.linalg.inv(root), power.shape).astype(complex)
            else:
                inverse = self._nodes(self._lags(inverse, points // 2), points)
            inverse = self._whitened(power, inverse, points, settled)
            series = self._lags(inverse @ symbol, points)
            yield (np.abs(series) ** 2).sum(axis=(1, 2)) / d
            points, noise = 2 * points, ratio * noise

    def _whitened(
        self, power: NDArray[Any], inverse: NDArray[Any], points: int, settled: float
    ) -> NDArray[Any]:
        """Return X = G^-1 on the nodes, power = G G^H, by Newton's method from ``inverse``."""
        eye = np.eye(power.shape[1])
        for _ in range(_STEPS):
            step = inverse @ power @ inverse.conj().swapaxes(1, 2)
            step += step.conj().swapaxes(1, 2)
            step *= 0.5
            step += eye
            for row in range(len(eye)):  # a row at a time stays in the cache
                lags = self._lags(step[:, row], points)
                lags[0] *= 0.5
                lags[points // 2 :] = 0.0
                step[:, row] = self._nodes(lags, points)
            inverse = np.linalg.solve(step, inverse)
            change = float(np.abs(step - eye).max())
            if change <= settled:
                return inverse
            if not math.isfinite(change):
                break
        raise NumericalError("the spectral factorisation does not converge: more noise (a smaller snr) helps")

    def _symbol(self, points: int) -> NDArray[np.complex128]:
        """Return A or I + A at e^(-2 pi i m / points), the half of the circle where that is enough."""
        values = np.repeat(self._nodes(self.taps.T, points), self.layer.channels, axis=1)
        symbol = (self.layer.w_out * values[:, None, :]) @ self.layer.w_in
        return np.asarray(symbol + np.eye(self.layer.width) if self.residual else symbol, dtype=complex)

    def _lags(self, values: NDArray[Any], points: int) -> NDArray[Any]:
        return self._backward(values, points, axis=0)

    def _nodes(self, lags: NDArray[Any], points: int) -> NDArray[Any]:
        return self._forward(lags, points, axis=0)
