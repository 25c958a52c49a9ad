"""Rows as a pandas data frame; apart, so that pandas (half a second to import) loads only when asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from toeplitz_theory.reports.columns import COLUMNS
from toeplitz_theory.reports.rows import Row


def data_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a data frame with exactly the columns of ``COLUMNS``.

    Parameters
    ----------
    rows : sequence of Row
        The rows.

    Returns
    -------
    DataFrame
        Counts are nullable integers, numbers nullable floats.

    Examples
    --------
    >>> len(data_frame([]).columns)
    14
    """
    cells = [row.cells() for row in rows]
    return pd.DataFrame(
        {
            column.name: pd.Series([entry[column.name] for entry in cells], dtype=column.dtype)
            for column in COLUMNS
        }
    )
