"""The ways to multiply by causal Toeplitz matrices, the table that picks one, and their gradients."""

from toeplitz_theory.tmm.products.product import causal_toeplitz_product, product_plus
from toeplitz_theory.tmm.products.table import METHODS, WAYS, chosen_way, way_by_table

__all__ = [
    "METHODS",
    "WAYS",
    "causal_toeplitz_product",
    "chosen_way",
    "product_plus",
    "way_by_table",
]
