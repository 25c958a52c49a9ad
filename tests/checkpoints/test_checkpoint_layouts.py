"""Every layout, with kernels chosen beforehand: which tensor becomes which layer, in which order."""

import json

import numpy as np
import pytest
from checkpoint_builders import flat, headed, mixer, surroundings, taps
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import toeplitz_theory as tt
from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError


def summary(checkpoint):
    return [(layer.layer, layer.head, layer.layout) for layer in checkpoint.layers]


def assert_kernel(layer, stored):
    """The float64 kernel is the stored values, value by value."""
    assert layer.kernel.dtype == np.float64 and layer.kernel.ndim == 1
    assert not layer.kernel.flags.writeable
    assert layer.kernel.tolist() == [float(value) for value in np.ravel(stored)]


def test_flat():
    state = flat(blocks=3)
    checkpoint = load(state)
    assert summary(checkpoint) == [(f"mixer_blocks.{i}", None, "flat") for i in range(3)]
    for i, layer in enumerate(checkpoint.layers):
        assert layer.key == f"mixer_blocks.{i}.token_mixing_layer.weight"
        assert layer.dtype == "float32" and layer.note == "" and layer.n == 8
        assert_kernel(layer, state[layer.key])
    assert checkpoint.ignored == len(state) - 3
    assert checkpoint.skipped == () and checkpoint.files == ()


def test_heads_and_their_projections():
    state = headed(blocks=2, heads=3)
    checkpoint = load(state)
    assert summary(checkpoint) == [(f"mixer_blocks.{i}", h, "heads") for i in range(2) for h in range(3)]
    for layer in checkpoint.layers:
        assert_kernel(layer, state[layer.key])
    assert checkpoint.ignored == len(state) - 6 and checkpoint.skipped == ()


def test_parallel_heads():
    stored = taps(1, 3, 8)
    state = {f"{mixer(0)}.mixer_heads.weight": stored, f"{mixer(0)}.mixer_heads.bias": np.zeros((3, 8))}
    state |= {f"{mixer(0)}.in_proj.weight": taps(2, 6, 6), f"{mixer(0)}.out_proj.weight": taps(3, 6, 6)}
    checkpoint = load(state)
    assert summary(checkpoint) == [("mixer_blocks.0", h, "parallel heads") for h in range(3)]
    for row, layer in zip(stored, checkpoint.layers, strict=True):
        assert_kernel(layer, row)
    assert checkpoint.ignored == 3 and checkpoint.skipped == ()


@pytest.mark.parametrize("second", [2, 3])
def test_expanded(second):
    state = {f"{mixer(0)}.{j}.weight": taps(j, 1, 8) for j in (second, 0)}
    state |= {f"{mixer(0)}.{j}.bias": np.zeros(8) for j in (second, 0)}
    checkpoint = load(state)
    assert summary(checkpoint) == [
        ("mixer_blocks.0.first", None, "expanded"),
        ("mixer_blocks.0.second", None, "expanded"),
    ]
    assert_kernel(checkpoint.layers[1], taps(second, 1, 8))


def test_expanded_heads():
    state = {f"{mixer(0)}.mixer_heads.{h}.{j}.weight": taps(10 * h + j, 1, 8) for h in (1, 0) for j in (3, 0)}
    checkpoint = load(state)
    assert summary(checkpoint) == [
        (f"mixer_blocks.0.{part}", h, "expanded heads") for part in ("first", "second") for h in (0, 1)
    ]
    assert_kernel(checkpoint.layers[3], taps(13, 1, 8))


def test_kernel_over_channels():
    stored = taps(4, 4, 8)
    checkpoint = load({f"{mixer(0)}.weight": stored, f"{mixer(0)}.bias": np.zeros(8)})
    assert summary(checkpoint) == [("mixer_blocks.0", k, "channel kernel") for k in range(4)]
    assert_kernel(checkpoint.layers[2], stored[2])
    assert "k=4 taps over channels" in checkpoint.layers[2].note


def test_autoencoder_reads_encoder_first():
    state = {}
    for stack in ("decoderblocks", "encoderblocks"):
        state[f"{mixer(0, stack)}.weight"] = taps(1, 1, 8)
        state[f"{mixer(1, stack)}.mixer_heads.0.weight"] = taps(2, 1, 8)
        state[f"{mixer(2, stack)}.0.weight"] = taps(3, 1, 8)
        state[f"{mixer(2, stack)}.3.weight"] = taps(4, 1, 8)
    names = [layer.layer for layer in load(state).layers]
    tails = ["0", "1", "2.first", "2.second"]
    assert names == [f"{stack}.{tail}" for stack in ("encoderblocks", "decoderblocks") for tail in tails]


def test_early():
    checkpoint = load({"blocks.0.mixer.weight": taps(0, 8), "blocks.0.mixer.bias": np.zeros(8)})
    assert summary(checkpoint) == [("blocks.0", None, "early")]
    assert_kernel(checkpoint.layers[0], taps(0, 8))


@pytest.mark.parametrize("shape", [(2, 8), (1, 8)])
def test_optimised_heads_are_softplus_of_what_is_stored(shape):
    stored = np.linspace(-50, 50, shape[0] * 8).reshape(shape).astype(np.float32)
    checkpoint = load({"blocks.0.mixer.weight_raw": stored})
    assert summary(checkpoint) == [("blocks.0", h, "optimised heads") for h in range(shape[0])]
    # Oracle in 40 digits. One exp and one log1p, each within an ulp or two: 4 eps relative.
    from mpmath import mp

    with mp.workdps(40):
        for row, layer in zip(stored, checkpoint.layers, strict=True):
            exact = [float(mp.log1p(mp.exp(mp.mpf(float(x))))) for x in row]
            np.testing.assert_allclose(layer.kernel, exact, rtol=4 * np.finfo(float).eps, atol=0)
            assert layer.note == "kernel = softplus(weight_raw)"


def test_optimised_heads_stored_plain():
    checkpoint = load({"blocks.3.mixer.weight": taps(0, 2, 8), "blocks.3.mixer.bias": np.zeros(8)})
    assert summary(checkpoint) == [("blocks.3", h, "optimised heads") for h in range(2)]
    assert checkpoint.layers[0].note == ""


def test_blocks_are_ordered_by_number():
    state = {f"{mixer(i)}.weight": taps(i, 1, 4) for i in (10, 9, 2, 100, 1)}
    assert [layer.layer for layer in load(state).layers] == [f"mixer_blocks.{i}" for i in (1, 2, 9, 10, 100)]


wrappers = st.lists(st.sampled_from(["module", "_orig_mod", "model", "base_model"]), max_size=4)


@given(wrappers, st.sampled_from([flat(2), headed(1, 2)]))
def test_wrappers_change_nothing_but_the_key(segments, state):
    prefix = "".join(s + "." for s in segments)
    plain, wrapped = load(state), load({prefix + key: value for key, value in state.items()})
    assert summary(plain) == summary(wrapped)
    assert [prefix + layer.key for layer in plain.layers] == [layer.key for layer in wrapped.layers]
    assert plain.ignored == wrapped.ignored


def test_wrappers_inside_the_name():
    state = {"_orig_mod.mixer_blocks.4.module._orig_mod.token_mixing_layer.weight": taps(0, 1, 8)}
    assert load(state).layers[0].layer == "mixer_blocks.4"


def test_other_prefixes_stay_in_the_name():
    state = {f"{part}.{mixer(0)}.weight": taps(0, 1, 8) for part in ("ema_model", "teacher.encoder")}
    assert [layer.layer for layer in load(state).layers] == [
        "teacher.encoder.mixer_blocks.0",
        "ema_model.mixer_blocks.0",
    ]


def test_two_models_that_differ_only_in_a_wrapper_stay_apart():
    state = {f"{mixer(0)}.weight": taps(0, 1, 8), f"model.{mixer(0)}.weight": taps(1, 1, 8)}
    layers = load(state).layers
    assert [layer.layer for layer in layers] == ["mixer_blocks.0", "model.mixer_blocks.0"]
    assert_kernel(layers[1], taps(1, 1, 8))


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"weight": (8, 8), "bias": (8,)}, "dense (8, 8) token mixer"),
        ({"weight": (8, 8, 1)}, "has shape (n,) or (rows, n), not (8, 8, 1)"),
        ({"weight": (8, 4)}, "more rows than taps"),
        ({"weight": (4, 8), "bias": (4,)}, "with a bias of shape (4,): a dense layer"),
        ({"weight": (1, 0)}, "holds no taps"),
        ({"weight": ()}, "not ()"),
        ({"0.weight": (32, 8), "2.weight": (8, 32)}, "where one kernel (1, n) belongs"),
        ({"q_proj.weight": (8, 8), "k_proj.weight": (8, 8)}, "attention, or linear attention"),
        ({"gru.weight_hh": (8, 8)}, "another kind: its tensors are gru.weight_hh"),
        ({"weight": (1, 8), "decay_value": (1,)}, "'repeat' mixer"),
    ],
)
def test_other_token_mixers_are_skipped_with_a_reason(tensors, reason):
    state = {f"{mixer(1)}.{tail}": np.ones(shape, np.float32) for tail, shape in tensors.items()}
    checkpoint = load(state | {f"{mixer(0)}.weight": taps(0, 1, 8)})
    assert len(checkpoint.layers) == 1
    assert reason in checkpoint.skipped[0].reason
    assert checkpoint.skipped[0].name.startswith("mixer_blocks.1.token_mixing_layer")
    with pytest.raises(InputError, match="no Toeplitz layer"):
        load(state)


ATTENTION = {f"mixer_heads.0.{p}_proj.weight": (4, 4) for p in ("q", "k", "v", "out")}
STRANGERS = {
    "a gate": ({"gate.weight": (4, 4)}, "(gate.weight); no layout that is read has them"),
    "projections of a flat mixer": ({"out_proj.weight": (4, 4)}, "(out_proj.weight); no layout"),
    "attention with a weight left over": (ATTENTION, "; attention, or linear attention: what multiplies"),
    "LoRA": ({"lora_A.default.weight": (2, 8)}, "adapted by LoRA: merge the adapter first"),
    "weight norm": (
        {"weight_g": (1, 1), "weight_v": (1, 8)},
        "parametrised weight: remove the parametrisation",
    ),
    "pruning": ({"weight_mask": (1, 8)}, "a parametrised weight"),
    "a scale": ({"weight_scale": (1,)}, "a quantised weight: dequantise it first"),
    "bitsandbytes": ({"SCB": (1,), "weight_format": ()}, "a quantised weight"),
    "Mamba": ({"A_log": (4, 4), "in_proj.weight": (8, 4)}, "Mamba, a selective state space"),
    "a second layout": ({"mixer_heads.0.weight": (1, 8)}, "kernels of several layouts, flat (weight), heads"),
    "raw beside plain": ({"weight_raw": (1, 8)}, "flat (weight), flat (weight_raw): which of them"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_kernel_beside_tensors_that_change_the_layer_is_not_certified(name):
    tensors, reason = STRANGERS[name]
    strangers = {f"{mixer(0)}.{tail}": np.ones(shape, np.float32) for tail, shape in tensors.items()}
    checkpoint = load(flat(2) | strangers)
    assert [layer.layer for layer in checkpoint.layers] == ["mixer_blocks.1"]
    (skipped,) = checkpoint.skipped
    assert skipped.name == mixer(0) and reason in skipped.reason


NOT_KERNELS = {
    "layer norm in a sequence": {"0.weight": (8,), "0.bias": (8,), "3.weight": (1, 8)},
    "one of a pair": {"0.weight": (1, 8)},
    "three in a sequence": {f"{j}.weight": (1, 8) for j in (0, 2, 4)},
    "pairs at different places": {f"mixer_heads.{h}.{j + h}.weight": (1, 8) for h in (0, 1) for j in (0, 3)},
    "a linear layer to one output": {"weight": (1, 8), "bias": (1,)},
    "a head with one bias": {"mixer_heads.0.weight": (1, 8), "mixer_heads.0.bias": (1,)},
    "a transposed dense layer": {"weight": (8, 4), "bias": (4,)},
    "a column": {"weight": (8, 1), "bias": (8,)},
    "a depthwise convolution": {"weight": (8, 1, 4), "bias": (8,)},
    "square heads": {"mixer_heads.weight": (8, 8)},
    "a square of raw weights": {"weight_raw": (8, 8), "bias": (8,)},
}


@pytest.mark.parametrize("name", NOT_KERNELS)
def test_shapes_that_only_look_like_kernels_are_skipped(name):
    state = {f"{mixer(1)}.{tail}": np.ones(shape, np.float32) for tail, shape in NOT_KERNELS[name].items()}
    checkpoint = load(flat(1) | state)
    assert [layer.layer for layer in checkpoint.layers] == ["mixer_blocks.0"]
    assert checkpoint.skipped[0].name == mixer(1)


def test_a_softplus_without_its_scale_and_rounded_integers_are_no_kernels():
    state = {
        f"{mixer(1)}.weight_raw": np.ones((1, 8), np.int8),
        f"{mixer(2)}.weight": np.array([[2**62 + 1]]),
    }
    reasons = [skipped.reason for skipped in load(flat(1) | state).skipped]
    assert "softplus of values stored as int8, without their scale" in reasons[0]
    assert "integers of 2**53 and more" in reasons[1]


RAW = np.random.default_rng(0).standard_normal((2, 16)).astype(np.float32)


@pytest.mark.parametrize(
    "key", ["blocks.0.mixer.weight_raw", "blocks.0.mixer.weight", f"{mixer(0)}.weight_raw"]
)
def test_what_the_file_does_not_say_of_normalisation_is_not_certified(key):
    """y = D T(w) x, or T(w) x: one file for both. The index is the same, that of the residual is not."""
    layers = load({key: RAW}).layers
    assert [layer.row_normalised for layer in layers] == [None, None]
    for row in tt.inspect({key: RAW}).rows:
        assert row.index.certified and row.index_residual is None
        assert "no index with residual" in row.note


@pytest.mark.parametrize(
    ("config", "normalised"),
    [
        ({"model_type": "tmm"}, False),
        ({"model_type": "tmm", "row_normalised": True}, True),
        ({"do_toep_mean": True}, True),
        ({"do_toep_mean": False}, False),
        ({"row_normalised": "false"}, None),
        ({"row_normalised": 1}, None),
        ({"hidden_size": 8}, None),
    ],
)
def test_the_configuration_says_what_is_normalised(tmp_path, config, normalised):
    save_file({"blocks.0.mixer.weight_raw": RAW}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert [layer.row_normalised for layer in load(tmp_path).layers] == [normalised] * 2
    residuals = [row.index_residual for row in tt.inspect(tmp_path).rows]
    assert all((residual is None) == (normalised is None) for residual in residuals)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_scale_that_is_not_in_the_file_leaves_the_residual_open(dtype):
    state = {f"{mixer(0)}.weight": np.array([[3, 1]], dtype)}
    row = tt.inspect(state).rows[0]
    assert row.index.certified and row.index_residual is None and "does not give the scale" in row.note


def test_the_copy_that_peft_trains_is_read():
    original = {f"{mixer(0)}.original_module.{tail}": value for tail, value in (("weight", taps(0, 1, 8)),)}
    trained = {f"base_model.model.model.{mixer(0)}.modules_to_save.default.weight": taps(1, 1, 8)}
    checkpoint = load({f"base_model.model.model.{key}": value for key, value in original.items()} | trained)
    (layer,) = checkpoint.layers
    assert_kernel(layer, taps(1, 1, 8))
    assert layer.layer == "mixer_blocks.0" and "modules_to_save.default, the copy that PEFT" in layer.note
    assert "before modules_to_save.default was trained" in checkpoint.skipped[0].reason


def test_peft_above_the_mixer_and_two_adapters():
    name = "base_model.model.mixer_blocks.{}.0.token_mixing_layer.weight"
    state = {name.format("original_module"): taps(0, 1, 8), name.format("modules_to_save.a"): taps(1, 1, 8)}
    (layer,) = load(state).layers
    assert_kernel(layer, taps(1, 1, 8))
    with pytest.raises(InputError, match="copies of several adapters"):
        load(state | {name.format("modules_to_save.b"): taps(2, 1, 8)})


def test_no_toeplitz_layer_shows_candidates_and_the_call():
    with pytest.raises(InputError) as caught:
        load(surroundings())
    message = str(caught.value)
    assert (
        "\n" not in message
        and "input_layer.weight" in message
        and "tt.inspect(model, kernels='NAME')" in message
    )


@pytest.mark.parametrize(
    ("kernel", "note"),
    [
        ([[1.0, np.nan, np.inf, -np.inf]], "1 nan and 2 inf of 4 taps"),
        ([[0.0, 0.0]], "all taps are zero"),
        ([[0.0, 1.0]], "w[0] = 0: the layer begins with a delay"),
        (np.array([[3, -1]], np.int8), "stored as int8: values taken as they are, without a scale"),
        (np.array([[True, False]]), "stored as bool: values taken as they are, without a scale"),
        (np.array([[2**40 + 1, 1]], np.int64), "stored as int64"),
        ([[5.0]], ""),
    ],
)
def test_unusual_kernels_are_layers_with_a_note(kernel, note):
    layer = load({f"{mixer(0)}.weight": kernel}).layers[0]
    assert (note in layer.note) if note else layer.note == ""
    np.testing.assert_array_equal(layer.kernel, np.asarray(kernel, float)[0])


@pytest.mark.parametrize("value", ["text", [[1.0], [1.0, 2.0]], np.ones((1, 4), complex), None])
def test_values_that_are_no_real_tensor_are_skipped(value):
    checkpoint = load(flat(1) | {f"{mixer(7)}.weight": value})
    assert len(checkpoint.layers) == 1 and checkpoint.skipped[0].name == f"{mixer(7)}.weight"


@pytest.mark.parametrize("source", [3, None, [], {1: np.ones(3)}])
def test_sources_of_another_kind(source):
    with pytest.raises(InputError):
        load(source)
