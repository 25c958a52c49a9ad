"""Reports as JSON and HTML: nothing lost, nothing half-written, nothing unescaped, nothing fetched."""

import dataclasses
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_builders import flat, padded, with_zeros
from safetensors.numpy import save_file

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import written_whole
from toeplitz_theory.operators import (
    Condition,
    Delay,
    FredholmIndex,
    JensenDeficit,
    MinModulus,
    Nullity,
    Winding,
)
from toeplitz_theory.operators.circle.curve import cubic_pieces
from toeplitz_theory.reports import COLUMNS, Report, Row, report_page
from toeplitz_theory.reports.page_kernel import panel
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.sentences import cell_texts
from toeplitz_theory.reports.svg import linear, recovery_svg, response_svg, symmetric, taps_svg, zeros_svg
from toeplitz_theory.reports.verdict import latest

any_float = st.floats(width=64)
finite = st.floats(allow_nan=False, allow_infinity=False)
# Halves of surrogate pairs too: a state dict in memory may be named by anything.
text = st.text(st.characters(exclude_categories=[]), max_size=20)
count = st.integers(0, 2)
brackets = any_float, any_float, any_float, st.booleans(), text  # the fields of a `Bracket`
counts = count, count, count, st.booleans()
windings = st.builds(
    Winding, st.none() | count, st.booleans(), any_float, st.lists(any_float).map(tuple), count, text
)
indices = st.builds(FredholmIndex, st.none() | st.integers(-2, 0), windings)
TOLERANCES = {"tol": 0.0, "nullity_rtol": 0.5}


def with_first_tap(row):
    return dataclasses.replace(row, w0=row.kernel[0].item())


rows = st.builds(
    Row,
    layer=text,
    head=st.none() | st.integers(0, 9),
    n=st.just(3),
    dtype=text,
    key=text,
    layout=text,
    kernel=st.lists(finite, min_size=3, max_size=3).filter(any).map(np.array),
    index=st.none() | indices,
    index_residual=st.none() | indices,
    zeros_near_circle=st.none() | count,
    min_modulus=st.none() | st.builds(MinModulus, *brackets, any_float),
    jensen_deficit=st.none() | st.builds(JensenDeficit, *brackets),
    log10_condition=st.none() | st.builds(Condition, *brackets, count, text),
    nullity=st.none() | st.builds(Nullity, *counts, rtol=any_float, n=count, method=text),
    delay_90=st.none() | st.builds(Delay, count, count, st.none() | count, st.booleans()),
    note=text,
).map(with_first_tap)


def refuse(token):
    raise AssertionError(f"{token} is not JSON")


@given(st.lists(rows, max_size=3), st.lists(st.tuples(text, text), max_size=2))
def test_json_is_strict_and_loses_nothing(tmp_path_factory, some_rows, skipped):
    path = tmp_path_factory.mktemp("json") / "report.json"
    provenance = Provenance("x", (), (), (), tolerances=TOLERANCES)
    report = Report(tuple(some_rows), tuple(skipped), ("note",), provenance)
    report.save(path)
    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    back = Report.load(path)
    # repr tells nan from nan no more than from itself, which == does; kernels are compared apart.
    assert repr(back.rows) == repr(report.rows) and back.skipped == report.skipped
    assert back.provenance == report.provenance and back.notes == report.notes
    for mine, theirs in zip(back.rows, report.rows, strict=True):
        np.testing.assert_array_equal(mine.kernel, theirs.kernel)


def test_infinities_are_strings(tmp_path):
    tt.inspect(flat(padded(0.0, 1.0))).save(tmp_path / "r.json")
    row = json.loads((tmp_path / "r.json").read_text())["rows"][0]
    assert row["log10_condition"]["value"] == "inf" and row["jensen_deficit"]["value"] == "inf"
    assert Report.load(tmp_path / "r.json").rows[0].log10_condition.value == math.inf


def test_a_loaded_report_reproduces_itself(tmp_path, awkward_report):
    awkward_report.save(tmp_path / "r.json")
    loaded = Report.load(tmp_path / "r.json")
    again = tt.inspect(flat(*(row.kernel for row in loaded.rows)))
    assert again.rows == loaded.rows
    assert loaded.table.equals(awkward_report.table)


def test_provenance_names_file_hash_versions_and_tolerances(tmp_path):
    import hashlib

    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file(flat([1.0, 0.5]), path)
    made = tt.inspect(path, tol=0.25).provenance
    assert made.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.files[0].bytes == path.stat().st_size and made.n == (2,) and made.dtypes == ("float32",)
    assert made.tolerances == {"tol": 0.25, "nullity_rtol": 1e-6}
    assert {"python", "numpy", "python-flint"} <= set(made.versions) and made.time.endswith("+00:00")


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "nonsense", "[" * 99999, "9" * 9999, '{"format": "toeplitz-theory report"}'),
        *(f'{{"format": "toeplitz-theory report", "format_version": {v}}}' for v in (2, 3, 4, "true", "[]")),
    ],
)
def test_damaged_reports_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        Report.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_reports_with_damaged_rows_are_refused(tmp_path, awkward_report):
    awkward_report.save(tmp_path / "r.json")
    whole = json.loads((tmp_path / "r.json").read_text())
    for damage in (
        {"kernel": {"dtype": "float32", "base64": "!"}},
        {"kernel": None},
        {"index": {"value": 1}},
    ):
        broken = {**whole, "rows": [{**whole["rows"][0], **damage}]}
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match="damaged report"):
            Report.load(tmp_path / "broken.json")


def test_failed_writes_leave_what_was_there(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_places_that_cannot_be_written_are_refused(tmp_path, awkward_report):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "r.json"):
        with pytest.raises(InputError, match="file"):
            awkward_report.save(place)


class Page(HTMLParser):
    """Tags and attributes of a page, with a check that they nest."""

    VOID = frozenset({"meta", "br", "path", "input"})

    def __init__(self, source):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_page_is_whole_and_fetches_nothing(tmp_path, awkward_report):
    awkward_report.to_html(tmp_path / "r.html")
    source = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.open == []
    assert not re.search(r"https?:|src=|@import|url\(", source)
    assert not page.all("link") and not page.all("img")
    headings = [attributes for attributes in page.all("th") if "aria-sort" in attributes]
    assert [h["data-name"] for h in headings] == [column.name for column in COLUMNS]
    assert all(h["scope"] == "col" and h["aria-sort"] == "none" and h["title"] for h in headings)
    assert len(page.all("button")) == len(COLUMNS) + 1
    # Four charts by layer; five kernels can be drawn, four times each; the other two panels say why not.
    assert len(page.all("svg")) == 24 and len(page.all("section")) == 7
    targets = {attributes["id"] for name, attributes in page.tags if name in ("section", "h2")}
    assert {attributes["href"][1:] for attributes in page.all("a")} == targets
    rows = [attributes["data-panel"] for attributes in page.all("tr") if "data-panel" in attributes]
    assert set(rows) <= targets and len(rows) == 7


def test_a_zero_beyond_the_range_of_floats_lies_at_the_edge():
    kernel = [0.0, 0.0, 1.0, 5e-324]  # its zero at -2e323 is computed as infinite
    drawing = zeros_svg(tt.Symbol(kernel).zeros(), len(kernel), True, "zeros")
    assert 'class="outside" d="m626 44h0"' in drawing and "2 inside, 2 of them at 0" in drawing


def test_page_escapes_what_users_wrote(tmp_path):
    evil = '<script>alert("x")</script>&'
    index = FredholmIndex(0, Winding(0, True, 0.5, (), 1, evil))
    row = Row(evil, None, 2, evil, evil, evil, np.array([1.0, 0.5]), 1.0, index=index, note=evil)
    provenance = Provenance(evil, (), (evil,), (2,), tolerances=TOLERANCES)
    Report((row,), ((evil, evil),), (evil,), provenance).to_html(tmp_path / "r.html")
    source = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "alert" in source and evil not in source and source.count("<script>") == 1
    assert Page(source).open == []
    assert evil not in Report((row,), ((evil, evil),), (evil,), provenance)._repr_html_()


def test_page_of_64_kernels_is_under_a_megabyte(tmp_path):
    rng = np.random.default_rng(0)
    made = tt.inspect({"w": rng.standard_normal(512) * np.sqrt(2 / 512)})
    heading = len(report_page.table([], []))
    one = len(panel(0, made.rows[0])) + len(report_page.table(made.rows, [0])) - heading
    made.to_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size + 63 * (one + 500) < 1_000_000  # 500: its dots by layer


def test_pages_of_many_kernels_summarise(tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "MOST_DRAWN", 8)
    monkeypatch.setattr(report_page, "_LATEST", 3)
    kernels = [padded(*[0.0] * k, 1.0) for k in range(9)] + [padded(np.nan)]
    made = tt.inspect(flat(*kernels))
    made.to_html(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    # The one that could not be analysed first, then the latest; links lead to panels that are there.
    assert [attributes["id"] for attributes in page.all("section")] == ["k9", "k8", "k7"]
    assert [row.layer for row in latest(made.rows, 2)] == [made.rows[9].layer, made.rows[8].layer]
    assert {a["href"] for a in page.all("a") if a["href"].startswith("#k")} == {"#k9", "#k8", "#k7"}
    assert "The 3 of 10 kernels" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_cells_say_no_more_than_is_known():
    row = tt.inspect(flat(with_zeros(0.5, n=4))).rows[0]
    loose = dataclasses.replace(
        row,
        jensen_deficit=JensenDeficit(0.69, 0.62, 0.75, False, ""),
        min_modulus=MinModulus(0.99999, 0.99999, 1.0, method="", angle=0.0),
    )
    texts = cell_texts(loose)
    assert texts["jensen_deficit"] == "~0.7" and texts["min_modulus"] == "0.9999"
    assert float(cell_texts(row)["min_modulus"]) <= row.min_modulus.lower


def test_ticks_are_round_numbers_within_the_axis():
    for low, high in ((0.0, 1.0), (-0.37, 4.2), (3.0, 3.0001), (0.0, 3e-9)):
        ticks = [value for value, _ in linear(low, high).ticks]
        assert 1 <= len(ticks) <= 7 and low <= ticks[0] and ticks[-1] <= high * (1 + 1e-9)
    assert all(value == int(value) for value, _ in linear(0.0, 1.0, whole=True).ticks)
    scale = symmetric(100.0)
    places = [float(scale.place(value)) for value in (-100.0, 0.0, 100.0)]
    assert places == [0.0, 0.5, 1.0]


# The example: right in the middle of a piece by accident, and 5e-3 astray on both sides.
@example(49, 238756)
@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_cubics_stay_on_the_curve(n, seed):
    kernel = np.random.default_rng(seed).standard_normal(n)
    angles, values, slopes = cubic_pieces(kernel, 1e-3)
    # At a third of each piece, where nothing was fitted, by Horner's rule instead of a transform.
    width = np.diff(angles)
    t = 1 / 3
    cubic = (
        (1 + 2 * t) * (1 - t) ** 2 * values[:-1]
        + t * (1 - t) ** 2 * width * slopes[:-1]
        + t**2 * (3 - 2 * t) * values[1:]
        + t**2 * (t - 1) * width * slopes[1:]
    )
    truth = np.polyval(kernel[::-1], np.exp(1j * (angles[:-1] + width / 3)))
    # Quarters and middle stray at most 1e-3 of the largest modulus; at a third the error is of the same size.
    assert np.abs(cubic - truth).max() <= 3e-3 * np.abs(values).max() + 100 * n * np.finfo(float).eps


@pytest.mark.parametrize(
    "kernel",
    [[3.0], [1e-300, 2e-300], [5e-324], [1e308, -1e308], padded(0, 0, 1), [1j, 2.0, 1 - 1j], [1, -1.0]],
)
def test_any_finite_kernel_can_be_drawn(kernel):
    a = tt.Symbol(kernel)
    real = not np.iscomplexobj(a.kernel)
    drawn = [recovery_svg(a.recovery(), "x"), taps_svg(a.kernel, "x"), response_svg(a.response(), "x")]
    drawn.append(zeros_svg(a.zeros(), len(a), real, "x"))
    for picture in drawn:
        numbers = re.sub(r"<text.*?</text>|class=\S+", "", picture)
        assert "nan" not in numbers and "inf" not in numbers
        places = re.findall(r"M(-?\d+) (-?\d+)", numbers)
        assert places and all(0 <= int(x) <= 640 and 0 <= int(y) <= 408 for x, y in places)


def test_drawings_hold_the_numbers():
    a = tt.Symbol(with_zeros(0.5, 0.25 + 0.5j, 0.25 - 0.5j, -4.0).real)
    zeros = zeros_svg(a.zeros(), 16, True, "x")
    # One of the pair, with the zero on the right half line; the other side has one.
    inside = re.search('class="inside" d="([^"]*)"', zeros).group(1)
    assert inside.count("m") == 2 and "3 inside" in zeros and "1 outside" in zeros
    assert "mean 3" in recovery_svg(a.recovery(), "x")
    steps = re.search(
        'class="curve" d="M84 (\\d+)h', recovery_svg(tt.Symbol([1.0, -2.0]).recovery(), "x")
    ).group(1)
    top, bottom = 44, 408 - 62
    assert int(steps) == round(bottom - 0.25 * (bottom - top))


def test_notebooks_show_reports(awkward_report):
    shown = awkward_report._repr_html_()
    # A table of seven layers and one of seven kernels, each under its headings.
    assert shown.count("<tr>") == 16 and "<script" not in shown
    assert "medians" in tt.compare({"a": awkward_report})._repr_html_().lower()
    assert tt.inspect(flat(with_zeros(0.5))).rows[0].name in shown


def test_a_report_equals_what_is_read_back(tmp_path):
    taps = np.array([[1.0, -2.0, 0.0], [0.0, 0.0, 1.0], [np.nan, 1.0, 0.0], [1.0, -1.0, 0.0]])
    report = tt.inspect({f"blocks.{k}.mixer.weight": kernel for k, kernel in enumerate(taps)})
    report.save(tmp_path / "r.json")
    back = Report.load(tmp_path / "r.json")
    assert back == report
    assert report != tt.inspect({"blocks.0.mixer.weight": taps[0]}) and report != "report"
    # Also kernels that no number tells apart make reports different.
    rows = (dataclasses.replace(report.rows[0], kernel=np.array([1.0, -2.0, 1e-300])), *report.rows[1:])
    assert dataclasses.replace(report, rows=rows) != report


def test_comparisons_name_models_that_have_no_names(tmp_path):
    (tmp_path / "small").mkdir()
    for path in ("small/model.safetensors", "alone.safetensors"):
        save_file({"blocks.0.mixer.weight": np.array([1.0, -2.0])}, tmp_path / path)
    report = tt.inspect(np.array([1.0, 2.0]))
    models = [tmp_path / "small", str(tmp_path / "alone.safetensors"), report, report]
    compared = tt.compare(models)
    assert list(compared.reports) == ["small", "alone", "arrays in memory", "arrays in memory 2"]
    assert compared.reports["arrays in memory"] is report
    assert list(tt.compare({1: report, "1": report, "a\n": report, "a\\n": report}).reports) == [
        *("1", "1 2", "a\\n", "a\\n 2")
    ]
    for wrong in (str(tmp_path), report, []):
        with pytest.raises(InputError, match="pass a list of models, or names to models"):
            tt.compare(wrong)
