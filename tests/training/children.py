"""Runs in processes of their own, forked from one that has imported everything: half a second each."""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import warnings
from pathlib import Path

import torch
from transformers import TrainerState, modeling_utils

from toeplitz_theory.cli import run
from toeplitz_theory.training import callbacks, model_kernels, runner, trainer

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload([__name__])

# What is under way when the kill comes: where the function is looked up, its name, and its path argument.
MOMENTS = {
    "pass": (trainer.TMMTrainer, "training_step", None),
    "weights": (modeling_utils, "safe_save_file", 1),
    "state by torch": (torch, "save", 1),
    "trainer state": (TrainerState, "save_to_json", 1),
    "seal": (runner, "finish_checkpoint", None),
    "removal": (shutil, "rmtree", None),
    "kernels": (model_kernels, "save", None),
    "row": (callbacks.HistoryCallback, "on_log", None),
    "evaluation": (trainer.TMMTrainer, "evaluate", None),
    "card": (runner, "write_text", 0),
    "move": (runner.os, "replace", None),
}


def start(target, *arguments) -> multiprocessing.Process:
    """Start ``target`` in a child."""
    # Children have the environment of the process they are forked from.
    child = context.Process(
        target=_quietly, args=(os.environ.get("TOEPLITZ_THEORY_CACHE"), target, arguments)
    )
    child.start()
    return child


def finish(*children, seconds=120) -> list[int]:
    """Wait, and return the exit codes; minus the number for those ended by a signal."""
    for child in children:
        child.join(seconds)
        if child.is_alive():
            child.kill()
            raise AssertionError("a child did not end")
    return [child.exitcode for child in children]


def start_group(count: int, target, *arguments) -> list[multiprocessing.Process]:
    """Start ``count`` processes that find each other as those of torchrun do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(_as_rank, rank, count, port, target, *arguments) for rank in range(count)]


def train(recipe, out, moment=None, call=0) -> None:
    """Train; with a moment, be killed inside its call number ``call``, half of the file being written."""
    torch.set_num_threads(1)
    if moment is not None:
        owner, name, path = MOMENTS[moment]
        setattr(owner, name, _deadly(getattr(owner, name), path, call))
    runner.train(recipe, out)


def command(errors, *arguments) -> None:
    """Run the command line and exit as it does; what it says on stderr is added to a file."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.exit(run([str(argument) for argument in arguments]))


def _deadly(function, path, call):
    calls = iter(range(call + 1))

    def deadly(*arguments, **keywords):
        if next(calls) < call:
            return function(*arguments, **keywords)
        if path is not None:
            function(*arguments, **keywords)
            target = Path(arguments[path])
            os.truncate(target, target.stat().st_size // 2)
        return os.kill(os.getpid(), signal.SIGKILL)

    return deadly


def _as_rank(rank, count, port, target, *arguments):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": count}
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, **where}
    os.environ.update({name: str(value) for name, value in values.items()})
    target(*arguments)
    torch.distributed.destroy_process_group()


def _quietly(cache, target, arguments):
    """Run with nothing shown of what the Trainer prints; what goes wrong is."""
    if cache is not None:
        os.environ["TOEPLITZ_THEORY_CACHE"] = cache
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore", UserWarning)
    target(*arguments)
