"""What a model keeps of its input: capacity, recall, recovery, reconstruction, and whole-model Jacobians."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
