"""Tables, JSON and HTML pages of a model's Toeplitz layers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "columns": ["COLUMNS", "COLUMN_NAMES", "Column", "column_guide"],
        "comparison": ["Comparison", "compare"],
        "conditions": ["conditions"],
        "inspection": ["inspect"],
        "provenance": ["File", "Provenance"],
        "report": ["Report"],
        "rows": ["Bracketed", "Count", "Index", "Row"],
    },
)
