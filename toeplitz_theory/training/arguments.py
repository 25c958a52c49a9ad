"""What the Trainer is told of a recipe."""

import os
from pathlib import Path

import torch
from transformers import TrainingArguments

from toeplitz_theory.errors import InputError
from toeplitz_theory.training.recipe import Recipe, TrainingSection

# Seconds that processes wait for each other: one of them may be tokenising a large corpus.
_TOKENISING = 24 * 3600


def training_arguments(recipe: Recipe, work: Path) -> TrainingArguments:
    """Return the arguments; where several processes were launched, this joins them."""
    settings = recipe.training
    if settings.sharding != "none":
        _refuse_sharding(settings.sharding)
    _refuse_remainder(settings)
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16",
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
        ddp_find_unused_parameters=False,
        ddp_timeout=_TOKENISING,
        **_sharding(settings.sharding),
    )
    if arguments.n_gpu > 1:
        raise InputError(
            f"{arguments.n_gpu} GPUs and one process: start one process for each with torchrun "
            "(docs/training.md), or set CUDA_VISIBLE_DEVICES=0"
        )
    parts = arguments.world_size * settings.gradient_accumulation_steps
    arguments.per_device_train_batch_size = arguments.per_device_eval_batch_size = (
        settings.batch_size // parts
    )
    return arguments


def _refuse_remainder(settings: TrainingSection) -> None:
    # Before the processes join: each refuses by itself, and none is left waiting for one that is gone.
    processes, accumulate = int(os.environ.get("WORLD_SIZE", "1")), settings.gradient_accumulation_steps
    if settings.batch_size % (processes * accumulate):
        raise InputError(
            f"training.batch_size={settings.batch_size}, that of all processes together, does not divide "
            f"into {processes} process(es) times {accumulate} accumulated part(s): change it or the number "
            "of processes"
        )


def _sharding(kind: str) -> dict:
    if kind == "none":
        return {}
    wrap = {"transformer_layer_cls_to_wrap": ["TMMBlock"], "state_dict_type": "FULL_STATE_DICT"}
    return {"fsdp": True, "fsdp_config": {"version": 2, **wrap}}


def _refuse_sharding(kind: str) -> None:
    if not torch.cuda.is_available():
        raise InputError(
            f"training.sharding = {kind!r} needs GPUs: on CPUs accelerate keeps whole copies of the "
            'weights in each process, and does not say so; set it to "none"'
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise InputError(
            f"training.sharding = {kind!r} needs processes to share the weights: launch with torchrun "
            '(docs/training.md), or set it to "none"'
        )
