"""Kernels through training: the numbers of every saved step, computed once and kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from toeplitz_theory.cache import file_hash
from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_json, write_json
from toeplitz_theory.operators import Symbol
from toeplitz_theory.threads import one_thread

_VERSION = 2  # raise when what is computed below changes
_LONGEST = 1 << 30  # bytes of the kept steps
_NUMBERS = ("index", "delay_50", "delay_90", "jensen_deficit", "log10_condition")


@dataclass(frozen=True)
class Trajectory:
    """Numbers of each kernel (second axis) at each saved step (first axis).

    Parameters
    ----------
    steps : list of int
        Optimiser steps.
    layers : list of str
        Layer of each kernel, in model order.
    index, delay_50, delay_90, jensen_deficit, log10_condition : list of list of float
        By step, then kernel; None where it could not be certified.

    Examples
    --------
    >>> Trajectory([0], ["blocks.0"], [[-1]], [[1]], [[2]], [[0.5]], [[2.0]]).steps
    [0]
    """

    steps: list[int]
    layers: list[str]
    index: list[list[int | None]]
    delay_50: list[list[int | None]]
    delay_90: list[list[int | None]]
    jensen_deficit: list[list[float]]
    log10_condition: list[list[float]]


def kernel_trajectory(
    folder: str | os.PathLike[str], cache: str | os.PathLike[str] | None = None
) -> Trajectory:
    """Analyse the kernels a training run saved on its way.

    Parameters
    ----------
    folder : path-like
        Holds ``step-N.safetensors`` files.
    cache : path-like, optional
        A JSON file that keeps finished steps under the hash of their file, so that an interrupted
        analysis goes on where it stopped.

    Returns
    -------
    Trajectory

    Raises
    ------
    InputError
        The folder holds no saved steps.

    Examples
    --------
    >>> kernel_trajectory("models/tmm-next-token/kernels").steps[:2]  # doctest: +SKIP
    [0, 200]
    """
    paths = {path.stem.removeprefix("step-"): path for path in Path(folder).glob("step-*.safetensors")}
    files = {int(step): paths[step] for step in sorted(filter(str.isdecimal, paths), key=int)}
    if not files:
        raise InputError(
            f"{folder}: holds no step-N.safetensors; give the kernels/ folder of a trained model"
        )
    advice = "delete it to compute the steps anew"
    kept = read_json(cache, _LONGEST, advice) if cache is not None and os.path.exists(cache) else {}
    results = []
    for path in files.values():
        name = f"{_VERSION}:{file_hash(path)}"
        if name not in kept:
            kept[name] = _numbers(path)
            if cache is not None:
                write_json(cache, kept)
        results.append(kept[name])
    numbers: dict[str, Any] = {
        name: [[inf if v == "inf" else v for v in step[name]] for step in results] for name in _NUMBERS
    }
    return Trajectory(steps=list(files), layers=results[0]["layers"], **numbers)


def _numbers(path: Path) -> dict[str, list]:
    """The numbers of one step as JSON holds them, which has no infinities: they are "inf"."""
    layers = load(path).layers
    with one_thread():
        numbers = [_of_kernel(layer.kernel) for layer in layers]
    columns = ([("inf" if v == inf else v) for v in column] for column in zip(*numbers, strict=True))
    return {"layers": [layer.layer for layer in layers], **dict(zip(_NUMBERS, columns, strict=True))}


def _of_kernel(kernel: np.ndarray) -> tuple[float | None, ...]:
    symbol = Symbol(kernel)
    recovery = symbol.recovery()
    delays = [recovery.delay(share) for share in (0.5, 0.9)]
    return (
        symbol.fredholm_index().value,
        *(int(delay) if delay is not None and delay.certified else None for delay in delays),
        float(symbol.jensen_deficit()),
        float(symbol.section().log10_condition()),
    )
