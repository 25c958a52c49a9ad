"""Maps over the plane: against dense matrices, closed forms, counted zeros, and interrupted runs."""

import io
import math

import numpy as np
import pytest
import scipy.linalg
from schur_cohn import count_inside

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import CausalToeplitz, Symbol, index_map, pseudospectrum
from toeplitz_theory.operators.matrix.resolvent import resolvent


def kernel(n: int, complex_: bool = False) -> np.ndarray:
    rng = np.random.default_rng([n, complex_])
    w = rng.standard_normal(n) / math.sqrt(n)
    return w + 1j * rng.standard_normal(n) / math.sqrt(n) if complex_ else w


@pytest.mark.parametrize("complex_", [False, True])
def test_resolvent_norms_against_dense_svd(complex_):
    w = kernel(24, complex_)
    seen = pseudospectrum(w, domain=(-3, 3, -2.5, 2.5), points=(9, 7))
    T = scipy.linalg.toeplitz(w, np.zeros(24))
    for row, column in np.ndindex(7, 9):
        values = np.linalg.svd(T - seen.grid.points[row, column] * np.eye(24), compute_uv=False)
        if values[-1] > 1e-9 * values[0]:  # elsewhere the dense values are noise
            assert seen.log10[row, column] == pytest.approx(-math.log10(values[-1]), abs=5e-4)
            assert seen.log10[row, column] <= -math.log10(values[-1]) + 1e-6


def test_shift_by_its_closed_form():
    """For the Jordan block, 1/||(J - lam)^-1|| is between |lam|^n (1 - |lam|) and |lam|^n in the disc."""
    n = 200
    seen = pseudospectrum(CausalToeplitz([0.0, 1.0], n=n), domain=(0.1, 0.9, -0.01, 0.01), points=(9, 3))
    size = np.abs(seen.grid.points)
    assert (seen.log10 >= -n * np.log10(size) - 1e-9).all()
    assert (seen.log10 <= -n * np.log10(size) - np.log10(1 - size) + 1e-9).all()


def test_rows_of_a_real_kernel_mirror_each_other_and_the_eigenvalue_is_infinite():
    w = kernel(30)
    seen = pseudospectrum(w, points=(5, 11))
    np.testing.assert_array_equal(seen.log10, seen.log10[::-1])
    direct = resolvent(w, seen.grid.points[-2], 1e-3)
    np.testing.assert_allclose(seen.log10[-2], direct.log10, atol=1e-3)
    at = pseudospectrum(w, domain=(w[0] - 1, w[0] + 1, -1, 1), points=3)
    assert math.isinf(at.log10[1, 1]) and np.isfinite(np.delete(at.log10.ravel(), 4)).all()


def test_early_leaving_changes_less_than_the_tolerance_says():
    w, lam = kernel(100), np.random.default_rng(1).uniform(-2, 2, (60, 2)) @ [1, 1j]
    rough, fine = resolvent(w, lam, 1e-3), resolvent(w, lam)
    assert (rough.residual <= 1e-3).all()
    np.testing.assert_allclose(rough.log10, fine.log10, atol=1e-3 / math.log(10))


def test_interrupted_maps_go_on_where_they_stopped(tmp_path):
    w, path = kernel(20, True), tmp_path / "saved.npz"
    seen: list[int] = []

    def stop_after_five(rows):
        for k, row in enumerate(rows):
            if k == 5:
                raise KeyboardInterrupt
            seen.append(row)
            yield row

    with pytest.raises(KeyboardInterrupt):
        pseudospectrum(w, points=12, progress=stop_after_five, resume=path)
    done: list[int] = []

    def watch(rows):
        for row in rows:
            done.append(row)
            yield row

    resumed = pseudospectrum(w, points=12, progress=watch, resume=path)
    assert seen == [0, 1, 2, 3, 4] and done == list(range(5, 12))
    np.testing.assert_array_equal(resumed.log10, pseudospectrum(w, points=12).log10)
    with pytest.raises(InputError, match="another section or grid"):
        pseudospectrum(w, points=13, resume=path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a saved pseudospectrum"):
        pseudospectrum(w, points=12, resume=path)


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path):
    w, path = kernel(20, True), tmp_path / "saved.npz"
    pseudospectrum(w, points=12, resume=path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for damaged in (whole[: len(whole) // 2], whole[:-10], bytes(flipped), array.getvalue()):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a saved pseudospectrum"):
            pseudospectrum(w, points=12, resume=path)
    path.write_bytes(whole)
    with np.load(path) as saved:
        parts = dict(saved)
    np.savez(path, **(parts | {"log10": parts["log10"][:2]}))
    with pytest.raises(InputError, match="another section or grid"):
        pseudospectrum(w, points=12, resume=path)


def test_index_map_against_counted_zeros_and_its_own_curve():
    w = kernel(12)
    seen = index_map(w, points=16)
    for row, column in np.ndindex(16, 16):
        moved = w.astype(complex)
        moved[0] -= seen.grid.points[row, column]
        assert seen.count[row, column] == count_inside(moved)
    corners = seen.count[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).all()
    curve = seen.curve
    assert curve.real.min() > seen.grid.x[0] and curve.real.max() < seen.grid.x[-1]
    assert abs(curve[0] - curve[-1]) < 1e-12 and isinstance(seen.symbol, Symbol)


@pytest.mark.parametrize(
    "wrong", [{"domain": (1, 0, 0, 1)}, {"domain": (0, 1)}, {"points": 0}, {"points": 10**5}]
)
def test_bad_grids(wrong):
    with pytest.raises(InputError):
        index_map([1.0, 2.0], **wrong)
    with pytest.raises(InputError):
        pseudospectrum([1.0, 2.0], **wrong)
