"""Singular values of a section, each with a bound on its error: also those below float64's noise.

`singular_values` chooses, since no one way is good at every size and depth:

=========================== ============================ ===================================================
which                       how                          why
=========================== ============================ ===================================================
all, or many, in float64    LAPACK's eigensolver of the  n^3 operations and 8 n^2 bytes, up to 16,384 tokens
                            Hankel matrix
of these, below its noise   `elimination`                a few products more; errors to first order in u
where that cannot           `bidiagonal`                 needs no pivots; slower, and much slower in many bits
a few, above 2048 tokens    `extreme`: block Lanczos,    some hundred vectors of n numbers; says whether it is
                            or `waves` in a box          proved that none was missed
of these, below its noise   all, up to 8192 tokens;      `bidiagonal` gives up where values lie close together
                            else `bidiagonal`
=========================== ============================ ===================================================
"""

from __future__ import annotations

import math
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.kernels import Kernel, leading_zeros
from toeplitz_theory.operators.matrix.bidiagonal import MOST_WORK, smallest_values
from toeplitz_theory.operators.matrix.condition import log10_condition
from toeplitz_theory.operators.matrix.elimination import smallest_by_deflation
from toeplitz_theory.operators.matrix.extreme import largest, smallest, with_error
from toeplitz_theory.operators.product import dense_causal
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, shift_exponent, split_scale, without_specks
from toeplitz_theory.threads import one_thread

_DENSE_UP_TO = 2048  # above, a few extreme values are computed without a matrix
_SOON_UP_TO = 8192  # up to here LAPACK separates, in a minute and half a GiB, what float64's Lanczos has not
ALL_UP_TO = 16_384  # 2 GiB of matrix, and hours
_ONE_THREAD_UP_TO = 1024  # on a busy machine more of them take 3 to 40 times the CPU up to here
_LITTLE_WORK = 2e9  # of a bidiagonalisation: some seconds, to be surer of what is known
_POOR = 1e-6  # relative error above which a value is computed from the inverse instead


@dataclass(frozen=True, repr=False)
class SingularValues(Displayed):
    """Singular values in descending order, with their relative errors.

    Attributes
    ----------
    values : ndarray, shape (k,), float64
        0 where a value is below float64's range: then read ``log10``.
    log10 : ndarray, shape (k,), float64
        Their logarithms; -inf for an exact zero.
    relative_error : ndarray, shape (k,), float64
        Bound of ``|sigma - exact| / exact`` for `values` and for ``10**log10``, whose own rounding counts:
        from the normwise error n u sigma_max of LAPACK's eigensolver, or from residuals; infinite where only
        an upper bound is known.
    method : str
        Where they come from; for extreme ones of long sections, whether it is proved that none was missed.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> values = CausalToeplitz([1.0, -2.0], n=200).singular_values(full=True)
    >>> values.log10[-1].round(3), values.values[0].round(3), bool(values.relative_error.max() < 1e-9)
    (np.float64(-60.03), np.float64(3.0), True)
    """

    values: NDArray[np.float64]
    log10: NDArray[np.float64]
    relative_error: NDArray[np.float64]
    method: str

    def __len__(self) -> int:
        return int(self.values.size)

    def known(self) -> NDArray[np.float64]:
        """Return the values.

        Raises
        ------
        NumericalError
            If one is not known to 1 %.
        """
        unknown = int(np.count_nonzero(~(self.relative_error <= 0.01)))
        if unknown:
            raise NumericalError(
                f"{unknown} of {len(self)} singular values are not known to 1 %: "
                "pass full=True and read relative_error"
            )
        return self.values

    def select(self, which: slice) -> SingularValues:
        """Return some of them."""
        return SingularValues(self.values[which], self.log10[which], self.relative_error[which], self.method)


def singular_values(taps: Kernel, k: int | None, which: str, more_bits: bool) -> SingularValues:
    """Return all singular values, or the k smallest or largest; see `CausalToeplitz.singular_values`."""
    n = taps.size
    count = n if k is None else k
    if not (isinstance(count, (int, np.integer)) and 1 <= count <= n):
        raise InputError(f"k is {k}: ask for 1 to {n} singular values")
    if which not in ("smallest", "largest"):
        raise InputError(f"which is {which!r}: 'smallest' or 'largest'")
    count = int(count)
    if n > _DENSE_UP_TO and count <= n // 32:
        only = n > _SOON_UP_TO
        values = extreme_values(taps, count, which, more_bits and only)
        if only or values.relative_error.max() <= _POOR:
            return values
    if n > ALL_UP_TO:
        raise InputError(
            f"{count} singular values of a {n} x {n} section need a dense matrix: "
            f"ask for k <= {n // 32} of them, or for a section of n <= {ALL_UP_TO}"
        )
    return all_values(taps, more_bits).select(slice(n - count, n) if which == "smallest" else slice(0, count))


def check_room(n: int, what: str, instead: str = "") -> None:
    """Raise NumericalError where ``what`` needs a dense matrix that is too large."""
    if n > ALL_UP_TO:
        size = f"{8 * n * n / 2**30:.0f} GiB"
        raise NumericalError(f"{what} a dense matrix of {size}: take a section of n <= {ALL_UP_TO}{instead}")


def dense_values(taps: Kernel) -> NDArray[np.float64]:
    """Return all singular values of the section with first column ``taps`` (n,), descending, by LAPACK.

    Reversing the columns of a Toeplitz matrix gives a Hankel matrix: symmetric when real, so its singular
    values are its eigenvalues' moduli, at half the work of a singular value decomposition.
    Absolute error: at most about n u sigma_max (a backward stable eigensolver).

    Examples
    --------
    >>> dense_values(np.array([1.0, 1.0])).round(4)
    array([1.618, 0.618])
    """
    zeros = leading_zeros(taps)
    n = taps.size
    if zeros:  # T = S^zeros T', whose singular values are those of the smaller T' and exact zeros
        rest = dense_values(taps[zeros:]) if zeros < n else np.zeros(0)
        return np.concatenate([rest, np.zeros(zeros)])
    check_room(n, f"all singular values of a {n} x {n} section need")
    scaled, exponent = split_scale(taps)
    matrix = dense_causal(without_specks(scaled))
    with one_thread() if n <= _ONE_THREAD_UP_TO else nullcontext():
        if np.iscomplexobj(taps):
            values = scipy.linalg.svdvals(matrix, overwrite_a=True, check_finite=False)
        else:
            values = np.sort(np.abs(np.linalg.eigvalsh(matrix[:, ::-1])))[::-1]
    return shift_exponent(values, exponent)


def all_values(taps: Kernel, more_bits: bool = True) -> SingularValues:
    """Return all n singular values of the section with first column ``taps`` (n,)."""
    n, zeros = taps.size, leading_zeros(taps)
    scaled, exponent = split_scale(taps)
    values = dense_values(scaled)
    log10, error = with_error(values, exponent, eigensolver_error(values))
    error[n - zeros :] = 0.0
    values = shift_exponent(values, exponent)
    method = "singular value decomposition" if np.iscomplexobj(taps) else "eigenvalues of the Hankel matrix"
    count = int(np.count_nonzero(error > _POOR))
    if count and more_bits:
        rest = slice(0, n - zeros - count)
        chosen = slice(n - zeros - count, n - zeros)
        try:
            log10[chosen], error[chosen], how = _below_noise(taps[zeros:], log10[rest], error[rest])
        except NumericalError as reason:  # the errors stay infinite, and say so
            return SingularValues(values, log10, error + _log_error(log10, exponent), f"{method}; {reason}")
        method += f"; the smallest {count} by {how}"
        values[chosen] = _power_of_ten(log10[chosen])
    return SingularValues(values, log10, error + _log_error(log10, exponent), method)


def eigensolver_error(values: NDArray[np.float64]) -> float:
    """Return the absolute error of all ``values``, descending, from a backward stable eigensolver."""
    return (values.size + 8) * UNIT_ROUNDOFF * float(values[0])


def _power_of_ten(log10: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(under="ignore", over="ignore"):
        return np.asarray(10.0**log10)


def _log_error(log10: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Return the relative error that logarithms make, of taps scaled by 2**exponent; 0 for an exact 0."""
    sizes = 1.0 + abs(exponent) + math.log(10.0) * np.abs(log10)
    return np.where(np.isfinite(log10), 8.0 * UNIT_ROUNDOFF * sizes, 0.0)


def _below_noise(
    taps: Kernel, others: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return log10 of the values smaller than ``others``, their relative errors, and how they were found."""
    count = taps.size - others.size
    bits = log10_condition(taps, tight=False).upper / math.log10(2.0) + 8
    by_elimination = None
    with suppress(NumericalError):
        log10, error = smallest_by_deflation(taps, count, bits, float(others[0]) * math.log2(10.0))
        if _make_the_determinant(taps, np.concatenate([others, log10]), np.concatenate([errors, error])):
            by_elimination = log10, error, "elimination from the corner of the inverse"
            if error.max() <= _POOR:
                return by_elimination
    # The other way needs no pivots; it is slower, and much slower in many bits.
    most_work = MOST_WORK if by_elimination is None else _LITTLE_WORK
    try:
        return *smallest_values(taps, count, bits, most_work), "bidiagonalisation of the inverse"
    except NumericalError:
        if by_elimination is None:
            raise
        return by_elimination


def _make_the_determinant(taps: Kernel, log10: NDArray[np.float64], error: NDArray[np.float64]) -> bool:
    """Whether the product of all singular values is ``|det T| = |taps[0]|**n``, within their errors."""
    scaled, exponent = split_scale(taps[:1])
    expected = taps.size * (math.log10(abs(scaled[0])) + exponent * math.log10(2.0))
    allowed = float(error.sum()) + 1e-14 * (taps.size + float(np.abs(log10).sum()))
    return abs(float(log10.sum()) - expected) <= allowed


def extreme_values(taps: Kernel, count: int, which: str, more_bits: bool = True) -> SingularValues:
    """Return the ``count`` largest or smallest singular values of a long section, without a matrix.

    Examples
    --------
    >>> smallest = extreme_values(np.array([1.0, -2.0] + [0.0] * 98), 1, "smallest")
    >>> smallest.log10.round(3).tolist(), bool(smallest.relative_error.max() < 1e-6)
    ([-29.927], True)
    """
    n, zeros = taps.size, leading_zeros(taps)
    # T = S^zeros T': the singular values of the smaller T', and exact zeros.
    exact = min(zeros, count) if which == "smallest" else max(0, count - (n - zeros))
    log10, error, method = np.zeros(0), np.zeros(0), "exact"
    if count > exact:
        log10, error, method = _interleaved(taps[zeros:], count - exact, which, more_bits)
    log10, error = np.append(log10, np.full(exact, -np.inf)), np.append(error, np.zeros(exact))
    error += _log_error(log10, split_scale(taps)[1])
    return SingularValues(_power_of_ten(log10), log10, error, method)


def _interleaved(
    taps: Kernel, count: int, which: str, more_bits: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """For a(z) = f(z^step): ``step`` smaller sections of f, interleaved, whose values come as often."""
    find = partial(smallest, more_bits=more_bits) if which == "smallest" else largest
    step = math.gcd(*np.flatnonzero(taps).tolist())
    if step < 2:
        return find(taps, count)
    core = taps[::step]
    longer = taps.size - step * (core.size - 1)  # so many of core's size, the others one shorter
    parts = [(part, times) for part, times in ((core, longer), (core[:-1], step - longer)) if times]
    asked = [(part, min(math.ceil(count / times), part.size)) for part, times in parts]
    logs, errors, methods = zip(*(find(part, most) for part, most in asked), strict=True)
    copies = np.concatenate([np.full(len(x), times) for x, (_, times) in zip(logs, parts, strict=True)])
    log10, error = (np.repeat(np.concatenate(x), copies) for x in (logs, errors))
    order = np.argsort(-log10, kind="stable")
    order = order[-count:] if which == "smallest" else order[:count]
    return log10[order], error[order], f"{step} interleaved sections; {methods[0]}"


def proved_values(taps: Kernel) -> tuple[NDArray[np.float64], float]:
    """Return all singular values, descending, and a rigorous absolute error for every one of them.

    With computed eigenpairs (V, L) of a symmetric M, ``R = M V - V L`` and ``d = ||V^T V - I|| < 1``, the
    orthogonal polar factor Q of V gives ``||Q^T M Q - L|| <= (2 d ||L|| + ||R||) / sqrt(1 - d)``, and Weyl
    carries that to each eigenvalue. M is the Hankel matrix H = T J, or ``[[Re H, Im H], [Im H, -Re H]]``,
    whose eigenvalues are the singular values and their negatives.

    Examples
    --------
    >>> values, error = proved_values(np.array([1.0, 1.0]))
    >>> values.round(4), error < 1e-13
    (array([1.618, 0.618]), True)
    """
    scaled, exponent = split_scale(taps)
    hankel = dense_causal(scaled)[:, ::-1]
    if np.iscomplexobj(scaled):
        real, imag = np.real(hankel), np.imag(hankel)
        hankel = np.block([[real, imag], [imag, -real]])
    values, vectors = np.linalg.eigh(hankel)
    size, u = hankel.shape[0], UNIT_ROUNDOFF
    gamma = (size + 4) * u * 1.01
    spread = float(np.linalg.norm(vectors))  # Frobenius: about sqrt(size)
    largest = float(np.max(np.abs(values)))
    defect = float(np.linalg.norm(vectors.T @ vectors - np.eye(size))) + gamma * (spread**2 + 1)
    residual = float(np.linalg.norm(hankel @ vectors - vectors * values))
    # Rounding of the product: |H||V| <= ||H||_F ||V||_F entrywise summed, and of V L and the difference.
    residual += gamma * (float(np.linalg.norm(hankel)) * spread + 2 * largest * spread)
    if defect >= 0.5:
        raise NumericalError("the computed eigenvectors are not orthogonal: nothing is proved")
    error = (2 * defect * largest + residual) / math.sqrt(1 - defect) * (1 + gamma)
    ordered = np.sort(values)[::-1] if np.iscomplexobj(taps) else np.sort(np.abs(values))[::-1]
    positive = np.maximum(ordered[: taps.size], 0.0)
    return shift_exponent(positive, exponent), float(np.ldexp(error, exponent))
