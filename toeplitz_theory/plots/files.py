"""All figures of a report into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report

KINDS = ("symbols", "zeros", "kernels", "by_layer")
# Panels of a larger grid are read one by one in the PDF; at 120 dots an inch their PNG stays under 5 MB.
_LARGE_GRID = 20


def save_report_figures(report: Report, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw a report's four figures as PNG and PDF.

    Parameters
    ----------
    report : Report
        The report.
    folder : path-like
        Made when missing.

    Returns
    -------
    list of Path
        The files: ``symbols``, ``zeros``, ``kernels`` and ``by_layer``, each ``.png`` and ``.pdf``.

    Raises
    ------
    InputError
        The folder cannot be written to.

    Examples
    --------
    >>> import tempfile, numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])})
    >>> len(save_report_figures(report, tempfile.mkdtemp()))
    8
    """
    dpi = None if len(report.rows) <= _LARGE_GRID else 120
    return [path for kind in KINDS for path in report.plot(kind).save(Path(folder) / kind, dpi=dpi)]
