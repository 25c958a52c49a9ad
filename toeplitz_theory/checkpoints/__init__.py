"""Read the Toeplitz kernels of any saved or live model; see `load`."""

from toeplitz_theory.checkpoints.checkpoint import Checkpoint, Skipped, SourceFile, ToeplitzLayer
from toeplitz_theory.checkpoints.loading import load

__all__ = ["Checkpoint", "Skipped", "SourceFile", "ToeplitzLayer", "load"]
