"""What symbols say about their finite sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toeplitz_theory.operators.kernels import Kernel
    from toeplitz_theory.operators.sections.section import CausalToeplitz
    from toeplitz_theory.operators.sections.splitting import Splitting


class SectionMethods:
    """Methods of `Symbol` about its finite sections."""

    if TYPE_CHECKING:

        @property
        def kernel(self) -> Kernel: ...

    def section(self, n: int | None = None) -> CausalToeplitz:
        """Return the n x n finite section T_n(a), the kernel cut or padded with zeros.

        Parameters
        ----------
        n : int, optional
            Size; the kernel's length when not given.

        Returns
        -------
        CausalToeplitz

        Raises
        ------
        InputError
            If n is not a positive integer.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).section(3).to_dense()
        array([[ 1.,  0.,  0.],
               [-2.,  1.,  0.],
               [ 0., -2.,  1.]])
        """
        from toeplitz_theory.operators.sections.section import CausalToeplitz

        return CausalToeplitz(self.kernel, n)

    def splitting(self, sizes: Sequence[int], count: int | None = None) -> Splitting:
        """Return the smallest singular values of growing sections, against the number of zeros inside.

        Parameters
        ----------
        sizes : sequence of int
            Sizes n of the sections.
        count : int, optional
            How many singular values of each; three more than there are zeros inside when not given.

        Returns
        -------
        Splitting

        Raises
        ------
        InputError
            If a size or the count is not a positive integer.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).splitting([4, 8], count=1).values.shape
        (2, 1)
        """
        from toeplitz_theory.operators.sections.splitting import splitting

        symbol: Any = self
        return splitting(symbol, sizes, count)
