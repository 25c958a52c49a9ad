"""Models whose answers are known because their zeros were chosen."""

import numpy as np

KEY = "mixer_blocks.{}.token_mixing_layer.weight"


def flat(*kernels) -> dict[str, np.ndarray]:
    """A state dict of flat layers."""
    return {KEY.format(i): np.asarray(kernel, dtype=np.float32)[None] for i, kernel in enumerate(kernels)}


def padded(*taps: float, n: int = 16) -> np.ndarray:
    """A kernel of n taps that begins with these."""
    return np.concatenate([taps, np.zeros(n - len(taps))])


def with_zeros(*zeros: complex, n: int = 16) -> np.ndarray:
    """Coefficients of prod (1 - z / z_j), padded; exact for the dyadic zeros the tests choose."""
    taps = np.array([1.0])
    for zero in zeros:
        taps = np.convolve(taps, [1.0, -1.0 / zero])
    return padded(*taps, n=n)


NAN, ZERO, ON_CIRCLE, SHIFT, CANCELS = 2, 3, 4, 5, 6


def awkward() -> dict[str, np.ndarray]:
    """Two good kernels, then one of each kind that cannot be analysed in full."""
    return flat(
        with_zeros(2.0, -4.0),
        with_zeros(0.5, -0.25, 4.0),
        padded(1.0, np.nan, np.inf),
        padded(0.0),
        padded(1.0, -1.0),
        padded(0.0, 0.0, 1.0),
        padded(-1.0),
    )
