# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inspect a checkpoint
#
# What the token-mixing layers of a trained Toeplitz MLP Mixer are, as operators: their Fredholm index, how far
# they are from having a causal inverse, and how badly conditioned the n x n matrices are. Change `MODEL` to a
# path of your own: a folder, a `.safetensors`, `.bin` or `.pt` file, or a live module.

# %%
from pathlib import Path

import numpy as np

import toeplitz_theory as tt

ROOT = Path.cwd() if Path("models").is_dir() else Path.cwd().parent
MODEL = ROOT / "models" / "tmm-next-token"

report = tt.inspect(MODEL)
report

# %% [markdown]
# ## How late a layer gives its input back
#
# The outputs of a layer determine its inputs, but often only some tokens later: the curve is the share of the
# input that the best linear estimate recovers from the outputs up to `delay` tokens after it. Minus the index is
# the mean of that delay. A line is the median over a layer's heads, the band the middle half of them.

# %%
report.summary[["layer", "kernels", "index", "gives_back", "delay_90", "bits_bfloat16"]]

# %%
report.plot("recovery")

# %% [markdown]
# ## Four meanings of "invertible"
#
# `index` is about the operator on infinite sequences: 0 means invertible, and minus the index counts the zeros
# of the symbol inside the unit circle. `jensen_deficit` weighs those zeros by their depth. `log10_condition` and
# `nullity` are about the n x n matrix. They answer different questions, so they stand side by side.

# %%
columns = ["index", "index_residual", "jensen_deficit", "log10_condition", "nullity"]
report.table.groupby("layer")[columns].median()

# %%
assert report.table["certified"].all(), "some index could not be proved: see the notes"
report.plot("by_layer")

# %% [markdown]
# ## One kernel, closer
#
# The kernel whose index is nearest 0. A zero near the origin makes it almost a shift: nearly all of the input comes
# back one token later, but the last inputs of a window of n tokens have not come out yet, and the condition number
# of the n x n matrix counts them as lost.

# %%
best = max(report.rows, key=lambda row: row.index.value)
symbol = tt.Symbol(best.kernel)
print(best.name, "index", best.index.value, "log10 condition", round(best.log10_condition.value, 2))
inside = np.abs(symbol.zeros().inside())
print("|z| of the zeros inside:", np.round(np.sort(inside), 4))
print("share given back after 0 and 1 tokens:", np.round(best.recovery.share([0, 1]), 4))

# %%
best.plot()

# %% [markdown]
# The deepest zero predicts the condition number: kappa grows like |z| to the power -n.

# %%
predicted = -symbol.kernel.size * np.log10(inside.min())
print(f"n log10(1/|z|) = {predicted:.1f}, log10 condition = {best.log10_condition.value:.1f}")

# %% [markdown]
# ## Before and after training
#
# The run saved its kernels on the way; step 0 is the untrained model.

# %%
comparison = tt.compare({"untrained": MODEL / "kernels" / "step-000000.safetensors", "trained": report})
comparison.summary
