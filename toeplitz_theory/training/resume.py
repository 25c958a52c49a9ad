"""Which of a run's checkpoints can be resumed from."""

import json
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import write_json

_MARK = "complete.json"


def checkpoint_folder(work: Path, step: int) -> Path:
    """Return where the checkpoint of a step is kept."""
    return work / f"checkpoint-{step}"


def checkpoint_step(folder: Path) -> int:
    """Return the step of a checkpoint folder."""
    return int(folder.name.rpartition("-")[2])


def mark_complete(folder: Path) -> None:
    """Note the files of a checkpoint and their sizes: the last thing written into it."""
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    files.pop(_MARK, None)
    write_json(folder / _MARK, files)


def complete_checkpoints(work: Path) -> list[Path]:
    """Return the ``checkpoint-N`` folders that are whole, in order of N; warn of the others."""
    found = [p for p in work.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()]
    whole = []
    for path in sorted(found, key=checkpoint_step):
        problem = _problem(path)
        if problem:
            warnings.warn(f"{path} is left out: {problem}", stacklevel=2)
        else:
            whole.append(path)
    return whole


def _problem(path: Path) -> str:
    try:
        files = json.loads((path / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "the run was stopped while writing it"
    for name, size in files.items():
        try:
            found = (path / name).stat().st_size
        except OSError:
            return f"its {name} is gone"
        if found != size:
            return f"its {name} has {found} bytes, not {size}"
    return ""


def refuse_foreign(folder: Path, model: nn.Module) -> None:
    """Raise when a checkpoint's weights are not those of the model: the Trainer would take what fits."""
    path = folder / "model.safetensors"
    if not path.exists():
        return  # sharded: its loader is strict
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in [*file.keys()]}
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}); remove {folder}") from None
    state = model.state_dict()
    wanted = {key: tuple(value.shape) for key, value in state.items()}
    stored = {state[key].data_ptr() for key in found if key in state}
    missing = [key for key in wanted if key not in found and state[key].data_ptr() not in stored]
    problems = [f"has {key}, which this model has not" for key in found if key not in wanted]
    problems += [f"has no {key}" for key in missing]
    problems += [
        f"has {key} of shape {found[key]}, not {shape}"
        for key, shape in wanted.items()
        if found.get(key, shape) != shape
    ]
    if problems:
        raise InputError(
            f"{path}: is of another architecture or vocabulary: it {problems[0]}; "
            "give --out ANOTHER-FOLDER, or --force to start over"
        )
