"""From a folder to the weights in it."""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toeplitz_theory.checkpoints.checkpoint import Skipped
from toeplitz_theory.checkpoints.safetensors import SafetensorsFile
from toeplitz_theory.errors import InputError

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
INDEX_SUFFIX = ".index.json"
_PREFERRED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# What transformers' Trainer and accelerate write beside the weights.
_TRAINER_COMPANIONS = re.compile(
    r"(optimizer|scheduler|scaler|training_args|rng_state|random_states|sampler|dl_state_dict)(_.*)?\.[a-z]+"
)
_SHARD = re.compile(r".*-[0-9]{5}-of-[0-9]{5}\.[a-z]+")
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,18})")


@dataclass(frozen=True)
class Chosen:
    """The weight file (or shard index) that stands for a folder, and what was passed over."""

    path: Path
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()


def choose(folder: Path) -> Chosen:
    """Choose the weights of a folder.

    In order of preference: ``model.safetensors``, its shard index, ``pytorch_model.bin``, its shard
    index, any other ``.safetensors``, any other ``.bin``, ``.pt``, ``.pth`` or ``.ckpt`` (of several the
    last in natural order, so the highest step of numbered snapshots); then, of the ``checkpoint-N`` folders
    in it, the highest N that is complete. The others are returned as skipped.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Returns
    -------
    Chosen
        The file, and the candidates that were passed over.

    Raises
    ------
    InputError
        If there are no weights in it.
    """
    names = sorted(os.listdir(folder), key=_natural)
    files = [name for name in names if (folder / name).is_file()]
    runs = [name for name in names if _CHECKPOINT.fullmatch(name) and (folder / name).is_dir()]
    candidates = _candidates(files)
    if not candidates:
        if runs:
            return _latest_complete(folder, runs)
        shown = ", ".join(names[:6]) or "it is empty"
        raise InputError(
            f"{folder}: no weights in this folder (found: {shown}); "
            f"name a folder with model.safetensors, or a .safetensors, .bin or .pt file."
        )
    best, *others = candidates
    skipped = [Skipped(name, f"another weight file of this folder; {best} was read") for name in others]
    skipped += [Skipped(name, f"an earlier save of this run; {best} was read") for name in runs]
    return Chosen(folder / best, tuple(skipped))


def _candidates(files: list[str]) -> list[str]:
    """Weight files by preference."""
    others = [name for name in files if name not in _PREFERRED and not _TRAINER_COMPANIONS.fullmatch(name)]
    indexed = any(name.endswith(INDEX_SUFFIX) for name in files)
    if indexed:  # the index stands for its shards
        others = [name for name in others if not _SHARD.fullmatch(name)]
    safetensors = [name for name in others if name.endswith(".safetensors")]
    pickles = [name for name in others if name.endswith(PICKLE_SUFFIXES)]
    indices = [
        name for name in others if name.endswith((".safetensors" + INDEX_SUFFIX, ".bin" + INDEX_SUFFIX))
    ]
    return [name for name in _PREFERRED if name in files] + indices[::-1] + safetensors[::-1] + pickles[::-1]


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts]


def _latest_complete(folder: Path, runs: list[str]) -> Chosen:
    skipped: list[Skipped] = []
    chosen: Chosen | None = None
    for name in reversed(runs):
        if chosen is not None:
            skipped.append(Skipped(name, f"an earlier save of this run; {chosen.path.parent.name} was read"))
            continue
        try:
            candidate = choose(folder / name)
            _check_complete(candidate.path)
        except InputError as wrong:
            skipped.append(Skipped(name, f"not a complete save: {wrong}"))
            continue
        inner = tuple(Skipped(f"{name}/{s.name}", s.reason) for s in candidate.skipped)
        chosen = Chosen(candidate.path, inner, (f"read from {name}",))
    if chosen is None:
        newest = f"{skipped[0].name}: {skipped[0].reason}"
        raise InputError(f"{folder}: none of its {len(runs)} checkpoint folders is complete; {newest}")
    return Chosen(chosen.path, (*chosen.skipped, *skipped), chosen.notes)


def _check_complete(path: Path) -> None:
    """Tell a save that was cut off: a file of the wrong length, or a missing shard."""
    paths = [path]
    if path.name.endswith(INDEX_SUFFIX):
        paths = [path.parent / shard for shard in read_index(path)]
    for part in paths:
        try:
            with open(part, "rb") as handle:
                if part.suffix == ".safetensors":
                    SafetensorsFile(handle, str(part))
                elif handle.read(2) != b"PK" or not zipfile.is_zipfile(handle):
                    # torch.save writes a zip archive, whose directory stands at its end
                    raise InputError(f"{part}: not a whole torch.save archive.")
        except OSError as wrong:
            raise InputError(f"{part}: cannot be read ({wrong.strerror}).") from None


def read_index(path: Path) -> dict[str, list[str]]:
    """Read a shard index: the tensor names by shard file.

    Parameters
    ----------
    path : Path
        A ``*.index.json`` file.

    Returns
    -------
    dict of str to list of str
        Shard file name to the names of the tensors in it, in natural order of the shards.

    Raises
    ------
    InputError
        If it is no valid index, or names a file outside its folder.
    """
    index = read_json(path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{path}: a shard index must hold a weight_map of tensor names to files.")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        # one plain name: no path out of the folder, no folder, no NUL byte
        if not isinstance(shard, str) or shard in ("", ".", "..") or not set(shard).isdisjoint("/\\\0"):
            raise InputError(f"{path}: the weight_map names {shard!a}, which is no file of this folder.")
        shards.setdefault(shard, []).append(tensor)
    return {shard: shards[shard] for shard in sorted(shards, key=_natural)}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    InputError
        If the file cannot be read, is no JSON, or holds something else than an object.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited on for ever
        raise InputError(f"{path}: not a regular file.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise InputError(f"{path}: cannot be read ({wrong.strerror}).") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object.")
    return value
