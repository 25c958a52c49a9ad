"""`load`: any saved or live model -> its Toeplitz kernels."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.checkpoints.checkpoint import Checkpoint, Skipped, SourceFile
from toeplitz_theory.checkpoints.folders import (
    INDEX_SUFFIX,
    PICKLE_SUFFIXES,
    choose,
    read_index,
    read_json,
)
from toeplitz_theory.checkpoints.layouts import LAYOUTS_UNDERSTOOD, find_layers
from toeplitz_theory.checkpoints.pickles import read_pickle
from toeplitz_theory.checkpoints.safetensors import SafetensorsFile
from toeplitz_theory.checkpoints.stores import MemoryStore, TensorInfo, TensorStore
from toeplitz_theory.errors import InputError

if TYPE_CHECKING:
    from torch import nn

# The key in the metadata of a kernel file under which training says what its kernels are of.
CONFIG_KEY = "tmm_config"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_REPEAT_NOTE = (
    "taken as Toeplitz by tensor names and shapes; the 'repeat' layers of the same public code are stored "
    "alike and cannot be told apart without their source"
)


def load(source: str | os.PathLike[str] | nn.Module | Mapping[str, Any]) -> Checkpoint:
    """Read the Toeplitz kernels of a model, wherever it is.

    Parameters
    ----------
    source : path, nn.Module or mapping
        A ``.safetensors`` file (read without torch, and only the bytes of the Toeplitz tensors); a
        ``.bin``, ``.pt``, ``.pth`` or ``.ckpt`` state dict (read with ``weights_only=True``: no code is
        run); a shard index (``*.index.json``); a folder with one of these, or with ``checkpoint-N``
        folders, of which the highest complete one is read; a live ``torch.nn.Module``; or a state
        dict, from tensor names to torch tensors or arrays.

    Returns
    -------
    Checkpoint
        The layers in reading order, what was skipped and why, the files with their SHA-256, and
        ``config.json`` where there is one.

    Raises
    ------
    InputError
        If the source is missing, unreadable, damaged, or holds no Toeplitz layer: one line saying
        which, and what to do.

    Notes
    -----
    Of several weight files in a folder, ``model.safetensors`` is preferred to its shard index, to
    ``pytorch_model.bin``, to other names; the others are listed in ``skipped``. The layouts are those
    of the public code for Toeplitz MLP Mixers:

    * flat: ``mixer_blocks.{i}.token_mixing_layer.weight`` (1, n), and (k, n) for k taps over channels;
    * heads: ``...token_mixing_layer.mixer_heads.{h}.weight`` (1, n), or ``...mixer_heads.weight`` (H, n);
    * expanded: ``...token_mixing_layer.{j}.weight`` and ``...mixer_heads.{h}.{j}.weight``, two of each;
    * the same under ``encoderblocks`` and ``decoderblocks``;
    * ``blocks.{i}.mixer.weight`` (n,) or (H, n), and ``weight_raw``, of which the kernel is the softplus.

    Wrapper segments (``module``, ``_orig_mod``, leading ``model`` and ``base_model``) are taken off the
    names. Kernels with nan or inf, of integers, or all zero are layers with a note, not errors.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.checkpoints import load
    >>> state = {"model.mixer_blocks.0.token_mixing_layer.weight": np.array([[1.0, -0.5, 0.25]])}
    >>> layer = load(state).layers[0]
    >>> layer.layer, layer.layout, layer.kernel.tolist()
    ('mixer_blocks.0', 'flat', [1.0, -0.5, 0.25])
    """
    if isinstance(source, Mapping):
        return _from_memory(source, "a state dict in memory")
    if callable(getattr(source, "state_dict", None)):
        tensors = source.state_dict()  # type: ignore[union-attr]
        return _from_memory(tensors, type(source).__name__, _live_config(source))
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source))
    raise InputError(
        f"cannot read a model from {type(source).__name__}: give a path, a torch module or a state dict."
    )


def _from_memory(tensors: Mapping[str, Any], source: str, config: dict[str, Any] | None = None) -> Checkpoint:
    return _assemble(MemoryStore(tensors, source), source, config or {})


def _live_config(module: Any) -> dict[str, Any]:
    """Return the configuration that a live module of transformers carries; empty for others."""
    to_dict = getattr(getattr(module, "config", None), "to_dict", None)
    config = to_dict() if callable(to_dict) else {}
    return config if isinstance(config, dict) else {}


def _from_path(source: str) -> Checkpoint:
    if isinstance(source, bytes):
        source = os.fsdecode(source)
    path = Path(source)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    try:
        if stat.S_ISDIR(os.stat(source).st_mode):
            chosen = choose(path)
            path, skipped, notes = chosen.path, chosen.skipped, chosen.notes
        return _from_file(path, source, list(skipped), list(notes))
    except FileNotFoundError as wrong:
        missing = wrong.filename or source
        raise InputError(f"{missing}: no such file or folder; check the path.") from None
    except PermissionError as wrong:
        raise InputError(f"{wrong.filename or source}: permission denied; make it readable.") from None
    except (OSError, ValueError) as wrong:
        if isinstance(wrong, InputError):
            raise
        # ValueError: a NUL byte in the path; OSError: too long a name, a loop of links, a failing disk
        raise InputError(
            f"{source!a}: cannot be read ({getattr(wrong, 'strerror', None) or wrong})."
        ) from None


def _from_file(path: Path, source: str, skipped: list[Skipped], notes: list[str]) -> Checkpoint:
    name = path.name
    if name.endswith(INDEX_SUFFIX):
        return _from_index(path, source, skipped, notes)
    with ExitStack() as stack:
        opened = _open(path, stack)
        if opened.handle is None:
            store: TensorStore
            store, more, wrappers = read_pickle(str(path), opened.size)
            skipped, notes = skipped + more, notes + wrappers
        else:
            store = SafetensorsFile(opened.handle, str(path))
        config, broken = _config_of(store, path.parent)
        return _assemble(store, source, config, skipped + broken, notes, lambda _: (opened.hash(),))


def _from_index(path: Path, source: str, skipped: list[Skipped], notes: list[str]) -> Checkpoint:
    with ExitStack() as stack:
        owner: dict[str, tuple[TensorStore, _Opened]] = {}
        for shard, tensors in read_index(path).items():
            opened = _open(path.parent / shard, stack)
            if opened.handle is None:
                store: TensorStore
                store, more, _ = read_pickle(str(opened.path), opened.size)
                skipped = skipped + more
            else:
                store = SafetensorsFile(opened.handle, str(opened.path))
            missing = [tensor for tensor in tensors if tensor not in store.infos]
            if missing:
                raise InputError(f"{opened.path}: lacks {missing[0]!a}, which {path.name} places there.")
            owner |= dict.fromkeys(tensors, (store, opened))

        def used_files(keys: Iterable[str]) -> tuple[SourceFile, ...]:
            # only the shards that hold kernels are hashed: the others may be many gigabytes
            used = {id(owner[key][1]): owner[key][1] for key in keys}
            return (_Opened.of_small(path), *(opened.hash() for opened in used.values()))

        config, broken = _read_config(path.parent)
        return _assemble(_ShardedStore(owner), source, config, skipped + broken, notes, used_files)


class _ShardedStore:
    """The tensors of several files under one face."""

    def __init__(self, owner: dict[str, tuple[TensorStore, _Opened]]) -> None:
        self._owner = owner
        self.infos: dict[str, TensorInfo] = {name: store.infos[name] for name, (store, _) in owner.items()}

    def values(self, name: str) -> np.ndarray:
        return self._owner[name][0].values(name)


class _Opened:
    """A weight file that exists, is a regular file and is not a stand-in for one.

    `handle` is None for pickles, which torch opens itself.
    """

    def __init__(self, path: Path, handle: BufferedReader, size: int, pickled: bool) -> None:
        self.path, self.size = path, size
        self.handle = None if pickled else handle
        self._handle = handle

    def hash(self) -> SourceFile:
        """Hash the whole file, as a stream."""
        self._handle.seek(0)
        digest = hashlib.file_digest(self._handle, "sha256").hexdigest()
        return SourceFile(str(self.path), digest, self.size)

    @staticmethod
    def of_small(path: Path) -> SourceFile:
        """Hash a small file that is not kept open."""
        raw = path.read_bytes()
        return SourceFile(str(path), hashlib.sha256(raw).hexdigest(), len(raw))


def _open(path: Path, stack: ExitStack) -> _Opened:
    pickled = path.suffix.lower() in PICKLE_SUFFIXES
    if not pickled and path.suffix.lower() != ".safetensors":
        raise InputError(
            f"{path}: unknown kind of file; "
            f"give a .safetensors, .bin, .pt, .pth or .ckpt file, or a folder with one."
        )
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"{path}: not a regular file.")
    handle = stack.enter_context(open(path, "rb"))  # noqa: SIM115 (the stack closes it)
    size = os.fstat(handle.fileno()).st_size
    start = handle.read(64)
    if not start:
        raise InputError(f"{path}: the file is empty; save or download it again.")
    if start.startswith(_LFS_POINTER):
        raise InputError(f"{path}: a git-lfs pointer, not the weights; run 'git lfs pull' to fetch them.")
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{path}: a web page, not weights; download the file itself.")
    return _Opened(path, handle, size, pickled)


def _assemble(
    store: TensorStore,
    source: str,
    config: dict[str, Any],
    skipped: list[Skipped] | None = None,
    notes: list[str] | None = None,
    files_of: Callable[[Iterable[str]], tuple[SourceFile, ...]] | None = None,
) -> Checkpoint:
    skipped, notes = list(skipped or []), list(notes or [])
    layers, left_out, ignored = find_layers(store, config)
    # A model of this package with mixers of another kind has a report too: what was skipped, and why.
    if not layers and not (left_out and config.get("model_type") == "tmm"):
        raise InputError(f"{source}: {_why_none(store, left_out)}")
    if not str(config.get("model_type", "")).startswith("tmm"):
        notes.append(_REPEAT_NOTE)
    return Checkpoint(
        source=source,
        files=files_of([layer.key for layer in layers]) if files_of else (),
        layers=tuple(layers),
        skipped=(*left_out, *skipped),
        config=config,
        ignored=ignored,
        notes=tuple(notes),
    )


def _why_none(store: TensorStore, left_out: list[Skipped]) -> str:
    keys = list(store.infos)
    seen = ", ".join(ascii(key[:60]) for key in keys[:4]) + (", ..." if len(keys) > 4 else "")
    first = f"; {left_out[0].name}: {left_out[0].reason}" if left_out else ""
    return (
        f"no Toeplitz layer among its {len(keys)} tensors ({seen or 'none'}){first}; "
        f"layouts understood: {LAYOUTS_UNDERSTOOD}."
    )


def _config_of(store: TensorStore, folder: Path) -> tuple[dict[str, Any], list[Skipped]]:
    """Read config.json beside the weights; without it, what a file of kernels says of its model itself."""
    if (folder / "config.json").exists():
        return _read_config(folder)
    told = store.metadata.get(CONFIG_KEY) if isinstance(store, SafetensorsFile) else None
    if told is None:
        return {}, []
    try:
        config = json.loads(told)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return {}, [Skipped(CONFIG_KEY, "in the metadata of the file, and not a JSON object: not applied")]
    return config, []


def _read_config(folder: Path) -> tuple[dict[str, Any], list[Skipped]]:
    """Read config.json beside the weights; a broken one is reported: only notes hang on it."""
    path = folder / "config.json"
    if not path.exists():
        return {}, []
    try:
        return read_json(path), []
    except InputError as wrong:
        return {}, [Skipped("config.json", str(wrong))]
