"""The smallest singular values by matrix elimination in many bits, where float64 does not resolve them.

One function is the way in. Behind it `pivots` takes off what is largest of the inverse, `remainder` finds
what is left in float64, and `graded` puts both together. Without this folder `singular` would compute all
such values by `bidiagonal`, which is slower, and their oracle.
"""

from toeplitz_theory.operators.matrix.elimination.remainder import smallest_by_deflation

__all__ = ["smallest_by_deflation"]
