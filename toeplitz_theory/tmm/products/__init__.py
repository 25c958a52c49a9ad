"""The ways to multiply by causal Toeplitz matrices, their gradients, and the choice among them."""

from toeplitz_theory.tmm.products.choice import METHODS, chosen_method
from toeplitz_theory.tmm.products.dense import toeplitz_matrices

__all__ = ["METHODS", "chosen_method", "toeplitz_matrices"]
