"""A fuzz of the whole command line: files, configurations, recipes, reports, model folders and arguments.

Whatever comes in: exit code 0, 1 or 2, one line on stderr, text that a terminal can be given, no case over
ten seconds or a gigabyte, nothing run, and nothing written but what was asked for. Each case has a seed of
its own, so that a red one can be run alone: ``TOEPLITZ_THEORY_FUZZ=0-5000 pytest tests/test_fuzz_cli.py``
for a longer night, ``=17-18`` for one case of every room.
"""

import importlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports import Report, inspect

FIRST, LAST = map(int, os.environ.get("TOEPLITZ_THEORY_FUZZ", "0-400").split("-"))
SECONDS, BYTES = 10, 1 << 30  # seconds of the processor: others may keep it busy; waiting has a minute
MARK = "the fuzz was run"

LAYOUTS = [f"mixer_blocks.{{}}.token_mixing_layer{part}.weight" for part in ("", ".mixer_heads.0", ".0")]
LAYOUTS += [
    "encoderblocks.{}.token_mixing_layer.weight",
    "blocks.{}.mixer.weight",
    "blocks.{}.mixer.weight_raw",
]
ODD = ["", "\x1b[31m", "\x1b]0;x\x07", "[red]", "=1+1", "@x", "$x^{\\bad$", "<b>"]
ODD += ["a" * 999, "\u202e", "é", "\n", "\r"]
VALUES = [None, True, -1, 0, 3, 10**9, 10**12, 10**30, 1.5, 1e300, [], [1], {}, {"a": {}}]
VALUES += ["", "x", "../x", "a/b", "\x1b[2J"]
FORMATS = ["csv", "json", "markdown", "latex", "table", "\x1b[31m"]
CONFIG = ["model_type", "architectures", "vocab_size", "hidden_size", "max_position_embeddings", "num_heads"]
CONFIG += ["num_hidden_layers", "mixer", "row_normalised", "auto_map", "_attn_implementation", "dtype"]
CONFIG += ["quantization_config", "validation_loss", "recipe", "weight_map"]
RECIPE = """name = "x"
objective = "next_token"
[data]
corpus = "missing.txt"
sequence_length = 16
[model]
hidden_size = 8
[training]
steps = 2
"""


class Case:
    """One folder to read from, one to write to, and the generator of everything in them."""

    def __init__(self, place: Path, number: int) -> None:
        self.rng = np.random.default_rng(number)
        self.input, self.output = place / "in", place / "out"
        for folder in (self.input, self.output):
            folder.mkdir()

    def any_of(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def json(self, depth: int = 3):
        """Something that JSON can hold, mostly where a configuration has something else."""
        if depth and self.chance(0.3):
            return [self.json(depth - 1) for _ in range(self.rng.integers(3))]
        if depth and self.chance(0.6):
            keys = [self.any_of(CONFIG if self.chance(0.9) else ODD) for _ in range(self.rng.integers(5))]
            return {key: self.json(depth - 1) for key in keys}
        return self.any_of(VALUES)

    def config(self) -> dict:
        model_type = {"model_type": "tmm"} if self.chance(0.5) else {}
        return model_type | {key: self.any_of(VALUES) for key in CONFIG if self.chance(0.2)}

    def tensors(self) -> dict[str, np.ndarray]:
        made = {}
        for layer in range(self.rng.integers(1, 4)):
            shape = [(1, 4), (4,), (2, 4), (1, 1), (0,), (1, 0), (3, 3), ()][self.rng.integers(8)]
            scale = 10.0 ** self.any_of([0, 0, 0, -300, 300, -320])
            values = np.asarray(self.rng.standard_normal(shape) * scale)
            if values.size and self.chance(0.3):
                values.flat[self.rng.integers(values.size)] = self.any_of(
                    [0.0, np.nan, np.inf, 5e-324, 1e308]
                )
            kind = self.any_of(["f8", "f4", "f4", "f2", "i4", "u1", "?"])
            with np.errstate(all="ignore"):
                made[(self.any_of(ODD) if self.chance(0.5) else "") + self.any_of(LAYOUTS).format(layer)] = (
                    values.astype(kind)
                )
        return made

    def damaged(self, raw: bytes) -> bytes:
        data = bytearray(raw)
        for _ in range(self.rng.integers(1, 6)):
            at = int(self.rng.integers(len(data) + 1))
            kind = self.rng.integers(4)
            if kind == 0:
                data[at : at + 1] = bytes(self.rng.integers(0, 256, 1, dtype=np.uint8))
            elif kind == 1:
                del data[at : at + int(self.rng.integers(1, 9))]
            elif kind == 2:
                data[at:at] = self.any_of(
                    [b"[", b"{", b'"', b"9" * 40, b"\x00", b"\xff", b"null", b"-", b"\x1b"]
                )
            else:
                data[at:at] = data[:at][-int(self.rng.integers(1, 30)) :]
        return bytes(data)

    def weights(self) -> bytes:
        raw = save(self.tensors())
        return self.damaged(raw) if self.chance(0.4) else raw

    def write(self, name: str, content: bytes | str | object) -> Path:
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode(
                "utf-8", "replace"
            )
        path.write_bytes(content)
        return path

    def outputs(self, *options: str) -> list[str]:
        """Some of the options, each with a place for its file: mostly a good one."""
        names = ["r", "r.x", "a/b/r", os.fsdecode(b"\xff"), "n" * 250, "\x1b[31m"]
        names += ["s.html", "../in/model.safetensors", "../in/config.json", ".", "n" * 300]
        return [
            word
            for option in options
            if self.chance(0.3)
            for word in (option, str(self.output / self.any_of(names)))
        ]


def file_of_weights(case: Case) -> list[str]:
    path = case.write("model.safetensors", case.weights())
    choice = ["--all", "--layers", "*", "--columns", "index,w0", "--sort", "-index"]
    form = ["--format", case.any_of(FORMATS)]
    view = form if case.chance(0.4) else choice[: case.any_of([0, 0, 1, 3, 5, 7])]
    return ["inspect", str(path), *view, *case.outputs("--json", "--html")]


def folder_of_weights(case: Case) -> list[str]:
    names = [
        "model.safetensors",
        "a.safetensors",
        "model-00001-of-00002.safetensors",
        "checkpoint-3/model.safetensors",
    ]
    for name in names:
        if case.chance(0.5):
            case.write(name, case.weights())
    if case.chance(0.7):
        text = json.dumps(case.config()).encode()
        case.write("config.json", case.damaged(text) if case.chance(0.3) else text)
    if case.chance(0.3):
        index = {"weight_map": {key: case.any_of([*names, "../x", 3]) for key in case.tensors()}}
        case.write("model.safetensors.index.json", case.any_of([index, case.json()]))
    command = case.any_of(["inspect", "compare", "surgery"])
    return [command, str(case.input), *(case.outputs("--csv") if command == "compare" else [])]


class Bomb:
    """A pickle that runs something when it is read without care."""

    def __reduce__(self):
        return (os.mkdir, (MARK,))


def pickled(case: Case) -> list[str]:
    import torch

    content = {key: torch.from_numpy(value.copy()) for key, value in case.tensors().items()}
    if case.chance(0.4):
        content = {"state_dict": content, "epoch": 3}
    if case.chance(0.2):
        content["x"] = Bomb()
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=case.chance(0.7))
    raw = case.any_of(
        [buffer.getvalue(), case.damaged(buffer.getvalue()), pickle.dumps(Bomb()), pickle.dumps(content)]
    )
    if case.chance(0.1):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
            archive.writestr("archive/data/0", bytes(10**6))
        raw = packed.getvalue()
    return ["inspect", str(case.write(case.any_of(["m.pt", "m.bin", "m.ckpt", "m.safetensors"]), raw))]


def shipped_models(case: Case) -> list[str]:
    for name in ("a", case.any_of(["b", "\x1b[31m", "[red]", "n" * 200])):
        case.write(f"{name}/model.safetensors", b"x")
        for file in ("config.json", "training.json", "history.jsonl"):
            if file == "config.json" or case.chance(0.6):
                value = case.json() if case.chance(0.5) else case.config()
                text = json.dumps(value).encode()
                case.write(f"{name}/{file}", case.damaged(text) if case.chance(0.2) else text)
    return ["models", "--root", str(case.input)]


def recipes(case: Case) -> list[str]:
    text = RECIPE.encode()
    if case.chance(0.4):
        line = f"{case.any_of(['steps', 'seed', 'x', 'corpus'])} = {json.dumps(case.any_of(VALUES))}\n"
        text += line.encode()
    text = case.damaged(text) if case.chance(0.7) else text
    return ["train", str(case.write("recipe.toml", text)), "--out", str(case.output / "run")]


def arguments(case: Case) -> list[str]:
    words = [
        "inspect",
        "compare",
        "models",
        "surgery",
        "figures",
        "train",
        "--json",
        "--tol",
        "--root",
        "--help",
    ]
    words += [
        "nan",
        "-1",
        "1e999",
        "=",
        "a=b",
        "--",
        "-",
        os.fsdecode(b"\xff\xfe"),
        "n" * 300,
        "\x1b[31m",
        "[red]x",
    ]
    words += [str(case.input), "missing", "--version", "--nullity-rtol", "0.5", "--overwrite", "", "🙂"]
    return [case.any_of(words) for _ in range(case.rng.integers(6))]


def reports(case: Case) -> None:
    """A damaged report is refused in one line, or everything can be made of it."""
    report = inspect({f"blocks.{k}.mixer.weight": case.rng.standard_normal(3) for k in range(2)})
    whole = json.loads((report.save(case.input / "r.json"), (case.input / "r.json").read_text())[1])
    if case.chance(0.7):
        place = whole
        while isinstance(place, dict | list) and place and case.chance(0.8):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = case.any_of(keys)
            if not isinstance(place[key], dict | list) or case.chance(0.3):
                place[key] = case.any_of([*VALUES, "nan", "inf", ODD])
                break
            place = place[key]
        raw = json.dumps(whole).encode()
    else:
        raw = case.damaged(json.dumps(whole).encode())
    path = case.write("r.json", raw)
    try:
        loaded = Report.load(path)
    except InputError as error:
        print(error, file=sys.stderr)
        return
    loaded.to_html(case.output / "r.html")
    print(loaded)


ROOMS = [file_of_weights, folder_of_weights, pickled, shipped_models, recipes, arguments, reports]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def watch(seconds: int) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def too_long(number, frame):
    raise TimeoutError(f"over {SECONDS} s")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the watch is one of POSIX")
@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_the_whole_command_line(room, tmp_path, monkeypatch):
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "toeplitz_theory.reports.provenance.own_commit", lambda: None
    )  # a process for each report
    # Interrupted, torch could not be imported again.
    for module in ("runner", "surgery"):
        importlib.import_module(f"toeplitz_theory.training.{module}")
    before = [signal.signal(number, too_long) for number in (signal.SIGALRM, signal.SIGPROF)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    codes = []
    try:
        for number in range(FIRST, LAST):
            place = tmp_path / str(number)
            place.mkdir()
            monkeypatch.chdir(place)
            codes.append(one_case(room, Case(place, number), f"{room.__name__}, case {number}"))
            assert sorted(path.name for path in place.iterdir()) == ["in", "out"], (room, number)
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(place)
    finally:
        watch(0)
        for number, handler in zip((signal.SIGALRM, signal.SIGPROF), before, strict=True):
            signal.signal(number, handler)
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) < BYTES
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    if LAST - FIRST >= 100 and room not in (recipes, pickled):
        assert {0, 2} <= set(codes), "the fuzz meets one kind of answer only"


def one_case(room, case: Case, name: str) -> int:
    """Run one case and judge all that can be seen of it."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        words = room(case) if room is not reports else None
        inputs = contents(case.input)
        watch(SECONDS)
        try:
            code = run(words) if words is not None else (reports(case), 0)[1]
        except BaseException as error:
            error.add_note(f"{name}: {words!r}")
            raise
        watch(0)
    said, complaint = stdout.getvalue(), stderr.getvalue()
    what = f"{name}: {words!r} gave {code}, {complaint!r}"
    assert code in (0, 1, 2), what
    if words:
        assert complaint.count("\n") == (code != 0), what
        assert contents(case.input) == inputs, what
        assert code != 2 or "--help" in words or not list(case.output.rglob("*")), what
    elif words is None and complaint:
        code = 2
        assert complaint.count("\n") == 1, what
    assert all(line.isprintable() for text in (said, complaint) for line in text.split("\n")), what
    assert len(complaint) < 3000, what
    assert not list(case.output.rglob("*.partial")), what
    return code
