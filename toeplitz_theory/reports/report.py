"""The report of one model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_text, write_text
from toeplitz_theory.names import shown
from toeplitz_theory.reports import json_form
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.rows import Row, data_frame
from toeplitz_theory.reports.sentences import paragraph, summary_lines
from toeplitz_theory.reports.verdict import MEDIANS, SUMMARY_NAMES, by_layer

if TYPE_CHECKING:
    import pandas as pd

    from toeplitz_theory.plots import Drawing

_LONGEST = 1 << 31  # bytes of a report: some hundred thousand kernels
KINDS = ("symbols", "zeros", "kernels", "by_layer", "recovery")
_MOST_BANDS = 6  # as many as differ in colour, marker and dash


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """One row per Toeplitz kernel of a model, with the evidence and where it comes from.

    Made by :func:`toeplitz_theory.inspect`; ``print(report)`` describes it in a few lines.

    Parameters
    ----------
    rows : tuple of Row
        The results with their brackets, errors and windings.
    skipped : tuple of (str, str)
        Names of tensors that look like token mixers and were not analysed, each with the reason.
    notes : tuple of str
        What a reader must know about the report as a whole.
    provenance : Provenance
        Files and hashes, conventions, tolerances, versions, commit, time.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0], dtype=np.float32)})
    >>> report.table[["layer", "index", "certified", "nullity"]]
          layer  index  certified  nullity
    0  blocks.0     -1       True        0
    """

    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    provenance: Provenance

    @cached_property
    def table(self) -> pd.DataFrame:
        """The results as a data frame; :data:`toeplitz_theory.reports.COLUMNS` says what each column means.

        ``min_modulus`` is the certified lower bound. Missing values are ``<NA>``, also for numbers that
        could not be proved; the note of their row says why.
        """
        return data_frame(self.rows)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per layer: kernels, how many are certified, and medians over those whose number is known.

        ``gives_back`` says in words after how many tokens the outputs give the input back.
        """
        import pandas as pd

        frame = pd.DataFrame(by_layer(self.rows), columns=SUMMARY_NAMES)
        return frame.astype(dict.fromkeys(MEDIANS, "Float64"))

    def __getitem__(self, place: str | tuple[str, int | None]) -> Row:
        """The kernel of a layer, ``report["blocks.0"]``, or of one head of it, ``report["blocks.0", 3]``."""
        layer, head = place if isinstance(place, tuple) else (place, None)
        rows = [row for row in self.rows if row.layer == layer]
        if not rows:
            layers = ", ".join(dict.fromkeys(shown(row.layer) for row in self.rows))
            raise InputError(f"report[{shown(repr(layer))}]: no such layer; there are {shown(layers, 600)}")
        heads = [row for row in rows if row.head == head]
        if not heads:
            there = ", ".join(str(row.head) for row in rows)
            raise InputError(f"report[{shown(repr(layer))}, {head}]: no such head; give one of {there}")
        return heads[0]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as strict JSON, kernels included; infinities are the string "inf".

        Parameters
        ----------
        path : path-like
            Where to. Written under a temporary name first, so that it is whole or not there.

        Raises
        ------
        InputError
            The place cannot be written to.
        """
        write_text(path, self._json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report written by :meth:`save`.

        Parameters
        ----------
        path : path-like
            The JSON file.

        Returns
        -------
        Report
            With the same rows.

        Raises
        ------
        InputError
            The file cannot be read or holds no such report.
        """
        text = read_text(path, _LONGEST, "give a report written by Report.save")
        try:
            return cls(*json_form.decode(text))
        except InputError as error:
            raise InputError(f"{shown(path, 300)}: {error}") from error

    def to_html(self, path: str | os.PathLike[str], *, progress: bool = False) -> None:
        """Write a self-contained page: sortable table, and the symbol and zeros of every kernel.

        Parameters
        ----------
        path : path-like
            Where to. Written under a temporary name first.
        progress : bool
            Show a progress bar on stderr, where that is a terminal: isolating all zeros takes seconds.

        Raises
        ------
        InputError
            The place cannot be written to.
        """
        from toeplitz_theory.reports.report_page import page

        write_text(path, page(self.rows, self.skipped, self.notes, self.provenance, progress))

    def plot(self, kind: str = "symbols", ax: Any = None) -> Drawing:
        """Draw the report.

        Parameters
        ----------
        kind : {"symbols", "zeros", "kernels", "by_layer", "recovery"}
            Modulus and phase, or the zeros, of the kernels with highest, median and lowest index; the taps of
            all kernels in colours; delay, index, Jensen deficit and log10 condition by layer; the share of
            the input given back against the delay, a band for each of up to six layers, or one for all.
        ax : Axes or sequence of Axes, optional
            Where to draw, one for each panel; a new figure when not given.

        Returns
        -------
        Drawing
            The figure, its axes and the artists drawn; notebooks display it.

        Raises
        ------
        InputError
            Unknown kind, or not as many axes as panels.
        """
        from toeplitz_theory import plots

        if kind == "by_layer":
            return plots.by_layer({"": self}, ax=ax)
        if kind == "recovery":
            layers: dict[str, list[Row]] = {}
            for row in self.rows:
                layers.setdefault(row.layer, []).append(row)
            parts = {layer: replace(self, rows=tuple(rows)) for layer, rows in layers.items()}
            return plots.recovery(parts if len(parts) <= _MOST_BANDS else self, ax=ax)
        if kind not in KINDS:
            raise InputError(f"plot({kind!r}): unknown kind; choose one of {', '.join(KINDS)}")
        if kind == "kernels":
            return plots.taps(self, ax=ax)
        return plots.chosen(self, kind, ax=ax)

    def describe(self) -> str:
        """The report in a few lines of text, each saying which "invertible" it means."""
        lines = summary_lines(self.rows, self.provenance.tolerances["nullity_rtol"])
        lines += [f"note: {paragraph(note)}" for note in self.notes]
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped: see report.skipped")
        return "\n".join([f"Report on {shown(self.provenance.source)}", *(f"  {line}" for line in lines)])

    def _json(self) -> str:
        return json_form.encode(self.rows, self.skipped, self.notes, self.provenance)

    def __eq__(self, other: object) -> bool:
        """Whether two reports say the same, kernels and evidence included; ``load`` gives an equal one."""
        return self._json() == other._json() if isinstance(other, Report) else NotImplemented

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        from toeplitz_theory.reports.report_page import fragment

        return fragment(self.rows, self.skipped, self.notes, self.provenance)


def save_report_figures(report: Report, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw a report's figures as PNG and PDF.

    Parameters
    ----------
    report : Report
        The report.
    folder : path-like
        Made when missing.

    Returns
    -------
    list of Path
        The files: of every kind of `Report.plot`, but "kernels" where none has taps to draw, a ``.png`` and a
        ``.pdf``.

    Raises
    ------
    InputError
        The folder cannot be written to.

    Examples
    --------
    >>> import tempfile, numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])})
    >>> len(save_report_figures(report, tempfile.mkdtemp()))
    10
    """
    kinds = [kind for kind in KINDS if kind != "kernels" or any(row.drawable for row in report.rows)]
    return [path for kind in kinds for path in report.plot(kind).save(Path(folder) / kind)]
