"""Training recipes: from the text to a model folder, through transformers' Trainer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "corpus": ["Corpus", "load_corpus"],
        "measure": ["SurgeryMeasured", "measure_surgery"],
        "recipe": ["Recipe", "load_recipe"],
        "runner": ["train"],
        "surgery": ["Replaced", "make_invertible"],
    },
)
