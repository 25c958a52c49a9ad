"""Token mixers by name: one file each, behind one interface (see `registry`)."""

from toeplitz_theory.tmm.mixers.kernels import CausalKernels, ToeplitzKernel
from toeplitz_theory.tmm.mixers.mixing import mix_heads
from toeplitz_theory.tmm.mixers.registry import MIXERS, build_mixer

__all__ = ["MIXERS", "CausalKernels", "ToeplitzKernel", "build_mixer", "mix_heads"]
