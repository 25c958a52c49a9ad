"""Which way to multiply: asked for, looked up in a fixed table, or measured once on this machine.

Measured is on CPUs; accelerators take the FFT above a few positions. Ways differ in rounding, so a training
run that is killed and goes on must choose as before. What was measured is therefore kept in a file, one for
each machine and class of shapes, and what cannot be kept is not used: where the file cannot be written the
table decides. Delete the folder ``products`` in the cache folder to
measure anew. The environment variable TOEPLITZ_THEORY_PRODUCT overrides ``"auto"``: with one of the ways, or
``table``, which never measures.
"""

import json
import os
import warnings
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import cache_folder, write_json
from toeplitz_theory.tmm.products import blocked, dense, fft
from toeplitz_theory.tmm.products.timing import faster_way, machine

WAYS = {"fft": fft, "dense": dense, "blocked": blocked}
METHODS = ("auto", *WAYS)
VARIABLE = "TOEPLITZ_THEORY_PRODUCT"

# On the CPUs measured (benchmarks/mixing.py) the written-out matrix won up to here, and blocks from there on.
DENSE_UP_TO = 64
# Blocks are products of small matrices with a head's channels: with fewer than these the FFT won.
BLOCKS_FROM_CHANNELS = 8
# On accelerators, not measured: up to here one dense product rather than several transforms.
DENSE_ELSEWHERE_UP_TO = 128
# Beyond this length its square is not worth a try, in time or in memory.
NEVER_DENSE_FROM = 1024
# Counted up when a way gets faster or slower: choices kept before are measured anew.
REVISION = 2
# Below so many multiply-adds of a dense product no choice matters, and none is measured.
SMALL = 2**24


def chosen_method(method: str, x: Tensor, w: Tensor) -> str:
    """Return the name of one of the ways for a product of ``x`` (B, t, H c) with kernels ``w`` (H, t).

    Raises
    ------
    ValueError
        When the method, or the environment variable, names none.
    """
    if method == "auto":
        method = os.environ.get(VARIABLE) or "auto"
        if method not in (*METHODS, "table"):
            raise ValueError(f"{VARIABLE}={method!r} is not one of table, {', '.join(METHODS)}")
    elif method not in METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(METHODS)}")
    if method in WAYS:
        return method
    batch, t, width = x.shape
    heads = max(1, len(w))
    channels = width // heads
    # Accelerators go by the table: to time them is to stall their queue, which graph capture forbids.
    plain = type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu"
    if method == "table" or not plain or batch * t * t * width < SMALL:
        return by_table(x.device.type, t, channels)
    return _measured(inner_dtype(x, w), shape_class(batch, t, heads, channels), torch.get_num_threads())


def inner_dtype(x: Tensor, w: Tensor) -> torch.dtype:
    """Return the dtype of the arithmetic: half precisions are widened to float32."""
    return _promoted(x.dtype, w.dtype)


@lru_cache(maxsize=64)
def _promoted(x: torch.dtype, w: torch.dtype) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x, w), torch.float32)


def by_table(device: str, t: int, channels: int) -> str:
    """Return the way for t positions and heads of so many channels that needs no measuring."""
    if t <= (DENSE_UP_TO if device == "cpu" else DENSE_ELSEWHERE_UP_TO):
        return "dense"
    return "blocked" if device == "cpu" and channels >= BLOCKS_FROM_CHANNELS else "fft"


@lru_cache(maxsize=1024)  # asked for at every product
def shape_class(batch: int, t: int, heads: int, channels: int) -> tuple[int, int, int, int]:
    """Return the shape that stands for all of its class: four lengths an octave, powers of two beside."""
    quarter = 1 << max(0, (t - 1).bit_length() - 3)
    return min(_power(batch), 8), -(-t // quarter) * quarter, _power(heads), _power(channels)


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()


@lru_cache(maxsize=1024)
def _measured(dtype: torch.dtype, shape: tuple[int, int, int, int], threads: int) -> str:
    default = by_table("cpu", shape[1], shape[3])
    key = {"machine": machine(), "dtype": str(dtype), "shape": list(shape), "threads": threads}
    key |= {"revision": REVISION}
    path = cache_folder() / "products" / f"{sha256(json.dumps(key).encode()).hexdigest()[:24]}.json"
    kept = _kept(path)
    if kept is not None:
        return kept
    ways = {name: way for name, way in WAYS.items() if name != "dense" or shape[1] < NEVER_DENSE_FROM}
    try:
        method, milliseconds = faster_way(ways, default, dtype, shape)
        if _kept(path) is None:  # another process may have been faster, and its choice stands
            write_json(path, key | {"method": method, "milliseconds": milliseconds})
    except (OSError, InputError) as error:
        warnings.warn(
            f"the fastest Toeplitz product cannot be remembered ({error}): using {default!r}, which needs no "
            "measuring; set TOEPLITZ_THEORY_CACHE to a folder that can be written",
            stacklevel=2,
        )
    # Read back, so that this process does what the next one will.
    return _kept(path) or default


def _kept(path: Path) -> str | None:
    """Return the choice kept in a file; None when there is none, or nothing sensible in it."""
    try:
        method = json.loads(path.read_text(encoding="utf-8"))["method"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return method if method in WAYS else None
