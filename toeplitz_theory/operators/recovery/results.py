"""Recovery curves, delays and memories, with what is proved about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, whole_number
from toeplitz_theory.operators.matrix.information_limit import check_snr
from toeplitz_theory.operators.results import Count
from toeplitz_theory.operators.rounding import split_scale


class Delay(Count):
    """A number of tokens, with the bracket that the error of the shares leaves.

    Attributes
    ----------
    lower : int
        No shorter delay can reach the share asked for.
    upper : int or None
        This delay reaches it for certain; None where that is not known within the horizon.
    certified : bool
        Whether the delay itself is proved: the bracket is one number and the shares' error is proved.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> delay = Symbol([1.0, -2.0]).recovery().delay(0.9)
    >>> delay + 0, delay.lower, delay.upper, delay.certified
    (2, 2, 2, True)
    """

    def __repr__(self) -> str:
        if self.certified:
            return f"Delay({int(self)}, certified)"
        return f"Delay({int(self)}, from {self.lower} to {'?' if self.upper is None else self.upper})"

    __str__ = int.__repr__


@dataclass(frozen=True, repr=False)
class Recovery(Displayed):
    """The share R(L) of its input that a layer's outputs give back within L tokens.

    For white input of unit variance and ``y = T(a) x + noise``: the share of the variance of x[t] that the
    best linear estimate from all outputs up to t + L recovers.

    Attributes
    ----------
    curve : ndarray, shape (horizon + 1,)
        R(0), R(1), ... R(horizon): shares from 0 to 1 that never fall.
    error : float
        No share is off by more; proved if ``certified``, an estimate if not.
    limit : float
        R(L) for L to infinity: 1 without noise.
    limit_error : float
        The same for the limit.
    mean_delay : float or None
        ``sum_k k (R(k) - R(k - 1)) / limit``, in tokens. Without noise the proved number of zeros inside the
        disc, minus the index; None where it could not be proved. With noise an estimate.
    certified : bool
        Whether ``error`` and ``limit_error`` are proved.
    snr : float
        Ratio of the variances of input and noise; inf without noise.
    method : str
        What proved it, or what stood in the way.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> r = Symbol([1.0, -2.0]).recovery()
    >>> r.share([0, 1, 2, 3]).round(12).tolist(), r.mean_delay
    ([0.25, 0.8125, 0.953125, 0.98828125], 1)
    >>> r
    Recovery(0.25 at once, 90 % after 2, mean delay 1, certified)
    """

    curve: NDArray[np.float64]
    error: float
    _limit: tuple[float, float] | Callable[[], tuple[float, float]]
    _mean_delay: float | Callable[[], float | None] | None
    certified: bool
    snr: float
    method: str = ""

    def __post_init__(self) -> None:
        self.curve.flags.writeable = False

    # With noise the proof of the limit takes a quarter of the time, so it waits until someone asks.

    @property
    def limit(self) -> float:
        """R(L) for L to infinity: 1 without noise."""
        return self._kept("_limit")[0]

    @property
    def limit_error(self) -> float:
        """The limit is not off by more."""
        return self._kept("_limit")[1]

    @property
    def mean_delay(self) -> float | None:
        """Tokens that pass in the mean until the input comes back; None where unknown."""
        return self._kept("_mean_delay")

    def _kept(self, name: str) -> Any:
        value = getattr(self, name)
        if callable(value):
            value = value()
            object.__setattr__(self, name, value)  # and what it was computed from can go
        return value

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {name: self._kept(name) for name in ("_limit", "_mean_delay")}

    @property
    def at_once(self) -> float:
        """R(0), the share that the outputs up to the input's own position give back."""
        return float(self.curve[0])

    @property
    def horizon(self) -> int:
        """The longest delay of ``curve``, in tokens."""
        return int(self.curve.size - 1)

    def share(self, delay: ArrayLike) -> Any:
        """Return R at one delay or an array of them.

        Parameters
        ----------
        delay : int or array_like of int
            Tokens, from 0 to the horizon.

        Returns
        -------
        float, or ndarray of delay's shape

        Raises
        ------
        InputError
            If a delay is not an integer from 0 to the horizon.
        """
        places = np.asarray(delay)
        if places.dtype.kind not in "iu" or (places < 0).any() or (places > self.horizon).any():
            raise InputError(
                f"delay is {delay!r}: pass integers from 0 to the horizon {self.horizon}, "
                "or ask for the recovery with a longer horizon"
            )
        shares = self.curve[places]
        return shares if places.ndim else float(shares)

    def delay(self, q: float) -> Delay | None:
        """Return the smallest L with R(L) >= q times the limit, or None if that is past the horizon.

        Parameters
        ----------
        q : float
            A share, 0 < q <= 1.

        Returns
        -------
        Delay or None
            An integer with ``lower`` and ``upper``: a share within ``error`` of the threshold proves nothing.

        Raises
        ------
        InputError
            If q is not in (0, 1].
        """
        if not 0.0 < q <= 1.0:
            raise InputError(f"q is {q}: a share of the limit, above 0 and at most 1")
        if not self.limit > 0.0:
            return None
        tokens = self._first(q * self.limit)
        if tokens is None:
            return None
        # The product with q rounds by 1 u.
        slack = self.error + q * self.limit_error + 2.0**-52 * (self.error > 0)
        lower = self._first(q * self.limit - slack)
        upper = self._first(q * self.limit + slack)
        return Delay(tokens, lower or 0, upper, self.certified and lower == upper)

    def _first(self, threshold: float) -> int | None:
        place = int(np.searchsorted(self.curve, threshold))
        return place if place < self.curve.size else None

    def __repr__(self) -> str:
        parts = [f"{self.at_once:.4g} at once"]
        ninety = self.delay(0.9)
        parts.append(f"90 % after {'more than ' + str(self.horizon) if ninety is None else str(ninety)}")
        if self.mean_delay is not None:
            parts.append(f"mean delay {self.mean_delay:.4g}")
        if math.isfinite(self.snr):
            parts.append(f"{self.limit:.4g} in the end at snr {self.snr:.4g}")
        return f"Recovery({', '.join(parts)}, {'certified' if self.certified else 'estimate'})"


def all_after(lead: int, size: int) -> Recovery:
    """Return the curve R(0) .. R(size - 1) of ``z^lead`` times an outer symbol, without noise."""
    curve = (np.arange(size) >= lead).astype(float)
    return Recovery(curve, 0.0, (1.0, 0.0), lead, True, math.inf, "a shift times an outer kernel")


def check_channel(snr: float, horizon: int | None, default: int) -> int:
    """Return the horizon, ``default`` where none is given; refuse what is no ratio or no number of tokens."""
    if snr != math.inf:
        check_snr(snr)
    refusal = f"horizon is {horizon!r}: a number of tokens, 0 or more"
    return whole_number(default if horizon is None else horizon, 0, None, refusal)


@dataclass(frozen=True, repr=False)
class Memory(Displayed):
    """What one output holds of the inputs k tokens back.

    Attributes
    ----------
    shares : ndarray, shape (n,)
        For one kernel the shares ``|w[k]|^2 / |w|^2`` of the output's variance, white input; for a layer the
        capacities C_k, the number of input channels that can be read off the output vector.
    total : float
        Their sum: 1 for a kernel, the rank of the outputs (the width) for a layer without noise.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> memory = Symbol([1.0, 0.0, -1.0, 0.0]).memory()
    >>> memory.shares.tolist(), memory.mean_lag, memory.late
    ([0.5, 0.0, 0.5, 0.0], 1.0, 0.5)
    """

    shares: NDArray[np.float64]
    total: float

    @property
    def mean_lag(self) -> float:
        """``sum_k k shares[k] / total``, in tokens."""
        return float((np.arange(self.shares.size) * self.shares).sum() / self.total)

    @property
    def late(self) -> float:
        """The part of the total that comes from the earlier half of the window, lags n/2 and more."""
        return float(self.shares[(self.shares.size + 1) // 2 :].sum() / self.total)

    def within(self, lag: int) -> float:
        """Return the part of the total that comes from at most ``lag`` tokens back."""
        return float(self.shares[: max(0, lag + 1)].sum() / self.total)

    def __repr__(self) -> str:
        return f"Memory(total {self.total:.4g}, mean lag {self.mean_lag:.4g}, late {self.late:.4g})"


def kernel_memory(taps: NDArray[Any]) -> Memory:
    """Return the shares ``|w[k]|^2 / |w|^2`` of the last output's variance, for white input."""
    scaled, _ = split_scale(taps)
    energy = np.abs(scaled) ** 2
    if not energy.any():
        raise InputError("all weights are 0: the output holds nothing of its input")
    return Memory(energy / energy.sum(), 1.0)
