"""The mathematics of causal Toeplitz layers: symbols, finite sections, and what can be proved about them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
