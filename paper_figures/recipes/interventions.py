"""Change the kernels of trained models, and ask again what they keep: ``interventions.py FOLDER ...``.

Each folder holds trained models, of text or of a task. Of each, as trained and with its kernels replaced
(`toeplitz_theory.training.make_invertible`): held-out loss, share of answers that are right, median index,
and for text what the last state holds. Written to `paper_figures/data/interventions.json`, beside the
models that were *trained* under a penalty, which stand there already.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from language import held, held_by_band, interval
from torch.nn.functional import cross_entropy

from toeplitz_theory.files import write_json
from toeplitz_theory.operators import Symbol
from toeplitz_theory.threads import one_thread
from toeplitz_theory.training import TrainedModel, make_invertible, open_trained
from toeplitz_theory.training.surgery import replaceable

DATA = Path(__file__).resolve().parents[1] / "data" / "interventions.json"
SURGERY: dict[str, dict[str, Any]] = {
    "as trained": {},
    "zeros within 2/n of the circle reflected": {"keep": "deep-zeros", "near": 2.0},
    "zeros within 8/n of the circle reflected": {"keep": "deep-zeros", "near": 8.0},
    "outer factor after its main lag": {"keep": "main-lag"},
    "outer factor": {"keep": "nothing"},
}


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each way of replacing the kernels."""
    recipe = open_trained(folder).recipe
    kind = {"objective": recipe.objective, "heads": recipe.model.num_heads, "n": recipe.sequence_length}
    rows = []
    for name, how in SURGERY.items():
        trained = open_trained(folder)
        if how:
            make_invertible(trained.model, **how)
        indices = [Symbol(taps.numpy()).fredholm_index().value for _, taps in replaceable(trained.model)]
        row = kind | {"seed": recipe.training.seed, "change": name, **answers(trained)}
        row["index"] = float(np.median([index for index in indices if index is not None]))
        if recipe.task is None:
            row["held"] = held(trained.model.eval())
        rows.append(row)
    return rows


@torch.no_grad()
def answers(trained: TrainedModel) -> dict[str, float]:
    """Return held-out loss, in nats, and accuracy over all labels."""
    model, rows = trained.model.eval(), trained.held_out
    later = int(trained.recipe.objective != "autoencode")  # labels are shifted inside of language models
    loss, right, count = 0.0, 0, 0
    for start in range(0, len(rows), 64):
        batch = [rows[i] for i in range(start, min(start + 64, len(rows)))]
        ids, labels = (torch.stack([row[name] for row in batch]) for name in ("input_ids", "labels"))
        logits, labels = model(input_ids=ids).logits[:, : ids.shape[1] - later], labels[:, later:]
        loss += float(cross_entropy(logits.transpose(1, 2), labels, reduction="sum"))
        right += int((logits.argmax(-1) == labels).sum())  # ignored labels are negative
        count += int((labels >= 0).sum())
    return {"loss": loss / count, "accuracy": right / count}


def show(rows: list[dict]) -> None:
    """Print a line for each kind of model and change: mean and 95 % interval over seeds."""
    for kind in dict.fromkeys((row["objective"], row["heads"], row["n"]) for row in rows):
        print(f"{kind[0]}, {kind[1]} head(s), n = {kind[2]}")
        of_kind = [row for row in rows if (row["objective"], row["heads"], row["n"]) == kind]
        for change in dict.fromkeys(row["change"] for row in of_kind):
            chosen = [row for row in of_kind if row["change"] == change]
            loss, right = (interval([row[name] for row in chosen]) for name in ("loss", "accuracy"))
            line = f"  {change:<42} loss {loss}, right {right}"
            if "index" in chosen[0]:
                line += f", index {interval([row['index'] for row in chosen], 1)}"
            if "held" in chosen[0]:
                line += f"; dimensions {', '.join(held_by_band(chosen))}; bits "
                line += str(np.mean([row["held"]["recall"] for row in chosen], axis=0).round(2).tolist())
            print(line)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders that sweeps were trained into")
    rows = json.loads(DATA.read_text())["rows"] if DATA.exists() else []
    with one_thread():
        for folder in parser.parse_args().folders:
            for path in sorted(folder.glob("*/model.safetensors")):
                new = measure(path.parent)
                names = ("objective", "heads", "n", "seed", "change")
                known = {tuple(row[name] for name in names) for row in new}
                rows = [row for row in rows if tuple(row[name] for name in names) not in known] + new
                print(path.parent.name, flush=True)
                write_json(DATA, {"recipe": "paper_figures/recipes/interventions.py", "rows": rows})
    show(rows)


if __name__ == "__main__":
    main()
