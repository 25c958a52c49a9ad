"""Every kind of kernel x real and complex x stored type x size, against answers known or found another way.

Where a kernel is built so that its zeros are known, they are the oracle. Otherwise: the Schur-Cohn recursion
for the index, isolated roots for Jensen's formula, exact rational power series for the condition number.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from schur_cohn import count_inside
from scipy.sparse.linalg import svds

from toeplitz_theory.operators import CausalToeplitz, Symbol
from toeplitz_theory.operators.matrix.inverse import inverse_series

SIZES = (1, 2, 3, 64, 512, 2048)
TYPES = ("float64", "float32", "bfloat16")
MODEL = Path(__file__).resolve().parents[2] / "models" / "tmm-next-token" / "model.safetensors"


def random_kernel(kind: str, n: int, complex_: bool) -> np.ndarray:
    rng = np.random.default_rng([n, complex_, len(kind)])
    w = rng.standard_normal(n) * math.sqrt(2 / n)
    if complex_:
        w = (w + 1j * rng.standard_normal(n) * math.sqrt(2 / n)) / math.sqrt(2)
    if kind == "decaying":
        return w * 0.97 ** np.arange(n)
    if kind == "near-identity":
        w *= 0.3 / max(1.0, math.log2(n))
        w[0] += 1
    return w


def trained_kernel(n: int, head: int) -> np.ndarray:
    """Taps of a shipped kernel, read without the package's own reader; the first n of its 256."""
    with MODEL.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        keys = sorted(key for key in header if ".mixer_heads." in key and key.endswith(".weight"))
        start, end = header[keys[head]]["data_offsets"]
        file.seek(8 + size + start)
        return np.frombuffer(file.read(end - start), "<f4").astype(float)[:n]


def stored(kernel: np.ndarray, dtype: str) -> np.ndarray:
    """The kernel as a checkpoint of that type would hold it, widened again."""
    if dtype == "float64":
        return kernel
    if np.iscomplexobj(kernel):
        return stored(kernel.real, dtype) + 1j * stored(kernel.imag, dtype)
    single = kernel.astype(np.float32)
    if dtype == "bfloat16":
        bits = single.view(np.uint32)
        # Round to nearest even on the upper half of the word.
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        single = bits.astype(np.uint32).view(np.float32)
    return single.astype(float)


RANDOM = [
    pytest.param(kind, complex_, dtype, n, id=f"{kind}-{'complex' if complex_ else 'real'}-{dtype}-{n}")
    for kind, complex_, dtype, n in itertools.product(
        ("kaiming", "decaying", "near-identity", "trained"), (False, True), TYPES, (1, 2, 3, 64, 512)
    )
    # Ball recursions of complex kernels of 512 taps take seconds: one type is enough.
    if not (complex_ and (kind == "trained" or (n == 512 and dtype != "bfloat16")))
    and not (kind == "trained" and n == 512)
]


def make(kind: str, complex_: bool, dtype: str, n: int) -> np.ndarray:
    w = trained_kernel(n, head=5) if kind == "trained" else random_kernel(kind, n, complex_)
    return stored(w, dtype)


@pytest.mark.parametrize(("kind", "complex_", "dtype", "n"), RANDOM)
def test_index_against_schur_cohn(kind, complex_, dtype, n):
    w = make(kind, complex_, dtype, n)
    found = Symbol(w).fredholm_index()
    assert found.winding.certified
    assert -found.value == count_inside(w)


@pytest.mark.parametrize(("kind", "complex_", "dtype", "n"), [p for p in RANDOM if p.values[3] == 64])
def test_jensen_and_modulus_against_the_roots(kind, complex_, dtype, n):
    w = make(kind, complex_, dtype, n)
    a = Symbol(w)
    roots = np.roots(w[::-1])
    inside = np.abs(roots)[np.abs(roots) < 1]
    deficit = a.jensen_deficit()
    # np.roots is backward stable, n u ||w||; simple zeros of these kernels lose at most four digits of that.
    assert deficit.value == pytest.approx(-np.log(inside).sum(), rel=1e-7, abs=1e-9)
    theta = 2 * np.pi * np.arange(1 << 15) / (1 << 15)
    sampled = np.abs(np.polyval(w[::-1], np.exp(1j * theta)))
    bracket = a.min_modulus()
    slope = np.abs(w) @ np.arange(n)
    rounding = 2 * n * 2.0**-53 * np.abs(w).sum()
    assert bracket.lower <= sampled.min() + rounding
    assert bracket.upper >= sampled.min() - slope * np.pi / (1 << 15) - rounding


@pytest.mark.parametrize(("kind", "complex_", "dtype", "n"), [p for p in RANDOM if p.values[3] in (3, 64)])
def test_condition_against_the_exact_inverse(kind, complex_, dtype, n):
    w = make(kind, complex_, dtype, n)
    found = CausalToeplitz(w).log10_condition()
    low, high = exact_enclosure(w)
    # 2e-15: the enclosure itself is rounded once to float64.
    assert found.lower <= high + 2e-15 * abs(high) and found.upper >= low - 2e-15 * abs(low)
    assert found.lower <= found.value <= found.upper


@pytest.mark.parametrize(("kind", "complex_", "dtype", "n"), [p for p in RANDOM if p.values[3] in (64, 512)])
def test_condition_against_dense_norms(kind, complex_, dtype, n):
    check_condition(make(kind, complex_, dtype, n))


@pytest.mark.parametrize(
    ("kind", "complex_", "dtype"), [("kaiming", False, "float32"), ("near-identity", False, "bfloat16")]
)
def test_index_zeros_and_condition_at_2048(kind, complex_, dtype):
    w = make(kind, complex_, dtype, 2048)
    a = Symbol(w)
    zeros = a.zeros()
    assert zeros.certified and -a.fredholm_index().value == zeros.inside().size
    deficit = a.jensen_deficit()
    # Radii of 1e-15 and a sum of 2047 logarithms.
    assert abs(deficit.value + np.log(np.abs(zeros.inside())).sum()) <= deficit.error + 1e-11
    check_condition(w)


def dense_norm(matrix: np.ndarray) -> float:
    """By LAPACK, or by ARPACK where that takes seconds."""
    if len(matrix) <= 512:
        return float(np.linalg.norm(matrix, 2))
    return float(svds(matrix, k=1, tol=1e-13, return_singular_vectors=False, random_state=0)[0])


def check_condition(w: np.ndarray) -> None:
    """Against LAPACK's norms of T and of its inverse, the inverse's taps scaled near 1: n u relative each."""
    found = CausalToeplitz(w).log10_condition()
    taps, exponent, _ = inverse_series(w).common()
    logs = [math.log10(dense_norm(CausalToeplitz(x).to_dense())) for x in (w, taps)]
    truth = sum(logs) + exponent * math.log10(2)
    assert found.lower - 1e-11 <= truth <= found.upper + 1e-11
    assert found.certified and abs(found.value - truth) <= 1e-6


def exact_enclosure(w: np.ndarray) -> tuple[float, float]:
    """Log10 of bounds of kappa: 2-norm of the first column and 1-norm, for T and its exact inverse."""
    taps = [(Fraction(float(x.real)), Fraction(float(x.imag))) for x in w.astype(complex)]
    inverse: list[tuple[Fraction, Fraction]] = []
    re, im = taps[0]
    scale = re * re + im * im
    for k in range(w.size):
        x, y = (Fraction(1), Fraction(0)) if k == 0 else (Fraction(0), Fraction(0))
        for j in range(1, k + 1):
            (a, b), (c, d) = taps[j], inverse[k - j]
            x, y = x - (a * c - b * d), y - (a * d + b * c)
        inverse.append((_short((x * re + y * im) / scale), _short((y * re - x * im) / scale)))
    low = high = 0.0
    for column in (taps, inverse):
        squares = [x * x + y * y for x, y in column]
        low += _log10(sum(squares, Fraction(0))) / 2
        largest = max(squares)
        high += math.log10(sum(math.sqrt(float(s / largest)) for s in squares)) + _log10(largest) / 2
    return low, high


def _short(x: Fraction) -> Fraction:
    """Keep 1000 bits: exact fractions of 64 steps would grow to a hundred thousand."""
    bits = 1000 - (abs(x.numerator).bit_length() - x.denominator.bit_length())
    return Fraction(round(x * Fraction(2) ** bits), 1) / Fraction(2) ** bits


def _log10(x: Fraction) -> float:
    return math.log10(x.numerator) - math.log10(x.denominator)


def _product(factors: list[tuple[int, float, int]]) -> np.ndarray:
    """Multiply (1 - c z^m)^mu over (m, c, mu); every tap must be exact, which is checked in fractions."""
    product = {0: Fraction(1)}
    for m, c, mu in factors:
        for _ in range(mu):
            shifted = {k + m: -Fraction(c) * x for k, x in product.items()}
            product = {
                k: product.get(k, Fraction(0)) + shifted.get(k, Fraction(0)) for k in {*product, *shifted}
            }
    kernel = np.zeros(max(product) + 1)
    for k, x in product.items():
        kernel[k] = float(x)
        assert Fraction(kernel[k]) == x
    return kernel


# (1 - c z^m)^mu has m zeros of modulus |c|^(-1/m), each mu-fold.
CHOSEN = {
    "one zero inside": [(1, 2.0, 1)],
    "1e-3 inside": [(1, 1 + 2.0**-10, 1)],
    "1e-6 inside": [(1, 1 + 2.0**-20, 1)],
    "1e-9 outside": [(1, 1 - 2.0**-30, 1)],
    "1e-12 inside": [(1, 1 + 2.0**-40, 1)],
    "1e-12 outside": [(1, 1 - 2.0**-40, 1)],
    "double, 1e-6": [(1, 1 + 2.0**-20, 2)],
    "triple, 1e-4": [(1, 1 + 2.0**-13, 3)],
    "fourfold, 1e-3": [(1, 1 + 2.0**-10, 4)],
    "fivefold, 1e-3": [(1, 1 - 2.0**-10, 5)],
    "pair around the circle": [(1, 1 + 2.0**-20, 1), (1, 1 - 2.0**-20, 1)],
    "cluster": [(1, 1 + 2.0**-12, 1), (1, 1 + 2.0**-13, 1), (1, 1 - 2.0**-12, 1)],
    "ring of 63, 1e-11": [(63, 1 + 2.0**-30, 1)],
    "ring of 511 and one": [(511, 2.0, 1), (1, 0.5, 1)],
    "rings on both sides": [(500, 1 + 2.0**-20, 1), (11, 1 - 2.0**-20, 1)],
    "ring of 2047": [(2047, 4.0, 1)],
    "two rings of 1000": [(1000, 1 + 2.0**-20, 1), (1001, 1 - 2.0**-20, 1)],
}


@pytest.mark.parametrize("turn", [1.0, 1j], ids=["real", "complex"])
@pytest.mark.parametrize("name", CHOSEN)
def test_chosen_zeros(name, turn):
    factors = CHOSEN[name]
    # z -> i z turns every zero by a quarter and keeps all taps exact.
    kernel = _product(factors)
    w = kernel if turn == 1.0 else kernel * np.array([1, 1j, -1, -1j])[np.arange(kernel.size) % 4]
    inside = sum(m * mu for m, c, mu in factors if c > 1)
    deficit = math.fsum(mu * math.log1p(c - 1) for m, c, mu in factors if c > 1)
    a = Symbol(w)
    found = a.fredholm_index()
    assert found.winding.certified and found.value == -inside
    j = a.jensen_deficit()
    # 4 u J for the oracle's own logarithms.
    assert abs(j.value - deficit) <= j.error + 2**-50 * deficit
    smallest = a.min_modulus()
    assert smallest.lower <= math.prod(abs(1 - c) ** mu for _, c, mu in factors) * (1 + 1e-12)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_closed_forms_at_every_size(n, scale):
    """Two taps, 1 and c z^(n-1): n - 1 zeros of modulus c^(-1/(n-1)), and a known inverse."""
    w = np.zeros(n)
    w[0], w[-1] = 1.0, scale if n > 1 else 1.0
    a = Symbol(w)
    inside = n - 1 if scale > 1 else 0
    assert a.fredholm_index().value == -inside
    deficit = a.jensen_deficit()
    assert abs(deficit.value - (math.log(scale) if inside else 0.0)) <= deficit.error + 1e-15
    T = CausalToeplitz(w)
    if n > 1:
        # T = I + c e_n e_1^T: singular values 1 but for two, whose product is 1 and squares add to 2 + c^2.
        largest = (scale + math.sqrt(scale**2 + 4)) / 2
        condition = T.log10_condition()
        assert condition.lower - 1e-14 <= 2 * math.log10(largest) <= condition.upper + 1e-14
