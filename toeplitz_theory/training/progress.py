"""One line that says how far a training is, how well it does and how long it will take."""

from __future__ import annotations

import sys
import time

from transformers import TrainerCallback

from toeplitz_theory.display import duration

_PAUSE = 0.2  # seconds between two changes of a line in a terminal
_RARE = 30.0  # and between two lines elsewhere


class ProgressLine(TrainerCallback):
    """Rewrite one line in a terminal; elsewhere write one every half minute and at each evaluation.

    Parameters
    ----------
    steps : int
        Of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.losses = steps, dict[str, float]()
        self.live = sys.stderr.isatty()
        self.first, self.begin, self.said, self.width, self.line = 0, time.monotonic(), 0.0, 0, ""

    def on_train_begin(self, args, state, control, **kwargs):
        """Take the time from here on."""
        self.first, self.begin = state.global_step, time.monotonic()
        self.said = self.begin - _RARE + 5.0  # the first line soon

    def on_step_end(self, args, state, control, **kwargs):
        """Say where the run is, if that was not said just now."""
        if time.monotonic() - self.said >= (_PAUSE if self.live else _RARE):
            self._say(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Take the losses from what the Trainer logs."""
        for key, name in (("loss", "loss"), ("eval_loss", "held out")):
            if logs and key in logs:
                self.losses[name] = logs[key]
        if logs and "eval_loss" in logs:
            self._say(state.global_step)

    def _say(self, step: int) -> None:
        self.said = time.monotonic()
        parts = [f"step {step:,} of {self.steps:,}"]
        parts += [f"{name} {loss:.3f}" for name, loss in self.losses.items()]
        done, elapsed = step - self.first, self.said - self.begin
        if done > 0 and step < self.steps:
            parts.append(f"{duration(elapsed / done * (self.steps - step))} left")
        line = ", ".join(parts)
        if line == self.line:
            return
        self.line = line
        if self.live:
            print("\r" + line.ljust(self.width), end="", file=sys.stderr, flush=True)
            self.width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line, so that what is said next starts on one of its own."""
        if self.width:
            print(file=sys.stderr, flush=True)
            self.width = 0
