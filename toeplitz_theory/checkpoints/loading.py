"""`load`: any saved or live model -> its Toeplitz kernels."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toeplitz_theory.cache import file_hash
from toeplitz_theory.checkpoints.candidates import how_to_name, may_be_kernels_at_hand
from toeplitz_theory.checkpoints.checkpoint import Checkpoint, Skipped, SourceFile
from toeplitz_theory.checkpoints.folders import (
    INDEX_SUFFIX,
    PICKLE_SUFFIXES,
    choose,
    note_on_part,
    read_index,
)
from toeplitz_theory.checkpoints.hub import HUB, downloaded
from toeplitz_theory.checkpoints.layouts import find_layers
from toeplitz_theory.checkpoints.named_kernels import Kernels, Naming, named_layers
from toeplitz_theory.checkpoints.pickles import read_pickle
from toeplitz_theory.checkpoints.safetensors import SafetensorsFile
from toeplitz_theory.checkpoints.stores import MemoryStore, TensorInfo, TensorStore
from toeplitz_theory.checkpoints.unread import recognised
from toeplitz_theory.checkpoints.wrappers import unwrap
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import MOST_JSON, read_json
from toeplitz_theory.names import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
    from torch import nn

_IN_MEMORY = "a state dict in memory"
_NAMED_NOTE = "which tensors are kernels, and how they lie, is as the caller said: it was not verified"
# The key in the metadata of a kernel file under which training says what its kernels are of.
CONFIG_KEY = "tmm_config"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_REPEAT_NOTE = (
    "kernels were recognised by the names and shapes of their tensors; layers of the kind 'repeat' of the "
    "public code look alike in a file: make sure that yours are Toeplitz layers"
)


def load(
    source: str | os.PathLike[str] | nn.Module | Mapping[str, Any] | ArrayLike,
    *,
    projections: bool = False,
    kernels: Naming | None = None,
    probe: str | Sequence[str] | None = None,
    inputs: Any = None,
) -> Checkpoint:
    """Read the Toeplitz kernels of a model, wherever it is.

    Parameters
    ----------
    source : path, nn.Module, mapping or array
        A ``.safetensors`` file (read without torch, and only the bytes of the Toeplitz tensors); a
        ``.bin``, ``.pt``, ``.pth`` or ``.ckpt`` state dict (read with ``weights_only=True``: no code is
        run); a shard index (``*.index.json``); a folder with one of these, or with ``checkpoint-N``
        folders, of which the highest complete one is read; ``hub:OWNER/NAME`` for a model of the Hugging
        Face Hub, also with ``@REVISION``, of which only safetensors are read; a live ``torch.nn.Module``; a
        state dict, from tensor names to torch tensors or arrays; or kernels at hand: an array, a list of
        arrays, or a mapping whose names are not those of a model's parameters.
    projections : bool
        Whether to keep the projections of heads too, 2 d^2 numbers a layer, for `Checkpoint.multihead`.
    kernels : str, path, Kernels, sequence, mapping or callable, optional
        Which tensors are kernels, in a model of any kind; then these are read and no layout is looked for.
        A name or pattern (``*`` and ``?`` match dots too), with options after a colon such as
        ``"blocks.*.filter:axis=0,reversed"``; a list of these; a mapping from names or patterns to `Kernels`
        or to mappings of their options; a ``.toml`` file that holds such a mapping; one `Kernels` for all
        tensors; or a function of a tensor's name and its values (float64), that returns kernels, how they
        are held as `Kernels`, or None.
    probe : str or sequence of str, optional
        Modules of a live model, by name or pattern, to ask for their impulse responses where they stand.
    inputs : tensor, tuple or dict, optional
        What to call the model with for that; random ids where its configuration says what ids there are.

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
    ``pytorch_model.bin``, to other names; the others are listed in ``skipped``. Shards without an index are
    read together, and a part of them is refused. Of several sets of weights in one file the one named as the
    weights is read (``state_dict``, ``model``, ...), averages of them only where they are alone. The layouts
    are those of the public code for Toeplitz MLP Mixers:

    * flat: ``mixer_blocks.{i}.token_mixing_layer.weight`` (1, n), and (k, n) for k taps over channels;
    * heads: ``...token_mixing_layer.mixer_heads.{h}.weight`` (1, n), or ``...mixer_heads.weight`` (H, n);
    * expanded: ``...token_mixing_layer.{j}.weight`` and ``...mixer_heads.{h}.{j}.weight``, two of each;
    * the same under ``encoderblocks`` and ``decoderblocks``;
    * ``blocks.{i}.mixer.weight`` (n,) or (H, n), and ``weight_raw``, of which the kernel is the softplus.

    Wrapper segments (``module``, ``_orig_mod``, leading ``model`` and ``base_model``) are taken off the
    names. Kernels with nan or inf, of integers, or all zero are layers with a note, not errors. A kernel
    beside tensors that change what its layer does (gates, adapters, scales) is skipped with the reason.

    Of what the caller names, time runs along the longest axis unless `Kernels` says otherwise, and where two
    are as long it must; the note of each layer says how it was read, and that it was the caller who said so.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.checkpoints import load
    >>> state = {"model.mixer_blocks.0.token_mixing_layer.weight": np.array([[1.0, -0.5, 0.25]])}
    >>> layer = load(state).layers[0]
    >>> layer.layer, layer.layout, layer.kernel.tolist()
    ('mixer_blocks.0', 'flat', [1.0, -0.5, 0.25])
    """
    if probe is not None:
        if kernels is not None:
            raise InputError("kernels= names tensors and probe= asks modules: give one of them")
        from toeplitz_theory.checkpoints.probed_layers import probed_layers

        return probed_layers(source, probe, inputs)
    ask = _Ask(projections, kernels)
    if isinstance(source, Mapping):
        return _from_memory(source, _IN_MEMORY, {}, ask)
    if callable(getattr(source, "state_dict", None)):
        module: Any = source
        live = replace(ask, convolutions=_convolutions(module))
        return _from_memory(module.state_dict(), shown(type(module).__name__), _live_config(module), live)
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(os.fspath(source))
        if path.startswith(HUB):
            return replace(_from_path(str(downloaded(path)), ask), source=path)
        return _from_path(path, ask)
    arrays = _arrays_at_hand(source)
    if arrays:
        return _from_memory(arrays, "arrays in memory", {}, replace(ask, kernels=kernels or Kernels()))
    raise InputError(
        f"cannot read a model from {type(source).__name__}: give a path, a torch module, a state dict, or "
        "kernels as arrays."
    )


@dataclass(frozen=True)
class _Ask:
    """What is to be read of a model."""

    projections: bool
    kernels: Naming | None
    convolutions: Mapping[str, Any] = field(default_factory=dict)


def _arrays_at_hand(source: Any) -> dict[str, Any]:
    """An array of kernels, or a list of such arrays, by name; empty where it is neither."""
    if hasattr(source, "shape"):
        return {"kernels": source}
    if not isinstance(source, (list, tuple)):
        return {}
    if any(isinstance(entry, (list, tuple)) or len(getattr(entry, "shape", ())) for entry in source):
        return {f"kernels.{k}": entry for k, entry in enumerate(source)}
    return {"kernels": source} if source else {}


def _convolutions(module: Any) -> dict[str, Any]:
    """The ``Conv1d`` modules of a live model by the names of their weights, without importing torch."""
    return {
        f"{name}.weight" if name else "weight": part
        for name, part in (module.named_modules() if hasattr(module, "named_modules") else ())
        if any(
            f"{cls.__module__}.{cls.__name__}" == "torch.nn.modules.conv.Conv1d" for cls in type(part).__mro__
        )
    }


def _from_memory(tensors: Mapping[str, Any], source: str, config: dict[str, Any], ask: _Ask) -> Checkpoint:
    unwrapped = unwrap(tensors, source, _may_be_tensor)
    model = _Model(MemoryStore(unwrapped.tensors, source), source, config, ask)
    model.skipped += unwrapped.skipped
    model.notes += unwrapped.notes
    return model.checkpoint()


def _may_be_tensor(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or hasattr(value, "shape")


def _live_config(module: Any) -> dict[str, Any]:
    """Return the configuration that a live module of transformers carries; empty for others."""
    to_dict = getattr(getattr(module, "config", None), "to_dict", None)
    config = to_dict() if callable(to_dict) else {}
    return config if isinstance(config, dict) else {}


def _from_path(source: str, ask: _Ask) -> Checkpoint:
    name = shown(source)
    try:
        if not stat.S_ISDIR(os.stat(source).st_mode):
            return _from_files((Path(source),), source, ask)
        chosen = choose(Path(source))
        return _from_files(chosen.paths, source, ask, chosen.skipped, chosen.notes)
    except FileNotFoundError as wrong:
        advice = "check the path"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
            advice += f", or write hub:{source} for the model of the Hugging Face Hub"
        raise InputError(f"{shown(wrong.filename or source)}: no such file or folder; {advice}.") from None
    except PermissionError as wrong:
        raise InputError(f"{shown(wrong.filename or source)}: permission denied; make it readable.") from None
    except InputError:
        raise
    except (OSError, ValueError) as wrong:
        # ValueError: a NUL byte in the path; OSError: too long a name, a loop of links, a failing disk
        raise InputError(f"{name}: cannot be read ({getattr(wrong, 'strerror', None) or wrong}).") from None


def _from_files(
    paths: tuple[Path, ...],
    source: str,
    ask: _Ask,
    skipped: tuple[Skipped, ...] = (),
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """Read one weight file, the shards of an index, or shards that have none."""
    index = paths[0] if paths[0].name.endswith(INDEX_SUFFIX) else None
    shards: dict[Path, list[str] | None] = dict.fromkeys(paths)
    if index is not None:
        if not stat.S_ISREG(os.stat(index).st_mode):
            raise InputError(f"{shown(index)}: not a regular file.")
        shards = {index.parent / shard: tensors for shard, tensors in read_index(index).items()}
    more_notes = [note_on_part(paths[0])] if index is None and len(paths) == 1 else []
    more_skipped: list[Skipped] = []
    with ExitStack() as stack:
        owner: dict[str, tuple[TensorStore, _Opened]] = {}
        for path, tensors in shards.items():
            opened = _open(path, stack)
            store: TensorStore
            if opened.handle is None:
                store, more, wrappers = read_pickle(str(path), shown(path), opened.size)
                more_skipped += more
                more_notes += wrappers
            else:
                store = SafetensorsFile(opened.handle, shown(path))
            tensors = list(store.infos) if tensors is None else tensors
            missing = next((tensor for tensor in tensors if tensor not in store.infos), None)
            if missing is not None:
                raise InputError(
                    f"{shown(path)}: lacks '{shown(missing)}', which {shown(paths[0].name)} places there."
                )
            twice = next((tensor for tensor in tensors if tensor in owner), None)
            if twice is not None:
                raise InputError(f"{shown(path)}: holds '{shown(twice)}', which another shard holds too.")
            owner |= dict.fromkeys(tensors, (store, opened))

        def used_files(keys: Iterable[str]) -> tuple[SourceFile, ...]:
            # only the shards that hold kernels are hashed: the others may be many gigabytes
            used = {id(owner[key][1]): owner[key][1] for key in keys}
            files = tuple(opened.hash() for opened in used.values())
            if index is None:
                return files
            return SourceFile(str(index), file_hash(index), index.stat().st_size), *files

        config, broken = _config_of(store, paths[0].parent)
        if len(shards) > 1 or index is not None:
            store = _ShardedStore(owner)
        model = _Model(store, source, config, ask, used_files)
        model.skipped += [*skipped, *more_skipped, *broken]
        model.notes += [*notes, *filter(None, dict.fromkeys(more_notes))]
        return model.checkpoint()


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


def _open(path: Path, stack: ExitStack) -> _Opened:
    name = shown(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"{name}: not a regular file.")
    pickled = path.suffix.lower() in PICKLE_SUFFIXES
    if not pickled and path.suffix.lower() != ".safetensors":
        raise InputError(
            f"{name}: unknown kind of file; "
            f"give a .safetensors, .bin, .pt, .pth or .ckpt file, or a folder with one."
        )
    handle = stack.enter_context(open(path, "rb"))  # noqa: SIM115 (the stack closes it)
    size = os.fstat(handle.fileno()).st_size
    start = handle.read(64)
    if not start:
        raise InputError(f"{name}: the file is empty; save or download it again.")
    if start.startswith(_LFS_POINTER):
        raise InputError(f"{name}: a git-lfs pointer, not the weights; run 'git lfs pull' to fetch them.")
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{name}: a web page, not weights; download the file itself.")
    return _Opened(path, handle, size, pickled)


@dataclass
class _Model:
    """A model whose tensors can be read, and what is to be said of how they were come by."""

    store: TensorStore
    source: str
    config: dict[str, Any]
    ask: _Ask
    files_of: Callable[[Iterable[str]], tuple[SourceFile, ...]] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """Read the layers."""
        naming = self.ask.kernels
        if naming is None:
            layers, left_out, ignored = find_layers(self.store, self.config, self.ask.projections)
            if not layers and self._is_at_hand(left_out):
                naming = Kernels()
        if naming is not None:
            layers, left_out, ignored = named_layers(self.store, naming, self.ask.convolutions)
        ours = str(self.config.get("model_type", "")).startswith("tmm")
        # A model of this package with mixers of another kind has a report too: what was skipped, and why.
        if not layers and not (left_out and ours and naming is None):
            raise InputError(f"{shown(self.source)}: {self._why_none(left_out, naming)}")
        note = _NAMED_NOTE if naming is not None else "" if ours else _REPEAT_NOTE
        return Checkpoint(
            source=self.source,
            files=self.files_of([layer.key for layer in layers]) if self.files_of else (),
            layers=tuple(layers),
            skipped=(*left_out, *self.skipped),
            config=self.config,
            ignored=ignored,
            notes=tuple(filter(None, (*self.notes, note))),
        )

    def _is_at_hand(self, left_out: list[Skipped]) -> bool:
        """Whether the tensors are kernels that someone has at hand, and not a model."""
        at_hand = self.source == _IN_MEMORY and not left_out and not recognised(self.store.infos)
        return at_hand and may_be_kernels_at_hand(self.store)

    def _why_none(self, left_out: list[Skipped], naming: Naming | None) -> str:
        keys = list(self.store.infos)
        none = f"no Toeplitz layer among its {len(keys)} tensors"
        why = "; ".join(f"{shown(skip.name)}: {skip.reason}" for skip in left_out[:3])
        known = "" if left_out or naming is not None else recognised(keys)
        candidates = how_to_name(self.store, self.source if self.files_of else None)
        return "; ".join(filter(None, [known, none, why, candidates])) + "."


def _config_of(store: TensorStore, folder: Path) -> tuple[dict[str, Any], list[Skipped]]:
    """Read config.json beside the weights; without it, what a file of kernels says of its model itself."""
    if (folder / "config.json").exists():
        try:
            return read_json(folder / "config.json"), []
        except InputError as wrong:  # only notes hang on it
            return {}, [Skipped("config.json", str(wrong))]
    text = store.metadata.get(CONFIG_KEY) if isinstance(store, SafetensorsFile) else None
    if text is None:
        return {}, []
    try:
        config = json.loads(text) if len(text) <= MOST_JSON else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return {}, [Skipped(CONFIG_KEY, "in the metadata of the file, and not a JSON object: not applied")]
    return config, []
