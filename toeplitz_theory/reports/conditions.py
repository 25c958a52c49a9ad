"""The shipped models side by side: before training, and after it with each objective."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

from toeplitz_theory.errors import InputError
from toeplitz_theory.reports.inspection import inspect
from toeplitz_theory.reports.report import Report

_LANGUAGE, _AUTOENCODER = "tmm-next-token", "tmm-autoencoder"


def conditions(models: str | os.PathLike[str]) -> dict[str, Report]:
    """Inspect the shipped models, split by what their layers were trained for.

    Parameters
    ----------
    models : path-like
        Folder that holds ``tmm-next-token`` and ``tmm-autoencoder``.

    Returns
    -------
    dict of str to Report
        "untrained" (the language model's kernels at step 0, which are the encoder's too),
        "next token", "encoder" and "decoder" of the autoencoder.

    Raises
    ------
    InputError
        A model is missing.

    Examples
    --------
    >>> conditions("nowhere")
    Traceback (most recent call last):
    toeplitz_theory.errors.InputError: nowhere/tmm-next-token: there is no such folder; train its recipe ...
    >>> list(conditions("models"))  # doctest: +SKIP
    ['untrained', 'next token', 'encoder', 'decoder']
    """
    return dict(_conditions(Path(models)))


@cache
def _conditions(models: Path) -> dict[str, Report]:
    for name in (_LANGUAGE, _AUTOENCODER):
        if not (models / name).is_dir():
            raise InputError(f"{models / name}: there is no such folder; train its recipe or use a checkout")
    both = inspect(models / _AUTOENCODER, progress=True)
    return {
        "untrained": inspect(models / _LANGUAGE / "kernels" / "step-000000.safetensors", progress=True),
        "next token": inspect(models / _LANGUAGE, progress=True),
        "encoder": _part(both, "encoderblocks"),
        "decoder": _part(both, "decoderblocks"),
    }


def _part(report: Report, prefix: str) -> Report:
    return replace(report, rows=tuple(row for row in report.rows if row.layer.startswith(prefix)))
