"""Oracles for finite sections that share no step with the package: dense arithmetic in thousands of bits."""

import functools
import itertools
import math

import flint
import numpy as np
import scipy.signal
from hypothesis import strategies as st


def exact_singular_values(kernel, bits=2400):
    """All singular values, descending, as FLINT numbers: eigenvalues of T T^H, entry by entry, by dense QR.

    `bits` must exceed twice log2 of the condition number by a wide margin.
    """
    with flint.ctx.workprec(bits):
        n = len(kernel)
        matrix = flint.acb_mat(n, n)
        for i in range(n):
            for j in range(i + 1):
                matrix[i, j] = complex(kernel[i - j])
        squares = (matrix * matrix.conjugate().transpose()).eig(algorithm="approx")
        by_size = functools.cmp_to_key(lambda x, y: -1 if x > y else 1)
        return sorted((abs(x.real.mid()).sqrt().mid() for x in squares), key=by_size)


def exact_log10_singular_values(kernel, bits=2400):
    """Their logarithms, rounded once."""
    with flint.ctx.workprec(bits):
        return np.array([float(x.log() / flint.arb(10).log()) for x in exact_singular_values(kernel, bits)])


def exact_log10_condition(kernel, bits):
    """log10 of the ratio of the largest and the smallest, rounded once."""
    with flint.ctx.workprec(bits):
        values = exact_singular_values(kernel, bits)
        return float((values[0] / values[-1]).log() / flint.arb(10).log())


def bits_for(kernel):
    """Twice log2 of the largest condition number that taps of these sizes can have, and more."""
    sizes = [max(abs(z.real), abs(z.imag)) for z in np.asarray(kernel).tolist()]
    spread = max(math.log2(max(sizes)) - math.log2(sizes[0]), 1.0)
    return int(2 * len(kernel) * (spread + 8)) + 1000


def wide_kernel(seed, most=5):
    """Taps of sizes all over float64's range, a third of them complex, zeros among them but for the first."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    centre, spread = int(rng.integers(-1000, 1000)), int(rng.choice([60, 400, 1000, 2000]))

    def parts():
        exponents = np.clip(rng.integers(centre - spread, centre + spread + 1, n), -1074, 1023)
        values = np.ldexp(rng.uniform(0.5, 1, n) * rng.choice([-1, 1], n), exponents)
        values[rng.random(n) < 0.15] = 0.0
        return values

    kernel = parts() + 1j * parts() if rng.random() < 1 / 3 else parts()
    if kernel[0] == 0:
        kernel[0] = np.ldexp(1.0, centre)
    return kernel


def filters(most=25):
    """Real filters by name: windows, least squares, equiripple, binomial, minimum phase, recursive ones."""
    found = {}
    for n, cut, window in itertools.product((9, 17, 21, 25), (0.25, 0.4, 0.42, 0.6), (6.0, 9.0)):
        found[f"kaiser {window}, {n} taps, {cut}"] = scipy.signal.firwin(n, cut, window=("kaiser", window))
    for n, window in itertools.product((11, 21), ("hamming", "hann", "blackman")):
        found[f"{window}, {n} taps"] = scipy.signal.firwin(n, 0.42, window=window)
    for n in (15, 23):
        found[f"band-pass, {n} taps"] = scipy.signal.firwin(n, [0.2, 0.5], pass_zero=False)
        found[f"least squares, {n} taps"] = scipy.signal.firls(n, [0, 0.3, 0.4, 1], [1, 1, 0, 0])
        found[f"equiripple, {n} taps"] = scipy.signal.remez(n, [0, 0.15, 0.2, 0.5], [1, 0])
        found[f"minimum phase, {n} taps"] = scipy.signal.minimum_phase(scipy.signal.firwin(n, 0.4))
    impulse = np.r_[1.0, np.zeros(19)]
    for order in (2, 4, 8):
        found[f"elliptic {order}"] = scipy.signal.lfilter(*scipy.signal.ellip(order, 0.1, 60, 0.3), impulse)
        found[f"Butterworth {order}"] = scipy.signal.lfilter(*scipy.signal.butter(order, 0.1), impulse)
    for n in (5, 11, 18):
        row = np.array([math.comb(n, k) for k in range(n + 1)], float)
        found |= {f"binomial {n}": row, f"alternating binomial {n}": row * (-1.0) ** np.arange(n + 1)}
        found[f"moving average {n}"] = np.ones(n) / n
    found["1 / (k + 1)"] = 1 / np.arange(1, 21.0)
    return {name: np.trim_zeros(taps, "f")[:most] for name, taps in found.items()}


def kernel_from_zeros(zeros, scale=1.0):
    """Taps of scale * prod(1 - z / zero), lowest power first."""
    taps = np.array([scale + 0j])
    for zero in zeros:
        taps = np.convolve(taps, [1, -1 / zero])
    return taps


def dense(kernel, n=None):
    """The section written out entry by entry."""
    n = len(kernel) if n is None else n
    out = np.zeros((n, n), dtype=np.asarray(kernel).dtype)
    for i in range(n):
        for j in range(max(0, i - len(kernel) + 1), i + 1):
            out[i, j] = kernel[i - j]
    return out


taps = st.floats(-4, 4).map(lambda x: round(x, 3))


def real_kernels(min_size=1, max_size=40):
    return st.lists(taps, min_size=min_size, max_size=max_size).map(np.array)


def complex_kernels(min_size=1, max_size=40):
    pairs = st.lists(st.tuples(taps, taps), min_size=min_size, max_size=max_size)
    return pairs.map(lambda rows: np.array([complex(a, b) for a, b in rows]))


def kernels(min_size=1, max_size=40):
    return st.one_of(real_kernels(min_size, max_size), complex_kernels(min_size, max_size))


def regular_kernels(max_size=40):
    """First tap at least 1/8 in modulus."""
    return kernels(1, max_size).map(_with_first_tap)


def _with_first_tap(kernel):
    out = kernel.copy()
    out[0] = out[0] if abs(out[0]) >= 0.125 else 1.0
    return out
