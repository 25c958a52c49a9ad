"""Measure the runs of `delay-penalty-sweep.toml`: ``python paper_figures/recipes/delay_penalty.py FOLDER``.

Writes held-out loss and what is known of each of the 8 kernels to `paper_figures/data/delay-penalty.json`
(null where samples of a mean delay do not settle), and prints means over the seeds of each run's median
kernel, with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

import toeplitz_theory as tt
from toeplitz_theory.files import write_json
from toeplitz_theory.training import load_recipe

DATA = Path(__file__).resolve().parents[1] / "data" / "delay-penalty.json"
COLUMNS = ("loss", "mean_delay_noisy", "delay_90", "recovered_at_once", "log10_condition", "index")


def measure(folder: Path) -> dict[str, Any]:
    """Return the held-out loss and, for each kernel, its delays, condition and index.

    ``mean_delay_noisy`` is what the penalty asks for: at noise of a hundredth of the output's variance.
    """
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    rows = tt.inspect(folder).rows
    noisy = [row.symbol.recovery(snr=100.0 / float((np.abs(row.symbol.kernel) ** 2).sum())) for row in rows]
    settings = load_recipe(folder / "recipe.toml").training
    return {
        "delay_penalty": settings.delay_penalty,
        "jensen_penalty": settings.jensen_penalty,
        "seed": settings.seed,
        "loss": [line["validation_loss"] for line in history if "validation_loss" in line][-1],
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
        cells = [f"{line:<16}"]
        for name in COLUMNS:
            values = np.array([_median(run[name]) for run in chosen])
            half = np.nan
            if values.size > 1:
                half = scipy.stats.t.ppf(0.975, values.size - 1) * scipy.stats.sem(values)
            cells.append(f"{values.mean():>12.3f} +- {half:<6.3f}")
        print("".join(cells), f" ({len(chosen)} seeds)")


def _median(values: float | list[float | None]) -> float:
    known = [value for value in np.atleast_1d(np.array(values, dtype=object)) if value is not None]
    return float(np.median(known))


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder that the sweep was trained into")
    folders = sorted(path.parent for path in parser.parse_args().folder.glob("*/model.safetensors"))
    runs = [measure(folder) for folder in folders]
    write_json(DATA, {"recipe": "paper_figures/recipes/delay-penalty.toml", "runs": runs})
    show(runs)


if __name__ == "__main__":
    main()
