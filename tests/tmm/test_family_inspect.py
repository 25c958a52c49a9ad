"""Every variant read back: what a checkpoint's rows hold is what the live modules multiply by."""

import numpy as np
import pytest
import torch

import toeplitz_theory as tt
from tests.tmm.conftest import with_random_biases
from tests.tmm.family import MIXERS, config_of
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.mixers import CausalKernels

LAYOUTS = {
    "flat": ["flat"],
    "heads": ["heads"] * 4,
    "expanded": ["expanded"] * 2,
    "expanded heads": ["expanded heads"] * 4,
    "channels": ["channel kernel"] * 3,
    "positive": ["flat"],
    "positive heads": ["heads"] * 2,
    "positive channels": ["channel kernel"] * 2,
    "row-normalised": ["flat"],
    "row-normalised heads": ["heads"] * 2,
    "frozen": ["flat"],
    "frozen heads": ["expanded heads"] * 4,
    "hyena": ["implicit filter"] * 8,
    "ssm": ["state space"] * 4,
}
WITHOUT = {
    "masked": "dense (24, 24) token mixer, not Toeplitz",
    "masked heads": "shape (24, 24) where one kernel (1, n) belongs: a dense layer, not Toeplitz",
    "attention": "attention, or linear attention",
    "linear attention": "attention, or linear attention",
}


def make(name, cls=TMMForCausalLM):
    torch.manual_seed(0)
    with torch.no_grad():
        return with_random_biases(cls(config_of(name, hidden_size=4))).double()


def live_kernels(model):
    """Kernels of the live modules by the block they belong to, each block's in any order."""
    found = {}
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, CausalKernels):
                stack, number = name.removeprefix("model.").split(".")[:2]
                found.setdefault(f"{stack}.{number}", []).extend(module.kernels().numpy())
    return found


def test_every_mixer_is_named():
    assert set(LAYOUTS) | set(WITHOUT) == set(MIXERS)


@pytest.mark.parametrize("cls", [TMMForCausalLM, TMMForAutoencoding])
@pytest.mark.parametrize("saved", [True, False], ids=["saved", "live"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_rows_are_the_kernels(name, saved, cls, tmp_path):
    model = make(name, cls)
    if saved:
        model.save_pretrained(tmp_path)
    checkpoint = load(tmp_path if saved else model)
    assert checkpoint.skipped == () and checkpoint.notes == ()
    expected = live_kernels(model)
    assert sum(map(len, expected.values())) == len(checkpoint.layers)
    for block, kernels in expected.items():
        layers = [layer for layer in checkpoint.layers if layer.layer.startswith(block)]
        assert [layer.layout for layer in layers] == LAYOUTS[name]
        assert len({(layer.layer, layer.head) for layer in layers}) == len(layers)
        # Sorted by their taps: heads and parts come in another order here than in the module tree.
        read = np.array(sorted(layer.kernel.tolist() for layer in layers))
        held = np.array(sorted(kernel.tolist() for kernel in kernels))
        np.testing.assert_allclose(read, held, atol=1e-13 * abs(held).max(), rtol=0)


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_kernels_is_a_report_of_what_was_skipped(name, tmp_path):
    model = make(name)
    model.save_pretrained(tmp_path)
    for source in (tmp_path, model):
        report = tt.inspect(source)
        assert len(report) == 0 and len(report.skipped) >= 2
        assert all(WITHOUT[name] in reason for _, reason in report.skipped)
        report.save(tmp_path / "report.json")


def test_notes_say_what_the_tensors_alone_do_not():
    row = tt.inspect(make("row-normalised")).rows[0]
    first, total = row.kernel[0], row.kernel.sum()
    assert f"D from {1 / first:.3g} in the first row to {1 / total:.3g} in the last" in row.note
    assert "softplus" in row.note and "index with residual is that of I + D T(a)" in row.note
    assert tt.inspect(make("positive")).rows[0].note == "kernel = softplus(weight_raw)"
    assert "frozen" in tt.inspect(make("frozen")).rows[0].note
    assert "the last on the diagonal" in tt.inspect(make("channels")).rows[0].note


def test_the_last_of_the_kernels_over_channels_decides_the_determinant():
    """The layer as one matrix over time and channels: its determinant is that of the last kernel, d times."""
    from toeplitz_theory.tmm.inputs import Place

    model = make("channels")
    mixer = model.model.mixer_blocks[0].token_mixing_layer
    n, d = 24, 4
    place = Place(torch.arange(n)[None])
    with torch.no_grad():
        inputs = torch.eye(n * d, dtype=torch.float64).reshape(n * d, n, d)
        matrix = (mixer(inputs, place) - mixer(torch.zeros_like(inputs), place)).reshape(n * d, n * d)
    _, logarithm = np.linalg.slogdet(matrix.numpy())
    last = load(model).layers[2].kernel
    np.testing.assert_allclose(logarithm, n * d * np.log(abs(last[0])), rtol=1e-10)


def test_generated_kernels_without_a_configuration_are_skipped():
    state = make("ssm").state_dict()
    with pytest.raises(InputError, match=r"how long they are is in config\.json"):
        load(state)
    flat = {f"model.mixer_blocks.5.token_mixing_layer.{k}": np.ones((1, 9)) for k in ["weight"]}
    checkpoint = load({**state, **flat})
    assert len(checkpoint.layers) == 1
    assert [s.name for s in checkpoint.skipped] == [
        f"mixer_blocks.{i}.token_mixing_layer.filter" for i in range(2)
    ]


def test_generated_kernels_of_shapes_that_do_not_fit_are_skipped(tmp_path):
    model = make("ssm")
    model.model.mixer_blocks[1].token_mixing_layer.filter.log_decay.data = torch.ones(4, 7)
    checkpoint = load(model)
    assert len(checkpoint.layers) == 4
    assert "of shapes that do not fit" in checkpoint.skipped[0].reason


@pytest.mark.parametrize("name", ["hyena", "ssm"])
def test_generated_kernels_that_overflow_are_rows_without_numbers(name):
    model = make(name)
    module = next(m for m in model.modules() if isinstance(m, CausalKernels))
    with torch.no_grad():
        next(iter(module.parameters())).fill_(float("nan"))
    report = tt.inspect(model)
    assert any("not analysed: every tap must be finite" in row.note for row in report.rows)


@pytest.mark.parametrize("name", ["hyena", "ssm"])
def test_generated_kernels_that_were_saved_as_such_are_read(name):
    """The same rows from the kernels alone, as a run keeps them on its way, as from the whole model."""
    model = make(name)
    with torch.no_grad():
        kept = {
            f"{key}.kernels": module.kernels()
            for key, module in model.named_modules()
            if isinstance(module, CausalKernels)
        }
    alone, whole = load(kept).layers, load(model).layers
    assert [(a.layer, a.head) for a in alone] == [(w.layer, w.head) for w in whole]
    assert {a.layout for a in alone} == {"generated"}
    for a, w in zip(alone, whole, strict=True):
        np.testing.assert_allclose(a.kernel, w.kernel, atol=1e-13 * abs(w.kernel).max(), rtol=0)
