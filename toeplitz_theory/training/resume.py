"""Checkpoints of a run: what they hold beside the Trainer's files, and which of them can be resumed from."""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from toeplitz_theory.cache import SEAL, damage, seal
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown

if TYPE_CHECKING:
    from torch import nn  # the first line of a run is said before torch is loaded

HISTORY = "history.jsonl"
_RUN = "run.json"


def checkpoint_folder(work: Path, step: int) -> Path:
    """Return where the checkpoint of a step is kept."""
    return work / f"checkpoint-{step}"


def checkpoint_step(folder: Path) -> int:
    """Return the step of a checkpoint folder."""
    return int(folder.name.rpartition("-")[2])


def finish_checkpoint(folder: Path, run: dict, history: Path) -> None:
    """Add what belongs to the weights (whose they are, the curve so far), and seal the checkpoint.

    So nothing that a run goes on from lies outside of the hashes.
    """
    (folder / _RUN).write_text(json.dumps(run, indent=2), encoding="utf-8")
    shutil.copyfile(history, folder / HISTORY)
    seal(folder)


def run_of(checkpoint: Path) -> dict:
    """Return the description of its run that a checkpoint holds."""
    return json.loads((checkpoint / _RUN).read_text(encoding="utf-8"))


def sealed_checkpoints(work: Path) -> list[Path]:
    """Return the ``checkpoint-N`` folders that were written to their end, in order of N."""
    return [path for path in _checkpoints(work) if (path / SEAL).exists()]


def put_damaged_aside(work: Path) -> None:
    """Leave only whole ``checkpoint-N`` folders, and warn of the others.

    One that was not written to its end is removed; one with a damaged file becomes ``damaged-checkpoint-N``:
    the Trainer, which keeps two and deletes the rest, does not count it.
    """
    for path in _checkpoints(work):
        problem = damage(path)
        if not problem:
            continue
        warnings.warn(f"{shown(path, 300)} is left out: {problem}", stacklevel=2)
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        if (path / SEAL).exists():
            os.replace(path, aside)
        else:
            shutil.rmtree(path)


def _checkpoints(work: Path) -> list[Path]:
    named = (path for path in work.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit())
    folders = [path for path in named if path.is_dir()]
    return sorted(folders, key=checkpoint_step)


def refuse_foreign(folder: Path, model: "nn.Module") -> None:
    """Raise when a checkpoint's weights are not those of the model: the Trainer would take what fits."""
    path = folder / "model.safetensors"
    name = shown(path, 300)
    if not path.exists():
        return  # sharded: its loader is strict
    try:
        with safe_open(path, framework="pt") as file:
            saved = {key: tuple(file.get_slice(key).get_shape()) for key in [*file.keys()]}
    except SafetensorError as error:
        raise InputError(
            f"{name}: is not a whole safetensors file ({shown(error)}); remove its folder"
        ) from None
    state = model.state_dict()
    wanted = {key: tuple(value.shape) for key, value in state.items()}
    pointers = {state[key].data_ptr() for key in saved if key in state}
    missing = [key for key in wanted if key not in saved and state[key].data_ptr() not in pointers]
    problems = [f"has {shown(key)}, which this model has not" for key in saved if key not in wanted]
    problems += [f"has no {key}" for key in missing]
    problems += [
        f"has {key} of shape {saved[key]}, not {shape}"
        for key, shape in wanted.items()
        if saved.get(key, shape) != shape
    ]
    if problems:
        raise InputError(
            f"{name}: is of another architecture or vocabulary: it {problems[0]}; "
            "give --out ANOTHER-FOLDER, or --force to start over"
        )
