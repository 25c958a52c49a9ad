"""What hidden states keep, as a page of one file that fetches nothing: words, figures and tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
from markupsafe import Markup

from toeplitz_theory.files import own_commit
from toeplitz_theory.names import shown
from toeplitz_theory.reports.html import render
from toeplitz_theory.retention.measure import Measured

BANDS = ((0, 0), (1, 7), (8, 31), (32, 127), (128, None))
# Of each kind of measure: its heading, and what one sees.
_ABOUT = {
    "token capacity": (
        "How many dimensions each token decides",
        "A hidden vector has as many dimensions as the rank of its covariance. The curve adds up how many "
        "of them the tokens up to k steps back decide, each of them alone; where it is flat, older tokens "
        "have left the vector. What several tokens decide only together is not in it. The model reads "
        "random tokens, so that nothing can be guessed.",
    ),
    "total effect": (
        "How much changes when one token does",
        "One token is drawn anew, and the change of a later hidden vector is counted in dimensions. This "
        "takes in what tokens decide together with others, so it lies above the curve before; its sum may "
        "exceed the rank.",
    ),
    "recall": (
        "What can be read of one token",
        "Bits about the token k steps back that a closed-form probe reads from one hidden vector; a lower "
        "bound of what the vector tells. The baseline “all” is what there is to know.",
    ),
    "recovery": (
        "When the input comes back",
        "Share of the token vectors' variance that the best linear estimate recovers from the hidden "
        "vectors up to so many tokens later. It asks all states, not one: a model may hold little in one "
        "vector and still let everything through in time.",
    ),
    "reconstruction": (
        "The whole input from one vector, by a trained decoder",
        "Skill 1 - loss / H of a decoder trained to give all tokens back from one frozen hidden vector, "
        "by position; H is the cross-entropy of the token frequencies, so that no information scores 0. A "
        "low skill can be the decoder's: read it beside the controls, and beside the closed formula.",
    ),
    "exact reconstruction": (
        "The prompt from all its states",
        "Distance of the stored state from that of the nearest and the second-nearest token. It shows that a "
        "state contains its own token: injectivity, not memory.",
    ),
}
_ON_TEXT = (
    "What can be read of one token, on text",
    "The same on held-out text. There the token far back can be guessed from the topic; the column "
    "“future”, the token equally far ahead, which no state can remember, says how much of it is guessing, "
    "and “embedding” what the last token alone tells.",
)


def retention_page(results: Mapping[str, Mapping[str, Measured]], source: str) -> str:
    """Return the whole page.

    Parameters
    ----------
    results : mapping of str to mapping of str to Measured
        Per model its measures by name, as `toeplitz_theory.retention.ask` gives them; the first model is the
        one the page is about.
    source : str
        Where that model was read.

    Returns
    -------
    str
        HTML, every foreign string escaped.

    Examples
    --------
    >>> one = Measured("recall", "bits", 1.0, (0.9, 1.1), 9, {"all": 3.0}, 0.1,
    ...                {"lag": [0, 1], "value": [2.0, 1.0], "lower": [1.9, 0.9], "upper": [2.1, 1.1]})
    >>> page = retention_page({"<b>": {"recall": one}}, "models/<b>")
    >>> page.startswith("<!DOCTYPE html>"), "<b>" in page, page.count("<img")
    (True, False, 1)
    """
    names = dict.fromkeys(name for measures in results.values() for name in measures)
    return render(
        "retention.html",
        first=next(iter(results)),
        lines=sentences(results),
        measures=_all_measures(results, names),
        sections=[
            _section(name, {m: found[name] for m, found in results.items() if name in found})
            for name in names
        ],
        provenance=_provenance(results, source),
    )


def sentences(results: Mapping[str, Mapping[str, Measured]]) -> list[str]:
    """Return what is to be said of the first model in short, beside the others.

    Examples
    --------
    >>> sentences({"a": {}})
    []
    """
    lines = []
    for name, say in (("capacity", _of_capacity), ("recall", _of_recall), ("recovery", _of_recovery)):
        told = [(model, say(found[name])) for model, found in results.items() if name in found]
        if told:
            line = told[0][1]
            lines.append(
                line + "".join(f" For {model}: {_decapitalised(other)}" for model, other in told[1:])
            )
    return lines


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _of_capacity(one: Measured) -> str:
    lag, value = _last(one, "lag")
    total = np.cumsum(value)
    half = int(lag[int(np.argmax(total >= total[-1] / 2))])
    nearest = "the token itself" if half == 0 else f"the tokens up to {half} steps back"
    far = value[lag >= 8].sum()
    return (
        f"Single tokens decide {one.text} of the {one.baselines.get('rank', np.nan):.0f} dimensions of "
        f"the last hidden vector, half of that {nearest}, {far:.1f} those 8 and more steps back."
    )


def _of_recall(one: Measured) -> str:
    lag, value = _last(one, "lag")
    known = one.baselines.get("all", np.nan)
    told = ", ".join(
        f"{bits:.3g} ({k:.0f} back)"
        for k, bits in zip(lag, value, strict=True)
        if k in (1, 8) or k == max(lag)
    )
    return f"Of the {known:.3g} bits of a token one vector tells {told}."


def _of_recovery(one: Measured) -> str:
    delay, value = _last(one, "delay")
    return (
        f"{100 * value[0]:.1f} % of the tokens' vectors come back at once, "
        f"{100 * value[-1]:.1f} % within {delay[-1]:.0f} tokens."
    )


def _last(one: Measured, along: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve of the last layer."""
    table = one.table
    if "layer" in table:
        table = table[table["layer"] == table["layer"].max()]
    return np.asarray(table[along], float), np.asarray(table["value"], float)


def _all_measures(results: Mapping[str, Mapping[str, Measured]], names: Iterable[str]) -> list[list[str]]:
    rows = []
    for name in names:
        for model, found in results.items():
            if name in found:
                one = found[name]
                beside = ", ".join(f"{key} {value:.4g}" for key, value in one.baselines.items())
                rows.append(
                    [name, model, one.text, one.unit, f"{one.samples:,}", beside, f"{one.seconds:.1f}"]
                )
    return rows


def _section(name: str, measures: Mapping[str, Measured]) -> dict[str, Any]:
    """Return one measure: what it is, its figure, and the numbers."""
    kind = next(iter(measures.values())).name
    heading, about = _ON_TEXT if name == "recall on text" else _ABOUT.get(kind, (kind, ""))
    tables = [
        (
            model,
            list(one.table),
            [[_cell(value) for value in row] for row in one.table.itertuples(index=False)],
        )
        for model, one in measures.items()
    ]
    return {
        "heading": heading,
        "about": about,
        "title": f"{heading}: {', '.join(measures)}",
        "figure": _figure(measures),
        "layers": _by_layer(measures) if kind == "token capacity" else None,
        "tables": tables,
    }


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _figure(measures: Mapping[str, Measured]) -> Markup:
    """Return the figure as SVG in base 64."""
    import matplotlib

    from toeplitz_theory.plots import look, retention_curves

    buffer = io.BytesIO()
    # A fixed salt and no date: the same numbers give the same page.
    with look(), matplotlib.rc_context({"svg.hashsalt": "toeplitz-theory"}):
        figure = retention_curves(measures).figure
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=False)
    return Markup(base64.b64encode(buffer.getvalue()).decode("ascii"))


def _by_layer(measures: Mapping[str, Measured]) -> tuple[list[str], list[list[str]]]:
    rows = []
    bands = [band for band in BANDS if any(max(one.columns["lag"]) >= band[0] for one in measures.values())]
    for model, one in measures.items():
        table = one.table
        for layer, part in table.groupby("layer"):
            sums = (part[part["lag"].between(low, high or np.inf)]["value"].sum() for low, high in bands[1:])
            own = part[part["lag"] == 0]["value"].sum()
            total = one.settings["total"][layer]
            rank = one.settings["rank"][layer]
            numbers = [f"{number:.1f}" for number in (own, *sums)]
            rows.append(
                [model, str(layer), *numbers, f"{total[0]:.1f} [{total[1]:.1f}, {total[2]:.1f}]", str(rank)]
            )
    return ["model", "layer", *_band_names(bands), "sum", "rank"], rows


def _band_names(bands: Sequence[tuple[int, int | None]]) -> Iterator[str]:
    for low, high in bands:
        yield "steps back: 0" if high == 0 else f"{low} on" if high is None else f"{low} to {high}"


def _provenance(results: Mapping[str, Mapping[str, Measured]], source: str) -> list[tuple[str, str]]:
    entries = [("model", shown(source, 300)), ("compared with", ", ".join(list(results)[1:]) or "nothing")]
    for name, one in next(iter(results.values())).items():
        settings = (f"{key} {value}" for key, value in one.settings.items() if key not in ("total", "rank"))
        entries.append((name, ", ".join(settings)))
    entries += [
        ("version", f"toeplitz-theory {metadata.version('toeplitz-theory')}"),
        ("commit", own_commit() or "not run from a checkout"),
        ("time", datetime.now(UTC).isoformat(timespec="seconds")),
    ]
    return entries
