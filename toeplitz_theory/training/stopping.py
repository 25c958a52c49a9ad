"""Ctrl-C in training: the step is finished, a checkpoint is written, and the run can go on from there."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import TrainerCallback

from toeplitz_theory import interrupts
from toeplitz_theory.names import shown

_SAVING = "\nfinishing this step and saving; press Ctrl-C again to stop at once, without\n"


class StopCallback(TrainerCallback):
    """Save and stop after the step in which Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False
        self.stopped_at: int | None = None

    def on_step_end(self, args, state, control, **kwargs):
        """Ask the Trainer to log, to save and to stop."""
        if self.asked and state.global_step < state.max_steps:
            self.stopped_at = state.global_step
            control.should_log = control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self, folder: object) -> Iterator[None]:
        """Answer Ctrl-C inside; raise KeyboardInterrupt at the end of a run that it stopped.

        Only in a process that trains alone: several would have to stop at the same step. A second Ctrl-C is
        answered as before.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def answer(number, frame):
            if self.asked:
                before(number, frame)
            self.asked = True
            sys.stderr.write(_SAVING)

        signal.signal(signal.SIGINT, answer)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if self.stopped_at is not None:
            kept = f"checkpoint at step {self.stopped_at} kept in {shown(folder, 300)}: "
            interrupts.advise(kept + "run the same command again to go on")
            raise KeyboardInterrupt(kept + "train again to go on")
