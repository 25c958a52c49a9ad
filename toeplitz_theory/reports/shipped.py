"""The models under a folder, from their small files alone: no weights are read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_json
from toeplitz_theory.reports.inspecting import inspect
from toeplitz_theory.reports.report import Report

_LONGEST_LINE = 1 << 20  # characters; a row of a history has some hundred
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class ShippedModel:
    """A folder with a configuration and weights.

    Parameters
    ----------
    name : str
        The folder's name.
    path : Path
        The folder.
    objective : str or None
        What it was trained for, from ``training.json`` or else from the class in ``config.json``.
    layers, n, d_model, vocabulary : int or None
        From ``config.json``.
    validation_loss : float or None
        Nats per token, from ``training.json`` or else the last in ``history.jsonl``.
    bytes : int
        Size of the weights.

    Examples
    --------
    >>> ShippedModel("a", Path("a"), None, 2, 8, 4, 16, None, 100).n
    8
    """

    name: str
    path: Path
    objective: str | None
    layers: int | None
    n: int | None
    d_model: int | None
    vocabulary: int | None
    validation_loss: float | None
    bytes: int


def find_models(root: str | os.PathLike[str]) -> list[ShippedModel]:
    """The model folders directly under ``root``.

    Parameters
    ----------
    root : path-like
        A folder holding one folder per model.

    Returns
    -------
    list of ShippedModel
        In order of name; folders without ``config.json`` and weights are no models.

    Raises
    ------
    InputError
        There is no such folder, it holds no model, or one of its JSON files is damaged.

    Examples
    --------
    >>> find_models("/nowhere")
    Traceback (most recent call last):
        ...
    toeplitz_theory.errors.InputError: /nowhere: no such folder; name the one holding the models with --root
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one holding the models with --root")
    models = [
        _read(path)
        for path in sorted(folder.iterdir())
        if (path / "config.json").is_file() and _weights(path)
    ]
    if not models:
        raise InputError(
            f"{folder}: holds no model (a folder with config.json and weights); choose another with --root"
        )
    return models


def _weights(folder: Path) -> list[Path]:
    return [path for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file()]


def _read(folder: Path) -> ShippedModel:
    config = read_json(folder / "config.json")
    record = read_json(folder / "training.json") if (folder / "training.json").is_file() else {}
    loss = _loss(record)
    return ShippedModel(
        name=folder.name,
        path=folder,
        objective=_objective(config, record),
        layers=_size(config, "num_hidden_layers"),
        n=_size(config, "max_position_embeddings"),
        d_model=_size(config, "hidden_size"),
        vocabulary=_size(config, "vocab_size"),
        validation_loss=_last_loss(folder / "history.jsonl") if loss is None else loss,
        bytes=sum(path.stat().st_size for path in _weights(folder)),
    )


def _objective(config: dict[str, Any], record: dict[str, Any]) -> str | None:
    recipe, names = record.get("recipe"), config.get("architectures")
    objective = recipe.get("objective") if isinstance(recipe, dict) else None
    if objective is None and isinstance(names, list) and names:
        objective = names[0]
    return objective if isinstance(objective, str) else None


def _size(config: dict[str, Any], key: str) -> int | None:
    """A size that a configuration tells; None for what cannot be one."""
    value = config.get(key)
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def _loss(row: Any) -> float | None:
    value: Any = row.get("validation_loss") if isinstance(row, dict) else None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and abs(value) < 1e300 else None


def _last_loss(path: Path) -> float | None:
    """The last validation loss of a history; None when there is none yet."""
    if not path.is_file():
        return None
    loss = None
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in iter(lambda: file.readline(_LONGEST_LINE), ""):
                try:
                    later = _loss(json.loads(line))
                except (ValueError, RecursionError):
                    continue  # a run that was killed leaves its last line short; the others stand
                loss = loss if later is None else later
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return loss


# The shipped models side by side: before training, and after it with each objective.


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
