"""Measure the runs of `delay-penalty-sweep.toml`: ``python paper_figures/recipes/delay_penalty.py FOLDER``.

Writes held-out loss and what is known of each of the 8 kernels to `paper_figures/data/delay-penalty.json`
(null where samples of a mean delay do not settle), and prints means over the seeds of each run's median
kernel, with 95 % intervals (Student's t).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from language import interval, losses, measure_sweep

import toeplitz_theory as tt
from toeplitz_theory.training import load_recipe

DATA = Path(__file__).resolve().parents[1] / "data" / "delay-penalty.json"
COLUMNS = ("loss", "mean_delay_noisy", "delay_90", "recovered_at_once", "log10_condition", "index")


def measure(folder: Path) -> dict[str, Any]:
    """Return the held-out loss and, for each kernel, its delays, condition and index.

    ``mean_delay_noisy`` is what the penalty asks for: at noise of a hundredth of the output's variance.
    """
    rows = tt.inspect(folder).rows
    noisy = [row.symbol.recovery(snr=100.0 / float((np.abs(row.symbol.kernel) ** 2).sum())) for row in rows]
    settings = load_recipe(folder / "recipe.toml").training
    return {
        "delay_penalty": settings.delay_penalty,
        "jensen_penalty": settings.jensen_penalty,
        "seed": settings.seed,
        "loss": list(losses(folder).values())[-1],
        "mean_delay_noisy": [r.mean_delay for r in noisy],
        "delay_90": [int(row.delay_90) for row in rows],
        "recovered_at_once": [row.recovery.at_once for row in rows],
        "log10_condition": [row.log10_condition.value for row in rows],
        "index": [row.index.value for row in rows],
    }


def show(runs: list[dict]) -> None:
    """Print a line for each penalty."""
    print(f"{'delay, Jensen':<16}" + "".join(f"{name:>22}" for name in COLUMNS))
    penalties = sorted({(run["delay_penalty"], run["jensen_penalty"]) for run in runs})
    for penalty in penalties:
        chosen = [run for run in runs if (run["delay_penalty"], run["jensen_penalty"]) == penalty]
        line = f"{penalty[0]:g}, {penalty[1]:g}"
        cells = [f"{interval([_median(run[name]) for run in chosen]):>22}" for name in COLUMNS]
        print(f"{line:<16}" + "".join(cells), f" ({len(chosen)} seeds)")


def _median(values: float | list[float | None]) -> float:
    known = [value for value in np.atleast_1d(np.array(values, dtype=object)) if value is not None]
    return float(np.median(known))


if __name__ == "__main__":
    measure_sweep(__doc__, "delay-penalty.toml", DATA, measure, show)
