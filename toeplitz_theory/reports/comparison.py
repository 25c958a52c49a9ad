"""``compare``: several models side by side."""

from __future__ import annotations

import itertools
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toeplitz_theory.checkpoints.folders import PICKLE_SUFFIXES
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import write_text
from toeplitz_theory.names import printable, shown
from toeplitz_theory.reports.inspecting import inspect
from toeplitz_theory.reports.report import Report
from toeplitz_theory.reports.rows import COLUMN_NAMES
from toeplitz_theory.reports.sentences import number
from toeplitz_theory.reports.tables import FORMS
from toeplitz_theory.reports.verdict import MEDIANS, medians

if TYPE_CHECKING:
    import pandas as pd

    from toeplitz_theory.plots import Drawing

EXPLAINED = (
    "Medians over kernels. index_0: kernels whose operator T(a) is invertible on l2(N); "
    "w0_not_0: kernels whose n x n matrix is invertible."
)

# Medians that the short text of a comparison has room for.
_SHORT = ("index", "delay_90", "index_residual", "jensen_deficit", "log10_condition", "bits_bfloat16")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Reports of several models.

    Made by :func:`toeplitz_theory.compare`.

    Parameters
    ----------
    reports : dict of str to Report
        Name to report, in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> both = compare({
    ...     "minimum phase": {"blocks.0.mixer.weight": np.array([2.0, 1.0])},
    ...     "not": {"blocks.0.mixer.weight": np.array([1.0, 2.0])},
    ... })
    >>> [(s["model"], s["kernels"], s["index_0"]) for s in both.medians()]
    [('minimum phase', 1, 1), ('not', 1, 0)]
    """

    reports: dict[str, Report]

    @cached_property
    def table(self) -> pd.DataFrame:
        """All rows, with a leading column ``model``."""
        import pandas as pd

        parts = [report.table.assign(model=name) for name, report in self.reports.items()]
        return pd.concat(parts, ignore_index=True)[["model", *COLUMN_NAMES]]

    def medians(self) -> list[dict[str, Any]]:
        """For each model: kernels, how many have index 0 and w[0] not 0, and medians over those known.

        Returns
        -------
        list of dict
            Keys ``model``, ``kernels``, ``certified``, ``index_0`` (operators T(a) invertible on l2(N)),
            ``w0_not_0`` (n x n matrices invertible), then the medians; None where nothing is known. A median
            over values of which some are inf counts them as the largest.
        """
        return [{"model": name, **medians(report.rows)} for name, report in self.reports.items()]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """:meth:`medians` as a data frame, one row per model."""
        import pandas as pd

        frame = pd.DataFrame(self.medians()).set_index("model")
        return frame.astype(dict.fromkeys(MEDIANS, "Float64"))

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write :attr:`table` as CSV, in one step.

        Parameters
        ----------
        path : path-like
            Where to.

        Raises
        ------
        InputError
            The place cannot be written to.
        """
        records = [
            {"model": name, **row.cells()} for name, report in self.reports.items() for row in report.rows
        ]
        write_text(path, FORMS["csv"](("model", *COLUMN_NAMES), records) + "\n")

    def plot(self, ax: Any = None) -> Drawing:
        """Index, Jensen deficit, log10 condition and nullity by layer, one line per model.

        Parameters
        ----------
        ax : sequence of Axes, optional
            Four axes; a new figure when not given.

        Returns
        -------
        Drawing
            The figure, its axes and the artists drawn.
        """
        from toeplitz_theory import plots

        return plots.by_layer(self.reports, ax=ax)

    def __repr__(self) -> str:
        lines = [f"Comparison of {len(self.reports)} models (medians over kernels)"]
        for entry in self.medians():
            numbers = ", ".join(f"{name} {number(entry[name])}" for name in _SHORT)
            lines.append(
                f"  {shown(entry['model'])}: {entry['kernels']} kernels, index 0 for {entry['index_0']}, "
                f"w[0] not 0 for {entry['w0_not_0']}; {numbers}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto"><p>{escape(EXPLAINED)}</p>{self.summary.to_html()}</div>'


def short_name(source: str) -> str:
    """Return what a model is called where its user gave no name: the last part of its path.

    Examples
    --------
    >>> short_name("runs/mine/"), short_name("weights/small.safetensors"), short_name("hub:OWNER/NAME")
    ('mine', 'small', 'NAME')
    """
    path = Path(source)
    if path.suffix in (".safetensors", *PICKLE_SUFFIXES):
        return path.stem
    return path.name or path.absolute().name


def unused_name(name: str, names: Container[str]) -> str:
    """Return the name, with a number after it where a model is called so already.

    Examples
    --------
    >>> unused_name("mine", ["mine", "mine 2"])
    'mine 3'
    """
    choices = itertools.chain([name], (f"{name} {k}" for k in itertools.count(2)))
    return next(candidate for candidate in choices if candidate not in names)


def compare(
    models: Mapping[str, Any] | Sequence[Any],
    *,
    progress: bool = False,
    tol: float = 0.0,
    nullity_rtol: float = 1e-6,
) -> Comparison:
    """Inspect several models and set them side by side.

    Parameters
    ----------
    models : mapping of str to (Report or source), or sequence of these
        Reports, or anything that :func:`toeplitz_theory.inspect` takes, by name. Without names each is called
        after its file, folder or class; of equal names the later ones get a number.
    progress : bool
        Show progress bars, as ``inspect`` does.
    tol, nullity_rtol : float
        As for ``inspect``; reports handed in keep their own.

    Returns
    -------
    Comparison
        With a joined ``table``, a ``summary`` of medians, and a plot.

    Raises
    ------
    InputError
        No models, a source that cannot be read, or reports made with different tolerances.

    Examples
    --------
    >>> import numpy as np
    >>> compare({"shift": {"blocks.0.mixer.weight": np.array([0.0, 1.0])}}).table["index"].tolist()
    [-1]
    >>> compare([np.array([2.0, 1.0]), np.array([1.0, 2.0])]).table[["model", "index"]].values.tolist()
    [['arrays in memory', 0], ['arrays in memory 2', -1]]
    """
    if isinstance(models, Mapping):
        sources = [(printable(str(name)), source) for name, source in models.items()]
    elif isinstance(models, Sequence) and not isinstance(models, (str, bytes)):
        sources = [("", source) for source in models]
    else:
        raise InputError(
            f"compare: got one {type(models).__name__}; pass a list of models, or names to models"
        )
    if not sources:
        raise InputError("compare: no models given; pass a list of models, or names to models")
    reports: dict[str, Report] = {}
    for name, source in sources:
        report = source
        if not isinstance(report, Report):
            report = inspect(source, progress=progress, tol=tol, nullity_rtol=nullity_rtol)
        reports[unused_name(name or short_name(report.provenance.source), reports)] = report
    used = {tuple(sorted(report.provenance.tolerances.items())) for report in reports.values()}
    if len(used) > 1:
        raise InputError("compare: the reports used different tolerances; inspect them again with the same")
    return Comparison(reports)
