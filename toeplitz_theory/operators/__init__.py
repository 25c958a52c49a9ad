"""The mathematics of causal Toeplitz layers: symbols, finite sections, and what can be proved about them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "factors.inner_outer": ["InnerOuter"],
        "factors.outer": ["EnergyDelay", "OuterFactor"],
        "layers.channels": ["ChannelSymbol"],
        "layers.normalised": ["RowNormalised"],
        "layers.matrix_symbol": ["MatrixSymbol"],
        "layers.multihead": ["MatrixIndex", "MultiHeadSymbol"],
        "matrix.condition": ["Condition"],
        "matrix.information": ["InformationCurve", "InformationRate", "StorageBits"],
        "matrix.nullity": ["Nullity", "Splitting"],
        "matrix.information_limit": ["InformationLimit"],
        "causal_matrix": ["CausalMatrix"],
        "recovery.quick": ["QuickLook"],
        "recovery.results": ["Delay", "Memory", "Recovery"],
        "symbolic": ["ExactIndex", "exact_index"],
        "kernels": ["as_kernel"],
        "results": ["Bracket", "Count", "FredholmIndex", "JensenDeficit", "MinModulus", "Winding", "Zeros"],
        "section": ["CausalToeplitz"],
        "plane": ["Grid", "IndexMap", "Pseudospectrum", "index_map", "pseudospectrum"],
        "circle.polygons": ["SpectrumIndex"],
        "circle.response": ["Response"],
        "circle.margins": ["IndexMargins", "RoundingMargin"],
        "symbol": ["ExactSymbol", "Symbol"],
    },
)
