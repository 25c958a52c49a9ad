"""Which way to multiply: by name, by table, by measurement that is remembered."""

import json
import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products import choice, chosen_method
from toeplitz_theory.tmm.products.blocked import radices_for
from toeplitz_theory.tmm.products.timing import faster_way

BIG = (torch.zeros(2, 512, 64), torch.zeros(1, 512))


@pytest.fixture
def measuring(monkeypatch, tmp_path):
    """Measure, with a cache folder of its own; return the names measured so far, and the folder."""
    calls = []

    def measured(ways, default, dtype, shape):
        calls.append(shape)
        return "fft", {"fft": 1.0}

    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path))
    monkeypatch.setenv(choice.VARIABLE, "auto")
    monkeypatch.setattr(choice, "faster_way", measured)
    choice._measured.cache_clear()
    yield calls, tmp_path / "products"
    choice._measured.cache_clear()


def forget():
    """Do as a new process would."""
    choice._measured.cache_clear()


def test_names_are_taken_at_their_word():
    for method in ("dense", "fft", "blocked"):
        assert chosen_method(method, *BIG) == method


def test_the_variable_overrides_auto_but_no_name(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "dense")
    assert chosen_method("auto", *BIG) == "dense"
    assert chosen_method("fft", *BIG) == "fft"
    monkeypatch.setenv(choice.VARIABLE, "fastest")
    with pytest.raises(ValueError, match="TOEPLITZ_THEORY_PRODUCT='fastest' is not one of table"):
        chosen_method("auto", *BIG)


@pytest.mark.parametrize(
    ("device", "t", "channels", "expected"),
    [
        ("cpu", 64, 1, "dense"),
        ("cpu", 65, 8, "blocked"),
        ("cpu", 65, 7, "fft"),
        ("cuda", 128, 64, "dense"),
        ("cuda", 129, 64, "fft"),
        ("mps", 4096, 64, "fft"),
    ],
)
def test_table(device, t, channels, expected):
    assert choice.by_table(device, t, channels) == expected


def test_measures_once_a_class_and_remembers(measuring):
    calls, folder = measuring
    assert chosen_method("auto", *BIG) == "fft"
    assert chosen_method("auto", torch.zeros(2, 509, 61), BIG[1][:, :509]) == "fft"
    forget()
    assert chosen_method("auto", *BIG) == "fft"
    assert calls == [(2, 512, 1, 64)]
    (kept,) = folder.iterdir()
    assert json.loads(kept.read_text())["shape"] == [2, 512, 1, 64]


def test_what_was_measured_of_older_code_is_measured_anew(measuring, monkeypatch):
    calls, folder = measuring
    chosen_method("auto", *BIG)
    forget()
    monkeypatch.setattr(choice, "REVISION", choice.REVISION + 1)
    chosen_method("auto", *BIG)
    assert len(calls) == 2 and len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"method": "magic"}', '{"method": 3}', "\x00"])
def test_a_broken_file_is_measured_anew_and_replaced(measuring, broken):
    calls, folder = measuring
    chosen_method("auto", *BIG)
    (kept,) = folder.iterdir()
    kept.write_text(broken)
    forget()
    assert chosen_method("auto", *BIG) == "fft" and len(calls) == 2
    assert json.loads(kept.read_text())["method"] == "fft"


def test_what_cannot_be_remembered_is_not_used(measuring):
    _, folder = measuring
    folder.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be remembered"):
        assert chosen_method("auto", *BIG) == choice.by_table("cpu", 512, 64)


def test_another_process_that_was_faster_decides(measuring, monkeypatch):
    _, folder = measuring
    chosen_method("auto", *BIG)
    (path,) = folder.iterdir()
    path.unlink()
    forget()

    def slow(*_):
        path.write_text(json.dumps({"method": "dense"}))
        return "fft", {}

    monkeypatch.setattr(choice, "faster_way", slow)
    assert chosen_method("auto", *BIG) == "dense"


def test_small_products_and_shapes_without_values_are_not_measured(measuring):
    calls, _ = measuring
    assert chosen_method("auto", torch.zeros(1, 256, 8), torch.zeros(1, 256)) == "blocked"
    with torch.device("meta"):
        # As on accelerators, whose queue a measurement would stall.
        assert chosen_method("auto", torch.zeros(2, 512, 64), torch.zeros(1, 512)) == "fft"
    assert not calls


@given(
    shape=st.tuples(st.integers(1, 100), st.integers(1, 100_000), st.integers(1, 64), st.integers(1, 4096))
)
def test_a_class_is_stood_for_by_its_largest(shape):
    standing = choice.shape_class(*shape)
    assert standing[0] >= min(shape[0], 8)
    assert shape[1] <= standing[1] <= 1.25 * shape[1] + 1
    assert all(a <= b < 2 * a for a, b in zip(shape[2:], standing[2:], strict=True))
    assert choice.shape_class(*standing) == standing


def test_measuring_leaves_random_generators_alone_and_prefers_the_default():
    torch.manual_seed(0), random.seed(0)
    expected = torch.rand(3), random.random()
    torch.manual_seed(0), random.seed(0)
    method, milliseconds = faster_way(choice.WAYS, "dense", torch.float32, (2, 16, 1, 4), repeat=3)
    assert torch.equal(torch.rand(3), expected[0]) and random.random() == expected[1]
    assert set(milliseconds) == {"fft", "dense", "blocked"} and all(v > 0 for v in milliseconds.values())
    assert method == "dense" or milliseconds[method] < 0.9 * milliseconds["dense"] + 0.001  # rounded


def test_one_process_measures_and_the_next_repeats(tmp_path, monkeypatch):
    code = (
        "import torch; from toeplitz_theory.tmm.products import chosen_method; torch.set_num_threads(1);"
        "print(chosen_method('auto', torch.zeros(1, 512, 64), torch.zeros(1, 512)))"
    )
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path))
    monkeypatch.setenv(choice.VARIABLE, "auto")
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (written,) = (tmp_path / "products").iterdir()
    before = written.stat().st_mtime_ns
    forget()
    assert chosen_method("auto", torch.zeros(1, 512, 64), torch.zeros(1, 512)) == process.stdout.strip()
    assert [path.stat().st_mtime_ns for path in (tmp_path / "products").iterdir()] == [before]
    forget()


def test_auto_is_one_of_the_ways(monkeypatch):
    x, kernels = torch.randn(2, 200, 1, 8), torch.randn(1, 200)
    monkeypatch.setenv(choice.VARIABLE, "table")
    assert torch.equal(causal_toeplitz_product(x, kernels), causal_toeplitz_product(x, kernels, "blocked"))


@given(st.one_of(st.integers(1, 200_000), st.integers(1, 2**22)), st.integers(1, 4096))
def test_blocks_hold_the_sequence_with_little_to_spare(t, channels):
    radices, b = radices_for(t, channels)
    blocks = torch.tensor(radices).prod().item()
    assert t <= blocks * b
    assert blocks * b <= max(1.35 * t, 16)
    # Matrices at the roots, (2 b)^2 numbers each, stay small beside many channels' values.
    assert b <= 64
