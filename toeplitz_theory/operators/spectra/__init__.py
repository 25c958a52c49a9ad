"""Spectra, pseudospectra and maps of the index: what an operator does, seen from every point of the plane."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "grid": ["Grid"],
        "index": ["IndexMap", "index_map"],
        "pseudo": ["Pseudospectrum", "pseudospectrum"],
    },
)
