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
# # Inspect my own model
#
# Any layer that mixes tokens by a causal convolution can be asked: how much of its input does it give back, how many
# tokens late, and can it be inverted at all? This notebook asks a small module of its own first, then a trained model.
# Put yours in the place of either.

# %%
from pathlib import Path

import numpy as np
import torch
from torch import nn

import toeplitz_theory as tt


class LongConvolution(nn.Module):
    """Your own module: each of the channels is convolved with a kernel of its own."""

    def __init__(self, channels, length):
        super().__init__()
        decay = torch.exp(-torch.arange(length) / 4)
        self.filter = nn.Parameter(torch.randn(channels, length) * decay)

    def forward(self, x):  # (batch, time, channels)
        n = x.shape[1]
        spectrum = torch.fft.rfft(self.filter[:, :n], 2 * n) * torch.fft.rfft(x.transpose(1, 2), 2 * n)
        return torch.fft.irfft(spectrum, 2 * n)[..., :n].transpose(1, 2)


torch.manual_seed(0)
mine = LongConvolution(channels=4, length=64)

# %% [markdown]
# Say which parameter holds the kernels; a pattern such as `"blocks.*.filter"` names those of all layers.

# %%
tt.inspect(mine, kernels="filter")

# %% [markdown]
# Where no parameter holds them (they are computed, or lie in a way of their own), let the module be asked: it is run
# on impulses, and the answer says how far it is from linear, causal and the same at all times.

# %%
tt.probe(mine, n=64, channels=4)

# %% [markdown]
# ## A trained model
#
# Change `MODEL` to a folder, a `.safetensors`, `.bin` or `.pt` file, `"hub:OWNER/NAME"`, or a live module. Layers of
# Toeplitz MLP Mixers are known by their names: nothing else need be said.

# %%
ROOT = next(place for place in (Path.cwd(), *Path.cwd().parents) if (place / "models").is_dir())
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
