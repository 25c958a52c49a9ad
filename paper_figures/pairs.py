"""(g) Next token and autoencoder at n = 32, with heads and flat, three seeds each."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from toeplitz_theory.plots.drawing import Drawing, look

DATA = Path(__file__).parent / "data" / "pairs.json"
STACKS = {  # in the file: objective, name of the stack of blocks
    "next token": ("next_token", "mixer_", "#0072B2"),
    "encoder": ("autoencode", "encoder", "#D55E00"),
    "decoder": ("autoencode", "decoder", "#009E73"),
}
BANDS = {"0": (0, 1), "1–7": (1, 8), "8–31": (8, 32)}
KINDS = {16: ("16 heads", "-"), 1: ("flat", (0, (3, 1.5)))}


def draw(models: Path, out: Path) -> list[Path]:
    """Draw delays through training, what comes back by position, and what the last state holds."""
    runs = json.loads(DATA.read_text())["runs"]
    with look():
        figure = Figure(figsize=(7.6, 3.3), layout="constrained")
        axes = figure.subplots(1, 3)
        _delays(axes[0], runs)
        _given_back(axes[1], runs)
        _held(axes[2], runs)
        return Drawing(figure, tuple(axes), ()).save(out / "pairs")


def _delays(ax, runs) -> None:
    for name, (objective, stack, colour) in STACKS.items():
        for heads, (kind, dash) in KINDS.items():
            chosen = _of(runs, objective, heads)
            steps = chosen[0]["kernels"]["steps"]
            medians = np.array([run["kernels"][f"{stack}.delay_90"] for run in chosen])[..., 1]
            ax.plot(steps, medians.mean(0), color=colour, ls=dash, label=f"{name}, {kind}")
            ax.fill_between(steps, medians.min(0), medians.max(0), color=colour, alpha=0.12, lw=0)
    ax.set_title("(a) 90 % of a layer's input\ncomes back after", loc="left")
    ax.set(xlabel="training steps", ylabel="tokens (median kernel)", ylim=(0, None))
    ax.legend(
        fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, handlelength=2.2, frameon=False
    )


def _given_back(ax, runs) -> None:
    for heads, (kind, dash) in KINDS.items():
        for run in _of(runs, "autoencode", heads):
            label = kind if run["seed"] == 0 else None
            ax.plot(run["accuracy_by_position"], color="#D55E00", ls=dash, lw=0.9, alpha=0.8, label=label)
    ax.set_title("(b) tokens autoencoders give\nback, one line a seed", loc="left")
    ax.set(xlabel="position", ylabel="share of held-out tokens", ylim=(0, 1.02))
    ax.legend(loc="lower center", bbox_to_anchor=(0.6, 0.08), fontsize=6.5)


def _held(ax, runs) -> None:
    rows = [
        ("untrained", "held_untrained", "next_token", "#8a939c"),
        ("next token", "held", "next_token", "#0072B2"),
        ("autoencoder", "held", "autoencode", "#D55E00"),
    ]
    for at, (name, key, objective, colour) in enumerate(rows):
        by_lag = np.array([run[key]["capacity"] for run in _of(runs, objective, 16)])
        values = np.stack([by_lag[:, first:end].sum(axis=1) for first, end in BANDS.values()], axis=1)
        mean = values.mean(0)
        ends = np.maximum(0, [mean - values.min(0), values.max(0) - mean])
        place = np.arange(len(BANDS)) + 0.27 * (at - 1)
        ax.bar(place, mean, 0.25, color=colour, yerr=ends, error_kw={"lw": 0.7}, label=name)
    ax.set_title("(c) what the last state holds\n(16 heads)", loc="left")
    ax.set(xlabel="tokens back", ylabel="dimensions of 128")
    ax.set_xticks(range(len(BANDS)), BANDS)
    ax.legend(loc="upper left", fontsize=6.5)


def _of(runs, objective, heads) -> list[dict]:
    return [run for run in runs if (run["objective"], run["heads"]) == (objective, heads)]
