"""(i) Copying and recall by eight mixers of equal parameters, five seeds each."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toeplitz_theory.plots.drawing import Drawing, look

DATA = Path(__file__).parent / "data" / "tasks.parquet"
TASKS = {
    "copy-fixed": "(a) copy 31 letters,\nalways 32 tokens later",
    "copy-varied": "(b) copy 4 to 15 letters",
    "recall": "(c) name the value of\neach of 3 keys",
}
MIXERS = {
    ("attention", 1): "attention, 1 head",
    ("attention", 4): "attention, 4 heads",
    ("linear_attention", 4): "linear attention",
    ("masked", 1): "masked",
    ("toeplitz", 4): "Toeplitz, 4 heads",
    ("toeplitz", 1): "Toeplitz",
    ("frozen_toeplitz", 4): "frozen Toeplitz",
    ("ssm", 1): "state space",
    ("hyena", 1): "hyena",
}


def draw(models: Path, out: Path) -> list[Path]:
    """Draw each seed as a dot and their mean as a line, beside what guessing among the tokens seen gives."""
    runs = pd.read_parquet(DATA)
    with look():
        figure = Figure(figsize=(7.6, 2.9), layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        for ax, (task, title) in zip(axes, TASKS.items(), strict=True):
            of_task = runs[runs["name"].str.startswith(task)]
            for row, (mixer, heads) in enumerate(MIXERS):
                chosen = of_task[(of_task["model.mixer"] == mixer) & (of_task["model.num_heads"] == heads)]
                right = chosen["token_accuracy"].to_numpy()
                jitter = np.linspace(-0.16, 0.16, len(right)) if len(right) else []
                ax.plot(right, row + np.array(jitter), "o", color="#0072B2", ms=3, mew=0, alpha=0.75)
                if len(right):
                    ax.plot([right.mean()] * 2, [row - 0.34, row + 0.34], color="#D55E00", lw=1.6)
            guess = of_task["baseline.among_seen"].mean()
            ax.axvline(guess, color="0.6", lw=0.7, ls=(0, (3, 2)))
            ax.text(guess, -0.72, " guessing", color="0.45", size=6.5, va="center")
            ax.set(xlim=(-0.02, 1.04), ylim=(8.6, -1.05), xlabel="share of answers given")
            ax.set_title(title, loc="left")
            ax.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(MIXERS)), list(MIXERS.values()))
        return Drawing(figure, tuple(axes), ()).save(out / "tasks")
