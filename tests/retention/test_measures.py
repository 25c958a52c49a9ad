"""Each measure on models whose memory is known, and on the shipped family."""

import json

import numpy as np
import pytest
import torch

import toeplitz_theory as tt
from tests.retention.known import Known, convolution, delay_line, delayed, noise
from toeplitz_theory.errors import InputError
from toeplitz_theory.retention import (
    exact,
    recall_curve,
    reconstruction,
    recovery,
    token_capacity,
    total_effect,
    untrained_twin,
)


def at(measured, layer, lag):
    table = measured.table
    return table[(table.layer == layer) & (table.lag == lag)].iloc[0]


def test_capacity_of_the_embedding_and_of_a_delay_line():
    capacity = token_capacity(Known(delay_line), samples=128)
    for layer, expected in ((0, {0: 8}), (1, {0: 5, 3: 2})):
        for lag in range(12):
            row, known = at(capacity, layer, lag), expected.get(lag, 0)
            # A 95 % interval, asked two dozen times: twice as wide holds all of them.
            slack = (row.upper - row.lower) / 2 + 0.02
            assert row.lower - slack < known < row.upper + slack
    assert capacity.settings["rank"] == {0: 8, 1: 7}
    assert capacity.value == pytest.approx(7, abs=0.5)


def test_capacity_of_noise_is_nothing():
    capacity = token_capacity(Known(noise), samples=64, layers=[1])
    assert capacity.interval[0] < 0 < capacity.interval[1]


def test_capacity_of_a_linear_model_is_the_closed_form():
    generator = np.random.default_rng(5)
    maps = [torch.tensor(generator.standard_normal((8, 4)) / (k + 1), dtype=torch.float32) for k in range(4)]

    def layer(x):
        return sum(delayed(x, k) @ a for k, a in enumerate(maps))

    capacity = token_capacity(Known(layer), samples=256, layers=[1])
    parts = [a.numpy().astype(float) for a in maps]
    inverse = np.linalg.inv(sum(a.T @ a for a in parts))
    for lag, a in enumerate(parts):
        row = at(capacity, 1, lag)
        slack = (row.upper - row.lower) / 2
        assert row.lower - slack < np.trace(a @ inverse @ a.T) < row.upper + slack
    # Without products of tokens the total effect is the same; with them it is more.
    effect = total_effect(Known(layer), samples=256, layers=[1])
    assert effect.value == pytest.approx(4, rel=0.2)


def test_total_effect_is_not_below_the_capacity():
    model = Known(lambda x: torch.cat([x[..., :4] * delayed(x, 1)[..., :4], x[..., 4:]], dim=-1))
    capacity = token_capacity(model, samples=128, layers=[1])
    effect = total_effect(model, samples=256, layers=[1])
    assert capacity.value == pytest.approx(4, abs=0.5)  # four dimensions are products: no token alone decides
    assert effect.value == pytest.approx(12, rel=0.15)  # and two tokens take part in each of them


def test_last_position_reaches_all_lags():
    capacity = token_capacity(Known(delay_line), samples=400, alphabet=8, positions="last", layers=[1])
    assert capacity.table.lag.max() == 63
    assert at(capacity, 1, 3).value == pytest.approx(2, abs=0.5)


def test_recall_of_a_delay_line_and_of_noise():
    bits = recall_curve(Known(delay_line, width=16), layers=[1], lags=[0, 1, 3], samples=300, alphabet=4)
    table = bits.table.set_index("lag")["value"]
    assert table[0] > 1.9 and table[3] > 1.5 and abs(table[1]) < 0.02
    assert bits.baselines["all"] == pytest.approx(2.0, abs=0.01)
    none = recall_curve(Known(noise), layers=[1], lags=[0, 2], samples=100, alphabet=8)
    assert none.table["value"].abs().max() < 0.02


def test_recall_on_text_has_its_controls():
    # Every token is repeated: the token ahead can be read where it is the same one.
    text = np.repeat(np.random.default_rng(0).integers(0, 8, (200, 32)), 2, axis=1)
    bits = recall_curve(Known(lambda x: x, vocab=8, width=7), text, layers=[1], lags=[1, 2]).table
    assert bits["future"][0] > 0.5 and bits["embedding"][0] == pytest.approx(bits["value"][0], abs=0.05)
    assert abs(bits["future"][1]) < 0.05


def test_the_headline_is_of_the_last_layer_in_whatever_order_they_are_named():
    model = Known(delay_line, width=8)
    text = np.random.default_rng(0).integers(0, 8, (200, 32))
    for measure in (recall_curve, recovery):
        alone, both = (measure(model, text, layers=layers) for layers in ([1], [1, 0, -1]))
        assert both.value == alone.value and both.interval == alone.interval
        of_last = both.table[both.table["layer"] == 1].reset_index(drop=True)
        assert of_last.equals(alone.table) and set(both.table["layer"]) == {0, 1}


@pytest.mark.parametrize("taps", [(1.0, -2.0), (0.25, -1.0, 1.0), (1.0, -0.5)])
def test_recovery_of_a_linear_layer_is_the_operators_curve(taps):
    model = Known(convolution(taps), width=2)
    curve = recovery(model, layers=[1], delays=[0, 1, 2, 4], earlier=10, samples=400)
    # Checked against what all past and later outputs tell: a classical Wiener filter, by normal equations.
    n, t = 40, 25
    matrix = sum(w * np.eye(n, k=-k) for k, w in enumerate(taps))
    for delay, row in curve.table.set_index("delay").iterrows():
        seen = matrix[t - 10 : t + delay + 1]
        share = seen[:, t] @ np.linalg.solve(seen @ seen.T, seen[:, t])
        assert row.lower - 0.03 < share < row.upper + 0.03
    if taps == (1.0, -2.0):
        np.testing.assert_allclose(curve.table["value"], [0.25, 0.8125, 0.953125, 0.997], atol=0.03)


def test_exact_reconstruction_and_what_it_cannot_tell():
    model = tt.TMMForCausalLM(
        tt.TMMConfig(vocab_size=24, hidden_size=16, max_position_embeddings=12, num_heads=2)
    )
    prompts = np.random.default_rng(0).integers(0, 24, (2, 6))
    for dtype in ("float32", "bfloat16", "float8_e4m3fn"):
        rebuilt = exact(model, prompts, dtype=dtype)
        assert rebuilt.value == 1.0 and (dtype != "float32" or rebuilt.baselines["proved"] == 1.0)
        assert (rebuilt.table["token"].to_numpy().reshape(2, 6) == prompts).all()
    assert exact(model, prompts, noise=0.5).baselines["proved"] == 0.0
    twins = Known(lambda x: x, vocab=8, width=4)
    with torch.no_grad():
        twins.table[5] = twins.table[2]
    rebuilt = exact(twins, [[2, 5, 1]])
    assert rebuilt.table["proved"].tolist() == [False, False, True]


def test_measures_are_saved_whole(tmp_path):
    measured = recall_curve(Known(delay_line), layers=[1], lags=[0], samples=100, alphabet=4)
    measured.save(tmp_path / "recall.json")
    content = json.loads((tmp_path / "recall.json").read_text())
    assert content["columns"]["lag"] == [0] and content["samples"] == measured.samples
    assert "bits over" in repr(measured)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: token_capacity(m, samples=4), "at least"),
        (lambda m: token_capacity(m, layers=[7]), "0 \\(embedding\\) to 1"),
        (lambda m: token_capacity(m, length=1000), "2 to 64"),
        (lambda m: token_capacity(m, alphabet=99), "knows 32 tokens"),
        (lambda m: token_capacity(m, tokens=[0.5, 0.5]), "one probability"),
        (lambda m: recall_curve(m, samples=10), "at least"),
        (lambda m: recall_curve(m, lags=[60]), "0 to 32"),
        (lambda m: recall_curve(m, [[1, 99]]), "0 to 31"),
        (lambda m: recovery(m, delays=[40]), "half of the 64"),
        (lambda m: recovery(m, samples=20, delays=[16]), "at least"),
        (lambda m: exact(m, [[1, 2]], dtype="int4"), "choose from"),
        (lambda m: reconstruction(m, length=9, samples=100), "at most 7"),
        (lambda m: reconstruction(m, length=4, samples=10), "at least 100"),
        (lambda m: reconstruction(m, controls=["nothing"]), "choose from untrained, constant"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(call, message):
    with pytest.raises(InputError, match=message) as refused:
        call(Known(delay_line))
    assert "\n" not in str(refused.value)


def test_models_that_cannot_be_asked():
    with pytest.raises(InputError, match="vocab_size"):
        token_capacity(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="nan"):
        token_capacity(Known(lambda x: x * float("nan")))
    silent = Known(delay_line)
    silent.forward = lambda input_ids, output_hidden_states, use_cache: object()
    with pytest.raises(InputError, match="no hidden states"):
        token_capacity(silent)


def test_the_encoder_of_an_autoencoder_can_be_asked():
    config = tt.TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=16, num_heads=2)
    capacity = token_capacity(tt.TMMForAutoencoding(config), samples=32)
    assert at(capacity, 0, 0).value == pytest.approx(8, abs=0.5) and capacity.table.layer.max() > 0


def test_reconstruction_gives_back_what_the_code_holds_and_nothing_from_a_constant():
    # The state holds the last two tokens; the two before them are gone.
    model = Known(lambda x: torch.cat([x[..., :4], delayed(x, 1)[..., :4]], dim=-1), vocab=8, width=7)
    kept = reconstruction(model, length=4, steps=150, samples=3000, controls=["constant"])
    table = kept.table.set_index("position")
    assert (table["value"][2:] > 0.15).all() and (table["accuracy"][2:] > 0.25).all()  # after 150 steps
    assert (table["value"][:2].abs() < 0.03).all()
    assert abs(kept.baselines["constant"]) < 0.02  # the cross-entropy of the token frequencies, no better
    assert (table["closed"][2:] < 0.5).all()
    assert kept.value == pytest.approx(1 - table["loss"].mean() / kept.settings["entropy"])


def test_a_twin_is_another_start_of_the_same_model():
    config = tt.TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=16, num_heads=2)
    model = tt.TMMForCausalLM(config)
    state = torch.random.get_rng_state()
    one, same, other = untrained_twin(model, 1), untrained_twin(model, 1), untrained_twin(model, 2)
    assert (torch.random.get_rng_state() == state).all()
    weights = [twin.lm_head.weight for twin in (one, same, other)]
    assert (weights[0] == weights[1]).all() and not (weights[0] == weights[2]).all()
