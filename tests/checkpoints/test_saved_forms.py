"""Weights as people save them: wrapped, averaged, in shards, tied, by trainers; read whole, or named."""

import re

import numpy as np
import pytest
import torch
from checkpoint_builders import flat, mixer, taps
from safetensors.numpy import save_file

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError


def as_torch(state):
    return {key: torch.from_numpy(value) for key, value in state.items()}


def kernels(checkpoint):
    return {layer.layer: layer.kernel.tolist() for layer in checkpoint.layers}


FIRST, SECOND = as_torch(flat(2)), {f"{mixer(0)}.weight": torch.full((1, 8), 7.0)}
EXTRAS = {"epoch": 3, "best_val_loss": torch.tensor(1.5), "step": torch.tensor(7), "config": {"lr": 0.1}}


@pytest.mark.parametrize(
    "name",
    [
        *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params"),
        *("weights", "ema", "ema_state_dict", "model_ema", "EMA", "generator", "my_best_model"),
    ],
)
def test_one_set_of_weights_under_any_name(tmp_path, name):
    adam = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({name: FIRST, "optimizer": adam, **EXTRAS}, tmp_path / "m.pt")
    for source in (tmp_path / "m.pt", {name: FIRST, "optimizer": adam, **EXTRAS}):
        checkpoint = load(source)
        assert kernels(checkpoint) == kernels(load(FIRST))
        assert checkpoint.notes[0] == f"weights found under '{name}'"


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["state_dict", "state_dict_ema"], "state_dict"),
        (["ema", "model"], "model"),
        (["params_ema", "params"], "params"),
        (["ema_model", "whatever"], "whatever"),
        (["swa_model", "net"], "net"),
        (["net", "state_dict"], "state_dict"),
    ],
)
def test_of_several_sets_the_weights_are_read_and_the_others_mentioned(tmp_path, names, read):
    torch.save({name: FIRST if name == read else SECOND for name in names}, tmp_path / "m.pt")
    checkpoint = load(tmp_path / "m.pt")
    assert kernels(checkpoint) == kernels(load(FIRST))
    (skipped,) = checkpoint.skipped
    assert skipped.name in names and f"beside '{read}', which was read" in skipped.reason


def test_sets_of_which_no_name_says_which_is_the_model(tmp_path):
    torch.save({"student": FIRST, "teacher": SECOND}, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"several sets of weights \(student, teacher\).*pick one"):
        load(tmp_path / "m.pt")


def test_lightning(tmp_path):
    state = {f"net.{key}": value for key, value in FIRST.items()}
    saved = {"state_dict": state, "pytorch-lightning_version": "2.5", "loops": {"x": torch.ones(2)}}
    torch.save(saved | {"optimizer_states": [{}], "callbacks": {}, "lr_schedulers": []}, tmp_path / "m.ckpt")
    assert list(kernels(load(tmp_path / "m.ckpt"))) == ["net.mixer_blocks.0", "net.mixer_blocks.1"]


SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
FOUR = flat(4)
HALVES = [dict(list(FOUR.items())[:7]), dict(list(FOUR.items())[7:])]


def test_shards_without_their_index_are_read_together(tmp_path):
    for name, half in zip(SHARDS, HALVES, strict=True):
        save_file(half, tmp_path / name)
    checkpoint = load(tmp_path)
    assert kernels(checkpoint) == kernels(load(FOUR)) and checkpoint.ignored == load(FOUR).ignored
    assert len(checkpoint.files) == 2
    alone = load(tmp_path / SHARDS[1])
    assert 0 < len(alone.layers) < 4 and "one shard of 2 alone" in alone.notes[0]
    save_file(HALVES[0], tmp_path / SHARDS[1])
    with pytest.raises(InputError, match="which another shard holds too"):
        load(tmp_path)


def test_pickled_shards_without_their_index(tmp_path):
    for i, half in enumerate(HALVES):
        torch.save(as_torch(half), tmp_path / f"pytorch_model-{i + 1}-of-2.bin")
    assert kernels(load(tmp_path)) == kernels(load(FOUR))


def test_a_part_of_the_shards_is_never_the_model(tmp_path):
    save_file(HALVES[1], tmp_path / SHARDS[1])
    with pytest.raises(InputError, match=r"parts of a model only; .*number 1 is missing"):
        load(tmp_path)
    save_file(FOUR, tmp_path / "consolidated.safetensors")
    checkpoint = load(tmp_path)
    assert kernels(checkpoint) == kernels(load(FOUR))
    assert [s.name for s in checkpoint.skipped] == [SHARDS[1]] and "1 is missing" in checkpoint.skipped[
        0
    ].reason


def test_slices_of_tensor_parallelism_are_refused(tmp_path):
    for i in range(2):
        torch.save(FIRST, tmp_path / f"consolidated.0{i}.pth")
    for source in (tmp_path, tmp_path / "consolidated.00.pth"):
        with pytest.raises(InputError, match="a part of every tensor"):
            load(source)
    (tmp_path / "consolidated.01.pth").unlink()
    assert kernels(load(tmp_path)) == kernels(load(FIRST))


def test_tied_kernels_saved_once(tmp_path):
    from safetensors.torch import save_model

    class Kernel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(1, 16))

    class Block(torch.nn.Module):
        def __init__(self, kernel):
            super().__init__()
            self.token_mixing_layer = kernel

    shared, model = Kernel(), torch.nn.Module()
    model.mixer_blocks = torch.nn.ModuleList([Block(shared), Block(Kernel()), Block(shared)])
    save_model(model, tmp_path / "m.safetensors")
    assert kernels(load(tmp_path / "m.safetensors")) == kernels(load(model)) and len(load(model).layers) == 3


def test_aliases_claim_no_memory(tmp_path):
    state = {f"{mixer(0)}.weight": np.ones((1, 100_000), np.float32)}
    aliases = {f"{mixer(i)}.weight": f"{mixer(0)}.weight" for i in range(1, 3000)}
    save_file(state, tmp_path / "m.safetensors", metadata=aliases)
    with pytest.raises(InputError, match="gives 2999 tensors other names, more than are read"):
        load(tmp_path / "m.safetensors")


def sharded_by_fsdp(folder):
    (folder / "pytorch_model_fsdp_0").mkdir(parents=True)
    (folder / "pytorch_model_fsdp_0" / ".metadata").write_bytes(b"x")
    (folder / "pytorch_model_fsdp_0" / "__0_0.distcp").write_bytes(b"x")
    (folder / "trainer_state.json").write_text("{}")


def test_fsdp_folders_are_named_with_the_command_that_merges_them(tmp_path):
    sharded_by_fsdp(tmp_path / "checkpoint-100")
    for source in (
        tmp_path,
        tmp_path / "checkpoint-100",
        tmp_path / "checkpoint-100" / "pytorch_model_fsdp_0",
    ):
        with pytest.raises(InputError, match=r"FSDP.*accelerate merge-weights.*dcp_to_torch") as refused:
            load(source)
        assert "\n" not in str(refused.value)


def test_deepspeed_folders_are_named_with_the_command_that_merges_them(tmp_path):
    (tmp_path / "global_step10").mkdir()
    (tmp_path / "latest").write_text("global_step10")
    empty = {key: torch.empty(0) for key in FIRST}
    part = tmp_path / "global_step10" / "zero_pp_rank_0_mp_rank_00_model_states.pt"
    torch.save({"module": empty, "param_shapes": [{}], "ds_version": "0.14"}, part)
    for source in (tmp_path, tmp_path / "global_step10", part):
        with pytest.raises(InputError, match=r"DeepSpeed.*zero_to_fp32\.py"):
            load(source)
    whole = tmp_path / "mp_rank_00_model_states.pt"
    torch.save({"module": FIRST, "ds_version": "0.14", "optimizer": None}, whole)
    assert kernels(load(whole)) == kernels(load(FIRST))


def randn(*shape):
    return np.ones(shape, np.float32)


OTHERS = {
    "Hyena": {
        "layers.0.mixer.filter_fn.implicit_filter.0.weight": randn(64, 3),
        "x.filter_fn.bias": randn(8),
    },
    "H3": {"backbone.layers.0.mixer.ssm_k_D": randn(8), "backbone.layers.0.mixer.D": randn(8)},
    "SGConv": {"layers.0.layer.kernel_list.0": randn(1, 8, 64), "layers.0.layer.multiplier": randn(1, 8, 1)},
    "S4": {"layers.0.layer.kernel.kernel.P": randn(1, 4, 2), "layers.0.layer.kernel.kernel.log_dt": randn(4)},
    "S4D": {"layers.0.kernel.log_A_real": randn(4, 4), "layers.0.kernel.log_dt": randn(4)},
    "STU": {"layers.0.stu.M_inputs": randn(4, 4), "layers.0.stu.M_filters": randn(24, 4)},
    "LRU": {"layers.0.nu_log": randn(4), "layers.0.theta_log": randn(4)},
    "LongConv": {"layers.0.layer.kernel.kernel": randn(1, 4, 32), "layers.0.layer.D": randn(1, 4)},
    "LongConv (Zoology)": {"backbone.layers.0.sequence_mixer.conv.filter": randn(4, 32)},
    "TNN": {"decoder.layers.0.token_mixer.toep.pos_proj.weight": randn(4, 4)},
    "Mamba": {
        "backbone.layers.0.mixer.A_log": randn(4, 4),
        "backbone.layers.0.mixer.dt_proj.weight": randn(4, 4),
    },
    "RWKV": {"blocks.0.att.time_decay": randn(4), "blocks.0.att.key.weight": randn(4, 4)},
    "attention": {"model.layers.0.self_attn.q_proj.weight": randn(4, 4)},
    "LoRA": {"base_model.model.lm_head.lora_A.weight": randn(2, 4)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_are_named_as_what_they_are_with_what_to_do(name):
    with pytest.raises(InputError, match="recognised as") as refused:
        load(OTHERS[name])
    message = str(refused.value)
    assert re.search(rf"recognised as .*{name.split()[0]}", message) and "\n" not in message
    if name not in ("Mamba", "RWKV", "attention", "LoRA"):
        assert "tt.inspect(model, probe=" in message or "tt.inspect(model, kernels=" in message


def test_kernels_at_hand_as_the_message_says():
    at_hand = taps(0, 4, 32)
    layers = load({"blocks.0.mixer.filter.kernels": at_hand}).layers
    assert [layer.kernel.tolist() for layer in layers] == at_hand.astype(float).tolist()
