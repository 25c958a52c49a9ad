"""The mathematics of causal Toeplitz layers: symbols, finite sections, and what can be proved about them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "sections.condition": ["Condition"],
        "kernels": ["as_kernel"],
        "results": ["FredholmIndex", "JensenDeficit", "MinModulus", "Winding", "Zeros"],
        "sections.section": ["CausalToeplitz"],
        "symbols.symbol": ["Symbol"],
    },
)
