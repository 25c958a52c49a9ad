"""The shape of every answer of this room: a curve with its interval, samples, baselines and cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.files import write_json

if TYPE_CHECKING:
    import pandas as pd

_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class Measured:
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

    def content(self) -> dict[str, Any]:
        """Return everything as what fits into JSON; numbers that are none are None."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Measured:
        """Return what `content` was taken from; tuples in the settings have become lists."""
        return cls(**{**content, "interval": tuple(content["interval"])})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON ``path``, whole or not at all."""
        write_json(path, {"format": "toeplitz-theory retention", "version": _VERSION, **self.content()})

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
