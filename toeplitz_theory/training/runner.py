"""Run a recipe: text, tokenizer, model, Trainer, and a finished model folder."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, TrainingArguments, set_seed
from transformers import logging as hf_logging

from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.files import remove_partial, write_json, write_text
from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.training.batches import PackedTokens
from toeplitz_theory.training.callbacks import (
    HistoryCallback,
    KernelsCallback,
    read_history,
    tensorboard_callback,
)
from toeplitz_theory.training.card import model_card, run_record
from toeplitz_theory.training.count_models import Baselines
from toeplitz_theory.training.model_kernels import draw_kernels
from toeplitz_theory.training.recipe import Recipe, load_recipe, placed_recipe, placed_text
from toeplitz_theory.training.resume import checkpoint_step, complete_checkpoints, refuse_foreign
from toeplitz_theory.training.token_cache import TextFacts, cached_tokens
from toeplitz_theory.training.tokenizer import tokenizer_hash, vocabulary_size
from toeplitz_theory.training.trainer import TMMTrainer, training_arguments

MODELS: dict[str, type[TMMForCausalLM | TMMForAutoencoding]] = {
    "next_token": TMMForCausalLM,
    "autoencode": TMMForAutoencoding,
}


@dataclass(frozen=True)
class Prepared:
    """What a run needs that follows from the recipe and the text alone."""

    text: TextFacts
    tokenizer: PreTrainedTokenizerFast
    train: PackedTokens
    validation: PackedTokens
    baselines: Baselines


def train(recipe_path: str | os.PathLike, out: str | os.PathLike | None = None, force: bool = False) -> Path:
    """Train the model of a recipe, or go on where an interrupted run stopped.

    Parameters
    ----------
    recipe_path : path-like
        The recipe (TOML).
    out : path-like, optional
        Model folder to write; the recipe's own folder by default. Checkpoints are kept under its
        ``work/`` until the run is done.
    force : bool
        Start over, although the folder holds a finished model or the checkpoints of another recipe.

    Returns
    -------
    Path
        The folder, now with weights, config, tokenizer, ``history.jsonl``, ``kernels/``,
        ``training.json`` and the model card.

    Raises
    ------
    InputError
        When the recipe cannot be used, or the folder holds a finished model or another recipe's run.
    NumericalError
        When the loss stops being a number; the last checkpoint stays.
    RunError
        When something cannot be written; what was written before stays.

    Examples
    --------
    >>> from toeplitz_theory.training import train
    >>> train("models/tmm-next-token/recipe.toml", out="runs/mine")  # doctest: +SKIP
    PosixPath('runs/mine')
    """
    recipe_path = Path(recipe_path)
    recipe = load_recipe(recipe_path)
    folder = Path(out) if out is not None else recipe_path.parent
    placed = placed_recipe(recipe, recipe_path.parent, folder)
    copy = _copy_for(folder, recipe_path, recipe, placed)
    work = folder / "work"
    torch.set_num_threads(recipe.training.threads)
    hf_logging.set_verbosity_warning()
    arguments = training_arguments(recipe, work)
    if arguments.process_index == 0:
        print(f"{recipe.name}: {_division(arguments)}", file=sys.stderr)
    with _disk_told(folder):
        # One process decides and prepares; the others wait, then find what it left.
        with arguments.main_process_first(local=False):
            if arguments.process_index == 0:
                _claim(folder, work, recipe, placed, force)
        with arguments.main_process_first(local=True):
            prepared = prepare(recipe, recipe_path.parent)
        _same_data(work, prepared, arguments.process_index == 0)
        model = build_model(recipe, prepared.tokenizer)
        checkpoints = complete_checkpoints(work)
        for path in checkpoints[-1:]:
            refuse_foreign(path, model)
        trainer = _trainer(recipe, arguments, prepared, model, folder, checkpoints)
        trainer.train(resume_from_checkpoint=str(checkpoints[-1]) if checkpoints else None)
        evaluation = trainer.evaluate()
        _finish(recipe, copy, prepared, trainer, folder, evaluation["eval_loss"])
    return folder


def prepare(recipe: Recipe, base: Path) -> Prepared:
    """Return tokenizer and packed tokens of both parts of the text, from the cache where they are in it."""
    tokens = cached_tokens(recipe.data, base)
    train, validation = (
        PackedTokens(part, recipe.data.sequence_length) for part in (tokens.train, tokens.validation)
    )
    return Prepared(tokens.text, tokens.tokenizer, train, validation, tokens.baselines)


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> TMMForCausalLM | TMMForAutoencoding:
    """Return the freshly initialised model of the recipe; everything follows from its seed."""
    set_seed(recipe.training.seed)
    config = TMMConfig(
        vocab_size=vocabulary_size(tokenizer),
        max_position_embeddings=recipe.data.sequence_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **recipe.model.model_dump(),
    )
    model = MODELS[recipe.objective](config)
    draw_kernels(model, recipe.training.seed, recipe.model.kernel_init)
    return model


def _division(arguments: TrainingArguments) -> str:
    """Say how many processes there are: some launchers start one where several were asked for."""
    size, parts = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    return f"{arguments.world_size} process(es), each with {parts} pass(es) of {size} sequences a step"


@contextmanager
def _disk_told(folder: Path) -> Iterator[None]:
    """Turn a file system's refusal into one line that says what is kept."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise RunError(
            f"{place}: {error.strerror or error}; checkpoints in {folder / 'work'} are kept: "
            "put it right, and run the same command again to go on"
        ) from error


def _copy_for(folder: Path, recipe_path: Path, recipe: Recipe, placed: Recipe) -> str | None:
    """Return the text of the folder's own recipe, valid there; None when it is the one that is run."""
    if recipe_path.resolve() == (folder / "recipe.toml").resolve():
        return None
    return placed_text(recipe_path.read_text(encoding="utf-8"), recipe, placed)


def _claim(folder: Path, work: Path, recipe: Recipe, placed: Recipe, force: bool) -> None:
    """Refuse to overwrite; remember which recipe the checkpoints in ``work`` belong to.

    A folder with both a finished model and that record is being trained anew: the run goes on. The recipe is
    known again by its paths as it spells them, and as they are told from the folder, as in the copy there.
    """
    record, record_placed = work / "recipe.json", work / "recipe-placed.json"
    begun = record.exists()
    foreign = begun and not (_is_recorded(record, recipe) or _is_recorded(record_placed, placed))
    if not force and foreign and any(work.glob("checkpoint-*")):
        raise InputError(
            f"{work} holds checkpoints of another recipe; give --out ANOTHER-FOLDER, or --force to start over"
        )
    if not force and (foreign or not begun) and (folder / "model.safetensors").exists():
        raise InputError(
            f"{folder} holds a finished model; give --out ANOTHER-FOLDER, or --force to train it anew"
        )
    if force or foreign:
        shutil.rmtree(work, ignore_errors=True)
    try:
        write_json(record_placed, placed.model_dump(exclude_unset=True))
        write_json(record, recipe.model_dump(exclude_unset=True))
        remove_partial(folder)
        # Whatever a killed run had begun to hand over is made anew: half a file must not go with it.
        shutil.rmtree(work / "export", ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); give --out ANOTHER-FOLDER"
        ) from None


def _is_recorded(record: Path, recipe: Recipe) -> bool:
    """Return whether a record is of this recipe; keys that came later than it have their defaults."""
    if not record.exists():
        return False  # of a run that began before there was such a record
    try:
        begun = Recipe.model_validate_json(record.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return begun.model_dump() == recipe.model_dump()


def _same_data(work: Path, prepared: Prepared, main: bool) -> None:
    """Refuse to go on with a text or tokenizer other than the one the run began with."""
    record = work / "data.json"
    found = {"text": prepared.text.sha256, "tokenizer": tokenizer_hash(prepared.tokenizer)}
    if record.exists():
        begun = json.loads(record.read_text(encoding="utf-8"))
        for name in found:
            if begun.get(name) != found[name]:
                raise InputError(
                    f"{work} holds a run on another {name}; give --out ANOTHER-FOLDER, "
                    "or --force to start over"
                )
    elif main:
        write_json(record, found)


def _trainer(recipe, arguments, prepared, model, folder, checkpoints) -> TMMTrainer:
    settings = recipe.training
    resume_step = checkpoint_step(checkpoints[-1]) if checkpoints else 0
    main = arguments.process_index == 0
    callbacks: list = [KernelsCallback(folder / "kernels", settings.kernels_every, resume_step, main)]
    if main:
        tokens_per_step = settings.batch_size * recipe.data.sequence_length
        callbacks.append(HistoryCallback(folder / "history.jsonl", tokens_per_step, resume_step))
        if settings.tensorboard:
            callbacks.append(tensorboard_callback(folder / "tensorboard", resume_step))
    return TMMTrainer(
        model=model,
        args=arguments,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        callbacks=callbacks,
        seed=settings.seed,
        jensen_penalty=settings.jensen_penalty,
    )


def _finish(recipe, copy, prepared, trainer, folder, validation_loss) -> None:
    """Write the model folder: every file whole, the weights last, since they mark it finished."""
    work = folder / "work"
    export = work / "export"
    trainer.save_model(str(export))  # by all processes: sharded weights are gathered
    if not trainer.is_world_process_zero():
        return
    (export / "training_args.bin").unlink(missing_ok=True)
    prepared.tokenizer.save_pretrained(export)
    history = read_history(folder / "history.jsonl")
    record = run_record(recipe, prepared, trainer.model, validation_loss, history, trainer.args.world_size)
    write_json(folder / "training.json", record)
    write_text(folder / "README.md", model_card(recipe, record))
    if copy is not None:
        write_text(folder / "recipe.toml", copy)
    for path in sorted(export.iterdir(), key=lambda p: p.name == "model.safetensors"):
        os.replace(path, folder / path.name)
    (work / "recipe.json").unlink()  # from here on the folder is finished, whenever the rest is removed
    shutil.rmtree(work)
