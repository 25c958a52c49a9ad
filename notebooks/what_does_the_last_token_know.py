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
# # What does the last token know?
#
# A causal model without attention has read a text when it reaches the last token, and what it will say next depends on
# one vector alone. What of the text is in that vector? This notebook asks your own model first, then the shipped ones.
# All numbers are estimates, each with its interval.

# %%
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

import toeplitz_theory as tt
from toeplitz_theory import retention
from toeplitz_theory.training import open_trained

ROOT = next(place for place in (Path.cwd(), *Path.cwd().parents) if (place / "models").is_dir())
torch.set_num_threads(1)
logging.disable_progress_bar()

# %% [markdown]
# ## Your own model
#
# Any causal model of transformers will do: replace this one, small and untrained, by
# `AutoModelForCausalLM.from_pretrained(...)`. It reads random tokens; **capacity** is the number of dimensions of
# its last state that the token k steps back decides. All lags together cannot be more than the vector is wide.

# %%
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
)
mine = LlamaForCausalLM(config)

capacity = retention.token_capacity(mine, samples=128, length=32)
capacity

# %%
capacity.plot()

# %% [markdown]
# ## Three models that read alike
#
# The same mixer, kernels and text, n = 64: untrained, trained to predict the next token, and trained to give the
# whole text back from its last state. The curve adds up the dimensions from the last token backwards.

# %%
folders = {name: ROOT / "models" / "n64" / f"heads-{name}" for name in ("next-token", "autoencoder")}
trained = {name: open_trained(folder).model.eval() for name, folder in folders.items()}
models = {"untrained": retention.untrained_twin(trained["next-token"]), **trained}

capacities = {
    name: retention.token_capacity(model, layers=[4], positions="last", samples=512, alphabet=32)
    for name, model in models.items()
}
tt.plots.retention_curves(capacities)

# %% [markdown]
# Untrained, the state is spread over the whole text. Next-token training keeps the last few tokens sharp and lets the
# rest go. The autoencoder, which needs every token once, keeps all of them, each a little.
#
# ## What can be read of it
#
# Dimensions say where a token lies, not whether it can be read among all others. **Recall** is: how many bits about the
# token k steps back does the best linear reader find in the last state? On random strings nothing can be guessed.

# %%
recalls = {name: retention.recall_curve(model, alphabet=32, samples=240) for name, model in models.items()}
tt.plots.retention_curves(recalls)

# %% [markdown]
# ## The layers behind it
#
# A kernel that gives its input back late passes on what is old; one that gives it back at once passes on what is new.
# So the delays of the layers say which of the three a model is, without reading a single text.

# %%
for name, folder in folders.items():
    print(name, "|", "; ".join(tt.inspect(folder, quick=True).summary["gives_back"].head(4)))
