"""Files of kernels say of which model they are; files that do not say it are read as before."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.tmm.family import config_of
from toeplitz_theory import TMMForCausalLM
from toeplitz_theory.checkpoints import load
from toeplitz_theory.training.model_kernels import kernel_file, save_kernels


def _saved(name, folder):
    model = TMMForCausalLM(config_of(name))
    save_kernels(model, folder, 3)
    return model, kernel_file(folder, 3)


@pytest.mark.parametrize("name", ["flat", "heads", "frozen", "row-normalised", "ssm"])
def test_a_kernel_file_is_read_as_the_model_it_is_of(name, tmp_path):
    model, path = _saved(name, tmp_path)
    found, live = load(path), load(model)
    assert found.notes == live.notes == () and found.skipped == ()
    assert found.config["mixer"] == model.config.mixer
    assert [one.row_normalised for one in found.layers] == [one.row_normalised for one in live.layers]
    for one, expected in zip(found.layers, live.layers, strict=True):
        np.testing.assert_allclose(one.kernel, expected.kernel, atol=1e-5)
        assert name == "ssm" or one.note == expected.note


@pytest.mark.parametrize(
    "metadata", [None, {"step": "3", "format": "pt"}, {"tmm_config": '{"mixer": "toeplitz"}'}]
)
def test_files_that_do_not_say_it_keep_the_note(metadata, tmp_path):
    _, path = _saved("flat", tmp_path)
    save_file(load_file(path), path, metadata=metadata)
    assert "look alike in a file" in load(path).notes[0]


@pytest.mark.parametrize("told", ["{", "[1]", "[" * 200_000, "1" * 5000])
def test_what_cannot_be_read_of_it_is_said(told, tmp_path):
    _, path = _saved("flat", tmp_path)
    save_file(load_file(path), path, metadata={"tmm_config": told})
    found = load(path)
    assert found.layers and "look alike in a file" in found.notes[0]
    assert [(one.name, "not a JSON object" in one.reason) for one in found.skipped] == [("tmm_config", True)]


def test_the_configuration_beside_a_file_goes_before(tmp_path):
    _, path = _saved("flat", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "tmm", "mixer": "frozen_toeplitz"}')
    assert load(path).config["mixer"] == "frozen_toeplitz"


def test_kernels_of_a_module_without_a_configuration_are_saved(tmp_path):
    model = TMMForCausalLM(config_of("flat"))
    bare = torch.nn.ModuleDict({"mixer_blocks": model.model.mixer_blocks})
    save_kernels(bare, tmp_path, 3)
    assert "look alike in a file" in load(kernel_file(tmp_path, 3)).notes[0]
