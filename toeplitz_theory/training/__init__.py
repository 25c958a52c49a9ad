"""Training recipes: from the text to a model folder, through transformers' Trainer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "callbacks": ["InvertibilityCallback"],
        "kernel_log": ["log_kernels"],
        "recipe": ["Recipe", "load_recipe"],
        "runner": ["train"],
        "sweep": ["Run", "planned_runs", "run_sweep"],
        "trained": ["TrainedModel", "open_trained"],
        "surgery": ["Replaced", "SurgeryMeasured", "make_invertible", "measure_surgery"],
    },
)
