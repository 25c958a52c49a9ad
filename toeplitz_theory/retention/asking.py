"""All measures of one model in one call, beside those of its untrained twin or of another model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toeplitz_theory.cache import DiskCache
from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown
from toeplitz_theory.retention.capacity import token_capacity, total_effect
from toeplitz_theory.retention.decoder import reconstruction, untrained_twin
from toeplitz_theory.retention.measure import Measured
from toeplitz_theory.retention.recall import recall_curve
from toeplitz_theory.retention.recovered import recovery
from toeplitz_theory.threads import one_thread

_CACHE = DiskCache("retention", version=1)
_LENGTH = 256


@dataclass(frozen=True, repr=False)
class Asked(Displayed):
    """A model to be asked, with text where there is some that it was not trained on.

    Attributes
    ----------
    name : str
        As it is shown.
    model : nn.Module
        A transformers causal model, or an autoencoder of ours.
    text : ndarray of int, shape (sequences, length), or None
        Held-out text.
    twin : callable
        Makes the untrained twin.

    Examples
    --------
    >>> opened("models/tmm-next-token").text.shape  # doctest: +SKIP
    (149, 256)
    """

    name: str
    model: nn.Module
    text: NDArray[np.int64] | None
    twin: Callable[[], nn.Module]


def opened(path: str | Path) -> Asked:
    """Open a model folder: one that `train` has written, or any causal model that transformers can load.

    Parameters
    ----------
    path : path-like
        The folder; nothing is downloaded.

    Returns
    -------
    Asked
        With held-out text where the folder has its recipe.

    Raises
    ------
    InputError
        When there is no such folder, or it holds no model that can be loaded.

    Examples
    --------
    >>> opened("models/tmm-next-token").name  # doctest: +SKIP
    'tmm-next-token'
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{shown(folder, 300)}: there is no such folder; name a model folder")
    name = shown(folder.resolve().name)
    if (folder / "recipe.toml").is_file():
        from toeplitz_theory.training import open_trained

        trained = open_trained(folder)
        held_out = trained.held_out
        text = np.array([held_out[i]["input_ids"] for i in range(len(held_out))])
        return Asked(name, trained.model, text, trained.untrained)
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except Exception as error:  # whatever a foreign folder makes of the readers below
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{shown(folder, 300)}: holds no causal model ({shown(reason, 300)})") from error
    return Asked(name, model.eval(), None, lambda: untrained_twin(model))


def ask(
    asked: Asked, decoder: bool = False, seed: int = 0, progress: Callable[[str], None] | None = None
) -> dict[str, Measured]:
    """Take all measures of a model; each is kept in the cache folder, so that an interrupted run goes on.

    Parameters
    ----------
    asked : Asked
        From `opened`, or made by hand.
    decoder : bool
        Whether to train decoders as well: minutes instead of one.
    seed : int
        Of all that is drawn.
    progress : callable, optional
        Called with the name of each measure before it is taken.

    Returns
    -------
    dict of str to Measured
        By name, in the order they were taken.

    Raises
    ------
    InputError
        What the measures raise.

    Examples
    --------
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=8, hidden_size=8, max_position_embeddings=16))
    >>> list(ask(Asked("tiny", model, None, lambda: model)))
    ['capacity', 'effect', 'recall', 'recovery']
    """
    model, text = asked.model, asked.text
    known = model.config.vocab_size  # type: ignore[union-attr]
    # Enough of every token, at the shortest.
    alphabet = None if known <= 1024 else 512  # type: ignore[operator]
    taken: dict[str, Callable[[], Measured]] = {
        "capacity": lambda: token_capacity(model, seed=seed, alphabet=alphabet),
        "effect": lambda: total_effect(model, layers=[-1], seed=seed, alphabet=alphabet),
        "recall": lambda: recall_curve(model, seed=seed),
        "recovery": lambda: recovery(model, seed=seed, alphabet=alphabet),
    }
    if decoder:
        taken["reconstruction"] = lambda: reconstruction(
            model, seed=seed, alphabet=alphabet, progress=progress
        )
    if text is not None and len(text) >= 100:
        taken["recall on text"] = lambda: recall_curve(model, text, seed=seed)
    weights = _weights_hash(model)
    results = {}
    for name, measure in taken.items():
        if progress is not None:
            progress(f"{asked.name}: {name}")
        read = hashlib.sha256(text.tobytes()).hexdigest() if text is not None and "text" in name else ""
        key = [weights, name, seed, version("toeplitz-theory"), read]
        with one_thread():
            results[name] = Measured.from_content(_CACHE.json(key, partial(_content, measure)))
    return results


def _content(measure: Callable[[], Measured]) -> dict[str, Any]:
    return measure().content()


def comparison(results: Mapping[str, Mapping[str, Measured]]) -> list[dict[str, Any]]:
    """Return one row per measure: its unit, and value with interval of each model."""
    names = dict.fromkeys(name for measures in results.values() for name in measures)
    rows = []
    for name in names:
        row: dict[str, Any] = {"measure": name}
        for model, measures in results.items():
            if name in measures:
                one = measures[name]
                row["unit"] = one.unit
                row[model] = one.text
        rows.append(row)
    return rows


def _weights_hash(model: nn.Module) -> str:
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
