"""Figures: they draw what operators and reports computed, on the caller's axes or on a new figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
