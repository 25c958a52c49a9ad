"""Certified invertibility diagnostics for Toeplitz layers, and a trainable Toeplitz MLP Mixer.

Names are handed on lazily: ``import toeplitz_theory as tt`` loads neither torch nor pandas.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checkpoints", "errors", "operators", "plots", "reports", "retention", "tmm", "training"],
    submod_attrs={
        "checkpoints": ["Kernels", "Probe", "probe"],
        "operators": [
            "CausalMatrix",
            "CausalToeplitz",
            "Condition",
            "FredholmIndex",
            "MatrixSymbol",
            "MultiHeadSymbol",
            "Symbol",
            "Winding",
            "index_map",
            "pseudospectrum",
        ],
        "reports": ["Report", "compare", "inspect"],
        "retention": ["causal_matrix"],
        "training": ["log_kernels"],
        "tmm": ["TMMConfig", "TMMForAutoencoding", "TMMForCausalLM"],
    },
)
