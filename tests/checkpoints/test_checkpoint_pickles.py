"""State dicts of torch.save, and live modules: exact values, no code run, one line for anything else."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_builders import flat, headed, mixer, taps
from torch import nn

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError


def as_torch(state):
    return {key: torch.from_numpy(value) for key, value in state.items()}


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth", "ckpt"])
@pytest.mark.parametrize("legacy", [False, True])
def test_state_dict_files(tmp_path, suffix, legacy):
    path = tmp_path / f"m.{suffix}"
    torch.save(as_torch(headed(2, 2)), path, _use_new_zipfile_serialization=not legacy)
    a, b = load(path), load(headed(2, 2))
    assert [(x.layer, x.head, x.kernel.tolist()) for x in a.layers] == [
        (x.layer, x.head, x.kernel.tolist()) for x in b.layers
    ]
    assert a.ignored == b.ignored and len(a.files) == 1 and a.files[0].bytes == path.stat().st_size


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "module"])
def test_customary_wrappers_are_taken_off_and_named(tmp_path, wrapper):
    torch.save({"epoch": 3, wrapper: as_torch(flat(2)), "optimizer": {"lr": 0.1}}, tmp_path / "m.pt")
    checkpoint = load(tmp_path / "m.pt")
    assert len(checkpoint.layers) == 2
    assert checkpoint.notes[0] == f"weights found under {wrapper!r}"


def test_two_wrappers(tmp_path):
    torch.save({"state_dict": {"model": as_torch(flat(1))}}, tmp_path / "m.pt")
    assert load(tmp_path / "m.pt").notes[:2] == (
        "weights found under 'state_dict'",
        "weights found under 'model'",
    )


def test_entries_that_are_no_tensors_are_skipped(tmp_path):
    torch.save(as_torch(flat(1)) | {"step": 7}, tmp_path / "m.pt")
    (skipped,) = load(tmp_path / "m.pt").skipped
    assert skipped.name == "step" and "int" in skipped.reason


class Attack:
    """Unpickling this would create a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_no_code_is_run(tmp_path):
    mark = tmp_path / "mark"
    for value in (Attack(mark), as_torch(flat(1)) | {"x": Attack(mark)}):
        torch.save(value, tmp_path / "m.pt")
        with pytest.raises(InputError, match="will not be run"):
            load(tmp_path / "m.pt")
    # plain pickles of a newer protocol: torch warns about the protocol, which would be a second line
    (tmp_path / "m.bin").write_bytes(pickle.dumps(Attack(mark)))
    with warnings.catch_warnings(), pytest.raises(InputError, match="will not be run"):
        warnings.simplefilter("error")
        load(tmp_path / "m.bin")
    assert not mark.exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"holds code or whole objects.*model\.state_dict\(\)"):
        load(tmp_path / "m.pt")


def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "m.pt")
    with pytest.raises(InputError, match="TorchScript"):
        load(tmp_path / "m.pt")


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {}, torch.ones(3), {"state_dict": {"epoch": 3}}, 5])
def test_what_is_no_state_dict(tmp_path, value):
    torch.save(value, tmp_path / "m.pt")
    with pytest.raises(InputError, match="not a state dict of tensors") as caught:
        load(tmp_path / "m.pt")
    assert "\n" not in str(caught.value)


def test_names_that_are_no_strings(tmp_path):
    torch.save({0: torch.ones(3)}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="0 is not a name"):
        load(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"PK\x03\x04", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_files_that_are_no_pickles(tmp_path, raw):
    (tmp_path / "m.bin").write_bytes(raw)
    with pytest.raises(InputError, match=r"m\.bin: ") as caught:
        load(tmp_path / "m.bin")
    assert "\n" not in str(caught.value)


def test_strides_of_zero_claim_no_memory(tmp_path):
    # 10**13 elements on one stored number
    state = {f"{mixer(0)}.weight": torch.ones(1).expand(1, 10**13), f"{mixer(1)}.weight": torch.ones(1, 8)}
    torch.save(state, tmp_path / "m.pt")
    checkpoint = load(tmp_path / "m.pt")
    assert [layer.layer for layer in checkpoint.layers] == ["mixer_blocks.1"]
    assert "claims more bytes than the file holds" in checkpoint.skipped[0].reason


class Kernel(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, n))
        self.bias = nn.Parameter(torch.zeros(n))


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.token_mixing_layer = Kernel(n)
        self.norm = nn.LayerNorm(4)


class Model(nn.Module):
    def __init__(self, n=8, blocks=11):
        super().__init__()
        self.mixer_blocks = nn.ModuleList(Block(n) for _ in range(blocks))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_live_modules(dtype):
    model = Model().to(dtype)
    checkpoint = load(model)
    assert checkpoint.source == "Model" and checkpoint.files == ()
    assert [layer.layer for layer in checkpoint.layers] == [f"mixer_blocks.{i}" for i in range(11)]
    for layer, block in zip(checkpoint.layers, model.mixer_blocks, strict=True):
        assert layer.dtype == str(dtype).removeprefix("torch.")
        assert layer.kernel.tolist() == block.token_mixing_layer.weight[0].double().tolist()
    assert checkpoint.ignored == 3 * 11


def test_a_copy_is_taken_of_a_live_module():
    model = Model(blocks=1).double()
    layer = load(model).layers[0]
    before = layer.kernel.tolist()
    with torch.no_grad():
        model.mixer_blocks[0].token_mixing_layer.weight.zero_()
    assert layer.kernel.tolist() == before and any(before)


def test_wrapped_and_single_modules():
    model = Model(blocks=1)
    assert load(nn.DataParallel(model)).layers[0].layer == "mixer_blocks.0"
    assert load(model.mixer_blocks[0]).layers[0].layer == "token_mixing_layer"


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_without_values_are_skipped():
    state = {
        f"{mixer(0)}.weight": torch.ones(1, 8, device="meta"),
        f"{mixer(1)}.weight": torch.ones(1, 8).to_sparse(),
        f"{mixer(2)}.weight": torch.quantize_per_tensor(torch.ones(1, 8), 0.1, 0, torch.qint8),
        f"{mixer(3)}.weight": torch.ones(1, 8, dtype=torch.complex64),
        f"{mixer(4)}.weight": torch.from_numpy(taps(0, 1, 8)),
    }
    checkpoint = load(state)
    assert [layer.layer for layer in checkpoint.layers] == ["mixer_blocks.4"]
    assert [s.reason.split(":")[0] for s in checkpoint.skipped] == [
        "the tensor is on the meta device, which holds no values",
        "a tensor of layout torch.sparse_coo",
        "a quantised tensor",
        "dtype complex64 is not read",
    ]


def test_our_own_models_and_their_saved_folders(tmp_path):
    from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding, TMMForCausalLM

    small = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "max_position_embeddings": 12}
    for model_class in (TMMForCausalLM, TMMForAutoencoding):
        for heads in (1, 2):
            model = model_class(TMMConfig(num_heads=heads, **small))
            folder = tmp_path / f"{model_class.__name__}-{heads}"
            model.save_pretrained(folder)
            saved, live = load(folder), load(model)
            stacks = 2 if model_class is TMMForAutoencoding else 1
            assert len(saved.layers) == len(live.layers) == 2 * heads * stacks
            for a, b in zip(saved.layers, live.layers, strict=True):
                assert (a.layer, a.head, a.layout, a.kernel.tolist()) == (
                    b.layer,
                    b.head,
                    b.layout,
                    b.kernel.tolist(),
                )
                assert a.layout == ("flat" if heads == 1 else "heads") and a.n == 12
            assert saved.skipped == () and saved.notes == ()
            assert saved.config["model_type"].startswith("tmm")


def test_numpy_extension_dtypes():
    array = np.linspace(-2, 2, 8).astype(np.float16)
    assert load({f"{mixer(0)}.weight": array}).layers[0].kernel.tolist() == array.astype(float).tolist()


def test_the_reason_is_told_without_advice_to_run_the_file(tmp_path):
    """torch wraps its reasons in a paragraph on loading with weights_only=False."""
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=4)[:-2] + b"\x8f.")
    with pytest.raises(InputError) as refused:
        load(path)
    assert "PyTorch 2.6" not in str(refused.value) and "\n" not in str(refused.value)
    assert "Unsupported operand" in str(refused.value)
