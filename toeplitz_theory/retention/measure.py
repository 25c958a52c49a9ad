"""The shape of every answer of this room: a curve with its interval, samples, baselines and cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_json, write_json
from toeplitz_theory.names import shown

if TYPE_CHECKING:
    import pandas as pd

    from toeplitz_theory.plots.drawing import Drawing

_FORMAT, _VERSION = "toeplitz-theory retention", 1
_LONGEST = 1 << 28  # bytes of a saved measure; an exact reconstruction has a row for each token


@dataclass(frozen=True, eq=False, repr=False)
class Measured(Displayed):
    """What was measured of a model's memory.

    Parameters
    ----------
    name : str
        Of the measure.
    unit : str
        Of ``value`` and of the table's column ``value``.
    value : float
        The headline figure.
    interval : tuple of float
        Its 95 % interval; what varies in it is in ``settings["interval"]``.
    samples : int
        Independent sequences measured.
    baselines : dict of str to float
        What the trivial answers get, by name.
    seconds : float
        Wall time taken.
    columns : dict of str to list
        The curve: columns of equal length, among them ``value``, ``lower`` and ``upper``.
    settings : dict
        What would have to be equal for the figures to be: layers, tokens, seed, length.

    Examples
    --------
    >>> m = Measured("capacity", "dimensions", 1.0, (0.9, 1.1), 8, {"chance": 0.0}, 0.1,
    ...              {"lag": [0], "value": [1.0], "lower": [0.9], "upper": [1.1]}, {"seed": 0})
    >>> print(m)
    capacity: 1 [0.9, 1.1] dimensions over 8 sequences; chance 0
    >>> len(m.table)
    1
    """

    name: str
    unit: str
    value: float
    interval: tuple[float, float]
    samples: int
    baselines: Mapping[str, float]
    seconds: float
    columns: Mapping[str, list[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """The curve as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(dict(self.columns))

    def plot(self, ax: Any = None) -> Drawing:
        """Draw the curve of the last layer with its interval.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        Drawing
            As of `toeplitz_theory.plots.retention_curves`, which draws several models together.

        Examples
        --------
        >>> m = Measured("recall", "bits", 1.0, (0.9, 1.1), 8, {}, 0.1,
        ...              {"lag": [0], "value": [1.0], "lower": [0.9], "upper": [1.1]})
        >>> m.plot().axes[0].get_ylabel()
        'recall, bits'
        """
        from toeplitz_theory.plots import retention_curves

        return retention_curves(self, ax)

    def content(self) -> dict[str, Any]:
        """Return everything as what fits into JSON; numbers that are none are None."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Measured:
        """Return what `content` was taken from; tuples in the settings have become lists.

        Examples
        --------
        >>> m = Measured("capacity", "dimensions", 1.0, (0.9, 1.1), 8, {}, 0.1, {"value": [float("nan")]},
        ...              {"rank": {0: 8}})
        >>> again = Measured.from_content(m.content())
        >>> again.columns, again.settings
        ({'value': [nan]}, {'rank': {0: 8}})
        """
        known = dict(content)
        for name in ("value", "interval", "baselines", "columns"):
            known[name] = _with_nan(known[name])
        settings = {name: _by_layer(value) for name, value in known["settings"].items()}
        return cls(**known | {"interval": tuple(known["interval"]), "settings": settings})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON ``path``, whole or not at all; `load` reads it."""
        write_json(path, {"format": _FORMAT, "version": _VERSION, **self.content()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Measured:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path-like
            The JSON file.

        Returns
        -------
        Measured

        Raises
        ------
        InputError
            When there is no such file, or it holds no measure of this version.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "recall.json"
        >>> Measured("recall", "bits", 1.0, (0.9, 1.1), 8, {}, 0.1, {}).save(path)
        >>> Measured.load(path).unit
        'bits'
        """
        content = read_json(Path(path), _LONGEST)
        if content.pop("format", None) != _FORMAT or content.pop("version", None) != _VERSION:
            raise InputError(
                f"{shown(path, 300)}: is not a measure of this version; measure and save it again"
            )
        try:
            return cls.from_content(content)
        except (KeyError, TypeError, AttributeError):
            raise InputError(
                f"{shown(path, 300)}: holds no single measure; give a file that save wrote"
            ) from None

    @property
    def text(self) -> str:
        """Value and interval as a table has them.

        Examples
        --------
        >>> Measured("recall", "bits", 1.0, (0.9, 1.1), 8, {}, 0.1, {}).text
        '1 [0.9, 1.1]'
        """
        return f"{self.value:.3g} [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"

    def __repr__(self) -> str:
        beside = ", ".join(f"{name} {value:.4g}" for name, value in self.baselines.items())
        return (
            f"{self.name}: {self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}] {self.unit} "
            f"over {self.samples} sequences" + (f"; {beside}" if beside else "")
        )


def append_row(columns: dict[str, list[Any]], *entries: Any) -> None:
    """Add one entry to each column, in their order."""
    for column, entry in zip(columns.values(), entries, strict=True):
        column.append(entry)


def bootstrap(by_sequence: NDArray[np.float64], seed: int, draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over sequences."""
    picks = np.random.default_rng([seed, 9]).integers(0, by_sequence.size, (draws, by_sequence.size))
    low, high = np.quantile(by_sequence[picks].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _plain(value: Any) -> Any:
    """Return ``value`` in the types of JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    return value


def _with_nan(value: Any) -> Any:
    """Return ``value`` with nan where JSON had no number."""
    if value is None:
        return float("nan")
    if isinstance(value, Mapping):
        return {name: _with_nan(part) for name, part in value.items()}
    return [_with_nan(part) for part in value] if isinstance(value, list) else value


def _by_layer(value: Any) -> Any:
    """Return a setting with layers as numbers again: JSON has only names."""
    if isinstance(value, Mapping) and value and all(name.isdecimal() for name in map(str, value)):
        return {int(name): part for name, part in value.items()}
    return value
