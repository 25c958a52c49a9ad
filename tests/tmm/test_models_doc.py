"""docs/models.md: its code runs, and its counts are those of the models."""

import re
from pathlib import Path

import pytest
import torch

from tests.tmm.family import MIXERS, config_of
from toeplitz_theory import TMMConfig, TMMForCausalLM
from toeplitz_theory.tmm.config import MIXER_NAMES
from toeplitz_theory.tmm.mixers import build_mixer
from toeplitz_theory.tmm.mixers import registry as registry_module

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def test_code_runs(monkeypatch):
    monkeypatch.chdir(ROOT)  # where a reader of a clone stands
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 2
    exec("\n".join(blocks), {})  # one after another, as a reader would


def heads(config, one):
    """Weights of a mixer whose heads have ``one`` each."""
    h, d = config.num_heads, config.hidden_size
    biases = 2 * d if config.projection_bias else 0
    return one if h == 1 else h * one + 2 * d * d + biases


def weights_of_a_layer(config):
    """The column "weights" of the table of mixers."""
    n, d = config.max_position_embeddings, config.hidden_size
    return {
        "toeplitz": heads(config, (4 if config.expanded else 1 + config.kernel_size) * n),
        "frozen_toeplitz": heads(config, (4 if config.expanded else 2) * n),
        "masked": heads(config, n * n + n),
        "attention": 4 * d * d,
        "linear_attention": 4 * d * d,
        "hyena": 4 * d * d + 139 * d + 10_624,
        "ssm": d * d + 2 * d + 4 * d * config.state_size,
    }[config.mixer]


@pytest.mark.parametrize("name", MIXERS)
def test_weights_of_a_layer(name):
    config = config_of(name)
    found = sum(parameter.numel() for parameter in build_mixer(config).parameters())
    assert found == weights_of_a_layer(config)


def test_every_mixer_has_a_row_and_a_builder():
    for name in MIXER_NAMES:
        assert f"| `{name}` |" in TEXT
    assert set(MIXER_NAMES) == set(registry_module.MIXERS)


def test_sizes():
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (.*) M \| (.*) M \| (.*) M \|$", TEXT, re.M)
    assert len(rows) >= 4
    for d, layers, n, vocabulary, *millions in rows:
        shape = {
            "hidden_size": int(d),
            "num_hidden_layers": int(layers),
            "max_position_embeddings": int(n),
            "vocab_size": int(vocabulary),
        }
        variants = ({}, {"num_heads": 4}, {"num_heads": 4, "mixer": "attention"})
        for fields, million in zip(variants, millions, strict=True):
            with torch.device("meta"):
                model = TMMForCausalLM(TMMConfig(**shape, **fields))
            found = sum(parameter.numel() for parameter in model.parameters())
            assert f"{found / 1e6:.1f}" == million
