r"""Recovery and memory of a layer with heads and projections, A(z) = W_out diag(a_h(z) I) W_in, or I + A.

With noise of variance s^2 on every output channel, S = A A^H + s^2 I on the circle has an outer factor G with
S = G G^H (Wiener and Masani). The innovations of the outputs are ``G^-1 y``, so ``C = G^-1 A`` is causal, and
the outputs up to t + L recover of x[t], in all channels together, ``R(L) = sum_{k <= L} ||C_k||_F^2 / d``.
Without noise C is the inner factor, and ``sum_k k ||C_k||_F^2`` the winding number of det A, minus the index.

G by Wilson's iteration (SIAM J. Appl. Math. 23, 1972) on N nodes of the circle: Newton's method,
``G <- G [G^-1 S G^-H + I]_+``, with [.]_+ the causal part and half of the term of lag 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.matrix.information_limit import check_snr
from toeplitz_theory.operators.recovery.results import Memory, Recovery
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

if TYPE_CHECKING:
    from toeplitz_theory.operators.layers.multihead import MultiHeadSymbol

_STEPS = 40
_SETTLED = 1e-6  # relative change of G at which Newton's method stops: the next one is its square
_POINTS_PER_TAP = 4
_FEWEST_POINTS = 256
_LITTLE_NOISE = 1e-4  # variance, of the mean output power: stands in for none


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
    if snr != math.inf:
        check_snr(snr)
    n = max(len(a) for a in layer.heads)
    count = 4 * n if horizon is None else horizon
    if isinstance(count, (bool, np.bool_)) or not isinstance(count, (int, np.integer)) or count < 0:
        raise InputError(f"horizon is {horizon!r}: a number of tokens, 0 or more")
    if snr == math.inf:
        power = _power(layer, residual)
        near, bound = _curve(layer, residual, _LITTLE_NOISE * power, count)
        far = _curve(layer, residual, 10.0 * _LITTLE_NOISE * power, count)[0]
        error = float(np.abs(near - far).max()) + bound
        index = layer.residual_index() if residual else layer.fredholm_index()
        delay = None if index.value is None else -index.value / layer.width
        text = f"Wilson's iteration at a noise of {_LITTLE_NOISE:g} of the output; index: {index.method}"
        return Recovery(near, error, 1.0, 0.0, delay, False, math.inf, text)
    curve, error = _curve(layer, residual, 1.0 / snr, count)
    limit = float(curve[-1])
    steps = np.diff(curve, prepend=0.0)
    delay = float((np.arange(curve.size) * steps).sum() / limit) if limit > 0.0 else None
    return Recovery(curve, error, limit, error, delay, False, snr, "Wilson's iteration")


def layer_taps(layer: MultiHeadSymbol) -> NDArray[Any]:
    """Return the heads' kernels, shape (H, n), shorter ones padded with zeros."""
    rows = [a.kernel for a in layer.heads]
    taps = np.zeros((len(rows), max(map(len, rows))), np.result_type(*rows))
    for row, kernel in zip(taps, rows, strict=True):
        row[: kernel.size] = kernel
    return taps


def _power(layer: MultiHeadSymbol, residual: bool) -> float:
    """Return the mean variance of an output channel for white input."""
    symbol = _symbol(layer, residual, 2 * max(len(a) for a in layer.heads))
    return float((np.abs(symbol) ** 2).sum(axis=(1, 2)).mean()) / layer.width


def _symbol(layer: MultiHeadSymbol, residual: bool, points: int) -> NDArray[np.complex128]:
    """Return A or I + A at e^(-2 pi i m / points), the half of the circle where that is enough."""
    taps = layer_taps(layer)
    transform: Any = scipy.fft.fft if np.iscomplexobj(taps) else scipy.fft.rfft
    values = np.repeat(transform(taps, points).T, layer.channels, axis=1)
    symbol = (layer.w_out * values[:, None, :]) @ layer.w_in
    return np.asarray(symbol + np.eye(layer.width) if residual else symbol, dtype=complex)


def _curve(
    layer: MultiHeadSymbol, residual: bool, noise: float, horizon: int
) -> tuple[NDArray[np.float64], float]:
    """Return R(0) .. R(horizon), and an estimate of its error.

    Coefficients past the grid fold back. If their energy is e, judged by the last quarter of the grid, shares
    move by about 2 sqrt(e) at most (Cauchy and Schwarz).
    """
    n = max(len(a) for a in layer.heads)
    points = 1 << math.ceil(math.log2(max(_FEWEST_POINTS, _POINTS_PER_TAP * n, horizon + 1)))
    is_complex = np.iscomplexobj(layer_taps(layer))
    symbol = _symbol(layer, residual, points)
    d = layer.width
    power = symbol @ symbol.conj().swapaxes(1, 2) + noise * np.eye(d)
    factor = _outer(power, points, is_complex)
    series = _to_lags(np.linalg.solve(factor, symbol), points, is_complex)
    energy = (np.abs(series) ** 2).sum(axis=(1, 2)) / d
    total = float(energy.sum())
    curve = np.cumsum(energy[: horizon + 1])
    curve = np.minimum(curve, 1.0)
    curve.flags.writeable = False
    folded = float(energy[3 * points // 4 :].sum())
    wrong = abs(total - float(_limit(symbol, power, points, is_complex)))
    return curve, min(1.0, 2.0 * math.sqrt(folded) + folded + wrong + 1e-12)


def _limit(symbol: NDArray[Any], power: NDArray[Any], points: int, is_complex: bool) -> float:
    """Return the mean of tr(A^H S^-1 A) / d: what the curve tends to."""
    shares = np.einsum("mij,mij->m", symbol.conj(), np.linalg.solve(power, symbol)).real / symbol.shape[1]
    weights = np.ones(shares.size)
    if not is_complex:
        weights[1:-1] = 2.0
    return float((weights * shares).sum() / points)


def _outer(power: NDArray[Any], points: int, is_complex: bool) -> NDArray[Any]:
    """Return the outer factor of ``power`` on the nodes."""
    d = power.shape[1]
    mean = _to_lags(power, points, is_complex)[0]
    factor = np.broadcast_to(np.linalg.cholesky(0.5 * (mean + mean.conj().T)), power.shape).copy()
    for _ in range(_STEPS):
        half = np.linalg.solve(factor, power)
        ratio = np.linalg.solve(factor, half.conj().swapaxes(1, 2))
        ratio = 0.5 * (ratio + ratio.conj().swapaxes(1, 2))
        ratio += np.eye(d)
        lags = _to_lags(ratio, points, is_complex)
        lags[0] *= 0.5
        lags[points // 2 :] = 0.0
        step = _to_nodes(lags, points, is_complex)
        change = float(np.abs(step - np.eye(d)).max())
        factor = factor @ step
        if change <= _SETTLED:
            return factor
        if not math.isfinite(change):
            break
    raise NumericalError("the spectral factorisation does not converge: more noise (a smaller snr) helps")


def _to_lags(values: NDArray[Any], points: int, is_complex: bool) -> NDArray[Any]:
    if is_complex:
        return np.asarray(scipy.fft.ifft(values, points, axis=0))
    return np.asarray(scipy.fft.irfft(values, points, axis=0))


def _to_nodes(lags: NDArray[Any], points: int, is_complex: bool) -> NDArray[Any]:
    return np.asarray((scipy.fft.fft if is_complex else scipy.fft.rfft)(lags, points, axis=0))
