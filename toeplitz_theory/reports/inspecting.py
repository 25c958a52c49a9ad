"""``inspect``: any model to its report."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError, whole_number
from toeplitz_theory.reports.analysis import Asked
from toeplitz_theory.reports.computing import rows_of
from toeplitz_theory.reports.mixing import analyse_mixing
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.report import Report
from toeplitz_theory.reports.sentences import HEADS_NOTE, QUICK_NOTE
from toeplitz_theory.threads import one_thread

if TYPE_CHECKING:
    from toeplitz_theory.checkpoints.named_kernels import Naming


def inspect(
    source: str | os.PathLike[str] | Mapping[str, Any] | Any,
    *,
    kernels: Naming | None = None,
    probe: str | Sequence[str] | None = None,
    inputs: Any = None,
    progress: bool = False,
    tol: float = 0.0,
    nullity_rtol: float = 1e-6,
    quick: bool = False,
    jobs: int | None = None,
) -> Report:
    """Analyse every Toeplitz layer of a model.

    Parameters
    ----------
    source : path-like, torch module, mapping, array or list of arrays
        A ``.safetensors``, ``.bin`` or ``.pt`` file, a folder holding one, ``"hub:OWNER/NAME"``, a live
        module, a state dict, or kernels at hand: an array, a list of arrays, or a mapping of any names.
    kernels : str, path, Kernels, sequence, mapping or callable, optional
        Which tensors are kernels, in a model of any kind: a name or pattern such as ``"blocks.*.filter"``,
        also with options after a colon (``":axis=0,reversed"``), a mapping from these to
        :class:`toeplitz_theory.Kernels`, a ``.toml`` file, or a function of name and array; more in
        ``checkpoints.load``. Then nothing else is read.
    probe : str or sequence of str, optional
        Modules of a live model, by name or pattern such as ``"blocks.*.mixer"``: each is asked for its
        impulse responses where it stands. What is not a causal convolution is in ``skipped``, with residuals;
        a layer that mixes channels is one row, of its matrix-valued symbol.
    inputs : tensor, tuple or dict, optional
        What to call the model with for that; random ids where its configuration says what ids there are.
    progress : bool
        Show a progress bar with an estimate on stderr, where that is a terminal.
    tol : float
        A symbol whose modulus falls to ``tol`` times its root mean square somewhere on the circle counts as
        not Fredholm. 0: only zeros exactly on the circle do.
    nullity_rtol : float
        Singular values at most this fraction of the largest count towards ``nullity``.
    quick : bool
        Only index, least modulus, Jensen deficit and delays, the last two as estimates: 3 ms a kernel of 512
        taps instead of 50. The report says so, and has nothing in its other columns.
    jobs : int, optional
        Processes to share the kernels between. With a number, 1 too, rows are kept in the cache folder
        (``$TOEPLITZ_THEORY_CACHE``) as they are computed: interrupted, the same call goes on where it was.

    Returns
    -------
    Report
        One row per layer and head; kernels that cannot be used are rows with a note and no numbers.

    Raises
    ------
    InputError
        The source cannot be read, holds no Toeplitz layer, or an option is out of its range.
    RunError
        A process of ``jobs`` was ended from outside.

    Examples
    --------
    >>> import numpy as np
    >>> kernels = {"blocks.0.mixer.weight": [2.0, 1.0], "blocks.1.mixer.weight": [1.0, 2.0]}
    >>> report = inspect({key: np.array(kernel) for key, kernel in kernels.items()})
    >>> [row.index.value for row in report.rows]
    [0, -1]
    >>> inspect(np.array([1.0, 2.0])).rows[0].index.value
    -1
    """
    for name, value in (("tol", tol), ("nullity_rtol", nullity_rtol)):
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise InputError(f"{name} = {value!r}: give a finite number >= 0")
    if nullity_rtol >= 1:
        raise InputError(
            f"nullity_rtol = {nullity_rtol!r}: every singular value is as small; give one below 1"
        )
    if jobs is not None:
        whole_number(jobs, 1, None, f"jobs = {jobs!r}: give the number of processes, 1 or more")
    checkpoint = load(source, kernels=kernels, probe=probe, inputs=inputs)
    asked = Asked(float(tol), float(nullity_rtol), bool(quick))
    rows = rows_of(checkpoint.layers, asked, jobs, progress)
    if checkpoint.mixing:
        with one_thread():
            rows += tuple(analyse_mixing(layer, asked) for layer in checkpoint.mixing)
    heads = (HEADS_NOTE,) if any("heads" in row.layout for row in rows) else ()
    return Report(
        rows=rows,
        skipped=tuple((entry.name, entry.reason) for entry in checkpoint.skipped),
        notes=(*checkpoint.notes, *heads, *((QUICK_NOTE,) if quick else ())),
        provenance=Provenance(
            source=str(checkpoint.source),
            files=checkpoint.files,
            dtypes=tuple(sorted({row.dtype for row in rows})),
            n=tuple(sorted({row.n for row in rows})),
            tolerances={"tol": float(tol), "nullity_rtol": float(nullity_rtol)},
            quick=bool(quick),
        ),
    )
