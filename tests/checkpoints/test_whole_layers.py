"""From a checkpoint to the symbol of a whole layer: heads, projections and residual connection."""

from pathlib import Path

import numpy as np
import pytest
from checkpoint_builders import flat, headed, mixer, taps
from safetensors.numpy import load_file

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError

MODEL = Path(__file__).resolve().parents[2] / "models" / "tmm-next-token"


def matrix(kernels, w_in, w_out, n):
    """The layer as one matrix over time and channels, built block by block."""
    d, heads = len(w_in), len(kernels)
    rows = d // heads
    whole = np.zeros((n, d, n, d))
    for t in range(n):
        for s in range(t + 1):
            for h in range(heads):
                part = slice(h * rows, (h + 1) * rows)
                whole[t, :, s] += kernels[h][t - s] * w_out[:, part] @ w_in[part]
    return whole.reshape(n * d, n * d)


def parallel(heads=3, n=8, d=6):
    state = {
        f"{mixer(0)}.mixer_heads.weight": taps(1, heads, n),
        f"{mixer(0)}.mixer_heads.bias": taps(2, heads, n),
    }
    return state | {f"{mixer(0)}.in_proj.weight": taps(3, d, d), f"{mixer(0)}.out_proj.weight": taps(4, d, d)}


def optimised(heads=3, n=8, d=6):
    state = {"blocks.0.mixer.weight": taps(1, heads, n), "blocks.0.mixer.bias": taps(2, heads, n)}
    return state | {
        "blocks.0.mixer.inp_proj.weight": taps(3, d, d),
        "blocks.0.mixer.out_proj.weight": taps(4, d, d),
    }


@pytest.mark.parametrize("state", [headed(1, 3), parallel()], ids=["heads", "parallel heads"])
def test_the_symbol_is_that_of_the_matrix_over_time_and_channels(state):
    """Values of A(z) are the sums over lags of the matrix's blocks times z to the lag."""
    checkpoint = load(state, projections=True)
    symbol = checkpoint.multihead("mixer_blocks.0")
    kernels = [layer.kernel for layer in checkpoint.layers]
    named = {key.rpartition("token_mixing_layer.")[2]: np.float64(value) for key, value in state.items()}
    w_in = named.get("in_proj.weight")
    if w_in is None:
        w_in = np.concatenate([named[f"proj_head.{h}.weight"] for h in range(3)])
    whole = matrix(kernels, w_in, named["out_proj.weight"], 8).reshape(8, 6, 8, 6)
    z = 0.3 - 0.4j
    expected = sum(whole[lag, :, 0] * z**lag for lag in range(8))
    np.testing.assert_allclose(symbol(z), expected, rtol=1e-12, atol=1e-12)


def test_the_shipped_model():
    checkpoint = load(MODEL, projections=True)
    first = checkpoint.layers[0].layer
    index = checkpoint.multihead(first).residual_index()
    assert index.certified and index.value == -261
    tensors = load_file(MODEL / "model.safetensors")
    prefix = checkpoint.layers[0].key.partition("mixer_heads")[0]
    np.testing.assert_array_equal(checkpoint.layers[3].w_in, tensors[f"{prefix}proj_head.3.weight"])
    np.testing.assert_array_equal(checkpoint.layers[1].w_out, tensors[f"{prefix}out_proj.weight"][:, 8:16])


@pytest.mark.parametrize(
    ("state", "layer", "reason"),
    [
        (headed(1, 3), "mixer_blocks.7", "no layer mixer_blocks.7; the layers are mixer_blocks.0"),
        (flat(1), "mixer_blocks.0", "no projections of heads were read.*its layout: flat"),
        (optimised(), "blocks.0", "its rows may be divided by their sums"),
        (
            {k: v for k, v in headed(1, 3).items() if "proj_head.1" not in k},
            "mixer_blocks.0",
            "no projections",
        ),
        (
            headed(1, 3) | {f"{mixer(0)}.proj_head.0.lora_A.weight": taps(0, 2, 6)},
            "mixer_blocks.0",
            "no projections",
        ),
        (headed(1, 3) | {f"{mixer(0)}.out_proj.weight": taps(0, 6, 5)}, "mixer_blocks.0", "no projections"),
    ],
)
def test_layers_without_a_symbol_of_their_own(state, layer, reason):
    with pytest.raises(InputError, match=reason):
        load(state, projections=True).multihead(layer)


def test_projections_are_read_when_asked_for():
    layer = load(headed(1, 3)).layers[0]
    assert layer.w_in is None and layer.w_out is None
    with pytest.raises(InputError, match=r"load\(\.\.\., projections=True\)"):
        load(headed(1, 3)).multihead("mixer_blocks.0")
