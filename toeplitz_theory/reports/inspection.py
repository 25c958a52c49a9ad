"""``inspect``: a model's Toeplitz layers, analysed one by one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports.analysis import analyse
from toeplitz_theory.reports.progress import watched
from toeplitz_theory.reports.provenance import File, collect
from toeplitz_theory.reports.report import Report
from toeplitz_theory.reports.wording import HEADS_NOTE


def inspect(
    source: str | os.PathLike[str] | Mapping[str, Any] | Any,
    *,
    progress: bool = False,
    tol: float = 0.0,
    nullity_rtol: float = 1e-6,
) -> Report:
    """Analyse every Toeplitz layer of a model.

    Parameters
    ----------
    source : path-like, torch module or mapping
        A ``.safetensors``, ``.bin`` or ``.pt`` file, a folder holding one, a live module, or a state dict.
    progress : bool
        Show a progress bar with an estimate on stderr, once the work has taken a second.
    tol : float
        A symbol whose modulus falls to ``tol`` times its root mean square somewhere on the circle counts as
        not Fredholm. 0: only zeros exactly on the circle do.
    nullity_rtol : float
        Singular values at most this fraction of the largest count towards ``nullity``.

    Returns
    -------
    Report
        One row per layer and head; kernels that cannot be used are rows with a note and no numbers.

    Raises
    ------
    InputError
        The source cannot be read, holds no Toeplitz layer, or a tolerance is not a number >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> kernels = {"blocks.0.mixer.weight": [2.0, 1.0], "blocks.1.mixer.weight": [1.0, 2.0]}
    >>> report = inspect({key: np.array(kernel) for key, kernel in kernels.items()})
    >>> [row.index.value for row in report.rows]
    [0, -1]
    """
    for name, value in (("tol", tol), ("nullity_rtol", nullity_rtol)):
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise InputError(f"{name} = {value!r}: give a finite number >= 0")
    if nullity_rtol >= 1:
        raise InputError(
            f"nullity_rtol = {nullity_rtol!r}: every singular value is as small; give one below 1"
        )
    checkpoint = load(source)
    layers = checkpoint.layers
    rows = tuple(analyse(layer, tol, nullity_rtol) for layer in watched(layers, progress, "kernels"))
    return Report(
        rows=rows,
        skipped=tuple((entry.name, entry.reason) for entry in checkpoint.skipped),
        notes=(*checkpoint.notes, *((HEADS_NOTE,) if any("heads" in row.layout for row in rows) else ())),
        provenance=collect(
            source=str(checkpoint.source),
            files=tuple(File(str(file.path), file.sha256, file.bytes) for file in checkpoint.files),
            dtypes=tuple(sorted({row.dtype for row in rows})),
            n=tuple(sorted({row.n for row in rows})),
            tolerances={"tol": float(tol), "nullity_rtol": float(nullity_rtol)},
        ),
    )
