"""The curve of a run as JSON lines, one per logged step, that survives kills."""

import json
import shutil
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import remove_partial, write_text
from toeplitz_theory.training.model_kernels import kernel_file, save_kernels

_KEPT = {
    "loss": "loss",
    "eval_loss": "validation_loss",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "jensen_deficit": "jensen_deficit",
}


def read_history(path: Path) -> list[dict]:
    """Return the rows of a history file; a last line cut short by a kill is left out."""
    rows: list[dict] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return rows
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number != len(lines) - 1:
                raise InputError(
                    f"{path}: line {number + 1} is not JSON; put it right, "
                    "or remove the file to begin the curve anew"
                ) from None
    return rows


class HistoryCallback(TrainerCallback):
    """Append what the Trainer logs; on resuming, first drop the rows past the checkpoint.

    Parameters
    ----------
    path : Path
        The history file.
    tokens_per_step : int
        Tokens of one optimiser step, for the ``tokens`` column.
    resume_step : int
        Step the run goes on from; 0 for a fresh run.
    """

    def __init__(self, path: Path, tokens_per_step: int, resume_step: int):
        self.path, self.tokens_per_step = path, tokens_per_step
        kept = [row for row in read_history(path) if resume_step and row["step"] <= resume_step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self.seconds_before = kept[-1]["seconds"] if kept else 0.0
        self.last = {key: value for key, value in kept[-1].items() if key != "seconds"} if kept else {}
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
            for path in folder.glob(".tmp??????"):  # safetensors writes to such a name first
                path.unlink()

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            save_kernels(model, self.folder, 0, self.write)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            save_kernels(model, self.folder, state.global_step, self.write)


def tensorboard_callback(folder: Path, resume_step: int) -> TensorBoardCallback:
    """Return the callback that writes event files, without what was logged past the checkpoint."""
    if resume_step == 0:
        shutil.rmtree(folder, ignore_errors=True)
    callback = TensorBoardCallback(
        SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)
    )
    callback.logging_dir = str(folder)  # the last evaluation opens a writer anew
    return callback
