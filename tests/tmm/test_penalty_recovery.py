"""Recovered share and mean delay as penalties, against the proved curve, and their gradients."""

import numpy as np
import pytest
import torch

from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm import mean_delay, recovery_share


@pytest.mark.parametrize(("snr", "tolerance"), [(1.0, 1e-6), (10.0, 1e-4), (100.0, 1e-3)])
def test_agree_with_the_proved_curve_to_the_stated_tolerance(snr, tolerance):
    for seed in range(4):
        w = np.random.default_rng(seed).standard_normal(64) / 8
        proved = Symbol(w).recovery(snr)
        for lag in (0, 16, 64):
            single = recovery_share(torch.tensor(w, dtype=torch.float32), lag, snr).item()
            assert single == pytest.approx(proved.share(lag), abs=tolerance)
        fine = recovery_share(torch.tensor(w), 16, snr, oversample=64).item()
        assert fine == pytest.approx(proved.share(16), abs=1e-7)
        delay = mean_delay(torch.tensor(w), snr).item()
        assert delay == pytest.approx(proved.mean_delay, rel=1e-3 if snr <= 10 else 1e-2)


def test_many_kernels_at_once_and_half_precision():
    kernels = torch.tensor([[1.0, -2.0], [1.0, 0.5], [0.0, 1.0]], dtype=torch.bfloat16)
    shares, delays = recovery_share(kernels, 0, 100.0), mean_delay(kernels, 1e4)
    assert shares.dtype == torch.float32 and shares.shape == delays.shape == (3,)
    assert delays.tolist() == pytest.approx([1.0, 0.0, 1.0], abs=2e-3) and shares[2] == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("of", [lambda k: recovery_share(k, 1, 10.0), lambda k: mean_delay(k, 10.0)])
def test_gradients(of):
    kernels = torch.tensor(
        [[1.0, -2.0, 0.3, 0.1], [0.4, 0.2, -0.7, 1.0]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(of, (kernels,))


def test_descent_on_the_delay_brings_the_input_back_sooner():
    kernel = torch.nn.Parameter(torch.tensor([0.2, 1.0, 0.3], dtype=torch.float64))
    before = Symbol(kernel.detach().numpy()).recovery()
    optimiser = torch.optim.SGD([kernel], lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        mean_delay(kernel, 100.0).backward()
        optimiser.step()
    after = Symbol(kernel.detach().numpy()).recovery()
    assert before.mean_delay == 1 and after.mean_delay == 0 and after.at_once > before.at_once


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda k: recovery_share(k, -1, 1.0), "lag is -1"),
        (lambda k: recovery_share(k, 1, 0.0), "snr is 0.0"),
        (lambda k: mean_delay(k, float("inf")), "snr is inf"),
        (lambda k: mean_delay(k, 1.0, oversample=1), "oversample"),
        (lambda k: mean_delay(k.to(torch.complex64), 1.0), "real"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.ones(3))
