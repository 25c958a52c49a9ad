"""What a symbol is: its values, its kernel, what it refuses, how it shows itself."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.strategies import chosen
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol, as_kernel


@given(chosen(complex_taps=True), st.integers(0, 2**32))
def test_values_are_those_of_the_fft(known, seed):
    a = Symbol(known.kernel)
    n = 64
    grid = np.exp(2j * np.pi * np.arange(n) / n).reshape(8, 8)
    assert a(grid).shape == (8, 8)
    expected = np.fft.ifft(known.kernel, n, norm="forward").reshape(8, 8)
    # 8 n u sum |w| for Horner, as much again for nodes rounded to u and the FFT
    bound = 16 * (len(a) + 6) * 2.0**-53 * np.abs(known.kernel).sum()
    assert np.abs(a(grid) - expected).max() <= bound


def test_scalar_in_scalar_out():
    value = Symbol([1.0, 2.0])(0.5)
    assert value == 2.0 and np.ndim(value) == 0


def test_kernel_is_a_read_only_copy():
    w = np.array([1.0, 2.0])
    a = Symbol(w)
    w[0] = 5.0
    assert a.kernel.tolist() == [1.0, 2.0] and len(a) == 2
    with pytest.raises(ValueError, match="read-only"):
        a.kernel[0] = 0.0


@pytest.mark.parametrize(
    "bad",
    [
        [],
        3.0,
        [[1.0, 2.0]],
        ["a"],
        [None],
        [1, [2]],
        [True],
        [10**30],
        {},
        None,
        [float("nan")],
        [1.0, float("inf")],
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        np.array([2**53 + 1]),
        np.zeros(2, "V8"),
        np.zeros(2, [("a", float)]),
    ],
    ids=repr,
)
def test_bad_kernels_get_one_clear_line(bad):
    with pytest.raises(InputError) as caught:
        Symbol(bad)
    assert str(caught.value).startswith("kernel") and "\n" not in str(caught.value)


def test_narrow_types_are_widened_exactly():
    for dtype in (np.float16, np.float32, np.int8, np.int64):
        assert as_kernel(np.array([1, -3], dtype)).dtype == np.float64
    assert as_kernel(np.float32([0.1]))[0] == float(np.float32(0.1))
    assert as_kernel(np.complex64([1j])).dtype == np.complex128


def test_bfloat16_tensors():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([0.1, -2.0], dtype=torch.bfloat16, requires_grad=True)
    assert as_kernel(tensor).tolist() == [0.10009765625, -2.0]


def test_residual_and_equality():
    a = Symbol([-1.0, 2.0, 0.25])
    assert a.residual() == Symbol([0.0, 2.0, 0.25]) and a != Symbol([1.0])
    assert hash(a) == hash(Symbol([-1.0, 2.0, 0.25]))
    tiny = Symbol([2.0**-60, 1.0]).residual()
    assert tiny.kernel[0] == 1.0 and tiny != Symbol([1.0, 1.0])  # what rounding took is remembered


def test_residual_of_the_exact_sum():
    """The first tap of 1 + a is 1 +- 2^-70: rounded it is 1, and 1 - z has its zero on the circle."""
    assert Symbol([-1.0 + 2.0**-53, 2.0**-53]).residual().winding().count is None
    assert Symbol([2.0**-70, -1.0]).residual().fredholm_index().value == 0
    assert Symbol([-(2.0**-70), -1.0]).residual().fredholm_index().value == -1


def test_it_shows_itself():
    assert repr(Symbol([1.0, -2.0, 0.0, 0.5])) == "Symbol(n=4, 1 - 2 z + 0.5 z**3)"
    assert repr(Symbol([0.0, -1.0])) == "Symbol(n=2, -z)"
    assert repr(Symbol([0.0])) == "Symbol(n=1, 0)"
    assert repr(Symbol(np.ones(9))).endswith("z**3 + ... + z**8)")
    assert "T(a) = -1" in Symbol([1.0, -2.0])._repr_latex_()


def test_imports_no_heavy_library():
    code = (
        "import sys, toeplitz_theory.operators as o; o.Symbol([1.0, -2.0]).jensen_deficit();"
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'transformers', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
