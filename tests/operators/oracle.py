"""Every certified quantity of a kernel against arbitrary precision, by algorithms that share no step with it.

``python -m tests.operators.oracle --kernels 20000 --seed 0 --out run.jsonl`` draws kernels all over float64's
range in blocks of 100, each with a seed of its own, and prints a table. Blocks in the file are not run again,
so a run can be stopped and taken up. The exit status is 1 if a certificate is wrong or anything raises.

What the truth is: index by Sturm's chain over the rationals; zeros in discs by Schur and Cohn's recursion in
balls; Mahler's measure by 64 steps of Graeffe's iteration, between Landau's bounds; moduli by a search of the
circle in 2,400 bits; recovery by the power series of the Blaschke product of the zeros in the discs so
confirmed, refined by Newton's method; singular values by dense eigenvalues in thousands of bits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import flint
import numpy as np

from tests.operators.exact_truth import Truth, as_pairs, at_most, draw, square, sturm
from tests.operators.section_truth import bits_for, exact_singular_values
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators import Symbol

BLOCK = 100
POINTS = 9  # lambdas a kernel; with so many the polygons are used

# Each check yields the quantity, whether the package certified it, and whether it is then right.


def check_index(a, t, _):
    winding = a.winding()
    yield (
        "index",
        winding.certified,
        winding.count is None or winding.count == (t.index is not None and -t.index),
    )
    with flint.ctx.workprec(4096):
        yield (
            "index margin",
            winding.certified,
            at_most(flint.arb(winding.margin) * winding.margin, t.smallest),
        )
    if np.abs(t.kernel[0].real) < 1e308:
        shifted = a.residual().fredholm_index()
        yield (
            "residual index",
            shifted.certified,
            not shifted.certified or shifted.value == sturm(t.kernel, 1),
        )


def check_zeros(a, t, _):
    found = a.zeros()
    known = found.known_sides()
    inside, outside = int((known < 0).sum()), int((known > 0).sum())
    if t.inside is not None and t.outside is not None:  # else the truth itself was not decided
        yield (
            "all zeros settled",
            found.settled,
            not found.settled or (inside, outside) == (t.inside, t.outside),
        )
        yield "sides", bool(known.any()), inside <= t.inside and outside <= t.outside
    yield "discs", found.certified, not found.certified or t.confirmed(found) is not None
    width = 1.0 / max(2, len(a))
    near = a.zeros_near_circle()
    high, low = (t.count(0, Fraction(x)) for x in (1 + width, 1 - width))
    right = near is None or (high is not None and low is not None and near == high - low)
    yield "zeros near the circle", near is not None, right


def check_modulus(a, t, _):
    found = a.min_modulus()
    with flint.ctx.workprec(4096):
        there = t.value(flint.acb(0, found.angle).exp())
        # The angle is rounded; what it stands for may be 1 or -1, i or -i exactly.
        moved = 2.0**-50 * flint.arb(sum(abs(complex(w) / 8) for w in t.kernel)) * 8 * len(a)
        high = (
            (flint.arb(found.upper) + moved) * (flint.arb(found.upper) + moved)
            if math.isfinite(found.upper)
            else found.upper
        )
        size = square(there)
        yield (
            "min modulus",
            True,
            at_most(flint.arb(found.lower) * found.lower, t.smallest) and at_most(size, high),
        )
        margins = a.index_margins()
        yield (
            "index margins",
            True,
            all(
                at_most(n * flint.arb(least) * least, t.smallest)
                for (least, _), n in ((margins.l1, 1), (margins.l2, len(a)))
            ),
        )


def check_jensen(a, t, _):
    found = a.jensen_deficit()
    if t.lead:
        yield "Jensen deficit", found.certified, math.isinf(found.value)
        return
    with flint.ctx.workprec(4096):
        truth = t.log_mahler - abs(flint.acb(complex(t.kernel[0]))).log()
        gap = abs(truth - flint.arb(found.value)) if math.isfinite(found.value) else math.inf
        yield "Jensen deficit", found.certified, not found.certified or at_most(gap, found.error)


def check_factors(a, t, _):
    factor = a.outer(full=True)
    outer = Truth(factor.symbol.kernel)
    yield (
        "outer factor's index",
        factor.index is not None,
        factor.index is None or factor.index == outer.index,
    )
    # With the zeros at 0 divided out; a factor that is a times a unit is outer whatever its rounded taps are.
    exact = factor.modulus_error == 0
    yield "outer factor", factor.certified, not factor.certified or exact or outer.inside == 0
    with flint.ctx.workprec(4096):
        mean = sum((square(flint.acb(complex(x))) for x in a.kernel.tolist()), flint.arb(0))
        right = True
        for k in range(7):
            z = flint.acb(flint.arb(2 * k) / 7).exp_pi_i()
            v, w = t.value(z), outer.value(z)
            gap = abs(square(v) - square(w))
            right = right and (math.isinf(factor.modulus_error) or at_most(gap, factor.modulus_error * mean))
    yield "outer modulus error", math.isfinite(factor.modulus_error), right
    parts = a.inner_outer()
    if t.inside is not None:
        yield "inner zeros", parts.certified, not parts.certified or len(parts.zeros) == t.inside


def check_points(a, t, rng):
    top = np.abs(t.kernel[np.flatnonzero(t.kernel)])
    size = float(rng.choice(top)) if np.isfinite(top).all() else 1.0
    lam = np.concatenate(
        [
            size * (rng.standard_normal(POINTS - 2) + 1j * rng.standard_normal(POINTS - 2)),
            [complex(t.kernel[0]), complex(np.ldexp(1.0, int(rng.integers(-1070, 1000))))],
        ]
    )
    lam = np.where(np.isfinite(lam), lam, 1.0)
    found = a.spectrum_index(lam)
    for k in rng.choice(POINTS, 2, replace=False).tolist():
        point = complex(lam[k])
        truth = sturm(t.kernel, (-Fraction(point.real), -Fraction(point.imag)))
        certified = bool(found.certified[k])
        right = not certified or (isinstance(truth, int) and found.count[k] == -truth)
        with flint.ctx.workprec(4096):
            for j in range(5):
                gap = t.value(flint.acb(flint.arb(2 * j) / 5).exp_pi_i()) - flint.acb(point)
                right = right and at_most(
                    flint.arb(float(found.margin[k])) * float(found.margin[k]), square(gap)
                )
        yield "spectrum index", certified, right


def check_rounding(a, t, rng):
    dtype = str(rng.choice(["bfloat16", "float32"]))
    found = a.rounding_margin(dtype)
    moved = (
        [
            abs(x - u) + abs(y - v)
            for (x, y), (u, v) in zip(as_pairs(t.kernel), as_pairs(found.rounded), strict=True)
        ]
        if np.isfinite(found.rounded).all()
        else []
    )
    right = sum(moved) <= Fraction(found.perturbation) if math.isfinite(found.perturbation) else True
    if found.safe:
        right = right and sturm(found.rounded) == t.index is not None
    yield "rounding margin", found.safe, right


def check_section(a, t, _):
    if t.kernel.size > 4:
        return
    section = a.section()
    condition = section.log10_condition()
    if t.lead:
        yield "condition", condition.certified, math.isinf(condition.value)
        return
    bits = bits_for(t.kernel)
    exact = exact_singular_values(t.kernel, bits)
    with flint.ctx.workprec(bits):
        truth = (exact[0] / exact[-1]).log() / flint.arb(10).log()
        slack = flint.arb(2) ** -200
        right = at_most(condition.lower - slack, truth) and at_most(truth, condition.upper + slack)
        yield "condition", condition.certified, not condition.certified or right
        for rtol in (1e-6, 1e-200):
            nullity = section.nullity(rtol, certify=True)
            rank = sum(bool(x <= flint.arb(rtol) * exact[0]) for x in exact)
            yield "nullity", nullity.certified, nullity.lower <= rank <= nullity.upper
        values = section.singular_values(full=True)
        known = np.isfinite(values.relative_error)
        right = all(
            at_most(abs(10 ** flint.arb(float(x)) / y - 1), float(e))
            for x, y, e, ok in zip(values.log10, exact, values.relative_error, known, strict=True)
            if ok
        )
        yield "singular values", bool(known.all()), right
        rate = section.information_rate(10.0)
        logs = [(10 * x * x).log1p() / flint.arb(2).log() for x in exact]
        gap = abs(sum(logs, flint.arb(0)) / (2 * len(exact)) - flint.arb(rate.value))
        yield "information rate", True, at_most(gap, rate.error + 1e-320)


def check_recovery(a, t, _):
    found = a.recovery()
    if t.inside is not None:
        yield "mean delay", found.mean_delay is not None, found.mean_delay in (None, t.inside)
    zeros = a.zeros()
    inside = t.confirmed(zeros) if zeros.certified and zeros.settled else None
    if inside is None:
        return
    shares = t.shares(inside, len(found.curve))
    with flint.ctx.workprec(4096):
        gaps = [abs(x - flint.arb(float(y))) for x, y in zip(shares, found.curve, strict=True)]
        right = all(at_most(gap, found.error) for gap in gaps) and found.limit == 1.0
        yield "recovery shares", found.certified, not found.certified or right
        delay = found.delay(0.9)
        if delay is not None:
            reached = at_most(0.9, shares[delay])
            before = delay == 0 or at_most(shares[delay - 1], 0.9)
            yield "delay to 0.9", delay.certified, not delay.certified or (reached and before)


CHECKS = {
    "index": check_index,
    "zeros": check_zeros,
    "modulus": check_modulus,
    "jensen": check_jensen,
    "recovery": check_recovery,
    "factors": check_factors,
    "points": check_points,
    "rounding": check_rounding,
    "section": check_section,
}


def check(kernel, rng, tally, groups=tuple(CHECKS)):
    """Add to ``tally``: quantity -> [kernels, certified, wrong, exceptions, seconds]; return the faults."""
    faults = []
    truth, a = Truth(kernel), Symbol(kernel)
    for group in groups:
        start = time.process_time()
        quantities = [group]
        try:
            results = list(CHECKS[group](a, truth, rng))
            quantities = [quantity for quantity, *_ in results] or [group]
            for quantity, certified, right in results:
                row = tally[quantity]
                row[0] += 1
                row[1] += bool(certified)
                row[2] += not right
                if not right:
                    faults.append((quantity, kernel))
        except ArithmeticError as error:
            if not isinstance(error, NumericalError):
                raise
            tally[group][3] += "overflow" not in str(error)
            if "overflow" not in str(error):
                faults.append((f"{group}: {error}", kernel))
        except Exception as error:
            tally[group][3] += 1
            faults.append((f"{group}: {type(error).__name__}: {error}", kernel))
        for quantity in set(quantities):
            tally[quantity][4] += (time.process_time() - start) / len(set(quantities))
    return faults


def block(seed, number, groups=tuple(CHECKS), size=BLOCK):
    """Check one block of kernels; return its tally, kernels by kind and its faults."""
    rng = np.random.default_rng([seed, number])
    tally, kinds, faults = defaultdict(lambda: [0, 0, 0, 0, 0.0]), defaultdict(int), []
    for _ in range(size):
        kind, kernel = draw(rng)
        kinds[kind] += 1
        faults += check(kernel, rng, tally, groups)
    return {
        "seed": seed,
        "block": number,
        "tally": dict(tally),
        "kinds": dict(kinds),
        "faults": [(what, [[x.hex(), y.hex()] for x, y in map(parts_of, k.tolist())]) for what, k in faults],
    }


def parts_of(value):
    return complex(value).real, complex(value).imag


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="one line a block; blocks it has are not run again")
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="groups of quantities"
    )
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {row["block"]: row for row in map(json.loads, lines) if row["seed"] == options.seed}
    count = -(-options.kernels // BLOCK)
    for number in range(count):
        if number not in done:
            done[number] = block(options.seed, number, options.only)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(done[number]) + "\n")
    return print_table([done[number] for number in range(count)])


def print_table(rows):
    total, kinds = defaultdict(lambda: [0, 0, 0, 0, 0.0]), defaultdict(int)
    for row in rows:
        for quantity, numbers in row["tally"].items():
            total[quantity] = [x + y for x, y in zip(total[quantity], numbers, strict=True)]
        for kind, number in row["kinds"].items():
            kinds[kind] += number
    print(", ".join(f"{number} {kind}" for kind, number in kinds.items()))
    print(f"{'quantity':>24} {'tried':>8} {'certified':>10} {'wrong':>6} {'raised':>7} {'seconds':>8}")
    for quantity, (tried, certified, wrong, raised, seconds) in total.items():
        print(f"{quantity:>24} {tried:>8} {certified:>10} {wrong:>6} {raised:>7} {seconds:>8.0f}")
    for row in rows:
        for what, kernel in row["faults"][:20]:
            print(f"block {row['block']}: {what}: {kernel}")
    return int(any(wrong or raised for _, _, wrong, raised, _ in total.values()))


if __name__ == "__main__":
    sys.exit(main())
