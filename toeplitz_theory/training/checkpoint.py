"""Which of a run's checkpoints can be resumed from."""

import json
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open

# transformers writes a checkpoint's files one after the other, the trainer's state last.
_NEEDED = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def complete_checkpoints(work: Path) -> list[Path]:
    """Return the ``checkpoint-N`` folders that are whole, in order of N; warn of the others."""
    found = [p for p in work.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()]
    whole = []
    for path in sorted(found, key=lambda p: int(p.name.rpartition("-")[2])):
        problem = _problem(path)
        if problem:
            warnings.warn(f"{path} is left out: {problem}", stacklevel=2)
        else:
            whole.append(path)
    return whole


def _problem(path: Path) -> str:
    missing = [name for name in _NEEDED if not (path / name).is_file()]
    if missing:
        return f"it has no {missing[0]}, so the run was stopped while writing it"
    try:
        json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        with safe_open(path / "model.safetensors", framework="pt"):
            pass
    except (ValueError, SafetensorError) as error:
        return f"a file in it is cut short ({error})"
    return ""
