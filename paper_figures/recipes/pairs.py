"""Measure the runs of `pairs-sweep.toml`: ``python paper_figures/recipes/pairs.py FOLDER``.

Writes to `paper_figures/data/pairs.json`, for each run: curve, held-out accuracy by position, medians and
quartiles over the kernels at every saved step, and what the last state holds beside that of the untrained
model. Prints means over the seeds with 95 % intervals (Student's t).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from language import BANDS, accuracy, held, held_by_band, interval, losses, measure_sweep

from toeplitz_theory.reports.trajectory import Trajectory, kernel_trajectory
from toeplitz_theory.training import load_recipe, open_trained

DATA = Path(__file__).resolve().parents[1] / "data" / "pairs.json"
NUMBERS = ("index", "delay_50", "delay_90", "jensen_deficit", "log10_condition")


def measure(folder: Path) -> dict[str, Any]:
    """Return what is known of a run."""
    recipe = load_recipe(folder / "recipe.toml")
    curve = losses(folder)
    trained = open_trained(folder)
    return {
        "objective": recipe.objective,
        "heads": recipe.model.num_heads,
        "seed": recipe.training.seed,
        "steps": list(curve),
        "losses": list(curve.values()),
        "accuracy_by_position": [round(share, 4) for share in accuracy(trained)],
        "kernels": through_training(kernel_trajectory(folder / "kernels")),
        "held": held(trained.model.eval()),
        "held_untrained": held(trained.untrained()),
    }


def through_training(run: Trajectory) -> dict[str, Any]:
    """Return quartiles over the kernels of each stack of blocks by step, of those that are known."""
    stacks: dict[str, list[int]] = {}
    for number, layer in enumerate(run.layers):
        stacks.setdefault(layer.split("blocks")[0] or "blocks", []).append(number)
    found: dict[str, Any] = {"steps": run.steps}
    for stack, chosen in stacks.items():
        for name in NUMBERS:
            values = np.array(getattr(run, name), dtype=float)[:, chosen]
            found[f"{stack}.{name}"] = np.nanquantile(values, [0.25, 0.5, 0.75], axis=1).T.round(4).tolist()
    return found


def show(runs: list[dict]) -> None:
    """Print a line for each kind of run."""
    for kind in dict.fromkeys((run["objective"], run["heads"]) for run in runs):
        chosen = [run for run in runs if (run["objective"], run["heads"]) == kind]
        print(f"{kind[0]}, {kind[1]} head(s), {len(chosen)} seeds")
        print("  loss", interval([run["losses"][-1] for run in chosen]))
        print("  accuracy", interval([float(np.mean(run["accuracy_by_position"])) for run in chosen]))
        for name in (name for name in chosen[0]["kernels"] if name != "steps"):
            first, last = ([run["kernels"][name][at][1] for run in chosen] for at in (0, -1))
            print(f"  {name}: {interval(first)} -> {interval(last)}")
        for when in ("held_untrained", "held"):
            print(f"  {when}: dimensions at lags {', '.join(BANDS)}: {'; '.join(held_by_band(chosen, when))}")


if __name__ == "__main__":
    measure_sweep(__doc__, "pairs-sweep.toml", DATA, measure, show)
