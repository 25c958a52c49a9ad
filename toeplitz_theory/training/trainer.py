"""transformers' Trainer with the order of sequences, the penalty and the checks of our runs."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from toeplitz_theory.errors import InputError, NumericalError, RunError, reason_of
from toeplitz_theory.names import shown
from toeplitz_theory.tmm import jensen_deficit, mean_delay
from toeplitz_theory.training.batches import BatchOrder
from toeplitz_theory.training.model_kernels import kernels_can_learn, local, mean_over_kernels
from toeplitz_theory.training.progress import ProgressLine
from toeplitz_theory.training.recipe import Recipe, TrainingSection
from toeplitz_theory.training.resume import checkpoint_folder, sealed_checkpoints

Penalty = tuple[float, Callable[[Tensor], Tensor]]

_WATCHED = {
    "loss": "loss",
    "eval_loss": "validation loss",
    "grad_norm": "gradient",
    "jensen_deficit": "Jensen deficit",
    "mean_delay": "mean delay",
}


class TMMTrainer(Trainer):
    """A Trainer whose losses do not depend on how a step's batch is divided.

    Parameters
    ----------
    seed : int or None
        Of the order of sequences; None for that of the data.
    finish_checkpoint : callable
        Called with the folder of each checkpoint by one process, when all have written their files.
    measure : callable, optional
        Called with the model at each evaluation; what it returns is logged beside the loss.
    penalties : dict
        By the name of a quantity its weight and the function that gives it for kernels (count, n): weight
        times its mean over all kernels is added to the training loss, which is logged without it.
    **kwargs
        As for Trainer.
    """

    model: nn.Module
    args: TrainingArguments

    def __init__(
        self,
        *,
        seed: int | None,
        finish_checkpoint: Callable[[Path], None],
        penalties: dict[str, Penalty],
        measure: Callable[[nn.Module], dict[str, float]] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.finish_checkpoint = finish_checkpoint
        self.measure = measure
        self.order = self._order(self.train_dataset, seed, training=True)
        self.penalties = penalties
        if penalties and not kernels_can_learn(self.model):
            raise InputError(
                "training.jensen_penalty and delay_penalty need a model with trainable Toeplitz kernels; "
                "set them to 0"
            )
        self.penalty_due = False
        self.penalised: dict[str, list[Tensor]] = {name: [] for name in penalties}
        self.bad_step = torch.tensor(0, device=self.args.device)
        self.add_callback(_StepWatch(self))

    def _order(self, dataset, seed: int | None, training: bool = False) -> BatchOrder:
        args = self.args
        accumulate = args.gradient_accumulation_steps if training else 1
        last = args.max_steps if training else 2**62
        batch_size = args.per_device_train_batch_size * args.world_size * accumulate
        shares = (args.process_index, args.world_size, accumulate)
        return BatchOrder(len(dataset), batch_size, *shares, seed, last)

    def _loader(self, dataset, order: BatchOrder) -> DataLoader:
        return DataLoader(dataset, batch_sampler=order, collate_fn=self.data_collator)

    def train(self, *arguments, **keywords):
        """Train; whatever stops it, what is said next starts on a line of its own."""
        line = next((c for c in self.callback_handler.callbacks if isinstance(c, ProgressLine)), None)
        try:
            return super().train(*arguments, **keywords)
        finally:
            if line is not None:
                line.close()

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches of this process."""
        return self._loader(self.train_dataset, self.order)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the loss, with the gradient of the penalties in the first pass of each step."""
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not (self.penalty_due and self.penalties):
            return result
        self.penalty_due = False
        # Adds nothing to the value, only to the gradient: the loss that is logged stays the plain one.
        # Processes average their gradients, and this one is the same in all: it counts once.
        term = torch.zeros((), device=self.args.device)
        for name, (weight, quantity) in self.penalties.items():
            value = mean_over_kernels(self.model, quantity)
            self.penalised[name].append(value.detach())
            term = term + weight * (value - value.detach())
        return (result[0] + term, result[1]) if isinstance(result, tuple) else result + term

    def training_step(self, model, inputs, num_items_in_batch=None) -> Tensor:
        """Run one pass, and remember the first step whose loss is not finite without waiting for it."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        step = torch.full_like(self.bad_step, self.state.global_step + 1)
        first = (self.bad_step == 0) & ~torch.isfinite(loss)
        self.bad_step = torch.where(first, step, self.bad_step)
        return loss

    @torch.no_grad()
    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        """Return and log the mean loss of the evaluation set, each label counted once."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        order = self._order(dataset, None)
        model = self.model
        model.eval()
        losses, counts = [], []
        loader = self._loader(dataset, order)
        self.callback_handler.eval_dataloader = loader  # pyright: ignore[reportAttributeAccessIssue]
        for inputs in loader:
            inputs = self._prepare_inputs(inputs)
            items = self._counted(inputs["labels"])
            loss = model(**inputs, num_items_in_batch=items).loss
            losses.append(float(self._summed(loss.float())))
            counts.append(int(items))
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        mean = float(np.average(losses, weights=counts))
        metrics = {f"{metric_key_prefix}_loss": mean} | (self.measure(model) if self.measure else {})
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _counted(self, labels: Tensor) -> Tensor:
        """Return the number of labels that count in this pass, over all processes."""
        shifted = labels[..., 1:] if self._loss_shifts_labels else labels
        return self._summed(shifted.ne(-100).sum())

    def _summed(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        summed: Any = self.accelerator.reduce(value, "sum")
        return summed

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, after refusing what is not finite; what is penalised goes with the loss."""
        for name, values in self.penalised.items():
            if "loss" in logs and values:
                logs[name] = float(torch.stack(values).mean())
                values.clear()
        self._refuse_nonfinite(logs)
        super().log(logs, start_time)

    def _refuse_nonfinite(self, logs: dict[str, float]) -> None:
        for key, name in _WATCHED.items():
            if not math.isfinite(logs.get(key, 0.0)):
                raise self._diverged(name, int(self.bad_step) or self.state.global_step)

    def _diverged(self, what: str, step: int) -> NumericalError:
        checkpoints = sealed_checkpoints(Path(str(self.args.output_dir)))
        kept = f"{checkpoints[-1].name} is kept" if checkpoints else "no checkpoint had been written yet"
        return NumericalError(
            f"the {what} is not a finite number at step {step}: training stopped; {kept}. "
            "Lower learning_rate or max_grad_norm in the recipe, or raise warmup_steps"
        )

    def _save_checkpoint(self, model, trial) -> None:
        """Save, and finish the checkpoint when all is in it; remove what a full disk leaves of it."""
        # A finite loss can end in an update that is not: such weights must not become the last good ones.
        if not all(bool(torch.isfinite(local(weight)).all()) for weight in model.parameters()):
            raise self._diverged("update of the weights", self.state.global_step)
        folder = checkpoint_folder(Path(str(self.args.output_dir)), self.state.global_step)
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process writes a file of its own
            if self.is_world_process_zero():
                self.finish_checkpoint(folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RunError(
                f"{shown(folder, 300)} could not be written ({reason_of(error)}); earlier ones are kept: "
                "put it right (is the disk full?), and run the same command again to go on"
            ) from error


class _StepWatch(TrainerCallback):
    """Tell the trainer when an epoch and a step begin."""

    def __init__(self, trainer: TMMTrainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        order = self.trainer.order
        order.epoch = state.global_step // order.steps

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.penalty_due = True


# The Trainer's settings, from a recipe.


def penalties_of(settings: TrainingSection) -> dict[str, Penalty]:
    """Return the penalties that a recipe asks for."""
    penalties: dict[str, Penalty] = {
        "jensen_deficit": (settings.jensen_penalty, jensen_deficit),
        "mean_delay": (settings.delay_penalty, _delay_of_unit_norm),
    }
    return {name: penalty for name, penalty in penalties.items() if penalty[0]}


def _delay_of_unit_norm(taps: Tensor) -> Tensor:
    """Return the mean delay where the noise is a hundredth of the output: no kernel gains by shrinking."""
    return mean_delay(taps / taps.norm(dim=-1, keepdim=True).clamp_min(1e-30), snr=100.0)


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
        disable_tqdm=True,
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
