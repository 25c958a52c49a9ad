"""Run a recipe: text, tokenizer, model, Trainer, and a finished model folder."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed
from transformers import logging as hf_logging

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import write_json, write_text
from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.training.baselines import Baselines, count_baselines
from toeplitz_theory.training.card import model_card, run_record
from toeplitz_theory.training.checkpoint import complete_checkpoints
from toeplitz_theory.training.corpus import Corpus, load_corpus
from toeplitz_theory.training.history import HistoryCallback, KernelsCallback, read_history
from toeplitz_theory.training.kernels import draw_kernels
from toeplitz_theory.training.recipe import Recipe, load_recipe
from toeplitz_theory.training.tokens import PackedTokens, encode, train_tokenizer

MODELS: dict[str, type[TMMForCausalLM | TMMForAutoencoding]] = {
    "next_token": TMMForCausalLM,
    "autoencode": TMMForAutoencoding,
}


@dataclass(frozen=True)
class Prepared:
    """What a run needs that follows from the recipe and the text alone."""

    corpus: Corpus
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

    Examples
    --------
    >>> from toeplitz_theory.training import train
    >>> train("models/tmm-next-token/recipe.toml", out="runs/mine")  # doctest: +SKIP
    PosixPath('runs/mine')
    """
    recipe_path = Path(recipe_path)
    recipe = load_recipe(recipe_path)
    folder = Path(out) if out is not None else recipe_path.parent
    work = folder / "work"
    _claim(folder, work, recipe, force)
    torch.set_num_threads(recipe.training.threads)
    prepared = prepare(recipe, recipe_path.parent)
    model = build_model(recipe, prepared.tokenizer)
    trainer = _trainer(recipe, prepared, model, folder, work)
    checkpoints = complete_checkpoints(work)
    trainer.train(resume_from_checkpoint=str(checkpoints[-1]) if checkpoints else None)
    evaluation = trainer.evaluate()
    _finish(recipe, prepared, model, folder, work, evaluation["eval_loss"])
    if recipe_path.resolve() != (folder / "recipe.toml").resolve():
        shutil.copyfile(recipe_path, folder / "recipe.toml")
    return folder


def prepare(recipe: Recipe, base: Path) -> Prepared:
    """Load the text, train the tokenizer on its training part, and pack both parts."""
    data = recipe.data
    corpus = load_corpus(data.corpus, base)
    parts = corpus.split(data.validation_fraction)
    tokenizer = train_tokenizer(parts[0], data.vocab_size, data.sequence_length)
    train, validation = (encode(part, tokenizer) for part in parts)
    return Prepared(
        corpus,
        tokenizer,
        PackedTokens(train, data.sequence_length),
        PackedTokens(validation, data.sequence_length),
        count_baselines(train, validation, len(tokenizer)),
    )


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> TMMForCausalLM | TMMForAutoencoding:
    """Return the freshly initialised model of the recipe; everything follows from its seed."""
    set_seed(recipe.training.seed)
    config = TMMConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=recipe.data.sequence_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **recipe.model.model_dump(),
    )
    model = MODELS[recipe.objective](config)
    draw_kernels(model, recipe.training.seed, recipe.model.kernel_init)
    return model


def _claim(folder: Path, work: Path, recipe: Recipe, force: bool) -> None:
    """Refuse to overwrite; remember which recipe the checkpoints in ``work`` belong to."""
    if force:
        shutil.rmtree(work, ignore_errors=True)
    elif (folder / "model.safetensors").exists():
        raise InputError(
            f"{folder} holds a finished model; give --out ANOTHER-FOLDER, or --force to train it anew"
        )
    wanted = recipe.model_dump()
    record = work / "recipe.json"
    if record.exists() and json.loads(record.read_text(encoding="utf-8")) != wanted:
        raise InputError(
            f"{work} holds checkpoints of another recipe; give --out ANOTHER-FOLDER, or --force to start over"
        )
    write_json(record, wanted)


def _trainer(recipe, prepared, model, folder, work) -> Trainer:
    settings = recipe.training
    hf_logging.set_verbosity_warning()
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=settings.max_grad_norm,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        prediction_loss_only=True,
        save_steps=settings.save_every,
        save_total_limit=2,
        seed=settings.seed,
        data_seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    checkpoints = complete_checkpoints(work)
    resume_step = int(checkpoints[-1].name.rpartition("-")[2]) if checkpoints else 0
    tokens_per_step = settings.batch_size * recipe.data.sequence_length
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        callbacks=[
            HistoryCallback(folder / "history.jsonl", tokens_per_step, resume_step),
            KernelsCallback(folder / "kernels", settings.kernels_every, resume_step),
        ],
    )


def _finish(recipe, prepared, model, folder, work, validation_loss) -> None:
    """Write the model folder: every file whole, the weights last, since they mark it finished."""
    export = work / "export"
    model.save_pretrained(export)
    prepared.tokenizer.save_pretrained(export)
    record = run_record(recipe, prepared, model, validation_loss, read_history(folder / "history.jsonl"))
    write_json(folder / "training.json", record)
    write_text(folder / "README.md", model_card(recipe, record))
    for path in sorted(export.iterdir(), key=lambda p: p.name == "model.safetensors"):
        os.replace(path, folder / path.name)
    shutil.rmtree(work)
