"""The table of README: medians over the kernels of each condition, with intervals."""

from pathlib import Path

import numpy as np

from toeplitz_theory.files import write_text
from toeplitz_theory.reports.shipped import conditions

# Column of the table, and how it is read off a row of the report.
COLUMNS = {
    "at once": lambda row: row.recovery.at_once,
    "half after": lambda row: row.recovery.delay(0.5),
    "90 % after": lambda row: row.recovery.delay(0.9),
    "mean delay (- index)": lambda row: row.recovery.mean_delay,
    "index 0": None,
    "J (nats)": lambda row: float(row.jensen_deficit),
    "log10 condition": lambda row: row.log10_condition.value,
    "bits in bfloat16": lambda row: row.bits_bfloat16.value,
}


def draw(models: Path, out: Path) -> list[Path]:
    """Write ``conditions.md``."""
    lines = ["| | kernels | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, report in conditions(models).items():
        cells = [name.replace("_", " "), str(len(report.rows))]
        for read in COLUMNS.values():
            if read is None:
                cells.append(str(sum(row.index.value == 0 for row in report.rows)))
            else:
                cells.append(median(np.array([read(row) for row in report.rows], dtype=float)))
        lines.append("| " + " | ".join(cells) + " |")
    write_text(out / "conditions.md", "\n".join(lines) + "\n")
    return [out / "conditions.md"]


def median(values: np.ndarray) -> str:
    """Return the median and its 95 % bootstrap interval over kernels."""
    picks = np.random.default_rng(0).integers(0, values.size, (2000, values.size))
    low, high = np.quantile(np.median(values[picks], axis=1), (0.025, 0.975))
    return f"{np.median(values):.3g} ({low:.3g} to {high:.3g})"
