"""Runs compared: their curves without the clock, and their files bit by bit."""

import json

import numpy as np
from safetensors.numpy import load_file

from toeplitz_theory.training.callbacks import read_history


def curve(folder):
    """Return the history without its clock."""
    rows = read_history(folder / "history.jsonl")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def column(folder, name):
    """Return a column by step."""
    return {row["step"]: row[name] for row in read_history(folder / "history.jsonl") if name in row}


def assert_same_run(one, other):
    """Check that nothing tells two finished runs apart but the time they took."""
    assert curve(one) == curve(other)
    names = [path.name for path in sorted((one / "kernels").iterdir())]
    assert names == [path.name for path in sorted((other / "kernels").iterdir())]
    for name in ["model.safetensors", *(f"kernels/{name}" for name in names)]:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], err_msg=f"{name} {key}")
    assert {p.name for p in one.iterdir()} == {p.name for p in other.iterdir()}
    records = [json.loads((folder / "training.json").read_text()) for folder in (one, other)]
    assert records[0] | {"seconds": 0} == records[1] | {"seconds": 0}
