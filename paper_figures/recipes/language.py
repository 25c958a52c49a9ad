"""Measure the runs of `language-sweep.toml`: ``python paper_figures/recipes/language.py FOLDER``.

Writes each run's curve, held-out loss and accuracy, parameters, what a training step costs, and what the
last state holds to `paper_figures/data/language.json`, and prints means over the seeds with 95 % intervals
(Student's t).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from toeplitz_theory.files import write_json
from toeplitz_theory.retention import recall_curve, token_capacity
from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.training import Recipe, TrainedModel, load_recipe, open_trained

DATA = Path(__file__).resolve().parents[1] / "data" / "language.json"
LAGS = (0, 1, 2, 4, 8, 16, 32)
BANDS = {"0": slice(0, 1), "1-7": slice(1, 8), "8-31": slice(8, 32), "32 on": slice(32, None)}
LABELS = {"toeplitz": "Toeplitz", "frozen_toeplitz": "frozen Toeplitz", "ssm": "state space"}


def measure(folder: Path) -> dict[str, Any]:
    """Return what is known of a run."""
    recipe = load_recipe(folder / "recipe.toml")
    record = json.loads((folder / "training.json").read_text())
    curve = losses(folder)
    trained = open_trained(folder)
    by_position = accuracy(trained)
    return {
        "mixer": label(recipe),
        "objective": recipe.objective,
        "seed": recipe.training.seed,
        "learning_rate": recipe.training.learning_rate,
        "parameters": record["parameters"],
        "steps": list(curve),
        "losses": list(curve.values()),
        "accuracy": float(np.mean(by_position)),
        "accuracy_by_position": [round(share, 4) for share in by_position],
        **cost(label(recipe), recipe.objective, recipe.model_dump_json(exclude_unset=True)),
        "held": held(trained.model.eval()),
    }


def losses(folder: Path) -> dict[int, float]:
    """Return the held-out losses of a run by step."""
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {row["step"]: row["validation_loss"] for row in history if "validation_loss" in row}


def held(model: torch.nn.Module) -> dict[str, Any]:
    """Return what states hold of random strings of 64 different tokens.

    Capacity of the last position's state by lag, in dimensions, with the half-width of its 95 % interval; the
    same of the sum over all lags; bits that a closed-form probe reads from states of the second half.
    """
    capacity = token_capacity(model, positions="last", samples=2048, alphabet=64)
    last = capacity.table.query("layer == layer.max()").sort_values("lag")
    lags = [lag for lag in LAGS if lag <= len(last) // 2]
    recall = recall_curve(model, lags=lags, alphabet=64).table
    return {
        "capacity": last["value"].round(3).tolist(),
        "capacity_error": half_width(last),
        "total": [round(x, 2) for x in (capacity.value, *capacity.interval)],
        "recall_lags": recall["lag"].tolist(),
        "recall": recall["value"].round(3).tolist(),
        "recall_error": half_width(recall),
    }


def half_width(table: pd.DataFrame) -> list[float]:
    """Return half of each row's interval."""
    return ((table["upper"] - table["lower"]) / 2).round(3).tolist()


def label(recipe: Recipe) -> str:
    """Return what figures call a mixer."""
    name = LABELS.get(recipe.model.mixer, recipe.model.mixer.replace("_", " "))
    return name + (", heads" if name == "Toeplitz" and recipe.model.num_heads > 1 else "")


def accuracy(trained: TrainedModel) -> list[float]:
    """Return the share of held-out tokens with the largest logit, by position (next token: from 1)."""
    tokens = torch.as_tensor(np.array(trained.held_out.sequences, dtype=np.int64))
    later = int(trained.recipe.objective == "next_token")
    right = torch.zeros(tokens.shape[1] - later)
    with torch.no_grad():
        for part in tokens.split(64):
            logits = trained.model.eval()(input_ids=part).logits
            right += (logits[:, : len(right)].argmax(-1) == part[:, later:]).sum(0)
    return (right / len(tokens)).tolist()


@lru_cache
def cost(mixer: str, objective: str, recipe_json: str) -> dict[str, float]:
    """Return the operations of a training step per token, and the bytes kept for its backward pass.

    Matrix products alone are counted, forward and backward (at n = 64 all mixers are made of these).
    The bytes are those of the distinct tensors that autograd saves, the parameters apart.
    """
    recipe = Recipe.model_validate_json(recipe_json)
    shape = {"vocab_size": recipe.data.vocab_size, "max_position_embeddings": recipe.sequence_length}
    kind = TMMForAutoencoding if objective == "autoencode" else TMMForCausalLM
    model = kind(TMMConfig(**shape, **recipe.model.model_dump()))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(recipe.data.vocab_size, (recipe.training.batch_size, recipe.data.sequence_length))
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(note, lambda tensor: tensor):
        model(input_ids=ids, labels=ids).loss.backward()
    return {
        "flops_per_token": counter.get_total_flops() / ids.numel(),
        "activation_bytes": sum(kept.values()),
    }


def show(runs: list[dict]) -> None:
    """Print a line for each mixer and objective: costs, loss, and what the last state holds."""
    for objective in ("next_token", "autoencode"):
        print(f"{objective:<18}{'rate':>7}{'parameters':>12}{'MFLOP/token':>13}{'MiB kept':>10}", end="")
        print(f"{'loss':>18}{'accuracy':>18}  dimensions at lags {', '.join(BANDS)}; bits at {LAGS}")
        for mixer in dict.fromkeys(run["mixer"] for run in runs):
            chosen = [run for run in runs if (run["mixer"], run["objective"]) == (mixer, objective)]
            one = chosen[0]
            print(f"{mixer:<18}{one['learning_rate']:>7g}{one['parameters']:>12}", end="")
            print(f"{one['flops_per_token'] / 1e6:>13.2f}{one['activation_bytes'] / 2**20:>10.0f}", end="")
            loss = interval([run["losses"][-1] for run in chosen])
            right = interval([run["accuracy"] for run in chosen])
            print(f"{loss:>18}{right:>18}  {', '.join(held_by_band(chosen))};", end=" ")
            print(np.mean([run["held"]["recall"] for run in chosen], axis=0).round(2).tolist())


def held_by_band(runs: list[dict], key: str = "held") -> list[str]:
    """Return the dimensions at each band of lags, as mean and 95 % interval over runs."""
    by_lag = np.array([run[key]["capacity"] for run in runs])
    return [interval(by_lag[:, lags].sum(axis=1).tolist(), 1) for lags in BANDS.values()]


def interval(values: list[float], digits: int = 3) -> str:
    """Return mean and half of its 95 % interval over seeds."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values) if len(values) > 1 else np.nan
    return f"{np.mean(values):.{digits}f} +- {half:.{digits}f}"


def measure_sweep(
    doc: str, recipe: str, data: Path, measure: Callable[[Path], dict], show: Callable[[list[dict]], None]
) -> None:
    """Measure every finished run of the folder that is named on the command line, write all and print."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder that the sweep was trained into")
    runs = []
    for path in sorted(parser.parse_args().folder.glob("*/training.json")):
        runs.append(measure(path.parent))
        print(path.parent.name, file=sys.stderr)
        write_json(data, {"recipe": f"paper_figures/recipes/{recipe}", "runs": runs})
    show(runs)


if __name__ == "__main__":
    measure_sweep(__doc__, "language-sweep.toml", DATA, measure, show)
