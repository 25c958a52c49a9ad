"""Figures: they draw what operators and reports computed, on the caller's axes or on a new figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "channel": ["information"],
        "circle": ["symbol_curve", "zeros"],
        "drawing": ["Drawing"],
        "factors": ["energy_delay", "inner_outer"],
        "files": ["save_report_figures"],
        "grids": ["index_grid"],
        "jacobians": ["jacobian_spectrum"],
        "layers": ["by_layer"],
        "matrices": ["toeplitz_heatmap"],
        "sections": ["singular_values", "splitting"],
        "spectra": ["index_map", "pseudospectrum"],
        "style": ["look"],
        "symbols": ["eigenvalue_curves"],
    },
)
