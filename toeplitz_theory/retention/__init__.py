"""What a model keeps of its input."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"jacobian": ["JacobianSpectrum", "jacobian_spectrum", "model_jacobian"]},
)
