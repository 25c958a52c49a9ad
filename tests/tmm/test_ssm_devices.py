"""State spaces on devices without float64: torch's stand-in for tensors of a device that is not there.

A `FakeTensorMode` runs every operation for its shapes, dtypes and devices alone, and refuses operands on
different devices. It takes no model as a whole (plain indexing asks for the real device), but all that is
double. What else a real device may lack it does not know.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from toeplitz_theory.tmm.mixers import ssm as ssm_module
from toeplitz_theory.tmm.mixers.ssm import DiagonalKernel


class _NoDoubles(TorchDispatchMode):
    """Refuse double precision on MPS, as the device does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, made)):
            on_mps = isinstance(tensor, torch.Tensor) and tensor.device.type == "mps"
            if on_mps and tensor.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{func} takes or makes {tensor.dtype} on MPS, which has none")
        return made


def _system_on_mps(exponents=torch.arange):
    with torch.no_grad(), FakeTensorMode(), _NoDoubles(), torch.device("mps"):
        system = DiagonalKernel(4, 3, 16).recurrence()
        return system, system.powers(exponents(5))


@pytest.mark.parametrize("exponents", [torch.arange, torch.ones])
def test_no_double_is_made_on_a_device_without(exponents):
    system, powers = _system_on_mps(exponents)
    assert (system.rates.device.type, system.rates.dtype) == ("cpu", torch.complex128)
    for part, dtype in ((system.b, torch.complex64), (system.c, torch.complex64), (system.d, torch.float32)):
        assert (part.device.type, part.dtype) == ("mps", dtype)
    assert (powers.device.type, powers.dtype, powers.shape) == ("mps", torch.complex64, (4, 3, 5))


def test_the_check_would_see_one(monkeypatch):
    monkeypatch.setattr(ssm_module, "WITHOUT_DOUBLES", ())
    with pytest.raises(TypeError, match="which has none"):
        _system_on_mps()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rates_stay_where_the_parameters_are_otherwise(dtype):
    with torch.device("meta"):
        system = DiagonalKernel(4, 3, 16).to(dtype).recurrence()
        powers = system.powers(torch.arange(5))
    assert {part.device.type for part in (*system, powers)} == {"meta"}
    assert system.rates.dtype == torch.complex128
    assert system.b.dtype == powers.dtype == (torch.complex64 if dtype is torch.float32 else torch.complex128)
