"""State dicts saved by torch.save, read without running any code they hold."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

from toeplitz_theory.checkpoints.checkpoint import Skipped
from toeplitz_theory.checkpoints.stores import MemoryStore, is_torch
from toeplitz_theory.checkpoints.wrappers import unwrap
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown

_HOLDS_CODE = re.compile(r"unsupported (global|class)|not an allowed global", re.IGNORECASE)
_GLOBAL = re.compile(r"GLOBAL ([\w.]{1,80})")
_RESAVE = "re-save it with torch.save(model.state_dict(), path) or as safetensors"


def read_pickle(path: str, name: str, size: int) -> tuple[MemoryStore, list[Skipped], list[str]]:
    """Read a state dict with ``torch.load(weights_only=True)``, on the CPU.

    Parameters
    ----------
    path : str
        A file written by ``torch.save``.
    name : str
        The path, for messages.
    size : int
        Its size in bytes; no tensor can be larger.

    Returns
    -------
    store : MemoryStore
        The tensors.
    skipped : list of Skipped
        Entries of the state dict that are no tensors, and other weights in the file.
    notes : list of str
        The wrapper the state dict was found in, if any.

    Raises
    ------
    InputError
        If the file is no plain state dict; nothing in it was run.
    """
    _refuse_archive(path, name, size)
    saved = _unpickle(path, name)
    if not isinstance(saved, Mapping):
        raise InputError(f"{name}: holds a {type(saved).__name__}, not a state dict of tensors; {_RESAVE}.")
    unwrapped = unwrap(saved, name, is_torch)
    tensors, skipped = {}, list(unwrapped.skipped)
    for key, value in unwrapped.tensors.items():
        if is_torch(value):
            tensors[key] = value
        else:
            kind = type(value).__name__
            skipped.append(Skipped(str(key), f"an entry of the state dict that is not a tensor: {kind}"))
    if not tensors:
        keys = ", ".join(shown(repr(key), 40) for key in list(saved)[:4]) + (
            ", ..." if len(saved) > 4 else ""
        )
        raise InputError(
            f"{name}: holds a {type(saved).__name__} with keys {keys or '(none)'}, "
            f"not a state dict of tensors; {_RESAVE}."
        )
    if "param_shapes" in saved and not any(tensor.numel() for tensor in tensors.values()):
        raise InputError(
            f"{name}: one process's part of a DeepSpeed ZeRO-3 checkpoint, without weights; merge the parts "
            "with 'python zero_to_fp32.py . model.bin' in the folder of the run and name the result."
        )
    return MemoryStore(tensors, name, max_bytes=size), skipped, list(unwrapped.notes)


def _refuse_archive(path: str, name: str, size: int) -> None:
    """Refuse archives that hold code, or more than their own size."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return  # torch's own reader says what is wrong with it
    if any(e.filename.endswith("/constants.pkl") or "/code/" in e.filename for e in entries):
        raise InputError(f"{name}: a TorchScript archive, which holds code; {_RESAVE}.")
    if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise InputError(
            f"{name}: an archive with compressed entries, which torch.save never writes and which may "
            f"unpack to any size; {_RESAVE}."
        )
    if sum(e.file_size for e in entries) > size:
        raise InputError(
            f"{name}: an archive whose entries claim more bytes than the file has; "
            f"download it again, or {_RESAVE}."
        )


def _unpickle(path: str, name: str) -> Any:
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols; here such a file is read in full or refused
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as wrong:
        text = str(wrong)
        if _HOLDS_CODE.search(text):
            which = _GLOBAL.search(text)
            what = f" ({which[1]})" if which else ""
            raise InputError(
                f"{name}: the file holds code or whole objects{what} beside tensors, "
                f"which will not be run; {_RESAVE}."
            ) from None
        raise _damaged(name, wrong, _reason(text)) from None
    except Exception as wrong:
        # Damaged bytes reach torch's unpickler and its zip reader, which raise almost anything.
        raise _damaged(name, wrong) from None


def _reason(text: str) -> str:
    """What is wrong, without the advice around it, which would have the file's code run."""
    return text.rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]


def _damaged(name: str, wrong: Exception, text: str = "") -> InputError:
    detail = " ".join((text or str(wrong)).split())[:80] or type(wrong).__name__
    return InputError(
        f"{name}: not a state dict that can be read with weights_only=True ({detail!a}); "
        f"the file is damaged, or holds code that will not be run: download it again, or {_RESAVE}."
    )
