"""Recipes: everything that decides what a training run gives, in one TOML file."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from toeplitz_theory.checkpoints.hub import HUB
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_text
from toeplitz_theory.names import shown
from toeplitz_theory.training.section import Count, NonNegative, Positive, Section, Size
from toeplitz_theory.training.tasks import TASKS, CopyTask, InductionTask, RecallTask

STDLIB_DOCS = "stdlib-docs"  # a corpus: the documentation of the Python that runs

# Tables of tables within tables take the parser a time that grows with the square of their length.
_LONGEST = 1 << 14

AnySection = TypeVar("AnySection", bound=Section)
_OF_THE_MIXER = ("mixer", "expanded", "kernel_size", "positive_kernels", "row_normalised")


class ModelSection(Section):
    """Shape of the model: the fields of TMMConfig that a recipe may set, by the same names.

    ``preset`` names a published variant, from which the fields that are not given are taken.
    """

    hidden_size: Size = 128
    num_hidden_layers: Annotated[int, Field(ge=1, le=4096)] = 4
    num_heads: Size = 1
    expansion: Size = 4
    hidden_act: Literal["silu", "gelu", "gelu_pytorch_tanh", "relu"] = "silu"
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    block_order: Literal["mlp_first", "mixer_first"] = "mlp_first"
    final_norm: bool = True
    kernel_init: Literal["kaiming", "decaying"] = "kaiming"
    mixer_bias: bool = True
    initializer_range: Positive = 0.02
    product: Literal["auto", "fft", "dense", "blocked"] = "auto"
    preset: Annotated[Literal["paper", "optimised"] | None, Field(exclude=True)] = None
    mixer: str = "toeplitz"
    expanded: bool = False
    kernel_size: Size = 1
    positive_kernels: bool = False
    row_normalised: bool = False
    projection_bias: bool = False
    linear_init: Literal["normal", "kaiming"] = "normal"
    state_size: Size = 16
    tie_word_embeddings: bool = False

    @model_validator(mode="before")
    @classmethod
    def _filled_from_the_preset(cls, values):
        if not isinstance(values, dict) or not isinstance(values.get("preset"), str):
            return values
        from toeplitz_theory.tmm.presets import preset_fields

        return preset_fields(values["preset"], values.get("mixer", "toeplitz")) | values

    @model_validator(mode="after")
    def _heads_divide_the_width(self):
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not divisible by num_heads={self.num_heads}")
        return self

    @model_validator(mode="after")
    def _mixer_makes_sense(self):
        if any(getattr(self, name) != ModelSection.model_fields[name].default for name in _OF_THE_MIXER):
            # Only such recipes wait for torch here.
            from toeplitz_theory.tmm.config import TMMConfig

            TMMConfig(**self.model_dump())
        return self


class DataSection(Section):
    """Text, tokenizer and packing.

    ``corpus`` is ``stdlib-docs``, a file or folder, or ``hub:OWNER/NAME`` for a data set of the Hub, of
    which ``config``, ``split`` and ``revision`` choose; ``streaming`` reads it without storing it first.
    ``sample_by`` says what a document of a text file is; by default each file of a folder is one, and a file
    alone is split at its blank lines, since one document would leave none to hold out.
    ``tokenizer`` is a folder, a ``tokenizer.json``, or ``hub:OWNER/NAME``; without it one is trained, with
    ``vocab_size`` tokens, on all training documents or the first ``tokenizer_documents`` of them.
    """

    corpus: str = "stdlib-docs"
    text_column: str = "text"
    sample_by: Literal["document", "paragraph", "line"] | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    streaming: bool = False
    max_documents: Count | None = None
    tokenizer: str | None = None
    tokenizer_documents: Count | None = None
    vocab_size: Annotated[int, Field(ge=257, le=65536)] = 1024
    sequence_length: Annotated[int, Field(ge=2, le=2**24)] = 256
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.05

    @model_validator(mode="after")
    def _keys_go_together(self):
        of_the_hub = {"config", "split", "revision", "streaming"} & self.model_fields_set
        if of_the_hub and not self.corpus.startswith("hub:"):
            raise ValueError(
                f"{min(of_the_hub)} is for a corpus of the Hub (hub:OWNER/NAME), not {self.corpus!r}"
            )
        of_training = {"vocab_size", "tokenizer_documents"} & self.model_fields_set
        if of_training and self.tokenizer is not None:
            raise ValueError(
                f"{min(of_training)} is for training a tokenizer, and tokenizer gives one: leave one out"
            )
        return self


class TrainingSection(Section):
    """Optimiser, lengths and what is kept on the way; all periods are in optimiser steps.

    ``batch_size`` is that of an optimiser step: all processes and accumulated parts together.
    """

    steps: Count
    batch_size: Count = 16
    gradient_accumulation_steps: Count = 1
    precision: Literal["float32", "bf16"] = "float32"
    sharding: Literal["none", "fsdp"] = "none"
    jensen_penalty: NonNegative = 0.0
    delay_penalty: NonNegative = 0.0
    learning_rate: Positive = 1e-3
    warmup_steps: Annotated[int, Field(ge=0, lt=2**31)] = 100
    weight_decay: NonNegative = 0.0
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    max_grad_norm: Positive = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    threads: Count = 1
    log_every: Count = 20
    evaluate_every: Count = 250
    save_every: Count = 500
    kernels_every: Count = 200
    tensorboard: bool = True

    @model_validator(mode="after")
    def _numbers_fit(self):
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"batch_size={self.batch_size} is not divisible by "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )
        if self.save_every % self.log_every:
            raise ValueError(
                f"save_every={self.save_every} must be a multiple of log_every={self.log_every}: "
                "a resumed run repeats its curve only from a logged step"
            )
        if self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} is more than steps={self.steps}")
        return self


class Recipe(Section):
    """One training run.

    Parameters
    ----------
    name : str
        Name of the model; letters, digits, dots, dashes and underscores.
    objective : {"next_token", "autoencode", "copy", "recall", "induction"}
        Predict each next token, give the whole input back from one hidden vector, or one of the tasks.
    model, data, training : section
        See the fields of each section.
    task : CopyTask, RecallTask or InductionTask
        The rows of a task, instead of data.
    license : str, optional
        Under which the weights may be used, such as ``"apache-2.0"``: for the model card, which asks for one.

    Examples
    --------
    >>> from toeplitz_theory.training import Recipe
    >>> recipe = Recipe(name="tiny", objective="next_token", training={"steps": 10, "warmup_steps": 2})
    >>> recipe.data.sequence_length
    256
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    objective: Literal["next_token", "autoencode", "copy", "recall", "induction"]
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    task: Annotated[CopyTask | RecallTask | InductionTask, Field(discriminator="kind")] | None = None
    training: TrainingSection
    license: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)] | None = None

    @property
    def sequence_length(self) -> int:
        """Tokens of a sequence, n."""
        return self.task.sequence_length if self.task else self.data.sequence_length

    @model_validator(mode="before")
    @classmethod
    def _task_of_the_objective(cls, values):
        if not isinstance(values, dict) or not isinstance(objective := values.get("objective"), str):
            return values
        if objective in TASKS and isinstance(task := values.get("task", {}), dict):
            if task.get("kind", objective) != objective:
                raise ValueError(f"task.kind is for another objective than {objective!r}; leave it out")
            if "data" in values:
                raise ValueError(f"the objective {objective!r} draws its own rows: leave out [data]")
            return values | {"task": task | {"kind": objective}}
        if "task" in values and objective not in TASKS:
            raise ValueError(f"[task] is for the objectives {', '.join(TASKS)}, not {objective!r}")
        return values

    @model_validator(mode="after")
    def _sections_fit(self):
        if self.objective == "autoencode" and self.model.hidden_size % 2:
            raise ValueError(
                f"model.hidden_size={self.model.hidden_size} must be even for the objective 'autoencode', "
                "which unrolls its code in halves"
            )
        return self


def load_recipe(path: str | os.PathLike) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : path-like
        A TOML file.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        When the file is missing, is not TOML, has an unknown key or an impossible value: one line
        that names the file, the key and what is allowed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "recipe.toml"
    >>> _ = path.write_text('name = "tiny"\\nobjective = "next_token"\\n[training]\\nsteps = 200\\n')
    >>> load_recipe(path).training.batch_size
    16
    """
    return parse_recipe(recipe_text(Path(path)), path)


def parse_recipe(text: str, path: str | os.PathLike) -> Recipe:
    """Return the recipe that a text is; ``path`` is where it is from."""
    return parse(Recipe, text, path, "recipe")


def parse(section: type[AnySection], text: str, path: str | os.PathLike, kind: str) -> AnySection:
    """Return the section, of a file of this kind, that a text in TOML is; ``path`` is where it is from."""
    name = shown(path, 300)
    try:
        return section.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise InputError(f"{name}: {first_problem(error, section)}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested too deep for a {kind}") from None
    except ValueError as error:  # also of numbers of thousands of digits
        raise InputError(f"{name}: is not a TOML file: {shown(error, 200)}") from None


def refuse_repeated_windows(recipe: Recipe, path: str | os.PathLike) -> None:
    """Refuse to train an autoencoder on more positions than its code has numbers.

    Asked when a run begins and not when a recipe is read: models that were trained so are still opened.
    """
    n, d = recipe.sequence_length, recipe.model.hidden_size
    if recipe.objective == "autoencode" and n > d:
        raise InputError(
            f"{shown(path, 300)}: sequence_length={n} is more than the {d} numbers of the code "
            f"(model.hidden_size): the decoder sees the same window of it at positions i and i + {d}, and "
            f"cannot tell their tokens apart; make sequence_length at most {d}, or the code wider"
        )


def recipe_text(path: Path, kind: str = "recipe") -> str:
    """Return the text of a recipe file, or of another kind of TOML file."""
    return read_text(path, _LONGEST, f"give the path of a {kind}.toml")


def first_problem(error: ValidationError, section: type[Section]) -> str:
    """Say in one line what is wrong in a table and, for a key, which there are."""
    problems = error.errors()
    # A misspelt key first: what seems to be missing is often only spelt otherwise.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    kind, loc = None, [str(part) for part in problem["loc"]]
    if loc[:1] == ["task"] and len(loc) > 1:
        kind = loc.pop(1)  # which of the tasks it is, and no key
    key = shown(".".join(loc) or "recipe")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        for part in loc[:-1]:
            section = TASKS[kind] if kind else section.model_fields[part].annotation  # type: ignore[assignment]
        known = [name for name in section.model_fields if name != "kind"]
        near = difflib.get_close_matches(loc[-1], known, 1, cutoff=0.75)
        meant = f" (did you mean '{near[0]}'?)" if near else ""
        return f"unknown key '{key}'{meant}; known here: {', '.join(known)}{more}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing{more}"
    text = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {shown(text, 300)}{_instead(problem['input'])}{more}"


def _instead(value: object) -> str:
    """Quote a value that was refused; a table is too long for it, an integer may be."""
    if isinstance(value, dict):
        return ""
    if isinstance(value, int) and value.bit_length() > 200:
        return f", not an integer of {value.bit_length()} bits"
    return f", not {shown(repr(value))}"


# The paths of a recipe start in its folder: a copy in another folder needs other paths to mean the same.


_PATHS = ("corpus", "tokenizer")  # keys of the section on data


def placed_recipe(recipe: Recipe, base: Path, folder: Path) -> Recipe:
    """Return a recipe that means in ``folder`` what ``recipe`` means in ``base``.

    Relative paths stay relative, so that they hold when folder and data are moved together; absolute
    paths, names on the Hub and the embedded corpus stay as they are.
    """
    paths = {name: _from_folder(getattr(recipe.data, name), base, folder) for name in _PATHS}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=_changed(recipe, paths))})


def placed_text(text: str, recipe: Recipe, placed: Recipe) -> str:
    """Return the TOML text of ``recipe`` with the paths of ``placed``, all else as it was written."""
    paths = _changed(recipe, {name: getattr(placed.data, name) for name in _PATHS})
    if not paths:
        return text
    import tomlkit

    document: Any = tomlkit.parse(text)
    for name, path in paths.items():
        document["data"][name] = path
    return tomlkit.dumps(document)


def _changed(recipe: Recipe, paths: dict[str, str | None]) -> dict[str, str | None]:
    return {name: path for name, path in paths.items() if path != getattr(recipe.data, name)}


def _from_folder(source: str | None, base: Path, folder: Path) -> str | None:
    """Return the path ``source``, which starts in ``base``, as one that starts in ``folder``."""
    if source is None or source == STDLIB_DOCS or source.startswith(HUB) or Path(source).is_absolute():
        return source
    # Links to folders are followed, since ".." behind one leads elsewhere; the last name is part of the data.
    base, folder, path = base.resolve(), folder.resolve(), base.resolve() / source
    if base == folder:
        return source
    moved = Path(os.path.relpath(path.parent.resolve() / path.name, folder)).as_posix()
    try:
        moved.encode()
    except UnicodeEncodeError:
        raise InputError(f"{shown(moved, 300)}: a recipe can hold only paths in UTF-8; rename it") from None
    # "./" keeps a file named like the embedded corpus, or like a name on the Hub, a file.
    return moved if moved.startswith("..") else f"./{moved}"
