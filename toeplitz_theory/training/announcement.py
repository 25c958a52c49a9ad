"""What a run is about to do, said before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

from toeplitz_theory.names import shown
from toeplitz_theory.training.recipe import Recipe
from toeplitz_theory.training.resume import checkpoint_step, sealed_checkpoints


def _last_step(folder: Path) -> int:
    try:
        checkpoints = sealed_checkpoints(folder / "work")
    except OSError:  # a place that cannot be: the run refuses it in words of its own
        return 0
    return checkpoint_step(checkpoints[-1]) if checkpoints else 0


def announcement(recipe: Recipe, folder: Path, force: bool) -> str:
    """Return a line: how much is trained on what, where it goes, and whether a run goes on.

    Examples
    --------
    >>> recipe = Recipe(name="tiny", objective="next_token", training={"steps": 200})
    >>> print(announcement(recipe, Path("runs/tiny"), force=False))
    tiny: 200 steps of 16 x 256 tokens (0.8 million) of stdlib-docs; writes to runs/tiny; starts at step 0
    """
    settings, n = recipe.training, recipe.sequence_length
    tokens = settings.steps * settings.batch_size * n
    kind = f"the task {recipe.objective}" if recipe.task else shown(recipe.data.corpus)
    step = 0 if force else _last_step(folder)
    return (
        f"{recipe.name}: {settings.steps:,} steps of {settings.batch_size} x {n} tokens "
        f"({tokens / 1e6:,.1f} million) of {kind}; writes to {shown(folder, 300)}; "
        + (f"goes on from step {step:,}" if step else "starts at step 0")
    )
