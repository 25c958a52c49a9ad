"""Rounding and scaling against exact rationals, FFT errors against FLINT."""

from fractions import Fraction

import flint
import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import precision
from toeplitz_theory.operators.rounding import (
    FLOAT_FORMATS,
    fft_error,
    float_format,
    split_scale,
)

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=6))
def test_scaling_rounds_by_less_than_a_subnormal(values):
    array = np.array(values)
    scaled, exponent = split_scale(array)
    exact = [Fraction(x) / Fraction(2) ** exponent for x in values]
    lost = [abs(Fraction(x) - y) for x, y in zip(scaled.tolist(), exact, strict=True)]
    assert not array.any() or 0.5 <= np.abs(scaled).max() < 1
    assert max(lost) <= Fraction(1, 2**1075)


@pytest.mark.parametrize("length", [2, 9, 96, 250, 1024])
def test_fft_error_holds(length):
    rng = np.random.default_rng(length)
    x = rng.standard_normal(length) + 1j * rng.standard_normal(length)
    with precision(200):
        exact = flint.acb.dft([flint.acb(complex(v)) for v in x])
        off = [complex(v - flint.acb(complex(w))) for v, w in zip(exact, scipy.fft.fft(x), strict=True)]
    bound = fft_error(length)
    assert np.linalg.norm(off) <= bound * np.linalg.norm([complex(v) for v in exact])
    assert np.abs(off).max() <= bound * np.abs(x).sum()


def test_precision_is_put_back_after_an_error():
    before = flint.ctx.prec, flint.ctx.cap
    with pytest.raises(ZeroDivisionError), precision(77, terms=5):
        assert (flint.ctx.prec, flint.ctx.cap) == (77, 5)
        1 / 0  # noqa: B018
    assert (flint.ctx.prec, flint.ctx.cap) == before


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_formats_are_those_of_numpy(name):
    info = np.finfo(name)
    assert FLOAT_FORMATS[name] == (info.nmant + 1, info.minexp + 1)
    assert float_format(np.dtype(name))[0] == name


def test_unknown_format_is_refused():
    with pytest.raises(InputError, match="choose from bfloat16"):
        float_format("int8")
