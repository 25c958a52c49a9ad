"""Sweeps: recipes with some of their settings varied, each run in a process of its own, one table of all."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from toeplitz_theory.cache import key_of
from toeplitz_theory.display import Displayed, duration
from toeplitz_theory.errors import InputError, RunError, ToeplitzTheoryError, reason_of
from toeplitz_theory.files import read_json, write_text, written_whole
from toeplitz_theory.interrupts import be_child, stop_children
from toeplitz_theory.names import shown
from toeplitz_theory.training.recipe import (
    Recipe,
    parse,
    parse_recipe,
    placed_recipe,
    placed_text,
    recipe_text,
    refuse_repeated_windows,
)
from toeplitz_theory.training.section import Section

RESULTS = "results.parquet"
_MOST_RUNS = 10_000
_OURS = b"toeplitz-theory sweep"  # in the metadata of a table that this module wrote
_PATIENCE = 3.0  # seconds for a run to let go of what it holds when it is stopped
_PRELOADED = "toeplitz_theory.training.runner"


class SweepSection(Section):
    """What a sweep file holds: every recipe with every variant, at every combination of the axes."""

    recipes: Annotated[list[str], Field(min_length=1)]
    variants: Annotated[list[dict[str, Any]], Field(min_length=1, default_factory=lambda: [{}])]
    axes: Annotated[dict[str, Any], Field(default_factory=dict)]


@dataclass(frozen=True, repr=False)
class Run(Displayed):
    """One run of a sweep.

    Attributes
    ----------
    name : str
        Made of the recipe's file, what is varied, and a hash of all settings: another recipe is another run.
    folder : Path
        The model folder, with its recipe.
    recipe : Recipe
        As it is in the folder.
    text : str
        The same as TOML.

    Examples
    --------
    >>> planned_runs("sweep.toml", "runs/mixers")[0].command[:2]  # doctest: +SKIP
    ['toeplitz-theory', 'train']
    """

    name: str
    folder: Path
    recipe: Recipe
    text: str

    @property
    def command(self) -> list[str]:
        """The command that trains it."""
        return ["toeplitz-theory", "train", str(self.folder / "recipe.toml"), "--out", str(self.folder)]

    def finished(self) -> bool:
        """Whether it has been trained to its end."""
        files = ("training.json", "model.safetensors")
        return all((self.folder / name).exists() for name in files) and not (self.folder / "work").exists()


def planned_runs(path: str | os.PathLike, out: str | os.PathLike | None = None) -> list[Run]:
    """Return the runs of a sweep; nothing is written.

    Parameters
    ----------
    path : path-like
        The sweep (TOML): ``recipes``, files beside it; ``[axes]``, lists of values by the dotted key of a
        recipe; ``[[variants]]``, tables of settings that go together, such as a mixer and its learning rate.
    out : path-like, optional
        The folder that will hold a folder for each run; ``runs/STEM`` by default, with the file's name.

    Returns
    -------
    list of Run
        In the order of recipes, variants, axes.

    Raises
    ------
    InputError
        When the file, or the recipe of any run, cannot be used, and when two runs are the same.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> recipe = 'name = "a"\\nobjective = "next_token"\\ntraining.steps = 200'
    >>> _ = (folder / "text.toml").write_text(recipe)
    >>> _ = (folder / "sweep.toml").write_text('recipes = ["text.toml"]\\naxes.training.seed = [0, 1]')
    >>> [run.recipe.training.seed for run in planned_runs(folder / "sweep.toml")]
    [0, 1]
    """
    path = Path(path)
    out = Path(out) if out is not None else Path("runs") / path.stem
    file = parse(SweepSection, recipe_text(path, "sweep"), path, "sweep")
    try:
        axes = {key: _values(path, key, values) for key, values in _leaves(file.axes, "")}
        variants = [dict(_leaves(variant, "")) for variant in file.variants]
    except RecursionError:
        raise InputError(f"{shown(path, 300)}: is nested too deep for a sweep") from None
    count = len(file.recipes) * len(variants) * math.prod(map(len, axes.values()))
    if count > _MOST_RUNS:
        raise InputError(f"{shown(path, 300)}: asks for {count:,} runs, more than {_MOST_RUNS:,}; split it")
    runs: dict[str, Run] = {}
    for recipe, variant in itertools.product(file.recipes, variants):
        base = path.parent / recipe
        text = recipe_text(base)
        parse_recipe(text, base)  # a fault of the recipe itself is named as its own
        for values in itertools.product(*axes.values()):
            run = _run(base, text, variant | dict(zip(axes, values, strict=True)), out)
            if run.name in runs:
                raise InputError(f"{shown(path, 300)}: asks for {run.name} twice; leave one out")
            runs[run.name] = run
    return list(runs.values())


def _leaves(table: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of everything in a table of tables."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _values(path: Path, key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise InputError(f"{shown(path, 300)}: axes.{shown(key)} is not a list of values; give it as [1, 2]")
    return values


def _run(base: Path, text: str, varied: dict[str, Any], out: Path) -> Run:
    import tomlkit

    settings: dict[str, Any] = tomllib.loads(text)
    for key, value in varied.items():
        *above, last = key.split(".")
        table = settings
        for part in above:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InputError(f"{shown(base, 300)}: {shown(key)} cannot be varied: it is in no section")
        table[last] = value
    label = ", ".join(f"{key} = {value}" for key, value in varied.items())
    where = f"{base} with {label}" if varied else str(base)
    recipe = parse_recipe(tomlkit.dumps(settings), where)
    refuse_repeated_windows(recipe, where)
    words = [base.stem, *(f"{key.rpartition('.')[2]}-{value}" for key, value in varied.items())]
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", ".".join(words).replace(".", "\0")).replace("\0", ".")
    identity = key_of(recipe.model_dump(mode="json", exclude_unset=True, exclude={"name"}))[:8]
    name = f"{readable.strip('._-')[:80] or 'run'}.{identity}"
    settings["name"] = name
    text = tomlkit.dumps(settings)
    recipe = parse_recipe(text, where)
    folder = out / name
    placed = placed_recipe(recipe, base.parent, folder)
    return Run(name, folder, placed, placed_text(text, recipe, placed))


def write_recipes(runs: list[Run]) -> None:
    """Write the recipe of each run into its folder, where it is not yet."""
    for run in runs:
        if not (run.folder / "recipe.toml").exists():
            write_text(run.folder / "recipe.toml", run.text)


def run_sweep(runs: list[Run], processes: int | None = None, say: Callable[[str], None] = print) -> Path:
    """Train what has not been trained, several runs at a time, and keep one table of all that are finished.

    Parameters
    ----------
    runs : list of Run
        Of `planned_runs`. Finished ones are skipped, interrupted ones go on where they stopped.
    processes : int, optional
        Runs at a time; by default as many as the cores have room for the threads of their recipes.
    say : callable
        Called with one line when a run ends.

    Returns
    -------
    Path
        The table (parquet), written whole whenever a run ends: a row a run, with all settings by their dotted
        keys, losses, accuracies, baselines, parameters, seconds and commit.

    Raises
    ------
    InputError
        When the table's name is taken by another file.
    RunError
        When runs failed: the others are finished, and the table is written.

    Examples
    --------
    >>> from toeplitz_theory.training.sweep import planned_runs, run_sweep
    >>> run_sweep(planned_runs("sweep.toml"), processes=2)  # doctest: +SKIP
    PosixPath('runs/sweep/results.parquet')
    """
    results = runs[0].folder.parent / RESULTS
    _refuse_another_table(results)
    write_recipes(runs)
    waiting = [run for run in runs if not run.finished()]
    threads = max((run.recipe.training.threads for run in waiting), default=1)
    processes = processes or max(1, _cores() // threads)
    say(f"{len(runs)} runs, {len(runs) - len(waiting)} of them finished before; {processes} at a time")
    write_table(runs, results)
    begin, failed = time.monotonic(), {}
    for number, (run, problem) in enumerate(_ended(waiting, processes), 1):
        if problem:
            failed[run.name] = problem
        write_table(runs, results)
        seconds = (time.monotonic() - begin) / number * (len(waiting) - number)
        left = f"; about {duration(seconds)} left" if number < len(waiting) else ""
        say(f"[{number}/{len(waiting)}] {run.name}: {problem or _outcome(run)}{left}")
    if failed:
        name = next(iter(failed))
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed, the first of them {name}: {failed[name]}; the others "
            "are kept: put it right, and run the same command again"
        )
    return results


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ended(waiting: list[Run], processes: int) -> Iterator[tuple[Run, str]]:
    """Train the runs, and yield each as it ends with what went wrong; when left early, stop them all.

    A run that is stopped goes on later: its checkpoints are whole whenever that happens.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload([_PRELOADED])  # torch is loaded once, not once a run
    running: dict[Any, tuple[BaseProcess, Run]] = {}  # by what tells that it has ended
    ahead = iter(waiting)
    try:
        while True:
            for run in itertools.islice(ahead, processes - len(running)):
                child = context.Process(
                    target=_train, args=(run.folder.resolve(), _log(run).resolve()), name=run.name
                )
                _log(run).parent.mkdir(exist_ok=True)
                child.start()
                running[child.sentinel] = child, run
            if not running:
                return
            for sentinel in wait(list(running)):
                child, run = running.pop(sentinel)
                child.join()
                yield run, _problem(child.exitcode, run)
    finally:
        stop_children([child for child, _ in running.values()], _PATIENCE)


def _log(run: Run) -> Path:
    return run.folder.parent / "logs" / f"{run.name}.log"


def _train(folder: Path, log: Path) -> None:
    """Train in this process; what it prints, an error last, goes into the log."""
    be_child()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    from toeplitz_theory.training.runner import train

    try:
        train(folder / "recipe.toml", folder)
    except ToeplitzTheoryError as error:
        print(reason_of(error), file=sys.stderr)
        sys.exit(1)


def _problem(code: int | None, run: Run) -> str:
    """Say why a run failed, in one line: the last of its log."""
    if code == 0 and run.finished():
        return ""
    if code is not None and code < 0:
        return f"its process was ended by signal {-code} (see {shown(_log(run), 300)})"
    lines = _log(run).read_text(encoding="utf-8", errors="replace").split("\n")
    return shown(next((line for line in reversed(lines) if line.strip()), "ended without a word"), 500)


def _outcome(run: Run) -> str:
    row = _row(run)
    parts = [f"validation loss {row['validation_loss']:.4f}"]
    if "token_accuracy" in row:
        parts.append(f"answers {row['token_accuracy']:.3f}, whole rows {row['string_accuracy']:.3f}")
    return ", ".join([*parts, f"{row['seconds']:.0f} s"])


def _row(run: Run) -> dict[str, Any]:
    """Return the row of a finished run."""
    record = read_json(run.folder / "training.json")
    row = {"run": run.name} | dict(_leaves(record["recipe"], ""))
    row |= {key: record.get(key) for key in ("parameters", "training_loss", "validation_loss", "loss_unit")}
    for rows, scores in record.get("accuracy", {}).items():
        before = "" if rows == "as trained" else f"{rows.replace(' ', '_')}_"
        for kind, (value, low, high) in scores.items():
            name = f"{before}{kind}_accuracy"
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    row |= {f"baseline.{name}": value for name, value in record["baselines"].items()}
    return row | {key: record.get(key) for key in ("tokens_seen", "seconds", "commit")}


def write_table(runs: list[Run], path: Path) -> None:
    """Write the rows of the finished runs, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    rows = [_row(run) for run in runs if run.finished()]
    names = dict.fromkeys(name for row in rows for name in row) or {"run": None}
    table = pyarrow.table({name: pyarrow.array([row.get(name) for row in rows]) for name in names})
    with written_whole(path) as partial:
        parquet.write_table(table.replace_schema_metadata({_OURS: b"1"}), partial)


def _refuse_another_table(path: Path) -> None:
    from pyarrow import ArrowException, parquet

    if not path.exists():
        return
    try:
        ours = _OURS in (parquet.read_schema(path).metadata or {})
    except (ArrowException, OSError):
        ours = False
    if not ours:
        raise InputError(
            f"{shown(path, 300)}: exists and is not a table of a sweep; give --out ANOTHER-FOLDER"
        )
