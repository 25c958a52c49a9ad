"""Which way to multiply: by a fixed table, so that a model gives the same numbers wherever it runs.

The table goes by device, length and channels a head, and not by the batch: a sequence alone and in a batch is
multiplied alike. It was measured on a CPU (`benchmarks/mixing.py --grid`), forward and backward in float32,
for lengths of 16 to 4096, 1 to 256 channels and 1 to 16 heads: with 8 samples it takes at most 1.5 times as
long as the fastest way, 2 % longer in the mean; with one sample up to 1.8 times, where that is a millisecond
or less in most cases.
"""

from functools import lru_cache

import torch
from torch import Tensor

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.products import blocked, dense, fft

WAYS = {"fft": fft, "dense": dense, "blocked": blocked}
METHODS = ("auto", *WAYS)


def way_by_table(device: str, t: int, channels: int) -> str:
    """Return the name of a way for t positions and heads of so many channels each."""
    if device != "cpu":  # one dense product is less to start than several transforms
        return "dense" if t <= 128 else "fft"
    # A head's channels are the columns of the matrix products that the other ways are made of.
    if channels < 8:
        return "fft"
    if t <= 64:
        return "dense"
    return "blocked" if channels >= 16 else "fft"


def chosen_way(method: str, x: Tensor, w: Tensor) -> str:
    """Return the name of a way for the product of ``x`` (B, t, H c) with kernels ``w`` (H, t).

    Raises
    ------
    InputError
        When there is no such method.
    """
    if method in WAYS:
        return method
    if method != "auto":
        raise InputError(f"method={method!r} is not one of {', '.join(METHODS)}")
    return way_by_table(x.device.type, x.shape[1], x.shape[2] // max(1, len(w)))


@lru_cache(maxsize=64)  # asked for at every product
def inner_dtype(x: torch.dtype, w: torch.dtype) -> torch.dtype:
    """Return the dtype of the arithmetic: half precisions are widened to float32."""
    return torch.promote_types(torch.promote_types(x, w), torch.float32)
