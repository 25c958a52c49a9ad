"""What symbols say about their inner and outer factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    from toeplitz_theory.operators.factors.delay import EnergyDelay
    from toeplitz_theory.operators.factors.inner_outer import InnerOuter
    from toeplitz_theory.operators.factors.outer import OuterFactor
    from toeplitz_theory.operators.results import Zeros
    from toeplitz_theory.operators.symbols.symbol import Symbol
    from toeplitz_theory.operators.symbols.taps import Taps


class FactorMethods:
    """Methods of `Symbol` about the factorisation ``a = Blaschke product * outer``."""

    _taps: Taps

    @overload
    def outer(self, full: Literal[False] = ...) -> Symbol: ...
    @overload
    def outer(self, full: Literal[True]) -> OuterFactor: ...
    def outer(self, full: bool = False) -> Symbol | OuterFactor:
        r"""Return the outer (minimum-phase) factor: the same modulus on the circle, no zero inside.

        ``outer(0) = exp(mean log|a|)``, the Mahler measure; the zeros are those of a, the ones inside
        replaced by their mirror images 1 / conj(z). From the cepstrum of log|a|, corrected exactly by the
        zeros next to the circle; where these cannot be separated, by reflecting all zeros. About 30 ms at
        n = 512, half a second at n = 4096.

        Parameters
        ----------
        full : bool
            Return an `OuterFactor`, with a proved bound of the error in the modulus and the proved index.

        Returns
        -------
        Symbol or OuterFactor
            Taps of the kernel's length; trailing zeros stand for the zeros of a at the origin.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).outer().kernel.round(12)
        array([ 2., -1.])
        """
        from toeplitz_theory.operators.factors.outer import outer_factor

        found = outer_factor(self._taps)
        return found if full else found.symbol

    def blaschke_zeros(self) -> Zeros:
        """Return the zeros strictly inside the circle, each in a proved disc: those of the inner factor.

        Returns
        -------
        Zeros
            With multiplicity, sorted by modulus; zeros whose disc meets the circle are left out.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([0.0, 1.0, -2.5, 1.0]).blaschke_zeros().tolist()
        [0j, (0.5+0j)]
        """
        from toeplitz_theory.operators.factors.inner_outer import blaschke_zeros

        return blaschke_zeros(self._taps)[0]

    def inner_outer(self) -> InnerOuter:
        """Factor the symbol into a Blaschke product and an outer factor, and say how well they reproduce it.

        Needs all zeros: about 0.5 s at n = 512.

        Returns
        -------
        InnerOuter

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> parts = Symbol([0.25, -1.0, 1.0]).inner_outer()  # a double zero at 1/2
        >>> parts.zeros.tolist(), parts.residual < 1e-15
        ([(0.5+0j), (0.5+0j)], True)
        """
        from toeplitz_theory.operators.factors.inner_outer import inner_outer

        return inner_outer(self._taps)

    def energy_delay(self) -> EnergyDelay:
        """Return the energy of the first taps of the kernel and of its outer factor, which is never below.

        Returns
        -------
        EnergyDelay
            The two curves, mean delays in tokens, and the distance from minimum phase.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> print(Symbol([1.0, -2.0]).energy_delay())
        energy 0.6 tokens later than the outer factor's in the mean, relative distance 0.6325
        """
        from toeplitz_theory.operators.factors.delay import energy_delay
        from toeplitz_theory.operators.factors.outer import outer_factor

        return energy_delay(self._taps.values, outer_factor(self._taps))

    def minimum_phase_distance(self) -> float:
        """Return min ||kernel - c outer|| / ||kernel|| in the 2-norm, over the numbers c of modulus 1.

        0 if and only if the kernel is a multiple of its outer factor, at most sqrt(2); by Parseval the same
        as the root mean square of ``inner - c`` on the circle, weighted by |a|^2. Right to about n u.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> round(Symbol([1.0, -0.5]).minimum_phase_distance(), 12)
        0.0
        """
        return self.energy_delay().distance
