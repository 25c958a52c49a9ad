"""What theory says of every kernel, beside what models do with it: tables and rank correlations.

``toeplitz-theory figures theory_behaviour`` measures what is new in ``models/`` (minutes a model) and writes
``theory_behaviour.md``; ``python paper_figures/theory_behaviour.py FOLDER ...`` adds folders elsewhere.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student

import toeplitz_theory as tt
from toeplitz_theory.cache import file_hash
from toeplitz_theory.files import read_json, write_json, write_text
from toeplitz_theory.retention import (
    kernel_costs,
    rank_correlation,
    recall_curve,
    states,
    token_capacity,
)
from toeplitz_theory.threads import one_thread
from toeplitz_theory.training import open_trained

HERE = Path(__file__).parent
SEQUENCES = 32
THEORY = {
    "index": "index",
    "half_after": "half after",
    "after_90": "90 % after",
    "at_once": "at once",
    "jensen": "J",
    "condition": "log10 condition",
    "bits": "bits",
}
# Of single kernels; the costs are in nats of the held-out loss.
USE = {
    "mean_lag": "mean tap lag",
    "far": "output from more than 8 back",
    "silenced": "cost of silencing it",
    "delay_cost": "cost of taking its delay",
}
BANDS = {"0": (0, 0), "1-7": (1, 7), "8-31": (8, 31), "32 on": (32, 10**9)}
RECALL = (1, 8, 32, 120)
LONGEST = 1 << 26


def measured(folder: Path, kept: Path) -> dict:
    """Return all numbers of a trained folder, from ``kept`` where they are of the same weights."""
    weights = file_hash(folder / "model.safetensors")
    if kept.exists() and (known := read_json(kept, LONGEST)).get("weights") == weights:
        return known
    print(f"measuring {folder} ...", file=sys.stderr, flush=True)
    trained, report = open_trained(folder), tt.inspect(folder)
    model, n = trained.model, trained.recipe.sequence_length
    text = np.array([trained.held_out[i]["input_ids"] for i in range(min(SEQUENCES, len(trained.held_out)))])
    costs = {cost.key: cost for cost in kernel_costs(model, text)}
    kernels = []
    for row in report.rows:
        memory, cost = row.symbol.memory(), costs[row.key]
        kernels.append(
            {
                "part": next((p for p in ("encoder", "decoder") if row.layer.startswith(p)), "model"),
                "block": int(row.layer.rpartition(".")[2]),
                "head": row.head,
                "index": row.index and row.index.value,
                "half_after": row.recovery.delay(0.5),
                "after_90": row.recovery.delay(0.9),
                "at_once": row.recovery.at_once,
                "jensen": float(row.jensen_deficit),
                "condition": row.log10_condition.value,
                "bits": row.bits_bfloat16.value,
                "mean_lag": memory.mean_lag,
                "far": float(memory.shares[9:].sum()),
                "silenced": cost.silenced,
                "silenced_error": cost.silenced_error,
                "delay_cost": cost.at_once,
                "delay_cost_error": cost.at_once_error,
            }
        )
    content = {
        "weights": weights,
        "objective": trained.recipe.objective,
        "n": n,
        "sequences": len(text),
        "kernels": kernels,
        "layers": _states(model, n),
        "copying": None if trained.recipe.objective == "autoencode" else _copying(model, n),
    }
    write_json(kept, content)
    return content


def _states(model, n: int) -> list[dict]:
    """Return what the last position's state holds after every block: capacity by band, recall by lag."""
    alphabet = min(64, states.vocabulary(model))
    capacity = token_capacity(model, positions="last", samples=1500, alphabet=alphabet)
    recall = recall_curve(
        model, layers=range(len(capacity.settings["rank"])), lags=[k for k in RECALL if k <= n // 2]
    )
    layers = []
    for layer, table in capacity.table.groupby("layer"):
        total, low, high = capacity.settings["total"][layer]
        row = {"state": int(layer), "total": total, "lower": low, "upper": high}
        row |= {name: float(table[table.lag.between(*band)].value.sum()) for name, band in BANDS.items()}
        bits = recall.table[recall.table.layer == layer].set_index("lag")["value"]
        layers.append(row | {f"recall {k}": float(bits[k]) for k in bits.index})
    return layers


@torch.no_grad()
def _copying(model, n: int) -> float:
    """Return the share of tokens that come right when a random string stands there for the second time."""
    half, known = min(32, n // 2), states.vocabulary(model)
    string = torch.from_numpy(np.random.default_rng(0).integers(0, known, (64, half)))
    guesses = model(input_ids=torch.cat([string, string], dim=1)).logits[:, half:-1].argmax(dim=-1)
    return float((guesses == string[:, 1:]).double().mean())


def tables(contents: dict[str, dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per kernel and one per state, of all models."""
    kernels = pd.concat([pd.DataFrame(c["kernels"]).assign(model=m) for m, c in contents.items()])
    layers = pd.concat([pd.DataFrame(c["layers"]).assign(model=m) for m, c in contents.items()])
    return kernels.reset_index(drop=True), layers.reset_index(drop=True)


def text_of(contents: dict[str, dict]) -> str:
    """Return the whole of ``theory_behaviour.md``."""
    kernels, layers = tables(contents)
    parts = [
        "# Theory beside behaviour",
        "Drawn by `toeplitz-theory figures theory_behaviour` from `data/theory-behaviour/`; medians over "
        "the kernels of a layer. Costs: rise of the held-out loss, in nats per token, when one kernel is "
        "silenced, or replaced by its outer factor, which amplifies every frequency as it does and gives "
        "its input back at once. Capacity: dimensions of the *last* position's state that the tokens so "
        "many steps back decide (random tokens of 64; an interval over 8 groups of sequences); recall: "
        "bits of 6 about the token so many steps back, from states of the second half.",
    ]
    for model, content in contents.items():
        copied = content["copying"]
        parts.append(
            f"## {model}\n\nObjective {content['objective']}, n = {content['n']}."
            + (
                ""
                if copied is None
                else f" A random string that comes a second time: {copied:.1%} of its tokens right."
            )
        )
        parts.append(_layer_table(kernels[kernels.model == model], layers[layers.model == model]))
    parts.append(
        "# Rank correlations over kernels\n\nSpearman, with 95 % bootstrap intervals over kernels. *All*: "
        "all kernels of a part of a model; *within*: ranks taken in each layer, so that depth plays no part. "
        "Bold: the interval leaves 0 out; of the 56 in a table some three would if all were truly 0. Parts "
        "with fewer than 8 kernels have none."
    )
    for (model, part), group in kernels.groupby(["model", "part"], sort=False):
        if len(group) >= 8:
            parts.append(f"**{model}, {part}** ({len(group)} kernels)\n\n" + _correlations(group))
    parts.append(_over_models(kernels, layers))
    parts.append(_interventions(read_json(HERE / "data" / "interventions.json", LONGEST)["rows"]))
    return "\n\n".join(parts) + "\n"


def _layer_table(kernels: pd.DataFrame, layers: pd.DataFrame) -> str:
    names = {**THEORY, **USE}
    state_names = [
        "total",
        *BANDS,
        *(c for c in layers.columns if c.startswith("recall") and layers[c].notna().any()),
    ]
    head = [
        "layer",
        *names.values(),
        *(f"capacity {c}" if c not in layers or not c.startswith("recall") else c for c in state_names),
    ]
    rows = []
    for (part, block), group in kernels.groupby(["part", "block"], sort=False):
        median = group[list(names)].astype(float).median()
        state = layers[layers.state == block + 1] if part != "decoder" else layers[:0]
        cells = [f"{part} {block}", *(f"{median[name]:.3g}" for name in names)]
        rows.append(cells + [_cell(state[name]) for name in state_names])
    return _table(head, rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0].replace("|  |", "| |", 1), "|---" * len(head) + "|", *lines[1:]])


def _cell(values: pd.Series) -> str:
    return f"{values.iloc[0]:.2f}" if len(values) and pd.notna(values.iloc[0]) else ""


def _correlations(group: pd.DataFrame) -> str:
    ways = {"all": None, "within": group["block"]}
    head = ["", *(f"{text}, {kind}" for text in USE.values() for kind in ways)]
    rows = [
        [
            text,
            *(
                _shown(rank_correlation(group[theory], group[use], way))
                for use in USE
                for way in ways.values()
            ),
        ]
        for theory, text in THEORY.items()
    ]
    return _table(head, rows)


def _shown(one) -> str:
    if not np.isfinite(one.value):
        return "-"
    text = f"{one.value:.2f} [{one.lower:.2f}, {one.upper:.2f}]"
    return f"**{text}**" if one.lower > 0 or one.upper < 0 else text


def _over_models(kernels: pd.DataFrame, layers: pd.DataFrame) -> str:
    """Return the correlations of layers' medians with what their states hold; whole models are drawn."""
    medians = (
        kernels[kernels.part != "decoder"].groupby(["model", "block"])[list(THEORY)].median().reset_index()
    )
    medians["state"] = medians["block"] + 1
    both = medians.merge(layers, on=["model", "state"])
    count = both["model"].nunique()
    text = (
        f"# Layers of all models\n\nMedian of a layer's kernels against the state after it ({len(both)} "
        f"layers of {count} models), ranks within the same depth; intervals over models, from four models "
        "on."
    )
    if count < 4:
        return text + f" There are {count}: no interval can be given."
    held = ["total", *BANDS, *(f"recall {k}" for k in RECALL if f"recall {k}" in both)]
    rows = [
        [
            name,
            *(
                _shown(rank_correlation(both[theory], both[one], both["state"], both["model"]))
                for one in held
            ),
        ]
        for theory, name in THEORY.items()
    ]
    return text + "\n\n" + _table(["", *held], rows)


def _interventions(runs: list[dict]) -> str:
    """Return what changed kernels do to loss, answers and memory, means over the seeds."""
    table = pd.DataFrame(runs)
    text = [
        "# Interventions\n\nKernels changed, or trained under a penalty, and the models asked again; means "
        "over the seeds, with half of the 95 % interval (Student's t). Answers: right tokens, or letters "
        "copied. Capacity and recall as above, of the last block (`recipes/interventions.py`)."
    ]
    for (objective, heads, n), group in table.groupby(["objective", "heads", "n"], sort=False):
        states = "held" in group and group["held"].notna().all()
        head = ["change", "seeds", "index", "loss, nats", "right answers"]
        head += [f"capacity {band}" for band in BANDS] + [f"recall {k}" for k in RECALL[:3]] if states else []
        kind = f"**{objective.replace('_', ' ')}, {'flat' if heads == 1 else f'{heads} heads'}, n = {n}**"
        rows = []
        for change, seeds in group.groupby("change", sort=False):
            index = "" if "index" not in seeds or seeds["index"].isna().any() else _mean(seeds["index"], 1)
            cells = [change, str(len(seeds)), index, _mean(seeds["loss"], 3), _mean(seeds["accuracy"], 3)]
            if states:
                cells += _held_cells(list(seeds["held"]))
            rows.append(cells)
        text += [kind, _table(head, rows)]
    return "\n\n".join(text)


def _held_cells(held: list[dict]) -> list[str]:
    capacity = np.array([one["capacity"] for one in held])
    lags = held[0]["recall_lags"]
    recall = np.array([one["recall"] for one in held])
    cells = [
        _mean(capacity[:, first : last + 1].sum(axis=1), 1) if first < capacity.shape[1] else ""
        for first, last in BANDS.values()
    ]
    return cells + [_mean(recall[:, lags.index(k)], 2) if k in lags else "" for k in RECALL[:3]]


def _mean(values, digits: int) -> str:
    values = np.asarray(values, float)
    mean = f"{values.mean():.{digits}f}"
    if values.size < 2:
        return mean
    half = student.ppf(0.975, values.size - 1) * values.std(ddof=1) / values.size**0.5
    return f"{mean} ± {half:.{digits}f}"


def draw(models: Path, out: Path, more: tuple[Path, ...] = ()) -> list[Path]:
    """Measure what is new in ``models`` and ``more``, and write ``theory_behaviour.md``."""
    kept = out / "data" / "theory-behaviour"
    folders = [path.parent for path in models.rglob("recipe.toml")]
    names = {folder: "-".join(folder.relative_to(models).parts) for folder in folders}
    names |= {folder: folder.resolve().name for folder in more}
    for folder, name in sorted(names.items()):
        measured(folder, kept / f"{name}.json")
    contents = {path.stem: read_json(path, LONGEST) for path in sorted(kept.glob("*.json"))}
    write_text(out / "theory_behaviour.md", text_of(contents))
    return [out / "theory_behaviour.md"]


if __name__ == "__main__":
    with one_thread():
        for path in draw(HERE.parent / "models", HERE, tuple(map(Path, sys.argv[1:]))):
            print(path)
