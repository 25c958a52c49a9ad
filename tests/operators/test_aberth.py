"""All zeros of long and of complex kernels: against chosen zeros, FLINT and winding numbers."""

import flint
import numpy as np
import pytest

from tests.operators.strategies import kaiming
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.circle.discs import cluster_disc, isolated


def product(factors):
    """Taps of the product of factors with small Gaussian integers: exact."""
    out = np.ones(1, complex)
    for factor in factors:
        out = np.convolve(out, factor)
    return out


@pytest.mark.parametrize("complex_", [False, True])
def test_discs_meet_those_of_another_solver(complex_):
    w = kaiming(150, 0) + (1j * kaiming(150, 1) if complex_ else 0)
    exact = [flint.acb(complex(x)) for x in w]
    discs = isolated(w.astype(complex), exact)
    others = flint.acb_poly(exact).roots(tol=1e-25, maxprec=1000)
    assert discs is not None and len(others) == len(discs) == 149
    values, radii = (np.array(column) for column in zip(*[disc.stored() for disc in discs], strict=True))
    gaps = np.abs(values[:, None] - np.array([complex(z.mid()) for z in others])[None])
    # Each of theirs (to 1e-25, read to u |z|) is in one of ours, each of ours holds one of theirs.
    assert (gaps.min(axis=1) <= radii + 2.0**-51 * np.abs(values)).all()
    assert np.unique(gaps.argmin(axis=1)).size == 149


@pytest.mark.parametrize("n", [512, 2048])
def test_as_many_inside_as_the_winding_number_says(n):
    a = Symbol(kaiming(n, n))
    zeros = a.zeros()
    assert zeros.certified and zeros.size == n - 1 and not zeros.undecided().size
    assert zeros.inside().size == a.winding().count


@pytest.mark.parametrize("multiplicity", [2, 3, 4, 5])
@pytest.mark.parametrize("turn", [1, 1j])
@pytest.mark.parametrize("padding", [0, 150])
def test_multiple_zeros(multiplicity, turn, padding):
    """(1 - 2 c z)^m (1 - c z / 2) (1 + z^p / 2): an m-fold zero at 1 / (2 c), the others outside."""
    last = [] if not padding else [np.array([1.0, *[0.0] * (padding - 1), 0.5])]
    w = product([[1, -2 * turn]] * multiplicity + [[1, -turn / 2], *last])
    w = w.real if turn == 1 else w
    zeros = Symbol(w).zeros()
    assert zeros.certified and zeros.inside().size == multiplicity
    near = np.abs(np.asarray(zeros) - 0.5 / turn)
    assert (near <= zeros.radii).sum() == multiplicity
    assert zeros.radii.max() < 1e-14


def test_a_cluster_stands_in_one_disc_with_its_size():
    """Three zeros 2^-60 apart, as exact balls: their discs would overlap in float64."""
    gap = flint.fmpq(1, 2**60)
    poly = flint.acb_poly([1])
    with flint.ctx.workprec(400):
        for k in range(3):
            poly *= flint.acb_poly([flint.acb(flint.arb(-1 - k * gap) / 2), flint.acb(1)])
        poly *= flint.acb_poly([3, 1])
        exact = list(poly)
    disc = cluster_disc(np.array([0.5, 0.5 + 1e-12, 0.5 + 1e-12j]), exact)
    centre, radius = disc.stored()
    assert disc.count == 3 and abs(centre - 0.5) <= radius < 1e-12
    assert cluster_disc(np.array([0.5, 0.5 + 1e-12]), exact) is None  # two of three is not proved


@pytest.mark.parametrize("gap", [1e-12, 1e-15, -1e-15])
def test_sides_are_decided_beyond_float64(gap):
    """1 - (1 + gap) z^511: zeros 2e-18 from the circle for 1e-15."""
    w = np.zeros(512)
    w[0], w[-1] = 1.0, -(1.0 + gap)
    zeros = Symbol(w).zeros()
    inside = 511 if gap > 0 else 0
    assert zeros.inside().size == inside and not zeros.undecided().size
    assert Symbol(w).fredholm_index().value == -inside


def test_zeros_on_the_circle_stay_undecided():
    w = np.zeros(200)
    w[0], w[-1] = 1.0, -1.0
    zeros = Symbol(w).zeros()
    assert zeros.certified and zeros.undecided().size == 199
    assert Symbol(w).fredholm_index().value is None


def test_zeros_of_very_different_moduli():
    """prod (1 - z / r): moduli from 1e-6 to 1e6, on both sides."""
    w = product([[1, -(2.0**k)] for k in (-20, -10, -3, 3, 10, 20)] * 1)
    zeros = np.asarray(Symbol(w + 0j).zeros())
    assert np.abs(np.sort(np.abs(zeros)) / 2.0 ** np.array([-20, -10, -3, 3, 10, 20]) - 1).max() < 1e-14
