"""State dicts saved by torch.save, read without running any code they hold."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

from toeplitz_theory.checkpoints.checkpoint import Skipped
from toeplitz_theory.checkpoints.stores import MemoryStore
from toeplitz_theory.errors import InputError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
_HOLDS_CODE = ("unsupported global", "unsupported class", "not an allowed global")
_RESAVE = "re-save it with torch.save(model.state_dict(), path) or as safetensors"


def read_pickle(path: str, size: int) -> tuple[MemoryStore, list[Skipped], list[str]]:
    """Read a state dict with ``torch.load(weights_only=True)``, on the CPU.

    Parameters
    ----------
    path : str
        A file written by ``torch.save``.
    size : int
        Its size in bytes; no tensor can be larger.

    Returns
    -------
    store : MemoryStore
        The tensors.
    skipped : list of Skipped
        Entries of the state dict that are no tensors.
    notes : list of str
        The wrapper the state dict was found in, if any.

    Raises
    ------
    InputError
        If the file is no plain state dict; nothing in it was run.
    """
    if _is_torchscript(path):
        raise InputError(f"{path}: a TorchScript archive, which holds code; {_RESAVE}.")
    saved, notes = _unwrap(_unpickle(path), path)
    tensors, skipped = {}, []
    for name, value in saved.items():
        if _is_tensor(value):
            tensors[name] = value
        else:
            skipped.append(
                Skipped(str(name), f"an entry of the state dict that is no tensor: {_kind(value)}")
            )
    return MemoryStore(tensors, path, max_bytes=size), skipped, notes


def _is_torchscript(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return False  # torch's own reader says what is wrong with it
    return any(name.endswith("/constants.pkl") or "/code/" in name for name in names)


def _unpickle(path: str) -> Any:
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols; here such a file is read in full or refused
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as wrong:
        text = str(wrong)
        if any(sign in text.lower() for sign in _HOLDS_CODE):
            raise InputError(
                f"{path}: the file holds code or whole objects beside tensors, "
                f"which will not be run; {_RESAVE}."
            ) from None
        raise _damaged(path, wrong, _reason(text)) from None
    except Exception as wrong:
        # Damaged bytes reach torch's unpickler and its zip reader, which raise almost anything.
        raise _damaged(path, wrong) from None


def _reason(text: str) -> str:
    """What is wrong, without the advice around it, which would have the file's code run."""
    return text.rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]


def _damaged(path: str, wrong: Exception, text: str = "") -> InputError:
    detail = " ".join((text or str(wrong)).split())[:80] or type(wrong).__name__
    return InputError(
        f"{path}: not a state dict that can be read with weights_only=True ({detail!a}); "
        f"the file is damaged, or holds code that will not be run: download it again, or {_RESAVE}."
    )


def _unwrap(saved: Any, path: str) -> tuple[Mapping[str, Any], list[str]]:
    """Find the state dict: the mapping itself, or one under a customary name."""
    notes: list[str] = []
    inner = saved
    for _ in range(3):  # {"state_dict": {"model": {...}}} occurs; deeper nesting is something else
        if not isinstance(inner, Mapping):
            break
        if any(_is_tensor(value) for value in inner.values()):
            return inner, notes
        wrapper = next((name for name in _WRAPPERS if isinstance(inner.get(name), Mapping)), None)
        if wrapper is None:
            break
        notes.append(f"weights found under {wrapper!r}")
        inner = inner[wrapper]
    held = f"a {_kind(saved)}" + (f" with keys {_some_keys(saved)}" if isinstance(saved, Mapping) else "")
    raise InputError(f"{path}: holds {held}, not a state dict of tensors; {_RESAVE}.")


def _some_keys(mapping: Mapping[Any, Any]) -> str:
    keys = [ascii(key)[:40] for key in list(mapping)[:4]]
    return (", ".join(keys) + (", ..." if len(mapping) > 4 else "")) or "(none)"


def _kind(value: Any) -> str:
    return type(value).__name__


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "element_size")
