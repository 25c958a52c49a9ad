"""What an import loads, seen from a fresh interpreter: analysis must not wait for torch."""

import importlib.util
import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "pandas", "matplotlib", "scipy", "sympy", "flint", "datasets", "IPython"]
TRAINING_ONLY = ["torch", "transformers", "datasets", "accelerate"]


def loaded_by(statement: str, watched: list[str]) -> list[str]:
    """Which of the watched packages are in `sys.modules` after the statement."""
    code = f"{statement}\nimport sys; print(*sorted(set({watched!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_watch_sees_an_import():
    assert loaded_by("import numpy", ["numpy", "torch"]) == ["numpy"]


@pytest.mark.parametrize(
    ("statement", "watched"),
    [
        ("import toeplitz_theory", [*HEAVY, "numpy"]),
        ("import toeplitz_theory as tt; dir(tt); tt.__version__", HEAVY),
        (
            "import toeplitz_theory.operators as o; [getattr(o, n) for n in o.__all__]",
            [*TRAINING_ONLY, "pandas"],
        ),
        ("from toeplitz_theory.checkpoints import load", HEAVY),
        ("import toeplitz_theory as tt; tt.inspect", TRAINING_ONLY),
        ("import toeplitz_theory.plots as p; [getattr(p, n) for n in p.__all__]", TRAINING_ONLY),
        ("import toeplitz_theory.cli", TRAINING_ONLY),
    ],
)
def test_an_import_loads_no_more_than_it_needs(statement, watched):
    if "toeplitz_theory.cli" in statement and importlib.util.find_spec("toeplitz_theory.cli") is None:
        pytest.skip("there is no command line in this tree")
    assert loaded_by(statement, watched) == []
