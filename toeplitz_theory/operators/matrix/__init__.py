"""Finite sections, the n x n lower-triangular Toeplitz matrices: products, inverses, singular values."""
