"""What sections say about themselves as Gaussian channels."""

from __future__ import annotations

from typing import Any

from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.sections import information


class ChannelMethods:
    """Methods of `CausalToeplitz` about information."""

    kernel: Kernel
    _full_kernel: Kernel

    def information_rate(self, snr: float) -> information.InformationRate:
        """Return the bits per token through ``y = T x + noise``, with Szego's limit for long sequences.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive.

        Returns
        -------
        InformationRate

        Raises
        ------
        InputError
            If snr is not positive and finite.
        NumericalError
            If ``snr sigma_max**2`` overflows.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> rate = CausalToeplitz([1.0, 0.5], n=64).information_rate(snr=10.0)
        >>> rate.value < rate.limit < rate.value + 0.01
        True
        """
        return information.information_rate(self.kernel, snr, self._full_kernel)

    def information_curve(self, snr: Any) -> information.InformationCurve:
        """Return rate and limit at many signal-to-noise ratios, from one set of singular values.

        Parameters
        ----------
        snr : array_like, shape (m,)
            Positive ratios of variances, not in decibels.

        Returns
        -------
        InformationCurve

        Raises
        ------
        InputError
            If a ratio is not positive and finite, or the array is empty.
        NumericalError
            If ``snr sigma_max**2`` overflows.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> CausalToeplitz([2.0], n=3).information_curve([0.75, 3.75]).value
        array([1., 2.])
        """
        return information.information_curve(self.kernel, snr, self._full_kernel)

    def bits_at(self, dtype: str) -> information.StorageBits:
        """Return the bits per token about the input that survive storing the output in a float format.

        Rounding to p significant bits leaves a signal-to-noise ratio of at least ``3 / u**2``, u = 2**-p,
        whatever the scale; `StorageBits` has the definition and its ceiling, which only a layer with equal
        singular values reaches.

        Parameters
        ----------
        dtype : {"bfloat16", "float16", "float32", "float64"}
            Format of the output; a torch dtype will do.

        Returns
        -------
        StorageBits

        Raises
        ------
        InputError
            If the format is unknown.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> print(CausalToeplitz([1.0, 0.9], n=64).bits_at("bfloat16"))
        8.37 of 8.792 bits per token at bfloat16
        """
        return information.bits_at(self.kernel, dtype, self._full_kernel)
