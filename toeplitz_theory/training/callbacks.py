"""What a run writes along the way: its curve as JSON lines, its kernels, TensorBoard's files."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from toeplitz_theory.errors import InputError, whole_number
from toeplitz_theory.files import remove_partial, written_whole
from toeplitz_theory.names import shown
from toeplitz_theory.training.kernel_log import log_kernels
from toeplitz_theory.training.model_kernels import kernel_file, save_kernels

_KEPT = {
    "loss": "loss",
    "eval_loss": "validation_loss",
    "eval_token_accuracy": "token_accuracy",
    "eval_string_accuracy": "string_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "jensen_deficit": "jensen_deficit",
    "mean_delay": "mean_delay",
}


def read_history(path: Path) -> list[dict]:
    """Return the rows of a history file; a last line cut short by a kill is left out."""
    rows: list[dict] = []
    if not path.exists():
        return rows
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
        elif number != len(lines):
            raise InputError(f"{shown(path, 300)}: line {number} is not a row of a curve; remove the file")
    return rows


class HistoryCallback(TrainerCallback):
    """Append what the Trainer logs to the curve.

    Parameters
    ----------
    path : Path
        The history file, which begins anew with ``rows``.
    tokens_per_step : int
        Tokens of one optimiser step, for the ``tokens`` column.
    rows : list of dict
        The curve up to the checkpoint that the run goes on from.
    """

    def __init__(self, path: Path, tokens_per_step: int, rows: list[dict]):
        self.path, self.tokens_per_step = path, tokens_per_step
        with written_whole(path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        self.seconds_before = rows[-1]["seconds"] if rows else 0.0
        self.last = {key: value for key, value in rows[-1].items() if key != "seconds"} if rows else {}
        self.begin = time.monotonic()

    def on_train_begin(self, args, state, control, **kwargs):
        self.begin = time.monotonic()

    def on_log(self, args, state, control, logs=None, **kwargs):
        values = {new: logs[old] for old, new in _KEPT.items() if logs and old in logs}
        if not {"loss", "validation_loss"} & set(values):
            return
        step = state.global_step
        row = {
            "step": step,
            "tokens": step * self.tokens_per_step,
            **{k: float(v) for k, v in values.items()},
        }
        if row == self.last:
            return  # the evaluation at the end, where the last step was evaluated already
        self.last = row
        seconds = round(self.seconds_before + time.monotonic() - self.begin, 2)
        line = {"step": step, "tokens": row["tokens"], "seconds": seconds, **row}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class KernelsCallback(TrainerCallback):
    """Save the Toeplitz kernels at the start, every ``every`` steps and at the end."""

    def __init__(self, folder: Path, every: int, resume_step: int, write: bool = True):
        self.folder, self.every, self.write = folder, every, write
        if write and folder.exists():
            for path in folder.glob("step-*.safetensors"):
                if path > kernel_file(folder, resume_step):
                    path.unlink()
            remove_partial(folder)

    def on_train_begin(self, args, state, control, **kwargs):
        if state.global_step == 0:
            save_kernels(kwargs["model"], self.folder, 0, self.write)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            save_kernels(kwargs["model"], self.folder, state.global_step, self.write)


class InvertibilityCallback(TrainerCallback):
    """Log index, delays and Jensen deficit of a model's kernels every so many steps, through the Trainer.

    What `log_kernels` returns goes to `Trainer.log`, and so to everything in ``report_to``, such as
    TensorBoard and wandb, and into ``log_history``.

    Parameters
    ----------
    trainer : transformers.Trainer
        The Trainer that the callback is added to.
    every : int
        Steps between two looks; the first step and the last are looked at too.
    **options
        As for `log_kernels`: ``kernels``, ``probe``, ``inputs``, ``condition``, ``per_layer``.

    Raises
    ------
    InputError
        ``every`` is below 1; when training begins: the model holds no such kernels.

    Examples
    --------
    >>> from transformers import Trainer
    >>> trainer = Trainer(model, arguments, train_dataset=rows)  # doctest: +SKIP
    >>> trainer.add_callback(InvertibilityCallback(trainer, kernels="blocks.*.filter"))  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(self, trainer: Trainer, every: int = 100, **options: Any):
        refusal = f"every = {every!r}: give a number of steps, 1 or more"
        self.trainer, self.options = trainer, options
        self.every = whole_number(every, 1, None, refusal)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Look before the first step; `args`, `state`, `control` and `model` come from the Trainer."""
        self._look(state, model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Look when it is time; `args`, `state`, `control` and `model` come from the Trainer."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._look(state, model)

    def _look(self, state, model):
        if state.is_world_process_zero:
            self.trainer.log(log_kernels(model, **self.options))


def tensorboard_callback(folder: Path, resume_step: int) -> TensorBoardCallback:
    """Return the callback that writes event files, without what was logged after the checkpoint."""
    if resume_step == 0:
        shutil.rmtree(folder, ignore_errors=True)
    callback = TensorBoardCallback(
        SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)
    )
    callback.logging_dir = str(folder)  # the last evaluation opens a writer anew
    return callback
