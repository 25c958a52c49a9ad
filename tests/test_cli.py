"""The command line from outside: exit codes, one line per error, nothing half-written or imported idly."""

import io
import json
import os
import re
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
    header, *lines = [re.split("  +", line) for line in text.splitlines() if re.match("layer|mixer_", line)]
    assert [line[0] for line in lines] == ["mixer_blocks.0", "mixer_blocks.1"]
    assert [line[header.index("index")] for line in lines] == ["-1", "0"]
    assert [row.index.value for row in Report.load(out / "r.json").rows] == [-1, 0]
    assert (out / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list((out / "figures").iterdir())) == 10
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


def shell(command, model, **environment):
    """What bash says of a command line in which ``$TT`` is the program and ``$MODEL`` a model."""
    return subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "TT": f"{sys.executable} -m toeplitz_theory", "MODEL": str(model), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_closed_pipe_is_no_error_and_loses_no_file(model, tmp_path):
    done = shell("$TT inspect $MODEL --json $MODEL.json | true; echo ${PIPESTATUS[0]}", model)
    assert done.stdout.strip() == "0" and done.stderr == ""
    assert Report.load(f"{model}.json").rows


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_output_is_one_line_and_one(model):
    for command in ("inspect $MODEL", "--help", "models --root $MODEL/.."):
        done = shell(f"$TT {command} > /dev/full", model)
        assert done.returncode == 1, command
        assert done.stderr == "toeplitz-theory: the output cannot be written: No space left on device\n", (
            command
        )
    assert shell("$TT inspect nothing 2> /dev/full", model).returncode == 2


def test_closed_streams_change_nothing_else(model):
    done = shell("$TT inspect $MODEL --json $MODEL.json >&- 2>&- <&-", model)
    assert done.returncode == 0 and Report.load(f"{model}.json").rows
    assert shell("$TT inspect nothing >&- 2>&-", model).returncode == 2


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_poor_encodings_and_names_that_are_no_text(model, tmp_path, settings):
    strange = tmp_path / os.fsdecode("é\u202e".encode() + b"\xff\x1b[31m.safetensors")
    (model / "model.safetensors").rename(strange)
    script = "$TT inspect $MODEL && $TT compare x=$MODEL $MODEL && $TT inspect --help && $TT inspect $MODEL.x"
    done = shell(script, strange, **settings)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no such file" in done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
    assert "\\udcff" in done.stdout and "\\udcff" in done.stderr


def test_a_backend_that_is_not_there_is_not_asked(model):
    done = shell("$TT inspect $MODEL --figures $MODEL/figures", model, MPLBACKEND="nonsense")
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize(
    "place", ["pipe", "folder.safetensors", "n" * 300, "n" * 5000, "", "\x1b[31m", "a\nb"]
)
@pytest.mark.parametrize("command", ["inspect", "compare", "models", "train", "surgery", "figures"])
def test_paths_that_are_no_models(tmp_path, capsys, command, place):
    if place == "pipe":
        os.mkfifo(tmp_path / place)
    elif place.startswith("folder"):
        (tmp_path / place).mkdir()
    option = ["--root"] if command in ("models", "figures") else []
    assert run([command, *option, f"{tmp_path}/{place}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error[:-1].isprintable() and len(error) < 2100


def interrupt(arguments, when, presses=1):
    """Press Ctrl-C after a time, perhaps more than once; return the exit code and what stderr says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "toeplitz_theory", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(when)
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.003)
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("presses", [1, 2, 20])
def test_interrupting_leaves_nothing_half_written(tmp_path, presses):
    rng = np.random.default_rng(0)
    save_file(flat(*rng.standard_normal((1024, 512)) / 16), tmp_path / "m.safetensors")
    # A thousand such kernels take a minute, and the imports before them about a second.
    arguments = ["inspect", tmp_path / "m.safetensors", "--json", tmp_path / "r.json"]
    assert interrupt(arguments, 3, presses) == (130, "toeplitz-theory: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


# Presses Ctrl-C when a module is looked for, then runs the program.
PRESS = """
import os, signal, sys
from toeplitz_theory.__main__ import main
wanted = [sys.argv.pop(1)]
class Finder:
    def find_spec(name, path=None, target=None):
        if name in wanted:
            wanted.remove(name)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    "module",
    [
        "toeplitz_theory.cli",
        "typer.core",
        "numpy",
        "numpy._core.multiarray",
        "scipy.linalg",
        "flint.types.arb",
        "rich.table",
        "matplotlib.figure",
        "PIL.Image",
    ],
)
def test_interrupting_an_import_is_one_line(model, module):
    done = python("-c", PRESS, module, "inspect", str(model), "--figures", str(model / "figures"))
    assert (done.returncode, done.stderr, done.stdout) == (130, "toeplitz-theory: interrupted\n", "")
    assert not list(model.rglob("*.partial"))


# As a library does that keeps an interrupt to itself.
DEAF = (
    "import os, signal, time, toeplitz_theory.interrupts as interrupts\n"
    "interrupts._PATIENCE = 0.2\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "interrupts.install()\n"
    "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
    "except BaseException: pass\n"
    "time.sleep(60)"
)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_that_a_library_keeps_still_ends_it():
    done = python("-c", DEAF)
    assert (done.returncode, done.stderr) == (130, "toeplitz-theory: interrupted\n")


def test_windows_show_a_table_that_fits(model):
    from toeplitz_theory.reports import inspect
    from toeplitz_theory.reports.terminal import render

    rows = inspect(model).rows
    for width in (150, 100, 80):
        assert max(map(len, render(rows, None, width).splitlines())) <= width
    wide, narrow = render(rows, None, 150), render(rows, None, 40)
    assert "circle" in wide and "window too narrow" not in wide
    # Nothing is cut, however narrow: the essentials stay whole and the terminal wraps them.
    assert "(window too narrow for certified, recovered_at_once," in " ".join(narrow.split())
    for word in ("mixer_blocks.1", "condition", "delay", "deficit"):
        assert word in wide and word in narrow


def test_inspect_prints_what_is_asked_for(model, capsys, tmp_path):
    chosen = [
        "--all",
        "--columns",
        "layer,delay_90",
        "--sort",
        "-delay_90",
        "--layers",
        "*.1",
        "--format",
        "csv",
    ]
    assert run(["inspect", str(model), *chosen]) == 0
    assert capsys.readouterr().out.splitlines() == ["layer,delay_90", "mixer_blocks.1,0"]
    for wrong in (["--columns", "nonsense"], ["--sort", "head"], ["--sort", "-"], ["--format", "xml"]):
        assert run(["inspect", str(model), *wrong, "--json", str(tmp_path / "never.json")]) == 2
        assert "choose from" in capsys.readouterr().err
    assert not (tmp_path / "never.json").exists()


def test_figures_of_a_model_without_usable_kernels(tmp_path, capsys):
    save_file(flat([0.0, 0.0]), tmp_path / "zero.safetensors")
    assert run(["inspect", str(tmp_path / "zero.safetensors"), "--figures", str(tmp_path / "f")]) == 1
    printed = capsys.readouterr()
    assert "mixer_blocks.0" in printed.out and "no kernel could be analysed" in printed.err
    assert "by_layer.png" in {path.name for path in (tmp_path / "f").iterdir()}


def test_a_layer_is_shown_by_its_name_whatever_characters_are_in_it():
    from toeplitz_theory.reports import inspect
    from toeplitz_theory.reports.terminal import Choice, print_report

    report = inspect({"blocks[0].mixer.weight": np.ones(2), "blocks0.mixer.weight": np.ones(2)}, kernels="*")
    for row in report:
        out = io.StringIO()
        print_report(report, out, Choice(columns=("layer",), layers=(row.layer,), form="csv"))
        assert out.getvalue().split() == ["layer", row.layer]
