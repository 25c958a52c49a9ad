"""Which way to multiply: by name or by a fixed table, never by what the clock says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory import TMMConfig
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products import METHODS, WAYS, chosen_way, way_by_table
from toeplitz_theory.tmm.products.blocked import radices_for


@pytest.mark.parametrize(
    ("device", "t", "channels", "expected"),
    [
        ("cpu", 1, 7, "fft"),
        ("cpu", 4096, 7, "fft"),
        ("cpu", 64, 8, "dense"),
        ("cpu", 65, 8, "fft"),
        ("cpu", 4096, 15, "fft"),
        ("cpu", 65, 16, "blocked"),
        ("cpu", 4096, 256, "blocked"),
        ("cuda", 128, 64, "dense"),
        ("cuda", 129, 64, "fft"),
        ("mps", 4096, 64, "fft"),
    ],
)
def test_the_table(device, t, channels, expected):
    assert way_by_table(device, t, channels) == expected


def test_names_are_taken_at_their_word():
    x, w = torch.zeros(2, 512, 64), torch.zeros(1, 512)
    assert [chosen_way(name, x, w) for name in WAYS] == list(WAYS)
    with pytest.raises(InputError, match="method='fastest' is not one of auto, fft, dense, blocked"):
        chosen_way("fastest", x, w)


@pytest.mark.parametrize(("t", "heads", "channels"), [(40, 2, 8), (200, 1, 16), (200, 2, 4)])
def test_auto_is_the_way_of_the_table_whatever_the_batch(t, heads, channels):
    w = torch.randn(heads, t)
    expected = way_by_table("cpu", t, channels)
    for batch in (1, 2, 64):
        x = torch.randn(batch, t, heads, channels)
        assert chosen_way("auto", x.flatten(2), w) == expected
    assert torch.equal(causal_toeplitz_product(x, w), causal_toeplitz_product(x, w, expected))


def test_devices_without_values_go_by_the_table_too():
    x = torch.zeros(2, 512, 64, device="meta")
    assert chosen_way("auto", x, torch.zeros(1, 512, device="meta")) == "fft"


def test_a_configuration_offers_every_way():
    assert {TMMConfig(product=name).product for name in METHODS} == set(METHODS)


@given(st.one_of(st.integers(1, 200_000), st.integers(1, 2**22)), st.integers(1, 4096))
def test_blocks_hold_the_sequence_with_little_to_spare(t, channels):
    radices, b = radices_for(t, channels)
    blocks = torch.tensor(radices).prod().item()
    assert t <= blocks * b
    assert blocks * b <= max(1.35 * t, 16)
    # Matrices at the roots, (2 b)^2 numbers each, stay small beside many channels' values.
    assert b <= 64
