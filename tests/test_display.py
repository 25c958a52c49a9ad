"""No public object fills the screen: one line where it is printed, a small table in a notebook."""

import dataclasses

import numpy as np
import pytest
import sympy

import toeplitz_theory as tt
from tests.operators.strategies import kaiming
from toeplitz_theory import operators
from toeplitz_theory.display import Displayed, brief

N = 256
MOST_LINES, MOST_CHARACTERS = 15, 1200


@pytest.fixture(scope="module")
def shown():
    """An object of every kind that the operators and the reports hand out, large enough to be long."""
    a, z = tt.Symbol(kaiming(N, 1)), sympy.Symbol("z")
    T, rng = a.section(), np.random.default_rng(0)
    report = tt.inspect("models/tmm-next-token")
    checkpoint = tt.checkpoints.load("models/tmm-next-token", projections=True)
    return [
        *(
            a,
            T,
            tt.Symbol.from_sympy(sympy.Rational(1, 3) + z, z),
            tt.CausalMatrix(np.tril(np.ones((40, 40)))),
        ),
        *(a.winding(), a.fredholm_index(), a.zeros(), a.min_modulus(), a.jensen_deficit(), a.index_margins()),
        *(a.inner_outer(), a.energy_delay(), a.recovery(), a.memory(), a.response(), a.outer(full=True)),
        *(a.rounding_margin("bfloat16"), a.information_limit(1.0), a.spectrum_index(np.linspace(0, 1, 500))),
        *(a.splitting([8, 16]), operators.exact_index(1 - 3 * z, z), T.information_rate(1.0)),
        *(T.information_curve(np.logspace(-2, 2, 300)), T.bits_at("bfloat16"), T.recovery(1.0)),
        *(T.singular_values(full=True), T.log10_condition(), T.nullity(), T.inverse_series()),
        *(T.solve(np.ones(N), rtol=None, full=True), tt.MatrixSymbol(rng.normal(size=(64, 2, 2)))),
        *(tt.index_map(a.kernel[:32]), tt.pseudospectrum(a.kernel[:16]), checkpoint, checkpoint.layers[0]),
        *(report, report.rows[0], report.provenance, tt.compare([report, report]), tt.Kernels()),
        *(
            checkpoint.multihead("mixer_blocks.0"),
            tt.training.load_recipe("models/tmm-next-token/recipe.toml"),
        ),
    ]


def test_no_object_is_printed_at_length(shown):
    for thing in shown:
        text = repr(thing)
        assert text.count("\n") < MOST_LINES and len(text) < MOST_CHARACTERS, f"{type(thing)}: {text[:200]}"
        assert type(thing).__name__ in text or "\n" in text, text[:200]


def test_dataclasses_have_a_table_for_notebooks(shown):
    for thing in shown:
        if dataclasses.is_dataclass(thing):
            html = thing._repr_html_()
            assert html.startswith("<div") and html.endswith("</div>") and "<t" in html
            assert len(html) < 5000 or isinstance(thing, tt.Report | tt.reports.Comparison), type(thing)


def test_every_dataclass_of_results_is_displayed():
    names = [getattr(operators, name) for name in operators.__all__]
    plain = [kind for kind in names if dataclasses.is_dataclass(kind) and not issubclass(kind, Displayed)]
    assert not plain


def test_foreign_text_is_escaped():
    skipped = tt.checkpoints.Skipped("<script>\x1b[31m", "why")
    assert "<script>" not in skipped._repr_html_() and "\x1b" not in repr(skipped)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((0,)), "array([], dtype=float64)"),
        (np.array([1.0, 2.0]), "array([1., 2.])"),
        (np.float64(2.5), "2.5"),
        ({1: 2}, "{1: 2}"),
        ("x" * 500, repr("x" * 48 + "..." + "x" * 48)),
        (list(range(5)), "<list of 5>"),
        (object, "<class 'object'>"),
    ],
)
def test_brief(value, text):
    assert brief(value) == text
