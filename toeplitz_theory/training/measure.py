"""What surgery does to a trained model: its loss before, after, and after a random change as large."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from toeplitz_theory.checkpoints.folders import read_json
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.training.cache import cached_tokens
from toeplitz_theory.training.kernels import named_kernels
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.runner import MODELS
from toeplitz_theory.training.surgery import Replaced, make_invertible
from toeplitz_theory.training.tokens import PackedTokens
from toeplitz_theory.training.vocabulary import tokenizer_hash, vocabulary_size

_BATCH = 16


@dataclass(frozen=True)
class SurgeryMeasured:
    """Losses of a model around surgery, in nats per token, on its held-out documents.

    Attributes
    ----------
    before, after : float
        With the kernels as trained, and with their outer factors.
    control : float
        With each kernel moved as far as surgery moved it, in a random direction.
    unigram : float
        What knowing nothing but frequencies gives.
    tokens : int
        Tokens the losses are means over.
    replaced : tuple of Replaced
        What happened to each kernel.

    Examples
    --------
    >>> SurgeryMeasured(before=2.1, after=2.3, control=4.0, unigram=5.2, tokens=100, replaced=()).after
    2.3
    """

    before: float
    after: float
    control: float
    unigram: float
    tokens: int
    replaced: tuple[Replaced, ...]


def measure_surgery(
    folder: str | os.PathLike,
    recipe: str | os.PathLike | None = None,
    save: str | os.PathLike | None = None,
    seed: int = 0,
) -> SurgeryMeasured:
    """Replace the kernels of a trained model by their outer factors, and measure its loss around it.

    Parameters
    ----------
    folder : path-like
        A model folder that `train` has written; it is left as it is.
    recipe : path-like, optional
        The recipe it was trained from, whose text is read again; the folder's ``recipe.toml`` by default.
    save : path-like, optional
        Folder to write the model with outer kernels into; it may not exist.
    seed : int
        Of the control's directions.

    Returns
    -------
    SurgeryMeasured

    Raises
    ------
    InputError
        When folder, recipe or text cannot be used, the tokenizer is not the one of the training, or
        the kernels cannot be replaced.
    RunError
        When the changed model cannot be written; nothing of it is left.

    Examples
    --------
    >>> from toeplitz_theory.training import measure_surgery
    >>> measure_surgery("models/tmm-next-token").after  # doctest: +SKIP
    """
    folder = Path(folder)
    target = None if save is None else Path(save)
    if target is not None and target.exists():
        raise InputError(f"{target} exists; name a new folder for the changed model")
    recipe_path = Path(recipe) if recipe is not None else folder / "recipe.toml"
    settings = load_recipe(recipe_path)
    try:
        model = MODELS[settings.objective].from_pretrained(folder).eval()
    except OSError as error:
        raise InputError(f"{folder}: holds no trained model ({str(error).splitlines()[0]})") from error
    # Its own tokenizer: another text would train another one.
    data = settings.data.model_copy(update={"tokenizer": str(folder.resolve())})
    tokens = cached_tokens(data, recipe_path.parent)
    size = vocabulary_size(tokens.tokenizer)
    if size != model.config.vocab_size:
        raise InputError(
            f"{folder}: its tokenizer has {size} tokens and its model {model.config.vocab_size}; "
            "they are of different models"
        )
    _refuse_another_tokenizer(folder, tokenizer_hash(tokens.tokenizer))
    sequences = PackedTokens(tokens.validation, model.config.max_position_embeddings)
    originals = [weight.detach().clone() for _, weight in named_kernels(model)]
    before = _loss(model, sequences)
    replaced = make_invertible(model)
    after = _loss(model, sequences)
    if target is not None:
        _save(model, tokens.tokenizer, target)
    _move(model, originals, replaced, seed)
    control = _loss(model, sequences)
    count = sequences.sequences.size
    return SurgeryMeasured(before, after, control, tokens.baselines.unigram, count, tuple(replaced))


def _refuse_another_tokenizer(folder: Path, found: str) -> None:
    """Compare a tokenizer with the one on record, where its hash is there and was made as it is made here."""
    path = folder / "training.json"
    if not path.exists():
        return
    record = read_json(path)
    try:
        trained, versions = record.get("tokenizer"), record.get("versions", {})
        alike = all(versions.get(name) == version(name) for name in ("tokenizers", "transformers"))
    except AttributeError as error:
        raise InputError(f"{path}: is not the record of a run ({error}); restore or remove it") from None
    if trained is not None and alike and trained != found:
        raise InputError(
            f"{folder}: holds not the tokenizer its model was trained with (another hash in training.json); "
            "put that one back"
        )


@torch.no_grad()
def _loss(model: nn.Module, sequences: PackedTokens) -> float:
    total = 0.0
    for start in range(0, len(sequences), _BATCH):
        ids = torch.stack(
            [sequences[i]["input_ids"] for i in range(start, min(start + _BATCH, len(sequences)))]
        )
        total += model(ids, labels=ids).loss.item() * len(ids)
    return total / len(sequences)


@torch.no_grad()
def _move(model: nn.Module, originals: list[Tensor], replaced: Sequence[Replaced], seed: int) -> None:
    """Set each kernel to its original plus a random vector as long as the change that surgery made."""
    generator = torch.Generator().manual_seed(seed)
    for (_, weight), original, found in zip(named_kernels(model), originals, replaced, strict=True):
        weight.copy_(original)
        direction = torch.randn(original.shape[-1], generator=generator)
        length = found.distance * original[-1].norm()
        weight[-1] += direction * (length / direction.norm())


def _save(model, tokenizer, target: Path) -> None:
    """Write a model folder, whole or not at all."""
    place, hidden = target.parent, f".{target.name}."
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=hidden, suffix=".partial", dir=place) as made:
            inside = Path(made) / target.name
            model.save_pretrained(inside)
            tokenizer.save_pretrained(inside)
            inside.rename(target)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{target}: cannot be written ({error}); name another folder, or make room") from error
