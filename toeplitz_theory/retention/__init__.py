"""What a model keeps of its input: capacity, recall, recovery, reconstruction, and whole-model Jacobians."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "asking": ["Asked", "ask", "opened"],
        "beside_theory": ["Correlation", "KernelCost", "kernel_costs", "rank_correlation"],
        "capacity": ["token_capacity", "total_effect"],
        "decoder": ["reconstruction", "untrained_twin"],
        "jacobian": ["JacobianSpectrum", "jacobian_spectrum", "model_jacobian"],
        "measure": ["Measured"],
        "mixing": ["MixingMatrices", "causal_matrix"],
        "rebuilt": ["exact"],
        "recall": ["recall_curve"],
        "recovered": ["recovery"],
    },
)
