"""Read the Toeplitz kernels of any saved or live model; see `load`."""

from toeplitz_theory.checkpoints.checkpoint import Checkpoint, MixingLayer, Skipped, SourceFile, ToeplitzLayer
from toeplitz_theory.checkpoints.loading import load
from toeplitz_theory.checkpoints.named_kernels import Kernels
from toeplitz_theory.checkpoints.probing import Probe, probe

__all__ = [
    "Checkpoint",
    "Kernels",
    "MixingLayer",
    "Probe",
    "Skipped",
    "SourceFile",
    "ToeplitzLayer",
    "load",
    "probe",
]
