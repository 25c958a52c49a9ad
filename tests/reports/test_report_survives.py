"""Whatever a kernel raises, whatever a file is called, whatever a saved report holds: the report stands."""

import copy
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_builders import KEY, flat, padded, with_zeros
from safetensors.numpy import save_file
from threadpoolctl import threadpool_info

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import CausalToeplitz, RowNormalised, Symbol
from toeplitz_theory.reports import Report, computing
from toeplitz_theory.reports.analysis import Asked, analyse
from toeplitz_theory.reports.terminal import print_comparison, print_report

LAYER = ".mixer_blocks.0.token_mixing_layer.weight"


def everything(made, folder, figures=True):
    """Every way to look at a report, and the text a terminal shows of it."""
    made.to_html(folder / "r.html")
    made.save(folder / "r.json")
    both = tt.compare({"a": made, "b": made})
    both.save_csv(folder / "r.csv")
    assert "<table" in made._repr_html_() and "<table" in both._repr_html_()
    if figures:
        for kind in ("symbols", "zeros", "kernels", "by_layer"):
            assert made.plot(kind)._repr_png_()
        assert both.plot()._repr_png_()
    terminal = io.StringIO()
    print_report(made, terminal)
    print_comparison(both, terminal)
    return "\n".join([repr(made), repr(both), terminal.getvalue()])


# What each number is computed by, and the column that is missing without it.
SOURCES = {
    "index": (Symbol, "fredholm_index"),
    "zeros_near_circle": (Symbol, "zeros_near_circle"),
    "min_modulus": (Symbol, "min_modulus"),
    "jensen_deficit": (Symbol, "jensen_deficit"),
    "log10_condition": (CausalToeplitz, "log10_condition"),
    "nullity": (CausalToeplitz, "nullity"),
}


@pytest.mark.parametrize("column", SOURCES)
@pytest.mark.parametrize(
    "error", [ValueError("two\nlines"), MemoryError("32 GiB"), RecursionError(), ZeroDivisionError("x")]
)
def test_one_kernel_never_takes_a_report_down(monkeypatch, tmp_path, column, error):
    kind, method = SOURCES[column]
    plain = getattr(kind, method)

    def fails_for_the_second(self, *args, **kwargs):
        if self.kernel[0] == 7:
            raise error
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(kind, method, fails_for_the_second)
    kernels = flat(with_zeros(0.25), 7 * with_zeros(0.25), with_zeros(4.0))
    made = tt.inspect(kernels)
    first, second, third = made.rows
    assert f"{column} not computed: {type(error).__name__}" in second.note and "\n" not in second.note
    assert second.analysed and second.cells()[column] is None
    others = set(SOURCES) - {column}
    assert all(second.cells()[name] is not None for name in others)
    assert not first.note and not third.note
    assert Report.load(_saved(made, tmp_path)).rows == made.rows
    everything(made, tmp_path, figures=error.args == ("x",))


def test_an_index_with_residual_that_fails_is_a_note(monkeypatch):
    def fails(self, tol=0.0):
        raise OverflowError("too large")

    monkeypatch.setattr(RowNormalised, "residual_winding", fails)
    layer = tt.checkpoints.load(flat(with_zeros(0.5))).layers[0]
    object.__setattr__(layer, "row_normalised", True)
    row = analyse(layer, Asked())
    assert row.index_residual is None and row.index.value == -1
    assert "index_residual not computed: OverflowError: too large" in row.note


def test_drawings_that_fail_are_panels_that_say_so(monkeypatch, tmp_path):
    made = tt.inspect(flat(with_zeros(0.5), with_zeros(2.0)))
    monkeypatch.setattr(Symbol, "zeros", lambda self: 1 / "x")
    drawing = made.plot("zeros")
    assert all("TypeError" in artist.get_text() for artist in drawing.artists)
    made.to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 10 and page.count("zeros: TypeError") == 2


taps = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, 5e-324, -1e-310, 2.64e-90, 1.0, -1.0, 8.6e298, 1.7e308]
)


@settings(max_examples=40)
@given(st.lists(taps, min_size=1, max_size=8))
def test_any_finite_kernel_is_a_row(kernel):
    row = tt.inspect({KEY.format(0): np.array([kernel])}).rows[0]
    assert row.analysed == any(kernel)
    # Whatever is missing has its reason in the note.
    missing = [name for name, value in row.cells().items() if value is None and name in SOURCES]
    assert not missing or row.note


@pytest.mark.parametrize(
    "kernel",
    [[1e-310, 1e308, 1.0, 0.0], [2.64e-90, 8.6e298], [1e-300, 1e300, 1.0], [5e-324, 1.7e308, -5e-324]],
)
def test_wide_range_kernels_can_be_looked_at_in_every_way(tmp_path, kernel):
    everything(tt.inspect({KEY.format(0): np.array([kernel])}), tmp_path)


def test_long_kernels_have_what_needs_no_matrix():
    kernel = np.random.default_rng(0).standard_normal(16_400) / np.arange(1, 16_401)
    # Below 1e-8 of the largest, singular values cannot be counted, and a matrix would be too large.
    row = tt.inspect({KEY.format(0): kernel[None]}, nullity_rtol=1e-12).rows[0]
    assert row.index.certified and row.log10_condition is not None and row.delay_90 is not None
    assert row.bits_bfloat16 is not None
    assert row.nullity is None and "nullity not computed: " in row.note


def test_long_kernels_draw_without_their_zeros(tmp_path, monkeypatch):
    monkeypatch.setattr("toeplitz_theory.reports.rows._MOST_TAPS_ISOLATED", 8)
    made = tt.inspect(flat(with_zeros(0.5, n=9)))
    made.to_html(tmp_path / "r.html")
    assert "zeros: not isolated above n = 8" in (tmp_path / "r.html").read_text()
    assert "not isolated" in made.plot("zeros").artists[0].get_text().replace("\n", " ")


# Names from other people's files.

CONTROL = "\x1b]0;PWNED\x07\x1b[31m\r\n\t"
NAMES = [
    CONTROL,
    r"$x^{\undefined$",
    "A" * 100_000,
    "=cmd|/C calc!A0",
    "[red]x[/red]",
    "<b>&\"'",
    "\ud800",
    "_",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:12]))
def test_foreign_names_are_shown_and_nothing_more(tmp_path, name):
    kernels = {
        name + LAYER: np.array([[1.0, 2.0, 3.0, 0.5]]),
        f"{name}9{LAYER}": np.array([[1.0, np.nan, 0, 0]]),
    }
    made = tt.inspect(kernels)
    text = everything(made, tmp_path)
    assert all(c.isprintable() for line in text.split("\n") for c in line)
    assert max(map(len, text.splitlines())) < 3000
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>&" not in page and "\x1b" not in page and len(page) < 100_000
    assert Report.load(tmp_path / "r.json").rows[0].layer == made.rows[0].layer
    csv = (tmp_path / "r.csv").read_text(encoding="utf-8")
    assert ",=" not in csv and "\x1b" not in csv
    table = made.table
    assert all(c.isprintable() for cell in table["layer"] for c in cell)


def test_models_names_are_foreign_too(tmp_path):
    made = tt.inspect(flat(with_zeros(0.5)))
    both = tt.compare(dict.fromkeys(NAMES, made))
    terminal = io.StringIO()
    print_comparison(both, terminal)
    assert all(c.isprintable() for line in (repr(both) + terminal.getvalue()).split("\n") for c in line)
    assert "<b>&" not in both._repr_html_()
    both.save_csv(tmp_path / "r.csv")
    assert "\n=" not in (tmp_path / "r.csv").read_text(encoding="utf-8", errors="surrogateescape")
    assert both.plot()._repr_png_()


# Saved reports that somebody changed.

ODD = [None, True, -1, 10**30, 0.5, float("nan"), float("inf"), "", "inf", "\ud800", [], [None], {}, {"a": 1}]


def _saved(made, folder):
    made.save(folder / "saved.json")
    return folder / "saved.json"


def places(value, path=()):
    """Paths to everything inside a JSON document."""
    yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, (*path, key))
    elif isinstance(value, list):
        for key, entry in enumerate(value[:2]):
            yield from places(entry, (*path, key))


def changed(document, path, value, remove=False):
    whole = copy.deepcopy(document)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


def test_reports_that_load_can_be_looked_at(tmp_path, awkward_report):
    """Every place of a report replaced by some of the odd values, or taken out."""
    whole = json.loads(_saved(awkward_report, tmp_path).read_text())
    whole["rows"] = whole["rows"][1:5:3]
    whole["skipped"] = [["name", "reason"]]
    refused = accepted = 0
    odd = itertools.cycle(range(len(ODD) + 1))
    for path in list(places(whole))[1:]:
        for k in itertools.islice(odd, 5):
            removed = k == len(ODD)
            (tmp_path / "odd.json").write_text(
                json.dumps(changed(whole, path, None if removed else ODD[k], removed))
            )
            try:
                made = Report.load(tmp_path / "odd.json")
            except InputError as error:
                assert "\n" not in str(error) and len(str(error)) < 500
                refused += 1
                continue
            accepted += 1
            everything(made, tmp_path, figures=accepted % 50 == 0)
    assert refused > 200 and accepted > 20


@pytest.mark.parametrize("place", ["missing.json", "folder", "fifo", "no\0name"])
def test_what_is_no_file_is_no_report(tmp_path, place):
    import os

    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError):
        Report.load(tmp_path / place)


# A busy machine.


def test_inspecting_uses_one_thread_and_gives_the_others_back(monkeypatch):
    before = [pool["num_threads"] for pool in threadpool_info()]
    during = []
    plain = computing.analyse

    def watch(*args):
        during.extend(pool["num_threads"] for pool in threadpool_info())
        return plain(*args)

    monkeypatch.setattr(computing, "analyse", watch)
    tt.inspect(flat(with_zeros(0.5)))
    assert set(during) == {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_skipped_names_are_shown(tmp_path):
    dense = {f"{CONTROL}mixer_blocks.9.token_mixing_layer.weight": np.ones((4, 4), dtype=np.float32)}
    save_file({**flat(padded(1.0, n=4)), **dense}, tmp_path / "m.safetensors")
    text = everything(tt.inspect(tmp_path / "m.safetensors"), tmp_path, figures=False)
    assert all(c.isprintable() for line in text.split("\n") for c in line)
