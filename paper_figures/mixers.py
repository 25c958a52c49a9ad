"""(h) Eight mixers of equal parameters: held-out loss against operations, and what their last states hold."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from toeplitz_theory.plots.drawing import Drawing, look

DATA = Path(__file__).parent / "data" / "language.json"
LOSSES = {"next_token": "(a) next token", "autoencode": "(b) input given back from one vector"}
UNIGRAM = 5.19  # nats: what a model without memory can reach
TOKENS = 2048  # in a step
COLOURS = {
    "Toeplitz, heads": "#0b6e99",
    "Toeplitz": "#5fb0d3",
    "frozen Toeplitz": "#a8cfe0",
    "attention": "#c8442c",
    "linear attention": "#e79a7f",
    "hyena": "#3f8f4f",
    "state space": "#8e6bb0",
    "masked": "#8a8a8a",
}
DASHES = {"frozen Toeplitz": "--", "linear attention": "--", "masked": ":", "state space": "-."}
BANDS = {"own token": (0, 1), "1–7 back": (1, 8), "8–31": (8, 32), "32–63": (32, 64)}
SHADES = ("#12394d", "#2f7fa3", "#8fc1d9", "#d9b26f")


def draw(models: Path, out: Path) -> list[Path]:
    """Draw means over three seeds, their range shaded; 1 of 10^12 operations is a teraflop."""
    runs = json.loads(DATA.read_text())["runs"]
    with look():
        figure = Figure(figsize=(7.6, 6.2), layout="constrained")
        axes = figure.subplots(2, 2)
        for ax, (objective, title) in zip(axes[0], LOSSES.items(), strict=True):
            _losses(ax, runs, objective)
            ax.set_title(title, loc="left")
        axes[0, 1].axhline(UNIGRAM, color="0.5", lw=0.6)
        place = {"ha": "right", "va": "bottom", "transform": axes[0, 1].get_yaxis_transform()}
        axes[0, 1].text(0.99, UNIGRAM, "nothing kept (unigram)", color="0.4", size=7, **place)
        _recall(axes[1, 0], runs)
        _capacity(axes[1, 1], runs)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
        )
        return Drawing(figure, tuple(axes.flat), ()).save(out / "mixers")


def _losses(ax, runs, objective) -> None:
    for mixer, colour in COLOURS.items():
        chosen = _of(runs, mixer, objective)
        losses = np.array([run["losses"] for run in chosen])
        teraflops = np.array(chosen[0]["steps"]) * TOKENS * chosen[0]["flops_per_token"] / 1e12
        ax.fill_between(teraflops, losses.min(0), losses.max(0), color=colour, alpha=0.18, lw=0)
        ax.plot(teraflops, losses.mean(0), DASHES.get(mixer, "-"), color=colour, lw=1.4, label=mixer)
    ax.set(xlabel="operations of training / 10¹²", ylabel="held-out loss, nats per token")


def _recall(ax, runs) -> None:
    for mixer, colour in COLOURS.items():
        chosen = _of(runs, mixer, "next_token")
        bits = np.array([run["held"]["recall"] for run in chosen])
        lags = range(bits.shape[1])
        ax.fill_between(lags, bits.min(0), bits.max(0), color=colour, alpha=0.18, lw=0)
        ax.plot(lags, bits.mean(0), DASHES.get(mixer, "-"), color=colour, lw=1.4)
    ax.set_xticks(lags, chosen[0]["held"]["recall_lags"])
    ax.set(xlabel="tokens back", ylabel="bits of 6 that a probe reads", ylim=(0, 6.2))
    ax.set_title("(c) next token: one hidden vector\ntells of random tokens", loc="left")


def _capacity(ax, runs) -> None:
    place = np.arange(len(COLOURS))[::-1]
    left = np.zeros(len(COLOURS))
    by_lag = np.array(
        [np.mean([r["held"]["capacity"] for r in _of(runs, m, "next_token")], axis=0) for m in COLOURS]
    )
    for (name, (first, end)), shade in zip(BANDS.items(), SHADES, strict=True):
        width = by_lag[:, first:end].sum(axis=1).clip(0)  # unbiased estimates of nothing fall below it
        ax.barh(place, width, 0.72, left=left, color=shade, label=name)
        left += width
    ax.set_yticks(place, COLOURS)
    ax.set(xlabel="dimensions of 128 that single tokens decide", xlim=(0, left.max() * 1.02))
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=4, fontsize=7, handlelength=0.9, columnspacing=1
    )
    ax.set_title("(d) next token: the last state holds", loc="left", pad=20)


def _of(runs, mixer, objective) -> list[dict]:
    return [run for run in runs if (run["mixer"], run["objective"]) == (mixer, objective)]
