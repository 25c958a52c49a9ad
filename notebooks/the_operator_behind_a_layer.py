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
# # The operator behind a layer
#
# A causal Toeplitz layer computes `y[t] = w[0] x[t] + w[1] x[t-1] + ...`: one vector of taps, one polynomial
# `a(z) = w[0] + w[1] z + ...`. Everything about what the layer keeps and loses is written in the zeros of that
# polynomial. Here you place the zeros yourself and watch the symbol, the index, the singular values, the inverse
# and the pseudospectrum answer; at the end the same questions go to a trained layer.

# %%
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import FloatSlider, Image, IntSlider, VBox
from matplotlib.ticker import MaxNLocator

import toeplitz_theory as tt
from toeplitz_theory import plots

ROOT = next(place for place in (Path.cwd(), *Path.cwd().parents) if (place / "models").is_dir())


def with_zeros(*zeros):
    """Symbol with a(0) = 1 and these zeros; a complex one brings its conjugate along."""
    pairs = [z for zero in zeros for z in ({zero, np.conj(zero)} if np.imag(zero) else {zero})]
    return tt.Symbol(np.poly(1 / np.array(pairs)).real)


# %% [markdown]
# ## 1. A zero crosses the circle
#
# Take a pair of zeros at angles ±60° and radius r, and two fixed ones outside. While r > 1 the curve
# `a(exp(i theta))` does not go around the origin. At r = 1 it runs through it, and the operator is not Fredholm: no
# integer describes it. For r < 1 it goes around twice, the index is -2, and no causal filter undoes the layer.

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for r, ax in zip((1.25, 1.0, 0.8), axes, strict=True):
    a = with_zeros(r * np.exp(1j * np.pi / 3), -1.5, 2.5)
    plots.symbol_curve(a, ax=ax)
    index = a.fredholm_index(tol=1e-12)
    ax.set_title(f"r = {r}: " + (f"index {index.value}" if index.value is not None else "not Fredholm"))
plt.show()

# %% [markdown]
# The index jumps; the Jensen deficit J = sum of log(1/|z|) over the zeros inside does not: it leaves 0 slowly, as
# 2 log(1/r). And the n x n matrix hardly notices at first: its condition number grows like r to the power -n, so
# what counts is n log(1/r), the depth of the zero measured in steps of 1/n.

# %%
radii = np.linspace(0.7, 1.3, 61)
family = [with_zeros(r * np.exp(1j * np.pi / 3), -1.5, 2.5) for r in radii]
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
index = [a.fredholm_index(tol=1e-12).value for a in family]
axes[0].step(radii, [np.nan if k is None else k for k in index], "k.", where="mid")
axes[0].set_ylabel("index of T(a)")
axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
axes[1].plot(radii, [a.jensen_deficit().value for a in family], "k-")
axes[1].set_ylabel("Jensen deficit (nats per token)")
for n, style in ((16, "k-"), (64, "k--"), (256, "k:")):
    values = [a.section(n).log10_condition().value for a in family]
    axes[2].plot(radii, values, style, label=f"n = {n}")
axes[2].set_ylabel("log10 condition number")
axes[2].legend()
for ax in axes:
    ax.set_xlabel("radius r of the zero pair")
    ax.axvline(1, color="0.7", linewidth=0.8, zorder=0)
plt.show()

# %% [markdown]
# Now by hand: in a running notebook, drag the pair.


# %%
def look(radius, degrees, n):
    a = with_zeros(radius * np.exp(1j * np.deg2rad(degrees)), -1.5, 2.5)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3), layout="constrained")
    plots.symbol_curve(a, ax=axes[0])
    plots.pole_zero(a, ax=axes[1])
    T = a.section(n)
    axes[2].semilogy(np.arange(1, n + 1), T.singular_values(), "k.")
    axes[2].set(xlabel="number", ylabel="singular value", title=f"n = {n}")
    axes[3].plot(T.inverse_series().log10_abs(), "k.")
    axes[3].set(xlabel="lag k (tokens)", ylabel="log10 |tap k of the inverse|")
    found = a.fredholm_index(tol=1e-12)
    figure.suptitle(f"index {found.value}, J = {a.jensen_deficit().value:.3f} nats per token")
    plt.close(figure)
    return figure


look(0.8, 60, 48)


# %%
class WithPicture(VBox):
    """Sliders above a picture; where nothing can be dragged, as in a printed page, the picture alone."""

    def _repr_mimebundle_(self, **kwargs):
        picture = b64encode(self.children[-1].value).decode()
        return super()._repr_mimebundle_(**kwargs) | {"image/png": picture}


def dragged(draw, **sliders):
    """Show the sliders and, below, what ``draw`` makes of their values."""
    picture = Image(format="png")

    def redraw(_=None):
        buffer = BytesIO()
        draw(**{name: slider.value for name, slider in sliders.items()}).savefig(buffer, dpi=80)
        picture.value = buffer.getvalue()

    for slider in sliders.values():
        slider.observe(redraw, "value")
    redraw()
    return WithPicture([*sliders.values(), picture])


dragged(
    look,
    radius=FloatSlider(value=0.8, min=0.3, max=1.7, step=0.01, description="radius"),
    degrees=IntSlider(value=60, min=5, max=175, description="degrees"),
    n=IntSlider(value=48, min=4, max=128, description="n"),
)

# %% [markdown]
# ### What comes back, and when
#
# Let the input be white noise and guess each input token from the outputs, as well as any linear filter can. `R(L)`
# is the share of it that is right once L later outputs have been seen. R(0) is what comes back *at once*; it is
# `exp(-2 J)`. The rest comes with a *delay*, and the mean delay, in tokens, is exactly minus the index: every zero
# inside costs one token, a pair costs two, wherever inside they lie.
#
# Drag the pair. Outside the circle all comes back at once. Close to the circle on the inside nearly all still does,
# and the little that does not comes very late: the mean delay is 2 all the same. Near the centre nothing comes back
# at once, and all of it two tokens later: there the layer is little more than a shift.


# %%
def give_back(radius, degrees):
    a = with_zeros(radius * np.exp(1j * np.deg2rad(degrees)), -1.5, 2.5)
    recovery = a.recovery(horizon=200)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    plots.symbol_curve(a, ax=axes[0])
    plots.pole_zero(a, ax=axes[1])
    plots.recovery(recovery, ax=axes[2])
    if recovery.mean_delay is not None:
        axes[2].axvline(recovery.mean_delay, color="0.5", linewidth=0.8)
    figure.suptitle(
        f"{recovery.at_once:.1%} back at once, 90 % after {recovery.delay(0.9)} tokens, "
        f"mean delay {recovery.mean_delay} (grey line)"
    )
    plt.close(figure)
    return figure


give_back(0.6, 60)

# %%
dragged(
    give_back,
    radius=FloatSlider(value=0.6, min=0.05, max=1.7, step=0.01, description="radius"),
    degrees=IntSlider(value=60, min=5, max=175, description="degrees"),
)

# %% [markdown]
# A kernel with one zero at |z| = 0.1 has index -1. With n = 300 taps its condition number is about 10^300, and yet 99 %
# of the input comes back one token later. That is no contradiction. The condition number insists on *every* input of
# the window, the last one too, and the last one has hardly come out yet: it is in the output after the window.

# %%
late = with_zeros(0.1)
print(f"index {late.fredholm_index().value}, log10 condition {late.section(300).log10_condition().value:.1f}")
print(f"back at once {late.recovery().share(0):.4f}, after one token {late.recovery().share(1):.4f}")

# %% [markdown]
# ## 2. Each zero inside costs one singular value
#
# Roch and Silbermann's splitting: with the symbol fixed and n growing, exactly as many singular values tend to 0 as
# there are zeros inside, at the rate |z|^n, and all others stay above about min |a|. Three zeros inside, three
# values that fall; a float64 SVD would show noise from the dashed line down.

# %%
a = with_zeros(0.75 * np.exp(1j * np.pi / 3), 0.55, -1.5, 2.5)
sizes = np.arange(8, 121, 8)
values = [np.sort(a.section(int(n)).singular_values()) for n in sizes]
figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for k in range(6):
    ax.semilogy(sizes, [v[k] for v in values], "ko-" if k < 3 else "s:", markersize=3)
ax.axhline(a.min_modulus().lower, color="C1", label="min |a| on the circle")
noise = [n * 2.0**-53 * v[-1] for n, v in zip(sizes, values, strict=True)]
ax.semilogy(sizes, noise, "k--", label="noise of a float64 SVD")
ax.set(xlabel="size n of the section", ylabel="six smallest singular values")
ax.legend()
print(f"index {a.fredholm_index().value}; nullity at n = 120: {a.section(120).nullity() + 0}")
plt.show()

# %% [markdown]
# The smallest belongs to the deepest zero: its slope is log10(0.55) a step. The inverse is a triangular Toeplitz
# matrix too, and its taps grow at the same rate, which is why a causal inverse of the *operator* does not exist.

# %%
slope = np.polyfit(sizes[-6:], np.log10([v[0] for v in values[-6:]]), 1)[0]
taps = a.section(120).inverse_series().log10_abs()
print(f"decades a step: smallest singular value {slope:.4f}, inverse taps {-(taps[-1] - taps[-11]) / 10:.4f}")
print(f"log10 of the deepest zero: {np.log10(0.55):.4f}")

# %% [markdown]
# ## 3. What is invertible in it: the outer factor
#
# `a = (Blaschke product of the zeros inside) * outer`. The outer factor has the same modulus on the circle, so it
# amplifies every frequency alike, but it answers at once: its energy comes first (Robinson), and its causal inverse
# exists. J is the logarithm of how much larger its first tap is.

# %%
parts = a.inner_outer()
print(parts.factor)
print("Blaschke zeros:", np.round(parts.zeros, 4))
print(f"log(outer(0) / w[0]) = {np.log(parts.outer.kernel[0] / abs(a.kernel[0])):.12f}")
print(f"Jensen deficit       = {a.jensen_deficit().value:.12f}")
plots.energy_delay(a)

# %% [markdown]
# ## 4. The spectrum, seen from every point
#
# The spectrum of T(a) is the curve together with every point that it winds around. The n x n matrix has a single
# eigenvalue, w[0], and yet behaves, on sequences shorter than n, as if the whole region were spectrum: the norm of its
# resolvent is large there. That is the pseudospectrum; no eigenvalue solver is involved.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
plots.index_map(tt.index_map(a, points=160), ax=axes[0])
axes[0].set_title("wind(a - lambda)")
plots.pseudospectrum(tt.pseudospectrum(a.section(40), points=80), ax=axes[1])
axes[1].set_title("log10 of the resolvent norm, n = 40")
plt.show()

# %% [markdown]
# ## 5. A layer that learned
#
# The same questions for a kernel of the shipped language model. Most of its zeros sit within 1/n of the circle,
# where they cost nothing; the few zeros near the centre cost everything.

# %%
report = tt.inspect(ROOT / "models" / "tmm-next-token")
row = max(report.rows, key=lambda row: row.log10_condition.value)
learned = tt.Symbol(row.kernel)
zeros = np.abs(learned.blaschke_zeros())
print(f"{row.name}: index {row.index.value}, log10 condition {row.log10_condition.value:.1f}")
print(f"zeros inside: {zeros.size}, the deepest at |z| = {zeros.min():.3g}")
decades = -learned.kernel.size * np.log10(zeros.min())
print(f"the deepest alone costs {decades:.1f} decades at n = {learned.kernel.size}")
print(f"bits per token through it at bfloat16: {tt.CausalToeplitz(row.kernel).bits_at('bfloat16')}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
plots.taps(learned, ax=axes[0])
plots.zeros(learned, ax=axes[1])
plots.energy_delay(learned, ax=axes[2])
plt.show()

# %% [markdown]
# Could the rounding of the stored weights have decided the index? The margin is the smallest change of the taps
# that can: here even storing them in bfloat16 is not proved harmless, storing them in float32 is.

# %%
margins = learned.index_margins()
print(f"smallest change in the 1-norm: between {margins.l1[0]:.3g} and {margins.l1[1]:.3g}")
for dtype in ("bfloat16", "float16", "float32"):
    rounded = learned.rounding_margin(dtype)
    print(rounded)
    print(f"  index after rounding to {dtype}: {tt.Symbol(rounded.rounded).fredholm_index().value}")

# %% [markdown]
# `docs/theory.md` says of each number on this page what it is and what is proved of it.
