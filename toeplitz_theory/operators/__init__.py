"""The mathematics of causal Toeplitz layers: symbols, finite sections, and what can be proved about them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "exact": ["ExactSymbol"],
        "factors.delay": ["EnergyDelay"],
        "factors.inner_outer": ["InnerOuter"],
        "factors.outer": ["OuterFactor"],
        "matrices.channels": ["ChannelSymbol"],
        "matrices.normalised": ["RowNormalised"],
        "matrices.multihead": ["MatrixIndex", "MultiHeadSymbol"],
        "sections.condition": ["Condition"],
        "sections.information": ["InformationCurve", "InformationRate", "StorageBits"],
        "sections.splitting": ["Splitting"],
        "sections.szego": ["InformationLimit"],
        "symbolic": ["ExactIndex", "exact_index"],
        "kernels": ["as_kernel"],
        "results": ["FredholmIndex", "JensenDeficit", "MinModulus", "Winding", "Zeros"],
        "sections.section": ["CausalToeplitz"],
        "spectra.grid": ["Grid"],
        "spectra.index": ["IndexMap", "index_map"],
        "spectra.pseudo": ["Pseudospectrum", "pseudospectrum"],
        "symbols.centres": ["SpectrumIndex"],
        "symbols.margins": ["IndexMargins", "RoundingMargin"],
        "symbols.symbol": ["Symbol"],
    },
)
