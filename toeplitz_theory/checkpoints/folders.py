"""From a folder to the weights in it."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from toeplitz_theory.checkpoints.checkpoint import Skipped
from toeplitz_theory.checkpoints.safetensors import SafetensorsFile
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_json
from toeplitz_theory.names import shown

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
_SHARD = re.compile(r"(.+?)[-_.]?([0-9]{1,6})[-_]of[-_]([0-9]{1,6})(\.[a-z]+)")
# Parts that hold a slice of every tensor, one for each process of tensor parallelism.
_SLICE = re.compile(r"(consolidated\.|mp_rank_|tp_rank_|model_mp)[0-9]{2}.*")
_DEEPSPEED_PART = re.compile(r"(bf16_)?zero_pp_rank_.*|.*_optim_states\.pt")
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,18})")
MAX_INDEX_BYTES = 32 << 20


@dataclass(frozen=True)
class Chosen:
    """What stands for a folder: a weight file, a shard index, or a set of shards; and what was left out."""

    paths: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file, or of the set, for messages."""
        first = shown(self.paths[0].name)
        return first if len(self.paths) == 1 else f"{first} and the other {len(self.paths) - 1} shards"


def choose(folder: Path) -> Chosen:
    """Choose the weights of a folder.

    In order of preference: ``model.safetensors``, its shard index, ``pytorch_model.bin``, its shard
    index, a complete set of shards without an index, any other ``.safetensors``, any other ``.bin``, ``.pt``,
    ``.pth`` or ``.ckpt`` (of several the last in natural order, so the highest step of numbered snapshots);
    then, of the ``checkpoint-N`` folders in it, the highest N that is complete. The others are returned as
    skipped.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Returns
    -------
    Chosen
        The file or files, and the candidates that were passed over.

    Raises
    ------
    InputError
        If there are no weights in it, or parts of a model only.
    """
    names = sorted(os.listdir(folder), key=_natural)
    files = [name for name in names if (folder / name).is_file()]
    runs = [name for name in names if _CHECKPOINT.fullmatch(name) and (folder / name).is_dir()]
    candidates, partial = _candidates(files)
    skipped = [Skipped(name, reason) for name, reason in partial.items()]
    if not candidates:
        kept_apart = _kept_apart(folder, names)
        if kept_apart:
            raise InputError(f"{shown(folder)}: {kept_apart}")
        if partial:
            name, reason = next(iter(partial.items()))
            raise InputError(f"{shown(folder)}: parts of a model only; {shown(name)} is {reason}.")
        if runs:
            return _latest_complete(folder, runs)
        listed = ", ".join(shown(name, 40) for name in names[:6]) or "it is empty"
        raise InputError(
            f"{shown(folder)}: no weights in this folder (found: {listed}); "
            f"name a folder with model.safetensors, or a .safetensors, .bin or .pt file."
        )
    chosen = Chosen(tuple(folder / name for name in candidates[0]), ())
    skipped = [
        Skipped(name, f"another weight file of this folder; {chosen.name} was read")
        for names in candidates[1:]
        for name in names
    ] + skipped
    skipped += [Skipped(name, f"an earlier save of this run; {chosen.name} was read") for name in runs]
    return Chosen(chosen.paths, tuple(skipped))


def _candidates(files: list[str]) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Weight files, or sets of shards, by preference; and parts of models, each with what it is."""
    others = [
        name
        for name in files
        if name not in _PREFERRED
        and not _TRAINER_COMPANIONS.fullmatch(name)
        and not _DEEPSPEED_PART.fullmatch(name)
    ]
    sets: dict[tuple[str, int, str], dict[int, str]] = {}
    for name in others:
        part = _SHARD.fullmatch(name)
        if part and part[4] in (".safetensors", *PICKLE_SUFFIXES):
            sets.setdefault((part[1], int(part[3]), part[4]), {})[int(part[2])] = name
    slices = [name for name in others if _SLICE.fullmatch(name) and name.endswith(PICKLE_SUFFIXES)]
    indexed = any(name.endswith(INDEX_SUFFIX) for name in files)  # the index stands for its shards
    partial = dict.fromkeys(slices, _SLICED) if len(slices) > 1 else {}
    complete = []
    for (_, total, _), parts in {} if indexed else sets.items():
        missing = next((i for i in range(1, total + 1) if i not in parts), None)
        if missing is None and len(parts) == total:
            complete.append(tuple(parts[i] for i in sorted(parts)))
        else:
            reason = f"one of {len(parts)} of {total} shards (number {missing} is missing): fetch the others"
            partial |= dict.fromkeys(parts.values(), reason)
    of_sets = {name for parts in sets.values() for name in parts.values()}
    others = [name for name in others if name not in of_sets and name not in partial]
    safetensors = [name for name in others if name.endswith(".safetensors")]
    pickles = [name for name in others if name.endswith(PICKLE_SUFFIXES)]
    indices = [
        name for name in others if name.endswith((".safetensors" + INDEX_SUFFIX, ".bin" + INDEX_SUFFIX))
    ]
    preferred = [name for name in _PREFERRED if name in files] + indices[::-1]
    single = safetensors[::-1] + pickles[::-1]
    return [*((name,) for name in preferred), *complete, *((name,) for name in single)], partial


_SLICED = (
    "one of several slices, each with a part of every tensor (tensor parallelism): merge them with the code "
    "that saved them"
)


def _kept_apart(folder: Path, names: list[str]) -> str:
    """Say what a folder is whose weights lie in parts, one a process, and how to merge them; or nothing."""
    inside = {name for name in names if (folder / name).is_dir()}
    for part in (".", *sorted(inside)):
        if (folder / part / ".metadata").is_file() and any((folder / part).glob("*.distcp")):
            where = shown(folder if part == "." else folder / part)
            return (
                f"a sharded checkpoint of FSDP (torch.distributed.checkpoint in {where}); merge it with "
                f"'accelerate merge-weights {where} OUT' or 'python -m torch.distributed.checkpoint."
                f"format_utils dcp_to_torch {where} model.pt' and name the result."
            )
    steps = [name for name in inside if re.fullmatch(r"global_step[0-9]+", name)]
    parts = [name for name in names if _DEEPSPEED_PART.fullmatch(name) or name.endswith("_model_states.pt")]
    if steps or parts:
        where = shown(folder if steps else folder.parent)
        return (
            f"a DeepSpeed checkpoint, whose weights lie in one part for each process; merge it with "
            f"'python zero_to_fp32.py {where} OUT' (DeepSpeed leaves the script there) and name the result."
        )
    return ""


def note_on_part(path: Path) -> str:
    """Say of what a file that was named alone is a part; empty where it is whole.

    Raises
    ------
    InputError
        If it is a slice: no tensor in it is whole.
    """
    part = _SHARD.fullmatch(path.name)
    if part and part[3].strip("0") not in ("", "1"):
        return (
            f"one shard of {int(part[3])} alone: layers in the others are not here; name the folder for all"
        )
    if part is None and _SLICE.fullmatch(path.name):
        siblings = [name for name in os.listdir(path.parent) if _SLICE.fullmatch(name)]
        if sum(name.endswith(path.suffix) and not _DEEPSPEED_PART.fullmatch(name) for name in siblings) > 1:
            raise InputError(f"{shown(path)}: {_SLICED}.")
    return ""


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts]


def _latest_complete(folder: Path, runs: list[str]) -> Chosen:
    skipped: list[Skipped] = []
    chosen: Chosen | None = None
    for name in reversed(runs):
        if chosen is not None:
            reason = f"an earlier save of this run; {shown(chosen.paths[0].parent.name)} was read"
            skipped.append(Skipped(name, reason))
            continue
        try:
            candidate = choose(folder / name)
            for path in candidate.paths:
                _check_complete(path)
        except InputError as wrong:
            skipped.append(Skipped(name, f"not read: {wrong}"))
            continue
        inner = tuple(Skipped(f"{name}/{s.name}", s.reason) for s in candidate.skipped)
        chosen = Chosen(candidate.paths, inner, (f"read from {name}",))
    if chosen is None:
        newest = f"{skipped[0].name}: {skipped[0].reason}"
        raise InputError(f"{shown(folder)}: none of its {len(runs)} checkpoint folders can be read; {newest}")
    return Chosen(chosen.paths, (*chosen.skipped, *skipped), chosen.notes)


def _check_complete(path: Path) -> None:
    """Tell a save that was cut off: a file of the wrong length, or a missing shard."""
    paths = [path]
    if path.name.endswith(INDEX_SUFFIX):
        paths = [path.parent / shard for shard in read_index(path)]
    for part in paths:
        if part.exists() and not part.is_file():  # a pipe would be waited on for ever
            raise InputError(f"{shown(part)}: not a regular file.")
        try:
            with open(part, "rb") as handle:
                if part.suffix == ".safetensors":
                    SafetensorsFile(handle, shown(part))
                elif handle.read(2) != b"PK" or not zipfile.is_zipfile(handle):
                    # torch.save writes a zip archive, whose directory stands at its end
                    raise InputError(f"{shown(part)}: not a whole torch.save archive.")
        except OSError as wrong:
            raise InputError(f"{shown(part)}: cannot be read ({wrong.strerror}).") from None


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
    index = read_json(path, MAX_INDEX_BYTES)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{shown(path)}: a shard index must hold a weight_map of tensor names to files.")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        # one plain name: no path out of the folder, no folder, no NUL byte
        if not isinstance(shard, str) or shard in ("", ".", "..") or not set(shard).isdisjoint("/\\\0"):
            raise InputError(
                f"{shown(path)}: the weight_map names '{shown(shard)}', which is not a file of this folder."
            )
        shards.setdefault(shard, []).append(tensor)
    return {shard: shards[shard] for shard in sorted(shards, key=_natural)}
