"""A model folder that training has written, opened: model, tokenizer, held-out text, untrained twin."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.cache import file_hash
from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.files import read_json
from toeplitz_theory.names import shown
from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.training.batches import PackedTokens
from toeplitz_theory.training.model_kernels import draw_kernels
from toeplitz_theory.training.recipe import Recipe, load_recipe
from toeplitz_theory.training.task_data import TaskData, TaskRows
from toeplitz_theory.training.token_cache import TokenCache, cached_tokens
from toeplitz_theory.training.tokenizer import given_tokenizer, refuse_pipes, tokenizer_hash, vocabulary_size

WEIGHTS = "model.safetensors"


def _model_class(recipe: Recipe) -> type[TMMForCausalLM | TMMForAutoencoding]:
    return TMMForAutoencoding if recipe.objective == "autoencode" else TMMForCausalLM


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> TMMForCausalLM | TMMForAutoencoding:
    """Return the freshly initialised model of the recipe; its seed decides everything."""
    config = TMMConfig(
        vocab_size=vocabulary_size(tokenizer),
        max_position_embeddings=recipe.sequence_length,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")},
        **recipe.model.model_dump(),
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            model = _model_class(recipe)(config)
    except (MemoryError, RuntimeError) as error:
        raise InputError(f"the model cannot be made ({reason_of(error)}); make it smaller") from error
    draw_kernels(model, recipe.training.seed, recipe.model.kernel_init)
    return model


@dataclass(frozen=True, repr=False)
class TrainedModel(Displayed):
    """What `open_trained` returns.

    The text is read when it is first asked for: model and tokenizer can be had without it.

    Parameters
    ----------
    folder : Path
        Where it lies.
    recipe : Recipe
        What it was trained by.
    base : Path
        Where relative paths of the recipe start.
    record : dict
        What the run noted in ``training.json``; empty where there is none.
    model : TMMForCausalLM or TMMForAutoencoding
        In evaluation mode, on the CPU.
    tokenizer : PreTrainedTokenizerFast
        Its own.

    Examples
    --------
    >>> from toeplitz_theory.training import open_trained
    >>> trained = open_trained("models/tmm-next-token")  # doctest: +SKIP
    >>> trained.model.config.max_position_embeddings  # doctest: +SKIP
    256
    """

    folder: Path
    recipe: Recipe
    base: Path
    record: dict[str, Any]
    model: TMMForCausalLM | TMMForAutoencoding
    tokenizer: PreTrainedTokenizerFast

    @cached_property
    def tokens(self) -> TokenCache:
        """The text of the recipe in the ids of this tokenizer, split as in training, with its count models.

        Raises
        ------
        InputError
            When the text cannot be read.
        RunError
            When the tokens cannot be written to the cache.
        """
        if self.recipe.task:
            raise InputError(
                f"{shown(self.folder, 300)}: is trained on the task {self.recipe.objective!r}, without text; "
                "give a model trained on text"
            )
        # Its own tokenizer: another text would train another one.
        data = self.recipe.data.model_copy(update={"tokenizer": str(self.folder.resolve())})
        return cached_tokens(data, self.base)

    @cached_property
    def held_out(self) -> PackedTokens | TaskRows:
        """Held-out documents, or rows of the task: dicts of ``input_ids`` and ``labels`` (n,)."""
        data = TaskData(self.recipe.task) if self.recipe.task else self.tokens
        return data.datasets(self.recipe)[1]

    def untrained(self) -> TMMForCausalLM | TMMForAutoencoding:
        """Return the model as it was before the first step: same shape, same seed, no training.

        Returns
        -------
        TMMForCausalLM or TMMForAutoencoding
            A new model in evaluation mode, each time.
        """
        return build_model(self.recipe, self.tokenizer).eval()


def open_trained(folder: str | os.PathLike, recipe: str | os.PathLike | None = None) -> TrainedModel:
    """Open a model folder that `train` has written.

    Parameters
    ----------
    folder : path-like
        The folder; nothing in it is changed.
    recipe : path-like, optional
        The recipe it was trained from; the folder's ``recipe.toml`` by default.

    Returns
    -------
    TrainedModel
        Model, tokenizer, recipe and record; held-out tokens and the untrained twin when asked for.

    Raises
    ------
    InputError
        When a file is missing, damaged or of another model: the configuration must be that of the recipe,
        tokenizer and weights those of the record, and no weight may be missing or not finite.

    Examples
    --------
    >>> from toeplitz_theory.training import open_trained
    >>> open_trained("models/tmm-next-token").recipe.objective  # doctest: +SKIP
    'next_token'
    """
    folder = Path(folder)
    if not os.path.isdir(folder):  # which is false, too, for names that no file can have
        raise InputError(f"{shown(folder, 300)}: there is no such folder; name one that train has written")
    refuse_pipes(folder)
    recipe_path = Path(recipe) if recipe is not None else folder / "recipe.toml"
    settings = load_recipe(recipe_path)
    for name in (WEIGHTS, "config.json"):
        if not (folder / name).is_file():
            raise InputError(f"{shown(folder, 300)}: holds no trained model: its {name} is missing")
    record = read_json(folder / "training.json") if (folder / "training.json").exists() else {}
    tokenizer = given_tokenizer(".", folder, settings.sequence_length)
    _refuse_another_configuration(folder, settings, vocabulary_size(tokenizer))
    _refuse_other_files(folder, record, tokenizer_hash(tokenizer))
    return TrainedModel(folder, settings, recipe_path.parent, record, _model(folder, settings), tokenizer)


def _refuse_another_configuration(folder: Path, recipe: Recipe, vocabulary: int) -> None:
    """Compare with the recipe before anything is made from sizes that a damaged file may hold."""
    config = read_json(folder / "config.json")
    if config.get("vocab_size") != vocabulary:
        raise InputError(
            f"{shown(folder, 300)}: its tokenizer has {vocabulary} tokens and its model "
            f"{shown(config.get('vocab_size'))}; they are of different models"
        )
    expected = recipe.model.model_dump() | {"max_position_embeddings": recipe.sequence_length}
    del expected["product"]  # how, not what, is computed
    for name, value in expected.items():
        if name in config and (type(config[name]), config[name]) != (type(value), value):
            raise InputError(
                f"{shown(folder, 300)}: its config.json has {name} = {shown(repr(config[name]))} and its "
                f"recipe {value!r}; they are of different models"
            )


def _refuse_other_files(folder: Path, record: dict[str, Any], tokenizer: str) -> None:
    """Compare with the record, where that has the hashes and was made as they are made here."""
    versions = record.get("versions")
    if "versions" in record and not isinstance(versions, dict):
        raise InputError(f"{shown(folder / 'training.json', 300)}: is not the record of a run; remove it")
    alike = versions and all(versions.get(name) == version(name) for name in ("tokenizers", "transformers"))
    if alike and record.get("tokenizer", tokenizer) != tokenizer:
        raise InputError(
            f"{shown(folder, 300)}: holds not the tokenizer its model was trained with (another hash in "
            "training.json); put that one back"
        )
    weights = record.get("weights")
    if weights is not None and weights != file_hash(folder / WEIGHTS):
        raise InputError(
            f"{shown(folder / WEIGHTS, 300)}: is not what training wrote (another hash in training.json); "
            "restore it, or remove training.json if you changed it yourself"
        )


def _model(folder: Path, recipe: Recipe) -> TMMForCausalLM | TMMForAutoencoding:
    try:
        model, info = _model_class(recipe).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of the readers below
        raise InputError(
            f"{shown(folder, 300)}: holds no trained model ({reason_of(error)}); restore its files"
        ) from error
    if info["missing_keys"]:
        raise InputError(f"{shown(folder, 300)}: its weights lack {shown(min(info['missing_keys']))}")
    for name, weight in model.state_dict().items():
        if not bool(torch.isfinite(weight).all()):
            raise InputError(f"{shown(folder, 300)}: its {name} holds numbers that are not finite")
    return model.eval()
