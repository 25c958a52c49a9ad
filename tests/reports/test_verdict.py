"""How much of its input a layer gives back, in columns, words and tables; layers whose answer is known."""

import csv
import io
import json
import math

import numpy as np
import pytest
from report_builders import CANCELS, KEY, SHIFT, ZERO, flat, padded, with_zeros

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports import terminal
from toeplitz_theory.reports.terminal import Choice, print_report
from toeplitz_theory.reports.verdict import gives_back

HEAD = "mixer_blocks.{}.token_mixing_layer.mixer_heads.{}.weight"


def printed(report, **options):
    out = io.StringIO()
    print_report(report, out, Choice(**options))
    return out.getvalue()


@pytest.fixture(scope="module")
def heads():
    """Two layers: three shifts by 1, 2 and 7, and two kernels that are invertible."""
    kernels = {HEAD.format(0, h): padded(*[0.0] * m, 1.0) for h, m in enumerate((1, 2, 7))}
    kernels |= {HEAD.format(1, h): with_zeros(2.0 + h) for h in range(2)}
    return tt.inspect({key: kernel.astype(np.float32)[None] for key, kernel in kernels.items()})


def test_columns_are_those_of_the_curve_of_one_zero():
    # 1 - 2 z: R(L) = 1 - (3/4) (1/4)^L = .25, .8125, .953...; with residual 2 - 2 z: a zero on the circle.
    row = tt.inspect(flat(padded(1.0, -2.0))).rows[0]
    assert row.recovered_at_once.value == pytest.approx(0.25, abs=1e-12) and row.recovered_at_once.certified
    assert row.recovered_at_once.lower <= 0.25 <= row.recovered_at_once.upper
    assert (row.delay_50, row.delay_90) == (1, 2) and row.delay_90.certified
    # 3 - 2 z is invertible; 1 + (3 - 2 z) = 4 - 2 z too; -2 z alone is a shift, 1 - 2 z with its residual.
    both = tt.inspect(flat(padded(3.0, -2.0), padded(0.0, -2.0))).table
    assert both["recovered_at_once"].tolist() == pytest.approx([1.0, 0.0])
    assert both["delay_90"].tolist() == [0, 1] and both["residual_delay_90"].tolist() == [0, 2]


def test_delays_reach_as_far_as_they_must():
    # A shift by 15 of 16 taps, and zeros so many and so deep that 90 % come after several times n.
    assert tt.inspect(flat(padded(*[0.0] * 15, 1.0))).rows[0].delay_90 == 15
    kernel = with_zeros(0.9, -0.9, 0.8, -0.8, 0.7, n=6)
    late = tt.inspect({KEY.format(0): kernel[None]}).rows[0]
    assert late.index.value == -5 and late.delay_90 > 6
    assert late.delay_90 == np.searchsorted(late.symbol.recovery(horizon=400).curve, 0.9)


def test_bits_agree_with_a_dense_decomposition():
    kernel = with_zeros(0.5, 4.0, n=12).astype(np.float32)
    sigma = np.linalg.svd(tt.CausalToeplitz(kernel).to_dense(), compute_uv=False)
    snr = 3 * 4**8 / ((sigma**2).sum() / 12)
    row = tt.inspect(flat(kernel)).rows[0]
    assert row.bits_bfloat16.value == pytest.approx(np.log2(1 + snr * sigma**2).sum() / 24, abs=1e-9)


@pytest.mark.parametrize("place", [ZERO, CANCELS, SHIFT])
def test_awkward_kernels_have_what_can_be_had(awkward_report, place):
    line = awkward_report.table.iloc[place]
    known = {ZERO: (True, True, True), CANCELS: (False, False, True), SHIFT: (False, False, False)}[place]
    columns = ("recovered_at_once", "delay_90", "residual_delay_90")
    assert tuple(bool(line.isna()[name]) for name in columns) == known


def test_summary_has_a_row_for_each_layer(heads):
    summary = heads.summary
    assert summary["layer"].tolist() == ["mixer_blocks.0", "mixer_blocks.1"]
    assert summary["kernels"].tolist() == [3, 2] and summary["certified"].tolist() == [3, 2]
    assert summary["index"].tolist() == [-2, 0] and summary["delay_90"].tolist() == [2, 0]
    assert summary["index_0"].tolist() == [0, 2] and summary["w0_not_0"].tolist() == [0, 2]
    assert math.isinf(summary["jensen_deficit"][0]) and summary["jensen_deficit"][1] == 0
    assert summary["gives_back"].tolist() == ["90 % after 2 tokens", "all at once"]


def test_a_kernel_is_reached_by_its_layer_and_head(heads):
    row = heads["mixer_blocks.0", 2]
    assert (row.layer, row.head, row.index.value) == ("mixer_blocks.0", 2, -7)
    assert row.symbol.winding().count == 7 and row.recovery.share([6, 7]).tolist() == [0.0, 1.0]
    assert tt.inspect(flat(with_zeros(2.0)))["mixer_blocks.0"].head is None
    assert list(heads) == list(heads.rows)
    with pytest.raises(InputError, match=r"there are mixer_blocks\.0, mixer_blocks\.1"):
        heads["mixer_blocks.9"]
    for place in ("mixer_blocks.1", ("mixer_blocks.1", 2)):
        with pytest.raises(InputError, match="no such head; give one of 0, 1"):
            heads[place]


def test_the_terminal_ends_with_the_layers(heads):
    *_, header, first, second, shift, _, _ = printed(heads).splitlines()
    assert header.split("  ")[0] == "layer" and "gives back" in header
    assert first.startswith("mixer_blocks.0") and "90 % after 2 tokens" in first
    assert second.startswith("mixer_blocks.1") and "all at once" in second
    assert shift.startswith("1 kernel: ") and "n x n matrix singular: nullity 1" in shift
    *_, header, first, _, _, _, last = printed(heads, every=True).splitlines()
    assert header.split()[:3] == ["layer", "head", "n"] and last.split()[:2] == ["mixer_blocks.1", "1"]


def test_many_notes_of_kernels_are_counted_where_they_are_not_shown():
    shifts = tt.inspect(flat(*(padded(*[0.0] * m, 1.0) for m in range(1, 7))))
    assert printed(shifts).rstrip().endswith("6 kernels have notes: --all shows them")


def test_layers_columns_and_order_are_chosen(heads):
    lines = printed(
        heads, every=True, columns=("head", "delay_90"), sort="-delay_90", layers=("*.0",)
    ).splitlines()
    assert [line.split() for line in lines[-4:]] == [["head", "delay_90"], ["2", "7"], ["1", "2"], ["0", "1"]]
    assert "3 kernels in 1 Toeplitz layer" in lines[1]
    lines = printed(heads, sort="delay_90").splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["mixer_blocks.1", "mixer_blocks.0"]


def test_missing_values_are_sorted_last(awkward_report):
    for sort in ("index", "-index"):
        rows = json.loads(printed(awkward_report, every=True, sort=sort, form="json"))
        values = [row["index"] for row in rows]
        known = [value for value in values if value is not None]
        assert values[len(known) :] == [None] * 3 and known == sorted(known, reverse=sort == "-index")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("nonsense",)}, "'nonsense' is unknown; choose from layer, kernels"),
        ({"sort": "-head"}, "'head' is unknown"),
        ({"layers": ("*.9",)}, "there are mixer_blocks.0, mixer_blocks.1"),
        ({"form": "xml"}, "choose from table, csv"),
    ],
)
def test_unknown_choices_are_refused(heads, options, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        printed(heads, **options)


def test_every_form_holds_the_same_table(awkward_report):
    names = ("layer", "index", "log10_condition")
    expected = [
        (row.layer, row.cells()["index"], row.cells()["log10_condition"]) for row in awkward_report.rows
    ]
    options = {"every": True, "columns": names}
    read = list(csv.reader(io.StringIO(printed(awkward_report, form="csv", **options))))
    assert read[0] == list(names)
    assert [tuple(line) for line in read[1:]] == [
        tuple("" if value is None else str(value) for value in line) for line in expected
    ]
    objects = json.loads(printed(awkward_report, form="json", **options), parse_constant=lambda _: 1 / 0)
    assert [line["index"] for line in objects] == [line[1] for line in expected]
    assert objects[SHIFT]["log10_condition"] == "inf"
    markdown = printed(awkward_report, form="markdown", **options).splitlines()
    assert markdown[:2] == ["| layer | index | log10_condition |", "| --- | --- | --- |"]
    assert len(markdown) == 9 and markdown[2].startswith("| mixer\\_blocks.0 | 0 | ")
    latex = printed(awkward_report, form="latex", **options).splitlines()
    assert latex[0] == r"\begin{tabular}{lrr}" and latex[-1] == r"\end{tabular}"
    assert latex[3].startswith(r"mixer\_blocks.0 & 0 & ") and latex[3].endswith(r" \\")


def test_foreign_names_are_plain_in_every_form():
    evil = "=1+1|\\textbf{x}|$\n\x1b"
    report = tt.inspect({evil + "." + KEY.format(0): np.array([[1.0, 0.5]])})
    assert printed(report, form="csv", columns=("layer",)).splitlines()[1].startswith("'=1+1")
    for form in ("csv", "json", "markdown", "latex", "table"):
        text = printed(report, form=form, every=True)
        assert all(c.isprintable() for line in text.split("\n") for c in line)
    assert r"\textbackslash{}textbf\{x\}" in printed(report, form="latex")
    assert r"\|\\textbf\{x\}\|" in printed(report, form="markdown")


def test_page_and_notebook_begin_with_the_verdict(tmp_path, heads):
    heads.to_html(tmp_path / "r.html")
    for text in ((tmp_path / "r.html").read_text(encoding="utf-8"), heads._repr_html_()):
        assert text.index("90 % after 2 tokens") < text.index(
            "<table>" if "<table>" in text else 'id="table"'
        )


@pytest.mark.parametrize(
    ("at_once", "half", "most", "words"),
    [
        (1.0, 0.0, 0.0, "all at once"),
        (0.99999, 0.0, 0.0, "nearly all at once"),
        (0.6, 0.0, 12.0, "half at once, 90 % after 12 tokens"),
        (0.1, 1.0, 213.5, "half after 1 token, 90 % after about 214"),
        (0.1, 0.5, 1.0, "half after 0.5 tokens, 90 % after 1 token"),
        (0.0, 12345.0, 12345.0, "90 % after 12345 tokens"),
        (None, None, None, "not known"),
    ],
)
def test_delays_are_said_in_whole_tokens_with_their_unit(at_once, half, most, words):
    assert gives_back({"recovered_at_once": at_once, "delay_50": half, "delay_90": most}) == words


def test_a_layer_whose_delays_are_not_all_known_says_so():
    kernels = (padded(1.0, -2.0), padded(np.nan, 1.0))
    arrays = {HEAD.format(0, h): np.array(kernel)[None] for h, kernel in enumerate(kernels)}
    (words,) = tt.inspect(arrays).summary["gives_back"]
    assert words == "half after 1 token, 90 % after 2 (1 of 2 kernels known)"


def test_terminals_name_the_latest_of_many_kernels(monkeypatch):
    kernels = [padded(*[0.0] * k, 1.0) for k in range(6)]
    report = tt.inspect(flat(*kernels))
    few = io.StringIO()
    print_report(report, few)
    monkeypatch.setattr(terminal, "MOST_DRAWN", 5)
    many = io.StringIO()
    print_report(report, many)
    assert "the latest of 6 kernels" not in few.getvalue()
    named = many.getvalue().split("the latest of 6 kernels")[1].splitlines()[1:]
    assert named[0] == f"  {report.rows[5].name}: 90 % after 5 tokens" and len(named) >= 5


def test_a_verdict_on_estimates_says_so():
    kernel = np.random.default_rng(0).normal(size=64)
    quick, whole = (tt.inspect([kernel], quick=quick).summary["gives_back"][0] for quick in (True, False))
    assert quick == f"{whole}, an estimate"
