"""Certified invertibility diagnostics for Toeplitz layers, and a trainable Toeplitz MLP Mixer.

Names are handed on lazily: ``import toeplitz_theory as tt`` loads neither torch nor pandas.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
