"""Recipes: everything that decides what a training run gives, in one TOML file."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toeplitz_theory.errors import InputError

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

STDLIB_DOCS = "stdlib-docs"  # a corpus: the documentation of the Python that runs
HUB = "hub:"  # what a corpus or tokenizer of the Hub begins with

_OF_THE_MIXER = ("mixer", "expanded", "kernel_size", "positive_kernels", "row_normalised")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(_Section):
    """Shape of the model: the fields of TMMConfig that a recipe may set, by the same names.

    ``preset`` names a published variant, from which the fields that are not given are taken.
    """

    hidden_size: Count = 128
    num_hidden_layers: Count = 4
    num_heads: Count = 1
    expansion: Count = 4
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
    kernel_size: Count = 1
    positive_kernels: bool = False
    row_normalised: bool = False
    projection_bias: bool = False
    linear_init: Literal["normal", "kaiming"] = "normal"
    state_size: Count = 16
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


class DataSection(_Section):
    """Text, tokenizer and packing.

    ``corpus`` is ``stdlib-docs``, a file or folder, or ``hub:OWNER/NAME`` for a data set of the Hub, of
    which ``config``, ``split`` and ``revision`` choose; ``streaming`` reads it without storing it first.
    ``tokenizer`` is a folder, a ``tokenizer.json``, or ``hub:OWNER/NAME``; without it one is trained, with
    ``vocab_size`` tokens, on all training documents or the first ``tokenizer_documents`` of them.
    """

    corpus: str = "stdlib-docs"
    text_column: str = "text"
    sample_by: Literal["paragraph", "line", "document"] = "paragraph"
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    streaming: bool = False
    max_documents: Count | None = None
    tokenizer: str | None = None
    tokenizer_documents: Count | None = None
    vocab_size: Annotated[int, Field(ge=257, le=65536)] = 1024
    sequence_length: Annotated[int, Field(ge=2)] = 256
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


class TrainingSection(_Section):
    """Optimiser, lengths and what is kept on the way; all periods are in optimiser steps.

    ``batch_size`` is that of an optimiser step: all processes and accumulated parts together.
    """

    steps: Count
    batch_size: Count = 16
    gradient_accumulation_steps: Count = 1
    precision: Literal["float32", "bf16"] = "float32"
    sharding: Literal["none", "fsdp"] = "none"
    jensen_penalty: NonNegative = 0.0
    learning_rate: Positive = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 100
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


class Recipe(_Section):
    """One training run.

    Parameters
    ----------
    name : str
        Name of the model; letters, digits, dots, dashes and underscores.
    objective : {"next_token", "autoencode"}
        Predict each next token, or give the whole input back from one hidden vector.
    model, data, training : section
        See the fields of each section.

    Examples
    --------
    >>> from toeplitz_theory.training import Recipe
    >>> recipe = Recipe(name="tiny", objective="next_token", training={"steps": 10, "warmup_steps": 2})
    >>> recipe.data.sequence_length
    256
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    objective: Literal["next_token", "autoencode"]
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    training: TrainingSection

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
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a recipe.toml") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a readable recipe.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a TOML file: {error}") from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"])) or "recipe"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        section = Recipe
        for part in problem["loc"][:-1]:
            section = section.model_fields[str(part)].annotation  # type: ignore[assignment]
        return f"unknown key {key!r}; known here: {', '.join(section.model_fields)}{more}"
    if problem["type"] == "missing":
        return f"key {key!r} is missing{more}"
    text = problem["msg"].removeprefix("Value error, ")
    value = "" if isinstance(problem["input"], dict) else f", not {problem['input']!r}"
    return f"{key}: {text}{value}{more}"


# Where the text and the tokenizer of a recipe lie, told from another folder.


_PATHS = ("corpus", "tokenizer")  # keys of the section on data
_LITERAL = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' + r"|'''.*?'{3,5}(?!')" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'",
    re.DOTALL,
)


def placed_recipe(recipe: Recipe, base: Path, folder: Path) -> Recipe:
    """Return a recipe that means in ``folder`` what ``recipe`` means in ``base``.

    Relative paths stay relative, so that they hold when folder and data are moved together; absolute
    paths, names on the Hub and the embedded corpus stay as they are.
    """
    moved = {name: _moved(getattr(recipe.data, name), base, folder) for name in _PATHS}
    changed = {name: path for name, path in moved.items() if path != getattr(recipe.data, name)}
    if not changed:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})


def placed_text(text: str, recipe: Recipe, placed: Recipe) -> str:
    """Return the TOML text of ``recipe`` with the paths of ``placed``, all else as it was written.

    Raises
    ------
    InputError
        When the text is no longer that of the recipe.
    """
    for name in _PATHS:
        old, new = getattr(recipe.data, name), getattr(placed.data, name)
        if old != new:
            text = _with_path(text, name, old, new)
    return text


def _moved(source: str | None, base: Path, folder: Path) -> str | None:
    if source is None or source == STDLIB_DOCS or source.startswith(HUB) or Path(source).is_absolute():
        return source
    # Links to folders are followed, since ".." behind one leads elsewhere; the last name is part of the data.
    base, folder, path = base.resolve(), folder.resolve(), base.resolve() / source
    if base == folder:
        return source
    moved = Path(os.path.relpath(path.parent.resolve() / path.name, folder)).as_posix()
    # "./" keeps a file named like the embedded corpus, or like a name on the Hub, a file.
    return moved if moved.startswith("..") else f"./{moved}"


def _with_path(text: str, name: str, old: str, new: str) -> str:
    """Replace the one string that is ``data.{name}``: that it was the right one, the parser says."""
    wanted = tomllib.loads(text)
    if wanted.get("data", {}).get(name) != old:
        raise InputError(f"the recipe was changed while it was read: data.{name} is not {old!r}; start again")
    wanted["data"][name] = new
    for start, stop in _literals(text):
        found = text[:start] + _quoted(new) + text[stop:]
        if _parsed(found) == wanted:
            return found
    raise AssertionError(f"no string of the recipe is data.{name}")


def _literals(text: str) -> Iterator[tuple[int, int]]:
    for at in (mark.start() for mark in re.finditer("[\"']", text)):
        found = _LITERAL.match(text, at)
        if found:
            yield found.span()


def _parsed(text: str) -> dict | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _quoted(value: str) -> str:
    """Return a TOML string of one line."""
    return (
        '"'
        + "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 or c == "\x7f" else c for c in value)
        + '"'
    )
