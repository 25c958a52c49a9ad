"""The command line from outside: exit codes, one line per error, nothing half-written or imported idly."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from toeplitz_theory.cli import run
from toeplitz_theory.reports import Report

KEY = "mixer_blocks.{}.token_mixing_layer.weight"


def flat(*kernels):
    return {KEY.format(i): np.array([kernel], dtype=np.float32) for i, kernel in enumerate(kernels)}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(flat([1.0, -2.0, 0, 0], [1.0, 0.25, 0, 0]), folder / "model.safetensors")
    config = {"hidden_size": 8, "max_position_embeddings": 4, "num_hidden_layers": 2, "vocab_size": 16}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.mark.parametrize("command", ["inspect", "compare", "models", "train", "surgery", "figures"])
def test_help_shows_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert f"toeplitz-theory {command}" in " ".join(capsys.readouterr().out.split())


def test_inspect_writes_everything(model, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "--json",
        str(out / "r.json"),
        "--html",
        str(out / "r.html"),
        "--figures",
        str(out / "figures"),
    ]
    assert run(["inspect", str(model), *arguments]) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("mixer_blocks")}
    header = next(line.split() for line in text.splitlines() if line.startswith("layer"))
    assert [lines[f"mixer_blocks.{i}"][header.index("index")] for i in (0, 1)] == ["-1", "0"]
    assert [row.index.value for row in Report.load(out / "r.json").rows] == [-1, 0]
    assert (out / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list((out / "figures").iterdir())) == 8
    assert not list(out.rglob("*.partial*"))


def bad_inputs(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    save_file({"embed.weight": np.ones((2, 2), np.float32)}, tmp_path / "other.safetensors")
    return ["missing", "empty", "cut.safetensors", "other.safetensors"]


def test_bad_input_is_one_line_and_two(tmp_path, capsys):
    for name in bad_inputs(tmp_path):
        code = run(["inspect", str(tmp_path / name), "--json", str(tmp_path / "r.json")])
        streams = capsys.readouterr()
        assert code == 2 and streams.out == "", name
        assert streams.err.count("\n") == 1 and name in streams.err and "Traceback" not in streams.err
        assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect"],
        ["inspct"],
        ["inspect", "x", "--tol", "-1"],
        ["inspect", "x", "--tol", "nan"],
        ["inspect", "x", "--tol", "much"],
        ["inspect", "x", "--nothing"],
        ["compare"],
        ["compare", "=x"],
        ["compare", "a=x", "a=y"],
        ["models", "--root", "/nowhere"],
    ],
)
def test_bad_usage_is_one_line_and_two(arguments, capsys):
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("toeplitz-theory: ") and error.count("\n") == 1


def test_nothing_useful_is_one(tmp_path, capsys):
    save_file(flat([np.nan, 1.0]), tmp_path / "nan.safetensors")
    assert run(["inspect", str(tmp_path / "nan.safetensors")]) == 1
    streams = capsys.readouterr()
    assert "not analysed" in streams.out and "no kernel could be analysed" in streams.err


def test_places_that_cannot_be_written_are_two(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["inspect", str(model), "--html", str(tmp_path / "file" / "r.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_compare_sets_models_side_by_side(model, tmp_path, capsys):
    save_file(flat([1.0, 0.5]), tmp_path / "other.safetensors")
    csv = tmp_path / "table.csv"
    assert run(["compare", f"first={model}", str(tmp_path / "other.safetensors"), "--csv", str(csv)]) == 0
    text = capsys.readouterr().out
    assert "first" in text and "other" in text
    assert [line.split(",")[0] for line in csv.read_text().splitlines()] == [
        "model",
        "first",
        "first",
        "other",
    ]


def test_models_are_listed_with_their_losses(model, tmp_path, capsys):
    (model / "history.jsonl").write_text('{"step": 1, "validation_loss": 2.5}\n{"step": 2, "loss": 1}\n{"st')
    assert run(["models", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:7] == ["model", "NA", "2", "4", "8", "16", "2.5"]
    (model / "training.json").write_text('{"validation_loss": 2.25, "recipe": {"objective": "next_token"}}')
    assert run(["models", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:7] == [
        "model",
        "next_token",
        "2",
        "4",
        "8",
        "16",
        "2.25",
    ]
    (model / "config.json").write_text("{")
    assert run(["models", "--root", str(tmp_path)]) == 2


def test_inspect_imports_nothing_heavy(model):
    code = (
        "import sys; from toeplitz_theory.cli import run; code = run(['inspect', sys.argv[1]]); "
        "print(code, *sorted({'torch', 'transformers', 'pandas', 'matplotlib', 'sympy'} & set(sys.modules)))"
    )
    done = python("-c", code, str(model))
    assert done.stdout.splitlines()[-1] == "0", done.stdout + done.stderr


def test_the_parser_alone_imports_no_numbers():
    code = "import sys; from toeplitz_theory.cli import run; run(['inspect']); print('numpy' in sys.modules)"
    assert python("-c", code).stdout.strip() == "False"


def test_a_closed_pipe_is_no_error(model):
    command = f"'{sys.executable}' -m toeplitz_theory.cli inspect '{model}' | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "0" and done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupting_leaves_nothing_half_written(tmp_path):
    rng = np.random.default_rng(0)
    save_file(flat(*rng.standard_normal((1024, 512)) / 16), tmp_path / "m.safetensors")
    report = tmp_path / "r.json"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "toeplitz_theory.cli",
            "inspect",
            str(tmp_path / "m.safetensors"),
            "--json",
            report,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has its children ignore the interrupt.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # A thousand such kernels take a minute, and the imports before them about a second.
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_windows_show_a_table_that_fits(model):
    from toeplitz_theory.reports import inspect
    from toeplitz_theory.reports.terminal import render

    rows = inspect(model).rows
    for width in (100, 80):
        assert max(map(len, render(rows, None, width).splitlines())) <= width
    wide, narrow = render(rows, None, 100), render(rows, None, 40)
    assert "circle" in wide and "window too narrow" not in wide
    # Nothing is cut, however narrow: the essentials stay whole and the terminal wraps them.
    assert "(window too narrow for certified, zeros_near_circle, min_modulus, w0:" in " ".join(narrow.split())
    for word in ("mixer_blocks.1", "condition", "nullity", "deficit"):
        assert word in wide and word in narrow
