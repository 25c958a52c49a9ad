"""Kernels as the analysis takes them: finite 1-D arrays of float64 or complex128, stored values exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError

Kernel = NDArray[np.float64] | NDArray[np.complex128]


def as_kernel(values: Any, *, name: str = "kernel") -> Kernel:
    """Return ``values`` as a read-only float64 or complex128 array, exactly.

    Half, bfloat16, single and double precision and integers are widened without rounding; complex
    input stays complex. Torch tensors are taken as they are, without importing torch.

    Parameters
    ----------
    values : array_like, shape (n,)
        ``values[k]`` multiplies ``z**k``.
    name : str, optional
        What the error messages call it.

    Returns
    -------
    ndarray, shape (n,), float64 or complex128
        A read-only copy.

    Raises
    ------
    InputError
        If it is empty, not one-dimensional, not numeric, not finite, masked, or has values that
        float64 cannot hold exactly.

    Examples
    --------
    >>> as_kernel([1, -2])
    array([ 1., -2.])
    >>> as_kernel([1.0, float("nan")])
    Traceback (most recent call last):
    ...
    toeplitz_theory.errors.InputError: kernel[1] is nan: every tap must be finite, check how it was saved
    """
    array = _to_numpy(values, name)
    if array.ndim != 1:
        raise InputError(
            f"{name} has shape {array.shape}: pass one row of taps, a 1-D array such as weight[head]"
        )
    if array.size == 0:
        raise InputError(f"{name} is empty: it needs at least one tap")
    wide = _widen(array, name)
    if not np.isfinite(wide).all():
        k = int(np.flatnonzero(~np.isfinite(wide))[0])
        raise InputError(f"{name}[{k}] is {wide[k]}: every tap must be finite, check how it was saved")
    wide.flags.writeable = False
    return wide


def _to_numpy(values: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(values):
        raise InputError(f"{name} has masked values: fill them before the analysis")
    if hasattr(values, "detach") and hasattr(values, "is_complex"):  # a torch tensor: numpy has no bfloat16
        tensor = values.detach().cpu()
        if tensor.dtype.is_floating_point:
            tensor = tensor.double()
        values = tensor.resolve_conj().numpy()
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of numbers: pass a 1-D sequence of taps") from error


def _widen(array: NDArray[Any], name: str) -> Kernel:
    # Kind "V" is how extension types such as ml_dtypes.bfloat16 present themselves.
    if array.dtype.kind not in "iufcV" or array.dtype.names:
        raise InputError(f"{name} has dtype {array.dtype}: taps must be integers, floats or complex numbers")
    wide: Kernel
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            is_complex = array.dtype.kind == "c"
            wide = array.astype(np.complex128) if is_complex else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} has dtype {array.dtype}, which cannot be read as numbers") from error
    _check_exact(array, wide, name)
    return wide


def _check_exact(array: NDArray[Any], wide: Kernel, name: str) -> None:
    """Raise unless ``wide`` holds the values of ``array`` to the last bit."""
    if array.dtype.kind in "iu":
        big = np.flatnonzero(np.abs(wide) >= 2.0**53)
        # Python integers compare exactly; int64 against float64 in numpy would round first.
        lost = [k for k in big if int(array[k]) != int(wide[k])]
    elif array.dtype.kind in "fc" and array.dtype.itemsize > wide.dtype.itemsize:
        lost = list(
            np.flatnonzero((array.astype(array.dtype) != wide.astype(array.dtype)) & ~np.isnan(array))
        )
    else:
        return
    if lost:
        raise InputError(
            f"{name}[{lost[0]}] = {array[lost[0]]} has more digits than float64 holds: round it first"
        )
