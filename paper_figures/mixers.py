"""(h) Eight mixers of equal parameters: held-out loss against operations, for two objectives."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from toeplitz_theory.plots.drawing import Drawing, look

DATA = Path(__file__).parent / "data" / "language.json"
TITLES = {"next_token": "(a) next token", "autoencode": "(b) input given back from one vector"}
UNIGRAM = 5.19  # nats: what a model without memory can reach
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


def draw(models: Path, out: Path) -> list[Path]:
    """Draw means over three seeds, their range shaded; 1 of 10^12 operations is a teraflop."""
    runs = json.loads(DATA.read_text())["runs"]
    with look():
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        axes = figure.subplots(1, 2)
        for ax, (objective, title) in zip(axes, TITLES.items(), strict=True):
            for mixer, colour in COLOURS.items():
                chosen = [run for run in runs if (run["mixer"], run["objective"]) == (mixer, objective)]
                losses = np.array([run["losses"] for run in chosen])
                teraflops = np.array(chosen[0]["steps"]) * 2048 * chosen[0]["flops_per_token"] / 1e12
                ax.fill_between(teraflops, losses.min(0), losses.max(0), color=colour, alpha=0.18, lw=0)
                dash = DASHES.get(mixer, "-")
                ax.plot(teraflops, losses.mean(0), dash, color=colour, lw=1.4, label=mixer)
            ax.set(
                title=title, xlabel="operations of training / 10¹²", ylabel="held-out loss, nats per token"
            )
            ax.title.set_horizontalalignment("left")
            ax.title.set_x(0)
        axes[1].axhline(UNIGRAM, color="0.5", lw=0.6)
        axes[1].text(
            0.99,
            UNIGRAM,
            "nothing kept (unigram)",
            ha="right",
            va="bottom",
            color="0.4",
            size=7,
            transform=axes[1].get_yaxis_transform(),
        )
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
        )
        return Drawing(figure, tuple(axes), ()).save(out / "mixers")
