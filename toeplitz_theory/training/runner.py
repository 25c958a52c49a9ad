"""Run a recipe: text, tokenizer, model, Trainer, and a finished model folder."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from transformers import PrinterCallback, TrainingArguments
from transformers import logging as hf_logging

from toeplitz_theory.cache import file_hash
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.files import remove_partial, write_json, write_text
from toeplitz_theory.names import shown
from toeplitz_theory.training.callbacks import (
    HistoryCallback,
    KernelsCallback,
    read_history,
    tensorboard_callback,
)
from toeplitz_theory.training.card import model_card, run_record
from toeplitz_theory.training.progress import ProgressLine
from toeplitz_theory.training.recipe import (
    Recipe,
    parse_recipe,
    placed_recipe,
    placed_text,
    recipe_text,
    refuse_repeated_windows,
)
from toeplitz_theory.training.resume import (
    HISTORY,
    checkpoint_step,
    finish_checkpoint,
    put_damaged_aside,
    refuse_foreign,
    run_of,
    sealed_checkpoints,
)
from toeplitz_theory.training.stopping import StopCallback
from toeplitz_theory.training.task_data import TaskData
from toeplitz_theory.training.token_cache import TokenCache, cached_tokens
from toeplitz_theory.training.trained import WEIGHTS, build_model
from toeplitz_theory.training.trainer import TMMTrainer, penalties_of, training_arguments

_BEGUN = "run.json"  # in work/: a run has begun here and has not ended


def train(recipe_path: str | os.PathLike, out: str | os.PathLike | None = None, force: bool = False) -> Path:
    """Train the model of a recipe, or go on where an interrupted run stopped.

    Parameters
    ----------
    recipe_path : path-like
        The recipe (TOML).
    out : path-like, optional
        Model folder to write; ``runs/NAME`` in the current folder by default, with the recipe's name.
        Checkpoints are kept under its ``work/`` until the run is done.
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
        When the recipe cannot be used, or is one for an autoencoder with more positions than its code has
        numbers; when the folder holds a finished model, another recipe's run, files
        that no training wrote, or is being trained in at this moment.
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
    text = recipe_text(recipe_path)
    recipe = parse_recipe(text, recipe_path)
    refuse_repeated_windows(recipe, recipe_path)
    folder = Path(out) if out is not None else Path("runs") / recipe.name
    placed = placed_recipe(recipe, recipe_path.parent, folder)
    in_place = recipe_path.resolve() == (folder / "recipe.toml").resolve()
    copy = None if in_place else placed_text(text, recipe, placed)
    torch.set_num_threads(recipe.training.threads)
    hf_logging.set_verbosity_warning()
    hf_logging.disable_progress_bar()  # one of a file that takes a moment breaks our line
    arguments = training_arguments(recipe, folder / "work")
    main = arguments.process_index == 0
    if main:
        _refuse_files_of_others(folder, recipe_path)
    with _disk_errors_named(folder), _only_training(folder) if main else nullcontext():
        # One process decides and prepares; the others wait, and read what it left.
        with arguments.main_process_first(local=False):
            if main:
                _claim(folder, recipe, placed, force)
        with arguments.main_process_first(local=True):
            data = TaskData(recipe.task) if recipe.task else cached_tokens(recipe.data, recipe_path.parent)
        trainer, checkpoint = _trainer(recipe, placed, arguments, data, folder)
        if main:
            count = sum(weight.numel() for weight in trainer.model.parameters())
            print(f"{recipe.name}: {count:,} parameters; {_division(arguments)}", file=sys.stderr)
        stop = StopCallback()
        trainer.add_callback(stop)
        with stop.listening(folder / "work") if arguments.world_size == 1 else nullcontext():
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        evaluation = trainer.evaluate()
        _finish(recipe, copy, data, trainer, folder, evaluation["eval_loss"])
    return folder


def _division(arguments: TrainingArguments) -> str:
    """Say on what it runs, in how many processes: some launchers start one where several were meant."""
    size, parts = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    device = torch.cuda.get_device_name(arguments.device) if arguments.device.type == "cuda" else "CPU"
    count = f"{arguments.world_size} processes" if arguments.world_size > 1 else "1 process"
    passes = f"{parts} passes" if parts > 1 else "1 pass"
    return f"on {device}; {count}, {passes} of {size} sequences a step"


@contextmanager
def _disk_errors_named(folder: Path) -> Iterator[None]:
    """Turn a file system's refusal into one line that says what is kept."""
    try:
        yield
    except (OSError, RunError) as error:
        if isinstance(error, RunError) and not isinstance(error.__cause__, OSError):
            raise
        what = str(error)
        if isinstance(error, OSError):
            what = f"{shown(error.filename or folder, 300)}: {error.strerror or error}"
        raise RunError(
            f"{what}; checkpoints in {shown(folder / 'work', 300)} are kept: "
            "put it right, and run the same command again to go on"
        ) from error


def _refuse_files_of_others(folder: Path, recipe_path: Path) -> None:
    """Raise unless a run has begun or ended in the folder, or nothing but the recipe lies there."""
    work = folder / "work"
    if not os.path.isdir(folder) or _has_begun(work) or (folder / "training.json").exists():
        return
    for path in _visible(folder):
        if path.resolve() != recipe_path.resolve() and not (path == work and not _visible(work)):
            raise InputError(
                f"{shown(folder, 300)}: holds files that no training wrote ({shown(path.name)}); "
                "give --out NEW-FOLDER"
            )


def _has_begun(work: Path) -> bool:
    """Return whether a run has begun and not ended: its mark may be lost where its checkpoints are not."""
    return (work / _BEGUN).exists() or bool(sealed_checkpoints(work))


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if not path.name.startswith(".")]


@contextmanager
def _only_training(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it also when the process is killed."""
    name = shown(folder, 300)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{name}: another training is under way there; wait for it, or give --out ANOTHER-FOLDER"
        ) from None
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror}); give --out ANOTHER-FOLDER") from None
    try:
        yield
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        lock.release()


def _claim(folder: Path, recipe: Recipe, placed: Recipe, force: bool) -> None:
    """Refuse to overwrite; leave in ``work`` only whole checkpoints of this recipe.

    A folder with both a finished model and a run that has begun is being trained anew: the run goes on. The
    recipe is known again by its paths as it spells them, and as the copy in the folder spells them.
    """
    work = folder / "work"
    shutil.rmtree(_done(folder), ignore_errors=True)
    remove_partial(folder)
    finished = any((folder / name).exists() for name in (WEIGHTS, "training.json"))
    if finished and not force and not _has_begun(work):
        raise InputError(
            f"{shown(folder, 300)}: holds a finished model; give --out ANOTHER-FOLDER, "
            "or --force to train it anew"
        )
    if force:
        shutil.rmtree(work, ignore_errors=True)
    put_damaged_aside(work)
    for checkpoint in sealed_checkpoints(work)[-1:]:
        run = run_of(checkpoint)
        if not (_is_recorded(run["recipe"], recipe) or _is_recorded(run["placed"], placed)):
            raise InputError(
                f"{shown(work, 300)}: holds checkpoints of another recipe; give --out ANOTHER-FOLDER, "
                "or --force to start over"
            )
    # Whatever a killed run had begun to hand over is made anew: half a file must not go with it.
    shutil.rmtree(work / "export", ignore_errors=True)
    write_text(work / _BEGUN, json.dumps(_recorded(recipe, placed), indent=2))


def _done(folder: Path) -> Path:
    """Return the name that ``work`` gets when it may be removed, however long that takes."""
    return folder / ".work-done"


def _recorded(recipe: Recipe, placed: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(exclude_unset=True),
        "placed": placed.model_dump(exclude_unset=True),
    }


def _is_recorded(record: dict, recipe: Recipe) -> bool:
    """Return whether a record is of this recipe; keys that came later than it have their defaults."""
    try:
        begun = Recipe.model_validate_json(json.dumps(record))
    except ValueError:
        return False
    return begun.model_dump() == recipe.model_dump()


def _trainer(
    recipe: Recipe, placed: Recipe, arguments: TrainingArguments, data: TokenCache | TaskData, folder: Path
) -> tuple[TMMTrainer, Path | None]:
    """Return the Trainer and the checkpoint it has to go on from."""
    settings, history = recipe.training, folder / HISTORY
    model = build_model(recipe, data.tokenizer)
    checkpoint = next(reversed(sealed_checkpoints(folder / "work")), None)
    if checkpoint is not None:
        _refuse_other_data(checkpoint, data.identity)
        refuse_foreign(checkpoint, model)
    step = checkpoint_step(checkpoint) if checkpoint else 0
    main = arguments.process_index == 0
    callbacks: list = [KernelsCallback(folder / "kernels", settings.kernels_every, step, main)]
    if main:
        rows = read_history(checkpoint / HISTORY) if checkpoint else []
        callbacks.append(HistoryCallback(history, settings.batch_size * recipe.sequence_length, rows))
        callbacks.append(ProgressLine(settings.steps))
        if settings.tensorboard:
            callbacks.append(tensorboard_callback(folder / "tensorboard", step))
    train, held_out = data.datasets(recipe)
    trainer = TMMTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=held_out,
        callbacks=callbacks,
        seed=None if recipe.task else settings.seed,
        finish_checkpoint=partial(
            finish_checkpoint, run=_recorded(recipe, placed) | data.identity, history=history
        ),
        measure=data.measure if isinstance(data, TaskData) else None,
        penalties=penalties_of(settings),
    )
    trainer.remove_callback(PrinterCallback)  # ours says it in one line
    return trainer, checkpoint


def _refuse_other_data(checkpoint: Path, identity: dict[str, str]) -> None:
    run = run_of(checkpoint)
    for name, value in identity.items():
        if run.get(name) != value:
            raise InputError(
                f"{shown(checkpoint.parent, 300)}: holds a run on another {name}; "
                "give --out ANOTHER-FOLDER, or --force to start over"
            )


def _finish(recipe, copy, data, trainer, folder, validation_loss) -> None:
    """Write the model folder: every file whole, the weights last."""
    work = folder / "work"
    export = work / "export"
    trainer.save_model(str(export))  # by all processes: sharded weights are gathered
    if not trainer.is_world_process_zero():
        return
    (export / "training_args.bin").unlink(missing_ok=True)
    data.tokenizer.save_pretrained(export)
    history = read_history(folder / HISTORY)
    weights = file_hash(export / WEIGHTS) if (export / WEIGHTS).exists() else None
    record = run_record(recipe, data, trainer, weights, validation_loss, history)
    write_json(folder / "training.json", record)
    write_text(folder / "README.md", model_card(recipe, record))
    if copy is not None:
        write_text(folder / "recipe.toml", copy)
    for path in sorted(export.iterdir(), key=lambda p: p.name == WEIGHTS):
        os.replace(path, folder / path.name)
    os.replace(work, _done(folder))  # from here on the folder is finished, whenever the rest is removed
    shutil.rmtree(_done(folder))
