"""Figures: they draw what operators and reports computed, on the caller's axes or on a new figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "circle": ["eigenvalue_curves", "pole_zero", "symbol_curve", "zeros"],
        "drawing": ["Drawing", "look"],
        "factors": ["energy_delay", "inner_outer"],
        "kernels": ["chosen", "kernel", "taps"],
        "response": ["bode"],
        "layers": ["by_layer"],
        "retention": ["retention_curves"],
        "delays": ["memory", "recovery"],
        "sections": ["information", "jacobian_spectrum", "singular_values", "splitting"],
        "plane": ["index_map", "pseudospectrum"],
    },
)
